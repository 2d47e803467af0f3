/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * When snapshots are written and read: at most one in an interval, only when
 * there is something new, and by a forked child, so that a slow disk holds up
 * neither the heartbeat nor a change.  The child has the model as it was at
 * the moment of the fork, for the price of the pages that change meanwhile.
 *
 *          tick: due            tick: child gone
 *   IDLE ------------> WRITING ------------------> IDLE (waits an interval)
 *     |                   |
 *     +---- close --------+----> the last one, in this process
 */
#ifndef ETCDSD_WATCHER_PRESERVE_H
#define ETCDSD_WATCHER_PRESERVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "follower.h"
#include "saved.h"

#define STATE_DEFAULT_DIRECTORY "/var/lib/etcdsd"

struct preserve {
    char *directory; /* from malloc(3); NULL: no snapshot is kept */
    uint32_t interval_s;
    uint32_t max_stale_s;
    struct board *board;
    struct follower *const *followers; /* the first of them; a reload may bring others */

    pid_t child;       /* 0: none */
    int64_t begun_s;   /* monotonic: of the last try */
    uint64_t begun_at; /* its counter of changes */
    bool was_tried;
    bool is_written; /* the last one is as of begun_at */
    bool is_failing; /* which was told */
    uint64_t failures;
    int64_t time_s; /* time(2) of the snapshot that is on disk; 0: none, or not ours */
    int64_t child_time_s;
};

/* Makes the directory if it is missing and reads what is there into the followers,
 * which must be empty.  A snapshot that is refused costs one line in the log and
 * changes nothing.  Returns 0, or -ENOMEM: the followers are in between. */
int preserve_open(struct preserve *preserve);

/* Once a second. */
void preserve_tick(struct preserve *preserve);

/* Waits for no child; writes the last snapshot if there is something new. */
void preserve_close(struct preserve *preserve);

#endif
