/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Timers in a pairing heap: see the drawing in timers.h; after Fredman,
 * Sedgewick, Sleator and Tarjan, "The pairing heap", Algorithmica 1 (1986).
 */
#include "timers.h"

#include <stddef.h>

/* Makes one of two heaps, whose tops have no neighbours; either may be none. */
static struct timer *meld(struct timer *one, struct timer *other)
{
    struct timer *above = one;
    struct timer *below = other;

    if (!one || !other)
        return one ? one : other;
    if (other->due_ns < one->due_ns) {
        above = other;
        below = one;
    }
    below->prev = above;
    below->next = above->child;
    if (above->child)
        above->child->prev = below;
    above->child = below;
    return above;
}

/* Takes one off a row of neighbours, whose rest it returns. */
static struct timer *detach(struct timer *timer)
{
    struct timer *rest = timer ? timer->next : NULL;

    if (timer)
        timer->prev = timer->next = NULL;
    return rest;
}

/* Makes one heap of a row: in pairs from the left, then those from the right,
 * which is what keeps later takings cheap. */
static struct timer *meld_row(struct timer *row)
{
    struct timer *pairs = NULL;
    struct timer *whole = NULL;

    while (row) {
        struct timer *one = row;
        struct timer *other = detach(one);
        struct timer *pair;

        row = detach(other);
        pair = meld(one, other);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs) {
        struct timer *pair = pairs;

        pairs = detach(pair);
        whole = meld(whole, pair);
    }
    return whole;
}

void timers_add(struct timers *timers, struct timer *timer, int64_t due_ns, int64_t retry_ns)
{
    timers_remove(timer);
    timer->timers = timers;
    timer->due_ns = due_ns;
    timer->retry_ns = retry_ns < due_ns ? retry_ns : 0;
    if (timer->retry_ns)
        LIST_INSERT_HEAD(&timers->retries, timer, retry_link);
    timers->first = meld(timers->first, timer);
}

void timers_remove(struct timer *timer)
{
    struct timers *timers = timer->timers;
    struct timer *prev = timer->prev;
    struct timer *children = timer->child;

    if (!timer->due_ns)
        return;
    if (!prev)
        timers->first = NULL;
    else if (prev->child == timer)
        prev->child = timer->next;
    else
        prev->next = timer->next;
    if (timer->next)
        timer->next->prev = prev;
    timer->prev = timer->next = timer->child = NULL;
    timers->first = meld(timers->first, meld_row(children));
    if (timer->retry_ns)
        LIST_REMOVE(timer, retry_link);
    timer->due_ns = timer->retry_ns = 0;
}

void timers_heard(struct timers *timers)
{
    struct timer *timer;

    while ((timer = LIST_FIRST(&timers->retries)))
        timers_add(timers, timer, timer->retry_ns, 0);
}
