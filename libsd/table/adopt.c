/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Taking over the file of an earlier writer, which may have been killed at any
 * store, while readers go on using it.
 *
 * Everything is checked before anything is changed.  What a killed writer can
 * leave: a block that no slot refers to (found as a gap), and a key that names
 * a service which does not have it, or is missing (mended here).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "index.h"
#include "store.h"

/* Killed writers may have used sequence numbers that no live record bears. */
#define SEQUENCE_LEAP (UINT64_C(1) << 32)

struct extent {
    uint32_t at, granules;
};

static int compare_extents(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

/* Whether readers find the name in its slot, and in no earlier one. */
static bool name_is_reachable(const struct store *store, const uint64_t *record, uint32_t slot)
{
    uint32_t name_length = table_shape(record[TABLE_R_COUNTS]).name_length;
    uint64_t hash = table_hash(record + TABLE_R_NAME, name_length, store->file.seed);
    uint32_t mask = index_mask(store->file.names_log2), at = (uint32_t)hash & mask;

    if (word_get(store->file.names + slot) >> 32 != table_tag(hash))
        return false;
    for (int probes = 0; probes < TABLE_MAX_PROBES && at != slot; probes++, at = (at + 1) & mask)
        if (word_get(store->file.names + at) == TABLE_EMPTY)
            return false;
    return at == slot;
}

/* Checks a slot's record and tells where it lies. */
static bool extent_of(const struct store *store, uint32_t slot, struct extent *extent)
{
    uint64_t ref = (uint32_t)word_get(store->file.names + slot), words, home;
    uint64_t granules = store->file.bytes / TABLE_GRANULE;
    const table_word *record = store->file.words + ref * WORDS_PER_GRANULE;

    if (ref < store->file.heap_at / TABLE_GRANULE || ref + 2 > granules)
        return false;
    home = word_get(record + TABLE_R_HOME);
    words = (uint32_t)home;
    if (home >> 32 != slot || words > (granules - ref) * WORDS_PER_GRANULE || words == 0 ||
        word_get(record + TABLE_R_SEQUENCE) == 0 ||
        !record_is_sound(store_plain(record), (uint32_t)words) ||
        !name_is_reachable(store, store_plain(record), slot))
        return false;
    extent->at = (uint32_t)ref;
    extent->granules = heap_block(store_granules((uint32_t)words));
    return true;
}

/* Checks all records; extents receives where they are, in order. */
static int extents_collect(struct store *store, struct extent **extents, uint32_t *count)
{
    uint64_t slots = UINT64_C(1) << store->file.names_log2;
    uint64_t end = store->file.heap_at / TABLE_GRANULE;
    struct extent *list = NULL;
    uint32_t room = 0;
    int rc = -EINVAL;

    *count = 0;
    for (uint64_t slot = 0; slot < slots; slot++) {
        uint64_t word = word_get(store->file.names + slot);

        store->names_used += word != TABLE_EMPTY;
        if (word == TABLE_EMPTY || word == TABLE_TOMBSTONE)
            continue;
        if (*count == room) {
            struct extent *grown;

            room = room ? 2 * room : 256;
            grown = realloc(list, room * sizeof *list);
            if (grown == NULL) {
                rc = -ENOMEM;
                goto out;
            }
            list = grown;
        }
        if (!extent_of(store, (uint32_t)slot, &list[*count]))
            goto out;
        ++*count;
    }
    if (*count > 0)
        qsort(list, *count, sizeof *list, compare_extents);
    for (uint32_t i = 0; i < *count; i++) {
        if (list[i].at < end)
            goto out;
        end = (uint64_t)list[i].at + list[i].granules;
    }
    if (end > store->file.bytes / TABLE_GRANULE)
        goto out;
    *extents = list;
    return 0;
out:
    free(list);
    return rc;
}

static void heap_adopt(struct store *store, const struct extent *extents, uint32_t count)
{
    uint64_t end = store->file.heap_at / TABLE_GRANULE;

    heap_init(&store->heap, 0, store->file.bytes / TABLE_GRANULE);
    for (uint32_t i = 0; i < count; i++) {
        if (extents[i].at > end)
            heap_give_range(&store->heap, end, extents[i].at - end);
        end = (uint64_t)extents[i].at + extents[i].granules;
        store->heap.used += extents[i].granules;
    }
    store->heap.next = end;
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
            store->instances += table_shape(word_get(record + TABLE_R_COUNTS)).instances;
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
        claimed[at] = true;
        return;
    }
}

/* Makes the index say what the records say. */
static int keys_adopt(struct store *store)
{
    uint64_t slots = UINT64_C(1) << store->file.keys_log2;
    bool *claimed = calloc(slots, sizeof *claimed);

    if (claimed == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < store->keys.used; i++)
        if (store->keys.owners[i].previous == KEYS_NONE)
            place_find(store, &store->keys.owners[i], claimed);
    for (uint64_t at = 0; at < slots; at++) {
        uint64_t word = word_get(store->file.keys + at);

        store->keys_used += word != TABLE_EMPTY;
        if (word != TABLE_EMPTY && word != TABLE_TOMBSTONE && !claimed[at])
            word_publish(store->file.keys + at, TABLE_TOMBSTONE);
    }
    free(claimed);
    for (uint32_t i = 0; i < store->keys.used; i++) {
        struct key_owner *owner = &store->keys.owners[i];

        if (owner->previous == KEYS_NONE && owner->place == KEYS_NONE &&
            key_publish(store, owner) < 0)
            store->cramped = true;
    }
    return 0;
}

int store_adopt(struct store *store, const char *path)
{
    struct extent *extents = NULL;
    uint32_t count = 0;
    int rc;

    memset(store, 0, sizeof *store);
    rc = file_adopt(&store->file, path);
    if (rc < 0) {
        store->file.fd = -1;
        return rc;
    }
    rc = extents_collect(store, &extents, &count);
    if (rc == 0)
        rc = owners_collect(store);
    if (rc == 0) {
        heap_adopt(store, extents, count);
        rc = keys_adopt(store);
    }
    if (rc == 0)
        store_publish_counters(store);
    else
        store_free(store);
    free(extents);
    return rc;
}
