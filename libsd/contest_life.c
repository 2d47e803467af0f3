/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Contenders come and go: made by any thread, begun and ended on the I/O
 * thread.  What becomes of them in between is contest.c's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "contest.h"
#include "internal.h"

static void mutex_deliver(struct owner *owner, const struct record *record)
{
    struct libsd_mutex *mutex = container_of(owner, struct libsd_mutex, owner);

    mutex->callback(mutex, record->type, record->error, mutex->arg);
}

static void mutex_free(struct owner *owner)
{
    struct libsd_mutex *mutex = container_of(owner, struct libsd_mutex, owner);

    free(mutex->prefix);
    free(mutex->value);
    free(mutex->key);
    buffer_free(&mutex->before_key);
    free(mutex);
}

struct libsd_mutex *contest_new(struct libsd *sd, const char *name, libsd_slice value)
{
    struct libsd_mutex *mutex = calloc(1, sizeof *mutex);

    if (!mutex)
        return NULL;
    owner_init(&mutex->owner, mutex_deliver, mutex_free);
    mutex->sd = mutex->call.sd = mutex->keeper.sd = sd;
    mutex->value = malloc(value.size ? value.size : 1);
    if (!mutex->value || asprintf(&mutex->prefix, "%s/", name) < 0) {
        mutex->prefix = NULL;
        owner_drop(&mutex->owner);
        return NULL;
    }
    if (value.size)
        memcpy(mutex->value, value.data, value.size);
    mutex->value_size = value.size;
    contest_init(mutex);
    return mutex;
}

/* Two would share one key. */
static bool is_doubled(const struct libsd_mutex *mutex)
{
    const struct libsd_mutex *other;

    LIST_FOREACH(other, &mutex->sd->contests, link)
    {
        if (other != mutex && other->borrowed == mutex->borrowed && other->phase != PHASE_OVER &&
            strcmp(other->prefix, mutex->prefix) == 0)
            return true;
    }
    return false;
}

void contest_begin(struct libsd_mutex *mutex)
{
    struct failure failure;

    LIST_INSERT_HEAD(&mutex->sd->contests, mutex, link);
    mutex->begun = true;
    mutex->phase = PHASE_LEASE;
    if (!mutex->borrowed) {
        keeper_start(&mutex->keeper);
    } else if (is_doubled(mutex)) {
        failure_set(&failure, LIBSD_ECONFLICT, "%s: lease %lld waits for it or has it already",
                    mutex->prefix, (long long)mutex->borrowed);
        contest_fail(mutex, &failure);
    } else {
        keeper_adopt(&mutex->keeper, mutex->borrowed);
    }
}

void contests_end(struct libsd *sd, int timeout_ms)
{
    struct libsd_mutex *mutex;
    struct failure closed;

    failure_set(&closed, LIBSD_ECLOSED, "the handle is being closed");
    LIST_FOREACH(mutex, &sd->contests, link)
    {
        contest_answer(mutex, &closed);
        if (mutex->phase == PHASE_OVER)
            continue;
        mutex->closing = true;
        sd->closing++;
        contest_leave_until(mutex, now_ns() + timeout_ms * MS);
    }
}

void contests_free(struct libsd *sd)
{
    struct libsd_mutex *mutex;

    while ((mutex = LIST_FIRST(&sd->contests)))
        contest_retire(mutex);
}
