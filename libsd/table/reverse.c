/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The keys index and the walk over all services.  See reverse.h.
 */
#include "reverse.h"

enum {
    KEY_TRIES = 64
};

struct wanted {
    uint64_t high, low;
    uint32_t kind; /* 4, 6 or 'p' */
};

/* ---- keys -------------------------------------------------------------- */

static bool keys_open(const struct table_view *view, struct table_index *keys)
{
    uint64_t geometry = table_load(view->words + TABLE_H_KEYS);
    uint64_t at = (geometry >> 32) * TABLE_GRANULE;
    uint32_t log2 = (uint32_t)geometry;

    if (log2 > 31 || at > view->bytes || (UINT64_C(8) << log2) > view->bytes - at)
        return false;
    keys->slots = view->words + at / sizeof *view->words;
    keys->mask = (uint32_t)((UINT64_C(1) << log2) - 1);
    return true;
}

static int compare_address(const struct table_record *record, const struct wanted *wanted,
                           uint32_t i)
{
    uint64_t theirs[2] = { 0, 0 };

    if (wanted->kind == 4) {
        uint32_t v4 = table_record_v4(record, i), ours = (uint32_t)wanted->low;
        return memcmp(&v4, &ours, sizeof v4);
    }
    table_record_v6(record, i, theirs);
    {
        uint64_t ours[2] = { wanted->high, wanted->low };
        return memcmp(theirs, ours, sizeof ours);
    }
}

/* Where in the record the address is; the writer keeps them in order. */
static bool record_has(const struct table_record *record, const struct wanted *wanted,
                       uint32_t *number)
{
    uint32_t low = 0, high = wanted->kind == 4 ? record->shape.v4 : record->shape.v6;

    if (wanted->kind == 'p')
        return table_record_port(record) == wanted->low;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_address(record, wanted, middle);

        if (order == 0) {
            *number = middle + (wanted->kind == 4 ? 0 : record->shape.v4);
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* What a slot of keys says.  By R5 a service that is named has the key, unless
 * the slot has changed since it was read: then it is read again. */
static enum table_result key_match(const struct table_view *view, const struct table_index *names,
                                   const table_word *slot, uint32_t tag,
                                   const struct wanted *wanted, struct table_record *record,
                                   uint32_t *number)
{
    for (int tries = 0; tries < KEY_TRIES; tries++) {
        uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
        uint32_t service = (uint32_t)word - TABLE_KEY_BIAS;
        enum table_result result;

        if (word >> 32 != tag || word == TABLE_TOMBSTONE || service > names->mask)
            return TABLE_MISS;
        result = table_slot_open(view, names, service, record);
        if (result == TABLE_AGAIN)
            return result;
        if (result == TABLE_FOUND && record_has(record, wanted, number))
            return TABLE_FOUND;
        if (result == TABLE_FOUND && !table_record_is_whole(record))
            continue;
        atomic_thread_fence(memory_order_acquire);
        if (table_load(slot) == word)
            return TABLE_MISS; /* another key of the same tag */
    }
    return TABLE_AGAIN;
}

static enum table_result probe_keys(const struct table_view *view, const struct wanted *wanted,
                                    struct table_record *record, uint32_t *number)
{
    uint64_t hash = table_hash_key(wanted->kind, wanted->high, wanted->low,
                                   table_load(view->words + TABLE_H_SEED));
    struct table_index keys, names;
    uint32_t slot;

    if (!keys_open(view, &keys) || !table_names_open(view, &names))
        return TABLE_AGAIN;
    slot = (uint32_t)hash & keys.mask;
    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++, slot = (slot + 1) & keys.mask) {
        uint64_t word = atomic_load_explicit(keys.slots + slot, memory_order_acquire);
        enum table_result result;

        if (word == TABLE_EMPTY)
            return TABLE_MISS;
        if (word >> 32 != table_tag(hash))
            continue;
        result =
            key_match(view, &names, keys.slots + slot, table_tag(hash), wanted, record, number);
        if (result != TABLE_MISS)
            return result;
    }
    return TABLE_AGAIN;
}

/* R5: a miss counts if no entry was moved meanwhile. */
static enum table_result find_key(const struct table_view *view, const struct wanted *wanted,
                                  struct table_record *record, uint32_t *number)
{
    const table_word *moves = view->words + TABLE_H_MOVES;

    for (int tries = 0; tries < KEY_TRIES; tries++) {
        uint64_t before = atomic_load_explicit(moves, memory_order_acquire);
        enum table_result result = probe_keys(view, wanted, record, number);

        if (result != TABLE_MISS)
            return result;
        atomic_thread_fence(memory_order_acquire);
        if (table_load(moves) == before)
            return result;
    }
    return TABLE_AGAIN;
}

enum table_result table_find_address(const struct table_view *view, int family, const void *address,
                                     struct table_owner *owner)
{
    struct wanted wanted = { .kind = (uint32_t)family };
    uint32_t v4, number = 0;

    if (family == 4) {
        memcpy(&v4, address, sizeof v4);
        wanted.low = v4;
    } else {
        wanted.high = table_load8(address);
        wanted.low = table_load8((const char *)address + 8);
    }
    for (int tries = 0; tries < KEY_TRIES; tries++) {
        enum table_result result = find_key(view, &wanted, &owner->record, &number);

        if (result != TABLE_FOUND)
            return result;
        for (uint32_t i = 0; i < owner->record.shape.instances; i++)
            if (table_owner_set(owner, i) && owner->first == number)
                return TABLE_FOUND;
        /* A whole record has an instance for each of its addresses. */
    }
    return TABLE_AGAIN;
}

enum table_result table_find_port(const struct table_view *view, uint32_t port,
                                  struct table_record *record)
{
    struct wanted wanted = { .kind = 'p', .low = port };
    uint32_t number = 0;

    return find_key(view, &wanted, record, &number);
}

/* ---- all --------------------------------------------------------------- */

enum table_result table_next(const struct table_view *view, uint64_t *slot,
                             struct table_record *record)
{
    struct table_index names;

    if (!table_names_open(view, &names))
        return TABLE_AGAIN;
    while (*slot <= names.mask) {
        enum table_result result = table_slot_open(view, &names, (uint32_t)*slot, record);

        if (result == TABLE_AGAIN)
            return result;
        ++*slot;
        if (result == TABLE_FOUND)
            return result;
    }
    return TABLE_MISS;
}
