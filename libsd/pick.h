/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One picking: what was asked for, whose turn it is, who rests.
 *
 * Turns are counted in the lane of the calling thread, without a lock: of two
 * threads that share one, both may be given the same turn.  A candidate at rest
 * costs a turn, so that its share goes to all the others and not to the next
 * one alone.
 */
#ifndef LIBSD_PICK_H
#define LIBSD_PICK_H

#include <stdbool.h>
#include <stdint.h>

#include "outlier.h"
#include "rota.h"
#include "snapshot.h"

/* So many turns are tried before those who don't rest are looked for one by one. */
#define PICK_TURNS 8

struct pick {
    int policy;
    uint64_t key; /* STICKY: rota_key() */
    struct lane *lane;
    struct outliers *outliers; /* NULL: nobody rests */
    int64_t now;
};

static inline uint64_t pick_turn(const struct pick *pick)
{
    uint64_t turn = atomic_load_explicit(&pick->lane->turn, memory_order_relaxed);

    atomic_store_explicit(&pick->lane->turn, turn + 1, memory_order_relaxed);
    if (pick->policy != LIBSD_PICK_RANDOM)
        return turn;
    /* SplitMix64 (Steele, Lea, Flood 2014): a counter makes a random sequence. */
    turn *= UINT64_C(0x9e3779b97f4a7c15);
    turn = (turn ^ (turn >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    turn = (turn ^ (turn >> 27)) * UINT64_C(0x94d049bb133111eb);
    return turn ^ (turn >> 31);
}

static inline bool pick_rests(const struct pick *pick, uint64_t identity)
{
    return pick->outliers && outliers_rests(pick->outliers, identity, pick->now);
}

/* The peer of a snapshot that is not empty.  NULL when out of memory. */
const struct peer *pick_peer(const struct pick *pick, struct libsd_snapshot *snapshot);

#endif
