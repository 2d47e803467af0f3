/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon as a whole: what is opened at start, what wakes it, what is
 * closed at the end.
 */
#ifndef ETCDSD_WATCHER_WATCHER_H
#define ETCDSD_WATCHER_WATCHER_H

#include <stdbool.h>

#include "arguments.h"
#include "config.h"
#include "follower.h"
#include "libsd.h"
#include "localnet.h"
#include "upkeep.h"
#include "writer.h"

struct watcher {
    const struct arguments *arguments;
    struct config *config; /* the one that holds; watcher_reload() replaces what is in it */
    libsd *sd;
    struct table_writer *table;
    struct board board;
    struct follower *followers; /* one for each zone */
    struct upkeep upkeep;
    struct localnet net;
    bool is_net_changed; /* the kernel said so; read at the next tick */
    int signal_fd;
    int timer_fd;
    int net_fd; /* -1: changes of addresses go unnoticed */
};

/* Exit status of the daemon; --help documents it. */
enum watcher_status {
    WATCHER_STOPPED = 0,
    WATCHER_FAILED = 1,
    WATCHER_USAGE = 2
};

/* Opens everything and begins to follow etcd, which may be down.  What went
 * wrong is logged.  Returns 0 or enum watcher_status; watcher_stop() must
 * follow in each case.  arguments, config: must outlive the watcher. */
int watcher_start(struct watcher *watcher, const struct arguments *arguments,
                  struct config *config);

/* Serves until a signal or an error ends it (loop.c).  Returns enum
 * watcher_status. */
int watcher_run(struct watcher *watcher);

/* Once a second: heartbeat and all that waits for it. */
void watcher_tick(struct watcher *watcher);

/* Whether a zone's watch ended, after which nothing more would come. */
bool watcher_has_ended(const struct watcher *watcher);

/* Reads the configuration again (reload.c).  What came of it is logged. */
void watcher_reload(struct watcher *watcher);

/* Begins to follow a zone, or begins anew.  Returns 0 or -1, which is logged
 * and ends the daemon. */
int watcher_follow(struct watcher *watcher, struct follower *follower);

/* Opens a handle, which connects to nobody yet.  Returns 0 or -EINVAL. */
int etcd_open(const struct config *config, libsd **sd, struct config_error *error);

/* Marks the table STOPPED and closes everything. */
void watcher_stop(struct watcher *watcher);

#endif
