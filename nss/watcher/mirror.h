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
 *   AUDIT_KEY    like PUT; all from AUDIT_BEGIN to AUDIT_END like a list, in
 *                which the watch goes on: the model stays what the table may say
 *   DISCONNECTED, CONNECTED  change the table's state word only
 *
 * A list that lacks more than half of more than MIRROR_FEW instances that were
 * there before, none of them deleted one by one, may be that of another cluster
 * or of a store that was wiped.  It is believed when a second list, at least
 * confirm_loss_s later, says the same.  Until then what it lacks is kept, what it
 * has is written, and the table is DISCONNECTED: its content is in doubt.  A table
 * that was adopted stays as it is until then (P3 of publish.h): what the snapshot
 * has besides may have been gone already.
 *
 *   FOLLOWING, AGAIN --LIST_END: a loss--> HELD --confirm_loss_s--> asks for a list
 *        ^                                  |                             |
 *        +---- LIST_END: it is all there ---+------ LIST_END: still so: sweep
 */
#ifndef ETCDSD_WATCHER_MIRROR_H
#define ETCDSD_WATCHER_MIRROR_H

#include <stdbool.h>
#include <stdint.h>

#include "libsd.h"
#include "model.h"
#include "publish.h"
#include "zone.h"

#define MIRROR_FEW 10 /* so many may go at once */

struct mirror {
    const struct zone *zone;
    struct model *model;
    struct publish *publish;
    uint32_t confirm_loss_s; /* 0: each list is believed */

    bool is_connected;
    bool is_listing;
    bool is_auditing;
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

    uint64_t known;  /* instances before the list that runs, or before the loss */
    uint64_t held;   /* instances that the last list lacked, kept in spite of it */
    int64_t held_ms; /* since when; 0: none are */
    int64_t ask_ms;  /* when a second list is asked for */

    uint64_t events, lists, outages;
    int64_t event_at;   /* time(2) of the last event; 0: none */
    uint64_t outside;   /* addresses were met so often that are not allowed */
    uint64_t oversized; /* and values that are too large */
};

/* The watch's callback; arg: a struct mirror. */
void mirror_event(const libsd_event *event, void *arg);

/* After each round of callbacks: writes what is whole. */
void mirror_flush(struct mirror *mirror);

/* Once a second: progress, and what failed before. */
void mirror_tick(struct mirror *mirror);

/* Once a second: whether a second list is wanted now.  The owner of the watch
 * then opens it anew. */
bool mirror_wants_list(struct mirror *mirror);

/* Before any event: an instance that a snapshot has.  key: without the zone's
 * prefix.  Returns 0 or -ENOMEM. */
int mirror_restore(struct mirror *mirror, const char *key, size_t key_length,
                   const struct model_value *value);

/* That was all of it: writes it to a table that is not shown yet, if it is
 * anything (B3: what the snapshot knows nothing of is not empty, but unknown).
 * One that was adopted goes on as it is until a list is believed: the snapshot then
 * only tells how much was known. */
void mirror_restored(struct mirror *mirror, uint64_t cluster, int64_t revision);

/* The host's addresses changed: limits of all services are made anew. */
void mirror_rebalance(struct mirror *mirror);

#endif
