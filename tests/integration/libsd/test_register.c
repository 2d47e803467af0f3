/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Registrations: written, kept, mended, never taken from a live owner.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "etcd.h"

#define KEY     "/service/user/i1"
#define ADDRESS "10.0.0.5:9090"
#define OTHER   "10.0.0.6:9090"

static struct etcd etcd;
static libsd *sd;    /* registers */
static libsd *judge; /* looks */

/* A process that registers when told to, and then only waits for its end.  It
 * is forked before there are threads, as ThreadSanitizer wants it. */
static struct {
    pid_t pid;
    int fd; /* a byte with the TTL goes in, one with the success comes out */
} other;

static void be_other(int fd)
{
    unsigned char byte = 0;
    libsd *own;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(fd, &byte, 1) != 1)
        _exit(0);
    own = etcd_open(&etcd, NULL);
    byte = libsd_register(own, "user", "i1", ADDRESS, byte, NULL) == 0;
    if (write(fd, &byte, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void start_other(void)
{
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    other.pid = fork();
    cr_assert(other.pid >= 0);
    if (other.pid == 0) {
        close(ends[0]);
        be_other(ends[1]);
    }
    close(ends[1]);
    other.fd = ends[0];
}

static void enlist_other(int ttl_s)
{
    unsigned char byte = (unsigned char)ttl_s;

    cr_assert_eq(write(other.fd, &byte, 1), 1);
    cr_assert_eq(read(other.fd, &byte, 1), 1);
    cr_assert_eq(byte, 1);
}

static void kill_other(void)
{
    kill(other.pid, SIGKILL);
    waitpid(other.pid, NULL, 0);
    other.pid = 0;
}

static void setup(void)
{
    etcd_start(&etcd);
    start_other();
    sd = etcd_open(&etcd, NULL);
    judge = etcd_open(&etcd, NULL);
}

static void teardown(void)
{
    libsd_close(sd);
    libsd_close(judge);
    if (other.pid)
        kill_other();
    etcd_end(&etcd);
}

TestSuite(registration, .init = setup, .fini = teardown, .timeout = 90);

/* States as letters: R, L, C. */
struct story {
    pthread_mutex_t mutex;
    char text[200];
    int error;
};

static void take_note(libsd *handle, const char *service, const char *instance, int state,
                      int error, void *arg)
{
    struct story *story = arg;
    size_t size;

    (void)handle;
    (void)service;
    (void)instance;
    pthread_mutex_lock(&story->mutex);
    size = strlen(story->text);
    if (size + 1 < sizeof story->text)
        story->text[size] = "?RLC"[state];
    story->error = error;
    pthread_mutex_unlock(&story->mutex);
}

static bool told(struct story *story, const char *text)
{
    bool same;

    pthread_mutex_lock(&story->mutex);
    same = strcmp(story->text, text) == 0;
    pthread_mutex_unlock(&story->mutex);
    return same;
}

static struct story story = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void enlist(const char *address, int ttl_s)
{
    libsd_register_options options = { .size = sizeof options,
                                       .callback = take_note,
                                       .callback_arg = &story };
    int rc = libsd_register(sd, "user", "i1", address, ttl_s, &options);

    cr_assert(rc == 0, "%s", libsd_strerror(rc));
}

static int64_t lease_of(const char *key)
{
    libsd_kvs *kvs = NULL;
    int64_t lease = 0;

    if (libsd_get(judge, libsd_str(key), &kvs, 0) == 0)
        lease = libsd_kvs_at(kvs, 0)->lease;
    libsd_kvs_free(kvs);
    return lease;
}

/* ---- the plain case ----------------------------------------------------- */

Test(registration, writes_the_key_under_a_lease)
{
    enlist(ADDRESS, 3);
    cr_assert(has(judge, KEY, ADDRESS));
    cr_assert_neq(lease_of(KEY), 0);
    UNTIL(told(&story, "R"), 2);
}

Test(registration, weight_makes_the_value_an_object)
{
    libsd_register_options options = { .size = sizeof options, .weight = 7 };

    cr_assert_eq(libsd_register(sd, "user", "i1", ADDRESS, 3, &options), 0);
    cr_assert(has(judge, KEY, "{\"addr\":\"10.0.0.5:9090\",\"weight\":7}"));
}

Test(registration, outlives_its_ttl)
{
    double begin = seconds();

    enlist(ADDRESS, 2);
    while (seconds() - begin < 7) {
        cr_assert(has(judge, KEY, ADDRESS), "after %g s", seconds() - begin);
        nap();
    }
    cr_assert(told(&story, "R"));
}

Test(registration, same_ttl_shares_a_lease)
{
    cr_assert_eq(libsd_register(sd, "user", "i1", ADDRESS, 10, NULL), 0);
    cr_assert_eq(libsd_register(sd, "user", "i2", OTHER, 10, NULL), 0);
    cr_assert_eq(libsd_register(sd, "user", "i3", OTHER, 20, NULL), 0);
    cr_assert_eq(lease_of("/service/user/i1"), lease_of("/service/user/i2"));
    cr_assert_neq(lease_of("/service/user/i1"), lease_of("/service/user/i3"));
}

Test(registration, without_a_name_gets_one_of_its_own)
{
    libsd_kvs *kvs;

    cr_assert_eq(libsd_register(sd, "user", NULL, ADDRESS, 3, NULL), 0);
    cr_assert_eq(libsd_register(sd, "user", NULL, ADDRESS, 3, NULL), 0);
    cr_assert_eq(libsd_list(judge, libsd_str("/service/user/"), 0, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 2);
    libsd_kvs_free(kvs);
    cr_assert_eq(libsd_deregister(sd, "user", NULL, 0), 0);
    cr_assert_eq(libsd_list(judge, libsd_str("/service/user/"), 0, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 0);
    libsd_kvs_free(kvs);
}

Test(registration, again_updates_in_place)
{
    libsd_register_options options = { .size = sizeof options, .weight = 7 };

    enlist(ADDRESS, 3);
    cr_assert_eq(libsd_register(sd, "user", "i1", OTHER, 3, &options), 0);
    cr_assert(has(judge, KEY, "{\"addr\":\"10.0.0.6:9090\",\"weight\":7}"));
    cr_assert_eq(libsd_register(sd, "user", "i1", ADDRESS, 10, NULL), 0);
    cr_assert(has(judge, KEY, ADDRESS));
    /* The old lease's end must not take the key with it. */
    double begin = seconds();

    while (seconds() - begin < 3) {
        cr_assert(has(judge, KEY, ADDRESS));
        nap();
    }
}

Test(registration, nonsense_is_refused)
{
    libsd_register_options options = { .size = sizeof options, .weight = 65536 };

    cr_assert_eq(libsd_register(sd, "", "i", ADDRESS, 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a//b", "i", ADDRESS, 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "/a", "i", ADDRESS, 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i/j", ADDRESS, 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "", ADDRESS, 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i", "10.0.0.5", 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i", "999.0.0.5:1", 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i", "http://10.0.0.5:1", 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i", ADDRESS, -1, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i", ADDRESS, 3, &options), LIBSD_EINVAL);
    cr_assert_eq(libsd_deregister(sd, "a", NULL, 0), LIBSD_ENOTFOUND);
}

/* ---- the end ------------------------------------------------------------ */

Test(registration, close_removes_the_key_at_once)
{
    double begin;

    enlist(ADDRESS, 10);
    begin = seconds();
    libsd_close(sd);
    cr_assert(seconds() - begin < 0.25, "%g", seconds() - begin);
    cr_assert(absent(judge, KEY));
    sd = etcd_open(&etcd, NULL);
}

Test(registration, deregister_removes_the_key_and_no_other)
{
    enlist(ADDRESS, 3);
    cr_assert_eq(libsd_register(sd, "user", "i2", OTHER, 3, NULL), 0);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), 0);
    cr_assert(absent(judge, KEY));
    cr_assert(has(judge, "/service/user/i2", OTHER));
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), LIBSD_ENOTFOUND);
    /* And nothing brings it back. */
    double begin = seconds();

    while (seconds() - begin < 2) {
        cr_assert(absent(judge, KEY));
        nap();
    }
}

Test(registration, deregister_that_timed_out_is_completed_later)
{
    enlist(ADDRESS, 10);
    etcd_freeze(&etcd);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 300), LIBSD_ETIMEDOUT);
    etcd_thaw(&etcd);
    UNTIL(absent(judge, KEY), 5);
}

Test(registration, deregister_leaves_what_is_not_ours)
{
    libsd_register_options force = { .size = sizeof force, .takeover = LIBSD_TAKEOVER_FORCE };

    enlist(ADDRESS, 10);
    cr_assert_eq(libsd_register(judge, "user", "i1", OTHER, 10, &force), 0);
    UNTIL(told(&story, "RLC"), 2);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), 0);
    cr_assert(has(judge, KEY, OTHER));
}

Test(registration, killed_process_is_gone_after_its_ttl)
{
    double begin;

    enlist_other(2);
    begin = seconds();
    UNTIL(seconds() - begin > 2.5, 3);
    cr_assert(has(judge, KEY, ADDRESS), "alive, it stays");
    kill_other();
    UNTIL(absent(judge, KEY), 3.5);
}

Test(registration, restarted_process_gets_its_name_back_at_once)
{
    double begin;

    enlist_other(10);
    kill_other();
    begin = seconds();
    enlist(ADDRESS, 10);
    cr_assert(seconds() - begin < 1);
    cr_assert(has(judge, KEY, ADDRESS));
}

/* ---- losses ------------------------------------------------------------- */

static void lose_and_regain(void (*lose)(void))
{
    enlist(ADDRESS, 10);
    UNTIL(told(&story, "R"), 2);
    lose();
    UNTIL(told(&story, "RLR"), 2);
    cr_assert(has(judge, KEY, ADDRESS));
    cr_assert_neq(lease_of(KEY), 0);
}

static void revoke_lease(void)
{
    cr_assert_eq(libsd_lease_revoke(judge, lease_of(KEY), 0), 0);
}

static void delete_key(void)
{
    cr_assert_eq(libsd_delete(judge, libsd_str(KEY), 0), 1);
}

static void overwrite(void)
{
    put(judge, KEY, OTHER);
}

static void detach(void)
{
    put(judge, KEY, ADDRESS);
}

Test(registration, revoked_lease_is_mended_in_two_seconds)
{
    lose_and_regain(revoke_lease);
}

Test(registration, deleted_key_is_mended_in_two_seconds)
{
    lose_and_regain(delete_key);
}

Test(registration, key_overwritten_without_a_lease_is_mended_in_two_seconds)
{
    lose_and_regain(overwrite);
}

Test(registration, key_detached_from_its_lease_is_mended_in_two_seconds)
{
    lose_and_regain(detach);
}

Test(registration, hundred_losses_in_a_row_are_mended_without_a_storm)
{
    double begin = seconds();
    int deleted = 0;

    enlist(ADDRESS, 10);
    while (seconds() - begin < 5) {
        deleted += libsd_delete(judge, libsd_str(KEY), 0) == 1;
        nap();
    }
    cr_assert(deleted >= 3 && deleted < 30, "%d", deleted);
    UNTIL(has(judge, KEY, ADDRESS), 2.5);
}

Test(registration, survives_kill_and_restart_of_etcd)
{
    enlist(ADDRESS, 3);
    for (int i = 0; i < 2; i++) {
        etcd_kill(&etcd);
        etcd_restart(&etcd);
        double begin = seconds();

        /* etcd gives the lease its whole TTL anew; beats must be back by then. */
        while (seconds() - begin < 5) {
            cr_assert(has(judge, KEY, ADDRESS), "after %g s", seconds() - begin);
            nap();
        }
    }
}

Test(registration, comes_back_after_an_outage_longer_than_its_ttl)
{
    double begin;

    enlist(ADDRESS, 2);
    etcd_kill(&etcd);
    begin = seconds();
    UNTIL(told(&story, "RL"), 4);
    cr_assert_eq(story.error, LIBSD_ETIMEDOUT);
    UNTIL(seconds() - begin > 4, 5);
    etcd_restart(&etcd);
    UNTIL(told(&story, "RLR"), 5);
    cr_assert(has(judge, KEY, ADDRESS));
}

Test(registration, comes_back_after_the_store_was_wiped)
{
    enlist(ADDRESS, 10);
    etcd_kill(&etcd);
    etcd_wipe(&etcd);
    etcd_restart(&etcd);
    UNTIL(has(judge, KEY, ADDRESS), 8);
}

Test(registration, is_completed_when_etcd_comes_up_later)
{
    libsd_register_options options = { .size = sizeof options, .timeout_ms = 300 };

    etcd_kill(&etcd);
    cr_assert_eq(libsd_register(sd, "user", "i1", ADDRESS, 3, &options), LIBSD_EUNAVAILABLE);
    etcd_restart(&etcd);
    UNTIL(has(judge, KEY, ADDRESS), 5);
}

Test(registration, frozen_etcd_does_not_lose_it_for_ever)
{
    enlist(ADDRESS, 2);
    etcd_freeze(&etcd);
    UNTIL(told(&story, "RL"), 4);
    etcd_thaw(&etcd);
    UNTIL(told(&story, "RLR"), 6);
    cr_assert(has(judge, KEY, ADDRESS));
}

/* ---- conflicts ---------------------------------------------------------- */

static int contend(libsd *handle, const char *address, int takeover, int timeout_ms)
{
    libsd_register_options options = { .size = sizeof options,
                                       .takeover = takeover,
                                       .timeout_ms = timeout_ms };

    return libsd_register(handle, "user", "i1", address, 10, &options);
}

Test(registration, live_owner_is_not_overwritten)
{
    char detail[300];
    double begin;

    enlist(ADDRESS, 3);
    begin = seconds();
    cr_assert_eq(contend(judge, OTHER, LIBSD_TAKEOVER_FAIL, 5000), LIBSD_ECONFLICT);
    cr_assert(seconds() - begin < 1);
    libsd_error_detail(judge, detail, sizeof detail);
    cr_assert(strstr(detail, ADDRESS) != NULL, "%s", detail);
    cr_assert_eq(contend(judge, OTHER, LIBSD_TAKEOVER_WAIT, 500), LIBSD_ECONFLICT);
    cr_assert(has(judge, KEY, ADDRESS));
    cr_assert_eq(libsd_deregister(judge, "user", "i1", 0), LIBSD_ENOTFOUND);
}

Test(registration, waiting_gets_the_key_when_its_owner_ends)
{
    double begin;

    enlist_other(2);
    kill_other();
    begin = seconds();
    cr_assert_eq(contend(judge, OTHER, LIBSD_TAKEOVER_WAIT, 8000), 0);
    cr_assert(seconds() - begin < 4.5);
    cr_assert(has(judge, KEY, OTHER));
}

Test(registration, force_overwrites_and_the_loser_waits)
{
    enlist(ADDRESS, 3);
    cr_assert_eq(contend(judge, OTHER, LIBSD_TAKEOVER_FORCE, 0), 0);
    cr_assert(has(judge, KEY, OTHER));
    UNTIL(told(&story, "RLC"), 2);
    cr_assert_eq(libsd_deregister(judge, "user", "i1", 0), 0);
    UNTIL(told(&story, "RLCR"), 2);
    cr_assert(has(judge, KEY, ADDRESS));
}

Test(registration, two_with_one_address_do_not_take_turns)
{
    int64_t lease;

    enlist(ADDRESS, 3);
    cr_assert_eq(contend(judge, ADDRESS, LIBSD_TAKEOVER_WAIT, 0), 0);
    UNTIL(told(&story, "RLC"), 2);
    lease = lease_of(KEY);
    double begin = seconds();

    while (seconds() - begin < 3) {
        cr_assert_eq(lease_of(KEY), lease);
        nap();
    }
}

Test(registration, value_without_lease_of_somebody_else_is_respected)
{
    put(judge, KEY, OTHER);
    cr_assert_eq(contend(sd, ADDRESS, LIBSD_TAKEOVER_WAIT, 300), LIBSD_ECONFLICT);
    cr_assert(has(judge, KEY, OTHER));
    put(judge, KEY, "{\"addr\":\"10.0.0.5:9090\",\"weight\":3}");
    cr_assert_eq(contend(sd, ADDRESS, LIBSD_TAKEOVER_WAIT, 300), 0, "our own address");
}

/* ---- many --------------------------------------------------------------- */

static void *enlist_some(void *arg)
{
    char instance[20];
    int failed = 0;

    for (int i = 0; i < 50; i++) {
        snprintf(instance, sizeof instance, "%ld-%d", (long)arg, i);
        failed += libsd_register(sd, "many", instance, ADDRESS, 10, NULL) != 0;
    }
    for (int i = 0; i < 50; i += 2) {
        snprintf(instance, sizeof instance, "%ld-%d", (long)arg, i);
        failed += libsd_deregister(sd, "many", instance, 0) != 0;
    }
    return failed ? arg : NULL;
}

static size_t many(void)
{
    libsd_kvs *kvs = NULL;
    size_t count;

    cr_assert_eq(libsd_list(judge, libsd_str("/service/many/"), 0, &kvs, 0), 0);
    count = libsd_kvs_count(kvs);
    libsd_kvs_free(kvs);
    return count;
}

Test(registration, threads_register_together_and_all_comes_back_after_a_loss)
{
    pthread_t threads[8];
    void *failed;

    for (long i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, enlist_some, (void *)(i + 1)), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &failed);
        cr_assert_null(failed);
    }
    cr_assert_eq(many(), 200);
    cr_assert_eq(libsd_lease_revoke(judge, lease_of("/service/many/1-1"), 0), 0);
    UNTIL(many() == 200, 2);
}

/* Beyond the first few, registrations of one service share a watch. */
Test(registration, shared_watch_notices_each_loss)
{
    char instance[20];
    char key[40];

    for (int i = 0; i < 40; i++) {
        snprintf(instance, sizeof instance, "n%02d", i);
        cr_assert_eq(libsd_register(sd, "many", instance, ADDRESS, 10, NULL), 0);
    }
    for (int i = 0; i < 40; i += 3) {
        snprintf(key, sizeof key, "/service/many/n%02d", i);
        cr_assert_eq(libsd_delete(judge, libsd_str(key), 0), 1);
        UNTIL(has(judge, key, ADDRESS), 2);
    }
    put(judge, "/service/many/foreign", OTHER);
    put(judge, "/service/many/n39", OTHER);
    UNTIL(has(judge, "/service/many/n39", ADDRESS), 2);
    cr_assert(has(judge, "/service/many/foreign", OTHER));
    /* Over a lost connection as well. */
    etcd_kill(&etcd);
    etcd_restart(&etcd);
    cr_assert_eq(libsd_delete(judge, libsd_str("/service/many/n38"), 0), 1);
    UNTIL(has(judge, "/service/many/n38", ADDRESS), 4);
    cr_assert_eq(libsd_deregister(sd, "many", NULL, 0), 0);
    cr_assert_eq(many(), 1);
}
