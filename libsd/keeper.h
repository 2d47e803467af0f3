/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A lease that is one owner's alone: granted, kept alive, revoked.
 *
 *             granted                renewed each TTL/3
 *   start ──▶ GRANT ─────▶ HELD ◀──┬──▶ beat        revoke
 *     ▲                     │      │                  │
 *     │ the owner's wish    │      │ TTL over since   ▼
 *     └──────────────── gone,      │ the last good   over
 *                       says etcd  │ beat: late, but
 *                                  └ beats go on
 *
 * All on the I/O thread.
 */
#ifndef LIBSD_KEEPER_H
#define LIBSD_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "call.h"

struct keeper {
    struct libsd *sd;
    int ttl_s; /* asked for */

    /* Told; none of them from inside a call of ours, but gone from inside
     * keeper_lost(). */
    void (*on_alive)(struct keeper *keeper); /* granted or renewed */
    void (*on_late)(struct keeper *keeper);
    void (*on_gone)(struct keeper *keeper);
    /* Not granted, and waiting does not help. */
    void (*on_refused)(struct keeper *keeper, const struct failure *failure);
    /* Revoked; failure.code 0, or why that is not known. */
    void (*on_over)(struct keeper *keeper, const struct failure *failure);

    int64_t lease; /* 0: none; set before the grant is sent */
    bool held;     /* etcd granted it, and has not said that it is gone */
    int64_t granted_ttl_s;
    int64_t granted_ns;
    int64_t renewed_ns; /* when the last successful grant or beat was sent */
    /* Until then etcd surely has the lease; of keeper_clock_ns(). */
    int64_t safe_ns;
    int64_t slept_ns; /* the clocks' difference when call was begun */
    struct call call; /* grant, beat or revoke */
    struct timer timer;
    struct timer deadline;
    unsigned failures; /* in a row */
    struct failure failure;
};

/* CLOCK_BOOTTIME: unlike the monotonic clock it goes on while the machine
 * sleeps, as etcd's does. */
int64_t keeper_clock_ns(void);

/* Grants a new lease, at once or, if the last one did not live long, later. */
void keeper_start(struct keeper *keeper);

/* Keeps a lease of somebody else's instead. */
void keeper_adopt(struct keeper *keeper, int64_t lease);

/* Etcd says that the lease is gone. */
void keeper_lost(struct keeper *keeper);

/* Ends the lease and its keys, trying until deadline_ns; then on_over. */
void keeper_revoke(struct keeper *keeper, int64_t deadline_ns);

/* Lets go, telling nobody. */
void keeper_stop(struct keeper *keeper);

#endif
