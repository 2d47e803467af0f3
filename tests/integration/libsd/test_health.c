/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Health checks that put keys in and take them out.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "enlist.h"
#include "listener.h"

TestSuite(health, .init = enlist_setup, .fini = enlist_teardown, .timeout = 60);

/* ---- commands ----------------------------------------------------------- */

static char dir[] = "/tmp/test_health.XXXXXX";

static const char *in_dir(const char *name)
{
    static char paths[4][100];
    static int next;
    static bool made;
    char *path = paths[next++ % 4];

    if (!made)
        cr_assert_not_null(mkdtemp(dir));
    made = true;
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void touch(const char *path)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    fclose(file);
}

static void remove_dir(void)
{
    unlink(in_dir("up"));
    unlink(in_dir("pid"));
    rmdir(dir);
}

static int children(void)
{
    FILE *pipe = popen("ps -o pid= --ppid $PPID | wc -l", "r");
    int count = 0;

    cr_assert(pipe && fscanf(pipe, "%d", &count) == 1);
    pclose(pipe);
    return count;
}

Test(health, commands_status_decides)
{
    const char *command[] = { "test", "-e", in_dir("up"), NULL };
    libsd_check check = quick(LIBSD_CHECK_COMMAND);
    int before = children();

    check.command = command;
    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(told(&story, "U"), 2);
    touch(in_dir("up"));
    UNTIL(has(judge, KEY, ADDRESS), 5);
    unlink(in_dir("up"));
    UNTIL(absent(judge, KEY), 5);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), 0);
    UNTIL(children() == before, 5);
    remove_dir();
}

/* As one that fails; and it may come later. */
Test(health, command_that_is_not_there_counts_as_failed)
{
    const char *command[] = { in_dir("program"), NULL };
    libsd_check check = quick(LIBSD_CHECK_COMMAND);

    check.command = command;
    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(told(&story, "U"), 2);
    cr_assert(absent(judge, KEY));
    cr_assert_eq(symlink("/bin/true", in_dir("program")), 0);
    UNTIL(has(judge, KEY, ADDRESS), 5);
    unlink(in_dir("program"));
    UNTIL(absent(judge, KEY), 5);
    remove_dir();
}

Test(health, command_gets_nothing_of_ours)
{
    /* Three descriptors, all of them /dev/null; no signal blocked, and none ignored
     * but the two of glibc's own. */
    const char *command[] = { "sh", "-c",
                              "for n in 0 1 2; do "
                              "[ \"$(readlink /proc/$$/fd/$n)\" = /dev/null ] || exit 1; done; "
                              "n=3; while [ $n -lt 60 ]; do "
                              "[ -e /proc/$$/fd/$n ] && exit 1; n=$((n+1)); done; "
                              "grep -q '^SigBlk:.0000000000000000$' /proc/$$/status && "
                              "grep -Eq '^SigIgn:.0000000(0|1)[08]0000000$' /proc/$$/status && "
                              "[ $(ps -o pgid= -p $$) = $$ ]",
                              NULL };
    libsd_check check = quick(LIBSD_CHECK_COMMAND);
    int leaking = dup(2);

    signal(SIGPIPE, SIG_IGN);
    check.command = command;
    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(has(judge, KEY, ADDRESS), 5);
    close(leaking);
}

/* Whether the process whose number is in the file lives; nobody may have waited
 * for an orphan yet. */
static bool is_alive(const char *path)
{
    char stat_path[40];
    char state = 'Z';
    int pid = 0;
    FILE *file = fopen(path, "r");

    cr_assert(file && fscanf(file, "%d", &pid) == 1);
    fclose(file);
    snprintf(stat_path, sizeof stat_path, "/proc/%d/stat", pid);
    file = fopen(stat_path, "r");
    if (file) {
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = 'Z';
        fclose(file);
    }
    return state != 'Z';
}

static bool is_written(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && status.st_size > 1;
}

Test(health, command_that_hangs_is_killed_with_what_it_started)
{
    char script[300];
    const char *command[] = { "sh", "-c", script, NULL };
    libsd_check check = quick(LIBSD_CHECK_COMMAND);

    snprintf(script, sizeof script, "trap '' TERM; sleep 1000 & echo $! >%s; sleep 1000",
             in_dir("pid"));
    check.command = command;
    check.timeout_ms = 300;
    check.passing = 1;
    check.interval_ms = 2000;
    check.fall = 1;
    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    cr_assert(has(judge, KEY, ADDRESS), "passing to begin with");
    UNTIL(is_written(in_dir("pid")), 5);
    UNTIL(!is_alive(in_dir("pid")), 5);
    UNTIL(absent(judge, KEY), 5);
    remove_dir();
}

Test(health, close_ends_a_running_command_at_once)
{
    char script[300];
    const char *command[] = { "sh", "-c", script, NULL };
    libsd_check check = quick(LIBSD_CHECK_COMMAND);
    int before = children();
    double begin;

    snprintf(script, sizeof script, "sleep 1000 & echo $! >%s; sleep 1000", in_dir("pid"));
    check.command = command;
    check.timeout_ms = 60000;
    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(is_written(in_dir("pid")), 5);
    begin = seconds();
    libsd_close(sd);
    begin = seconds() - begin;
    sd = etcd_open(&etcd, NULL);
    cr_assert(begin < 1, "%g s", begin);
    cr_assert_eq(children(), before);
    UNTIL(!is_alive(in_dir("pid")), 1);
    remove_dir();
}

/* ---- callbacks ---------------------------------------------------------- */

static atomic_int runs;
static atomic_int verdict; /* what the callback returns; 2: hangs meanwhile */

static int ask(libsd *handle, const char *service, const char *instance, void *arg)
{
    libsd_kvs *kvs = NULL;

    atomic_fetch_add(&runs, 1);
    if (strcmp(service, "user") != 0 || strcmp(instance, "i1") != 0 || arg != &story)
        return 1;
    /* It may call what blocks. */
    if (libsd_get(handle, libsd_str("/x"), &kvs, 0) != LIBSD_ENOTFOUND)
        return 1;
    while (atomic_load(&verdict) == 2)
        nap();
    return atomic_load(&verdict);
}

static libsd_check by_callback(void)
{
    libsd_check check = quick(LIBSD_CHECK_CALLBACK);

    check.callback = ask;
    check.callback_arg = &story;
    return check;
}

Test(health, rise_and_fall_count_runs_in_a_row)
{
    libsd_check check = by_callback();
    int at;

    check.rise = 3;
    check.fall = 4;
    atomic_store(&verdict, 1);
    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(atomic_load(&runs) > 2, 5);
    atomic_store(&verdict, 0);
    at = atomic_load(&runs);
    UNTIL(told(&story, "UR"), 5);
    cr_assert_geq(atomic_load(&runs) - at, 2, "%d runs", atomic_load(&runs) - at);
    atomic_store(&verdict, 1);
    at = atomic_load(&runs);
    UNTIL(told(&story, "URU"), 5);
    cr_assert_geq(atomic_load(&runs) - at, 3, "%d runs", atomic_load(&runs) - at);
}

Test(health, callback_that_hangs_is_bad_and_delays_nobody)
{
    libsd_check check = by_callback();
    libsd_check tcp = quick(LIBSD_CHECK_TCP);
    struct listener port;
    libsd_register_options options = { .size = sizeof options, .check = &tcp };
    double begin;
    int at;

    check.timeout_ms = 200;
    check.fall = 1;
    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(told(&story, "UR"), 5);
    atomic_store(&verdict, 2);
    UNTIL(told(&story, "URU"), 5);
    at = atomic_load(&runs);
    listener_open(&port);
    cr_assert_eq(libsd_register(sd, "user", "i2", port.address, 2, &options), 0);
    UNTIL(has(judge, "/service/user/i2", port.address), 5);
    for (begin = seconds(); seconds() - begin < 3; nap())
        cr_assert(has(judge, "/service/user/i2", port.address), "after %g s", seconds() - begin);
    cr_assert_eq(atomic_load(&runs), at, "one at a time");
    atomic_store(&verdict, 0);
    UNTIL(told(&story, "URUR"), 5);
    listener_close(&port);
}

static void *release_later(void *arg)
{
    double begin = seconds();

    (void)arg;
    while (seconds() - begin < 0.5)
        nap();
    atomic_store(&verdict, 0);
    return NULL;
}

Test(health, no_callback_runs_after_its_end)
{
    libsd_check check = by_callback();
    pthread_t thread;
    double begin;
    int at;

    atomic_store(&verdict, 2);
    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(atomic_load(&runs) == 1, 5);
    cr_assert_eq(pthread_create(&thread, NULL, release_later, NULL), 0);
    begin = seconds();
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), 0);
    cr_assert_eq(atomic_load(&verdict), 0, "waited for");
    at = atomic_load(&runs);
    pthread_join(thread, NULL);
    for (begin = seconds(); seconds() - begin < 0.5; nap())
        cr_assert_eq(atomic_load(&runs), at);
    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(atomic_load(&runs) > at, 5);
    libsd_close(sd);
    at = atomic_load(&runs);
    for (begin = seconds(); seconds() - begin < 0.3; nap())
        cr_assert_eq(atomic_load(&runs), at);
    sd = etcd_open(&etcd, NULL);
}

static int close_handle(libsd *handle, const char *service, const char *instance, void *arg)
{
    (void)service;
    (void)instance;
    libsd_close(handle);
    atomic_store((atomic_int *)arg, 1);
    return 0;
}

Test(health, handle_closed_by_a_check_ends_after_it)
{
    libsd_check check = quick(LIBSD_CHECK_CALLBACK);
    atomic_int done = 0;

    check.callback = close_handle;
    check.callback_arg = &done;
    check.passing = 1;
    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(atomic_load(&done), 5);
    UNTIL(absent(judge, KEY), 5);
    sd = etcd_open(&etcd, NULL);
}

/* ---- with other things -------------------------------------------------- */

Test(health, passing_again_does_not_end_a_pause)
{
    libsd_check check = by_callback();
    double begin;

    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(told(&story, "UR"), 5);
    cr_assert_eq(libsd_pause(sd, "user", "i1", 0), 0);
    atomic_store(&verdict, 1);
    begin = seconds();
    UNTIL(seconds() - begin > 0.5, 2);
    cr_assert_eq(libsd_resume(sd, "user", "i1", 0), 0);
    UNTIL(told(&story, "URPU"), 5);
    cr_assert(absent(judge, KEY));
    cr_assert_eq(libsd_pause(sd, "user", "i1", 0), 0);
    atomic_store(&verdict, 0);
    for (begin = seconds(); seconds() - begin < 0.5; nap())
        cr_assert(absent(judge, KEY));
    cr_assert_eq(libsd_resume(sd, "user", "i1", 0), 0);
    UNTIL(told(&story, "URPUPR"), 5);
}

Test(health, registering_again_with_a_check_takes_the_key_out_until_it_passes)
{
    libsd_check check = by_callback();

    atomic_store(&verdict, 1);
    enlist(ADDRESS, 2);
    cr_assert_eq(enlist_checked(OTHER, &check), 0);
    UNTIL(absent(judge, KEY), 5);
    atomic_store(&verdict, 0);
    UNTIL(has(judge, KEY, OTHER), 5);
    cr_assert_eq(libsd_register(sd, "user", "i1", ADDRESS, 10, NULL), 0);
    cr_assert(has(judge, KEY, ADDRESS), "and without, in again");
}

Test(health, unhealthy_stays_out_whatever_happens_to_etcd)
{
    libsd_check check = by_callback();
    double begin;

    cr_assert_eq(enlist_checked(ADDRESS, &check), 0);
    UNTIL(told(&story, "UR"), 5);
    etcd_kill(&etcd);
    atomic_store(&verdict, 1);
    begin = seconds();
    UNTIL(seconds() - begin > 1, 2);
    etcd_restart(&etcd);
    UNTIL(absent(judge, KEY), 8);
    for (begin = seconds(); seconds() - begin < 2; nap())
        cr_assert(absent(judge, KEY));
    atomic_store(&verdict, 0);
    UNTIL(has(judge, KEY, ADDRESS), 5);
}

Test(health, nonsense_is_refused)
{
    libsd_check check = { .size = sizeof check };
    const char *no_words[] = { NULL };
    char detail[300];

    cr_assert_eq(enlist_checked(ADDRESS, &check), LIBSD_EINVAL);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert_str_eq(detail, "check: there is no type 0");
    check.type = LIBSD_CHECK_COMMAND;
    cr_assert_eq(enlist_checked(ADDRESS, &check), LIBSD_EINVAL);
    check.command = no_words;
    cr_assert_eq(enlist_checked(ADDRESS, &check), LIBSD_EINVAL);
    check.type = LIBSD_CHECK_CALLBACK;
    cr_assert_eq(enlist_checked(ADDRESS, &check), LIBSD_EINVAL);
    check.type = LIBSD_CHECK_HTTP;
    check.target = "file:///etc/passwd";
    cr_assert_eq(enlist_checked(ADDRESS, &check), LIBSD_EINVAL);
    check.target = "/ok";
    check.host = "a\r\nX: y";
    cr_assert_eq(enlist_checked(ADDRESS, &check), LIBSD_EINVAL);
    check.host = NULL;
    check.type = LIBSD_CHECK_TCP;
    cr_assert_eq(enlist_checked(ADDRESS, &check), LIBSD_EINVAL, "a path is no host:port");
    check.target = NULL;
    check.interval_ms = -1;
    cr_assert_eq(enlist_checked(ADDRESS, &check), LIBSD_EINVAL);
    check.interval_ms = 0;
    check.size = 0;
    cr_assert_eq(enlist_checked(ADDRESS, &check), LIBSD_EINVAL);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), LIBSD_ENOTFOUND);
}
