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

/* The first label names the instance in the service that the other labels
 * name. */
enum table_result table_find_instance(const struct table_view *view, const char *text,
                                      uint32_t length, uint32_t domain_length,
                                      struct table_name *name, struct table_owner *owner)
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
    for (int tries = 0; tries < TABLE_SLOT_TRIES; tries++) {
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

/* ---- choosing ---------------------------------------------------------- */

uint32_t table_record_pick_weighted(const struct table_record *record, uint32_t first,
                                    uint32_t count, uint64_t position)
{
    uint32_t before, total, low = 0, high = count - 1;

    before = first > 0 ? table_record_half(record, record->shape.sums_at, first - 1) : 0;
    total = table_record_half(record, record->shape.sums_at, first + count - 1) - before;
    total = (uint32_t)((position >> 32) * total >> 32);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (table_record_half(record, record->shape.sums_at, first + middle) - before > total)
            high = middle;
        else
            low = middle + 1;
    }
    return first + low;
}
