/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The words of a table's header that its writer sets: what it answers for, how
 * true its content is and since when, who writes it.  Geometry is file.h's.
 */
#ifndef ETCDSD_TABLE_HEADER_H
#define ETCDSD_TABLE_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

/* The zones as each file of one writer says them. */
struct header_zones {
    char names[TABLE_ZONES_BYTES]; /* as in the header */
    uint64_t tails[TABLE_MAX_ZONES];
    size_t bytes; /* of the names in use */
    uint32_t count;
    uint32_t unready; /* bit n: zone n is not ready */
};

/* Returns 0 or -EINVAL: too many, or one is no domain in lower case. */
int header_zones_set(struct header_zones *zones, const char *const *domains, size_t count);
bool header_has_zones(const table_word *words, const struct header_zones *zones);

/* The word that says which zones are not ready, and how stale all may be. */
void header_set_stale(table_word *words, const struct header_zones *zones, uint32_t max_stale_s);
uint32_t header_unready(const table_word *words);

/* What is the same in each file of one writer. */
void header_fill(table_word *words, const struct header_zones *zones, uint32_t max_stale_s);

/* What a newer file has from the one before. */
void header_inherit(table_word *words, const table_word *from);

/* Writes the id of this boot down.  Returns whether it was another. */
bool header_boot_changed(table_word *words);

/* enum table_state; setting the one that it is changes nothing, not even since
 * when. */
int header_state(const table_word *words);
void header_set_state(table_word *words, int state);

/* Seconds since the content was etcd's; as table_writer_publish_old(). */
void header_set_age(table_word *words, int64_t age_s);
int64_t header_age(const table_word *words);

/* The heartbeat. */
void header_beat(table_word *words);

/* Monotonic seconds. */
int64_t header_now(void);

#endif
