/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Which granules of the table's heap are in use: the writer's private
 * book-keeping, one bit each.
 *
 * Blocks are taken next-fit: from where the last one was taken, round and
 * round.  So free neighbours join by themselves, and a freed block rests until
 * the whole heap has been gone through: a reader that was just in it has long
 * left (were it still there, the record's sequence would tell it).
 */
#ifndef ETCDSD_TABLE_HEAP_H
#define ETCDSD_TABLE_HEAP_H

#include <stdint.h>

/* Granules are numbered as in the file. */
struct heap {
    uint64_t *bits; /* 1: in use */
    uint64_t first, end, next;
    uint64_t used; /* how many are in use */
};

/* Returns 0 or -ENOMEM. */
int heap_init(struct heap *heap, uint64_t first, uint64_t end);
void heap_free(struct heap *heap);

/* Takes a block.  Returns its first granule, 0 if there is no room. */
uint32_t heap_take(struct heap *heap, uint32_t granules);

/* Gives one back. */
void heap_give(struct heap *heap, uint64_t at, uint32_t granules);

/* Marks a block that is in use already.  Returns 0, or -EINVAL if it is not
 * inside the heap or overlaps another. */
int heap_claim(struct heap *heap, uint64_t at, uint32_t granules);

#endif
