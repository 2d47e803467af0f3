/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * From the model to the table: dirty services are written, and what the table
 * can't take is tried again, never thrown away.
 *
 * Rules:
 *  P1 A new table is shown only when it holds all of a complete list, or all
 *     of a snapshot of one, of each zone that is not set aside (B5).
 *  P2 An error never takes anything out of the table: a service that can't be
 *     written stays there as it was.
 *  P3 What is in a table that was adopted is younger than any snapshot: nothing
 *     that a snapshot brought back is written there before a list is believed.
 */
#ifndef ETCDSD_WATCHER_PUBLISH_H
#define ETCDSD_WATCHER_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "localnet.h"
#include "model.h"
#include "writer.h"
#include "zone.h"

struct board;

struct publish {
    struct publish *next; /* zone on the board */
    struct board *board;
    struct model *model;
    struct table_writer *table;
    const struct zone *zone;
    const struct localnet *net;
    const struct settings *says;   /* of the zone */
    const struct config *services; /* that say something else of themselves; NULL: none */

    bool is_live;                /* connected, and what the model holds is etcd's */
    uint64_t held;               /* instances that etcd's list lacked, and the model keeps */
    bool is_lost;                /* etcd is out of sight */
    bool is_named;               /* the table's header names the zone */
    bool is_known;               /* the table has content of it, however old */
    bool is_apart;               /* set aside (B5) */
    int error;                   /* why etcd is out of sight, LIBSD_E* */
    int64_t lost_s;              /* monotonic: since when */
    int64_t true_s;              /* monotonic: when it was live last; 0: not yet */
    bool is_short;               /* services wait for room, which was logged at told_s */
    int64_t told_s;              /* monotonic */
    bool is_complete;            /* the model once held all of a list */
    bool is_older;               /* than the table: the model holds some of a snapshot (P3) */
    int64_t revision;            /* last given to the table */
    uint64_t cluster;            /* id of the one that was listed last */
    uint64_t unnamed;            /* instances without a label of their own were met so often */
    uint64_t refused;            /* services were refused so often */
    uint64_t elsewhere;          /* services were met so often whose name is another zone's */
    struct table_instance *rows; /* room for the service at hand */
    uint32_t row_capacity;
    char (*labels)[TABLE_MAX_LABEL + 1]; /* of its instances that are not exact */
    uint32_t label_capacity;
};

/* Room that later calls use is freed; model, table and zone are the caller's. */
void publish_free(struct publish *publish);

/* Writes the dirty services.  revision: up to which the model is true. */
void publish_changes(struct publish *publish, int64_t revision);

/* In the middle of a list: writes what nobody can see yet, so that the time
 * between the last page and publication is short.  Does nothing to a table
 * that is published.  A list comes in key order, so the youngest dirty service
 * is left for later: more of its instances may be on their way. */
void publish_ahead(struct publish *publish);

/* A list is complete: takes out what only the table has, and shows a new
 * table if no zone is waited for (P1).  Services must be dirty that the table may not have. */
void publish_list(struct publish *publish, int64_t revision);

/* Tries again what failed.  To be called once a second, with a model that is
 * not in the middle of a list. */
void publish_retry(struct publish *publish);

#endif
