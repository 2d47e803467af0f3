/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See heap.h.
 */
#include "heap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Gaps looked at for one block.  A heap that has no room in so many is too
 * much in pieces: copying it to a new file mends that for long. */
#define GAPS_TRIED 4096

int heap_init(struct heap *heap, uint64_t first, uint64_t end)
{
    memset(heap, 0, sizeof *heap);
    heap->bits = calloc((end - first) / 64 + 1, sizeof *heap->bits);
    if (heap->bits == NULL)
        return -ENOMEM;
    heap->first = heap->next = first;
    heap->end = end;
    return 0;
}

void heap_free(struct heap *heap)
{
    free(heap->bits);
    memset(heap, 0, sizeof *heap);
}

/* The first granule from `at` on that is in use (or is not), heap->end if none
 * before `limit`. */
static uint64_t find(const struct heap *heap, uint64_t at, uint64_t limit, bool in_use)
{
    while (at < limit) {
        uint64_t bit = at - heap->first;
        uint64_t word = heap->bits[bit / 64];

        word = (in_use ? word : ~word) >> bit % 64;
        if (word != 0) {
            at += (unsigned)__builtin_ctzll(word);
            return at < limit ? at : heap->end;
        }
        at += 64 - bit % 64;
    }
    return heap->end;
}

static void mark(struct heap *heap, uint64_t at, uint32_t granules, bool in_use)
{
    for (uint64_t bit = at - heap->first, left = granules; left > 0;) {
        uint64_t some = 64 - bit % 64 < left ? 64 - bit % 64 : left;
        uint64_t mask = (some == 64 ? ~UINT64_C(0) : (UINT64_C(1) << some) - 1) << bit % 64;

        if (in_use)
            heap->bits[bit / 64] |= mask;
        else
            heap->bits[bit / 64] &= ~mask;
        bit += some;
        left -= some;
    }
    heap->used += in_use ? granules : -(uint64_t)granules;
}

/* Takes the first gap that is large enough and begins in [from, to). */
static uint32_t take_between(struct heap *heap, uint64_t from, uint64_t to, uint32_t granules)
{
    for (int tries = 0; tries < GAPS_TRIED; tries++) {
        uint64_t gap = find(heap, from, to, false), limit;

        if (gap == heap->end || heap->end - gap < granules)
            return 0;
        limit = gap + granules;
        from = find(heap, gap, limit, true);
        if (from == heap->end) {
            mark(heap, gap, granules, true);
            heap->next = limit;
            return (uint32_t)gap;
        }
    }
    return 0;
}

uint32_t heap_take(struct heap *heap, uint32_t granules)
{
    uint32_t at;

    if (heap->end - heap->first - heap->used < granules)
        return 0;
    at = take_between(heap, heap->next, heap->end, granules);
    return at != 0 ? at : take_between(heap, heap->first, heap->next, granules);
}

void heap_give(struct heap *heap, uint64_t at, uint32_t granules)
{
    mark(heap, at, granules, false);
}

int heap_claim(struct heap *heap, uint64_t at, uint32_t granules)
{
    if (at < heap->first || at > heap->end || granules > heap->end - at ||
        find(heap, at, at + granules, true) != heap->end)
        return -EINVAL;
    mark(heap, at, granules, true);
    return 0;
}
