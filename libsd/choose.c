/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Choosing among the peers of a snapshot: the lowest priority that has one
 * not at rest, in it by policy; if all rest, as if none did.
 */
#include <stdlib.h>

#include "pick.h"

/* Made by the first who picks; a snapshot that nobody picks from needs none. */
static const struct rota *rota_of(struct libsd_snapshot *snapshot)
{
    struct rota *rota = atomic_load_explicit(&snapshot->rota, memory_order_acquire);
    struct rota *made;

    if (rota)
        return rota;
    made = rota_new(snapshot->peers, snapshot->count);
    if (!made)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(&snapshot->rota, &rota, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    free(made); /* somebody else was faster */
    return rota;
}

/* Who of a group wants the key most.  any: those at rest count, too. */
static const struct peer *wanting(const struct pick *pick, const struct rota *rota,
                                  const struct rota_group *group, struct peer *const *peers,
                                  bool any)
{
    const struct peer *best = NULL;
    uint64_t most = 0;

    for (uint32_t i = group->first; i < group->first + group->count; i++) {
        const struct peer *peer = peers[rota->order[i]];
        uint64_t score = rota_score(pick->key, peer->identity);

        if ((!best || score > most) && (any || !pick_rests(pick, peer->identity))) {
            best = peer;
            most = score;
        }
    }
    return best;
}

/* NULL: all of the group rest. */
static const struct peer *working(const struct pick *pick, const struct rota *rota,
                                  const struct rota_group *group, struct peer *const *peers)
{
    uint64_t turn = 0;

    if (pick->policy == LIBSD_PICK_STICKY)
        return wanting(pick, rota, group, peers, false);
    for (int i = 0; i < PICK_TURNS; i++) {
        const struct peer *peer;

        turn = pick_turn(pick);
        peer = peers[rota_choose(rota, group, pick->policy, turn)];
        if (!pick_rests(pick, peer->identity))
            return peer;
    }
    for (uint32_t i = 0; i < group->count; i++) {
        uint32_t at = group->first + (uint32_t)((turn + i) % group->count);
        const struct peer *peer = peers[rota->order[at]];

        if (!pick_rests(pick, peer->identity))
            return peer;
    }
    return NULL;
}

const struct peer *pick_peer(const struct pick *pick, struct libsd_snapshot *snapshot)
{
    const struct rota *rota = rota_of(snapshot);
    struct peer *const *peers = snapshot->peers;

    if (!rota)
        return NULL;
    for (uint32_t i = 0; i < rota->group_count; i++) {
        const struct peer *peer = working(pick, rota, &rota->groups[i], peers);

        if (peer)
            return peer;
    }
    if (pick->policy == LIBSD_PICK_STICKY)
        return wanting(pick, rota, &rota->groups[0], peers, true);
    return peers[rota_choose(rota, &rota->groups[0], pick->policy, pick_turn(pick))];
}
