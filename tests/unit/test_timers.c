/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The order of timers.
 */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>

#include "timers.h"

TestSuite(timers, .timeout = 10);

static struct timers timers;

/* Takes the first back and returns when it was due; 0 if there is none. */
static int64_t take(void)
{
    struct timer *first = timers.first;
    int64_t due = first ? first->due_ns : 0;

    if (first)
        timers_remove(first);
    return due;
}

Test(timers, first_is_the_earliest)
{
    struct timer list[] = { { 0 }, { 0 }, { 0 }, { 0 } };

    timers_add(&timers, &list[0], 7, 0);
    timers_add(&timers, &list[1], 3, 0);
    timers_add(&timers, &list[2], 9, 0);
    timers_add(&timers, &list[3], 3, 0);
    cr_assert(take() == 3 && take() == 3 && take() == 7 && take() == 9 && take() == 0);
}

Test(timers, armed_again_counts_once)
{
    struct timer one = { 0 }, other = { 0 };

    timers_add(&timers, &other, 5, 0);
    timers_add(&timers, &one, 7, 0);
    timers_add(&timers, &one, 3, 0);
    cr_assert_eq(timers.first, &one);
    timers_add(&timers, &one, 9, 0);
    cr_assert_eq(timers.first, &other);
    timers_remove(&other);
    timers_remove(&other);
    cr_assert(take() == 9 && take() == 0);
}

Test(timers, what_waits_for_etcd_comes_earlier_when_it_is_heard_of)
{
    struct timer late = { 0 }, early = { 0 }, deaf = { 0 }, stopped = { 0 };

    timers_add(&timers, &late, 100, 10);
    timers_add(&timers, &early, 5, 10);
    timers_add(&timers, &deaf, 50, 0);
    timers_add(&timers, &stopped, 100, 20);
    timers_remove(&stopped);
    timers_heard(&timers);
    cr_assert(early.due_ns == 5 && late.due_ns == 10 && deaf.due_ns == 50 && stopped.due_ns == 0);
    timers_heard(&timers);
    cr_assert(take() == 5 && take() == 10 && take() == 50 && take() == 0);
}

/* ---- against a list ----------------------------------------------------- */

#define SOME 200

static int64_t earliest(const struct timer *list)
{
    int64_t first = 0;

    for (int i = 0; i < SOME; i++) {
        if (list[i].due_ns && (first == 0 || list[i].due_ns < first))
            first = list[i].due_ns;
    }
    return first;
}

Test(timers, whatever_is_done_the_first_is_the_earliest)
{
    static struct timer list[SOME];
    unsigned seed = 1;

    for (int i = 0; i < 200000; i++) {
        struct timer *timer = &list[rand_r(&seed) % SOME];
        int64_t due = 1 + rand_r(&seed) % 1000;

        switch (rand_r(&seed) % 8) {
        case 0:
        case 1:
            timers_remove(timer);
            break;
        case 2:
            take();
            break;
        case 3:
            timers_add(&timers, timer, due, 1 + rand_r(&seed) % 1000);
            break;
        default:
            timers_add(&timers, timer, due, 0);
            break;
        }
        if (rand_r(&seed) % 100 == 0)
            timers_heard(&timers);
        cr_assert_eq(timers.first ? timers.first->due_ns : 0, earliest(list));
    }
}

/* Looking through all of them each time would take the tens of seconds that it
 * is not given. */
Test(timers, many_cost_little)
{
    size_t count = 300000;
    struct timer *list = calloc(count, sizeof *list);
    unsigned seed = 1;
    int64_t last = 0;

    cr_assert_not_null(list);
    for (size_t i = 0; i < count; i++)
        timers_add(&timers, &list[i], 1 + rand_r(&seed), 0);
    for (size_t i = 0; i < count; i++) {
        int64_t due = take();

        cr_assert(due >= last);
        last = due;
    }
    cr_assert_null(timers.first);
    free(list);
}
