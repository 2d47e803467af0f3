/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See waiters.h.
 */
#include "waiters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Private to the process and rebuilt with every file, so a fixed seed serves:
 * what an attacker could aim at is the table's index, which has its own. */
#define SEED     UINT64_C(0x2d358dccaa6c78a5)

#define NONE     UINT32_MAX
#define MAX_ROOM ((UINT32_C(1) << 30) - 1)

static struct key key_of(const struct waiter *waiter)
{
    return (struct key){ .high = waiter->high, .low = waiter->low, .kind = waiter->is_v6 ? 6 : 4 };
}

static bool has_key(const struct waiter *waiter, const struct key *key)
{
    return waiter->high == key->high && waiter->low == key->low &&
           waiter->is_v6 == (key->kind == 6);
}

static uint32_t *bucket_of_key(const struct waiters *waiters, const struct key *key)
{
    return &waiters->by_key[key_hash(key, SEED) & (waiters->buckets - 1)];
}

static uint32_t *bucket_of_pair(const struct waiters *waiters, const struct key *key,
                                uint32_t service)
{
    uint64_t hash = table_mix(key_hash(key, SEED), SEED ^ service);

    return &waiters->by_pair[hash & (waiters->buckets - 1)];
}

/* ---- room -------------------------------------------------------------- */

static void push(struct waiters *waiters, uint32_t number)
{
    struct waiter *waiter = &waiters->list[number];
    struct key key = key_of(waiter);
    uint32_t *bucket = bucket_of_pair(waiters, &key, waiter->service);

    waiter->next_pair = *bucket;
    *bucket = number + 1;
    if (waiter->previous != NONE)
        return;
    bucket = bucket_of_key(waiters, &key);
    waiter->next_key = *bucket;
    *bucket = number + 1;
}

static int buckets_grow(struct waiters *waiters)
{
    uint32_t buckets = waiters->buckets ? waiters->buckets : 64;
    uint32_t *by_key, *by_pair;

    while (buckets < waiters->room)
        buckets *= 2;
    if (buckets == waiters->buckets)
        return 0;
    by_key = calloc(buckets, sizeof *by_key);
    by_pair = calloc(buckets, sizeof *by_pair);
    if (by_key == NULL || by_pair == NULL) {
        free(by_key);
        free(by_pair);
        return -ENOMEM;
    }
    free(waiters->by_key);
    free(waiters->by_pair);
    waiters->by_key = by_key;
    waiters->by_pair = by_pair;
    waiters->buckets = buckets;
    for (uint32_t i = 0; i < waiters->used; i++)
        if (waiters->list[i].is_used)
            push(waiters, i);
    return 0;
}

/* A quarter more each time: there may be millions. */
int waiters_reserve(struct waiters *waiters, uint32_t more)
{
    uint64_t room = (uint64_t)waiters->live + more;
    struct waiter *list;

    if (room <= waiters->room && waiters->room > 0)
        return buckets_grow(waiters);
    room += room / 4 + 16;
    if (room > MAX_ROOM)
        return -ENOMEM;
    list = realloc(waiters->list, room * sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    waiters->list = list;
    waiters->room = (uint32_t)room;
    return buckets_grow(waiters);
}

void waiters_free(struct waiters *waiters)
{
    free(waiters->list);
    free(waiters->by_key);
    free(waiters->by_pair);
    memset(waiters, 0, sizeof *waiters);
}

/* ---- finding ----------------------------------------------------------- */

/* The number of the first that waits for an address, or NONE. */
static uint32_t first_find(const struct waiters *waiters, const struct key *key)
{
    uint32_t i = waiters->live > 0 ? *bucket_of_key(waiters, key) : 0;

    while (i != 0 && !has_key(&waiters->list[i - 1], key))
        i = waiters->list[i - 1].next_key;
    return i != 0 ? i - 1 : NONE;
}

static uint32_t pair_find(const struct waiters *waiters, const struct key *key, uint32_t service)
{
    uint32_t i = waiters->live > 0 ? *bucket_of_pair(waiters, key, service) : 0;

    while (i != 0 &&
           (waiters->list[i - 1].service != service || !has_key(&waiters->list[i - 1], key)))
        i = waiters->list[i - 1].next_pair;
    return i != 0 ? i - 1 : NONE;
}

/* ---- changing ---------------------------------------------------------- */

static uint32_t number_take(struct waiters *waiters)
{
    uint32_t number = waiters->free - 1;

    if (waiters->free == 0)
        return waiters->used++;
    waiters->free = waiters->list[number].next_key;
    return number;
}

void waiters_add(struct waiters *waiters, const struct key *key, uint32_t service)
{
    uint32_t first = first_find(waiters, key), number = number_take(waiters);
    struct waiter *waiter = &waiters->list[number];

    *waiter = (struct waiter){ .high = key->high,
                               .low = key->low,
                               .service = service,
                               .previous = first,
                               .next = NONE,
                               .is_v6 = key->kind == 6,
                               .is_used = true };
    if (first != NONE) {
        /* Behind the first one: as good as last, and needs no tail. */
        waiter->next = waiters->list[first].next;
        if (waiter->next != NONE)
            waiters->list[waiter->next].previous = number;
        waiters->list[first].next = number;
    }
    waiters->live++;
    push(waiters, number);
}

static void pair_unlink(struct waiters *waiters, const struct key *key, uint32_t number)
{
    struct waiter *list = waiters->list;
    uint32_t *bucket = bucket_of_pair(waiters, key, list[number].service);

    if (*bucket == number + 1) {
        *bucket = list[number].next_pair;
    } else {
        uint32_t i = *bucket - 1;

        while (list[i].next_pair != number + 1)
            i = list[i].next_pair - 1;
        list[i].next_pair = list[number].next_pair;
    }
}

/* In the place of a first one comes the next, if there is one. */
static void key_unlink(struct waiters *waiters, const struct key *key, uint32_t number)
{
    struct waiter *list = waiters->list;
    uint32_t *bucket = bucket_of_key(waiters, key), heir = list[number].next;
    uint32_t instead = heir != NONE ? heir + 1 : list[number].next_key;

    if (heir != NONE)
        list[heir].next_key = list[number].next_key;
    if (*bucket == number + 1) {
        *bucket = instead;
    } else {
        uint32_t i = *bucket - 1;

        while (list[i].next_key != number + 1)
            i = list[i].next_key - 1;
        list[i].next_key = instead;
    }
}

static void waiter_out(struct waiters *waiters, const struct key *key, uint32_t number)
{
    struct waiter *list = waiters->list, *waiter = &list[number];

    pair_unlink(waiters, key, number);
    if (waiter->previous == NONE)
        key_unlink(waiters, key, number);
    else
        list[waiter->previous].next = waiter->next;
    if (waiter->next != NONE)
        list[waiter->next].previous = waiter->previous;
    *waiter = (struct waiter){ .next_key = waiters->free };
    waiters->free = number + 1;
    waiters->live--;
}

bool waiters_remove(struct waiters *waiters, const struct key *key, uint32_t service)
{
    uint32_t number = pair_find(waiters, key, service);

    if (number != NONE)
        waiter_out(waiters, key, number);
    return number != NONE;
}

bool waiters_take(struct waiters *waiters, const struct key *key, uint32_t *service)
{
    uint32_t number = first_find(waiters, key);

    if (number == NONE)
        return false;
    *service = waiters->list[number].service;
    waiter_out(waiters, key, number);
    return true;
}
