/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Rests of instances that failed; see outlier.h.
 */
#include "outlier.h"

#include <stddef.h>

/* An identity is looked for in so many places from its own on. */
#define PROBES 64

static struct outlier *place(struct outliers *outliers, uint64_t identity, unsigned probe)
{
    return &outliers->list[(identity + probe) % OUTLIER_PLACES];
}

static struct outlier *find(struct outliers *outliers, uint64_t identity)
{
    for (unsigned i = 0; i < PROBES; i++) {
        struct outlier *outlier = place(outliers, identity, i);

        if (atomic_load_explicit(&outlier->identity, memory_order_relaxed) == identity)
            return outlier;
    }
    return NULL;
}

bool outliers_rests(struct outliers *outliers, uint64_t identity, int64_t now)
{
    const struct outlier *outlier = find(outliers, identity);

    return outlier && atomic_load_explicit(&outlier->until_ns, memory_order_relaxed) > now;
}

static int64_t rest_ns(unsigned failures)
{
    int64_t rest = REST_MIN_NS;

    while (--failures && rest < REST_MAX_NS)
        rest *= 2;
    return rest < REST_MAX_NS ? rest : REST_MAX_NS;
}

static void release(struct outliers *outliers, struct outlier *outlier)
{
    atomic_store_explicit(&outlier->identity, 0, memory_order_relaxed);
    atomic_store_explicit(&outlier->until_ns, 0, memory_order_relaxed);
    outlier->failures = 0;
    atomic_fetch_sub_explicit(&outliers->used, 1, memory_order_relaxed);
}

/* A free place; those that nobody has complained of for long are freed first. */
static struct outlier *take(struct outliers *outliers, uint64_t identity, int64_t now)
{
    struct outlier *taken = NULL;

    for (unsigned i = 0; i < PROBES; i++) {
        struct outlier *outlier = place(outliers, identity, i);

        if (atomic_load_explicit(&outlier->identity, memory_order_relaxed) != 0 &&
            atomic_load_explicit(&outlier->until_ns, memory_order_relaxed) + REST_FORGET_NS < now)
            release(outliers, outlier);
        if (!taken && atomic_load_explicit(&outlier->identity, memory_order_relaxed) == 0)
            taken = outlier;
    }
    if (!taken || atomic_load_explicit(&outliers->used, memory_order_relaxed) >= OUTLIERS)
        return NULL;
    atomic_store_explicit(&taken->identity, identity, memory_order_relaxed);
    atomic_fetch_add_explicit(&outliers->used, 1, memory_order_relaxed);
    return taken;
}

bool outliers_report(struct outliers *outliers, uint64_t identity, bool ok, int64_t now)
{
    struct outlier *outlier = find(outliers, identity);

    if (ok) {
        if (outlier)
            release(outliers, outlier);
        return true;
    }
    if (!outlier)
        outlier = take(outliers, identity, now);
    if (!outlier)
        return false;
    /* Many threads meet one outage: that is one failure, not many. */
    if (atomic_load_explicit(&outlier->until_ns, memory_order_relaxed) > now)
        return true;
    atomic_store_explicit(&outlier->until_ns, now + rest_ns(++outlier->failures),
                          memory_order_relaxed);
    return true;
}
