/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Time, chance and failure.
 */
#include "util.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

int failure_set(struct failure *failure, int code, const char *format, ...)
{
    va_list args;

    failure->code = code;
    va_start(args, format);
    vsnprintf(failure->text, sizeof failure->text, format, args);
    va_end(args);
    /* Server texts end up here: keep the promise of one line. */
    for (char *c = failure->text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = ' ';
    }
    return code;
}

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * S + now.tv_nsec;
}

uint64_t random_u64(void)
{
    uint64_t random;

    /* Fails only on kernels without getrandom() or early at boot; jitter and
     * lease ids (which etcd checks for clashes) can live with the clock. */
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = (uint64_t)now_ns() * UINT64_C(0x9e3779b97f4a7c15);
    return random;
}

int64_t jitter(int64_t limit)
{
    int64_t half = limit / 2;

    return half > 0 ? half + (int64_t)(random_u64() % (uint64_t)half) : limit;
}

int64_t backoff_ns(unsigned level)
{
    return jitter(level < 6 ? (50 * MS) << level : 2 * S);
}

int64_t backoff_next_ns(struct backoff *backoff, const struct failure *failure)
{
    unsigned level;

    if (libsd_error_is_retriable(failure->code)) {
        backoff->refusals = 0;
        return backoff_ns(backoff->failures++);
    }
    level = backoff->refusals++;
    if (level == 0)
        return backoff_ns(0);
    return jitter(level < 6 ? S << (level - 1) : 30 * S);
}

bool backoff_is_new(const struct backoff *backoff)
{
    return backoff->failures == 0 && backoff->refusals == 0;
}
