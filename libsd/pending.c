/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Waiting for registrations; see pending.h.
 */
#include "pending.h"

#include <stdlib.h>

#include "group.h"
#include "internal.h"

static void pending_free(struct waiter *waiter)
{
    struct pending *pending = container_of(waiter, struct pending, waiter);
    struct registration *registration;

    while ((registration = TAILQ_FIRST(&pending->added))) {
        TAILQ_REMOVE(&pending->added, registration, link);
        owner_drop(&registration->owner);
    }
    free(pending->service);
    free(pending->instance);
    free(pending->metadata);
    free(pending->address);
    free(pending);
}

struct pending *pending_new(struct libsd *sd, int timeout_ms, void (*run)(struct task *))
{
    struct pending *pending = calloc(1, sizeof *pending);

    if (!pending)
        return NULL;
    waiter_init(&pending->waiter, pending_free);
    TAILQ_INIT(&pending->added);
    pending->sd = sd;
    pending->task.run = run;
    pending->left = 1; /* until all have joined */
    pending->deadline_ns = now_ns() + (timeout_ms ? timeout_ms : sd->options.timeout_ms) * MS;
    return pending;
}

int pending_run(struct pending *pending)
{
    struct libsd *sd = pending->sd;
    struct failure failure = { 0 };
    bool detached = pending->detached;

    if (!loop_post(&sd->loop, &pending->task)) {
        failure_set(&failure, LIBSD_ECLOSED, "the handle is being closed");
        waiter_drop(&pending->waiter);
    } else if (!detached) {
        if (waiter_wait(&pending->waiter, pending->deadline_ns + WAIT_GRACE_NS))
            failure = pending->waiter.failure;
        else
            failure_set(&failure, LIBSD_ETIMEDOUT, "the I/O thread does not answer");
    }
    waiter_drop(&pending->waiter);
    return failure.code < 0 ? handle_fail(sd, &failure) : 0;
}

void pending_end(struct pending *pending, const struct failure *failure)
{
    timer_stop(&pending->timer);
    waiter_finish(&pending->waiter, failure);
    waiter_drop(&pending->waiter);
}

void pending_join(struct pending *pending, struct registration *registration, int code)
{
    struct failure superseded;

    failure_set(&superseded, code, "another call about %s came meanwhile", registration->key);
    registration_answer(registration, &superseded);
    if (pending->detached)
        return;
    registration->pending = pending;
    pending->left++;
}

/* What stands in the way, as far as is known. */
static void time_is_up(const struct group *group, struct failure *failure)
{
    if (group->txn.active && libsd_error_is_retriable(group->txn.failure.code))
        *failure = group->txn.failure;
    else if (group->call.active && libsd_error_is_retriable(group->call.failure.code))
        *failure = group->call.failure;
    else if (libsd_error_is_retriable(group->failure.code))
        *failure = group->failure;
}

/* One that waits no longer; the work itself goes on. */
static void release(struct pending *pending, struct registration *registration,
                    struct failure *failure)
{
    registration->pending = NULL;
    registration->fresh = false;
    if (registration->state != LIBSD_CONFLICTED || pending->conflict.code == 0) {
        if (failure->code != LIBSD_ECONFLICT)
            time_is_up(registration->group, failure);
        return;
    }
    *failure = pending->conflict;
    if (pending->adds)
        registration_retire(registration);
}

static void timeout(struct timer *timer)
{
    struct pending *pending = container_of(timer, struct pending, timer);
    struct failure failure;
    struct group *group;

    failure_set(&failure, LIBSD_ETIMEDOUT, "not done in time");
    LIST_FOREACH(group, &pending->sd->groups, link)
    {
        struct registration *registration = TAILQ_FIRST(&group->registrations);

        while (registration) {
            struct registration *following = TAILQ_NEXT(registration, link);

            if (registration->pending == pending)
                release(pending, registration, &failure);
            registration = following;
        }
    }
    pending_end(pending, &failure);
}

void pending_wait(struct pending *pending)
{
    if (--pending->left == 0) {
        pending_end(pending, &pending->failure);
        return;
    }
    pending->timer.fire = timeout;
    timer_start(&pending->sd->loop, &pending->timer, pending->deadline_ns - now_ns());
}
