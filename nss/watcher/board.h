/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the zones have in common: one table.
 *
 *     zone a -- model -- publish --+
 *     zone b -- model -- publish --+-- board -- table writer
 *
 * Rules:
 *  B1 The table is LIVE if all zones are that its header names; a zone that
 *     comes with a reload, and may never be listed, takes nothing from others.
 *  B2 A name is of the zone with the longest domain that it lies in; no other
 *     zone writes it or takes it out.
 *  B3 The header names a zone once all of the zone's first list is written, not
 *     before: until then its names are not ours, rather than unknown.
 *  B4 What lies in no zone goes when the header no longer names its zone.
 */
#ifndef ETCDSD_WATCHER_BOARD_H
#define ETCDSD_WATCHER_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "publish.h"

struct board {
    struct table_writer *table;
    struct publish *first; /* of the zones, in the order of the configuration */
    uint64_t dropped;      /* last given to the table */
    bool is_failing;       /* the zones of the header could not be set, which was logged */
    bool is_unsettled;     /* something failed: to be tried again */
    bool is_set;           /* the header once named all zones; before, it names those at start */
};

/* Adds a zone, or takes it out; board_settle() then sees to the table. */
void board_add(struct board *board, struct publish *publish);
void board_remove(struct board *board, struct publish *publish);

/* The zone that the name is of; NULL: none. */
struct publish *board_owner(const struct board *board, const char *name, size_t length);

/* Whether each zone once had a complete list. */
bool board_is_complete(const struct board *board);

/* Whether services wait for room. */
bool board_is_waiting(const struct board *board);

/* Whether etcd is out of any zone's sight. */
bool board_is_lost(const struct board *board);

/* After a change of a zone's is_live. */
void board_set_state(const struct board *board);

/* Gives the table the sum of what was dropped, and the revision up to which
 * all zones are written. */
void board_count(struct board *board);

/* When all zones are complete and no service waits: shows a new table, or its new zones, and takes
 * out what is not theirs (B3, B4). */
void board_settle(struct board *board);

/* All zones are full of a snapshot whose content was etcd's age_s seconds ago
 * (table_writer_publish_old() has the details): shows it in a new table. */
void board_show_old(struct board *board, int64_t age_s);

#endif
