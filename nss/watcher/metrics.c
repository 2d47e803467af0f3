/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The format is Prometheus's "Exposition formats", text version 0.0.4; names
 * follow its "Metric and label naming": base units, counters end in _total.
 */
#include "metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "etcdsd_watcher_"

struct text {
    char *at;
    size_t left; /* 0: it did not fit */
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text->at, text->left, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= text->left) {
        text->left = 0;
        return;
    }
    text->at += length;
    text->left -= (size_t)length;
}

static void head(struct text *text, const char *name, const char *type, const char *help)
{
    add(text, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void gauge(struct text *text, const char *name, uint64_t value, const char *help)
{
    head(text, name, "gauge", help);
    add(text, PREFIX "%s %" PRIu64 "\n", name, value);
}

static void counter(struct text *text, const char *name, uint64_t value, const char *help)
{
    head(text, name, "counter", help);
    add(text, PREFIX "%s %" PRIu64 "\n", name, value);
}

/* Backslash, quote and newline are escaped; other bytes that are no text are
 * shown as '?', as a label has to be UTF-8. */
static void label(struct text *text, const char *name, const char *value)
{
    add(text, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\n')
            add(text, "\\n");
        else if (*value == '\\' || *value == '"')
            add(text, "\\%c", *value);
        else
            add(text, "%c", *value >= ' ' && *value < 0x7f ? *value : '?');
    }
    add(text, "\"");
}

static void zone_sample(struct text *text, const char *name, const struct metrics_zone *zone,
                        uint64_t value)
{
    add(text, PREFIX "%s{", name);
    label(text, "domain", zone->domain);
    add(text, ",");
    label(text, "prefix", zone->prefix);
    add(text, "} %" PRIu64 "\n", value);
}

static void zones(struct text *text, const struct metrics *metrics)
{
    head(text, "zone_keys", "gauge", "Keys that etcd holds under the prefix of the zone.");
    for (uint32_t i = 0; i < metrics->zone_count; i++)
        zone_sample(text, "zone_keys", &metrics->zones[i], metrics->zones[i].keys);
    head(text, "zone_dropped", "gauge", "Those of the keys that are not in the table.");
    for (uint32_t i = 0; i < metrics->zone_count; i++)
        zone_sample(text, "zone_dropped", &metrics->zones[i], metrics->zones[i].dropped);
    head(text, "zone_held", "gauge",
         "Instances that the last list lacked, kept until another list confirms it.");
    for (uint32_t i = 0; i < metrics->zone_count; i++)
        zone_sample(text, "zone_held", &metrics->zones[i], metrics->zones[i].held);
}

static void zone_states(struct text *text, const struct metrics *metrics)
{
    head(text, "zone_live", "gauge", "Whether what is known of the zone is that of etcd.");
    for (uint32_t i = 0; i < metrics->zone_count; i++)
        zone_sample(text, "zone_live", &metrics->zones[i], metrics->zones[i].is_live);
    head(text, "zone_ready", "gauge", "Whether names of the zone are answered or denied.");
    for (uint32_t i = 0; i < metrics->zone_count; i++)
        zone_sample(text, "zone_ready", &metrics->zones[i], metrics->zones[i].is_ready);
}

static void table(struct text *text, const struct metrics *metrics)
{
    const struct table_writer_stats *stats = &metrics->table;

    gauge(text, "table_published", metrics->is_published, "Whether there is a table to be read.");
    gauge(text, "table_live", metrics->is_live, "Whether its content is known to be that of etcd.");
    if (metrics->is_published && stats->age_s >= 0)
        gauge(text, "data_age_seconds", (uint64_t)stats->age_s,
              "Since the content was that of etcd.");
    gauge(text, "services", stats->services, "Services in the table.");
    gauge(text, "instances", stats->instances, "Instances in the table.");
    gauge(text, "table_bytes", stats->file_bytes, "Size of the table file.");
    gauge(text, "table_heap_used_bytes", stats->heap_used,
          "Bytes of the table that hold services.");
    counter(text, "table_changes_total", stats->changes, "Services written to the table.");
    counter(text, "table_files_total", stats->files_made, "Table files made.");
}

size_t metrics_render(const struct metrics *metrics, char *buffer, size_t size)
{
    const struct table_counters *counters = &metrics->counters;
    struct text text = { buffer, size };

    head(&text, "info", "gauge", "Version of the daemon and cluster id of etcd, in hexadecimal.");
    add(&text, PREFIX "info{");
    label(&text, "version", metrics->version);
    add(&text, ",cluster_id=\"%" PRIx64 "\"} 1\n", metrics->cluster);
    gauge(&text, "start_time_seconds", counters->started, "When the daemon started.");
    gauge(&text, "connected", metrics->is_connected, "Whether etcd is in sight.");
    gauge(&text, "revision", (uint64_t)metrics->revision, "Revision of etcd that the table shows.");
    table(&text, metrics);
    zones(&text, metrics);
    zone_states(&text, metrics);
    counter(&text, "events_total", counters->events, "Puts and deletes that etcd told.");
    gauge(&text, "last_event_time_seconds", counters->event_at, "When the last of them came.");
    counter(&text, "lists_total", counters->lists, "Complete lists of the content of etcd.");
    counter(&text, "outages_total", counters->outages, "How often etcd went out of sight.");
    counter(&text, "unnamed_total", counters->unnamed,
            "Instances met whose label was taken or empty.");
    counter(&text, "refused_total", counters->refused, "Services that the table refused.");
    gauge(&text, "snapshot_time_seconds", counters->snapshot, "When the last snapshot was made.");
    counter(&text, "snapshot_failures_total", metrics->snapshot_failures,
            "Snapshots that could not be written.");
    return text.left == 0 ? 0 : size - text.left;
}

int metrics_write(const char *path, const char *text, size_t length)
{
    char temporary[PATH_MAX];
    int fd, rc = 0, size = snprintf(temporary, sizeof temporary, "%s.new", path);

    if (size < 0 || (size_t)size >= sizeof temporary)
        return -ENAMETOOLONG;
    /* Another user, the collector, reads it. */
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, 0644) != 0)
        rc = -errno;
    while (rc == 0 && length > 0) {
        ssize_t some = write(fd, text, length);

        if (some < 0 && errno != EINTR)
            rc = -errno;
        text += some > 0 ? some : 0;
        length -= some > 0 ? (size_t)some : 0;
    }
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temporary, path) != 0)
        rc = -errno;
    if (rc < 0)
        unlink(temporary);
    return rc;
}
