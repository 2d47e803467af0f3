/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Locks that are lost, and outages: told in time, nothing left behind.
 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "lock_scene.h"
#include "proxy.h"

TestSuite(lock_loss, .init = lock_scene_begin, .fini = lock_scene_end, .timeout = 90);

/* ---- lost --------------------------------------------------------------- */

Test(lock_loss, revoked_lease_deleted_key_and_foreign_write_are_told_at_once)
{
    struct lock_story story;
    char key[200];
    libsd_kvs *kvs = NULL;

    story_start(&story, 60, "H");
    lock_key_of(story.lock, key, sizeof key);
    cr_assert_eq(libsd_get(locks.judge, libsd_str(key), &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->create_revision, libsd_lock_revision(story.lock));
    cr_assert_eq(libsd_lease_revoke(locks.judge, libsd_kvs_at(kvs, 0)->lease, 0), 0);
    libsd_kvs_free(kvs);
    UNTIL(story_is(&story, "HL"), 5);
    cr_assert_not(libsd_lock_is_held(story.lock));
    cr_assert_eq(libsd_unlock(story.lock, 0), LIBSD_ELEASE);

    story_start(&story, 60, "H");
    lock_key_of(story.lock, key, sizeof key);
    cr_assert_eq(libsd_delete(locks.judge, libsd_str(key), 0), 1);
    UNTIL(story_is(&story, "HL"), 5);
    cr_assert_eq(story.error, LIBSD_ENOTFOUND);
    cr_assert_not(libsd_lock_is_held(story.lock));
    libsd_lock_close(story.lock);

    /* A key without a lease would be in the way for ever. */
    story_start(&story, 60, "H");
    lock_key_of(story.lock, key, sizeof key);
    put(locks.judge, key, "mine");
    UNTIL(story_is(&story, "HL"), 5);
    cr_assert_eq(story.error, LIBSD_ECONFLICT);
    UNTIL(lock_keys() == 0, 5);
    libsd_lock_close(story.lock);
}

Test(lock_loss, waiter_whose_key_is_deleted_queues_again)
{
    struct lock_story first;
    struct lock_story second;
    libsd_kvs *kvs = NULL;

    story_start(&first, 60, "H");
    story_start(&second, 60, "W");
    cr_assert_eq(libsd_list(locks.judge, libsd_str(LOCK_NAME "/"), 0, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 2);
    for (size_t i = 0; i < 2; i++) {
        const libsd_kv *kv = libsd_kvs_at(kvs, i);

        if (kv->create_revision != libsd_lock_revision(first.lock))
            cr_assert_eq(libsd_delete(locks.judge, kv->key, 0), 1);
    }
    libsd_kvs_free(kvs);
    UNTIL(lock_keys() == 2, 5);
    cr_assert_eq(libsd_unlock(first.lock, 0), 0);
    UNTIL(story_is(&second, "WH"), 5);
    cr_assert_eq(libsd_unlock(second.lock, 0), 0);
}

Test(lock_loss, silent_etcd_means_lost_by_our_own_clock)
{
    struct lock_story story;
    double begin;

    story_start(&story, 2, "H");
    etcd_freeze(&locks.etcd);
    begin = seconds();
    UNTIL(!libsd_lock_is_held(story.lock), 3);
    cr_expect(seconds() - begin < 2.2, "held for %g s without etcd", seconds() - begin);
    UNTIL(story_is(&story, "HL"), 2);
    cr_assert_eq(story.error, LIBSD_ETIMEDOUT);
    cr_assert_eq(libsd_unlock(story.lock, 300), LIBSD_ELEASE);
    etcd_thaw(&locks.etcd);
    UNTIL(lock_keys() == 0, 20);
}

static void stay_in_log(int level, const char *message, void *arg)
{
    (void)level;
    while (strstr(message, ": held") && __atomic_load_n((bool *)arg, __ATOMIC_SEQ_CST))
        nap();
}

static libsd *open_with_log(libsd_log_callback *callback, void *arg)
{
    libsd_options *options = NULL;
    libsd *handle = NULL;

    cr_assert_eq(libsd_options_new(&options), 0);
    cr_assert_eq(libsd_options_load(options, ""), 0);
    cr_assert_eq(libsd_options_set(options, "endpoints", locks.etcd.url), 0);
    libsd_options_set_log(options, callback, arg);
    cr_assert_eq(libsd_open(&handle, options), 0);
    libsd_options_free(options);
    return handle;
}

/* As when a whole process was stopped, and the asking thread is the first to
 * run again: here the thread that would end the holding stays in its log. */
Test(lock_loss, asking_looks_at_the_clock_itself)
{
    libsd_lock_options options = { .size = sizeof options, .ttl_s = 2 };
    struct lock_story story = { .mutex = PTHREAD_MUTEX_INITIALIZER };
    bool stays = true;
    libsd *other = open_with_log(stay_in_log, &stays);
    double begin = seconds();

    cr_assert_eq(libsd_lock_start(other, LOCK_NAME, &options, story_take, &story, &story.lock), 0);
    UNTIL(libsd_lock_is_held(story.lock), 5);
    UNTIL(!libsd_lock_is_held(story.lock), 5);
    cr_assert(seconds() - begin > 1, "held for %g s only", seconds() - begin);
    __atomic_store_n(&stays, false, __ATOMIC_SEQ_CST);
    UNTIL(story_is(&story, "HL"), 5);
    cr_assert_not(libsd_lock_is_held(story.lock));
    libsd_close(other);
}

Test(lock_loss, unlocking_without_etcd_is_bounded_and_made_good)
{
    libsd_mutex *mutex = lock_take_as(60);
    double begin = seconds();
    int rc;

    etcd_kill(&locks.etcd);
    rc = libsd_unlock(mutex, 500);
    cr_assert(rc == LIBSD_EUNAVAILABLE || rc == LIBSD_ETIMEDOUT, "%s", libsd_strerror(rc));
    cr_assert(seconds() - begin < 3);
    cr_assert_eq(libsd_lock(locks.sd, LOCK_NAME, 10, 500, &mutex), LIBSD_EUNAVAILABLE);
    etcd_restart(&locks.etcd);
    UNTIL(lock_keys() == 0, 20);
}

/* ---- outages ------------------------------------------------------------ */

Test(lock_loss, holder_and_waiter_outlive_a_restart)
{
    struct lock_story first;
    struct lock_story second;

    story_start(&first, 30, "H");
    story_start(&second, 30, "W");
    etcd_kill(&locks.etcd);
    etcd_restart(&locks.etcd);
    cr_assert(libsd_lock_is_held(first.lock));
    cr_assert(story_is(&first, "H") && story_is(&second, "W"));
    cr_assert_eq(libsd_unlock(first.lock, 10000), 0);
    UNTIL(story_is(&second, "WH"), 10);
    cr_assert_eq(libsd_unlock(second.lock, 0), 0);
}

Test(lock_loss, wiped_store_is_lost_for_the_holder_and_waited_for_anew)
{
    struct lock_story first;
    struct lock_story second;

    story_start(&first, 60, "H");
    story_start(&second, 60, "W");
    etcd_kill(&locks.etcd);
    etcd_wipe(&locks.etcd);
    etcd_restart(&locks.etcd);
    UNTIL(story_is(&first, "HL"), 30);
    UNTIL(story_is(&second, "WH"), 30);
    libsd_lock_close(first.lock);
    cr_assert_eq(libsd_unlock(second.lock, 0), 0);
}

Test(lock_loss, predecessor_that_left_out_of_sight_and_was_compacted_is_noticed)
{
    struct proxy proxy;
    struct etcd through = locks.etcd;
    libsd *other;
    struct lock_story first;
    struct lock_story second;

    proxy_start(&proxy, locks.etcd.url, NULL);
    memcpy(through.url, proxy.url, sizeof through.url);
    other = etcd_open(&through, NULL);
    story_start(&first, 60, "H");
    story_start_on(other, &second, 60, "W");
    proxy_freeze(&proxy);
    cr_assert_eq(libsd_unlock(first.lock, 0), 0);
    put(locks.sd, "/elsewhere", "x");
    etcd_compact(&locks.etcd, put(locks.sd, "/elsewhere", "y"));
    cr_assert(story_is(&second, "W"));
    proxy_thaw(&proxy);
    proxy_cut(&proxy);
    UNTIL(story_is(&second, "WH"), 20);
    libsd_close(other);
    proxy_end(&proxy);
}

Test(lock_loss, withdrawal_at_any_moment_leaves_no_key)
{
    struct proxy proxy;
    struct etcd through = locks.etcd;
    libsd *other;

    proxy_start(&proxy, locks.etcd.url, NULL);
    memcpy(through.url, proxy.url, sizeof through.url);
    other = etcd_open(&through, NULL);
    for (int i = 0; i < 30; i++) {
        libsd_mutex *mutex = NULL;

        cr_assert_eq(libsd_lock_start(other, LOCK_NAME, NULL, NULL, NULL, &mutex), 0);
        usleep((useconds_t)i * 200); /* another moment each time */
        proxy_cut(&proxy);
        libsd_lock_close(mutex);
        UNTIL(lock_keys() == 0, 20);
    }
    libsd_close(other);
    cr_assert_eq(lock_keys(), 0);
    proxy_end(&proxy);
}
