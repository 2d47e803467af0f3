/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the zones have in common: one table.
 *
 *     zone a -- model -- publish --+
 *     zone b -- model -- publish --+-- board -- table writer
 *
 * Rules:
 *  B1 The table is LIVE if all zones are that its header names, but for those
 *     set aside; a zone that comes with a reload, and may never be listed, takes
 *     nothing from others.
 *  B2 A name is of the zone with the longest domain that it lies in; no other
 *     zone writes it or takes it out.
 *  B3 The header names a zone once all of the zone's first list is written, not
 *     before: until then its names are not ours, rather than unknown.
 *  B4 What lies in no zone goes when the header no longer names its zone.
 *  B5 A zone that etcd does not show us while it shows us another (its prefix is
 *     denied, say) is set aside: nobody waits for it.  What the table has of it
 *     goes on answering for max-stale.  If there is nothing, or after that, the
 *     header marks it as not ready: its names are "try again", never unknown.
 *
 *                  no list yet, or older than max-stale
 *     ready ---------------------------------------------> not ready
 *       ^                                                     |
 *       +---------------- its list, in a new file ------------+
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
    uint32_t unready;      /* zones that the header marks so, bit n: zone n */
    int64_t old_s;         /* monotonic: when that was etcd's which was there before we were;
                              INT64_MIN: nobody knows */
    uint32_t max_stale_s;  /* 0: for ever */
    bool is_set;           /* the header once named all zones; before, it names those at start */
};

/* Adds a zone, or takes it out; board_settle() then sees to the table. */
void board_add(struct board *board, struct publish *publish);
void board_remove(struct board *board, struct publish *publish);

/* The zone that the name is of; NULL: none. */
struct publish *board_owner(const struct board *board, const char *name, size_t length);

/* After all zones of the start were added: which of them an adopted table
 * knows, and how old that is. */
void board_begin(struct board *board);

/* Whether the header says that the zone's names are answered or denied. */
bool board_is_ready(const struct board *board, const struct publish *publish);

/* Once a second: sets zones aside and takes them back (B5). */
void board_tick(struct board *board);

/* Whether services wait for room. */
bool board_is_waiting(const struct board *board);

/* Whether etcd is out of any zone's sight. */
bool board_is_lost(const struct board *board);

/* After a change of a zone's is_live. */
void board_set_state(const struct board *board);

/* Gives the table the sum of what was dropped, and the revision up to which
 * all zones are written. */
void board_count(struct board *board);

/* When all zones but those set aside are complete, and no service waits: shows a
 * new table, or its new zones, and takes out what is not theirs (B3, B4). */
void board_settle(struct board *board);

/* Zones that are known are full of a snapshot whose content was etcd's age_s
 * seconds ago (table_writer_publish_old() has the details): shows it in a new
 * table, in which the others are not ready. */
void board_show_old(struct board *board, int64_t age_s);

#endif
