/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Processes that register, for tests that kill, stop and resume them.
 *
 *            start                 stop
 *   ENDED ─────────▶ RUNNING ◀──────────────▶ STOPPED
 *     ▲   kill          │         resume         │
 *     └─────────────────┴────────────────────────┘
 *
 * Each has a handle of its own, which keeps CREW_KEYS registrations and follows
 * the whole service.  They are forked, so the test may have no threads.
 */
#ifndef TESTS_CREW_H
#define TESTS_CREW_H

#include <stdbool.h>
#include <sys/types.h>

#define CREW_SIZE   6
#define CREW_KEYS   3
#define CREW_PREFIX "/service/soak/"

enum duty {
    DUTY_ENDED,
    DUTY_RUNNING,
    DUTY_STOPPED
};

/* What a process holds. */
struct mate_use {
    long rss_kib;
    int threads;
    int descriptors;
};

struct mate {
    int number; /* set by the test */
    enum duty duty;
    pid_t pid;
};

void mate_start(struct mate *mate, const char *endpoints, int ttl_s);
void mate_kill(struct mate *mate);
void mate_stop(struct mate *mate);
void mate_resume(struct mate *mate);

/* Ended by itself: that is a fault. */
bool mate_has_ended(struct mate *mate);

/* Of one that runs. */
struct mate_use mate_holdings(const struct mate *mate);

/* The name below CREW_PREFIX, and the value, of its i-th registration. */
void mate_key(const struct mate *mate, int i, char *key, char *value);
#define MATE_TEXT_SIZE 60

#endif
