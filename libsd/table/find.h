/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The way of a lookup through the table, inline: in each process, on each
 * lookup, so every call and every spilled register counts.  reader.h says what
 * the functions promise; include that.
 */
#ifndef ETCDSD_TABLE_FIND_H
#define ETCDSD_TABLE_FIND_H

#include "reader.h"

/* How often one slot is read again because a writer was just there.  A writer
 * needs microseconds for a change, a reader nanoseconds to look: more than a
 * few rounds mean a corrupt table. */
#define TABLE_SLOT_TRIES 64

/* ---- domains ----------------------------------------------------------- */

static inline bool table_tail_equals(const char *text, const char *lower, uint32_t length)
{
    if (length >= 8) {
        /* From the end on, then the first word, which may overlap: two words
         * are enough for most domains. */
        for (uint32_t left = length; left > 8; left -= 8)
            if (table_fold8(table_load8(text + left - 8)) != table_load8(lower + left - 8))
                return false;
        return table_fold8(table_load8(text)) == table_load8(lower);
    }
    for (uint32_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c >= 'A' && c <= 'Z')
            c |= 0x20;
        if (c != (unsigned char)lower[i])
            return false;
    }
    return true;
}

static inline bool table_is_inside(const char *text, size_t length, const char *domain,
                                   uint32_t domain_length)
{
    if (length < domain_length || domain_length == 0)
        return false;
    if (length > domain_length && text[length - domain_length - 1] != '.')
        return false;
    return table_tail_equals(text + length - domain_length, domain, domain_length);
}

static inline const char *table_zone(const struct table_view *view, uint32_t *at, uint32_t *length)
{
    const char *zones = (const char *)(uintptr_t)view->words + TABLE_ZONES_AT;
    const char *text;

    if (*at >= TABLE_ZONES_BYTES)
        return NULL;
    text = zones + *at + 1;
    *length = (unsigned char)zones[*at];
    *at += 1 + *length;
    return *at <= TABLE_ZONES_BYTES ? text : NULL;
}

static inline uint32_t table_domain_of(const struct table_view *view, const char *text,
                                       size_t length)
{
    uint64_t count = table_load(view->words + TABLE_H_ZONES);
    uint32_t at = 0, longest = 0, domain_length;

    for (; count > 0 && count <= TABLE_MAX_ZONES; count--) {
        const char *domain = table_zone(view, &at, &domain_length);

        if (domain == NULL)
            break;
        if (domain_length > longest && table_is_inside(text, length, domain, domain_length))
            longest = domain_length;
    }
    return longest;
}

/* ---- records ----------------------------------------------------------- */

static inline bool table_index_open(const struct table_view *view, enum table_header_word word,
                                    struct table_index *index)
{
    uint64_t geometry = table_load(view->words + word);
    uint64_t at = (geometry >> 32) * TABLE_GRANULE;
    uint32_t log2 = (uint32_t)geometry;

    if (log2 > 31 || at > view->bytes || (UINT64_C(8) << log2) > view->bytes - at)
        return false;
    index->slots = view->words + at / sizeof *view->words;
    index->mask = (uint32_t)((UINT64_C(1) << log2) - 1);
    return true;
}

/* Steps 2 and 6 of the reader's protocol, and the bounds of everything that is
 * read afterwards.  False: begin again at the slot. */
static inline bool table_record_open(const struct table_view *view, uint32_t ref, uint32_t home,
                                     struct table_record *record)
{
    uint64_t at = (uint64_t)ref * TABLE_GRANULE, home_word;

    if (at < TABLE_HEADER_BYTES || at + TABLE_R_NAME * sizeof *record->at > view->bytes)
        return false;
    record->at = view->words + at / sizeof *view->words;
    record->sequence = atomic_load_explicit(record->at, memory_order_acquire);
    home_word = table_load(record->at + TABLE_R_HOME);
    record->words = (uint32_t)home_word;
    record->shape = table_shape(table_load(record->at + TABLE_R_COUNTS));
    return record->sequence != 0 && (uint32_t)(home_word >> 32) == home &&
           record->words <= (view->bytes - at) / sizeof *view->words &&
           record->shape.labels_at <= record->words;
}

static inline bool table_record_has_name(const struct table_record *record,
                                         const struct table_name *name)
{
    if (record->shape.name_length != name->length)
        return false;
    for (uint32_t i = 0; i <= name->length / 8; i++)
        if (table_load(record->at + TABLE_R_NAME + i) != name->words[i])
            return false;
    return true;
}

/* What a slot of the right tag holds.  TABLE_MISS: another name. */
static inline enum table_result table_slot_match(const struct table_view *view,
                                                 const table_word *slot, uint32_t number,
                                                 uint32_t tag, const struct table_name *name,
                                                 struct table_record *record)
{
    for (int tries = 0; tries < TABLE_SLOT_TRIES; tries++) {
        uint64_t word = atomic_load_explicit(slot, memory_order_acquire);

        if (word >> 32 != tag || word == TABLE_TOMBSTONE)
            return TABLE_MISS;
        if (!table_record_open(view, (uint32_t)word, number, record))
            continue;
        if (table_record_has_name(record, name))
            return TABLE_FOUND;
        if (table_record_is_whole(record))
            return TABLE_MISS;
    }
    return TABLE_AGAIN;
}

static inline enum table_result table_slot_open(const struct table_view *view,
                                                const struct table_index *names, uint32_t slot,
                                                struct table_record *record)
{
    for (int tries = 0; tries < TABLE_SLOT_TRIES; tries++) {
        uint64_t word = atomic_load_explicit(names->slots + slot, memory_order_acquire);

        if (word == TABLE_EMPTY || word == TABLE_TOMBSTONE)
            return TABLE_MISS;
        if (table_record_open(view, (uint32_t)word, slot, record))
            return TABLE_FOUND;
    }
    return TABLE_AGAIN;
}

static inline enum table_result table_find(const struct table_view *view,
                                           const struct table_name *name,
                                           struct table_record *record)
{
    uint64_t hash = table_hash(name->words, name->length, table_load(view->words + TABLE_H_SEED));
    struct table_index names;
    uint32_t slot;

    if (!table_index_open(view, TABLE_H_NAMES, &names))
        return TABLE_AGAIN;
    slot = (uint32_t)hash & names.mask;
    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++) {
        uint64_t word = atomic_load_explicit(names.slots + slot, memory_order_acquire);

        if (word == TABLE_EMPTY)
            return TABLE_MISS;
        if (word >> 32 == table_tag(hash)) {
            enum table_result result =
                table_slot_match(view, names.slots + slot, slot, table_tag(hash), name, record);

            if (result != TABLE_MISS)
                return result;
        }
        slot = (slot + 1) & names.mask;
    }
    return TABLE_AGAIN; /* R6: no good table has such a chain */
}

static inline enum table_result table_find_owner(const struct table_view *view, const char *text,
                                                 uint32_t length, uint32_t domain_length,
                                                 struct table_owner *owner)
{
    struct table_name name;
    enum table_result result;

    table_name_set(&name, text, length);
    result = table_find(view, &name, &owner->record);
    if (result == TABLE_MISS)
        return table_find_instance(view, text, length, domain_length, &name, owner);
    owner->first = 0;
    owner->count = result == TABLE_FOUND ? owner->record.shape.v4 + owner->record.shape.v6 : 0;
    owner->label_length = 0;
    return result;
}

static inline void table_owner_name(const struct table_owner *owner, char *name)
{
    const table_word *words = owner->record.at + TABLE_R_NAME;
    uint32_t length = owner->record.shape.name_length;

    if (owner->label_length != 0) {
        table_label_copy(owner, name);
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
