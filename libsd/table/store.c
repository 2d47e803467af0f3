/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Changing a table under the eyes of its readers.  See store.h.
 */
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "encode.h"
#include "index.h"

static table_word *block_at(const struct store *store, uint32_t ref)
{
    return store->file.words + (size_t)ref * WORDS_PER_GRANULE;
}

const table_word *store_record(const struct store *store, uint32_t slot, uint32_t *length)
{
    uint64_t word = word_get(store->file.names + slot);
    const table_word *record;

    if (word == TABLE_EMPTY || word == TABLE_TOMBSTONE)
        return NULL;
    record = block_at(store, (uint32_t)word);
    *length = (uint32_t)word_get(record + TABLE_R_HOME);
    return record;
}

int store_prepare(struct store *store)
{
    /* Different in every file: a reader may be stopped in the middle of a record
     * while another file is mapped in its place. */
    store->sequence = word_get(store->file.words + TABLE_H_GENERATION) >> 1;
    store->owner_at = malloc(sizeof *store->owner_at << store->file.keys_log2);
    if (store->owner_at == NULL)
        return -ENOMEM;
    return heap_init(&store->heap, store->file.heap_at / TABLE_GRANULE,
                     store->file.bytes / TABLE_GRANULE);
}

int store_create(struct store *store, const char *path, unsigned number,
                 const struct table_size *size)
{
    int rc;

    memset(store, 0, sizeof *store);
    rc = file_create(&store->file, path, number, size);
    if (rc < 0)
        return rc;
    rc = store_prepare(store);
    if (rc < 0)
        file_discard(&store->file, path);
    return rc;
}

void store_free(struct store *store)
{
    file_unmap(&store->file);
    if (store->file.fd >= 0)
        close(store->file.fd);
    heap_free(&store->heap);
    keys_free(&store->keys);
    free(store->owner_at);
    memset(store, 0, sizeof *store);
    store->file.fd = -1;
}

/* ---- names ------------------------------------------------------------- */

/* The slot that holds a name, or INDEX_NOWHERE. */
static uint32_t name_find(const struct store *store, const uint64_t *name, uint32_t name_length,
                          uint64_t hash)
{
    uint32_t mask = index_mask(store->file.names_log2), slot = (uint32_t)hash & mask;

    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++, slot = (slot + 1) & mask) {
        uint64_t word = word_get(store->file.names + slot);
        const uint64_t *record;

        if (word == TABLE_EMPTY)
            return INDEX_NOWHERE;
        if (word == TABLE_TOMBSTONE || word >> 32 != table_tag(hash))
            continue;
        record = store_plain(block_at(store, (uint32_t)word));
        if (table_shape(record[TABLE_R_SHAPE]).name_length == name_length &&
            memcmp(record + TABLE_R_NAME, name, (name_length / 8 + 1) * sizeof *name) == 0)
            return slot;
    }
    return INDEX_NOWHERE;
}

/* ---- keys of a record -------------------------------------------------- */

struct key_list key_list(const uint64_t *words)
{
    struct key_list list = { .words = words };

    if (words != NULL) {
        list.shape = table_shape(words[TABLE_R_SHAPE]);
        list.count = list.shape.v4 + list.shape.v6 + ((words[TABLE_R_ANSWER] & 0xffff) != 0);
    }
    return list;
}

struct key key_at(const struct key_list *list, uint32_t i)
{
    const char *bytes = (const char *)list->words;
    uint32_t v4;

    if (i < list->shape.v4) {
        memcpy(&v4, bytes + table_v4_at(list->shape) * 8 + i * 4, 4);
        return key_of_v4(v4);
    }
    i -= list->shape.v4;
    if (i < list->shape.v6)
        return key_of_v6(bytes + table_v6_at(list->shape) * 8 + i * 16);
    return key_of_port((uint32_t)(list->words[TABLE_R_ANSWER] & 0xffff));
}

int key_publish(struct store *store, struct key_owner *first)
{
    uint64_t hash = key_hash(&first->key, store->file.seed);

    if (first->place == KEYS_NONE) {
        uint32_t place =
            index_place(store->file.keys, store->file.keys_log2, store->keys_used, hash);

        if (place == INDEX_NOWHERE)
            return -ENOSPC;
        store->keys_used++;
        first->place = place;
    }
    store->owner_at[first->place] = (uint32_t)(first - store->keys.owners);
    word_publish(store->file.keys + first->place,
                 table_slot(hash, first->service + TABLE_KEY_BIAS));
    return 0;
}

void key_unpublish(struct store *store, uint32_t place)
{
    uint32_t mask = index_mask(store->file.keys_log2), hole = place, at = place;
    table_word *keys = store->file.keys, *moves = store->file.words + TABLE_H_MOVES;

    for (;;) {
        struct key_owner *owner;
        uint32_t home;

        at = (at + 1) & mask;
        if (word_get(keys + at) == TABLE_EMPTY)
            break;
        owner = &store->keys.owners[store->owner_at[at]];
        home = (uint32_t)key_hash(&owner->key, store->file.seed) & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue; /* its chain begins after the hole */
        word_publish(keys + hole, word_get(keys + at));
        word_publish(moves, word_get(moves) + 1);
        store->owner_at[hole] = store->owner_at[at];
        owner->place = hole;
        hole = at;
    }
    word_publish(keys + hole, TABLE_EMPTY);
    store->keys_used--;
}

/* R5: before the service loses the key, it is turned to another owner. */
static void key_leave(struct store *store, const struct key *key, uint32_t service)
{
    struct key_owner *owner = keys_find(&store->keys, key, service);
    uint32_t place;

    if (owner == NULL)
        return;
    place = owner->place;
    if (owner->previous == KEYS_NONE && owner->next == KEYS_NONE)
        store->live_keys--;
    if (owner->previous != KEYS_NONE) {
        keys_remove(&store->keys, owner);
        return;
    }
    keys_remove(&store->keys, owner);
    owner = keys_first(&store->keys, key);
    if (owner != NULL)
        (void)key_publish(store, owner);
    else if (place != KEYS_NONE)
        key_unpublish(store, place);
}

/* R5: after the service got the key.  Room for the owner is reserved. */
static void key_enter(struct store *store, const struct key *key, uint32_t service)
{
    struct key_owner *owner = keys_add(&store->keys, key, service);

    if (owner->previous != KEYS_NONE)
        return;
    store->live_keys++;
    if (key_publish(store, owner) < 0)
        store->cramped = true;
}

static int key_order(const struct key *a, const struct key *b)
{
    int order;

    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    /* In the order of bytes, as the record has its addresses. */
    order = a->kind == 4 ? memcmp(&a->low, &b->low, 4) : memcmp(&a->high, &b->high, 8);
    if (order == 0)
        order = memcmp(&a->low, &b->low, 8);
    return order;
}

/* The most frequent change leaves the addresses alone. */
static bool have_same_addresses(const struct key_list *a, const struct key_list *b)
{
    return a->words != NULL && b->words != NULL && a->shape.v4 == b->shape.v4 &&
           a->shape.v6 == b->shape.v6 &&
           memcmp(a->words + table_v4_at(a->shape), b->words + table_v4_at(b->shape),
                  (table_sums_at(a->shape) - table_v4_at(a->shape)) * sizeof *a->words) == 0;
}

typedef void key_action(struct store *store, const struct key *key, uint32_t service);

/* Does `action` (NULL: nothing) for each key that is in `list` but not in
 * `other`; returns how many there are. */
static uint32_t keys_only_in(struct store *store, const struct key_list *list,
                             const struct key_list *other, uint32_t service, key_action *action)
{
    uint32_t found = 0, i = 0;

    if (have_same_addresses(list, other))
        i = list->shape.v4 + list->shape.v6;
    for (uint32_t j = i; i < list->count; i++) {
        struct key key = key_at(list, i);
        int order = -1;

        for (; j < other->count; j++) {
            struct key theirs = key_at(other, j);

            order = key_order(&key, &theirs);
            if (order <= 0)
                break;
        }
        if (j < other->count && order == 0)
            continue;
        found++;
        if (action != NULL)
            action(store, &key, service);
    }
    return found;
}

/* ---- records ----------------------------------------------------------- */

/* Steps 2 to 5 of the writer's protocol. */
static void record_write(struct store *store, uint32_t block, uint64_t *words, uint32_t length,
                         uint32_t home)
{
    table_word *at = block_at(store, block);

    words[TABLE_R_HOME] = (uint64_t)home << 32 | length;
    word_put(at + TABLE_R_SEQUENCE, 0);
    atomic_thread_fence(memory_order_release);
    for (uint32_t i = 1; i < length; i++)
        word_put(at + i, words[i]);
    word_publish(at + TABLE_R_SEQUENCE, ++store->sequence);
}

static uint32_t instances_of(const uint64_t *words)
{
    return words != NULL ? table_shape(words[TABLE_R_SHAPE]).instances : 0;
}

void store_publish_counters(struct store *store)
{
    word_put(store->file.words + TABLE_H_SERVICES, store->services);
    word_put(store->file.words + TABLE_H_INSTANCES, store->instances);
    word_put(store->file.words + TABLE_H_HEAP_USED, store->heap.used * TABLE_GRANULE);
}

int store_put(struct store *store, uint64_t *words, uint32_t length)
{
    uint32_t name_length = table_shape(words[TABLE_R_SHAPE]).name_length;
    uint64_t hash = table_hash(words + TABLE_R_NAME, name_length, store->file.seed);
    uint32_t slot = name_find(store, words + TABLE_R_NAME, name_length, hash);
    struct key_list after = key_list(words), before = { 0 };
    uint32_t more, block, old_block = 0, old_length = 0;
    const uint64_t *old = NULL;
    int rc;

    if (slot != INDEX_NOWHERE) {
        old_block = (uint32_t)word_get(store->file.names + slot);
        old = store_plain(store_record(store, slot, &old_length));
        if (old_length == length && memcmp(old + TABLE_R_SHAPE, words + TABLE_R_SHAPE,
                                           (length - TABLE_R_SHAPE) * sizeof *words) == 0)
            return 0;
        before = key_list(old);
    } else {
        slot = index_place(store->file.names, store->file.names_log2, store->names_used, hash);
        if (slot == INDEX_NOWHERE)
            return -ENOSPC;
    }
    more = keys_only_in(store, &after, &before, slot, NULL);
    if ((uint64_t)store->keys_used + more > index_limit(store->file.keys_log2))
        return -ENOSPC;
    rc = keys_reserve(&store->keys, more);
    if (rc < 0)
        return rc;
    block = heap_take(&store->heap, store_granules(length));
    if (block == 0)
        return -ENOSPC;

    keys_only_in(store, &before, &after, slot, key_leave);
    record_write(store, block, words, length, slot);
    if (word_get(store->file.names + slot) == TABLE_EMPTY)
        store->names_used++;
    word_publish(store->file.names + slot, table_slot(hash, block));
    keys_only_in(store, &after, &before, slot, key_enter);

    store->instances += instances_of(words) - (uint64_t)instances_of(old);
    if (old != NULL)
        heap_give(&store->heap, old_block, store_granules(old_length));
    else
        store->services++;
    store_publish_counters(store);
    return 1;
}

int store_remove(struct store *store, const struct table_name *name)
{
    uint64_t hash = table_hash(name->words, name->length, store->file.seed);
    uint32_t slot = name_find(store, name->words, name->length, hash), length = 0, block;
    struct key_list none = { 0 }, before;
    const uint64_t *old;

    if (slot == INDEX_NOWHERE)
        return 0;
    block = (uint32_t)word_get(store->file.names + slot);
    old = store_plain(store_record(store, slot, &length));
    before = key_list(old);
    keys_only_in(store, &before, &none, slot, key_leave);
    store->names_used -= index_remove(store->file.names, store->file.names_log2, slot);
    store->instances -= instances_of(old);
    store->services--;
    heap_give(&store->heap, block, store_granules(length));
    store_publish_counters(store);
    return 1;
}

/* A copy of a record's words, which store_put() may write into. */
static uint64_t *record_copy(const table_word *record, uint32_t length)
{
    uint64_t *words = malloc(length * sizeof *words);

    for (uint32_t i = 0; words != NULL && i < length; i++)
        words[i] = word_get(record + i);
    return words;
}

int store_copy(struct store *store, const struct store *from)
{
    uint64_t slots = UINT64_C(1) << from->file.names_log2;
    int rc = 0;

    for (uint64_t slot = 0; slot < slots && rc >= 0 && !store->cramped; slot++) {
        uint32_t length = 0;
        const table_word *record = store_record(from, (uint32_t)slot, &length);
        uint64_t *words;

        if (record == NULL || length <= TABLE_R_NAME)
            continue;
        words = record_copy(record, length);
        rc = words != NULL ? store_put(store, words, length) : -ENOMEM;
        free(words);
    }
    return rc < 0 ? rc : store->cramped ? -ENOSPC : 0;
}
