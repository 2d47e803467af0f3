/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One who is told of a service's changes.
 *
 *   catalog ──reserve──▶ a free change                     (may fail)
 *           ──tell─────▶ batch: changes, some undecided    (can't fail)
 *           ──flush────▶ changes, up to the first undecided one, and as many
 *                        records in the queue: the dispatcher takes one
 *                        change for each
 *
 * The changes wait here and not in the queue's items because they hold
 * references: whoever ends the listener drops them.  Undecided ones wait for
 * etcd's word on why a key was deleted; see inquiry.h.
 */
#ifndef LIBSD_DISCOVERY_IMPL_H
#define LIBSD_DISCOVERY_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "loop.h"
#include "peer.h"
#include "queue.h"

struct catalog;

struct change {
    STAILQ_ENTRY(change) link;
    LIST_ENTRY(change) asked; /* if undecided */
    bool undecided;
    int type;
    int reason;
    int error;
    int64_t revision;
    struct peer *before;
    struct peer *now;
};

STAILQ_HEAD(changes, change);
LIST_HEAD(listeners, libsd_discovery);

struct libsd_discovery {
    struct owner owner; /* first: what the queue knows of us */
    struct libsd *sd;
    struct catalog *catalog;
    libsd_change_callback *callback;
    void *arg;
    struct task start;
    struct task stop;

    pthread_mutex_t mutex;
    struct changes changes; /* flushed and not yet delivered */

    /* The I/O thread. */
    LIST_ENTRY(libsd_discovery) handle_link;
    LIST_ENTRY(libsd_discovery) link; /* in its catalog's, once joined */
    bool joined;
    bool synced; /* was told SYNCED */
    bool blind;  /* was told OUT_OF_SIGHT */
    struct timer retry;
    struct change *spare;
    struct changes batch; /* told and not yet flushed */
};

/* On the I/O thread.  Makes sure that one listener_tell() succeeds. */
bool listener_reserve(struct libsd_discovery *listener);
struct change *listener_tell(struct libsd_discovery *listener, const struct change *change);
void listener_flush(struct libsd_discovery *listener);
/* Drops what was told and not flushed. */
void listener_forget(struct libsd_discovery *listener);

/* Ends all that are left. */
void discoveries_end(struct libsd *sd);

#endif
