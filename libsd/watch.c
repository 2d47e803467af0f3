/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The application's watches: from subscription to callback.
 */
#include "watch.h"

#include <stdlib.h>

#include "internal.h"
#include "json.h"

#define KEY_MAX   ((size_t)1 << 20)
#define UNTOLD_NS (100 * MS)

/* On the dispatcher. */
static void watch_deliver(struct owner *owner, const struct record *record)
{
    struct libsd_watch *watch = container_of(owner, struct libsd_watch, owner);
    const libsd_kv *previous = watch->previous;
    bool has_key = record->type == LIBSD_EVENT_PUT || record->type == LIBSD_EVENT_DELETE ||
                   record->type == LIBSD_EVENT_AUDIT_KEY;
    const libsd_event event = {
        .type = record->type,
        .error = record->error,
        .kv = has_key ? &record->kv : NULL,
        .revision = record->kv.mod_revision,
        .detail = has_key ? NULL : record->kv.value.data,
        .cluster_id = has_key ? 0 : (uint64_t)record->kv.lease,
        .prev_kv = previous,
    };

    /* The item, and what it points to, stays until the last one is delivered. */
    watch->previous = record->type == RECORD_PREVIOUS ? &record->kv : NULL;
    if (record->type == RECORD_PREVIOUS)
        return;
    watch->callback(&event, watch->arg);
}

static void watch_free(struct owner *owner)
{
    struct libsd_watch *watch = container_of(owner, struct libsd_watch, owner);

    free(watch->keys);
    free(watch);
}

/* ---- I/O thread --------------------------------------------------------- */

bool watch_note_in(struct libsd_watch *watch, struct item *item, int type, int64_t revision,
                   int error, const char *detail)
{
    if (!item_note(item, type, revision, error, detail))
        return false;
    item->records.list[item->records.count - 1].kv.lease = (int64_t)watch->cluster_id;
    return true;
}

void watch_emit(struct libsd_watch *watch, struct item *item)
{
    if (!watch->direct) {
        queue_add(watch->sd, item);
        return;
    }
    for (size_t i = 0; i < item->records.count; i++)
        watch->direct(watch, &item->records.list[i]);
    item_free(item);
}

bool watch_note(struct libsd_watch *watch, int type, int64_t revision, int error,
                const char *detail)
{
    struct item *item = item_new(&watch->owner);

    if (!item || !watch_note_in(watch, item, type, revision, error, detail)) {
        item_free(item);
        return false;
    }
    watch_emit(watch, item);
    return true;
}

/* Tells what there is no other occasion to tell; without memory, later. */
static void tell(struct libsd_watch *watch, int type, int error, const char *detail)
{
    bool told = watch_note(watch, type, 0, error, detail);

    watch->untold = told ? 0 : type;
    watch->untold_error = error;
    if (told)
        timer_stop(&watch->untold_timer);
    else
        timer_start(&watch->sd->loop, &watch->untold_timer, UNTOLD_NS);
}

static void tell_again(struct timer *timer)
{
    struct libsd_watch *watch = container_of(timer, struct libsd_watch, untold_timer);
    bool failed = watch->untold_error < 0;

    tell(watch, watch->untold, watch->untold_error,
         failed ? libsd_strerror(watch->untold_error) : NULL);
}

void watch_down(struct libsd_watch *watch, const struct failure *failure)
{
    if (watch->sight == SIGHT_DISCONNECTED)
        return;
    watch->sight = SIGHT_DISCONNECTED;
    tell(watch, LIBSD_EVENT_DISCONNECTED, failure->code, failure->text);
}

static void on_live(struct subscription *subscription)
{
    struct libsd_watch *watch = container_of(subscription, struct libsd_watch, subscription);

    if (watch->sd->stream.cluster_id)
        watch->cluster_id = watch->sd->stream.cluster_id;
    if (watch->sight != SIGHT_CONNECTED)
        tell(watch, LIBSD_EVENT_CONNECTED, 0, NULL);
    watch->sight = SIGHT_CONNECTED;
    if (watch->flags & LIBSD_WATCH_LIST)
        audit_later(watch);
}

static bool on_events(struct subscription *subscription, struct records *records,
                      struct buffer *text, bool complete)
{
    struct libsd_watch *watch = container_of(subscription, struct libsd_watch, subscription);
    struct item *item = item_new(&watch->owner);
    int64_t revision = records->list[records->count - 1].kv.mod_revision;

    if (!item)
        return false;
    audit_touch(watch, records);
    item->records = *records;
    if (complete && !watch_note_in(watch, item, LIBSD_EVENT_COMMIT, revision, 0, NULL)) {
        item->records = (struct records){ 0 };
        item_free(item);
        return false;
    }
    item->text = *text;
    *records = (struct records){ 0 };
    *text = (struct buffer){ 0 };
    watch_emit(watch, item);
    return true;
}

static void on_down(struct subscription *subscription, const struct failure *failure)
{
    struct libsd_watch *watch = container_of(subscription, struct libsd_watch, subscription);

    watch_down(watch, failure);
    /* What could not be read may have been events, and may be unreadable the
     * next time, too. */
    if ((watch->flags & LIBSD_WATCH_LIST) &&
        (failure->code == LIBSD_EPROTOCOL || failure->code == LIBSD_ETOOBIG)) {
        stream_unsubscribe(watch->sd, subscription);
        follow_again(watch);
    }
}

static void on_lost(struct subscription *subscription, const struct failure *failure)
{
    struct libsd_watch *watch = container_of(subscription, struct libsd_watch, subscription);

    if (watch->flags & LIBSD_WATCH_LIST) {
        handle_log(watch->sd, LIBSD_LOG_INFO, "listing again: %s", failure->text);
        follow_again(watch);
    } else {
        tell(watch, LIBSD_EVENT_ENDED, failure->code, failure->text);
    }
}

static void watch_start(struct task *task)
{
    struct libsd_watch *watch = container_of(task, struct libsd_watch, start);

    LIST_INSERT_HEAD(&watch->sd->watches, watch, link);
    if (watch->flags & LIBSD_WATCH_LIST)
        follow_start(watch);
    else
        stream_subscribe(watch->sd, &watch->subscription);
}

static void watch_stop(struct task *task)
{
    struct libsd_watch *watch = container_of(task, struct libsd_watch, stop);

    follow_stop(watch);
    timer_stop(&watch->untold_timer);
    stream_unsubscribe(watch->sd, &watch->subscription);
    LIST_REMOVE(watch, link);
    owner_drop(&watch->owner);
}

void watch_close_direct(struct libsd_watch *watch)
{
    watch_stop(&watch->stop);
}

void watches_drained(struct libsd *sd)
{
    struct libsd_watch *watch;

    LIST_FOREACH(watch, &sd->watches, link)
    follow_drained(watch);
}

void watches_end(struct libsd *sd)
{
    struct libsd_watch *watch;

    while ((watch = LIST_FIRST(&sd->watches)))
        watch_stop(&watch->stop);
}

/* ---- application -------------------------------------------------------- */

static struct libsd_watch *watch_new(libsd *sd, const struct span *span)
{
    struct libsd_watch *watch = calloc(1, sizeof *watch);
    size_t size = span->key.size;

    if (!watch)
        return NULL;
    watch->keys = malloc(size + span->end.size);
    if (!watch->keys) {
        free(watch);
        return NULL;
    }
    memcpy(watch->keys, span->key.data, size);
    if (span->end.size)
        memcpy(watch->keys + size, span->end.data, span->end.size);
    watch->sd = sd;
    watch->start.run = watch_start;
    watch->stop.run = watch_stop;
    watch->untold_timer.fire = tell_again;
    owner_init(&watch->owner, watch_deliver, watch_free);
    watch->subscription.span = *span;
    watch->subscription.span.key.data = watch->keys;
    watch->subscription.span.end.data = watch->keys + size;
    watch->subscription.on_live = on_live;
    watch->subscription.on_events = on_events;
    watch->subscription.on_down = on_down;
    watch->subscription.on_lost = on_lost;
    follow_init(watch);
    return watch;
}

struct libsd_watch *watch_open_direct(libsd *sd, libsd_slice prefix,
                                      void (*direct)(struct libsd_watch *, const struct record *),
                                      void *arg)
{
    const struct span span = { .key = prefix, .prefix = true };
    struct libsd_watch *watch = watch_new(sd, &span);

    if (!watch)
        return NULL;
    watch->flags = LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST;
    watch->direct = direct;
    watch->arg = arg;
    watch_start(&watch->start);
    return watch;
}

static bool is_span(const struct span *span)
{
    return span->key.data && span->key.size && span->key.size <= KEY_MAX &&
           (span->end.data || span->end.size == 0) && span->end.size <= KEY_MAX &&
           (span->end.size == 0 || slice_compare(span->key, span->end) < 0);
}

static int open_watch(libsd *sd, const struct span *span, int flags, int64_t start_revision,
                      libsd_watch_callback *callback, void *arg, libsd_watch **watch)
{
    const int known = LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST | LIBSD_WATCH_PREV_KV;
    struct libsd_watch *made;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (!watch || !callback || !is_span(span) || (flags & ~known) || start_revision < 0)
        return LIBSD_EINVAL;
    made = watch_new(sd, span);
    if (!made)
        return LIBSD_ENOMEM;
    made->flags = flags;
    made->callback = callback;
    made->arg = arg;
    made->subscription.previous = flags & LIBSD_WATCH_PREV_KV;
    made->subscription.next = start_revision;
    /* Before the start: a callback may want to close its watch. */
    *watch = made;
    if (!loop_post(&sd->loop, &made->start)) {
        *watch = NULL;
        owner_drop(&made->owner);
        return LIBSD_ECLOSED;
    }
    return 0;
}

int libsd_watch_open(libsd *sd, libsd_slice key, int flags, int64_t start_revision,
                     libsd_watch_callback *callback, void *arg, libsd_watch **watch)
{
    const struct span span = { .key = key, .prefix = flags & LIBSD_WATCH_PREFIX };

    return open_watch(sd, &span, flags, start_revision, callback, arg, watch);
}

int libsd_watch_open_range(libsd *sd, libsd_slice key, libsd_slice end, int flags,
                           int64_t start_revision, libsd_watch_callback *callback, void *arg,
                           libsd_watch **watch)
{
    const struct span span = { .key = key, .until = true, .end = end };

    if (flags & LIBSD_WATCH_PREFIX)
        return LIBSD_EINVAL;
    return open_watch(sd, &span, flags, start_revision, callback, arg, watch);
}

void libsd_watch_close(libsd_watch *watch)
{
    /* In a forked child the watch is freed with the handle. */
    if (!watch || handle_check(watch->sd) < 0)
        return;
    owner_close(watch->sd, &watch->owner);
    /* A handle that is being closed ends its watches itself. */
    loop_post(&watch->sd->loop, &watch->stop);
}
