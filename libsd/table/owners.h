/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Owners of keys: who is named in the `keys` index of a store, and who waits.
 *
 *   key, not in the index                nobody has it
 *        |   ^
 *  enter |   | leave, nobody waits
 *        v   |
 *   named -------leave, one waits-----> named: that one, in the same slot
 *
 * Several services may have one address or port; the index names one of them.
 * When that one loses it, another must be named at once (rule R5): addresses
 * are waited for in waiters.h, ports in ports.h.
 *
 *  K1 A key that somebody has is named, unless the store is cramped.
 *  K2 Who has an address waits for it or is named, not both.
 *  K3 An entry is its tag, its home and its service: two that are the same stand
 *     for two keys of one service, and it does not matter which for which.
 */
#ifndef ETCDSD_TABLE_OWNERS_H
#define ETCDSD_TABLE_OWNERS_H

#include "keys.h"

struct store;

/* The service got the key, and its record says so; room to wait is reserved.
 * The store becomes `cramped` where there is no place for an entry. */
void owner_enter(struct store *store, const struct key *key, uint32_t service);

/* The service is about to lose it, and its record does not say so yet. */
void owner_leave(struct store *store, const struct key *key, uint32_t service);

/* Whether a service's record says that it has the key; any number is allowed. */
bool owner_has(const struct store *store, uint32_t service, const struct key *key);

#endif
