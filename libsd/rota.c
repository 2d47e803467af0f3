/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Rotas: made and read; see rota.h.
 */
#include "rota.h"

#include <stdlib.h>

static uint32_t weight_of(const struct peer *peer)
{
    return peer->instance.weight ? peer->instance.weight : 1;
}

/* Of two numbers above 0. */
static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    for (uint32_t rest = a % b; rest; rest = a % b) {
        a = b;
        b = rest;
    }
    return b;
}

/* ---- making ------------------------------------------------------------- */

/* A peer with what decides its place. */
struct ranked {
    uint32_t priority;
    uint32_t peer;
};

static int by_priority(const void *a, const void *b)
{
    const struct ranked *left = a;
    const struct ranked *right = b;

    if (left->priority != right->priority)
        return left->priority < right->priority ? -1 : 1;
    return left->peer < right->peer ? -1 : left->peer > right->peer;
}

/* Sorts peers into order.  Returns how many groups they make. */
static uint32_t rank(struct ranked *ranked, struct peer *const *peers, uint32_t count)
{
    uint32_t groups = 1;

    for (uint32_t i = 0; i < count; i++)
        ranked[i] = (struct ranked){ peers[i]->instance.priority, i };
    qsort(ranked, count, sizeof *ranked, by_priority);
    for (uint32_t i = 1; i < count; i++)
        groups += ranked[i].priority != ranked[i - 1].priority;
    return groups;
}

/* What a group's weights come to. */
struct weights {
    uint32_t divisor;
    uint64_t total;
    bool differ;
};

static struct weights weigh(const struct rota *rota, const struct rota_group *group,
                            struct peer *const *peers)
{
    uint32_t first = weight_of(peers[rota->order[group->first]]);
    struct weights weights = { .divisor = first };

    for (uint32_t i = group->first; i < group->first + group->count; i++) {
        uint32_t weight = weight_of(peers[rota->order[i]]);

        weights.differ |= weight != first;
        weights.divisor = common_divisor(weight, weights.divisor);
        weights.total += weight;
    }
    return weights;
}

/* nginx's algorithm.  gains: room for the group's peers, zeroed here. */
static void write_schedule(struct rota *rota, const struct rota_group *group,
                           struct peer *const *peers, uint32_t divisor, int64_t *gains)
{
    const uint32_t *order = rota->order + group->first;

    memset(gains, 0, group->count * sizeof *gains);
    for (uint32_t turn = 0; turn < group->length; turn++) {
        uint32_t richest = 0;

        for (uint32_t i = 0; i < group->count; i++) {
            gains[i] += weight_of(peers[order[i]]) / divisor;
            if (gains[i] > gains[richest])
                richest = i;
        }
        gains[richest] -= group->length;
        rota->schedule[group->schedule_at + turn] = order[richest];
    }
}

/* Fills a group's sums and its shape.  Returns the length of all schedules. */
static uint32_t shape(struct rota *rota, struct rota_group *group, struct peer *const *peers,
                      uint32_t length)
{
    struct weights weights = weigh(rota, group, peers);
    uint64_t round = weights.total / weights.divisor;
    uint32_t sum = 0;

    for (uint32_t i = group->first; i < group->first + group->count; i++)
        rota->sums[i] = sum += weight_of(peers[rota->order[i]]);
    group->weighted = weights.differ;
    group->schedule_at = length;
    if (weights.differ && round <= SCHEDULE_MAX && round * group->count <= SCHEDULE_WORK)
        group->length = (uint32_t)round;
    return length + group->length;
}

/* Everything in one piece of memory. */
static struct rota *assemble(const struct ranked *ranked, struct peer *const *peers, uint32_t count,
                             uint32_t groups)
{
    size_t head = sizeof(struct rota) + groups * sizeof(struct rota_group);
    struct rota *rota = calloc(1, head + 2 * (size_t)count * sizeof(uint32_t));
    struct rota_group *group;
    uint32_t length = 0;

    if (!rota)
        return NULL;
    rota->order = (uint32_t *)(void *)((char *)rota + head);
    rota->sums = rota->order + count;
    group = rota->groups - 1;
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || ranked[i].priority != ranked[i - 1].priority)
            (++group)->first = i;
        group->count++;
        rota->order[i] = ranked[i].peer;
    }
    rota->group_count = groups;
    for (uint32_t i = 0; i < groups; i++)
        length = shape(rota, &rota->groups[i], peers, length);
    if (length) {
        struct rota *longer = realloc(rota, head + (2 * (size_t)count + length) * sizeof(uint32_t));

        if (!longer) {
            free(rota);
            return NULL;
        }
        rota = longer;
        rota->order = (uint32_t *)(void *)((char *)rota + head);
        rota->sums = rota->order + count;
        rota->schedule = rota->sums + count;
    }
    return rota;
}

struct rota *rota_new(struct peer *const *peers, size_t count)
{
    struct ranked *ranked = reallocarray(NULL, count, sizeof *ranked);
    int64_t *gains = reallocarray(NULL, count, sizeof *gains);
    struct rota *rota = NULL;

    if (ranked && gains)
        rota = assemble(ranked, peers, (uint32_t)count, rank(ranked, peers, (uint32_t)count));
    for (uint32_t i = 0; rota && i < rota->group_count; i++) {
        const struct rota_group *group = &rota->groups[i];

        if (group->length)
            write_schedule(rota, group, peers, weigh(rota, group, peers).divisor, gains);
    }
    free(ranked);
    free(gains);
    return rota;
}

/* ---- reading ------------------------------------------------------------ */

/* Where a point of 0 to 2^32 - 1 falls on the running weights. */
static uint32_t by_weight(const struct rota *rota, const struct rota_group *group, uint32_t point)
{
    const uint32_t *sums = rota->sums + group->first;
    uint32_t wanted = (uint32_t)((uint64_t)point * sums[group->count - 1] >> 32);
    uint32_t low = 0;
    uint32_t high = group->count - 1;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (sums[middle] > wanted)
            high = middle;
        else
            low = middle + 1;
    }
    return rota->order[group->first + low];
}

uint32_t rota_choose(const struct rota *rota, const struct rota_group *group, int policy,
                     uint64_t turn)
{
    uint32_t count = group->count;

    if (policy == LIBSD_PICK_RANDOM) {
        if (group->weighted)
            return by_weight(rota, group, (uint32_t)(turn >> 32));
        return rota->order[group->first + (uint32_t)((turn >> 32) * count >> 32)];
    }
    if (policy == LIBSD_PICK_WEIGHTED && group->weighted) {
        if (group->length)
            return rota->schedule[group->schedule_at + (uint32_t)turn % group->length];
        return by_weight(rota, group, (uint32_t)(turn * UINT64_C(0x9e3779b97f4a7c15) >> 32));
    }
    return rota->order[group->first + (uint32_t)turn % count];
}

/* FNV-1a, finished as in MurmurHash3: the same in every process, for whoever
 * shares a key must be sent to the same instance. */
uint64_t rota_key(libsd_slice key)
{
    const unsigned char *byte = key.data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t rota_score(uint64_t key, uint64_t identity)
{
    uint64_t hash = key ^ identity;

    hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ (hash >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 33);
}
