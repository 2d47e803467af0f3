/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Things to do at a time, of which the first is known: a pairing heap through
 * the timers themselves, so that arming one needs no memory and can't fail.
 *
 *   first ── due 3                 each is due no earlier than the one above;
 *             │child               prev of a first child is the one above,
 *            due 5 ⇄ due 4 ⇄ due 9 of the others the one to the left
 *             │child    next▶
 *            due 8 ⇄ due 5
 *
 * Arming is O(1), taking one out O(log n) amortised.
 */
#ifndef LIBSD_TIMERS_H
#define LIBSD_TIMERS_H

#include <stdint.h>
#include <sys/queue.h>

struct timers;

/* Not armed: due_ns is 0. */
struct timer {
    struct timers *timers;
    struct timer *child;
    struct timer *prev;
    struct timer *next;
    LIST_ENTRY(timer) retry_link; /* if retry_ns is not 0 */
    int64_t due_ns;
    int64_t retry_ns; /* not 0: due from then on, if etcd is heard of */
    void (*fire)(struct timer *timer);
};

struct timers {
    struct timer *first; /* NULL: none is armed */
    LIST_HEAD(, timer) retries;
};

/* Arms, or arms again.  due_ns: above 0.  retry_ns: 0 or, if etcd is heard of,
 * the new due_ns; of no effect when not earlier. */
void timers_add(struct timers *timers, struct timer *timer, int64_t due_ns, int64_t retry_ns);

/* Takes back; one that is not armed is left alone. */
void timers_remove(struct timer *timer);

/* Etcd was heard of. */
void timers_heard(struct timers *timers);

#endif
