/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See owners.h.
 */
#include "owners.h"

#include "index.h"
#include "store.h"

static uint64_t entry_word(uint64_t hash, uint32_t service)
{
    return table_slot(hash, service + TABLE_KEY_BIAS);
}

bool owner_has(const struct store *store, uint32_t service, const struct key *key)
{
    uint32_t length;
    const table_word *record =
        service < store->file.names_count ? store_record(store, service, &length) : NULL;
    struct key_list list = key_list(record != NULL ? store_plain(record) : NULL);

    return key_list_has(&list, key);
}

/* ---- entries ----------------------------------------------------------- */

/* Where the service is named under the hash, or INDEX_NOWHERE. */
static uint32_t entry_find(const struct store *store, uint64_t hash, uint32_t service)
{
    uint32_t count = store->file.keys_count, at = index_home((uint32_t)hash, count);

    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++, at = index_after(at, count)) {
        uint64_t word = word_get(store->file.keys + at);

        if (word == entry_word(hash, service) && store->homes[at] == (uint32_t)hash)
            return at;
        if (word == TABLE_EMPTY)
            break;
    }
    return INDEX_NOWHERE;
}

/* Whether anyone but the service is named for the key. */
static bool is_named(const struct store *store, const struct key *key, uint64_t hash,
                     uint32_t service)
{
    uint32_t count = store->file.keys_count, at = index_home((uint32_t)hash, count);

    for (int probes = 0; probes < TABLE_MAX_PROBES; probes++, at = index_after(at, count)) {
        uint64_t word = word_get(store->file.keys + at);
        uint32_t other = (uint32_t)word - TABLE_KEY_BIAS;

        if (word == TABLE_EMPTY)
            return false;
        if (word >> 32 == table_tag(hash) && other != service && owner_has(store, other, key))
            return true;
    }
    return false;
}

static bool entry_add(struct store *store, uint64_t hash, uint32_t service)
{
    uint32_t count = store->file.keys_count;
    uint32_t at =
        index_place(store->file.keys, count, store->keys_used, index_home((uint32_t)hash, count));

    if (at == INDEX_NOWHERE) {
        store->cramped = true;
        return false;
    }
    store->keys_used++;
    store->homes[at] = (uint32_t)hash;
    word_publish(store->file.keys + at, entry_word(hash, service));
    return true;
}

/* R5. */
static void entry_remove(struct store *store, uint32_t hole)
{
    table_word *keys = store->file.keys, *moves = store->file.words + TABLE_H_MOVES;
    uint32_t count = store->file.keys_count, at = hole;

    for (;;) {
        uint64_t word;
        uint32_t home;

        at = index_after(at, count);
        word = word_get(keys + at);
        if (word == TABLE_EMPTY)
            break;
        home = index_home(store->homes[at], count);
        if (index_steps(home, at, count) < index_steps(hole, at, count))
            continue; /* its chain begins after the hole */
        word_publish(keys + hole, word);
        store->homes[hole] = store->homes[at];
        word_publish(moves, word_get(moves) + 1);
        hole = at;
    }
    word_publish(keys + hole, TABLE_EMPTY);
    store->keys_used--;
}

/* ---- coming and going -------------------------------------------------- */

void owner_enter(struct store *store, const struct key *key, uint32_t service)
{
    uint64_t hash = key_hash(key, store->file.seed);

    if (key->kind == 'p') {
        ports_join(&store->ports, (uint32_t)key->low, service);
        if (ports_first(&store->ports, (uint32_t)key->low) == service)
            (void)entry_add(store, hash, service);
    } else if (is_named(store, key, hash, service) || !entry_add(store, hash, service)) {
        waiters_add(&store->waiters, key, service);
    }
}

/* Who is named next; PORTS_NONE: nobody is left.  False: the service was not
 * named, and nothing changes. */
static bool heir_find(struct store *store, const struct key *key, uint32_t service, uint32_t *heir)
{
    if (key->kind == 'p') {
        bool was_first = ports_first(&store->ports, (uint32_t)key->low) == service;

        ports_leave(&store->ports, (uint32_t)key->low, service);
        *heir = ports_first(&store->ports, (uint32_t)key->low);
        return was_first;
    }
    if (waiters_remove(&store->waiters, key, service)) /* K2 */
        return false;
    if (!waiters_take(&store->waiters, key, heir))
        *heir = PORTS_NONE;
    return true;
}

void owner_leave(struct store *store, const struct key *key, uint32_t service)
{
    uint64_t hash = key_hash(key, store->file.seed);
    uint32_t heir, at;

    if (!heir_find(store, key, service, &heir))
        return;
    at = entry_find(store, hash, service); /* K3 */
    if (at != INDEX_NOWHERE && heir != PORTS_NONE)
        word_publish(store->file.keys + at, entry_word(hash, heir)); /* R5 */
    else if (at != INDEX_NOWHERE)
        entry_remove(store, at);
    else if (heir != PORTS_NONE) /* K1: it was cramped */
        (void)entry_add(store, hash, heir);
}
