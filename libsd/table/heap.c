/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Size classes and queues.  See heap.h.
 */
#include "heap.h"

#include <stdlib.h>
#include <string.h>

/* Fresh granules are preferred while a class has fewer free blocks than this:
 * the longer a block rests, the fewer readers have to begin again. */
enum {
    EXACT = 64,
    STEPS = 4,
    RESTING = 4
};

static uint32_t class_size(uint32_t class)
{
    uint32_t octave;

    if (class < EXACT)
        return class + 1;
    octave = (class - EXACT) / STEPS;
    return (EXACT << octave) / STEPS * (STEPS + 1 + (class - EXACT) % STEPS);
}

/* The smallest class that holds `granules`. */
static uint32_t class_above(uint32_t granules)
{
    uint32_t class = EXACT;

    if (granules <= EXACT)
        return granules - 1;
    while (class_size(class) < granules)
        class ++;
    return class;
}

/* The largest class that fits into `granules`. */
static uint32_t class_below(uint64_t granules)
{
    uint32_t class = EXACT - 1;

    if (granules <= EXACT)
        return (uint32_t)granules - 1;
    while (class + 1 < HEAP_CLASSES && class_size(class + 1) <= granules)
        class ++;
    return class;
}

uint32_t heap_block(uint32_t granules)
{
    return granules == 0 ? 0 : class_size(class_above(granules));
}

static bool queue_push(struct heap_queue *queue, uint32_t block)
{
    if (queue->count == queue->room) {
        uint32_t room = queue->room ? 2 * queue->room : 16;
        uint32_t *blocks = malloc(room * sizeof *blocks);

        if (blocks == NULL)
            return false;
        for (uint32_t i = 0; i < queue->count; i++)
            blocks[i] = queue->blocks[(queue->first + i) & (queue->room - 1)];
        free(queue->blocks);
        queue->blocks = blocks;
        queue->room = room;
        queue->first = 0;
    }
    queue->blocks[(queue->first + queue->count++) & (queue->room - 1)] = block;
    return true;
}

static uint32_t queue_pop(struct heap_queue *queue)
{
    uint32_t block = queue->blocks[queue->first];

    queue->first = (queue->first + 1) & (queue->room - 1);
    queue->count--;
    return block;
}

void heap_init(struct heap *heap, uint64_t first, uint64_t end)
{
    memset(heap, 0, sizeof *heap);
    heap->next = first;
    heap->end = end;
}

void heap_free(struct heap *heap)
{
    for (int i = 0; i < HEAP_CLASSES; i++)
        free(heap->queues[i].blocks);
    memset(heap, 0, sizeof *heap);
}

void heap_give_range(struct heap *heap, uint64_t at, uint64_t granules)
{
    while (granules > 0) {
        uint32_t class = class_below(granules);

        /* Out of memory: the block is lost until the next compaction. */
        (void)queue_push(&heap->queues[class], (uint32_t)at);
        at += class_size(class);
        granules -= class_size(class);
    }
}

uint32_t heap_take(struct heap *heap, uint32_t granules)
{
    uint32_t class = class_above(granules), size = class_size(class), at = 0;

    if (class >= HEAP_CLASSES)
        return 0;
    if (heap->queues[class].count > RESTING) {
        at = queue_pop(&heap->queues[class]);
    } else if (heap->end - heap->next >= size) {
        at = (uint32_t)heap->next;
        heap->next += size;
    } else {
        for (uint32_t larger = class; larger < HEAP_CLASSES && at == 0; larger++) {
            if (heap->queues[larger].count == 0)
                continue;
            at = queue_pop(&heap->queues[larger]);
            heap_give_range(heap, (uint64_t)at + size, class_size(larger) - size);
        }
    }
    if (at != 0)
        heap->used += size;
    return at;
}

void heap_give(struct heap *heap, uint32_t at, uint32_t granules)
{
    uint32_t size = heap_block(granules);

    heap->used -= size;
    heap_give_range(heap, at, size);
}
