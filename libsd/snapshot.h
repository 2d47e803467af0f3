/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Instances at one moment, for the application; and how one thread hands the
 * newest snapshot to all others without making them wait.
 *
 *   one thread                         any thread
 *     handover_set(new)                  enter: lane.readers[phase] + 1
 *       current = new                           s = current
 *       old one retired                         use s, or take a reference
 *     handover_reap()                    leave: lane.readers[phase] - 1
 *       frees it when all who may
 *       have seen it have left
 *
 * The counts are those of SRCU (P. McKenney, "Sleepable RCU", 2006): readers
 * count themselves in one of two phases, in a cache line that they share with
 * few others.  Everything marked SC is sequentially consistent, so a reader
 * that counts itself after the writer looked at the count loads `current` after
 * the writer changed it: it sees the new one.  A retired snapshot is freed when
 * each count was seen to be zero once since; phases are turned over in between,
 * so that those who come meanwhile do not keep it from ever being zero.
 * Nobody waits: what can't be freed yet is looked at again later.
 */
#ifndef LIBSD_SNAPSHOT_H
#define LIBSD_SNAPSHOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer.h"

struct rota;

struct libsd_snapshot {
    atomic_uint references;
    int64_t revision;
    size_t unreadable;
    _Atomic(struct rota *) rota;    /* whose turn it is; made at the first pick */
    struct libsd_snapshot *retired; /* the next one, when waiting to be freed */
    size_t count;
    struct peer *peers[]; /* by peer_compare() */
};

/* An empty one with room for so many peers, to be filled by its maker; NULL
 * when out of memory. */
struct libsd_snapshot *snapshot_new(size_t room);

/* Adds a peer with a reference of its own. */
void snapshot_add(struct libsd_snapshot *snapshot, struct peer *peer);

/* Sorts what was added in any order. */
void snapshot_sort(struct libsd_snapshot *snapshot);

#define LANES 16

struct lane {
    _Alignas(64) atomic_uint readers[2];
    _Atomic(uint64_t) turn; /* pick.c: how often it was somebody's turn */
};

struct handover {
    _Atomic(struct libsd_snapshot *) current; /* SC */
    atomic_uint phase;
    struct lane lanes[LANES];

    /* The one thread's. */
    struct libsd_snapshot *fresh;   /* retired since the round began */
    struct libsd_snapshot *waiting; /* retired before */
    bool turned;                    /* the waiting ones' second phase */
};

/* The lane of the calling thread. */
static inline struct lane *handover_lane(struct handover *handover)
{
    uint64_t hash = (uint64_t)pthread_self() * UINT64_C(0x9e3779b97f4a7c15);

    return &handover->lanes[hash >> 60];
}
_Static_assert(LANES == 1 << 4, "the hash's first four bits choose a lane");

/* Between these two, the snapshot stays; keep it short.  Returns the phase. */
static inline unsigned handover_enter(struct handover *handover, struct lane *lane,
                                      struct libsd_snapshot **snapshot)
{
    unsigned phase = atomic_load_explicit(&handover->phase, memory_order_relaxed) & 1;

    atomic_fetch_add(&lane->readers[phase], 1);  /* SC */
    *snapshot = atomic_load(&handover->current); /* SC */
    return phase;
}

static inline void handover_leave(struct lane *lane, unsigned phase)
{
    atomic_fetch_sub_explicit(&lane->readers[phase], 1, memory_order_release);
}

/* The newest snapshot with a reference; NULL if there is none. */
struct libsd_snapshot *handover_get(struct handover *handover);

/* On the one thread: hands over a snapshot (or NULL), reference and all; then
 * frees what can be freed.  handover_reap() returns false if something is left. */
void handover_set(struct handover *handover, struct libsd_snapshot *snapshot);
bool handover_reap(struct handover *handover);

/* When no other thread can be reading any more. */
void handover_free(struct handover *handover);

#endif
