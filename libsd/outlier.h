/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Instances of a service that failed, and rest.
 *
 *              failure: rest 1 s, 2 s, 4 s ... 60 s
 *   (unknown) ─────────────▶ RESTING ──rest over──▶ ON TRIAL ──failure──▶ RESTING
 *       ▲                       │                      │
 *       └────── success ────────┴───────── success ────┘
 *
 * Known by identity, so it does not matter which source or snapshot an instance
 * was picked from.  Read without a lock by those who pick; a reader may see an
 * entry half changed, which at worst lets one rest or work for one pick too
 * many.  Writing takes the mutex.  Bounded: a place that is free or whose rest is
 * long over is used again, and if there is none the failure is not remembered.
 */
#ifndef LIBSD_OUTLIER_H
#define LIBSD_OUTLIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OUTLIERS       1024
#define OUTLIER_PLACES 2048 /* half of them stay free, so that searches are short */
#define REST_MIN_NS    (1 * INT64_C(1000000000))
#define REST_MAX_NS    (60 * INT64_C(1000000000))
#define REST_FORGET_NS (120 * INT64_C(1000000000)) /* after its rest, so long on trial */

struct outlier {
    _Atomic(uint64_t) identity; /* 0: free */
    _Atomic(int64_t) until_ns;
    unsigned failures; /* in a row; with the lock */
};

/* Zero-initialised but for the mutex, which is its owner's. */
struct outliers {
    atomic_uint used; /* places taken; 0: nobody needs to look */
    struct outlier list[OUTLIER_PLACES];
};

bool outliers_rests(struct outliers *outliers, uint64_t identity, int64_t now);

/* With the owner's lock.  Returns false if a failure could not be remembered. */
bool outliers_report(struct outliers *outliers, uint64_t identity, bool ok, int64_t now);

#endif
