/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All that the daemon does besides following etcd: the snapshot, the service
 * manager, the numbers.  None of it may hold up or end what it is there for,
 * so what fails here is told and tried again.
 */
#ifndef ETCDSD_WATCHER_UPKEEP_H
#define ETCDSD_WATCHER_UPKEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "follower.h"
#include "metrics_http.h"
#include "notify.h"
#include "preserve.h"
#include "writer.h"

/* NULL or "": not wanted. */
struct upkeep_options {
    const char *state_directory;
    const char *metrics_file;
    const char *metrics_listen; /* as metrics_http_parse() takes it */
    uint32_t snapshot_interval_s;
    uint32_t max_stale_s;
};

struct upkeep {
    struct preserve preserve;
    struct notify notify;
    struct metrics_http http;
    char *metrics_file;         /* NULL: none */
    bool is_file_failing;       /* which was told */
    int64_t file_s;             /* monotonic: when it was written last */
    uint64_t started;           /* time(2) */
    struct table_counters past; /* of zones that went: a counter never falls */
    struct board *board;
    struct follower *const *followers; /* the first of them; a reload may bring others */
};

/* Before the first event: reads the snapshot into the followers.  Returns 0 or
 * -ENOMEM; upkeep_close() must follow in each case. */
int upkeep_open(struct upkeep *upkeep, const struct upkeep_options *options, struct board *board,
                struct follower *const *followers);

/* Once a second.  max_stale_s: as it is configured now. */
void upkeep_tick(struct upkeep *upkeep, uint32_t max_stale_s);

/* Before a follower goes, as its zone did. */
void upkeep_remember(struct upkeep *upkeep, const struct follower *follower);

/* Before the table is closed.  One that is zero is allowed. */
void upkeep_close(struct upkeep *upkeep);

#endif
