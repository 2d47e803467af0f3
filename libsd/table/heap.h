/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Which bytes of the table's heap are free: the writer's private book-keeping.
 *
 * Blocks come in classes: each size up to 64 granules, then four sizes per
 * power of two.  Freed blocks are used again first in, first out, so that a
 * reader that is just in one has long left it; were it still there, the
 * record's sequence would tell it.
 */
#ifndef ETCDSD_TABLE_HEAP_H
#define ETCDSD_TABLE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_CLASSES 160

struct heap_queue {
    uint32_t *blocks; /* granule numbers */
    uint32_t first, count, room;
};

struct heap {
    uint64_t next, end; /* granules never used yet */
    uint64_t used;      /* granules in live blocks */
    struct heap_queue queues[HEAP_CLASSES];
};

/* The granules that a block for `granules` takes. */
uint32_t heap_block(uint32_t granules);

void heap_init(struct heap *heap, uint64_t first, uint64_t end);
void heap_free(struct heap *heap);

/* Takes a block for `granules`.  Returns its granule number, 0 if there is no
 * room. */
uint32_t heap_take(struct heap *heap, uint32_t granules);

/* Gives back what heap_take(granules) gave. */
void heap_give(struct heap *heap, uint32_t at, uint32_t granules);

/* Gives a range that was never taken (a gap in an adopted file). */
void heap_give_range(struct heap *heap, uint64_t at, uint64_t granules);

#endif
