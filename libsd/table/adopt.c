/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Taking over the file of an earlier writer, which may have been killed at any
 * store, while readers go on using it.
 *
 * Nothing is changed here.  What a killed writer can leave: a block that no slot
 * refers to (free, then), and a key that is missing, names a service which does
 * not have it, or is there twice: then the store is `cramped`, since nobody knows
 * where the chains of such entries lead.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "index.h"
#include "owners.h"
#include "store.h"

/* Killed writers may have used sequence numbers that no live record bears. */
#define SEQUENCE_LEAP (UINT64_C(1) << 32)

/* Whether readers find the name in its slot, and in no earlier one. */
static bool name_is_reachable(const struct store *store, const uint64_t *record, uint32_t slot)
{
    uint32_t name_length = table_shape(record[TABLE_R_SHAPE]).name_length;
    uint64_t hash = table_hash(record + TABLE_R_NAME, name_length, store->file.seed);
    uint32_t count = store->file.names_count, at = index_home((uint32_t)hash, count);

    if (word_get(store->file.names + slot) >> 32 != table_tag(hash))
        return false;
    for (int probes = 0; probes < TABLE_MAX_PROBES && at != slot;
         probes++, at = index_after(at, count))
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
    store->services++;
    store->instances += table_shape(word_get(record + TABLE_R_SHAPE)).instances;
    if (word_get(record + TABLE_R_SEQUENCE) > store->sequence)
        store->sequence = word_get(record + TABLE_R_SEQUENCE);
    return heap_claim(&store->heap, ref, store_granules((uint32_t)words));
}

static int names_adopt(struct store *store)
{
    int rc = store_prepare(store);

    for (uint32_t slot = 0; slot < store->file.names_count && rc == 0; slot++) {
        uint64_t word = word_get(store->file.names + slot);

        store->names_used += word != TABLE_EMPTY;
        if (word != TABLE_EMPTY && word != TABLE_TOMBSTONE)
            rc = record_adopt(store, slot);
    }
    store->sequence += SEQUENCE_LEAP;
    return rc;
}

/* ---- keys -------------------------------------------------------------- */

/* Whose keys are gone through, and which entries of the index stand for one
 * that was met. */
struct claims {
    struct store *store;
    bool *claimed;
    uint32_t service;
    bool is_all_named; /* K1 of owners.h */
};

enum named {
    NAMED_NONE,
    NAMED_ITSELF,
    NAMED_OTHER
};

/* Who the first entry of the key's chain names that stands for it. */
static enum named entry_claim(const struct claims *claims, const struct key *key)
{
    const struct table_file *file = &claims->store->file;
    uint64_t hash = key_hash(key, file->seed);
    uint32_t at = index_home((uint32_t)hash, file->keys_count);

    for (int probes = 0; probes < TABLE_MAX_PROBES;
         probes++, at = index_after(at, file->keys_count)) {
        uint64_t word = word_get(file->keys + at);
        uint32_t service = (uint32_t)word - TABLE_KEY_BIAS;

        if (word == TABLE_EMPTY)
            return NAMED_NONE;
        if (word >> 32 != table_tag(hash) || word == TABLE_TOMBSTONE)
            continue;
        if (service == claims->service && !claims->claimed[at]) {
            claims->claimed[at] = true;
            claims->store->homes[at] = (uint32_t)hash;
            return NAMED_ITSELF;
        }
        if (service != claims->service && owner_has(claims->store, service, key))
            return NAMED_OTHER;
    }
    return NAMED_NONE;
}

static void key_adopt(void *arg, const struct key *key)
{
    struct claims *claims = arg;
    struct store *store = claims->store;
    enum named named = entry_claim(claims, key);

    if (named == NAMED_NONE)
        claims->is_all_named = false;
    if (key->kind == 'p') {
        ports_join(&store->ports, (uint32_t)key->low, claims->service);
        if (named == NAMED_ITSELF)
            ports_promote(&store->ports, (uint32_t)key->low, claims->service);
    } else if (named == NAMED_OTHER) {
        waiters_add(&store->waiters, key, claims->service);
    }
}

static int owners_adopt(struct claims *claims)
{
    struct store *store = claims->store;
    const struct key_list none = { 0 };
    int rc = 0;

    for (uint32_t slot = 0; slot < store->file.names_count && rc == 0; slot++) {
        uint32_t length;
        const table_word *record = store_record(store, slot, &length);
        struct key_list list = key_list(record != NULL ? store_plain(record) : NULL);

        rc = waiters_reserve(&store->waiters, list.count);
        claims->service = slot;
        if (rc == 0)
            key_list_only(&list, &none, key_adopt, claims);
    }
    return rc;
}

/* Whether each entry stands for a key of its service. */
static bool entries_are_claimed(struct store *store, const bool *claimed)
{
    bool all = true;

    for (uint32_t at = 0; at < store->file.keys_count; at++) {
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
    return store->keys_used > index_limit(store->file.keys_count) ||
           store->names_used > index_limit(store->file.names_count);
}

static int keys_adopt(struct store *store)
{
    struct claims claims = { .store = store, .is_all_named = true };
    int rc;

    claims.claimed = calloc(store->file.keys_count, sizeof *claims.claimed);
    if (claims.claimed == NULL)
        return -ENOMEM;
    rc = owners_adopt(&claims);
    store->cramped =
        !entries_are_claimed(store, claims.claimed) || !claims.is_all_named || is_too_full(store);
    free(claims.claimed);
    return rc;
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
        rc = keys_adopt(store);
    if (rc == 0)
        store_publish_counters(store);
    else
        store_free(store);
    return rc;
}
