/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Open addressing over slot words, the writer's side: where an entry may go
 * so that rules R1 and R6 of layout.h hold.
 */
#ifndef ETCDSD_TABLE_INDEX_H
#define ETCDSD_TABLE_INDEX_H

#include "file.h"

#define INDEX_NOWHERE   UINT32_MAX

#define INDEX_MAX_SLOTS (UINT32_C(1) << 31)

/* Where a hash's chain begins, and the slot after one; there are 2^k slots. */
static inline uint32_t index_home(uint32_t hash, uint32_t count)
{
    return hash & (count - 1);
}

static inline uint32_t index_after(uint32_t slot, uint32_t count)
{
    return (slot + 1) & (count - 1);
}

static inline uint32_t index_before(uint32_t slot, uint32_t count)
{
    return (slot - 1) & (count - 1);
}

/* Steps from one slot to another. */
static inline uint32_t index_steps(uint32_t from, uint32_t to, uint32_t count)
{
    return (to - from) & (count - 1);
}

/* A half full index has a free slot within a few steps nearly always. */
static inline uint32_t index_limit(uint32_t count)
{
    return count / 2;
}

/* The first slot of the chain that begins at `home` which a new entry may take:
 * a TOMBSTONE, else the EMPTY one at its end.  INDEX_NOWHERE: the chain would
 * become too long, or the index too full (`used` of its `count` slots are not
 * EMPTY). */
uint32_t index_place(const table_word *slots, uint32_t count, uint32_t used, uint32_t home);

/* Takes an entry out.  Returns how many slots became EMPTY: R1. */
uint32_t index_remove(table_word *slots, uint32_t count, uint32_t at);

#endif
