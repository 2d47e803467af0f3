/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See upkeep.h.
 */
#include "upkeep.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libsd.h"
#include "log.h"
#include "metrics.h"

#define METRICS_EVERY_S 10
#define EXTEND_S        30 /* what a list that gets on may take longer, each second anew */

static int64_t monotonic_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

#define FOR_EACH(follower, upkeep)                                                   \
    for (const struct follower *follower = *(upkeep)->followers; (follower) != NULL; \
         (follower) = (follower)->next)

/* ---- numbers ----------------------------------------------------------- */

static void counters_add(struct table_counters *counters, const struct mirror *mirror)
{
    counters->events += mirror->events;
    counters->lists += mirror->lists;
    counters->unnamed += mirror->publish->unnamed;
    counters->refused += mirror->publish->refused;
    if (counters->outages < mirror->outages) /* all zones lose one etcd */
        counters->outages = mirror->outages;
    if (counters->event_at < (uint64_t)mirror->event_at)
        counters->event_at = (uint64_t)mirror->event_at;
}

static void counters_collect(const struct upkeep *upkeep, struct table_counters *counters)
{
    *counters = upkeep->past;
    counters->started = upkeep->started;
    counters->snapshot = (uint64_t)upkeep->preserve.time_s;
    FOR_EACH(follower, upkeep)
    {
        counters->held += follower->mirror.held;
        counters_add(counters, &follower->mirror);
    }
}

void upkeep_remember(struct upkeep *upkeep, const struct follower *follower)
{
    counters_add(&upkeep->past, &follower->mirror);
}

/* Whether all zones have the property, but for those set aside. */
static bool is_all_live(const struct upkeep *upkeep)
{
    FOR_EACH(follower, upkeep)
    if (!follower->publish.is_live && !follower->publish.is_apart)
        return false;
    return true;
}

/* NULL: none. */
static const struct follower *first_apart(const struct upkeep *upkeep)
{
    FOR_EACH(follower, upkeep)
    if (follower->publish.is_apart)
        return follower;
    return NULL;
}

static bool is_all_connected(const struct upkeep *upkeep)
{
    FOR_EACH(follower, upkeep)
    if (!follower->mirror.is_connected && !follower->publish.is_apart)
        return false;
    return true;
}

static void metrics_collect(const struct upkeep *upkeep, struct metrics *metrics)
{
    const struct follower *first = *upkeep->followers;

    *metrics = (struct metrics){
        .version = LIBSD_VERSION,
        .is_connected = is_all_connected(upkeep),
        .is_live = is_all_live(upkeep),
        .is_published = table_writer_is_published(upkeep->board->table),
        .cluster = first != NULL ? first->publish.cluster : 0,
        .revision = first != NULL ? first->publish.revision : 0,
        .snapshot_failures = upkeep->preserve.failures,
    };
    table_writer_stats(upkeep->board->table, &metrics->table);
    counters_collect(upkeep, &metrics->counters);
    FOR_EACH(follower, upkeep)
    if (metrics->zone_count < TABLE_MAX_ZONES)
        metrics->zones[metrics->zone_count++] = (struct metrics_zone){
            .prefix = follower->zone.prefix,
            .domain = follower->zone.domain,
            .keys = follower->model.instance_count,
            .dropped = follower->model.unreadable,
            .held = follower->mirror.held,
            .is_live = follower->publish.is_live,
            .is_ready = board_is_ready(upkeep->board, &follower->publish),
        };
}

static size_t metrics_text(void *arg, char *text, size_t size)
{
    struct metrics metrics;

    metrics_collect(arg, &metrics);
    return metrics_render(&metrics, text, size);
}

static void file_write(struct upkeep *upkeep)
{
    char *text = malloc(METRICS_SIZE);
    int rc = 0;

    if (text == NULL)
        return;
    rc = metrics_write(upkeep->metrics_file, text, metrics_text(upkeep, text, METRICS_SIZE));
    free(text);
    if (rc < 0 && !upkeep->is_file_failing)
        log_line(LOG_LEVEL_WARNING, "%s: metrics can't be written: %s (tried again each %d s)",
                 upkeep->metrics_file, strerror(-rc), METRICS_EVERY_S);
    else if (rc == 0 && upkeep->is_file_failing)
        log_line(LOG_LEVEL_INFO, "%s: metrics are written again", upkeep->metrics_file);
    upkeep->is_file_failing = rc < 0;
}

/* ---- the service manager ----------------------------------------------- */

static bool is_any_listing(const struct upkeep *upkeep)
{
    FOR_EACH(follower, upkeep)
    if (follower->mirror.is_listing)
        return true;
    return false;
}

/* Before anything is published. */
static void first_text(const struct upkeep *upkeep, char *text, size_t size)
{
    uint64_t listed = 0;

    FOR_EACH(follower, upkeep)
    listed += follower->mirror.listed;
    if (is_any_listing(upkeep))
        snprintf(text, size, "reading the first list: %" PRIu64 " keys so far", listed);
    else
        snprintf(text, size, "%s",
                 is_all_connected(upkeep) ? "reading the first list" : "waiting for etcd");
}

/* What `systemctl status` shows: a text that changes when something does, not
 * each second. */
static void status_text(const struct upkeep *upkeep, char *text, size_t size)
{
    struct table_writer_stats stats;
    struct table_counters counters;
    const struct follower *apart = first_apart(upkeep);
    const char *state = "etcd is out of sight, answers go on";

    table_writer_stats(upkeep->board->table, &stats);
    counters_collect(upkeep, &counters);
    if (!table_writer_is_published(upkeep->board->table)) {
        first_text(upkeep, text, size);
        return;
    }
    if (counters.held > 0)
        state = "etcd's list lacks too much, waiting for another one";
    else if (is_all_live(upkeep) && apart != NULL)
        state = "following etcd, but not each zone";
    else if (is_all_live(upkeep))
        state = "following etcd";
    else if (is_all_connected(upkeep))
        state = "reading etcd's list, answers go on";
    snprintf(text, size, "%s: %" PRIu64 " services, %" PRIu64 " instances%s%.60s%s", state,
             stats.services, stats.instances, apart != NULL ? "; set aside: " : "",
             apart != NULL ? apart->zone.domain : "",
             apart != NULL ? ", as etcd does not show it" : "");
}

static void tell_manager(struct upkeep *upkeep)
{
    char text[NOTIFY_STATUS_SIZE];

    status_text(upkeep, text, sizeof text);
    notify_status(&upkeep->notify, text);
    notify_alive(&upkeep->notify);
    if (table_writer_is_published(upkeep->board->table))
        notify_ready(&upkeep->notify);
    else if (is_any_listing(upkeep))
        notify_extend(&upkeep->notify, EXTEND_S);
}

/* ---- the whole --------------------------------------------------------- */

static void http_open(struct upkeep *upkeep, const char *where)
{
    struct sockaddr_storage address;
    socklen_t size = metrics_http_parse(where, &address);
    int rc = -1;

    if (size == 0) {
        log_line(LOG_LEVEL_ERROR, "metrics: '%s' is not loopback:port (such as 127.0.0.1:9117)",
                 where);
        return;
    }
    rc = metrics_http_open(&upkeep->http, &address, size, metrics_text, upkeep);
    if (rc < 0) {
        log_line(LOG_LEVEL_ERROR, "metrics: %s: %s (not served)", where, strerror(-rc));
        metrics_http_close(&upkeep->http);
    }
}

/* A copy; NULL if it is not wanted.  *rc: set if there is no memory. */
static char *wanted(const char *text, int *rc)
{
    char *copy = text != NULL && *text != '\0' ? strdup(text) : NULL;

    if (copy == NULL && text != NULL && *text != '\0')
        *rc = -ENOMEM;
    return copy;
}

int upkeep_open(struct upkeep *upkeep, const struct upkeep_options *options, struct board *board,
                struct follower *const *followers)
{
    int rc = 0;

    *upkeep = (struct upkeep){
        .preserve = { .directory = wanted(options->state_directory, &rc),
                      .interval_s = options->snapshot_interval_s,
                      .max_stale_s = options->max_stale_s,
                      .board = board,
                      .followers = followers },
        .http = { .fd = -1, .listener = -1 },
        .metrics_file = wanted(options->metrics_file, &rc),
        .started = (uint64_t)time(NULL),
        .board = board,
        .followers = followers,
    };
    notify_open(&upkeep->notify);
    if (rc == 0)
        rc = preserve_open(&upkeep->preserve);
    if (rc < 0)
        return rc;
    if (options->metrics_listen != NULL && *options->metrics_listen != '\0')
        http_open(upkeep, options->metrics_listen);
    tell_manager(upkeep);
    return 0;
}

void upkeep_tick(struct upkeep *upkeep, uint32_t max_stale_s)
{
    struct table_counters counters;
    int64_t now = monotonic_s();

    upkeep->preserve.max_stale_s = max_stale_s;
    preserve_tick(&upkeep->preserve);
    counters_collect(upkeep, &counters);
    table_writer_set_counters(upkeep->board->table, &counters);
    tell_manager(upkeep);
    metrics_http_tick(&upkeep->http);
    if (upkeep->metrics_file != NULL &&
        (upkeep->file_s == 0 || now - upkeep->file_s >= METRICS_EVERY_S)) {
        upkeep->file_s = now;
        file_write(upkeep);
    }
}

void upkeep_close(struct upkeep *upkeep)
{
    if (upkeep->board == NULL) /* never opened */
        return;
    notify_stopping(&upkeep->notify);
    preserve_close(&upkeep->preserve);
    metrics_http_close(&upkeep->http);
    notify_close(&upkeep->notify);
    free(upkeep->metrics_file);
}
