/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Taking over the file of an earlier writer, which may have been killed at any
 * store, while readers go on using it.
 *
 * Everything is checked before anything is changed.  What a killed writer can
 * leave: a block that no slot refers to (free, then), and a key that is missing
 * (entered here), names a service which does not have it, or is there twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "index.h"
#include "store.h"

/* Killed writers may have used sequence numbers that no live record bears. */
#define SEQUENCE_LEAP (UINT64_C(1) << 32)

/* Whether readers find the name in its slot, and in no earlier one. */
static bool name_is_reachable(const struct store *store, const uint64_t *record, uint32_t slot)
{
    uint32_t name_length = table_shape(record[TABLE_R_SHAPE]).name_length;
    uint64_t hash = table_hash(record + TABLE_R_NAME, name_length, store->file.seed);
    uint32_t mask = index_mask(store->file.names_log2), at = (uint32_t)hash & mask;

    if (word_get(store->file.names + slot) >> 32 != table_tag(hash))
        return false;
    for (int probes = 0; probes < TABLE_MAX_PROBES && at != slot; probes++, at = (at + 1) & mask)
        if (word_get(store->file.names + at) == TABLE_EMPTY)
            return false;
    return at == slot;
}

/* Checks a slot's record, and that no other lies where it does. */
static int record_adopt(struct store *store, uint32_t slot)
{
    uint64_t ref = (uint32_t)word_get(store->file.names + slot), words, home;
    uint64_t granules = store->file.bytes / TABLE_GRANULE;
    const table_word *record = store->file.words + ref * WORDS_PER_GRANULE;

    if (ref < store->heap.first || ref + 2 > granules)
        return -EINVAL;
    home = word_get(record + TABLE_R_HOME);
    words = (uint32_t)home;
    if (home >> 32 != slot || words > (granules - ref) * WORDS_PER_GRANULE || words == 0 ||
        word_get(record + TABLE_R_SEQUENCE) == 0 ||
        !record_is_sound(store_plain(record), (uint32_t)words) ||
        !name_is_reachable(store, store_plain(record), slot))
        return -EINVAL;
    return heap_claim(&store->heap, ref, store_granules((uint32_t)words));
}

static int names_adopt(struct store *store)
{
    uint64_t slots = UINT64_C(1) << store->file.names_log2;
    int rc = store_prepare(store);

    for (uint64_t slot = 0; slot < slots && rc == 0; slot++) {
        uint64_t word = word_get(store->file.names + slot);

        store->names_used += word != TABLE_EMPTY;
        if (word != TABLE_EMPTY && word != TABLE_TOMBSTONE)
            rc = record_adopt(store, (uint32_t)slot);
    }
    return rc;
}

/* ---- keys -------------------------------------------------------------- */

static int owners_collect(struct store *store)
{
    uint64_t slots = UINT64_C(1) << store->file.names_log2;
    int rc = 0;

    for (uint64_t slot = 0; slot < slots && rc == 0; slot++) {
        uint32_t length;
        const table_word *record = store_record(store, (uint32_t)slot, &length);
        struct key_list list = key_list(record != NULL ? store_plain(record) : NULL);
        uint64_t sequence = record != NULL ? word_get(record + TABLE_R_SEQUENCE) : 0;

        rc = keys_reserve(&store->keys, list.count);
        for (uint32_t i = 0; i < list.count && rc == 0; i++) {
            struct key key = key_at(&list, i);

            if (keys_find(&store->keys, &key, (uint32_t)slot) == NULL)
                store->live_keys +=
                    keys_add(&store->keys, &key, (uint32_t)slot)->previous == KEYS_NONE;
        }
        if (record != NULL) {
            store->services++;
            store->instances += table_shape(word_get(record + TABLE_R_SHAPE)).instances;
            if (sequence > store->sequence)
                store->sequence = sequence;
        }
    }
    store->sequence += SEQUENCE_LEAP;
    return rc;
}

/* The owner that the key's entry in the index names becomes its first. */
static void place_find(struct store *store, struct key_owner *first, bool *claimed)
{
    uint64_t hash = key_hash(&first->key, store->file.seed);
    uint32_t mask = index_mask(store->file.keys_log2), at = (uint32_t)hash & mask;

    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++, at = (at + 1) & mask) {
        uint64_t word = word_get(store->file.keys + at);
        struct key_owner *owner;

        if (word == TABLE_EMPTY)
            return;
        if (word == TABLE_TOMBSTONE || word >> 32 != table_tag(hash) || claimed[at])
            continue;
        owner = keys_find(&store->keys, &first->key, (uint32_t)word - TABLE_KEY_BIAS);
        if (owner == NULL)
            continue;
        keys_promote(&store->keys, owner);
        owner->place = at;
        store->owner_at[at] = (uint32_t)(owner - store->keys.owners);
        claimed[at] = true;
        return;
    }
}

/* Entries that name a service without the key, and second copies of one that
 * was being moved.  False: there were some, and they can't be taken out, since
 * nobody knows where their chains begin. */
static bool entries_are_claimed(struct store *store, const bool *claimed)
{
    uint64_t slots = UINT64_C(1) << store->file.keys_log2;
    bool all = true;

    for (uint64_t at = 0; at < slots; at++) {
        bool used = word_get(store->file.keys + at) != TABLE_EMPTY;

        store->keys_used += used;
        all = all && used == claimed[at];
    }
    return all;
}

/* No writer fills an index so far (R6): without an EMPTY slot in it, a miss or
 * a removal would not come to an end. */
static bool is_too_full(const struct store *store)
{
    return store->keys_used > index_limit(store->file.keys_log2) ||
           store->names_used > index_limit(store->file.names_log2);
}

/* Finds out which owner each entry stands for, and enters what is missing.  An
 * index that holds anything else can't be used any more: `cramped`. */
static int keys_adopt(struct store *store)
{
    bool *claimed = calloc(UINT64_C(1) << store->file.keys_log2, sizeof *claimed);

    if (claimed == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < store->keys.used; i++)
        if (store->keys.owners[i].previous == KEYS_NONE)
            place_find(store, &store->keys.owners[i], claimed);
    store->cramped = !entries_are_claimed(store, claimed) || is_too_full(store);
    free(claimed);
    for (uint32_t i = 0; i < store->keys.used && !store->cramped; i++) {
        struct key_owner *owner = &store->keys.owners[i];

        if (owner->previous == KEYS_NONE && owner->place == KEYS_NONE &&
            key_publish(store, owner) < 0)
            store->cramped = true;
    }
    return 0;
}

int store_adopt(struct store *store, const char *path)
{
    int rc;

    memset(store, 0, sizeof *store);
    rc = file_adopt(&store->file, path);
    if (rc < 0) {
        store->file.fd = -1;
        return rc;
    }
    rc = names_adopt(store);
    if (rc == 0)
        rc = owners_collect(store);
    if (rc == 0)
        rc = keys_adopt(store);
    if (rc == 0)
        store_publish_counters(store);
    else
        store_free(store);
    return rc;
}
