/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Owners of addresses and ports.  See keys.h.
 */
#include "keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Private to the process and rebuilt with every file, so a fixed seed serves:
 * what an attacker could aim at is the table's index, which has its own. */
#define KEYS_SEED UINT64_C(0x2d358dccaa6c78a5)

static uint32_t bucket_of_key(const struct keys *keys, const struct key *key)
{
    return (uint32_t)key_hash(key, KEYS_SEED) & (keys->room - 1);
}

static uint32_t bucket_of_pair(const struct keys *keys, const struct key *key, uint32_t service)
{
    return (uint32_t)table_mix(key_hash(key, KEYS_SEED), KEYS_SEED ^ service) & (keys->room - 1);
}

static bool key_equal(const struct key *a, const struct key *b)
{
    return a->high == b->high && a->low == b->low && a->kind == b->kind;
}

static uint32_t number_of(const struct keys *keys, const struct key_owner *owner)
{
    return (uint32_t)(owner - keys->owners);
}

static void bucket_push(struct keys *keys, uint32_t number, bool first)
{
    struct key_owner *owner = &keys->owners[number];
    uint32_t pair = bucket_of_pair(keys, &owner->key, owner->service);

    owner->next_pair = keys->by_pair[pair];
    keys->by_pair[pair] = number + 1;
    if (first) {
        uint32_t key = bucket_of_key(keys, &owner->key);

        owner->next_key = keys->by_key[key];
        keys->by_key[key] = number + 1;
    }
}

int keys_reserve(struct keys *keys, uint32_t more)
{
    uint32_t room = keys->room ? keys->room : 64;
    struct key_owner *owners;
    uint32_t *by_key, *by_pair;

    while (room - keys->live < more) {
        if (room > UINT32_MAX / 4)
            return -ENOMEM;
        room *= 2;
    }
    if (room == keys->room)
        return 0;
    by_key = calloc(room, sizeof *by_key);
    by_pair = calloc(room, sizeof *by_pair);
    owners = by_key && by_pair ? realloc(keys->owners, room * sizeof *owners) : NULL;
    if (owners == NULL) {
        free(by_key);
        free(by_pair);
        return -ENOMEM;
    }
    free(keys->by_key);
    free(keys->by_pair);
    keys->owners = owners;
    keys->by_key = by_key;
    keys->by_pair = by_pair;
    keys->room = room;
    for (uint32_t i = 0; i < keys->used; i++)
        if (owners[i].key.kind != 0)
            bucket_push(keys, i, owners[i].previous == KEYS_NONE);
    return 0;
}

void keys_free(struct keys *keys)
{
    free(keys->owners);
    free(keys->by_key);
    free(keys->by_pair);
    memset(keys, 0, sizeof *keys);
}

struct key_owner *keys_first(struct keys *keys, const struct key *key)
{
    if (keys->room == 0)
        return NULL;
    for (uint32_t i = keys->by_key[bucket_of_key(keys, key)]; i != 0;
         i = keys->owners[i - 1].next_key)
        if (key_equal(&keys->owners[i - 1].key, key))
            return &keys->owners[i - 1];
    return NULL;
}

struct key_owner *keys_find(struct keys *keys, const struct key *key, uint32_t service)
{
    if (keys->room == 0)
        return NULL;
    for (uint32_t i = keys->by_pair[bucket_of_pair(keys, key, service)]; i != 0;
         i = keys->owners[i - 1].next_pair)
        if (keys->owners[i - 1].service == service && key_equal(&keys->owners[i - 1].key, key))
            return &keys->owners[i - 1];
    return NULL;
}

struct key_owner *keys_add(struct keys *keys, const struct key *key, uint32_t service)
{
    struct key_owner *first = keys_first(keys, key), *owner;
    uint32_t number;

    if (keys->free != 0) {
        number = keys->free - 1;
        keys->free = keys->owners[number].next_key;
    } else {
        number = keys->used++;
    }
    keys->live++;
    owner = &keys->owners[number];
    *owner = (struct key_owner){ .key = *key,
                                 .service = service,
                                 .place = KEYS_NONE,
                                 .previous = KEYS_NONE,
                                 .next = KEYS_NONE };
    if (first != NULL) {
        /* Behind the first one: as good as last, and needs no tail. */
        owner->previous = number_of(keys, first);
        owner->next = first->next;
        if (first->next != KEYS_NONE)
            keys->owners[first->next].previous = number;
        first->next = number;
    }
    bucket_push(keys, number, first == NULL);
    return owner;
}

/* The place in its bucket that leads to an owner. */
static uint32_t *link_by_key(struct keys *keys, const struct key_owner *owner)
{
    uint32_t *link = &keys->by_key[bucket_of_key(keys, &owner->key)];

    while (*link != number_of(keys, owner) + 1)
        link = &keys->owners[*link - 1].next_key;
    return link;
}

static uint32_t *link_by_pair(struct keys *keys, const struct key_owner *owner)
{
    uint32_t *link = &keys->by_pair[bucket_of_pair(keys, &owner->key, owner->service)];

    while (*link != number_of(keys, owner) + 1)
        link = &keys->owners[*link - 1].next_pair;
    return link;
}

static void unlink_sibling(struct keys *keys, struct key_owner *owner)
{
    if (owner->previous != KEYS_NONE)
        keys->owners[owner->previous].next = owner->next;
    if (owner->next != KEYS_NONE)
        keys->owners[owner->next].previous = owner->previous;
}

void keys_promote(struct keys *keys, struct key_owner *owner)
{
    struct key_owner *first = keys_first(keys, &owner->key);

    if (first == NULL || first == owner)
        return;
    *link_by_key(keys, first) = number_of(keys, owner) + 1;
    owner->next_key = first->next_key;
    owner->place = first->place;
    unlink_sibling(keys, owner);
    owner->previous = KEYS_NONE;
    owner->next = number_of(keys, first);
    first->previous = number_of(keys, owner);
}

void keys_remove(struct keys *keys, struct key_owner *owner)
{
    uint32_t number = number_of(keys, owner);

    *link_by_pair(keys, owner) = owner->next_pair;
    if (owner->previous == KEYS_NONE) {
        uint32_t *link = link_by_key(keys, owner);

        if (owner->next != KEYS_NONE) {
            struct key_owner *heir = &keys->owners[owner->next];

            *link = owner->next + 1;
            heir->next_key = owner->next_key;
            heir->place = owner->place;
        } else {
            *link = owner->next_key;
        }
    }
    unlink_sibling(keys, owner);
    *owner = (struct key_owner){ .next_key = keys->free };
    keys->free = number + 1;
    keys->live--;
}
