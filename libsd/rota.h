/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whose turn it is among the instances of a snapshot.  Pure: a rota is made
 * once and only read afterwards; turns are counted by whoever asks.
 *
 *   order      [ 4 0 2 | 1 3 ]     peers by priority: a group each, lowest first
 *   sums       [ 5 6 7 | 1 2 ]     running weights within the group
 *   schedule   [ 4 4 0 4 2 4 4 ]   of a group with weights: one whole round
 *
 * A schedule is nginx's smooth weighted round robin, worked out beforehand
 * (ngx_http_upstream_get_peer(): each round everybody gains his weight, the
 * richest is chosen and pays what all have gained).  In one round each is chosen
 * exactly as often as his weight says, and evenly spread.  Where the round would be
 * too long to write down, turns fall on the running weights in steps of the
 * golden ratio, which spreads them as evenly in the long run.
 */
#ifndef LIBSD_ROTA_H
#define LIBSD_ROTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer.h"

#define SCHEDULE_MAX  65536               /* turns of one round */
#define SCHEDULE_WORK (UINT64_C(1) << 20) /* steps to work it out */

struct rota_group {
    uint32_t first, count; /* in order and sums */
    uint32_t schedule_at;
    uint32_t length; /* of the schedule; 0: none */
    bool weighted;   /* weights differ */
};

struct rota {
    uint32_t *order;
    uint32_t *sums;
    uint32_t *schedule;
    uint32_t group_count;
    struct rota_group groups[];
};

/* For count (not 0) peers.  NULL when out of memory; free() it. */
struct rota *rota_new(struct peer *const *peers, size_t count);

/* The peer whose turn it is, by policy (not STICKY).  turn: 0, 1, 2 ... ;
 * RANDOM: any random number. */
uint32_t rota_choose(const struct rota *rota, const struct rota_group *group, int policy,
                     uint64_t turn);

/* For STICKY: what a key is, and how much a peer wants it; the one that wants
 * it most gets it. */
uint64_t rota_key(libsd_slice key);
uint64_t rota_score(uint64_t key, uint64_t identity);

#endif
