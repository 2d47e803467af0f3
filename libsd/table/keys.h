/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Who has which address and port: the writer's private memory behind the
 * `keys` index of the table.
 *
 * Several services may have one address; the index names one of them.  When
 * that one loses it, another must be named at once (rule R5), so all owners
 * of a key are kept in a list, the named one first.  Every operation is O(1),
 * however many services share a port or a host.
 *
 *   by key  ──▶ first owner ⇄ next owner ⇄ ...       `place`: slot in keys
 *   by (key, service) ──▶ each owner
 */
#ifndef ETCDSD_TABLE_KEYS_H
#define ETCDSD_TABLE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

#define KEYS_NONE UINT32_MAX

struct key {
    uint64_t high, low; /* address, in the order of its bytes; or 0, port */
    uint32_t kind;      /* 4, 6 or 'p' */
};

struct key_owner {
    struct key key;
    uint32_t service;             /* slot in names */
    uint32_t place;               /* of the first owner: slot in keys, or KEYS_NONE */
    uint32_t previous, next;      /* owners of the same key */
    uint32_t next_key, next_pair; /* in one bucket; next_key also links free ones */
};

/* Zero-initialised. */
struct keys {
    struct key_owner *owners;
    uint32_t *by_key, *by_pair; /* buckets: owner + 1 */
    uint32_t room, used, free;  /* owners; free: first free one + 1 */
    uint32_t live;
};

/* Makes room for `more` owners.  Returns 0 or -ENOMEM. */
int keys_reserve(struct keys *keys, uint32_t more);
void keys_free(struct keys *keys);

/* The first owner of a key, or NULL. */
struct key_owner *keys_first(struct keys *keys, const struct key *key);

/* Whether `service` is an owner of the key. */
struct key_owner *keys_find(struct keys *keys, const struct key *key, uint32_t service);

/* Adds an owner, last in its list.  Room must have been reserved. */
struct key_owner *keys_add(struct keys *keys, const struct key *key, uint32_t service);

/* Makes an owner the first of its list; `place` goes along. */
void keys_promote(struct keys *keys, struct key_owner *owner);

/* Takes an owner out; the next in its list inherits `place`. */
void keys_remove(struct keys *keys, struct key_owner *owner);

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
