/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading a table image: pure functions over a range of bytes.
 *
 * Nothing here makes a system call, allocates, locks or writes to the table.
 * The bytes are not trusted: every offset is checked against the range, each
 * field is fetched once, all loops are bounded.  A range that is no good table
 * gives TABLE_AGAIN, never a wrong answer and never a miss.
 *
 * Use:  table_find() gives a record that is *not yet known to be whole*; copy
 * out of it what is wanted, then ask table_record_is_whole().  If it is not,
 * forget the copy and begin again.  A TABLE_MISS is to be believed only if
 * table_view_holds() says so afterwards (rule R4 of layout.h).
 */
#ifndef ETCDSD_TABLE_READER_H
#define ETCDSD_TABLE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

/* A mapped table: `bytes` may be read from `words` on, whatever they hold. */
struct table_view {
    const table_word *words;
    size_t bytes;
    uint64_t generation; /* as it was when the view was taken */
};

enum table_result {
    TABLE_FOUND = 1,
    TABLE_MISS = 0,
    TABLE_AGAIN = -1,  /* the table changes too fast, or is corrupt */
    TABLE_FOREIGN = -2 /* a miss outside the table's zones */
};

/* A record being read.  sequence proves it whole; shape says where things are:
 * name and addresses have been checked to lie inside `words`, the rest is
 * where it is used. */
struct table_record {
    const table_word *at;
    uint64_t sequence;
    uint64_t words; /* that may be read from `at` on */
    struct table_shape shape;
};

static inline uint64_t table_load(const table_word *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* Takes a view of a mapping.  False if it can't be a table of this layout. */
bool table_view_init(struct table_view *view, const void *bytes, size_t size);

/* Whether the view still is the newest table: R4. */
static inline bool table_view_holds(const struct table_view *view)
{
    atomic_thread_fence(memory_order_acquire);
    return table_load(view->words + TABLE_H_GENERATION) == view->generation &&
           (table_load(view->words + TABLE_H_STATE) & 0xff) != TABLE_SUPERSEDED;
}

/* Whether `text` is inside a domain of the table (or is the domain itself).
 * Returns the length of the longest such domain, 0 if there is none.  text:
 * without a trailing dot, any case. */
uint32_t table_domain_of(const struct table_view *view, const char *text, size_t length);

/* Whether the table may have a name that ends like `text`: for the first sight
 * of names that are not ours.  text as above. */
static inline bool table_may_hold(const struct table_view *view, const char *text, size_t length);

/* Whether the zone that `text` lies in is ready (R7); true if it lies in none.
 * text as above. */
bool table_is_ready(const struct table_view *view, const char *text, size_t length);

/* Whether all zones are. */
static inline bool table_is_all_ready(const struct table_view *view)
{
    return table_load(view->words + TABLE_H_MAX_STALE) >> 32 == 0;
}

/* The domain at `*at` (0 for the first) in the table's list: its text, not
 * terminated, and its length; *at moves on.  NULL: the list is broken. */
const char *table_zone(const struct table_view *view, uint32_t *at, uint32_t *length);

/* The same for one domain, given in lower case. */
bool table_is_inside(const char *text, size_t length, const char *domain, uint32_t domain_length);

/* The index of names, its bounds checked. */
struct table_index {
    const table_word *slots;
    uint32_t mask;
};
static inline bool table_names_open(const struct table_view *view, struct table_index *names);

/* Opens the record that a slot of names holds now.  TABLE_MISS: it holds
 * none. */
enum table_result table_slot_open(const struct table_view *view, const struct table_index *names,
                                  uint32_t slot, struct table_record *record);

/* Looks up a service by its owner name. */
enum table_result table_find(const struct table_view *view, const struct table_name *name,
                             struct table_record *record);

/* What an owner name stands for: of a record's addresses (v4, then v6) the
 * `count` from number `first` on; and where an instance's label is. */
struct table_owner {
    struct table_record record;
    uint32_t first, count;
    uint32_t label_at, label_length; /* length 0: the service itself */
};

/* Looks up an owner name, of a service or else of an instance.
 * text: of `length` bytes, any case, no trailing dot. */
static inline enum table_result table_find_owner(const struct table_view *view, const char *text,
                                                 size_t length, struct table_owner *owner);

/* Where table_find_owner() leaves the straight way.  result: TABLE_MISS if no
 * service has the name, TABLE_AGAIN if that is not known. */
enum table_result table_find_other(const struct table_view *view, const char *text, size_t length,
                                   enum table_result result, struct table_owner *owner);

/* The length of the owner name (the service's own if label_length is 0); the
 * bytes that table_owner_name() writes; and the name, terminated.  It is copied
 * in whole words, so up to seven bytes more than the name has are written. */
static inline uint32_t table_owner_name_length(const struct table_owner *owner)
{
    return owner->record.shape.name_length +
           (owner->label_length != 0 ? owner->label_length + 1 : 0);
}

static inline uint32_t table_owner_name_size(const struct table_owner *owner)
{
    return (owner->record.shape.name_length / 8 + 1) * 8 +
           (owner->label_length != 0 ? owner->label_length + 1 : 0);
}

static inline void table_owner_name(const struct table_owner *owner, char *name);
/* Not terminated; in whole words as well: 64 bytes hold any label that is not
 * longer than TABLE_MAX_LABEL, which is for the caller to see to. */
void table_label_copy(const struct table_owner *owner, char *to);

/* Instance i of the record (0 to shape.instances - 1) as an owner.  False: the
 * record is not whole. */
bool table_owner_set(struct table_owner *owner, uint32_t i);

/* Whether all parts of the record lie inside `words`; not so: it is not whole. */
static inline bool table_record_fits(const struct table_record *record)
{
    return table_labels_at(record->shape) <= record->words;
}

/* Whether all that was copied from the record up to now belongs together. */
static inline bool table_record_is_whole(const struct table_record *record)
{
    atomic_thread_fence(memory_order_acquire);
    return table_load(record->at + TABLE_R_SEQUENCE) == record->sequence;
}

/* The i-th half of the words from `at` on. */
static inline uint32_t table_record_half(const struct table_record *record, uint32_t at, uint32_t i)
{
    uint64_t word = table_load(record->at + at + i / 2);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (uint32_t)(word >> (i % 2 * 32));
#else
    return (uint32_t)(word >> (32 - i % 2 * 32));
#endif
}

/* Address i (0 to v4 - 1), in network order. */
static inline uint32_t table_record_v4(const struct table_record *record, uint32_t i)
{
    return table_record_half(record, table_v4_at(record->shape), i);
}

/* Address i (0 to v6 - 1) to 16 bytes, which need no alignment. */
static inline void table_record_v6(const struct table_record *record, uint32_t i, void *address)
{
    uint64_t words[2] = {
        table_load(record->at + table_v6_at(record->shape) + 2 * i),
        table_load(record->at + table_v6_at(record->shape) + 2 * i + 1),
    };

    memcpy(address, words, sizeof words);
}

/* The address that a position, evenly spread over 0 to 2^64 - 1, falls on:
 * `first` to `first + count - 1`, each as often as its weight says.  count is
 * not 0. */
uint32_t table_record_pick_weighted(const struct table_record *record, uint32_t first,
                                    uint32_t count, uint64_t position);

static inline uint32_t table_record_pick(const struct table_record *record, uint32_t first,
                                         uint32_t count, uint64_t position)
{
    if (record->shape.flags & TABLE_FLAG_WEIGHTED) {
        struct table_record same = *record;

        return table_record_pick_weighted(&same, first, count, position);
    }
    return first + (uint32_t)((position >> 32) * count >> 32);
}

#include "find.h"

#endif
