/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Following etcd: libsd's events change the model, and the model goes to the
 * table where it is whole.
 *
 *            LIST_BEGIN           LIST_END
 *   EMPTY ---------------> FIRST ----------> FOLLOWING <----+
 *   (an adopted table        ^ |                 |          | LIST_END:
 *    answers as it was)      +-+ LIST_BEGIN      | LIST_BEGIN   sweep, write
 *                                                v          |
 *                                             AGAIN --------+
 *
 *   PUT, DELETE  change the model in every state
 *   COMMIT       writes the dirty services in FOLLOWING only: between
 *                LIST_BEGIN and LIST_END the model is half old, half new
 *   DISCONNECTED, CONNECTED  change the table's state word only
 */
#ifndef ETCDSD_WATCHER_MIRROR_H
#define ETCDSD_WATCHER_MIRROR_H

#include <stdbool.h>
#include <stdint.h>

#include "libsd.h"
#include "model.h"
#include "publish.h"
#include "zone.h"

struct mirror {
    const struct zone *zone;
    struct model *model;
    struct publish *publish;

    bool is_connected;
    bool is_listing;
    bool is_current;     /* a list was completed since the table's content was in doubt */
    int error;           /* that was last told of a lost connection */
    int64_t lost_ms;     /* monotonic; 0: connected */
    int64_t pending_ms;  /* first COMMIT not yet written; 0: none */
    int64_t revision;    /* of the last COMMIT or LIST_END */
    bool is_whole;       /* no PUT or DELETE came since then */
    int64_t begun_ms;    /* of the list that runs */
    int64_t progress_ms; /* last line about it */
    uint64_t listed;     /* instances so far */
    bool has_ended;      /* nothing more will come: the daemon must end */
    uint64_t events;
    uint64_t outside;   /* addresses were met so often that are not allowed */
    uint64_t oversized; /* and values that are too large */
};

/* The watch's callback; arg: a struct mirror. */
void mirror_event(const libsd_event *event, void *arg);

/* After each round of callbacks: writes what is whole. */
void mirror_flush(struct mirror *mirror);

/* Once a second: progress, and what failed before. */
void mirror_tick(struct mirror *mirror);

/* The host's addresses changed: limits of all services are made anew. */
void mirror_rebalance(struct mirror *mirror);

#endif
