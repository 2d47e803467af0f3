/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Time, chance and failure: what every other file of libsd leans on.
 */
#ifndef LIBSD_UTIL_H
#define LIBSD_UTIL_H

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

/* The same after a failure that time alone may not mend, such as a refused
 * password: one quick try, for a token may just have expired, then slowly. */
int64_t backoff_after_ns(const struct failure *failure, unsigned level);

#endif
