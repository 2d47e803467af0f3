/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Time, chance and failure: what every other file of libsd leans on.
 */
#ifndef LIBSD_UTIL_H
#define LIBSD_UTIL_H

#include <stdbool.h>
#include <stdint.h>

#include "libsd.h"

#define MS INT64_C(1000000) /* in nanoseconds, the unit of all our times */
#define S  (1000 * MS)

/* What went wrong, in the words of the place that knew most about it. */
struct failure {
    int code; /* LIBSD_E*, 0 for none */
    char text[240];
};

/* Fills a failure; one line, cut if too long.  Returns code. */
int failure_set(struct failure *failure, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* CLOCK_MONOTONIC: leases and deadlines must not jump with the wall clock. */
int64_t now_ns(void);

uint64_t random_u64(void);

/* Between half of limit and limit. */
int64_t jitter(int64_t limit);

/* The wait before attempt number level + 1: 50 ms doubled up to 2 s, jittered,
 * so that clients which lost the same server do not come back as one. */
int64_t backoff_ns(unsigned level);

/* Failures in a row, by what may mend them. */
struct backoff {
    unsigned failures; /* time alone: nobody answered */
    unsigned refusals; /* it may not, as with a refused password */
};

/* Counts a failure in and returns the wait before the next attempt.  After
 * refusals: one quick try, for a token may just have expired, then slowly, up
 * to 30 s.  A refusal behind an outage is a first one again: the outage may be
 * what ended the token. */
int64_t backoff_next_ns(struct backoff *backoff, const struct failure *failure);
bool backoff_is_new(const struct backoff *backoff);

#endif
