/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One thread of the application waiting for the I/O thread.
 */
#include "wait.h"

#include <time.h>

void waiter_init(struct waiter *waiter, void (*free_waiter)(struct waiter *))
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waiter->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&waiter->mutex, NULL);
    waiter->references = 2;
    waiter->done = false;
    waiter->free = free_waiter;
}

void waiter_drop(struct waiter *waiter)
{
    bool last;

    pthread_mutex_lock(&waiter->mutex);
    last = --waiter->references == 0;
    pthread_mutex_unlock(&waiter->mutex);
    if (!last)
        return;
    pthread_cond_destroy(&waiter->changed);
    pthread_mutex_destroy(&waiter->mutex);
    waiter->free(waiter);
}

void waiter_finish(struct waiter *waiter, const struct failure *failure)
{
    pthread_mutex_lock(&waiter->mutex);
    waiter->failure = *failure;
    waiter->done = true;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->mutex);
}

bool waiter_wait(struct waiter *waiter, int64_t deadline_ns)
{
    struct timespec until = { .tv_sec = deadline_ns / S, .tv_nsec = deadline_ns % S };
    int error = 0;
    bool done;

    pthread_mutex_lock(&waiter->mutex);
    while (!waiter->done && error == 0)
        error = pthread_cond_timedwait(&waiter->changed, &waiter->mutex, &until);
    done = waiter->done;
    pthread_mutex_unlock(&waiter->mutex);
    return done;
}
