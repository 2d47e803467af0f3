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
#include "libsd.h"
#include "localnet.h"
#include "mirror.h"
#include "model.h"
#include "publish.h"
#include "writer.h"
#include "zone.h"

struct watcher {
    const struct arguments *arguments;
    const struct config *config;
    libsd *sd;
    libsd_watch *watch;
    struct table_writer *table;
    struct zone zone;
    struct model model;
    struct publish publish;
    struct mirror mirror;
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
                  const struct config *config);

/* Serves until a signal or an error ends it (loop.c).  Returns enum
 * watcher_status. */
int watcher_run(struct watcher *watcher);

/* Once a second: heartbeat and all that waits for it. */
void watcher_tick(struct watcher *watcher);

/* Marks the table STOPPED and closes everything. */
void watcher_stop(struct watcher *watcher);

#endif
