/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lookups in a table image.  See layout.h for the layout and the protocol,
 * reader.h for what callers may rely on.
 */
#include "reader.h"

/* How often one slot is read again because a writer was just there.  A writer
 * needs microseconds for a change, a reader nanoseconds to look: more than a
 * few rounds mean a corrupt table. */
enum {
    SLOT_TRIES = 64
};

struct index {
    const table_word *slots;
    uint32_t mask;
};

bool table_view_init(struct table_view *view, const void *bytes, size_t size)
{
    const table_word *words = bytes;

    if (size < TABLE_HEADER_BYTES || (uintptr_t)bytes % sizeof *words != 0)
        return false;
    view->words = words;
    view->bytes = size;
    view->generation = table_load(words + TABLE_H_GENERATION);
    return table_load(words + TABLE_H_MAGIC) == TABLE_MAGIC &&
           (uint32_t)atomic_load_explicit(words + TABLE_H_LAYOUT, memory_order_acquire) ==
               TABLE_LAYOUT &&
           table_load(words + TABLE_H_SIZE) <= size && view->generation != 0;
}

/* ---- domains ----------------------------------------------------------- */

static bool tail_equals(const char *text, const char *lower, uint32_t length)
{
    if (length >= 8) {
        /* Two overlapping words cover up to sixteen bytes; what lies between
         * the first and the last word of a longer domain is looped over. */
        if (table_fold8(table_load8(text + length - 8)) != table_load8(lower + length - 8))
            return false;
        for (uint32_t i = 0; i + 8 < length; i += 8)
            if (table_fold8(table_load8(text + i)) != table_load8(lower + i))
                return false;
        return true;
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

bool table_is_inside(const char *text, size_t length, const char *domain, uint32_t domain_length)
{
    if (length < domain_length || domain_length == 0)
        return false;
    if (length > domain_length && text[length - domain_length - 1] != '.')
        return false;
    return tail_equals(text + length - domain_length, domain, domain_length);
}

uint32_t table_domain_of(const struct table_view *view, const char *text, size_t length)
{
    const char *zones = (const char *)(uintptr_t)view->words + TABLE_ZONES_AT;
    uint64_t count = table_load(view->words + TABLE_H_ZONES);
    uint32_t at = 0, longest = 0;

    for (uint64_t i = 0; i < count && i < TABLE_MAX_ZONES; i++) {
        uint32_t domain_length = (unsigned char)zones[at];

        if (at + 1 + domain_length > TABLE_ZONES_BYTES)
            break;
        if (domain_length > longest && table_is_inside(text, length, zones + at + 1, domain_length))
            longest = domain_length;
        at += 1 + domain_length;
    }
    return longest;
}

/* ---- records ----------------------------------------------------------- */

static bool index_open(const struct table_view *view, enum table_header_word word,
                       struct index *index)
{
    uint64_t geometry = table_load(view->words + word);
    uint64_t at = (geometry >> 32) * TABLE_GRANULE;
    uint32_t log2 = (uint32_t)geometry;

    if (log2 > 31 || at > view->bytes || (UINT64_C(8) << log2) > view->bytes - at)
        return false;
    index->slots = view->words + at / sizeof *view->words;
    index->mask = (UINT32_C(1) << log2) - 1;
    return true;
}

/* Steps 2 and 6 of the reader's protocol, and the bounds of everything that is
 * read afterwards.  False: begin again at the slot. */
static bool record_open(const struct table_view *view, uint32_t ref, uint32_t home,
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

static bool record_has_name(const struct table_record *record, const struct table_name *name)
{
    if (record->shape.name_length != name->length)
        return false;
    for (uint32_t i = 0; i <= name->length / 8; i++)
        if (table_load(record->at + TABLE_R_NAME + i) != name->words[i])
            return false;
    return true;
}

/* What a slot of the right tag holds.  TABLE_MISS: another name. */
static enum table_result slot_match(const struct table_view *view, const table_word *slot,
                                    uint32_t number, uint32_t tag, const struct table_name *name,
                                    struct table_record *record)
{
    for (int tries = 0; tries < SLOT_TRIES; tries++) {
        uint64_t word = atomic_load_explicit(slot, memory_order_acquire);

        if (word >> 32 != tag || word == TABLE_TOMBSTONE)
            return TABLE_MISS;
        if (!record_open(view, (uint32_t)word, number, record))
            continue;
        if (record_has_name(record, name))
            return TABLE_FOUND;
        if (table_record_is_whole(record))
            return TABLE_MISS;
    }
    return TABLE_AGAIN;
}

enum table_result table_find(const struct table_view *view, const struct table_name *name,
                             struct table_record *record)
{
    uint64_t hash = table_hash(name->words, name->length, table_load(view->words + TABLE_H_SEED));
    struct index names;
    uint32_t slot;

    if (!index_open(view, TABLE_H_NAMES, &names))
        return TABLE_AGAIN;
    slot = (uint32_t)hash & names.mask;
    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++) {
        uint64_t word = atomic_load_explicit(names.slots + slot, memory_order_acquire);

        if (word == TABLE_EMPTY)
            return TABLE_MISS;
        if (word >> 32 == table_tag(hash)) {
            enum table_result result =
                slot_match(view, names.slots + slot, slot, table_tag(hash), name, record);

            if (result != TABLE_MISS)
                return result;
        }
        slot = (slot + 1) & names.mask;
    }
    return TABLE_AGAIN; /* R6: no good table has such a chain */
}

/* ---- instances --------------------------------------------------------- */

/* Compares a label of the record with `label`, as memcmp does, then by
 * length.  2: the record is not whole. */
static int label_compare(const struct table_record *record, uint32_t label_at, const char *label,
                         uint32_t length)
{
    uint32_t limit = record->words * (uint32_t)sizeof *record->at;
    uint64_t word = 0;
    uint32_t theirs = 0;

    for (uint32_t i = 0;; i++) {
        unsigned char byte;

        if (label_at + i >= limit)
            return 2;
        if (i == 0 || (label_at + i) % 8 == 0)
            word = table_load(record->at + (label_at + i) / 8);
        memcpy(&byte, (const char *)&word + (label_at + i) % 8, 1);
        if (i == 0)
            theirs = byte;
        else if (byte != (unsigned char)label[i - 1])
            return byte < (unsigned char)label[i - 1] ? -1 : 1;
        if (i == theirs || i == length)
            return theirs == length ? 0 : theirs < length ? -1 : 1;
    }
}

/* Finds an instance by its label; `address` receives the number of its
 * address.  TABLE_AGAIN: the record is not whole. */
static enum table_result instance_find(const struct table_record *record, const char *label,
                                       uint32_t length, uint32_t *address)
{
    uint32_t low = 0, high = record->shape.instances;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t word = table_load(record->at + record->shape.instances_at + middle);
        int order = label_compare(record, (uint32_t)(word >> 32), label, length);

        if (order == 2)
            return TABLE_AGAIN;
        if (order == 0) {
            *address = (uint32_t)(word & 0xffff);
            return *address < record->shape.v4 + record->shape.v6 ? TABLE_FOUND : TABLE_AGAIN;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return TABLE_MISS;
}

/* An instance's owner name: the first label names it in the service that the
 * other labels name. */
static enum table_result find_instance(const struct table_view *view, const char *text,
                                       uint32_t length, uint32_t domain_length,
                                       struct table_name *name, struct table_record *record,
                                       uint32_t *first)
{
    const char *dot = memchr(text, '.', length);
    uint32_t label_length;
    char label[TABLE_MAX_LABEL + 1];
    enum table_result result;

    if (dot == NULL)
        return TABLE_MISS;
    label_length = (uint32_t)(dot - text);
    /* The service's name has a label of its own before the domain. */
    if (label_length == 0 || label_length > TABLE_MAX_LABEL ||
        length - label_length - 1 <= domain_length)
        return TABLE_MISS;
    memcpy(label, name->words, label_length); /* folded already */

    table_name_set(name, dot + 1, length - label_length - 1);
    for (int tries = 0; tries < SLOT_TRIES; tries++) {
        result = table_find(view, name, record);
        if (result != TABLE_FOUND)
            return result;
        result = instance_find(record, label, label_length, first);
        if (result == TABLE_FOUND || (result == TABLE_MISS && table_record_is_whole(record)))
            return result;
    }
    return TABLE_AGAIN;
}

enum table_result table_find_owner(const struct table_view *view, const char *text, uint32_t length,
                                   uint32_t domain_length, struct table_name *name,
                                   struct table_record *record, uint32_t *first, uint32_t *count)
{
    enum table_result result;

    table_name_set(name, text, length);
    result = table_find(view, name, record);
    if (result == TABLE_FOUND) {
        *first = 0;
        *count = record->shape.v4 + record->shape.v6;
    } else if (result == TABLE_MISS) {
        result = find_instance(view, text, length, domain_length, name, record, first);
        *count = 1;
        table_name_set(name, text, length);
    }
    return result;
}

/* ---- choosing ---------------------------------------------------------- */

uint32_t table_record_pick(const struct table_record *record, uint32_t first, uint32_t count,
                           uint64_t position)
{
    uint64_t fraction = position >> 32;
    uint32_t before, total, low = 0, high = count - 1;

    if (!(record->shape.flags & TABLE_FLAG_WEIGHTED))
        return first + (uint32_t)(fraction * count >> 32);

    before = first > 0 ? table_record_half(record, record->shape.sums_at, first - 1) : 0;
    total = table_record_half(record, record->shape.sums_at, first + count - 1) - before;
    total = (uint32_t)(fraction * total >> 32);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (table_record_half(record, record->shape.sums_at, first + middle) - before > total)
            high = middle;
        else
            low = middle + 1;
    }
    return first + low;
}
