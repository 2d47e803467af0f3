/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Services that have an address which the `keys` index names another service
 * for: they wait to be named when that one loses it.  The writer's private
 * memory; an address that only one service has takes none of it.
 *
 *   by address             ──▶ first waiter ⇄ next waiter ⇄ ...
 *   by (address, service)  ──▶ each waiter
 *
 * Every operation is O(1), however many services share a host.
 */
#ifndef ETCDSD_TABLE_WAITERS_H
#define ETCDSD_TABLE_WAITERS_H

#include "keys.h"

struct waiter {
    uint64_t high, low;      /* of the key */
    uint32_t service;        /* slot in names */
    uint32_t previous, next; /* waiters for the same address */
    uint32_t next_key : 31;  /* in one bucket; also links free ones */
    uint32_t is_used : 1;
    uint32_t next_pair : 31; /* in one bucket */
    uint32_t is_v6 : 1;
};
_Static_assert(sizeof(struct waiter) <= 40, "one for each service that shares a host");

/* Zero-initialised. */
struct waiters {
    struct waiter *list;
    uint32_t *by_key, *by_pair; /* buckets: number in the list + 1 */
    uint32_t buckets;           /* of each; a power of two */
    uint32_t room, used, free;  /* in the list; free: first free one + 1 */
    uint32_t live;
};

/* Makes room for `more`.  Returns 0 or -ENOMEM. */
int waiters_reserve(struct waiters *waiters, uint32_t more);
void waiters_free(struct waiters *waiters);

/* A service begins to wait; room must have been reserved. */
void waiters_add(struct waiters *waiters, const struct key *key, uint32_t service);

/* It does so no more.  Returns whether it did. */
bool waiters_remove(struct waiters *waiters, const struct key *key, uint32_t service);

/* Takes one out that waits for the address.  Returns whether there is one. */
bool waiters_take(struct waiters *waiters, const struct key *key, uint32_t *service);

#endif
