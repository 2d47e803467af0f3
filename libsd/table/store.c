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
#include "owners.h"

static table_word *block_at(const struct store *store, uint32_t ref)
{
    return store->file.words + (size_t)ref * WORDS_PER_GRANULE;
}

static const table_word *record_at(const struct store *store, uint32_t slot)
{
    uint64_t word = word_get(store->file.names + slot);

    return word == TABLE_EMPTY || word == TABLE_TOMBSTONE ? NULL : block_at(store, (uint32_t)word);
}

const table_word *store_record(const struct store *store, uint32_t slot, uint32_t *length)
{
    const table_word *record = record_at(store, slot);

    if (record != NULL)
        *length = (uint32_t)word_get(record + TABLE_R_HOME);
    return record;
}

int store_prepare(struct store *store)
{
    /* Different in every file: a reader may be stopped in the middle of a record
     * while another file is mapped in its place. */
    store->sequence = word_get(store->file.words + TABLE_H_GENERATION) >> 1;
    store->homes = malloc(store->file.keys_count * sizeof *store->homes);
    if (store->homes == NULL || ports_init(&store->ports, store->file.names_count) < 0)
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
    if (rc < 0) {
        file_discard(&store->file, path);
        store_free(store);
    }
    return rc;
}

void store_free(struct store *store)
{
    file_unmap(&store->file);
    if (store->file.fd >= 0)
        close(store->file.fd);
    heap_free(&store->heap);
    waiters_free(&store->waiters);
    ports_free(&store->ports);
    free(store->homes);
    memset(store, 0, sizeof *store);
    store->file.fd = -1;
}

/* ---- names ------------------------------------------------------------- */

/* The slot that holds a name, or INDEX_NOWHERE. */
static uint32_t name_find(const struct store *store, const uint64_t *name, uint32_t name_length,
                          uint64_t hash)
{
    uint32_t count = store->file.names_count, slot = index_home((uint32_t)hash, count);

    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++, slot = index_after(slot, count)) {
        uint64_t word = word_get(store->file.names + slot);
        const uint64_t *record;

        if (word == TABLE_EMPTY)
            return INDEX_NOWHERE;
        if (word == TABLE_TOMBSTONE || word >> 32 != table_tag(hash))
            continue;
        ports_prefetch(&store->ports, slot);
        record = store_plain(block_at(store, (uint32_t)word));
        if (table_shape(record[TABLE_R_SHAPE]).name_length == name_length &&
            memcmp(record + TABLE_R_NAME, name, (name_length / 8 + 1) * sizeof *name) == 0)
            return slot;
    }
    return INDEX_NOWHERE;
}

void store_expect(const struct store *store, const struct table_name *name)
{
    uint64_t hash = table_hash(name->words, name->length, store->file.seed);

    __builtin_prefetch(
        store_plain(store->file.names + index_home((uint32_t)hash, store->file.names_count)));
}

/* ---- keys -------------------------------------------------------------- */

struct key_change {
    struct store *store;
    uint32_t service;
};

static void key_enter(void *arg, const struct key *key)
{
    const struct key_change *change = arg;

    owner_enter(change->store, key, change->service);
}

static void key_leave(void *arg, const struct key *key)
{
    const struct key_change *change = arg;

    owner_leave(change->store, key, change->service);
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
    struct key_change change = { .store = store };
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
        slot = index_place(store->file.names, store->file.names_count, store->names_used,
                           index_home((uint32_t)hash, store->file.names_count));
        if (slot == INDEX_NOWHERE)
            return -ENOSPC;
    }
    more = key_list_only(&after, &before, NULL, NULL);
    if ((uint64_t)store->keys_used + more > index_limit(store->file.keys_count))
        return -ENOSPC;
    rc = waiters_reserve(&store->waiters, more);
    if (rc < 0)
        return rc;
    block = heap_take(&store->heap, store_granules(length));
    if (block == 0)
        return -ENOSPC;

    change.service = slot;
    key_list_only(&before, &after, key_leave, &change);
    record_write(store, block, words, length, slot);
    if (word_get(store->file.names + slot) == TABLE_EMPTY)
        store->names_used++;
    word_publish(store->file.names + slot, table_slot(hash, block));
    key_list_only(&after, &before, key_enter, &change);

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
    struct key_change change = { .store = store, .service = slot };
    const uint64_t *old;

    if (slot == INDEX_NOWHERE)
        return 0;
    block = (uint32_t)word_get(store->file.names + slot);
    old = store_plain(store_record(store, slot, &length));
    before = key_list(old);
    key_list_only(&before, &none, key_leave, &change);
    store->names_used -= index_remove(store->file.names, store->file.names_count, slot);
    store->instances -= instances_of(old);
    store->services--;
    heap_give(&store->heap, block, store_granules(length));
    store_publish_counters(store);
    return 1;
}

/* ---- all of it --------------------------------------------------------- */

/* Slots that lie so far ahead are fetched while the present one is copied:
 * first what they refer to, then where that will go. */
enum {
    FETCH_RECORD = 16,
    FETCH_PLACES = 8
};

static void copy_fetch(const struct store *store, const struct store *from, uint32_t slot)
{
    uint32_t length, count = from->file.names_count;
    const table_word *record =
        slot + FETCH_RECORD < count ? record_at(from, slot + FETCH_RECORD) : NULL;

    if (record != NULL) {
        __builtin_prefetch(store_plain(record));
        __builtin_prefetch(store_plain(record + 8));
    }
    record = slot + FETCH_PLACES < count ? store_record(from, slot + FETCH_PLACES, &length) : NULL;
    if (record != NULL) {
        struct key_list list = key_list(store_plain(record));
        struct key key = key_at(&list, 0);
        uint64_t hash = key_hash(&key, store->file.seed);

        __builtin_prefetch(
            store_plain(store->file.keys + index_home((uint32_t)hash, store->file.keys_count)));
    }
}

/* A copy of a record's words, which store_put() may write into. */
static int record_copy(const table_word *record, uint32_t length, uint64_t **words, uint32_t *room)
{
    if (length > *room) {
        uint64_t *grown = realloc(*words, 2 * (size_t)length * sizeof *grown);

        if (grown == NULL)
            return -ENOMEM;
        *words = grown;
        *room = 2 * length;
    }
    memcpy(*words, store_plain(record), length * sizeof **words);
    return 0;
}

int store_copy(struct store *store, const struct store *from)
{
    uint64_t *words = NULL;
    uint32_t room = 0;
    int rc = 0;

    for (uint32_t slot = 0; slot < from->file.names_count && rc >= 0 && !store->cramped; slot++) {
        uint32_t length = 0;
        const table_word *record = store_record(from, slot, &length);

        copy_fetch(store, from, slot);
        if (record == NULL || length <= TABLE_R_NAME)
            continue;
        rc = record_copy(record, length, &words, &room);
        if (rc == 0)
            rc = store_put(store, words, length);
    }
    free(words);
    return rc < 0 ? rc : store->cramped ? -ENOSPC : 0;
}
