/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Locks among threads, callbacks and forks.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lock_scene.h"

TestSuite(lock_threads, .init = lock_scene_begin, .fini = lock_scene_end, .timeout = 90);

/* A callback that gives back what it gets, and begins anew. */
static struct {
    int rounds;
    int blocking_rc;
} relay;

static void run_relay(libsd_mutex *mutex, int state, int error, void *arg)
{
    libsd_mutex *next = NULL;

    (void)error;
    if (state == LIBSD_LOCK_HELD) {
        relay.blocking_rc = libsd_unlock(mutex, 0);
        libsd_lock_release(mutex);
        libsd_lock_release(mutex);
    } else if (state == LIBSD_LOCK_RELEASED) {
        libsd_lock_close(mutex);
        if (relay.rounds < 20)
            libsd_lock_start(locks.sd, LOCK_NAME, NULL, run_relay, arg, &next);
        __atomic_fetch_add(&relay.rounds, 1, __ATOMIC_SEQ_CST);
    }
}

Test(lock_threads, callbacks_may_release_close_and_start_but_not_block)
{
    libsd_mutex *mutex = NULL;

    cr_assert_eq(libsd_lock_start(locks.sd, LOCK_NAME, NULL, run_relay, NULL, &mutex), 0);
    UNTIL(__atomic_load_n(&relay.rounds, __ATOMIC_SEQ_CST) == 21, 30);
    cr_assert_eq(relay.blocking_rc, LIBSD_EDEADLOCK);
    UNTIL(lock_keys() == 0, 5);
}

static void *release_often(void *arg)
{
    for (int i = 0; i < 10; i++)
        libsd_lock_release(arg);
    return NULL;
}

static void *lock_and_give_up(void *arg)
{
    libsd_mutex *mutex = NULL;

    for (int i = 0; i < 5; i++) {
        if (libsd_lock(locks.sd, LOCK_NAME, 10, 5 + (int)(intptr_t)arg * 7, &mutex) == 0)
            libsd_unlock(mutex, 0);
    }
    return NULL;
}

Test(lock_threads, ten_threads_at_once_release_lock_and_give_up)
{
    pthread_t threads[20];
    struct lock_story story;

    story_start(&story, 10, "H");
    for (intptr_t i = 0; i < 10; i++) {
        pthread_create(&threads[i], NULL, release_often, story.lock);
        pthread_create(&threads[10 + i], NULL, lock_and_give_up, (void *)i);
    }
    for (int i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    UNTIL(story_is(&story, "HR"), 10);
    libsd_lock_close(story.lock);
    UNTIL(lock_keys() == 0, 10);
}

Test(lock_threads, closing_the_handle_frees_what_is_held_and_waited_for)
{
    libsd *other = etcd_open(&locks.etcd, NULL);
    struct lock_story stories[6];
    struct lock_story next;
    double begin;

    for (int i = 0; i < 6; i++)
        story_start_on(other, &stories[i], 60, i ? "W" : "H");
    story_start(&next, 60, "W");
    begin = seconds();
    libsd_close(other);
    cr_assert(seconds() - begin < 2.5);
    for (int i = 0; i < 6; i++)
        cr_assert(story_is(&stories[i], i ? "W" : "H"));
    UNTIL(story_is(&next, "WH"), 5);
    cr_assert_eq(lock_keys(), 1);
    cr_assert_eq(libsd_unlock(next.lock, 0), 0);
    cr_assert_eq(lock_keys(), 0);
}

Test(lock_threads, forked_child_does_not_hold_what_its_parent_holds)
{
    libsd_mutex *mutex = lock_take_as(10);
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        bool right =
            libsd_lock_is_held(mutex) == 0 && libsd_lock_release(mutex) == LIBSD_EFORKED &&
            libsd_unlock(mutex, 0) == LIBSD_EFORKED &&
            libsd_lock_start(locks.sd, LOCK_NAME, NULL, NULL, NULL, &mutex) == LIBSD_EFORKED;

        _exit(right ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    cr_assert(libsd_lock_is_held(mutex));
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
}

Test(lock_threads, bad_arguments_are_refused)
{
    libsd_lock_options options = { .size = 1 };
    libsd_mutex *mutex = NULL;

    cr_assert_eq(libsd_lock(NULL, LOCK_NAME, 1, 0, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock(locks.sd, "", 1, 0, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock(locks.sd, NULL, 1, 0, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock(locks.sd, LOCK_NAME, -1, 0, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock(locks.sd, LOCK_NAME, 1, -1, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock(locks.sd, LOCK_NAME, 1, 0, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock_start(locks.sd, LOCK_NAME, &options, NULL, NULL, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_unlock(NULL, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock_release(NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock_is_held(NULL), 0);
    libsd_lock_close(NULL);
}
