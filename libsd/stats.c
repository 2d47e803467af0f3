/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a handle is doing, in numbers.
 *
 * Counted by the I/O thread as it goes, without locks; so it is that thread
 * which gathers them when they are asked for.
 */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "wait.h"

#define WAIT_MS 1000

struct gathering {
    struct waiter waiter; /* first */
    struct task task;
    struct libsd *sd;
    libsd_statistics stats;
};

static void gathering_free(struct waiter *waiter)
{
    free(container_of(waiter, struct gathering, waiter));
}

static void count_registrations(const struct libsd *sd, libsd_statistics *stats)
{
    const struct group *group;
    const struct registration *registration;

    LIST_FOREACH(group, &sd->groups, link)
    {
        stats->leases += group->held;
        TAILQ_FOREACH(registration, &group->registrations, link)
        {
            stats->registrations++;
            stats->registered += registration->state == LIBSD_REGISTERED;
            stats->lost += registration->state == LIBSD_LOST;
            stats->conflicted += registration->state == LIBSD_CONFLICTED;
            stats->paused += registration->state == LIBSD_PAUSED;
            stats->unhealthy += registration->state == LIBSD_UNHEALTHY;
        }
    }
}

static void gather(struct task *task)
{
    struct gathering *gathering = container_of(task, struct gathering, task);
    struct libsd *sd = gathering->sd;
    libsd_statistics *stats = &gathering->stats;
    const struct counters *counters = &sd->counters;
    const struct failure success = { 0 };
    const struct libsd_watch *watch;
    int64_t now = now_ns();

    stats->requests = counters->requests;
    stats->failures = counters->failures;
    stats->retries = counters->retries;
    stats->bytes_sent = counters->bytes_sent;
    stats->bytes_received = counters->bytes_received;
    stats->beats = counters->beats;
    stats->late_leases = counters->late_leases;
    stats->events = counters->events;
    stats->resyncs = counters->resyncs;
    stats->answer_age_ms = counters->answered_ns ? (now - counters->answered_ns) / MS : -1;
    stats->stream_age_ms = sd->stream.state == STREAM_OPEN ? (now - sd->stream.opened_ns) / MS : -1;
    LIST_FOREACH(watch, &sd->watches, link)
    stats->watches++;
    count_registrations(sd, stats);
    pthread_mutex_lock(&sd->queue.mutex);
    stats->queued_bytes = sd->queue.bytes;
    pthread_mutex_unlock(&sd->queue.mutex);
    snprintf(stats->endpoint, sizeof stats->endpoint, "%s",
             sd->endpoints.urls[sd->endpoints.current]);
    waiter_finish(&gathering->waiter, &success);
    waiter_drop(&gathering->waiter);
}

int libsd_stats(libsd *sd, libsd_statistics *stats)
{
    struct gathering *gathering;
    size_t size = stats ? stats->size : 0;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (size < sizeof size)
        return LIBSD_EINVAL;
    gathering = calloc(1, sizeof *gathering);
    if (!gathering)
        return LIBSD_ENOMEM;
    waiter_init(&gathering->waiter, gathering_free);
    gathering->sd = sd;
    gathering->task.run = gather;
    if (!loop_post(&sd->loop, &gathering->task)) {
        waiter_drop(&gathering->waiter);
        rc = LIBSD_ECLOSED;
    } else if (!waiter_wait(&gathering->waiter, now_ns() + WAIT_MS * MS)) {
        rc = LIBSD_ETIMEDOUT;
    } else {
        gathering->stats.size = size;
        memset(stats, 0, size);
        memcpy(stats, &gathering->stats, size < sizeof *stats ? size : sizeof *stats);
    }
    waiter_drop(&gathering->waiter);
    return rc;
}
