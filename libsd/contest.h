/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One who contends for a lock or a leadership: a key <name>/<lease in hex> in a
 * queue ordered by create_revision, as etcd's own locks and elections have it.
 *
 *          lease granted        key written        nobody before us
 *   LEASE ──────────────▶ JOIN ────────────▶ QUEUE ────────────────▶ HELD
 *     ▲                    ▲                  │ │ ▲                    │
 *     │ lease gone         │ key gone         │ │ │ the one before     │ lost, or
 *     └────────────────────┴──────────────────┘ └─┘ us ends: look      │ given up
 *                                                                      ▼
 *   any phase: given up, or refused by etcd ───────────────────▶ LEAVING ──▶ OVER
 *                                                       lease revoked
 *
 * Rules:
 *  1. HELD begins with one linearizable transaction that sees our key, as we
 *     made it, and none before it, while our lease surely lives.
 *  2. It ends for us before it can for others: see keeper.h.  libsd_lock_is_held()
 *     needs no thread but the caller's to say so.
 *  3. Each watches its own key and the one before it, from the revision after
 *     the transaction that showed them: no end of theirs is missed, and the
 *     end of one wakes one.
 *  4. Leaving is the revocation of the lease, unless it is borrowed: then only
 *     the key is deleted.  It can be repeated, it takes
 *     the key along even if we never learned that it was written, and a
 *     writing that is late finds no lease.
 *
 * All on the I/O thread but for what is marked.
 */
#ifndef LIBSD_CONTEST_H
#define LIBSD_CONTEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "buffer.h"
#include "call.h"
#include "keeper.h"
#include "libsd.h"
#include "queue.h"
#include "stream.h"
#include "wait.h"

enum phase {
    PHASE_LEASE,
    PHASE_JOIN,
    PHASE_QUEUE,
    PHASE_HELD,
    PHASE_LEAVING,
    PHASE_OVER
};

/* A thread of the application that waits for HELD, or for OVER. */
struct errand {
    struct waiter waiter; /* first */
    struct task task;
    struct timer timer;
    struct libsd_mutex *mutex; /* a reference */
    int64_t deadline_ns;
};

struct libsd_mutex {
    struct owner owner; /* first: what the queue knows of us */
    struct libsd *sd;
    LIST_ENTRY(libsd_mutex) link;

    /* Never change. */
    char *prefix; /* name and '/' */
    char *value;
    size_t value_size;
    bool try_only;
    int64_t borrowed; /* the application's lease; 0: one of our own */
    libsd_lock_callback *callback;
    void *arg;

    /* Each holds a reference while it is posted. */
    struct task start;
    struct task release;
    struct task close;
    atomic_bool given_up; /* any thread: release was posted, or is no use */

    enum phase phase;
    bool begun;     /* and not retired */
    bool abandoned; /* by the application: ends when over */
    bool lost;
    bool closing;     /* the handle waits for our end */
    bool overwritten; /* the key is not under our lease any more */
    struct keeper keeper;
    struct call call; /* join, look or clean */
    struct timer retry;
    struct backoff backoff;
    struct failure failure; /* the last one of call */
    int64_t troubled_ns;
    unsigned troubles; /* in a row */
    int64_t looked_ns;
    struct subscription own;
    struct subscription before;
    struct buffer before_key;
    struct errand *errand;
    int told; /* enum libsd_lock_state */
    int told_error;
    struct timer untold; /* runs: told was not, there was no memory */

    /* Any thread: written before revision, and not again. */
    char *key;
    int64_t lease; /* the key's */
    int64_t create_revision;
    atomic_int_fast64_t revision;      /* 0: was not held yet */
    atomic_int_fast64_t held_until_ns; /* of keeper_clock_ns(); 0: not held */
};

/* Any thread.  NULL when out of memory.  One reference: of the I/O thread, once
 * it has begun. */
struct libsd_mutex *contest_new(struct libsd *sd, const char *name, libsd_slice value);

/* For contest_life.c: what is called when something happens; leaves, trying until
 * then; it will never be held, because of failure; the end. */
void contest_init(struct libsd_mutex *mutex);
void contest_leave_until(struct libsd_mutex *mutex, int64_t deadline_ns);
void contest_fail(struct libsd_mutex *mutex, const struct failure *failure);
void contest_retire(struct libsd_mutex *mutex);

/* contest_end.c, for contest.c.  Tells a new state, as soon as there is memory for
 * it; stops all but the lease; stops both watches. */
void contest_tell(struct libsd_mutex *mutex, int state, int error);
void contest_untold(struct timer *timer);
void contest_quiet(struct libsd_mutex *mutex);
void contest_unwatch(struct libsd_mutex *mutex);
/* It was held and is no more: tells, and leaves. */
void contest_lost(struct libsd_mutex *mutex, int error);
/* What the keeper calls when the lease is revoked. */
void contest_over(struct keeper *keeper, const struct failure *failure);

/* I/O thread: joins in. */
void contest_begin(struct libsd_mutex *mutex);
/* Leaves; at most once. */
void contest_leave(struct libsd_mutex *mutex);
/* Leaves if need be, and ends when that is done. */
void contest_abandon(struct libsd_mutex *mutex);
/* Ends the waiting, if any. */
void contest_answer(struct libsd_mutex *mutex, const struct failure *failure);

/* lock.c, for election.c: begins; and waits, or not, for being held.  Take the
 * reference over. */
int lock_wait(struct libsd_mutex *mutex, int ttl_s, int timeout_ms, struct libsd_mutex **out);
int lock_begin(struct libsd_mutex *mutex, const libsd_lock_options *options,
               libsd_lock_callback *callback, void *arg, struct libsd_mutex **out);
bool lock_is_name(const char *name);

/* Leaves all and stops the loop when that is done; before groups_end(), which
 * counts on with sd->closing.  Frees all. */
void contests_end(struct libsd *sd, int timeout_ms);
void contests_free(struct libsd *sd);

#endif
