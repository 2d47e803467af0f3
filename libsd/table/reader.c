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

const char *table_zone(const struct table_view *view, uint32_t *at, uint32_t *length)
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

uint32_t table_domain_of(const struct table_view *view, const char *text, size_t length)
{
    uint64_t count = table_load(view->words + TABLE_H_ZONES);
    uint32_t at = 0, longest = 0, domain_length;

    for (uint64_t i = 0; i < count && i < TABLE_MAX_ZONES; i++) {
        const char *domain = table_zone(view, &at, &domain_length);

        if (domain == NULL)
            break;
        if (domain_length > longest && table_is_inside(text, length, domain, domain_length))
            longest = domain_length;
    }
    return longest;
}

/* ---- records ----------------------------------------------------------- */

bool table_index_open(const struct table_view *view, enum table_header_word word,
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

enum table_result table_slot_open(const struct table_view *view, const struct table_index *names,
                                  uint32_t slot, struct table_record *record)
{
    for (int tries = 0; tries < SLOT_TRIES; tries++) {
        uint64_t word = atomic_load_explicit(names->slots + slot, memory_order_acquire);

        if (word == TABLE_EMPTY || word == TABLE_TOMBSTONE)
            return TABLE_MISS;
        if (record_open(view, (uint32_t)word, slot, record))
            return TABLE_FOUND;
    }
    return TABLE_AGAIN;
}

enum table_result table_find(const struct table_view *view, const struct table_name *name,
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
                slot_match(view, names.slots + slot, slot, table_tag(hash), name, record);

            if (result != TABLE_MISS)
                return result;
        }
        slot = (slot + 1) & names.mask;
    }
    return TABLE_AGAIN; /* R6: no good table has such a chain */
}

/* ---- instances --------------------------------------------------------- */

/* Copies `count` bytes of the record, from byte `at` on. */
static void copy_bytes(const struct table_record *record, uint32_t at, uint32_t count, char *to)
{
    while (count > 0) {
        uint64_t word = table_load(record->at + at / 8);
        uint32_t skip = at % 8, some = 8 - skip < count ? 8 - skip : count;

        memcpy(to, (const char *)&word + skip, some);
        to += some;
        at += some;
        count -= some;
    }
}

bool table_owner_set(struct table_owner *owner, uint32_t i)
{
    const struct table_record *record = &owner->record;
    uint64_t word = table_load(record->at + record->shape.instances_at + i);
    uint64_t size = (uint64_t)record->words * sizeof *record->at;
    unsigned char label_length;

    owner->first = (uint32_t)(word & 0xffff);
    owner->count = 1;
    owner->label_at = (uint32_t)(word >> 32) + 1;
    if (owner->label_at == 0 || owner->label_at > size)
        return false;
    copy_bytes(record, owner->label_at - 1, 1, (char *)&label_length);
    owner->label_length = label_length;
    return owner->first < record->shape.v4 + record->shape.v6 &&
           label_length <= size - owner->label_at;
}

void table_owner_name(const struct table_owner *owner, char *name)
{
    if (owner->label_length != 0) {
        copy_bytes(&owner->record, owner->label_at, owner->label_length, name);
        name += owner->label_length;
        *name++ = '.';
    }
    copy_bytes(&owner->record, TABLE_R_NAME * 8, owner->record.shape.name_length, name);
    name[owner->record.shape.name_length] = '\0';
}

/* Finds an instance by its label.  TABLE_AGAIN: the record is not whole. */
static enum table_result find_label(struct table_owner *owner, const char *label, uint32_t length)
{
    uint32_t low = 0, high = owner->record.shape.instances;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2, common;
        char theirs[TABLE_MAX_LABEL];
        int order;

        if (!table_owner_set(owner, middle) || owner->label_length > sizeof theirs)
            return TABLE_AGAIN;
        common = owner->label_length < length ? owner->label_length : length;
        copy_bytes(&owner->record, owner->label_at, common, theirs);
        order = memcmp(theirs, label, common);
        if (order == 0 && owner->label_length == length)
            return TABLE_FOUND;
        if (order < 0 || (order == 0 && owner->label_length < length))
            low = middle + 1;
        else
            high = middle;
    }
    return TABLE_MISS;
}

/* An instance's owner name: the first label names it in the service that the
 * other labels name.  name: the whole of it, folded; overwritten.  Not inlined:
 * the stack it needs is not for the lookup of a service to pay. */
__attribute__((noinline)) static enum table_result
find_instance(const struct table_view *view, const char *text, uint32_t length,
              uint32_t domain_length, struct table_name *name, struct table_owner *owner)
{
    const char *dot = memchr(text, '.', length);
    char label[TABLE_MAX_LABEL];
    uint32_t label_length;

    if (dot == NULL)
        return TABLE_MISS;
    label_length = (uint32_t)(dot - text);
    /* The service's name has a label of its own before the domain. */
    if (label_length == 0 || label_length > sizeof label ||
        length - label_length - 1 <= domain_length)
        return TABLE_MISS;
    memcpy(label, name->words, label_length);

    table_name_set(name, dot + 1, length - label_length - 1);
    for (int tries = 0; tries < SLOT_TRIES; tries++) {
        enum table_result result = table_find(view, name, &owner->record);

        if (result != TABLE_FOUND)
            return result;
        result = find_label(owner, label, label_length);
        if (result == TABLE_FOUND ||
            (result == TABLE_MISS && table_record_is_whole(&owner->record)))
            return result;
    }
    return TABLE_AGAIN;
}

enum table_result table_find_owner(const struct table_view *view, const char *text, uint32_t length,
                                   uint32_t domain_length, struct table_owner *owner)
{
    struct table_name name;
    enum table_result result;

    table_name_set(&name, text, length);
    result = table_find(view, &name, &owner->record);
    if (result == TABLE_MISS)
        return find_instance(view, text, length, domain_length, &name, owner);
    owner->first = 0;
    owner->count = result == TABLE_FOUND ? owner->record.shape.v4 + owner->record.shape.v6 : 0;
    owner->label_length = 0;
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
