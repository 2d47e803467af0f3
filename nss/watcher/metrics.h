/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon's numbers as Prometheus reads them (text format 0.0.4): as text,
 * and as a file for node_exporter's textfile collector.
 */
#ifndef ETCDSD_WATCHER_METRICS_H
#define ETCDSD_WATCHER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "writer.h"

struct metrics_zone {
    const char *prefix, *domain;
    uint64_t keys, dropped, held;
    bool is_live, is_ready;
};

/* What there is to tell. */
struct metrics {
    const char *version;
    bool is_connected, is_live, is_published;
    uint64_t cluster;
    int64_t revision;
    struct table_writer_stats table;
    struct table_counters counters;
    uint64_t snapshot_failures;
    uint32_t zone_count;
    struct metrics_zone zones[TABLE_MAX_ZONES];
};

/* More than any text takes: 32 zones, each label escaped. */
#define METRICS_SIZE ((size_t)320 << 10)

/* Writes the text.  Returns its length, or 0 if it did not fit. */
size_t metrics_render(const struct metrics *metrics, char *text, size_t size);

/* Puts a text at a path: a temporary file beside it that takes its place, so
 * that the collector never reads half of it.  Returns 0 or a negative errno. */
int metrics_write(const char *path, const char *text, size_t length);

#endif
