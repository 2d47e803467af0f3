/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A catalog on the I/O thread: from etcd's events to snapshots and changes; see
 * catalog.h for the states and rules.
 */
#include "catalog.h"

#include <stdlib.h>

#include "inquiry.h"
#include "internal.h"

/* ---- listeners ---------------------------------------------------------- */

/* Rule C2. */
static bool can_tell(struct catalog *catalog)
{
    struct libsd_discovery *listener;

    LIST_FOREACH(listener, &catalog->listeners, link)
    {
        if (!listener_reserve(listener))
            return false;
    }
    return true;
}

/* After can_tell(). */
static void tell(struct catalog *catalog, const struct change *change)
{
    struct libsd_discovery *listener;

    catalog->told = true;
    LIST_FOREACH(listener, &catalog->listeners, link)
    {
        struct change *told = listener_tell(listener, change);

        if (change->reason == LIBSD_REASON_DELETED)
            inquiry_ask(catalog->sd, told);
    }
}

static void list_again(struct timer *timer)
{
    struct catalog *catalog = container_of(timer, struct catalog, retry);

    follow_restart(catalog->watch);
}

/* Rule C2: a change was left out. */
static void unsound(struct catalog *catalog)
{
    catalog->unsound = true;
    if (!catalog->retry.due_ns) {
        handle_log(catalog->sd, LIBSD_LOG_WARNING, "discovery: out of memory, listing again soon");
        catalog->retry.fire = list_again;
        timer_start(&catalog->sd->loop, &catalog->retry, RETRY_NS);
    }
}

/* ---- the list ----------------------------------------------------------- */

/* Where a key's peer is, or would be. */
static bool locate(const struct catalog *catalog, const struct place *place, size_t *at)
{
    size_t low = 0;
    size_t high = catalog->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = peer_compare(catalog->list[middle], place->service, place->name);

        if (order == 0) {
            *at = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *at = low;
    return false;
}

static bool make_room(struct catalog *catalog)
{
    size_t capacity = catalog->capacity ? catalog->capacity * 2 : 16;
    struct peer **list;
    uint8_t *marks;

    if (catalog->count < catalog->capacity)
        return true;
    list = reallocarray(catalog->list, capacity, sizeof(struct peer *));
    if (!list)
        return false;
    catalog->list = list;
    marks = realloc(catalog->marks, capacity);
    if (!marks)
        return false;
    catalog->marks = marks;
    catalog->capacity = capacity;
    return true;
}

/* Takes the reference of now over. */
static void list_set(struct catalog *catalog, size_t at, bool present, struct peer *now)
{
    if (present) {
        catalog->unreadable -= !catalog->list[at]->readable;
        peer_unref(catalog->list[at]);
    } else {
        size_t behind = catalog->count++ - at;

        memmove(catalog->list + at + 1, catalog->list + at, behind * sizeof *catalog->list);
        memmove(catalog->marks + at + 1, catalog->marks + at, behind);
    }
    catalog->list[at] = now;
    catalog->marks[at] = catalog->round;
    catalog->unreadable += !now->readable;
    catalog->dirty = true;
}

static void list_remove(struct catalog *catalog, size_t at)
{
    size_t behind = --catalog->count - at;

    catalog->unreadable -= !catalog->list[at]->readable;
    peer_unref(catalog->list[at]);
    memmove(catalog->list + at, catalog->list + at + 1, behind * sizeof *catalog->list);
    memmove(catalog->marks + at, catalog->marks + at + 1, behind);
    catalog->dirty = true;
}

/* ---- keys --------------------------------------------------------------- */

/* False: the key is no instance of ours. */
static bool place_of(const struct catalog *catalog, libsd_slice key, struct place *place)
{
    size_t size = strlen(catalog->sd->options.prefix);
    const char *service = catalog->service;

    if (key.size <= size ||
        !place_read(libsd_bytes((const char *)key.data + size, key.size - size), place))
        return false;
    /* The watch sees longer services as well: "shop" that of "shop/user". */
    return !*service || (place->service.size == strlen(service) &&
                         memcmp(place->service.data, service, place->service.size) == 0);
}

/* What a put means to those who see only readable ones; type 0: nothing. */
static struct change change_by_put(const struct catalog *catalog, struct peer *before,
                                   struct peer *now, bool listed)
{
    bool was = before && before->readable;
    struct change change = { .revision = now->instance.mod_revision };

    if (was && now->readable) {
        change.type = peer_same_value(before, now) ? 0 : LIBSD_CHANGED;
        change.reason = LIBSD_REASON_UPDATED;
    } else if (was) {
        change.type = LIBSD_OFFLINE;
        change.reason = LIBSD_REASON_UNREADABLE;
    } else if (now->readable) {
        change.type = LIBSD_ONLINE;
        change.reason = before ? LIBSD_REASON_UPDATED : LIBSD_REASON_REGISTERED;
    }
    if (listed && change.reason != LIBSD_REASON_UNREADABLE)
        change.reason = catalog->complete ? LIBSD_REASON_RESYNC : LIBSD_REASON_PRESENT;
    change.before = was ? before : NULL;
    change.now = now->readable ? now : NULL;
    return change;
}

static void log_unreadable(const struct catalog *catalog, const struct peer *peer, const char *why)
{
    handle_log(catalog->sd, LIBSD_LOG_WARNING, "instance %.100s of %.100s is left out: %s",
               peer->instance.name, peer->instance.service, why);
}

/* listed: it is no event, but in a list or an audit. */
static void on_put(struct catalog *catalog, const libsd_kv *kv, bool listed)
{
    struct place place;
    struct peer *before;
    struct peer *now;
    struct change change;
    char why[160];
    size_t at;
    bool present;

    if (!place_of(catalog, kv->key, &place))
        return;
    present = locate(catalog, &place, &at);
    before = present ? catalog->list[at] : NULL;
    if (present && before->instance.mod_revision == kv->mod_revision &&
        before->instance.create_revision == kv->create_revision) {
        catalog->marks[at] = catalog->round; /* nothing new */
        return;
    }
    now = peer_new(&place, kv, why, sizeof why);
    if (!now || !make_room(catalog) || !can_tell(catalog)) {
        peer_unref(now);
        unsound(catalog);
        return;
    }
    if (!now->readable && (!before || before->readable))
        log_unreadable(catalog, now, why);
    change = change_by_put(catalog, before, now, listed);
    if (change.type)
        tell(catalog, &change);
    catalog->mended |= listed;
    list_set(catalog, at, present, now);
}

/* Takes one out for a reason.  False: rule C2. */
static bool remove_at(struct catalog *catalog, size_t at, int reason, int64_t revision)
{
    struct peer *before = catalog->list[at];
    struct change change = {
        .type = LIBSD_OFFLINE, .reason = reason, .revision = revision, .before = before
    };

    if (before->readable) {
        if (!can_tell(catalog)) {
            unsound(catalog);
            return false;
        }
        tell(catalog, &change);
    }
    list_remove(catalog, at);
    return true;
}

static void on_delete(struct catalog *catalog, const libsd_kv *kv)
{
    struct place place;
    size_t at;

    if (place_of(catalog, kv->key, &place) && locate(catalog, &place, &at))
        remove_at(catalog, at,
                  catalog->list[at]->instance.lease ? LIBSD_REASON_DELETED
                                                    : LIBSD_REASON_DEREGISTERED,
                  kv->mod_revision);
}

/* ---- lists and commits -------------------------------------------------- */

static void on_list_begin(struct catalog *catalog)
{
    catalog->round++;
    catalog->listing = true;
    catalog->told = false;
    catalog->unsound = false;
    timer_stop(&catalog->retry);
}

static void sweep(struct catalog *catalog, int64_t revision)
{
    for (size_t at = catalog->count; at-- > 0;) {
        if (catalog->marks[at] != catalog->round &&
            !remove_at(catalog, at, LIBSD_REASON_RESYNC, revision))
            return;
    }
}

static void tell_synced(struct catalog *catalog, struct libsd_discovery *listener)
{
    const struct change change = { .type = LIBSD_SYNCED, .revision = catalog->revision };

    if (!listener_reserve(listener)) {
        unsound(catalog); /* the next list tells */
        return;
    }
    listener_tell(listener, &change);
    listener->synced = true;
}

static void on_list_end(struct catalog *catalog, int64_t revision)
{
    struct libsd_discovery *listener;

    if (!catalog->unsound)
        sweep(catalog, revision);
    catalog->listing = false;
    catalog->revision = revision;
    catalog->committed = true;
    if (catalog->unsound)
        return;
    catalog->dirty |= !catalog->complete;
    catalog->complete = true;
    atomic_store(&catalog->connected, true);
    LIST_FOREACH(listener, &catalog->listeners, link)
    {
        if (catalog->told || !listener->synced)
            tell_synced(catalog, listener);
    }
}

static void on_audit_begin(struct catalog *catalog)
{
    catalog->round++;
    catalog->mended = false;
}

static void on_audit_end(struct catalog *catalog, int64_t revision)
{
    struct libsd_discovery *listener;
    size_t before = catalog->count;

    if (catalog->unsound)
        return;
    sweep(catalog, revision);
    if (!catalog->mended && catalog->count == before)
        return;
    handle_log(catalog->sd, LIBSD_LOG_WARNING,
               "service %s: an audit found changes that etcd never told of", catalog->service);
    LIST_FOREACH(listener, &catalog->listeners, link)
    tell_synced(catalog, listener);
}

/* Telling of etcd's going is no change, and may get lost for want of memory. */
static void tell_sight(struct catalog *catalog, struct libsd_discovery *listener)
{
    bool connected = atomic_load(&catalog->connected);
    const struct change change = {
        .type = connected ? LIBSD_IN_SIGHT : LIBSD_OUT_OF_SIGHT,
        .error = connected ? 0 : catalog->error,
    };

    if (listener->blind == !connected || !listener_reserve(listener))
        return;
    listener_tell(listener, &change);
    listener->blind = !connected;
}

static void on_sight(struct catalog *catalog, bool connected, int error)
{
    struct libsd_discovery *listener;

    atomic_store(&catalog->connected, connected);
    catalog->error = error;
    LIST_FOREACH(listener, &catalog->listeners, link)
    tell_sight(catalog, listener);
}

static void on_event(struct libsd_watch *watch, const struct record *record)
{
    struct catalog *catalog = watch->arg;

    switch (record->type) {
    case LIBSD_EVENT_PUT:
    case LIBSD_EVENT_AUDIT_KEY:
        catalog->committed = false;
        on_put(catalog, &record->kv, catalog->listing || record->type == LIBSD_EVENT_AUDIT_KEY);
        break;
    case LIBSD_EVENT_DELETE:
        catalog->committed = false;
        on_delete(catalog, &record->kv);
        break;
    case LIBSD_EVENT_LIST_BEGIN:
        on_list_begin(catalog);
        break;
    case LIBSD_EVENT_LIST_END:
        on_list_end(catalog, record->kv.mod_revision);
        break;
    case LIBSD_EVENT_COMMIT:
        catalog->revision = record->kv.mod_revision;
        catalog->committed = true;
        break;
    case LIBSD_EVENT_AUDIT_BEGIN:
        on_audit_begin(catalog);
        break;
    case LIBSD_EVENT_AUDIT_END:
        on_audit_end(catalog, record->kv.mod_revision);
        break;
    case LIBSD_EVENT_CONNECTED:
        on_sight(catalog, true, 0);
        break;
    default: /* DISCONNECTED; ENDED does not come with LIST */
        on_sight(catalog, false, record->error);
        break;
    }
}

/* ---- publishing --------------------------------------------------------- */

static void reap(struct timer *timer)
{
    struct libsd *sd = container_of(timer, struct libsd, catalogs.reap);
    struct catalog *catalog;
    bool left = false;

    TAILQ_FOREACH(catalog, &sd->catalogs.used, link)
    left |= !handover_reap(&catalog->handover);
    if (left)
        timer_start(&sd->loop, timer, 10 * MS);
}

static void publish(struct catalog *catalog)
{
    struct catalogs *catalogs = &catalog->sd->catalogs;
    struct libsd_snapshot *snapshot = snapshot_new(catalog->count - catalog->unreadable);

    if (!snapshot)
        return; /* dirty still: the next turn tries again */
    for (size_t i = 0; i < catalog->count; i++) {
        if (catalog->list[i]->readable)
            snapshot_add(snapshot, catalog->list[i]);
    }
    snapshot->revision = catalog->revision;
    snapshot->unreadable = catalog->unreadable;
    catalog->dirty = false;
    handover_set(&catalog->handover, snapshot);
    if (catalog->handover.waiting && !catalogs->reap.due_ns) {
        catalogs->reap.fire = reap;
        timer_start(&catalog->sd->loop, &catalogs->reap, 10 * MS);
    }
    pthread_mutex_lock(&catalogs->mutex);
    pthread_cond_broadcast(&catalogs->changed);
    pthread_mutex_unlock(&catalogs->mutex);
}

void catalogs_turn(struct libsd *sd)
{
    struct catalog *catalog;
    struct libsd_discovery *listener;

    TAILQ_FOREACH(catalog, &sd->catalogs.used, link)
    {
        bool following = catalog->complete && !catalog->listing;

        if (following && catalog->committed && catalog->dirty) /* rule C1 */
            publish(catalog);
        if (following && (!catalog->committed || catalog->dirty)) /* rule C3 */
            continue;
        LIST_FOREACH(listener, &catalog->listeners, link)
        listener_flush(listener);
    }
}

/* ---- use ---------------------------------------------------------------- */

static bool begin(struct catalog *catalog)
{
    if (catalog->watch)
        return true;
    catalog->watch = watch_open_direct(catalog->sd, libsd_str(catalog->prefix), on_event, catalog);
    if (!catalog->watch)
        return false;
    TAILQ_INSERT_TAIL(&catalog->sd->catalogs.used, catalog, link);
    return true;
}

static void empty(struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++)
        peer_unref(catalog->list[i]);
    free(catalog->list);
    free(catalog->marks);
    catalog->list = NULL;
    catalog->marks = NULL;
    catalog->count = catalog->capacity = catalog->unreadable = 0;
    catalog->listing = catalog->complete = catalog->unsound = false;
    catalog->dirty = catalog->committed = false;
}

/* Back to IDLE. */
void catalog_end(struct catalog *catalog)
{
    watch_close_direct(catalog->watch);
    catalog->watch = NULL;
    timer_stop(&catalog->retry);
    TAILQ_REMOVE(&catalog->sd->catalogs.used, catalog, link);
    empty(catalog);
    atomic_store(&catalog->connected, false);
    handover_set(&catalog->handover, NULL);
}

static void end_if_idle(struct catalog *catalog)
{
    if (catalog->watch && !catalog->picked_from && LIST_EMPTY(&catalog->listeners))
        catalog_end(catalog);
}

void catalog_pick(struct catalog *catalog)
{
    catalog->picked_from = begin(catalog);
}

void catalog_unpick(struct catalog *catalog)
{
    catalog->picked_from = false;
    end_if_idle(catalog);
}

/* All that are there come online for one listener, or nothing happens. */
static bool tell_present(struct catalog *catalog, struct libsd_discovery *listener)
{
    for (size_t i = 0; i < catalog->count; i++) {
        struct peer *peer = catalog->list[i];
        const struct change change = { .type = LIBSD_ONLINE,
                                       .reason = LIBSD_REASON_PRESENT,
                                       .revision = peer->instance.mod_revision,
                                       .now = peer };

        if (!peer->readable)
            continue;
        if (!listener_reserve(listener))
            return false;
        listener_tell(listener, &change);
    }
    return true;
}

int catalog_join(struct catalog *catalog, struct libsd_discovery *listener)
{
    if (!begin(catalog))
        return LIBSD_ENOMEM;
    if (!tell_present(catalog, listener)) {
        listener_forget(listener);
        end_if_idle(catalog);
        return LIBSD_ENOMEM;
    }
    LIST_INSERT_HEAD(&catalog->listeners, listener, link);
    listener->joined = true;
    if (catalog->complete) {
        tell_synced(catalog, listener);
        tell_sight(catalog, listener);
    }
    return 0;
}

void catalog_leave(struct catalog *catalog, struct libsd_discovery *listener)
{
    LIST_REMOVE(listener, link);
    listener->joined = false;
    end_if_idle(catalog);
}
