/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Coming and going in an index.  See index.h.
 */
#include "index.h"

#include <stdbool.h>

static uint64_t slot_get(const table_word *slots, uint32_t at)
{
    return atomic_load_explicit(slots + at, memory_order_relaxed);
}

/* R6: filling the EMPTY slot `at` joins the runs of used slots on both sides
 * of it; a reader may have to walk all of the joined run and one more. */
static bool run_stays_short(const table_word *slots, uint32_t mask, uint32_t at)
{
    int run = 1;

    for (uint32_t i = (at - 1) & mask; run < TABLE_MAX_PROBES; i = (i - 1) & mask, run++)
        if (slot_get(slots, i) == TABLE_EMPTY)
            break;
    for (uint32_t i = (at + 1) & mask; run < TABLE_MAX_PROBES; i = (i + 1) & mask, run++)
        if (slot_get(slots, i) == TABLE_EMPTY)
            break;
    return run < TABLE_MAX_PROBES;
}

uint32_t index_place(const table_word *slots, uint32_t log2, uint32_t used, uint64_t hash)
{
    uint32_t mask = index_mask(log2), at = (uint32_t)hash & mask;

    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++, at = (at + 1) & mask) {
        uint64_t word = slot_get(slots, at);

        if (word == TABLE_TOMBSTONE)
            return at;
        if (word == TABLE_EMPTY)
            return used < index_limit(log2) && run_stays_short(slots, mask, at) ? at
                                                                                : INDEX_NOWHERE;
    }
    return INDEX_NOWHERE;
}

uint32_t index_remove(table_word *slots, uint32_t log2, uint32_t at)
{
    uint32_t mask = index_mask(log2), emptied = 0;

    if (slot_get(slots, (at + 1) & mask) != TABLE_EMPTY) {
        word_publish(slots + at, TABLE_TOMBSTONE);
        return 0;
    }
    do {
        word_publish(slots + at, TABLE_EMPTY);
        emptied++;
        at = (at - 1) & mask;
    } while (slot_get(slots, at) == TABLE_TOMBSTONE);
    return emptied;
}
