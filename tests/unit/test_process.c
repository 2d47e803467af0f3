/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a process may do to itself: close descriptors, set limits, fork, start
 * threads.  Lookups answer rightly or fail for a while; they never crash, hang
 * or keep anything.
 */
#include "../../libsd/table/writer.c"

#include <criterion/criterion.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../nss/module/answer.h"
#include "attack_help.h"
#include "source.h"
#include "table_help.h"

#define CLOSE_FROM 3

static struct table_fixture f;

static void begin(void)
{
    table_begin(&f);
    setenv("ETCDSD_TABLE", f.path, 1);
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80");
    cr_assert_eq(table_writer_publish(f.writer), 0);
}

static void end(void)
{
    table_end(&f);
}

TestSuite(process, .init = begin, .fini = end, .timeout = 3600); /* tests/run has a shorter one */

static int ask(const char *name)
{
    return ask_through(_nss_etcdsd_gethostbyname2_r, name);
}

static void look_again(void)
{
    table_file.looked_at = 0;
}

#define expect_child(function) cr_expect_eq(child_status(function), 0)

/* ---- descriptors ------------------------------------------------------- */

Test(process, no_descriptor_is_held)
{
    int before = descriptors();

    cr_assert_gt(before, 0);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(ask("user.service.etcd"), 1);
        cr_expect_eq(descriptors(), before);
        word_put(header(f.writer) + TABLE_H_HEARTBEAT, 1);
        look_again();
    }
    unlink(f.path);
    look_again();
    cr_assert_eq(ask("user.service.etcd"), 1);
    cr_expect_eq(descriptors(), before);
}

static int close_between_lookups(void)
{
    for (int i = 1; i < 50; i++) {
        char instances[32];

        closefrom(CLOSE_FROM);
        check(ask("user.service.etcd") == i);
        closefrom(CLOSE_FROM);
        check(ask("nosuch.service.etcd") == ASK_UNKNOWN);
        check(replace_file(f.writer, 0) == 0);
        snprintf(instances, sizeof instances, "a=10.0.0.%d:80", i + 1);
        check(table_put(&f, "user.service.etcd", instances) == 1);
    }
    return 0;
}

Test(process, all_descriptors_may_be_closed_between_lookups)
{
    expect_child(close_between_lookups);
}

static bool limit(int resource, rlim_t value)
{
    struct rlimit now;

    if (getrlimit(resource, &now) != 0)
        return false;
    now.rlim_cur = value;
    return setrlimit(resource, &now) == 0;
}

static int no_descriptors_at_first(void)
{
    rlim_t enough = 64;

    check(limit(RLIMIT_NOFILE, 0));
    check(ask("user.service.etcd") == ASK_AGAIN);
    check(ask("www.example.com") == ASK_FOREIGN);
    check(limit(RLIMIT_NOFILE, enough));
    look_again();
    check(ask("user.service.etcd") == 1);
    return 0;
}

Test(process, rlimit_nofile_0_before_the_first_lookup_is_a_temporary_failure)
{
    expect_child(no_descriptors_at_first);
}

static int no_descriptors_after_warm_up(void)
{
    check(ask("user.service.etcd") == 1);
    check(limit(RLIMIT_NOFILE, 0));
    check(table_put(&f, "user.service.etcd", "b=10.0.0.2:80") == 1);
    check(ask("user.service.etcd") == 2);
    word_put(header(f.writer) + TABLE_H_HEARTBEAT, 1);
    look_again();
    check(ask("user.service.etcd") == 2);
    check(ask("nosuch.service.etcd") == ASK_UNKNOWN);
    check(ask("www.example.com") == ASK_FOREIGN);
    return 0;
}

Test(process, rlimit_nofile_0_after_warm_up_does_not_matter)
{
    expect_child(no_descriptors_after_warm_up);
}

/* ---- memory ------------------------------------------------------------ */

/* With room for `kb` more: an answer, or none for a while. */
static int little_address_space(long kb)
{
    int answer;

    check(limit(RLIMIT_AS, (rlim_t)(address_space_kb() + kb) * 1024));
    answer = ask("user.service.etcd");
    check(answer == 1 || answer == ASK_AGAIN);
    check(kb < 32 || answer == 1); /* the table has 16, a page for ourselves */
    check(ask("www.example.com") == ASK_FOREIGN);
    check(limit(RLIMIT_AS, RLIM_INFINITY));
    look_again();
    check(ask("user.service.etcd") == 1);
    return 0;
}

static int address_space_at_first(void)
{
    long kb;
    int wrong = 0;

    for (kb = 0; kb <= 512 && !wrong; kb = kb ? 2 * kb : 4) {
        memset(&table_file, 0, sizeof table_file);
        wrong = little_address_space(kb);
    }
    if (wrong)
        fprintf(stderr, "with %ld KB of address space\n", kb);
    return wrong;
}

Test(process, rlimit_as_before_the_first_lookup)
{
    if (UNDER_ASAN)
        skip(end(), "RLIMIT_AS: AddressSanitizer needs address space of its own");
    expect_child(address_space_at_first);
}

static int no_address_space_after_warm_up(void)
{
    check(ask("user.service.etcd") == 1);
    check(limit(RLIMIT_AS, 4096));
    for (int i = 0; i < 1000; i++)
        check(ask("user.service.etcd") == 1 && ask("nosuch.service.etcd") == ASK_UNKNOWN);
    word_put(header(f.writer) + TABLE_H_HEARTBEAT, 1);
    look_again();
    check(ask("user.service.etcd") == 1);
    word_put(header(f.writer) + TABLE_H_STATE, TABLE_SUPERSEDED);
    look_again();
    check(ask("user.service.etcd") == 1);
    return 0;
}

Test(process, rlimit_as_after_warm_up_does_not_matter)
{
    if (UNDER_ASAN)
        skip(end(), "RLIMIT_AS: AddressSanitizer needs address space of its own");
    expect_child(no_address_space_after_warm_up);
}

/* All that is mapped is locked at once, and there is little that may be. */
static int locked(rlim_t kb)
{
    const struct rlimit little = { kb * 1024, kb * 1024 };
    int answer;

    check(setrlimit(RLIMIT_MEMLOCK, &little) == 0);
    check(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0);
    check(setresuid(65534, 65534, 65534) == 0);
    check(mlockall(MCL_FUTURE) == 0);
    answer = ask("user.service.etcd");
    check(answer == 1 || (kb < 64 && answer == ASK_AGAIN));
    check(munlockall() == 0);
    look_again();
    check(ask("user.service.etcd") == 1);
    return 0;
}

static int locked_4(void)
{
    return locked(4);
}

static int locked_16(void)
{
    return locked(16);
}

static int locked_64(void)
{
    return locked(64);
}

Test(process, mlockall_with_a_small_rlimit_memlock)
{
    if (UNDER_ASAN)
        skip(end(), "mlockall: AddressSanitizer makes it do nothing");
    if (geteuid() != 0)
        skip(end(), "mlockall: only root can give up the right to lock any amount");
    chmod(f.directory, 0755);
    expect_child(locked_4);
    expect_child(locked_16);
    expect_child(locked_64);
}

static int locked_all(void)
{
    check(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
    return close_between_lookups();
}

Test(process, mlockall_of_everything_follows_from_file_to_file)
{
    if (UNDER_ASAN)
        skip(end(), "mlockall: AddressSanitizer makes it do nothing");
    if (geteuid() != 0)
        skip(end(), "mlockall: only root may lock any amount");
    expect_child(locked_all);
}

Test(process, address_space_is_bounded_whatever_the_number_of_files)
{
    int maps = 0;
    long kb = 0;

    for (int i = 0; i < 300; i++) {
        cr_assert_eq(replace_file(f.writer, 0), 0);
        cr_assert_eq(ask("user.service.etcd"), 1);
        retired_reap(f.writer, true);
        if (i == 20) {
            maps = mappings();
            kb = address_space_kb();
        }
    }
    cr_expect_leq(mappings(), maps + 4);
    if (!UNDER_ASAN) /* it keeps what the writer gave back */
        cr_expect_leq(address_space_kb(), kb + 512);
}

/* ---- forks while files follow each other ------------------------------- */

enum {
    STORM_THREADS = 4,
    STORM_FORKS = 150
};

static _Atomic long failures;
static _Atomic bool storm_is_over;

static bool is_answer(int answer)
{
    return answer >= 1 && answer <= 9;
}

static void *storm_lookups(void *arg)
{
    (void)arg;
    while (!storm_is_over)
        if (!is_answer(ask("user.service.etcd")))
            failures++;
    return NULL;
}

static void *storm_files(void *arg)
{
    (void)arg;
    for (int i = 0; !storm_is_over; i++) {
        char instances[32];

        snprintf(instances, sizeof instances, "a=10.0.0.%d:80", 1 + i % 9);
        if (replace_file(f.writer, 0) != 0 || table_put(&f, "user.service.etcd", instances) < 0)
            failures++;
        if (i % 50 == 0) /* or there would be too many descriptors */
            retired_reap(f.writer, true);
        sched_yield();
    }
    return NULL;
}

static int storm_child(void)
{
    for (int i = 0; i < 20; i++)
        check(is_answer(ask("user.service.etcd")));
    return 0;
}

Test(process, children_forked_during_remaps_look_up_at_once)
{
    pthread_t lookers[STORM_THREADS], writer;

    for (int i = 0; i < STORM_THREADS; i++)
        cr_assert_eq(pthread_create(&lookers[i], NULL, storm_lookups, NULL), 0);
    cr_assert_eq(pthread_create(&writer, NULL, storm_files, NULL), 0);
    for (int i = 0; i < often(STORM_FORKS); i++)
        cr_assert_eq(child_status(storm_child), 0, "child %d", i);
    storm_is_over = true;
    pthread_join(writer, NULL);
    for (int i = 0; i < STORM_THREADS; i++)
        pthread_join(lookers[i], NULL);
    cr_expect_eq(failures, 0);
    fprintf(stderr, "%lu files\n", (unsigned long)f.writer->files_made);
}

/* As if all threads of the parent had been stopped in the middle of mapping,
 * and as if it had asked before. */
static struct table_local parents;

static int child_of_busy_threads(void)
{
    struct table_local *local = atomic_load(&table_file.local);

    for (int i = 0; i < TABLE_LANES; i++)
        check(local->lanes[i].position != parents.lanes[i].position ||
              local->lanes[i].position == 0);
    check(replace_file(f.writer, 0) == 0);
    check(table_put(&f, "user.service.etcd", "b=10.0.0.2:80") == 1);
    check(ask("user.service.etcd") == 2);
    for (int i = 0; i < TABLE_LANES; i++)
        check(local->lanes[i].position != parents.lanes[i].position ||
              local->lanes[i].position == 0);
    return 0;
}

Test(process, a_child_has_neither_the_claims_nor_the_positions_of_its_parent)
{
    struct table_local *local;

    /* A choice between two, and a second file, are what needs the page. */
    cr_assert_eq(table_put(&f, "two.service.etcd", "a=10.0.0.1:80 b=10.0.0.2:80"), 1);
    cr_assert(is_answer(ask("two.service.etcd")));
    cr_assert_eq(ask("user.service.etcd"), 1);
    local = atomic_load(&table_file.local);
    for (int i = 0; i < TABLE_WINDOWS; i++)
        local->claims[i] = 1;
    memcpy(&parents, local, sizeof parents);
    expect_child(child_of_busy_threads);
}

/* vfork'ed children share the memory, and are gone before they use it. */
Test(process, programs_started_by_vfork_during_remaps)
{
    pthread_t lookers[STORM_THREADS], writer;

    for (int i = 0; i < STORM_THREADS; i++)
        cr_assert_eq(pthread_create(&lookers[i], NULL, storm_lookups, NULL), 0);
    cr_assert_eq(pthread_create(&writer, NULL, storm_files, NULL), 0);
    for (int i = 0; i < often(STORM_FORKS); i++) {
        int status = -1;
        pid_t child = vfork();

        if (child == 0) {
            execl("/bin/true", "true", NULL);
            _exit(127);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert_eq(status, 0);
        cr_assert(is_answer(ask("user.service.etcd")));
    }
    storm_is_over = true;
    pthread_join(writer, NULL);
    for (int i = 0; i < STORM_THREADS; i++)
        pthread_join(lookers[i], NULL);
    cr_expect_eq(failures, 0);
}
