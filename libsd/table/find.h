/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The way of a lookup through the table, inline: in each process, on each
 * lookup, so every call and every spilled register counts.  reader.h says what
 * the functions promise; include that.
 */
#ifndef ETCDSD_TABLE_FIND_H
#define ETCDSD_TABLE_FIND_H

#include "reader.h"

/* Inlined whatever the compiler thinks: it can't know that what rarely happens
 * is elsewhere.  Nothing on this way may have its address taken, else it would be
 * stored in pieces and loaded as a whole, which costs more than all the rest:
 * what leads off the way gets copies. */
#define TABLE_HOT static inline __attribute__((always_inline))

/* ---- domains ----------------------------------------------------------- */

TABLE_HOT bool table_may_hold(const struct table_view *view, const char *text, size_t length)
{
    uint64_t count = table_load(view->words + TABLE_H_ZONES), tail;

    if (length < 8)
        return true;
    tail = table_fold8(table_load8(text + length - 8));
    for (uint32_t i = 0; i < count && i < TABLE_MAX_ZONES; i++) {
        uint64_t theirs = table_load(view->words + TABLE_H_TAILS + i);

        if (theirs == tail || theirs == 0)
            return true;
    }
    return false;
}

/* ---- records ----------------------------------------------------------- */

TABLE_HOT bool table_names_open(const struct table_view *view, struct table_index *names)
{
    uint64_t mask = table_load(view->words + TABLE_H_NAMES);

    if (mask >= (view->bytes - TABLE_HEADER_BYTES) / sizeof *view->words)
        return false;
    names->slots = view->words + TABLE_HEADER_BYTES / sizeof *view->words;
    names->mask = (uint32_t)mask;
    return true;
}

/* Steps 2 and 6 of the reader's protocol, and the bounds of the name and the
 * addresses.  False: begin again at the slot. */
TABLE_HOT bool table_record_open(const struct table_view *view, uint32_t ref, uint32_t home,
                                 struct table_record *record)
{
    uint64_t at = (uint64_t)ref * (TABLE_GRANULE / sizeof *record->at);
    uint64_t end = view->bytes / sizeof *record->at;

    if (at + TABLE_R_NAME > end)
        return false;
    record->at = view->words + at;
    record->sequence = atomic_load_explicit(record->at, memory_order_acquire);
    record->words = end - at;
    record->shape = table_shape(table_load(record->at + TABLE_R_SHAPE));
    return record->sequence != 0 && table_load(record->at + TABLE_R_HOME) >> 32 == home &&
           table_sums_at(record->shape) <= record->words;
}

/* table_hash() of `text` (8 bytes at least) if it is in lower case, as nearly
 * every name is.  last: its last eight bytes.  False: it may not be. */
TABLE_HOT bool table_hash_lower(const char *text, uint32_t length, uint64_t last, uint64_t seed,
                                uint64_t *result)
{
    const uint64_t key = seed ^ TABLE_HASH_KEY;
    uint64_t hash = seed + length, common = last, tail = table_last_bytes(last, length % 8), word;
    const char *end = text + length;

    for (; end - text >= 16; text += 16) {
        uint64_t second = table_load8(text + 8);

        word = table_load8(text);
        common &= word & second;
        hash = table_mix(word ^ hash, second ^ key);
    }
    if (end - text >= 8) {
        word = table_load8(text);
        common &= word;
        hash = table_mix(word ^ hash, tail ^ key);
    } else {
        hash = table_mix(tail ^ hash, key);
    }
    *result = hash;
    return (common & TABLE_LOWER_BITS) == TABLE_LOWER_BITS;
}

TABLE_HOT bool table_record_has_text(const struct table_record *record, const char *text,
                                     uint32_t length, uint64_t last)
{
    const table_word *words = record->at + TABLE_R_NAME;
    uint64_t differ = 0;

    if (record->shape.name_length != length)
        return false;
    for (uint32_t i = length / 8; i > 0; i--, words++, text += 8)
        differ |= table_load(words) ^ table_load8(text);
    return (differ | (table_load(words) ^ table_last_bytes(last, length % 8))) == 0;
}

/* Looks up a service.  TABLE_AGAIN: not to be found in such a simple way. */
TABLE_HOT enum table_result table_find_lower(const struct table_view *view, const char *text,
                                             uint32_t length, struct table_record *record)
{
    uint64_t last = table_load8(text + length - 8), hash;
    struct table_index names;
    uint32_t slot;

    if (!table_hash_lower(text, length, last, table_load(view->words + TABLE_H_SEED), &hash) ||
        !table_names_open(view, &names))
        return TABLE_AGAIN;
    slot = (uint32_t)hash & names.mask;
    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++) {
        uint64_t word = atomic_load_explicit(names.slots + slot, memory_order_acquire);

        if (word == TABLE_EMPTY)
            return TABLE_MISS;
        if (word >> 32 == table_tag(hash))
            return table_record_open(view, (uint32_t)word, slot, record) &&
                           table_record_has_text(record, text, length, last)
                       ? TABLE_FOUND
                       : TABLE_AGAIN;
        slot = (slot + 1) & names.mask;
    }
    return TABLE_AGAIN;
}

/* A writer has names of its zones only, so that what is found is inside one:
 * the whole domain is looked at when nothing is found. */
TABLE_HOT enum table_result table_find_owner(const struct table_view *view, const char *text,
                                             size_t length, struct table_owner *owner)
{
    enum table_result result = TABLE_AGAIN;

    if (length >= 8 && length <= TABLE_MAX_NAME)
        result = table_find_lower(view, text, (uint32_t)length, &owner->record);
    if (result == TABLE_FOUND) {
        owner->first = 0;
        owner->count = (uint32_t)owner->record.shape.v4 + owner->record.shape.v6;
        owner->label_length = 0;
    } else {
        struct table_view same = *view;
        struct table_owner other;

        result = table_find_other(&same, text, length, result, &other);
        *owner = other;
    }
    return result;
}

TABLE_HOT void table_owner_name(const struct table_owner *owner, char *name)
{
    const table_word *words = owner->record.at + TABLE_R_NAME;
    uint32_t length = owner->record.shape.name_length;

    if (owner->label_length != 0) {
        struct table_owner same = *owner;

        table_label_copy(&same, name);
        name[owner->label_length] = '.';
        name += owner->label_length + 1;
    }
    for (uint32_t i = 0; i <= length / 8; i++) {
        uint64_t word = table_load(words + i);

        memcpy(name + 8 * i, &word, sizeof word);
    }
    name[length] = '\0'; /* whatever the bytes say */
}

#endif
