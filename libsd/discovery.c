/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Discovery as applications see it: a list now, or being told of changes.
 */
#include "discovery.h"

#include <stdlib.h>

#include "catalog.h"
#include "internal.h"

/* ---- telling (I/O thread) ----------------------------------------------- */

static void change_free(struct change *change)
{
    if (change->undecided)
        LIST_REMOVE(change, asked);
    peer_unref(change->before);
    peer_unref(change->now);
    free(change);
}

static void changes_free(struct changes *changes)
{
    struct change *change;

    while ((change = STAILQ_FIRST(changes))) {
        STAILQ_REMOVE_HEAD(changes, link);
        change_free(change);
    }
}

bool listener_reserve(struct libsd_discovery *listener)
{
    if (!listener->spare)
        listener->spare = calloc(1, sizeof *listener->spare);
    return listener->spare;
}

struct change *listener_tell(struct libsd_discovery *listener, const struct change *change)
{
    struct change *told = listener->spare;

    listener->spare = NULL;
    *told = *change;
    peer_ref(told->before);
    peer_ref(told->now);
    STAILQ_INSERT_TAIL(&listener->batch, told, link);
    return told;
}

/* What a change keeps in memory besides itself. */
static size_t weight(const struct peer *peer)
{
    return peer ? sizeof *peer + peer->instance.value.size : 0;
}

/* A record for each change that can be delivered.  NULL: none, or no memory. */
static struct item *make_item(struct libsd_discovery *listener)
{
    struct item *item = item_new(&listener->owner);
    const struct change *change;

    STAILQ_FOREACH(change, &listener->batch, link)
    {
        if (change->undecided)
            break;
        if (!item || !records_add(&item->records)) {
            item_free(item);
            return NULL;
        }
        item->cost += sizeof *change + weight(change->before) + weight(change->now);
    }
    return item;
}

static void flush_later(struct timer *timer)
{
    listener_flush(container_of(timer, struct libsd_discovery, retry));
}

void listener_flush(struct libsd_discovery *listener)
{
    struct change *change = STAILQ_FIRST(&listener->batch);
    struct item *item;

    if (!change || change->undecided)
        return;
    item = make_item(listener);
    if (!item) {
        listener->retry.fire = flush_later;
        timer_start(&listener->sd->loop, &listener->retry, RETRY_NS);
        return;
    }
    pthread_mutex_lock(&listener->mutex);
    for (size_t i = 0; i < item->records.count; i++) {
        change = STAILQ_FIRST(&listener->batch);
        STAILQ_REMOVE_HEAD(&listener->batch, link);
        STAILQ_INSERT_TAIL(&listener->changes, change, link);
    }
    pthread_mutex_unlock(&listener->mutex);
    queue_add(listener->sd, item);
}

void listener_forget(struct libsd_discovery *listener)
{
    changes_free(&listener->batch);
}

static void listener_join(struct timer *timer)
{
    struct libsd_discovery *listener = container_of(timer, struct libsd_discovery, retry);

    if (catalog_join(listener->catalog, listener) < 0)
        timer_start(&listener->sd->loop, timer, RETRY_NS);
}

static void listener_start(struct task *task)
{
    struct libsd_discovery *listener = container_of(task, struct libsd_discovery, start);

    LIST_INSERT_HEAD(&listener->sd->discoveries, listener, handle_link);
    listener->retry.fire = listener_join;
    listener_join(&listener->retry);
}

static void listener_stop(struct task *task)
{
    struct libsd_discovery *listener = container_of(task, struct libsd_discovery, stop);

    LIST_REMOVE(listener, handle_link);
    timer_stop(&listener->retry);
    if (listener->joined)
        catalog_leave(listener->catalog, listener);
    listener_forget(listener);
    owner_drop(&listener->owner);
}

void discoveries_end(struct libsd *sd)
{
    struct libsd_discovery *listener;

    while ((listener = LIST_FIRST(&sd->discoveries)))
        listener_stop(&listener->stop);
}

/* ---- delivering (dispatcher) -------------------------------------------- */

static void deliver(struct owner *owner, const struct record *record)
{
    struct libsd_discovery *listener = container_of(owner, struct libsd_discovery, owner);
    struct change *change;

    (void)record; /* it is the first one's */
    pthread_mutex_lock(&listener->mutex);
    change = STAILQ_FIRST(&listener->changes);
    STAILQ_REMOVE_HEAD(&listener->changes, link);
    pthread_mutex_unlock(&listener->mutex);

    const libsd_instance *before = change->before ? &change->before->instance : NULL;
    const libsd_instance *now = change->now ? &change->now->instance : NULL;
    const libsd_change public = {
        .type = change->type,
        .reason = change->reason,
        .before = before,
        .now = now,
        .instance = now ? now : before,
        .revision = change->revision,
        .error = change->error,
    };

    listener->callback(&public, listener->arg);
    change_free(change);
}

static void listener_free(struct owner *owner)
{
    struct libsd_discovery *listener = container_of(owner, struct libsd_discovery, owner);

    changes_free(&listener->changes);
    free(listener->spare);
    pthread_mutex_destroy(&listener->mutex);
    free(listener);
}

/* ---- application -------------------------------------------------------- */

static struct libsd_discovery *listener_new(libsd *sd, const char *service)
{
    struct libsd_discovery *listener = calloc(1, sizeof *listener);

    if (!listener)
        return NULL;
    listener->sd = sd;
    listener->catalog = catalog_get(sd, service, catalog_hash(service));
    if (!listener->catalog) {
        free(listener);
        return NULL;
    }
    owner_init(&listener->owner, deliver, listener_free);
    listener->start.run = listener_start;
    listener->stop.run = listener_stop;
    pthread_mutex_init(&listener->mutex, NULL);
    STAILQ_INIT(&listener->changes);
    STAILQ_INIT(&listener->batch);
    return listener;
}

int libsd_watch_service(libsd *sd, const char *service, libsd_change_callback *callback, void *arg,
                        libsd_discovery **discovery)
{
    struct libsd_discovery *made;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (!callback || (service && !service_is_valid(service)))
        return LIBSD_EINVAL;
    made = listener_new(sd, service ? service : "");
    if (!made)
        return LIBSD_ENOMEM;
    made->callback = callback;
    made->arg = arg;
    /* Before the start: a callback may want to close its watch. */
    if (discovery)
        *discovery = made;
    if (!loop_post(&sd->loop, &made->start)) {
        if (discovery)
            *discovery = NULL;
        owner_drop(&made->owner);
        return LIBSD_ECLOSED;
    }
    return 0;
}

libsd_snapshot *libsd_discovery_snapshot(libsd_discovery *discovery)
{
    if (!discovery || handle_check(discovery->sd) < 0)
        return NULL;
    return handover_get(&discovery->catalog->handover);
}

void libsd_discovery_close(libsd_discovery *discovery)
{
    /* In a forked child it is freed with the handle. */
    if (!discovery || handle_check(discovery->sd) < 0)
        return;
    owner_close(discovery->sd, &discovery->owner);
    /* A handle that is being closed ends it itself. */
    loop_post(&discovery->sd->loop, &discovery->stop);
}

/* ---- a list, now -------------------------------------------------------- */

/* Adds what of a list is an instance of the service (NULL: of any). */
static int fill(libsd *sd, struct libsd_snapshot *snapshot, const libsd_kvs *kvs,
                const char *service)
{
    size_t prefix = strlen(sd->options.prefix);

    for (size_t i = 0; i < libsd_kvs_count(kvs); i++) {
        const libsd_kv *kv = libsd_kvs_at(kvs, i);
        struct peer *peer;
        struct place place;
        char why[160];

        if (!place_read(libsd_bytes((const char *)kv->key.data + prefix, kv->key.size - prefix),
                        &place) ||
            (service && (place.service.size != strlen(service) ||
                         memcmp(place.service.data, service, place.service.size) != 0)))
            continue;
        peer = peer_new(&place, kv, why, sizeof why);
        if (!peer)
            return LIBSD_ENOMEM;
        if (peer->readable) {
            snapshot_add(snapshot, peer);
        } else {
            snapshot->unreadable++;
            handle_log(sd, LIBSD_LOG_WARNING, "instance %.100s of %.100s is left out: %s",
                       peer->instance.name, peer->instance.service, why);
        }
        peer_unref(peer);
    }
    snapshot->revision = libsd_kvs_revision(kvs);
    snapshot_sort(snapshot);
    return 0;
}

int libsd_discover(libsd *sd, const char *service, libsd_snapshot **snapshot, int timeout_ms)
{
    struct libsd_snapshot *made;
    libsd_kvs *kvs = NULL;
    char *prefix = NULL;
    int rc = handle_check_blocking(sd);

    if (snapshot)
        *snapshot = NULL;
    if (rc < 0)
        return rc;
    if (!snapshot || (service && !service_is_valid(service)) || timeout_ms < 0)
        return LIBSD_EINVAL;
    if (asprintf(&prefix, "%s%s%s", sd->options.prefix, service ? service : "",
                 service ? "/" : "") < 0)
        return LIBSD_ENOMEM;
    rc = libsd_list(sd, libsd_str(prefix), 0, &kvs, timeout_ms);
    free(prefix);
    if (rc < 0)
        return rc;
    made = snapshot_new(libsd_kvs_count(kvs));
    rc = made ? fill(sd, made, kvs, service) : LIBSD_ENOMEM;
    libsd_kvs_free(kvs);
    if (rc < 0) {
        libsd_snapshot_unref(made);
        return rc;
    }
    *snapshot = made;
    return (int)made->count;
}
