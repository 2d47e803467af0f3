/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lookups in a table image.  See layout.h for the layout and the protocol,
 * reader.h for what callers may rely on.
 */
#include "find.h"

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

/* The longest domain that the text is inside of: its length, 0 if there is none,
 * and its number. */
static uint32_t zone_of(const struct table_view *view, const char *text, size_t length,
                        uint32_t *number)
{
    uint64_t count = table_load(view->words + TABLE_H_ZONES);
    uint32_t at = 0, longest = 0, domain_length;

    for (uint32_t i = 0; count <= TABLE_MAX_ZONES && i < count; i++) {
        const char *domain = table_zone(view, &at, &domain_length);

        if (domain == NULL)
            break;
        if (domain_length > longest && table_is_inside(text, length, domain, domain_length)) {
            longest = domain_length;
            *number = i;
        }
    }
    return longest;
}

uint32_t table_domain_of(const struct table_view *view, const char *text, size_t length)
{
    uint32_t number;

    return zone_of(view, text, length, &number);
}

bool table_is_ready(const struct table_view *view, const char *text, size_t length)
{
    uint64_t unready = table_load(view->words + TABLE_H_MAX_STALE) >> 32;
    uint32_t number = 0;

    return unready == 0 || zone_of(view, text, length, &number) == 0 || !(unready >> number & 1);
}

/* ---- names ------------------------------------------------------------- */

/* How often one slot is read again because a writer was just there.  A writer
 * needs microseconds for a change, a reader nanoseconds to look: more than a
 * few rounds mean a corrupt table. */
#define SLOT_TRIES 64

static bool has_name(const struct table_record *record, const struct table_name *name)
{
    uint64_t differ = 0;

    if (record->shape.name_length != name->length)
        return false;
    for (uint32_t i = 0; i <= name->length / 8; i++)
        differ |= table_load(record->at + TABLE_R_NAME + i) ^ name->words[i];
    return differ == 0;
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
        if (!table_record_open(view, (uint32_t)word, number, record))
            continue;
        if (has_name(record, name))
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
        if (table_record_open(view, (uint32_t)word, slot, record))
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

    if (!table_names_open(view, &names))
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

/* Byte `at` of the record. */
static unsigned char byte_at(const struct table_record *record, uint32_t at)
{
    uint64_t word = table_load(record->at + at / 8);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (unsigned char)(word >> 8 * (at % 8));
#else
    return (unsigned char)(word >> (56 - 8 * (at % 8)));
#endif
}

/* Copies `count` bytes of the record, from byte `at` on, in whole words: up to
 * seven bytes more are written, but no word is read that has none of them. */
static void copy_bytes(const struct table_record *record, uint32_t at, uint32_t count, char *to)
{
    const table_word *words = record->at + at / 8;
    uint32_t skip = at % 8;

    for (uint32_t done = 0; done < count; done += 8, words++) {
        uint64_t word = table_load(words);
        uint64_t next = skip + (count - done) > 8 ? table_load(words + 1) : 0;

        /* Shifted twice: at once, by 64, is undefined. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        word = word >> 8 * skip | next << 8 << (56 - 8 * skip);
#else
        word = word << 8 * skip | next >> 8 >> (56 - 8 * skip);
#endif
        memcpy(to + done, &word, sizeof word);
    }
}

bool table_owner_set(struct table_owner *owner, uint32_t i)
{
    const struct table_record *record = &owner->record;
    uint64_t size = record->words * sizeof *record->at, word;

    if (table_instances_at(record->shape) + i >= record->words)
        return false;
    word = table_load(record->at + table_instances_at(record->shape) + i);
    owner->first = (uint32_t)(word & 0xffff);
    owner->count = 1;
    owner->label_at = (uint32_t)(word >> 32) + 1;
    if (owner->label_at == 0 || owner->label_at > size)
        return false;
    owner->label_length = byte_at(record, owner->label_at - 1);
    return owner->first < record->shape.v4 + record->shape.v6 &&
           owner->label_length <= size - owner->label_at;
}

void table_label_copy(const struct table_owner *owner, char *to)
{
    copy_bytes(&owner->record, owner->label_at, owner->label_length, to);
}

/* Finds an instance by its label.  TABLE_AGAIN: the record is not whole. */
static enum table_result find_label(struct table_owner *owner, const char *label, uint32_t length)
{
    uint32_t low = 0, high = owner->record.shape.instances;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2, common;
        char theirs[TABLE_MAX_LABEL + 1]; /* whole words */
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

/* The first label names the instance in the service that the other labels
 * name. */
__attribute__((noinline)) static enum table_result
find_instance(const struct table_view *view, const char *label, uint32_t label_length,
              const struct table_name *service, struct table_owner *owner)
{
    for (int tries = 0; tries < SLOT_TRIES; tries++) {
        enum table_result result = table_find(view, service, &owner->record);

        if (result != TABLE_FOUND)
            return result;
        result = find_label(owner, label, label_length);
        if (result == TABLE_FOUND ||
            (result == TABLE_MISS && table_record_is_whole(&owner->record)))
            return result;
    }
    return TABLE_AGAIN;
}

/* Length of the label before the service's part, which has one of its own before
 * the domain; 0: there is none. */
static uint32_t instance_label(const char *text, uint32_t length, uint32_t domain_length)
{
    const char *dot = memchr(text, '.', length);
    uint32_t label_length = dot != NULL ? (uint32_t)(dot - text) : 0;

    return label_length <= TABLE_MAX_LABEL && length - label_length - 1 > domain_length
               ? label_length
               : 0;
}

enum table_result table_find_other(const struct table_view *view, const char *text, size_t length,
                                   enum table_result result, struct table_owner *owner)
{
    uint32_t domain_length = table_domain_of(view, text, length), label_length;
    struct table_name name;
    char label[TABLE_MAX_LABEL];

    if (domain_length == 0)
        return TABLE_FOREIGN;
    if (length > TABLE_MAX_NAME)
        return TABLE_MISS;
    label_length = instance_label(text, (uint32_t)length, domain_length);
    if (result == TABLE_MISS && label_length == 0)
        return TABLE_MISS;
    table_name_set(&name, text, (uint32_t)length);
    if (result != TABLE_MISS) {
        result = table_find(view, &name, &owner->record);
        owner->first = 0;
        owner->count = (uint32_t)owner->record.shape.v4 + owner->record.shape.v6;
        owner->label_length = 0;
    }
    if (result != TABLE_MISS || label_length == 0)
        return result;
    memcpy(label, name.words, label_length);
    table_name_set(&name, text + label_length + 1, (uint32_t)length - label_length - 1);
    return find_instance(view, label, label_length, &name, owner);
}

/* ---- choosing ---------------------------------------------------------- */

uint32_t table_record_pick_weighted(const struct table_record *record, uint32_t first,
                                    uint32_t count, uint64_t position)
{
    uint32_t before, total, low = 0, high = count - 1;

    if (table_instances_at(record->shape) > record->words)
        return first;
    before = first > 0 ? table_record_half(record, table_sums_at(record->shape), first - 1) : 0;
    total = table_record_half(record, table_sums_at(record->shape), first + count - 1) - before;
    total = (uint32_t)((position >> 32) * total >> 32);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (table_record_half(record, table_sums_at(record->shape), first + middle) - before >
            total)
            high = middle;
        else
            low = middle + 1;
    }
    return first + low;
}
