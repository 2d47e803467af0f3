/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Open addressing over slot words, the writer's side: where an entry may go
 * so that rules R1 and R6 of layout.h hold.
 */
#ifndef ETCDSD_TABLE_INDEX_H
#define ETCDSD_TABLE_INDEX_H

#include "file.h"

#define INDEX_NOWHERE UINT32_MAX

/* A half full index has a free slot within a few steps nearly always. */
static inline uint32_t index_limit(uint32_t log2)
{
    return (uint32_t)((UINT64_C(1) << log2) / 2);
}

static inline uint32_t index_mask(uint32_t log2)
{
    return (uint32_t)((UINT64_C(1) << log2) - 1);
}

/* The first slot on the hash's chain that a new entry may take: a TOMBSTONE,
 * else the EMPTY one at its end.  INDEX_NOWHERE: the chain would become too
 * long, or the index too full (`used` of its slots are not EMPTY). */
uint32_t index_place(const table_word *slots, uint32_t log2, uint32_t used, uint64_t hash);

/* Takes an entry out.  Returns how many slots became EMPTY: R1. */
uint32_t index_remove(table_word *slots, uint32_t log2, uint32_t at);

#endif
