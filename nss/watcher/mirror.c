/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One function per event; the states are drawn in mirror.h.  Relies on
 * libsd.h's promise that events of one watch come in the order of revisions
 * and on one thread.
 */
#include "mirror.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "board.h"
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
static void state_set(const struct mirror *mirror)
{
    mirror->publish->is_live = mirror->is_connected && mirror->is_current;
    mirror->publish->held = mirror->held;
    board_set_state(mirror->publish->board);
}

static void on_disconnected(struct mirror *mirror, const libsd_event *event)
{
    const char *detail = event->detail != NULL ? event->detail : libsd_strerror(event->error);
    bool is_denial = event->error == LIBSD_EDENIED;
    bool is_news = mirror->lost_ms == 0 && !is_denial ? !board_is_lost(mirror->publish->board)
                                                      : mirror->error != event->error;

    if (mirror->lost_ms == 0) {
        mirror->lost_ms = now_ms();
        mirror->outages++;
    }
    mirror->is_connected = false;
    mirror->error = event->error;
    mirror->publish->is_lost = true;
    mirror->publish->error = event->error;
    mirror->publish->lost_s = mirror->lost_ms / 1000;
    log_line(is_news ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "zone %s: %s: %s (%s)",
             mirror->zone->domain, is_denial ? "etcd refuses its keys" : "etcd is out of sight",
             detail,
             table_writer_is_published(mirror->publish->table) ? "the table goes on answering"
                                                               : "nothing is published yet");
    state_set(mirror);
}

/* Of several zones the last one to come back tells it. */
static void on_connected(struct mirror *mirror)
{
    bool was_lost = mirror->lost_ms != 0;
    int64_t lost_s = (now_ms() - mirror->lost_ms + 500) / 1000;

    mirror->publish->is_lost = false;
    mirror->publish->error = 0;
    mirror->lost_ms = 0;
    mirror->error = 0;
    mirror->is_connected = true;
    if (was_lost && !board_is_lost(mirror->publish->board))
        log_line(LOG_LEVEL_INFO, "etcd is back after %" PRId64 " s", lost_s);
    else if (!was_lost)
        log_line(mirror->publish == mirror->publish->board->first ? LOG_LEVEL_INFO
                                                                  : LOG_LEVEL_DEBUG,
                 "connected to etcd");
    state_set(mirror);
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
static const char *value_read(struct mirror *mirror, const libsd_kv *kv, struct model_value *value,
                              char *why, size_t why_size)
{
    libsd_instance instance;
    int rc;

    memset(value, 0, sizeof *value);
    if (mirror->zone->max_value_bytes != 0 && kv->value.size > mirror->zone->max_value_bytes)
        return "the value is larger than max-value-size";
    rc = libsd_instance_parse(mirror->zone->format, kv->value, &instance, sizeof instance, why,
                              why_size);
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
    if (mirror->zone->allow == NULL ||
        networks_have(mirror->zone->allow, value->family, value->address))
        return NULL;
    value->family = 0;
    snprintf(why, why_size, "%.46s is in none of the networks that are allowed", instance.host);
    mirror->outside++;
    return why;
}

static void out_of_memory(struct mirror *mirror)
{
    /* The model would be wrong from here on; the table is still right.  The
     * next watcher adopts it and lists anew. */
    log_line(LOG_LEVEL_ERROR, "memory: %s (the table stays as it is)", strerror(ENOMEM));
    mirror->has_ended = true;
}

static void tell_progress(struct mirror *mirror)
{
    mirror->progress_ms = now_ms();
    log_line(LOG_LEVEL_INFO, "zone %s: list: %" PRIu64 " keys so far, %" PRId64 " s",
             mirror->zone->domain, mirror->listed, (mirror->progress_ms - mirror->begun_ms) / 1000);
}

/* A value that is too large changes nothing where there was one before. */
static bool is_oversized(struct mirror *mirror, const libsd_kv *kv, const struct zone_place *place,
                         const char *rest, size_t length)
{
    char key[LOG_QUOTE_SIZE];

    if (mirror->zone->max_value_bytes == 0 || kv->value.size <= mirror->zone->max_value_bytes)
        return false;
    mirror->oversized++;
    if (!model_keep(mirror->model, place->name, place->name_length, rest, length))
        return false;
    log_line(mirror->is_listing || mirror->is_auditing ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
             "key %s: its value has %zu bytes, more than max-value-size: stays as it was",
             log_quote(key, kv->key.data, kv->key.size), kv->value.size);
    return true;
}

static void on_put(struct mirror *mirror, const libsd_kv *kv)
{
    const char *rest = (const char *)kv->key.data + mirror->zone->prefix_length;
    size_t length = kv->key.size - mirror->zone->prefix_length;
    struct zone_place place;
    struct model_value value;
    char text[256] = "";
    const char *why;
    int rc = zone_place_key(mirror->zone, rest, length, &place);

    if (rc < 0) {
        memset(&value, 0, sizeof value);
        why = zone_strerror(rc);
        rc = model_put(mirror->model, "", 0, rest, length, false, &value);
    } else if (is_oversized(mirror, kv, &place, rest, length)) {
        why = NULL;
    } else {
        why = value_read(mirror, kv, &value, text, sizeof text);
        rc = model_put(mirror->model, place.name, place.name_length, rest, length, place.is_exact,
                       &value);
    }
    if (rc < 0)
        out_of_memory(mirror);
    else if (why != NULL)
        tell_dropped(kv, rc == MODEL_UNREADABLE, why);
    if (mirror->is_listing && ++mirror->listed % PROGRESS_EVERY == 0)
        tell_progress(mirror);
}

static void on_delete(struct mirror *mirror, const libsd_kv *kv)
{
    const char *rest = (const char *)kv->key.data + mirror->zone->prefix_length;
    size_t length = kv->key.size - mirror->zone->prefix_length;
    struct zone_place place;

    if (zone_place_key(mirror->zone, rest, length, &place) < 0)
        model_delete(mirror->model, "", 0, rest, length);
    else
        model_delete(mirror->model, place.name, place.name_length, rest, length);
}

/* ---- lists that lack too much ------------------------------------------ */

static int64_t confirm_ms(const struct mirror *mirror)
{
    return mirror->confirm_loss_s * INT64_C(1000);
}

static void hold(struct mirror *mirror, uint64_t lacking)
{
    mirror->held = lacking;
    if (mirror->held_ms != 0)
        return;
    mirror->held_ms = now_ms();
    mirror->ask_ms = mirror->held_ms + confirm_ms(mirror);
    log_line(LOG_LEVEL_WARNING,
             "zone %s: list: lacks %" PRIu64 " of %" PRIu64 " instances: another cluster, or a "
             "store that was wiped? They are kept until a list in %" PRIu32 " s says the same "
             "(confirm-loss)",
             mirror->zone->domain, lacking, mirror->known, mirror->confirm_loss_s);
}

static void release(struct mirror *mirror, const char *why)
{
    if (mirror->held_ms != 0)
        log_line(LOG_LEVEL_WARNING, "zone %s: list: %s", mirror->zone->domain, why);
    mirror->held = 0;
    mirror->held_ms = 0;
}

/* Whether what the list lacks must be kept for now. */
static bool is_loss_held(struct mirror *mirror)
{
    uint64_t lacking = model_unseen(mirror->model);
    bool is_loss =
        mirror->confirm_loss_s > 0 && mirror->known > MIRROR_FEW && lacking > mirror->known / 2;

    if (!is_loss)
        release(mirror, "what was missing is there again");
    else if (mirror->held_ms != 0 && now_ms() >= mirror->held_ms + confirm_ms(mirror))
        release(mirror, "what was missing is still missing: believed");
    else
        hold(mirror, lacking);
    return mirror->held_ms != 0;
}

/* Once in a while, as the list that was asked for may never come to an end. */
bool mirror_wants_list(struct mirror *mirror)
{
    if (mirror->held_ms == 0 || mirror->is_listing || !mirror->is_connected ||
        now_ms() < mirror->ask_ms)
        return false;
    mirror->ask_ms = now_ms() + confirm_ms(mirror);
    return true;
}

/* ---- lists and commits ------------------------------------------------- */

static void on_list_begin(struct mirror *mirror)
{
    model_mark(mirror->model);
    if (mirror->held_ms == 0)
        mirror->known = mirror->model->instance_count;
    /* In spite of a connection: the owner asked for it (mirror_wants_list(), a
     * reload), or etcd compacted what was about to come. */
    mirror->is_current = mirror->is_current && mirror->is_connected;
    mirror->is_listing = true;
    mirror->is_auditing = false;
    mirror->listed = 0;
    mirror->begun_ms = mirror->progress_ms = now_ms();
    log_line(LOG_LEVEL_DEBUG, "zone %s: list: begins", mirror->zone->domain);
}

static void list_apply(struct mirror *mirror, int64_t revision)
{
    uint64_t swept = model_sweep(mirror->model);
    bool is_first = !mirror->publish->is_complete;

    publish_list(mirror->publish, revision);
    log_line(is_first || swept > 0 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
             "zone %s: list at revision %" PRId64 ": %" PRIu64 " keys, %" PRIu64
             " of them dropped, %" PRIu64 " gone since before, %" PRId64 " ms",
             mirror->zone->domain, revision, mirror->model->instance_count,
             mirror->model->unreadable, swept, now_ms() - mirror->begun_ms);
    if (is_first) /* what the pages of the list took is worth giving back */
        malloc_trim(0);
}

static void on_list_end(struct mirror *mirror, const libsd_event *event)
{
    int64_t revision = event->revision;
    bool is_held = is_loss_held(mirror);

    mirror->lists++;
    mirror->is_listing = false;
    mirror->is_whole = true;
    mirror->pending_ms = 0;
    mirror->revision = revision;
    mirror->publish->cluster = event->cluster_id;
    /* Whoever listed was connected; CONNECTED may come after the list. */
    mirror->is_connected = true;
    mirror->is_current = !is_held;
    if (is_held) {
        state_set(mirror); /* readers must not take the mixture for etcd's content */
        publish_changes(mirror->publish, revision);
    } else {
        list_apply(mirror, revision);
        state_set(mirror);
    }
}

static void on_audit_begin(struct mirror *mirror)
{
    mirror->is_auditing = mirror->held_ms == 0; /* else a list is to come */
    if (!mirror->is_auditing)
        return;
    model_mark(mirror->model);
    mirror->known = mirror->model->instance_count;
}

/* What is swept waits for the next COMMIT, or is written by the next flush, like
 * any change. */
static void on_audit_end(struct mirror *mirror)
{
    uint64_t swept;

    if (!mirror->is_auditing)
        return;
    mirror->is_auditing = false;
    if (is_loss_held(mirror)) {
        mirror->is_current = false;
        state_set(mirror);
        return;
    }
    swept = model_sweep(mirror->model);
    if (swept == 0)
        return;
    log_line(LOG_LEVEL_WARNING,
             "zone %s: audit: %" PRIu64 " instances were gone, though etcd never told of it",
             mirror->zone->domain, swept);
    if (mirror->pending_ms == 0)
        mirror->pending_ms = now_ms();
}

static void write_pending(struct mirror *mirror)
{
    mirror->pending_ms = 0;
    publish_changes(mirror->publish, mirror->revision);
}

static void on_commit(struct mirror *mirror, int64_t revision)
{
    if (mirror->is_listing)
        return;
    mirror->is_whole = true;
    mirror->revision = revision;
    if (mirror->pending_ms == 0)
        mirror->pending_ms = now_ms();
    else if (now_ms() - mirror->pending_ms >= COALESCE_MS)
        write_pending(mirror);
}

void mirror_event(const libsd_event *event, void *arg)
{
    struct mirror *mirror = arg;
    bool is_key = event->type == LIBSD_EVENT_PUT || event->type == LIBSD_EVENT_DELETE ||
                  event->type == LIBSD_EVENT_AUDIT_KEY;

    if (mirror->has_ended)
        return;
    if (is_key && !zone_has_key(mirror->zone, event->kv->key.data, event->kv->key.size))
        return;
    if (is_key)
        mirror->is_whole = false;
    if (is_key && event->type != LIBSD_EVENT_AUDIT_KEY) {
        mirror->events++;
        mirror->event_at = time(NULL);
    }
    switch (event->type) {
    case LIBSD_EVENT_PUT:
    case LIBSD_EVENT_AUDIT_KEY:
        on_put(mirror, event->kv);
        break;
    case LIBSD_EVENT_DELETE:
        on_delete(mirror, event->kv);
        break;
    case LIBSD_EVENT_LIST_BEGIN:
        on_list_begin(mirror);
        break;
    case LIBSD_EVENT_LIST_END:
        on_list_end(mirror, event);
        break;
    case LIBSD_EVENT_AUDIT_BEGIN:
        on_audit_begin(mirror);
        break;
    case LIBSD_EVENT_AUDIT_END:
        on_audit_end(mirror);
        break;
    case LIBSD_EVENT_COMMIT:
        on_commit(mirror, event->revision);
        break;
    case LIBSD_EVENT_DISCONNECTED:
        on_disconnected(mirror, event);
        break;
    case LIBSD_EVENT_CONNECTED:
        on_connected(mirror);
        break;
    case LIBSD_EVENT_ENDED:
        log_line(LOG_LEVEL_ERROR, "zone %s: the watch ended: %s", mirror->zone->domain,
                 event->detail != NULL ? event->detail : libsd_strerror(event->error));
        mirror->has_ended = true;
        break;
    default: /* of a later libsd */
        break;
    }
}

void mirror_flush(struct mirror *mirror)
{
    if (mirror->is_listing)
        publish_ahead(mirror->publish);
    else if (mirror->pending_ms != 0 && mirror->is_whole)
        write_pending(mirror);
}

void mirror_tick(struct mirror *mirror)
{
    if (mirror->is_whole && !mirror->is_listing)
        publish_retry(mirror->publish);
    if (mirror->is_listing && now_ms() - mirror->progress_ms >= PROGRESS_MS)
        tell_progress(mirror);
}

int mirror_restore(struct mirror *mirror, const char *key, size_t key_length,
                   const struct model_value *value)
{
    struct zone_place place;
    int rc;

    if (zone_place_key(mirror->zone, key, key_length, &place) < 0)
        return 0;
    rc = model_put(mirror->model, place.name, place.name_length, key, key_length, place.is_exact,
                   value);
    return rc < 0 ? rc : 0;
}

void mirror_restored(struct mirror *mirror, uint64_t cluster, int64_t revision)
{
    if (mirror->model->instance_count == 0)
        return;
    mirror->publish->is_older = table_writer_is_published(mirror->publish->table);
    if (mirror->publish->is_older)
        return;
    mirror->publish->is_known = true;
    mirror->publish->cluster = cluster;
    publish_changes(mirror->publish, revision);
}

void mirror_rebalance(struct mirror *mirror)
{
    model_touch_all(mirror->model);
    if (mirror->is_whole && !mirror->is_listing)
        publish_changes(mirror->publish, mirror->publish->revision);
}
