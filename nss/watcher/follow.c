/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One function per event; the states are drawn in follow.h.  Relies on
 * libsd.h's promise that events of one watch come in the order of revisions
 * and on one thread.
 */
#include "follow.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <string.h>
#include <time.h>

#include "log.h"

/* A burst of small commits is written as one, this long at most. */
#define COALESCE_MS    10

#define PROGRESS_EVERY 100000u
#define PROGRESS_MS    2000

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the table's state ------------------------------------------------- */

/* LIVE says that the content is etcd's, so a table that was adopted, or that
 * missed events, has to wait for the list. */
static void state_set(const struct follow *follow)
{
    table_writer_set_state(follow->publish->table, follow->is_connected && follow->is_current
                                                       ? TABLE_LIVE
                                                       : TABLE_DISCONNECTED);
}

static void on_disconnected(struct follow *follow, const libsd_event *event)
{
    const char *detail = event->detail != NULL ? event->detail : libsd_strerror(event->error);
    bool is_news = follow->lost_ms == 0 || follow->error != event->error;

    if (follow->lost_ms == 0)
        follow->lost_ms = now_ms();
    follow->is_connected = false;
    follow->error = event->error;
    log_line(is_news ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "etcd is out of sight: %s (%s)", detail,
             table_writer_is_published(follow->publish->table) ? "the table goes on answering"
                                                               : "nothing is published yet");
    state_set(follow);
}

static void on_connected(struct follow *follow)
{
    if (follow->lost_ms != 0)
        log_line(LOG_LEVEL_INFO, "etcd is back after %" PRId64 " s",
                 (now_ms() - follow->lost_ms + 500) / 1000);
    else
        log_line(LOG_LEVEL_INFO, "connected to etcd");
    follow->lost_ms = 0;
    follow->error = 0;
    follow->is_connected = true;
    state_set(follow);
}

/* ---- keys -------------------------------------------------------------- */

static void tell_dropped(const libsd_kv *kv, bool is_news, const char *why)
{
    char key[LOG_QUOTE_SIZE];

    /* A list names the same keys again and again. */
    log_line(is_news ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "key %s: not in the table: %s",
             log_quote(key, kv->key.data, kv->key.size), why);
}

/* Returns NULL, or why the value can't be used. */
static const char *value_read(const struct follow *follow, const libsd_kv *kv,
                              struct model_value *value, char *why, size_t why_size)
{
    libsd_instance instance;
    int rc = libsd_instance_parse(follow->zone->format, kv->value, &instance, sizeof instance, why,
                                  why_size);

    memset(value, 0, sizeof *value);
    if (rc == LIBSD_EINVAL)
        return why;
    if (rc < 0)
        return libsd_strerror(rc);
    if (instance.family == 0)
        return "the value holds a host name, not an address";
    value->family = instance.family;
    memcpy(value->address, instance.address, instance.family == 4 ? 4 : 16);
    value->port = instance.port;
    value->weight = (uint16_t)instance.weight;
    return NULL;
}

static void out_of_memory(struct follow *follow)
{
    /* The model would be wrong from here on; the table is still right.  The
     * next watcher adopts it and lists anew. */
    log_line(LOG_LEVEL_ERROR, "memory: %s (the table stays as it is)", strerror(ENOMEM));
    follow->has_ended = true;
}

static void tell_progress(struct follow *follow)
{
    follow->progress_ms = now_ms();
    log_line(LOG_LEVEL_INFO, "list: %" PRIu64 " keys so far, %" PRId64 " s", follow->listed,
             (follow->progress_ms - follow->begun_ms) / 1000);
}

static void on_put(struct follow *follow, const libsd_kv *kv)
{
    const char *rest = (const char *)kv->key.data + follow->zone->prefix_length;
    size_t length = kv->key.size - follow->zone->prefix_length;
    struct zone_place place;
    struct model_value value;
    char text[256] = "";
    const char *why;
    int rc = zone_place_key(follow->zone, rest, length, &place);

    if (rc < 0) {
        memset(&value, 0, sizeof value);
        why = zone_strerror(rc);
        rc = model_put(follow->model, "", 0, rest, length, false, &value);
    } else {
        why = value_read(follow, kv, &value, text, sizeof text);
        rc = model_put(follow->model, place.name, place.name_length, rest, length, place.is_exact,
                       &value);
    }
    if (rc < 0)
        out_of_memory(follow);
    else if (why != NULL)
        tell_dropped(kv, rc == MODEL_UNREADABLE, why);
    if (follow->is_listing && ++follow->listed % PROGRESS_EVERY == 0)
        tell_progress(follow);
}

static void on_delete(struct follow *follow, const libsd_kv *kv)
{
    const char *rest = (const char *)kv->key.data + follow->zone->prefix_length;
    size_t length = kv->key.size - follow->zone->prefix_length;
    struct zone_place place;

    if (zone_place_key(follow->zone, rest, length, &place) < 0)
        model_delete(follow->model, "", 0, rest, length);
    else
        model_delete(follow->model, place.name, place.name_length, rest, length);
}

/* ---- lists and commits ------------------------------------------------- */

static void on_list_begin(struct follow *follow)
{
    model_mark(follow->model);
    /* A list in spite of a connection is an audit: what the table says is no
     * less true than before. */
    follow->is_current = follow->is_current && follow->is_connected;
    follow->is_listing = true;
    follow->listed = 0;
    follow->begun_ms = follow->progress_ms = now_ms();
    log_line(LOG_LEVEL_DEBUG, "list: begins");
}

static void on_list_end(struct follow *follow, int64_t revision)
{
    uint64_t swept = model_sweep(follow->model);
    bool is_first = !follow->publish->is_complete;

    follow->is_listing = false;
    follow->is_whole = true;
    follow->pending_ms = 0;
    follow->revision = revision;
    publish_list(follow->publish, revision);
    log_line(is_first || swept > 0 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
             "list at revision %" PRId64 ": %" PRIu64 " keys, %" PRIu64 " of them dropped, %" PRIu64
             " gone since before, %" PRId64 " ms",
             revision, follow->model->instance_count, follow->model->unreadable, swept,
             now_ms() - follow->begun_ms);
    /* Whoever listed was connected; CONNECTED may come after the list. */
    follow->is_current = follow->is_connected = true;
    state_set(follow);
    if (is_first) /* what the pages of the list took is worth giving back */
        malloc_trim(0);
}

static void write_pending(struct follow *follow)
{
    follow->pending_ms = 0;
    publish_changes(follow->publish, follow->revision);
}

static void on_commit(struct follow *follow, int64_t revision)
{
    if (follow->is_listing)
        return;
    follow->is_whole = true;
    follow->revision = revision;
    if (follow->pending_ms == 0)
        follow->pending_ms = now_ms();
    else if (now_ms() - follow->pending_ms >= COALESCE_MS)
        write_pending(follow);
}

void follow_event(const libsd_event *event, void *arg)
{
    struct follow *follow = arg;
    bool is_key = event->type == LIBSD_EVENT_PUT || event->type == LIBSD_EVENT_DELETE;

    follow->events++;
    if (follow->has_ended)
        return;
    if (is_key && !zone_has_key(follow->zone, event->kv->key.data, event->kv->key.size))
        return;
    if (is_key)
        follow->is_whole = false;
    switch (event->type) {
    case LIBSD_EVENT_PUT:
        on_put(follow, event->kv);
        break;
    case LIBSD_EVENT_DELETE:
        on_delete(follow, event->kv);
        break;
    case LIBSD_EVENT_LIST_BEGIN:
        on_list_begin(follow);
        break;
    case LIBSD_EVENT_LIST_END:
        on_list_end(follow, event->revision);
        break;
    case LIBSD_EVENT_COMMIT:
        on_commit(follow, event->revision);
        break;
    case LIBSD_EVENT_DISCONNECTED:
        on_disconnected(follow, event);
        break;
    case LIBSD_EVENT_CONNECTED:
        on_connected(follow);
        break;
    case LIBSD_EVENT_ENDED:
        log_line(LOG_LEVEL_ERROR, "etcd: the watch ended: %s",
                 event->detail != NULL ? event->detail : libsd_strerror(event->error));
        follow->has_ended = true;
        break;
    default: /* of a later libsd */
        break;
    }
}

void follow_flush(struct follow *follow)
{
    if (follow->pending_ms != 0 && follow->is_whole && !follow->is_listing)
        write_pending(follow);
}

void follow_tick(struct follow *follow)
{
    if (follow->is_whole && !follow->is_listing)
        publish_retry(follow->publish);
    if (follow->is_listing && now_ms() - follow->progress_ms >= PROGRESS_MS)
        tell_progress(follow);
}

void follow_rebalance(struct follow *follow)
{
    model_touch_all(follow->model);
    if (follow->is_whole && !follow->is_listing)
        publish_changes(follow->publish, follow->publish->revision);
}
