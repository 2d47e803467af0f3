/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Locks and elections as programs know them from etcd-cpp-apiv3; see
 * test_parity_kv.c.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lock_scene.h"

#define NAME "parity"

TestSuite(parity_lock, .init = lock_scene_begin, .fini = lock_scene_end, .timeout = 60);

static libsd_mutex *locked(libsd *by)
{
    libsd_mutex *mutex = NULL;

    cr_assert_eq(libsd_lock(by, NAME, 10, 20000, &mutex), 0);
    cr_assert(libsd_lock_is_held(mutex));
    return mutex;
}

Test(parity_lock, lock_and_unlock_leave_nothing)
{
    libsd_mutex *mutex = locked(locks.sd);
    libsd_slice key = libsd_lock_key(mutex);
    libsd_kvs *kvs = NULL;

    cr_assert(key.size > strlen(NAME) && memcmp(key.data, NAME "/", strlen(NAME) + 1) == 0);
    cr_assert_eq(libsd_get(locks.judge, key, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->create_revision, libsd_lock_revision(mutex));
    libsd_kvs_free(kvs);
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
    cr_assert_eq(libsd_list(locks.judge, libsd_str(NAME), 0, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 0);
    libsd_kvs_free(kvs);
}

Test(parity_lock, second_lock_waits_for_unlock)
{
    libsd_mutex *first = locked(locks.sd);
    libsd_mutex *second = NULL;

    cr_assert_eq(libsd_lock(locks.judge, NAME, 10, 300, &second), LIBSD_ETIMEDOUT);
    cr_assert_null(second);
    cr_assert_eq(libsd_trylock(locks.judge, NAME, 10, 0, &second), LIBSD_ECONFLICT);
    cr_assert_eq(libsd_unlock(first, 0), 0);
    cr_assert_eq(libsd_unlock(locked(locks.judge), 0), 0);
}

/* A process that dies with the lock. */
Test(parity_lock, second_lock_waits_for_the_lease_of_a_dead_one)
{
    int ready[2];
    char byte;
    double begin;
    libsd_mutex *mutex = NULL;
    pid_t child;

    cr_assert_eq(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        libsd *own = etcd_open(&locks.etcd, NULL);

        _exit(libsd_lock(own, NAME, 4, 10000, &mutex) == 0 && write(ready[1], "x", 1) == 1 ? 0 : 1);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    begin = seconds();
    cr_assert_eq(waitpid(child, NULL, 0), child);
    mutex = locked(locks.sd);
    cr_assert(seconds() - begin > 0.5 && seconds() - begin < 15, "%g s", seconds() - begin);
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
}

/* Longer than its lease would last. */
Test(parity_lock, lock_is_kept_alive)
{
    libsd_mutex *mutex = NULL;
    libsd_mutex *second = NULL;

    cr_assert_eq(libsd_lock(locks.sd, NAME, 2, 0, &mutex), 0);
    cr_assert_eq(libsd_lock(locks.judge, NAME, 2, 5000, &second), LIBSD_ETIMEDOUT);
    cr_assert(libsd_lock_is_held(mutex));
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
}

/* ---- under a lease of one's own ----------------------------------------- */

static int64_t grant(int64_t ttl_s)
{
    int64_t lease = 0;

    cr_assert_eq(libsd_lease_grant(locks.sd, ttl_s, &lease, NULL, 0), 0);
    return lease;
}

static bool is_alive(int64_t lease)
{
    return libsd_lease_ttl(locks.sd, lease, NULL, NULL, 0) == 0;
}

/* It is kept alive meanwhile, holds another key, too, and survives the lock. */
Test(parity_lock, lock_with_a_lease_leaves_the_lease)
{
    int64_t lease = grant(3);
    libsd_mutex *mutex = NULL;
    libsd_mutex *second = NULL;
    char key[40];

    cr_assert_eq(libsd_put(locks.sd, libsd_str("/beside"), libsd_str("x"), lease, NULL, 0), 0);
    cr_assert_eq(libsd_lock_with_lease(locks.sd, NAME, lease, 0, &mutex), 0);
    cr_assert(libsd_lock_is_held(mutex));
    snprintf(key, sizeof key, NAME "/%llx", (unsigned long long)lease);
    cr_assert_eq(libsd_lock_key(mutex).size, strlen(key));
    cr_assert(has(locks.judge, key, ""));
    cr_assert_eq(libsd_lock_with_lease(locks.sd, NAME, lease, 0, &second), LIBSD_ECONFLICT);
    cr_assert_eq(libsd_lock(locks.judge, NAME, 2, 5000, &second), LIBSD_ETIMEDOUT);
    cr_assert(libsd_lock_is_held(mutex));
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
    cr_assert(absent(locks.judge, key));
    cr_assert(has(locks.judge, "/beside", "x") && is_alive(lease));
    cr_assert_eq(libsd_unlock(locked(locks.judge), 0), 0);
}

/* One that waits gives its place up, and one whose lease ends is lost, or told
 * that it never will be held. */
Test(parity_lock, lock_with_a_lease_ends_with_it)
{
    int64_t lease = grant(60);
    libsd_mutex *first = locked(locks.judge);
    libsd_mutex *mutex = NULL;

    cr_assert_eq(libsd_lock_with_lease(locks.sd, NAME, lease, 500, &mutex), LIBSD_ETIMEDOUT);
    cr_assert(is_alive(lease));
    cr_assert_eq(libsd_unlock(first, 0), 0);
    first = locked(locks.judge);
    cr_assert_eq(libsd_unlock(first, 0), 0);
    UNTIL(libsd_lock_with_lease(locks.sd, NAME, lease, 0, &mutex) == 0, 10);
    cr_assert_eq(libsd_lease_revoke(locks.sd, lease, 0), 0);
    UNTIL(!libsd_lock_is_held(mutex), 10);
    cr_assert_eq(libsd_unlock(mutex, 0), LIBSD_ELEASE);
    UNTIL(libsd_lock_with_lease(locks.sd, NAME, lease, 0, &mutex) == LIBSD_ELEASE, 10);
    cr_assert_eq(libsd_lock_with_lease(locks.sd, NAME, 0, 0, &mutex), LIBSD_EINVAL);
}

static int states[6];

static void count_state(libsd_mutex *mutex, int state, int error, void *arg)
{
    (void)mutex;
    (void)error;
    (void)arg;
    __atomic_fetch_add(&states[state], 1, __ATOMIC_SEQ_CST);
}

static int seen(int state)
{
    return __atomic_load_n(&states[state], __ATOMIC_SEQ_CST);
}

Test(parity_lock, lock_is_waited_for_without_blocking)
{
    libsd_mutex *first = locked(locks.judge);
    libsd_mutex *mutex = NULL;

    cr_assert_eq(libsd_lock_start(locks.sd, NAME, NULL, count_state, NULL, &mutex), 0);
    UNTIL(seen(LIBSD_LOCK_WAITING) == 1, 10);
    cr_assert_eq(seen(LIBSD_LOCK_HELD), 0);
    cr_assert_eq(libsd_unlock(first, 0), 0);
    UNTIL(seen(LIBSD_LOCK_HELD) == 1, 10);
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
}

/* ---- many at once ------------------------------------------------------- */

enum {
    THREADS = 12,
    ROUNDS = 8
};

static int inside;
static int wrong;

/* With a put in between, which needs the thread that keeps the lock alive. */
static void *contend(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        libsd_mutex *mutex = NULL;
        bool fine = libsd_lock(locks.sd, NAME, 10, 30000, &mutex) == 0;

        if (fine) {
            fine = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST) == 1 &&
                   libsd_put(locks.sd, libsd_str("/between"), libsd_str("x"), 0, NULL, 0) == 0;
            __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
            fine = libsd_unlock(mutex, 0) == 0 && fine;
        }
        if (!fine)
            __atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
    }
    return arg;
}

Test(parity_lock, many_threads_lock_put_and_unlock)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, contend, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(wrong, 0);
}

/* ---- elections ---------------------------------------------------------- */

static bool leads(const char *value)
{
    libsd_kvs *kvs = NULL;
    bool same = false;

    if (libsd_leader(locks.judge, NAME, &kvs, 0) == 0) {
        libsd_slice got = libsd_kvs_at(kvs, 0)->value;

        same = got.size == strlen(value) && memcmp(got.data, value, got.size) == 0;
    }
    libsd_kvs_free(kvs);
    return same;
}

Test(parity_lock, campaign_leader_proclaim_resign)
{
    libsd_leadership *leadership = NULL;
    libsd_kvs *kvs = NULL;

    cr_assert_eq(libsd_leader(locks.judge, NAME, &kvs, 0), LIBSD_ENOTFOUND);
    cr_assert_eq(libsd_campaign(locks.sd, NAME, libsd_str("v1"), 10, 0, &leadership), 0);
    cr_assert(leads("v1"));
    cr_assert_eq(libsd_proclaim(leadership, libsd_str("v2"), 0), 0);
    cr_assert(leads("v2"));
    cr_assert_eq(libsd_resign(leadership, 0), 0);
    cr_assert_eq(libsd_leader(locks.judge, NAME, &kvs, 0), LIBSD_ENOTFOUND);
}

Test(parity_lock, campaign_with_a_lease_leaves_the_lease)
{
    int64_t lease = grant(60);
    libsd_leadership *leadership = NULL;

    cr_assert_eq(libsd_campaign_with_lease(locks.sd, NAME, libsd_str("v1"), lease, 0, &leadership),
                 0);
    cr_assert(leads("v1"));
    cr_assert_eq(libsd_proclaim(leadership, libsd_str("v2"), 0), 0);
    cr_assert(leads("v2"));
    cr_assert_eq(libsd_resign(leadership, 0), 0);
    cr_assert(is_alive(lease) && !leads("v2"));
}

Test(parity_lock, campaign_ends_with_its_timeout)
{
    libsd_leadership *first = NULL;
    libsd_leadership *second = NULL;
    double begin;

    cr_assert_eq(libsd_campaign(locks.sd, NAME, libsd_str("v1"), 10, 0, &first), 0);
    begin = seconds();
    cr_assert_eq(libsd_campaign(locks.judge, NAME, libsd_str("v2"), 10, 500, &second),
                 LIBSD_ETIMEDOUT);
    cr_assert(seconds() - begin >= 0.4 && seconds() - begin < 10);
    cr_assert(leads("v1"));
    cr_assert_eq(libsd_resign(first, 0), 0);
}

static struct {
    pthread_mutex_t mutex;
    char text[200];
} leaders = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void observe(int state, const libsd_kv *leader, int error, void *arg)
{
    size_t size;

    (void)error;
    (void)arg;
    pthread_mutex_lock(&leaders.mutex);
    size = strlen(leaders.text);
    if (state == LIBSD_LEADER_ELECTED)
        snprintf(leaders.text + size, sizeof leaders.text - size, "%.*s ", (int)leader->value.size,
                 (const char *)leader->value.data);
    else if (state == LIBSD_LEADER_NONE)
        snprintf(leaders.text + size, sizeof leaders.text - size, "nobody ");
    pthread_mutex_unlock(&leaders.mutex);
}

static bool observed(const char *text)
{
    bool found;

    pthread_mutex_lock(&leaders.mutex);
    found = strstr(leaders.text, text) != NULL;
    pthread_mutex_unlock(&leaders.mutex);
    return found;
}

Test(parity_lock, observer_is_told_of_each_proclamation)
{
    libsd_leadership *leadership = NULL;
    libsd_observer *observer = NULL;

    cr_assert_eq(libsd_observe(locks.judge, NAME, observe, NULL, &observer), 0);
    UNTIL(observed("nobody "), 10);
    cr_assert_eq(libsd_campaign(locks.sd, NAME, libsd_str("v1"), 10, 0, &leadership), 0);
    cr_assert_eq(libsd_proclaim(leadership, libsd_str("v2"), 0), 0);
    cr_assert_eq(libsd_proclaim(leadership, libsd_str("v3"), 0), 0);
    cr_assert_eq(libsd_resign(leadership, 0), 0);
    UNTIL(observed("nobody v1 v2 v3 nobody "), 10);
    libsd_observe_close(observer);
}
