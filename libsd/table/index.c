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
static bool run_stays_short(const table_word *slots, uint32_t count, uint32_t at)
{
    int run = 1;

    for (uint32_t i = index_before(at, count); run < TABLE_MAX_PROBES;
         i = index_before(i, count), run++)
        if (slot_get(slots, i) == TABLE_EMPTY)
            break;
    for (uint32_t i = index_after(at, count); run < TABLE_MAX_PROBES;
         i = index_after(i, count), run++)
        if (slot_get(slots, i) == TABLE_EMPTY)
            break;
    return run < TABLE_MAX_PROBES;
}

uint32_t index_place(const table_word *slots, uint32_t count, uint32_t used, uint32_t home)
{
    uint32_t at = home;

    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++, at = index_after(at, count)) {
        uint64_t word = slot_get(slots, at);

        if (word == TABLE_TOMBSTONE)
            return at;
        if (word == TABLE_EMPTY)
            return used < index_limit(count) && run_stays_short(slots, count, at) ? at
                                                                                  : INDEX_NOWHERE;
    }
    return INDEX_NOWHERE;
}

uint32_t index_remove(table_word *slots, uint32_t count, uint32_t at)
{
    uint32_t emptied = 0;

    if (slot_get(slots, index_after(at, count)) != TABLE_EMPTY) {
        word_publish(slots + at, TABLE_TOMBSTONE);
        return 0;
    }
    do {
        word_publish(slots + at, TABLE_EMPTY);
        emptied++;
        at = index_before(at, count);
    } while (slot_get(slots, at) == TABLE_TOMBSTONE);
    return emptied;
}
