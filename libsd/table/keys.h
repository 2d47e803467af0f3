/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keys: what a service can be found by besides its name.  A record says itself
 * which it has, its addresses in order and the port that its instances share,
 * so nobody keeps a list of them.
 */
#ifndef ETCDSD_TABLE_KEYS_H
#define ETCDSD_TABLE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

struct key {
    uint64_t high, low; /* address, in the order of its bytes; or 0, port */
    uint32_t kind;      /* 4, 6 or 'p' */
};

struct key_list {
    const uint64_t *words; /* of the record; NULL: an empty list */
    struct table_shape shape;
    uint32_t count;
};

struct key_list key_list(const uint64_t *words);
struct key key_at(const struct key_list *list, uint32_t i);
bool key_list_has(const struct key_list *list, const struct key *key);

/* Calls `action` (NULL: nothing) for each key that is in `list` but not in
 * `other`; returns how many there are. */
typedef void key_action(void *arg, const struct key *key);
uint32_t key_list_only(const struct key_list *list, const struct key_list *other,
                       key_action *action, void *arg);

static inline uint64_t key_hash(const struct key *key, uint64_t seed)
{
    return table_hash_key(key->kind, key->high, key->low, seed);
}

static inline struct key key_of_v4(uint32_t address)
{
    return (struct key){ .low = address, .kind = 4 };
}

static inline struct key key_of_v6(const void *address)
{
    return (struct key){ .high = table_load8(address),
                         .low = table_load8((const char *)address + 8),
                         .kind = 6 };
}

static inline struct key key_of_port(uint32_t port)
{
    return (struct key){ .low = port, .kind = 'p' };
}

#endif
