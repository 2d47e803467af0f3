/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keeping a lease alive that the application has from elsewhere.
 *
 *   start ──▶ ALIVE ◀──renewed──▶ LATE
 *     │         │  the TTL passed   │
 *     └─────────┴──gone, says etcd──┴──▶ GONE
 */
#include "keepalive.h"

#include <stdlib.h>

#include "internal.h"
#include "keeper.h"

struct libsd_keepalive {
    struct owner owner; /* first: what the queue knows of us */
    struct libsd *sd;
    LIST_ENTRY(libsd_keepalive) link;
    int64_t lease;
    libsd_keepalive_callback *callback;
    void *arg;
    struct task start;
    struct task stop;
    struct keeper keeper;
    int told; /* enum libsd_keepalive_state */
};

/* On the dispatcher. */
static void deliver(struct owner *owner, const struct record *record)
{
    struct libsd_keepalive *keepalive = container_of(owner, struct libsd_keepalive, owner);

    keepalive->callback(keepalive->lease, record->type, record->error, keepalive->arg);
}

static void keepalive_free(struct owner *owner)
{
    free(container_of(owner, struct libsd_keepalive, owner));
}

/* ---- I/O thread --------------------------------------------------------- */

/* Without memory it is told at the next occasion: the next beat, or never if
 * there is none. */
static void tell(struct libsd_keepalive *keepalive, int state, int error)
{
    struct item *item;

    if (keepalive->told == state || !keepalive->callback)
        return;
    item = item_new(&keepalive->owner);
    if (!item || !item_note(item, state, 0, error, NULL)) {
        item_free(item);
        return;
    }
    keepalive->told = state;
    queue_add(keepalive->sd, item);
}

static void on_alive(struct keeper *keeper)
{
    tell(container_of(keeper, struct libsd_keepalive, keeper), LIBSD_KEEPALIVE_ALIVE, 0);
}

static void on_late(struct keeper *keeper)
{
    tell(container_of(keeper, struct libsd_keepalive, keeper), LIBSD_KEEPALIVE_LATE,
         LIBSD_ETIMEDOUT);
}

static void on_gone(struct keeper *keeper)
{
    tell(container_of(keeper, struct libsd_keepalive, keeper), LIBSD_KEEPALIVE_GONE, LIBSD_ELEASE);
}

static void start_task(struct task *task)
{
    struct libsd_keepalive *keepalive = container_of(task, struct libsd_keepalive, start);

    LIST_INSERT_HEAD(&keepalive->sd->keepalives, keepalive, link);
    keeper_adopt(&keepalive->keeper, keepalive->lease);
}

static void stop_task(struct task *task)
{
    struct libsd_keepalive *keepalive = container_of(task, struct libsd_keepalive, stop);

    keeper_stop(&keepalive->keeper);
    LIST_REMOVE(keepalive, link);
    owner_drop(&keepalive->owner);
}

void keepalives_end(struct libsd *sd)
{
    struct libsd_keepalive *keepalive;

    while ((keepalive = LIST_FIRST(&sd->keepalives)))
        stop_task(&keepalive->stop);
}

/* ---- application -------------------------------------------------------- */

int libsd_keepalive_start(libsd *sd, int64_t lease, libsd_keepalive_callback *callback, void *arg,
                          libsd_keepalive **keepalive)
{
    struct libsd_keepalive *made;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (!keepalive || lease <= 0)
        return LIBSD_EINVAL;
    *keepalive = NULL;
    made = calloc(1, sizeof *made);
    if (!made)
        return LIBSD_ENOMEM;
    owner_init(&made->owner, deliver, keepalive_free);
    made->sd = made->keeper.sd = sd;
    made->lease = lease;
    made->callback = callback;
    made->arg = arg;
    made->start.run = start_task;
    made->stop.run = stop_task;
    made->keeper.on_alive = on_alive;
    made->keeper.on_late = on_late;
    made->keeper.on_gone = on_gone;
    /* Before the start: a callback may want to close it. */
    *keepalive = made;
    if (loop_post(&sd->loop, &made->start))
        return 0;
    *keepalive = NULL;
    owner_drop(&made->owner);
    return LIBSD_ECLOSED;
}

void libsd_keepalive_close(libsd_keepalive *keepalive)
{
    /* In a forked child it is the parent's memory. */
    if (!keepalive || handle_check(keepalive->sd) < 0)
        return;
    owner_close(keepalive->sd, &keepalive->owner);
    /* A handle that is being closed ends it itself. */
    loop_post(&keepalive->sd->loop, &keepalive->stop);
}
