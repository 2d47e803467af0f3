/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Snapshots and their handing over; see snapshot.h.
 */
#include "snapshot.h"

#include <stdlib.h>

#include "rota.h"

struct libsd_snapshot *snapshot_new(size_t room)
{
    struct libsd_snapshot *snapshot =
        calloc(1, sizeof *snapshot + room * sizeof snapshot->peers[0]);

    if (snapshot)
        atomic_init(&snapshot->references, 1);
    return snapshot;
}

void snapshot_add(struct libsd_snapshot *snapshot, struct peer *peer)
{
    snapshot->peers[snapshot->count++] = peer_ref(peer);
}

static int by_names(const void *a, const void *b)
{
    const struct peer *left = *(struct peer *const *)a;
    const struct peer *right = *(struct peer *const *)b;

    return peer_compare(left, libsd_str(right->instance.service), libsd_str(right->instance.name));
}

void snapshot_sort(struct libsd_snapshot *snapshot)
{
    qsort(snapshot->peers, snapshot->count, sizeof snapshot->peers[0], by_names);
}

libsd_snapshot *libsd_snapshot_ref(libsd_snapshot *snapshot)
{
    if (snapshot)
        atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    return snapshot;
}

void libsd_snapshot_unref(libsd_snapshot *snapshot)
{
    if (!snapshot || atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < snapshot->count; i++)
        peer_unref(snapshot->peers[i]);
    free(atomic_load_explicit(&snapshot->rota, memory_order_relaxed));
    free(snapshot);
}

size_t libsd_snapshot_count(const libsd_snapshot *snapshot)
{
    return snapshot ? snapshot->count : 0;
}

const libsd_instance *libsd_snapshot_at(const libsd_snapshot *snapshot, size_t i)
{
    return snapshot && i < snapshot->count ? &snapshot->peers[i]->instance : NULL;
}

const libsd_instance *libsd_snapshot_find(const libsd_snapshot *snapshot, const char *service,
                                          const char *name)
{
    size_t low = 0;
    size_t high = libsd_snapshot_count(snapshot);

    if (!service || !name)
        return NULL;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = peer_compare(snapshot->peers[middle], libsd_str(service), libsd_str(name));

        if (order == 0)
            return &snapshot->peers[middle]->instance;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

int64_t libsd_snapshot_revision(const libsd_snapshot *snapshot)
{
    return snapshot ? snapshot->revision : 0;
}

size_t libsd_snapshot_unreadable(const libsd_snapshot *snapshot)
{
    return snapshot ? snapshot->unreadable : 0;
}

/* ---- handing over ------------------------------------------------------- */

struct libsd_snapshot *handover_get(struct handover *handover)
{
    struct lane *lane = handover_lane(handover);
    struct libsd_snapshot *snapshot;
    unsigned phase = handover_enter(handover, lane, &snapshot);

    libsd_snapshot_ref(snapshot);
    handover_leave(lane, phase);
    return snapshot;
}

static bool is_quiet(struct handover *handover, unsigned phase)
{
    for (size_t i = 0; i < LANES; i++) {
        if (atomic_load(&handover->lanes[i].readers[phase])) /* SC */
            return false;
    }
    return true;
}

static void free_all(struct libsd_snapshot *snapshot)
{
    while (snapshot) {
        struct libsd_snapshot *next = snapshot->retired;

        libsd_snapshot_unref(snapshot);
        snapshot = next;
    }
}

bool handover_reap(struct handover *handover)
{
    while (handover->waiting || handover->fresh) {
        unsigned phase = atomic_load(&handover->phase) & 1;

        if (!handover->waiting) {
            handover->waiting = handover->fresh;
            handover->fresh = NULL;
            handover->turned = false;
        }
        /* Only latecomers of an earlier round count themselves there. */
        if (!is_quiet(handover, phase ^ 1))
            return false;
        if (!handover->turned) {
            atomic_store(&handover->phase, phase ^ 1);
            handover->turned = true;
            continue;
        }
        free_all(handover->waiting);
        handover->waiting = NULL;
    }
    return true;
}

void handover_set(struct handover *handover, struct libsd_snapshot *snapshot)
{
    struct libsd_snapshot *old = atomic_exchange(&handover->current, snapshot); /* SC */

    if (old) {
        old->retired = handover->fresh;
        handover->fresh = old;
    }
    handover_reap(handover);
}

void handover_free(struct handover *handover)
{
    libsd_snapshot_unref(atomic_load(&handover->current));
    free_all(handover->fresh);
    free_all(handover->waiting);
    atomic_store(&handover->current, NULL);
    handover->fresh = handover->waiting = NULL;
}
