/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd_pick(): from the handle's own watch or from the shared table, whichever
 * knows best; begins a watch where neither knows.
 *
 *     own watch, etcd in sight ─no─▶ table, current ─no─▶ own watch, old
 *                                                         ─no─▶ begin one; table, old
 *                                                               ─no─▶ wait for the first list
 */
#include "pick.h"

#include <stdlib.h>

#include "catalog.h"
#include "internal.h"
#include "shared_table.h"

/* Turns of services that have no catalog (yet). */
static struct lane strangers[LANES];

static struct lane *stranger_lane(void)
{
    struct lane *lane = &strangers[(uint64_t)pthread_self() * UINT64_C(0x9e3779b97f4a7c15) >> 60];

    /* Processes begin at different places, those that pick only once as well. */
    if (atomic_load_explicit(&lane->turn, memory_order_relaxed) == 0)
        atomic_store_explicit(&lane->turn, (uint32_t)random_u64() | 1, memory_order_relaxed);
    return lane;
}

/* A service that the table knows has turns of its own from now on. */
static void adopt(libsd *sd, const char *service, uint64_t hash)
{
    struct catalog *catalog = catalog_get(sd, service, hash);
    uint64_t turn = atomic_load_explicit(&stranger_lane()->turn, memory_order_relaxed);

    if (catalog)
        atomic_store_explicit(&handover_lane(&catalog->handover)->turn, turn, memory_order_relaxed);
}

static struct pick make_pick(struct catalog *catalog, const libsd_pick_options *options)
{
    struct pick pick = { .policy = options ? options->policy : LIBSD_PICK_WEIGHTED };

    pick.lane = catalog ? handover_lane(&catalog->handover) : stranger_lane();
    if (pick.policy == LIBSD_PICK_STICKY)
        pick.key = rota_key(options->key);
    if (catalog) {
        struct outliers *outliers = atomic_load_explicit(&catalog->outliers, memory_order_acquire);

        if (outliers && atomic_load_explicit(&outliers->used, memory_order_relaxed)) {
            pick.outliers = outliers;
            pick.now = now_ns();
        }
    }
    return pick;
}

static void fill(const struct peer *peer, libsd_picked *picked)
{
    const libsd_instance *instance = &peer->instance;
    size_t name_size = peer->name_size;

    if (name_size >= sizeof picked->name)
        name_size = sizeof picked->name - 1;
    picked->family = instance->family;
    picked->source = LIBSD_SOURCE_ETCD;
    picked->port = instance->port;
    picked->weight = instance->weight;
    memcpy(picked->address, instance->address, sizeof picked->address);
    picked->identity = peer->identity;
    memcpy(picked->name, instance->name, name_size);
    picked->name[name_size] = '\0';
    memcpy(picked->host, instance->host, peer->host_size);
    picked->host[peer->host_size] = '\0';
}

/* Returns 0, LIBSD_ENOTFOUND, LIBSD_ENOMEM, or LIBSD_EUNAVAILABLE: there is no
 * snapshot. */
static int pick_own(struct catalog *catalog, const libsd_pick_options *options,
                    libsd_picked *picked)
{
    const struct pick pick = make_pick(catalog, options);
    const struct peer *peer = NULL;
    struct libsd_snapshot *snapshot;
    unsigned phase = handover_enter(&catalog->handover, pick.lane, &snapshot);
    int rc = LIBSD_EUNAVAILABLE;

    if (snapshot && snapshot->count == 0) {
        rc = LIBSD_ENOTFOUND;
    } else if (snapshot) {
        peer = pick_peer(&pick, snapshot);
        rc = peer ? 0 : LIBSD_ENOMEM;
    }
    if (peer)
        fill(peer, picked);
    handover_leave(pick.lane, phase);
    return rc;
}

/* Once for each service, if all goes well: its room on the stack is not for the
 * others. */
__attribute__((noinline)) static enum shared_answer
pick_shared_stranger(const libsd *sd, const char *service, const struct pick *pick, bool stale,
                     libsd_picked *picked)
{
    struct shared_name name;

    shared_name_init(&name, service, sd->options.domain);
    return shared_table_pick(&name, stale, pick, picked);
}

static enum shared_answer pick_shared(const libsd *sd, const char *service, struct catalog *catalog,
                                      const libsd_pick_options *options, bool stale,
                                      libsd_picked *picked)
{
    const struct pick pick = make_pick(catalog, options);

    return catalog ? shared_table_pick(&catalog->name, stale, &pick, picked)
                   : pick_shared_stranger(sd, service, &pick, stale, picked);
}

static int nothing_yet(libsd *sd, const char *service, int code)
{
    struct failure failure;
    char detail[160] = "";

    pthread_mutex_lock(&sd->detail_mutex);
    memcpy(detail, sd->detail, sizeof detail - 1);
    pthread_mutex_unlock(&sd->detail_mutex);
    return handle_fail(sd, (failure_set(&failure, code, "%.60s: no list yet%s%s", service,
                                        *detail ? ": " : "", detail),
                            &failure));
}

/* Waits for a first list. */
static int pick_waiting(libsd *sd, struct catalog *catalog, const libsd_pick_options *options,
                        libsd_picked *picked)
{
    int timeout_ms = options ? options->timeout_ms : 0;
    int rc;

    if (timeout_ms < 0)
        return nothing_yet(sd, catalog->service, LIBSD_EUNAVAILABLE);
    if (queue_is_mine(sd))
        return LIBSD_EDEADLOCK;
    if (timeout_ms == 0)
        timeout_ms = sd->options.timeout_ms;
    rc = catalog_wait(catalog, now_ns() + timeout_ms * MS);
    if (rc == 0)
        rc = pick_own(catalog, options, picked);
    return rc == LIBSD_ETIMEDOUT ? nothing_yet(sd, catalog->service, rc) : rc;
}

/* Nothing is current. */
static int pick_hard(libsd *sd, const char *service, struct catalog *catalog,
                     const libsd_pick_options *options, libsd_picked *picked)
{
    bool table = shared_table_is_allowed(sd);
    int rc;

    if (sd->options.source == SOURCE_TABLE) {
        enum shared_answer answer =
            table ? pick_shared(sd, service, catalog, options, true, picked) : SHARED_UNKNOWN;

        return answer == SHARED_FOUND    ? 0
               : answer == SHARED_ABSENT ? LIBSD_ENOTFOUND
                                         : LIBSD_EUNAVAILABLE;
    }
    if (!catalog)
        catalog = catalog_get(sd, service, catalog_hash(service));
    if (!catalog)
        return LIBSD_ENOMEM;
    rc = pick_own(catalog, options, picked);
    if (rc != LIBSD_EUNAVAILABLE)
        return rc;
    if (!catalog_ask(catalog))
        return LIBSD_ECLOSED;
    if (table && pick_shared(sd, service, catalog, options, true, picked) == SHARED_FOUND)
        return 0;
    return pick_waiting(sd, catalog, options, picked);
}

static bool is_good(const libsd_pick_options *options)
{
    return !options ||
           (options->size >= sizeof *options && options->policy >= LIBSD_PICK_WEIGHTED &&
            options->policy <= LIBSD_PICK_STICKY && options->timeout_ms >= -1 &&
            (options->key.data || !options->key.size));
}

int libsd_pick(libsd *sd, const char *service, const libsd_pick_options *options,
               libsd_picked *picked)
{
    struct catalog *catalog;
    uint64_t hash;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (!service || !picked || !is_good(options))
        return LIBSD_EINVAL;
    hash = catalog_hash(service);
    catalog = catalog_find(sd, service, hash);
    if (catalog && sd->options.source != SOURCE_TABLE &&
        atomic_load_explicit(&catalog->connected, memory_order_relaxed)) {
        rc = pick_own(catalog, options, picked);
        if (rc != LIBSD_EUNAVAILABLE)
            return rc;
    }
    if (!catalog && !service_is_valid(service))
        return LIBSD_EINVAL;
    if (shared_table_is_allowed(sd)) {
        switch (pick_shared(sd, service, catalog, options, false, picked)) {
        case SHARED_FOUND:
            if (!catalog)
                adopt(sd, service, hash);
            return 0;
        case SHARED_ABSENT:
            return LIBSD_ENOTFOUND;
        case SHARED_UNKNOWN:
            break;
        }
    }
    return pick_hard(sd, service, catalog, options, picked);
}

/* ---- reports ------------------------------------------------------------ */

static struct outliers *outliers_of(struct catalog *catalog)
{
    struct outliers *outliers = atomic_load_explicit(&catalog->outliers, memory_order_acquire);

    if (!outliers) {
        outliers = calloc(1, sizeof *outliers);
        atomic_store_explicit(&catalog->outliers, outliers, memory_order_release);
    }
    return outliers;
}

int libsd_report(libsd *sd, const char *service, const libsd_picked *picked, int ok)
{
    struct catalog *catalog;
    struct outliers *outliers;
    uint64_t hash;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (!service || !service_is_valid(service) || !picked || !picked->identity)
        return LIBSD_EINVAL;
    hash = catalog_hash(service);
    catalog = catalog_find(sd, service, hash);
    if (ok) {
        outliers = catalog ? atomic_load_explicit(&catalog->outliers, memory_order_acquire) : NULL;
        if (!outliers || !atomic_load_explicit(&outliers->used, memory_order_relaxed))
            return 0;
    } else if (!catalog) {
        catalog = catalog_get(sd, service, hash);
    }
    if (!catalog)
        return LIBSD_ENOMEM;
    pthread_mutex_lock(&sd->catalogs.mutex);
    outliers = outliers_of(catalog);
    if (!outliers || !outliers_report(outliers, picked->identity, ok, now_ns()))
        rc = LIBSD_ENOMEM;
    pthread_mutex_unlock(&sd->catalogs.mutex);
    return rc;
}
