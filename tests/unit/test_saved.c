/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Snapshots: what is written can be read, what is damaged is refused whole, and
 * when they are written and believed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../nss/watcher/log.h"
#include "../../nss/watcher/preserve.h"

static char directory[64], file[96], table_path[96];
static struct localnet net;
static char prefix[] = "/service/", domain[] = "service.etcd", format[] = "auto";
static struct settings says = { .prefix = prefix,
                                .domain = domain,
                                .format = format,
                                .max_instances = TABLE_MAX_INSTANCES,
                                .max_value_bytes = 65536,
                                .weights = 1 };
static struct config config = { .top = { .confirm_loss_s = 0 } };
static struct board board;
static struct follower *follower; /* a list of one */
static struct preserve preserve;
static int log_ends[2];

static const char *logged(void)
{
    static char text[1 << 14];
    ssize_t size = read(log_ends[0], text, sizeof text - 1);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

/* A watcher's parts as they are after its start. */
static void begin(void)
{
    static const char *const domains[] = { "service.etcd" };
    const struct table_writer_options options = { .path = table_path,
                                                  .domains = domains,
                                                  .domain_count = 1 };
    struct table_writer *table;
    char why[200];

    cr_assert_geq(table_writer_open(&table, &options, why, sizeof why), 0, "%s", why);
    board = (struct board){ .table = table };
    follower = follower_new(&says, &board, &config, &net);
    cr_assert_not_null(follower);
    preserve = (struct preserve){
        .directory = strdup(directory), .interval_s = 60, .board = &board, .followers = &follower
    };
}

static void end(void)
{
    table_writer_close(board.table);
    follower_free(follower);
    free(preserve.directory);
    unlink(table_path);
}

static void setup(void)
{
    unsetenv("JOURNAL_STREAM");
    cr_assert_eq(pipe2(log_ends, O_NONBLOCK | O_CLOEXEC), 0);
    log_open(log_ends[1], LOG_LEVEL_INFO);
    strcpy(directory, "/tmp/etcdsd-snapshot.XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    snprintf(file, sizeof file, "%s/" SAVED_FILE, directory);
    snprintf(table_path, sizeof table_path, "%s/table.v1", directory);
    begin();
}

static void teardown(void)
{
    char command[120];

    end();
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0); // NOLINT(cert-env33-c)
}

TestSuite(saved, .init = setup, .fini = teardown, .timeout = 60);

static void put(const char *key, const char *value)
{
    const libsd_kv kv = { .key = libsd_str(key), .value = libsd_str(value) };
    const libsd_event event = { .type = LIBSD_EVENT_PUT, .kv = &kv };

    mirror_event(&event, &follower->mirror);
}

static void tell(int type, int64_t revision)
{
    const libsd_event event = { .type = type, .revision = revision, .cluster_id = 77 };

    mirror_event(&event, &follower->mirror);
}

static void list(void)
{
    tell(LIBSD_EVENT_LIST_BEGIN, 0);
    put("/service/user/i1", "10.0.0.1:80");
    put("/service/user/Web 1", "[2001:db8::1]:81");
    put("/service/shop/cart/a", "{\"addr\":\"10.0.0.3:82\",\"weight\":7}");
    put("/service/user/bad", "nonsense");
    tell(LIBSD_EVENT_LIST_END, 42);
}

/* Waits for a child that writes, and leaves it to the tick to take its status. */
static void settle(void)
{
    siginfo_t info;

    if (preserve.child == 0)
        return;
    cr_assert_eq(waitid(P_PID, (id_t)preserve.child, &info, WEXITED | WNOWAIT), 0);
    preserve_tick(&preserve);
    cr_assert_eq(preserve.child, 0);
}

static void save(void)
{
    list();
    preserve_tick(&preserve);
    settle();
    cr_assert_eq(access(file, R_OK), 0, "%s", logged());
}

/* After a reboot: no table, the snapshot is there. */
static void restart(void)
{
    end();
    begin();
    logged();
}

static uint8_t *bytes_read(size_t *size)
{
    void *bytes;

    cr_assert_null(saved_load(directory, &bytes, size));
    cr_assert_not_null(bytes);
    return bytes;
}

static void bytes_write(const void *bytes, size_t size)
{
    int fd = open(file, O_WRONLY | O_TRUNC);

    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

Test(saved, what_was_written_is_what_is_read)
{
    save();
    restart();
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect(table_writer_is_published(board.table));
    cr_expect_eq(follower->model.instance_count, 3, "what can't be read is left out");
    cr_expect_eq(model_find(&follower->model, "user.service.etcd", 17)->count, 2);
    const struct model_service *cart = model_find(&follower->model, "cart.shop.service.etcd", 22);
    cr_assert_not_null(cart);
    cr_expect_eq(model_instances(cart)[0]->weight, 7);
    cr_expect_eq(model_instances(cart)[0]->port, 82);
    cr_expect_eq(follower->publish.revision, 42);
    cr_expect_eq(follower->publish.cluster, 77);
    cr_expect_not_null(strstr(logged(), "snapshot: 3 instances as of revision 42"));
}

Test(saved, none_is_no_reason_for_a_message)
{
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect_str_eq(logged(), "");
    cr_expect_not(table_writer_is_published(board.table));
}

Test(saved, every_damaged_byte_and_every_length_is_refused)
{
    struct saved snapshot;
    size_t size;

    save();
    uint8_t *bytes = bytes_read(&size);
    cr_assert_null(saved_open(&snapshot, bytes, size));
    for (size_t i = 0; i < size; i++) {
        uint8_t *cut = malloc(i + 1);

        memcpy(cut, bytes, i);
        cr_expect_not_null(saved_open(&snapshot, cut, i), "cut to %zu bytes", i);
        free(cut);
        bytes[i] ^= 0x10;
        cr_expect_not_null(saved_open(&snapshot, bytes, size), "byte %zu", i);
        bytes[i] ^= 0x10;
    }
    free(bytes);
}

Test(saved, damaged_one_costs_a_line_and_nothing_else)
{
    size_t size;

    save();
    uint8_t *bytes = bytes_read(&size);
    bytes[size - 1] ^= 1;
    bytes_write(bytes, size);
    free(bytes);
    restart();
    cr_assert_eq(preserve_open(&preserve), 0);
    const char *text = logged();
    cr_expect_not_null(strstr(text, "not used: it is damaged"));
    cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1, "one line");
    cr_expect_eq(follower->model.instance_count, 0);
    cr_expect_not(table_writer_is_published(board.table));
}

Test(saved, one_that_others_may_have_written_is_refused)
{
    save();
    restart();
    cr_assert_eq(chmod(file, 0620), 0);
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect_not_null(strstr(logged(), "not used: others may have written it"));
    cr_expect_eq(follower->model.instance_count, 0);
}

Test(saved, symbolic_link_and_directory_are_refused)
{
    save();
    restart();
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(symlink("/etc/passwd", file), 0);
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect_not_null(strstr(logged(), "not used: "));
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(mkdir(file, 0700), 0);
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect_not_null(strstr(logged(), "not used: it is not a regular file"));
}

Test(saved, one_of_other_prefixes_is_refused)
{
    save();
    restart();
    follower->zone.prefix = "/serving/";
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect_not_null(strstr(logged(), "not used: it is of other prefixes"));
    cr_expect_eq(follower->model.instance_count, 0);
}

Test(saved, one_that_is_too_old_is_refused)
{
    struct table_writer_stats stats;

    save();
    restart();
    preserve.max_stale_s = 3600;
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect_eq(follower->model.instance_count, 3, "it is young enough");
    table_writer_stats(board.table, &stats);
    cr_expect_lt(stats.age_s, 3600);

    size_t size;
    uint8_t *bytes = bytes_read(&size);
    uint64_t words[SAVED_WORDS];
    memcpy(words, bytes, sizeof words);
    words[SAVED_W_MONOTONIC] -= 3601 < words[SAVED_W_MONOTONIC] ? 3601 : 0;
    words[SAVED_W_BOOT_ID] ^= 1; /* another boot: time(2) counts */
    words[SAVED_W_TIME] -= 3601;
    memcpy(bytes, words, sizeof words);
    words[SAVED_W_CHECKSUM] = saved_checksum(0, bytes + SAVED_CHECKED_AT, size - SAVED_CHECKED_AT);
    memcpy(bytes, words, sizeof words);
    bytes_write(bytes, size);
    free(bytes);
    restart();
    preserve.max_stale_s = 3600;
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect_not_null(strstr(logged(), "not used: it is too old"));
    cr_expect_eq(follower->model.instance_count, 0);
    preserve.max_stale_s = 0;
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect_eq(follower->model.instance_count, 3, "without max-stale no age is too old");
}

Test(saved, age_is_by_the_clock_that_can_be_trusted)
{
    struct saved_head head = { .boot_id = { 1, 2 }, .true_monotonic_s = 100, .true_time_s = 5000 };
    struct saved_head now = head;

    now.true_monotonic_s = 130;
    now.true_time_s = 900;
    cr_expect_eq(saved_age(&head, &now), 30, "the same boot: a clock that was set is nothing");
    now.boot_id[0] = 9;
    cr_expect_eq(saved_age(&head, &now), SAVED_AGELESS);
    now.true_time_s = 5040;
    cr_expect_eq(saved_age(&head, &now), 40);
    head.true_time_s = -1;
    cr_expect_eq(saved_age(&head, &now), SAVED_AGELESS);
    head.true_time_s = INT64_MIN;
    now.true_time_s = INT64_MAX;
    cr_expect_eq(saved_age(&head, &now), SAVED_AGELESS);
}

Test(saved, is_written_once_in_an_interval_and_only_for_news)
{
    struct stat first, second;

    save();
    cr_assert_eq(stat(file, &first), 0);
    put("/service/user/i9", "10.0.0.9:80");
    tell(LIBSD_EVENT_COMMIT, 43);
    mirror_flush(&follower->mirror);
    preserve_tick(&preserve);
    cr_expect_eq(preserve.child, 0, "too soon");
    preserve.begun_s -= 61;
    preserve_tick(&preserve);
    settle();
    cr_assert_eq(stat(file, &second), 0);
    cr_expect_neq(first.st_ino, second.st_ino);
    preserve.begun_s -= 61;
    preserve_tick(&preserve);
    cr_expect_eq(preserve.child, 0, "nothing new");
    preserve.max_stale_s = 100;
    preserve_tick(&preserve);
    cr_expect_neq(preserve.child, 0, "its age is news where there is a max-stale");
    settle();
}

Test(saved, nothing_in_doubt_and_no_half_list_is_written)
{
    tell(LIBSD_EVENT_LIST_BEGIN, 0);
    put("/service/user/i1", "10.0.0.1:80");
    preserve_tick(&preserve);
    cr_expect_eq(preserve.child, 0);
    tell(LIBSD_EVENT_LIST_END, 2);
    follower->mirror.held_ms = 1;
    preserve_tick(&preserve);
    cr_expect_eq(preserve.child, 0);
    preserve_close(&preserve);
    cr_expect_neq(access(file, F_OK), 0);
}

Test(saved, last_one_is_written_at_the_end)
{
    list();
    preserve_close(&preserve);
    cr_expect_eq(access(file, R_OK), 0);
    restart();
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect_eq(follower->model.instance_count, 3);
}

Test(saved, full_disk_leaves_the_old_one_and_is_told_once)
{
    const struct rlimit none = { 64, 64 };
    size_t size, now;
    struct rlimit before;

    save();
    uint8_t *bytes = bytes_read(&size);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    preserve.is_written = false;
    logged();
    for (int i = 0; i < 3; i++) {
        preserve.begun_s -= 61;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ none.rlim_cur, before.rlim_max }),
                     0);
        preserve_tick(&preserve);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        settle();
    }
    const char *text = logged(), *first = strstr(text, "can't be written: ");
    cr_assert_not_null(first);
    cr_expect_null(strstr(first + 1, "can't be written: "));
    cr_expect_eq(preserve.failures, 3);
    uint8_t *after = bytes_read(&now);
    cr_expect(now == size && memcmp(bytes, after, size) == 0);
    preserve.begun_s -= 61;
    preserve_tick(&preserve);
    settle();
    cr_expect_not_null(strstr(logged(), "snapshot: written again"));
    free(bytes);
    free(after);
}

Test(saved, directory_that_cannot_be_made_is_told_and_that_is_all)
{
    free(preserve.directory);
    preserve.directory = strdup("/proc/etcdsd/state");
    cr_assert_eq(preserve_open(&preserve), 0);
    cr_expect_not_null(strstr(logged(), "no snapshot is kept"));
    list();
    preserve_tick(&preserve);
    preserve_close(&preserve);
    cr_expect(table_writer_is_published(board.table));
}

Test(saved, killed_writer_leaves_the_old_one)
{
    size_t size, now;

    save();
    uint8_t *bytes = bytes_read(&size);
    for (int i = 0; i < 50; i++) {
        preserve.is_written = false;
        preserve.begun_s -= 61;
        preserve_tick(&preserve);
        cr_assert_gt(preserve.child, 0); /* kill() takes others for a group */
        usleep((useconds_t)(i * 40));    /* another moment each time */
        kill(preserve.child, SIGKILL);
        settle();
        struct saved snapshot;
        uint8_t *after = bytes_read(&now);
        cr_expect_null(saved_open(&snapshot, after, now));
        cr_expect_eq(now, size);
        free(after);
    }
    free(bytes);
}

/* ---- calls that fail ----------------------------------------------------- */

/* The one that fails next, after `left` of its name that don't. */
static struct {
    const char *name;
    int left;
} failing;
static int written = -1; /* the file: other ones are closed without trouble */

static bool fails(const char *name)
{
    if (failing.name == NULL || strcmp(failing.name, name) != 0 || failing.left-- != 0)
        return false;
    errno = EDQUOT; /* of all of them this can be said */
    return true;
}

/* In place of libc's, here and in the child that writes. */

int fsync(int fd)
{
    return fails("fsync") ? -1 : (int)syscall(SYS_fsync, fd);
}

int close(int fd)
{
    bool is_failing = fd == written && fails("close");
    int rc = (int)syscall(SYS_close, fd); /* Linux closes it nevertheless */

    if (is_failing)
        errno = EDQUOT;
    return is_failing ? -1 : rc;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    written = fd;
    return fails("pwrite") ? -1 : syscall(SYS_pwrite64, fd, bytes, size, at);
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    return fails("renameat") ? -1 : (int)syscall(SYS_renameat2, from_at, from, to_at, to, 0);
}

/* Has what changed written while that call fails.  Returns whether the old
 * snapshot is there still. */
static bool old_stays(const char *name, int left)
{
    size_t size, now;
    struct saved snapshot;
    uint8_t *bytes, *after;
    bool is_old;

    save();
    bytes = bytes_read(&size);
    put("/service/user/i9", "10.0.0.9:80");
    tell(LIBSD_EVENT_COMMIT, 43);
    mirror_flush(&follower->mirror);
    preserve.begun_s -= 61;
    logged();
    failing.name = name;
    failing.left = left;
    preserve_tick(&preserve); /* the child has a copy of what fails */
    failing.name = NULL;
    settle();
    cr_expect_eq(preserve.failures, 1, "%s", name);
    cr_expect_not_null(strstr(logged(), strerror(EDQUOT)), "%s", name);
    after = bytes_read(&now);
    cr_expect_null(saved_open(&snapshot, after, now), "%s", name);
    is_old = now == size && memcmp(bytes, after, size) == 0;
    free(bytes);
    free(after);
    preserve.begun_s -= 61;
    preserve_tick(&preserve);
    settle();
    cr_expect_not_null(strstr(logged(), "snapshot: written again"), "%s", name);
    return is_old;
}

#define LEAVES_THE_OLD_ONE(call)                         \
    Test(saved, failing_##call##_leaves_the_old_one)     \
    {                                                    \
        cr_expect(old_stays(#call, 0));                  \
        cr_expect_eq(follower->model.instance_count, 5); \
    }

LEAVES_THE_OLD_ONE(pwrite)
LEAVES_THE_OLD_ONE(fsync)
LEAVES_THE_OLD_ONE(close)
LEAVES_THE_OLD_ONE(renameat)

/* Its name is there, but may be gone after a power failure: to be done again. */
Test(saved, failing_fsync_of_the_directory_is_a_failure)
{
    cr_expect_not(old_stays("fsync", 1));
}
