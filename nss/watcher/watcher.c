/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Start, tick and stop.  The table is opened before etcd is asked: if another
 * watcher has it, nothing else is touched.
 */
#include "watcher.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "log.h"

/* ---- etcd -------------------------------------------------------------- */

/* libsd's levels are ours; its I/O thread calls this.  What its warnings say
 * comes as an event, too, and is told there, once. */
static void on_libsd_message(int level, const char *message, void *arg)
{
    (void)arg;
    log_line(level == LIBSD_LOG_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, "libsd: %s", message);
}

int etcd_open(const struct config *config, libsd **sd, struct config_error *error)
{
    int rc;

    libsd_options_set_log(config->etcd, on_libsd_message, NULL);
    rc = libsd_open(sd, config->etcd);
    if (rc == 0)
        return 0;
    *sd = NULL;
    if (libsd_error_detail(NULL, error->text, sizeof error->text) == 0)
        snprintf(error->text, sizeof error->text, "%s", libsd_strerror(rc));
    return rc == LIBSD_ENOMEM ? -ENOMEM : -EINVAL;
}

int watcher_follow(struct watcher *watcher, struct follower *follower)
{
    int rc = follower_open(follower, watcher->sd);

    if (rc == 0)
        return 0;
    log_line(LOG_LEVEL_ERROR, "etcd client: can't watch %s: %s", follower->zone.prefix,
             libsd_strerror(rc));
    follower->mirror.has_ended = true;
    return -1;
}

/* ---- table ------------------------------------------------------------- */

/* Everybody has to read the table, whatever umask the daemon got. */
static int directory_make(const char *table)
{
    char *copy = strdup(table), *directory;
    int rc = 0;

    if (copy == NULL)
        return -ENOMEM;
    directory = dirname(copy);
    umask(022);
    if (mkdir(directory, 0755) < 0 && errno != EEXIST)
        rc = -errno;
    if (rc < 0)
        log_line(LOG_LEVEL_ERROR, "%s: can't be made: %s (make it, or choose another --table)",
                 directory, strerror(-rc));
    free(copy);
    return rc;
}

static int table_open(struct watcher *watcher)
{
    const struct config *config = watcher->config;
    const char *domains[TABLE_MAX_ZONES];
    const struct table_writer_options options = {
        .path = config->top.table,
        .domains = domains,
        .domain_count = config->zone_count,
        .max_bytes = config->top.max_table_bytes,
        .max_stale_s = (uint32_t)watcher->config->top.max_stale_s,
    };
    char why[256] = "";
    int rc = directory_make(options.path);

    for (size_t i = 0; i < config->zone_count; i++)
        domains[i] = config->zones[i].says.domain;
    if (rc < 0)
        return WATCHER_FAILED;
    rc = table_writer_open(&watcher->table, &options, why, sizeof why);
    if (rc < 0) {
        watcher->table = NULL;
        log_line(LOG_LEVEL_ERROR, "%s", why[0] != '\0' ? why : strerror(-rc));
        return WATCHER_FAILED;
    }
    log_line(LOG_LEVEL_INFO, "%s: %s", options.path,
             rc == 1 ? "adopted; answers as it was until etcd's first list is complete"
                     : "made; published when etcd's first list is complete");
    return 0;
}

/* ---- the host ---------------------------------------------------------- */

static void net_open(struct watcher *watcher)
{
    int rc;

    rc = localnet_monitor_open();
    if (rc < 0)
        log_line(LOG_LEVEL_WARNING, "netlink: %s (changes of this host's addresses go unnoticed)",
                 strerror(-rc));
    watcher->net_fd = rc < 0 ? -1 : rc;
    rc = localnet_read(&watcher->net);
    if (rc < 0)
        log_line(LOG_LEVEL_WARNING, "this host's addresses: %s (taken as none)", strerror(-rc));
}

static void net_update(struct watcher *watcher)
{
    struct localnet now;

    watcher->is_net_changed = false;
    if (localnet_read(&now) < 0 || localnet_is_same(&now, &watcher->net))
        return;
    watcher->net = now;
    log_line(LOG_LEVEL_INFO, "this host's addresses changed: limits of answers are made anew");
    for (struct follower *follower = watcher->followers; follower != NULL;
         follower = follower->next)
        mirror_rebalance(&follower->mirror);
}

static int wakers_open(struct watcher *watcher)
{
    const struct itimerspec second = { { 1, 0 }, { 1, 0 } };
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    watcher->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    watcher->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (watcher->signal_fd >= 0 && watcher->timer_fd >= 0 &&
        sigprocmask(SIG_BLOCK, &signals, NULL) == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR &&
        timerfd_settime(watcher->timer_fd, 0, &second, NULL) == 0)
        return 0;
    log_line(LOG_LEVEL_ERROR, "timer and signals: %s", strerror(errno));
    return WATCHER_FAILED;
}

/* ---- the whole --------------------------------------------------------- */

static int etcd_start(struct watcher *watcher)
{
    struct config_error error;
    int rc = etcd_open(watcher->config, &watcher->sd, &error);

    if (rc == 0)
        return 0;
    log_line(LOG_LEVEL_ERROR, "etcd client: %s", error.text);
    return rc == -EINVAL ? WATCHER_USAGE : WATCHER_FAILED;
}

/* A watcher of another table is a trial, or a second one on this host: it must
 * not take the snapshot of the first. */
static const char *state_directory(const struct settings *says)
{
    if (says->state_directory != NULL)
        return strcmp(says->state_directory, "none") == 0 ? NULL : says->state_directory;
    return strcmp(says->table, TABLE_DEFAULT_PATH) == 0 ? STATE_DEFAULT_DIRECTORY : NULL;
}

static int upkeep_start(struct watcher *watcher)
{
    const struct settings *says = &watcher->config->top;
    const struct upkeep_options options = {
        .state_directory = state_directory(says),
        .metrics_file = says->metrics_file,
        .metrics_listen = says->metrics_listen,
        .snapshot_interval_s = (uint32_t)says->snapshot_interval_s,
        .max_stale_s = (uint32_t)says->max_stale_s,
    };
    int rc = upkeep_open(&watcher->upkeep, &options, &watcher->board, &watcher->followers);

    return rc < 0 ? WATCHER_FAILED : 0;
}

static int followers_open(struct watcher *watcher)
{
    const struct config *config = watcher->config;
    struct follower **link = &watcher->followers;

    watcher->board.table = watcher->table;
    for (size_t i = 0; i < config->zone_count; i++, link = &(*link)->next) {
        *link = follower_new(&config->zones[i].says, &watcher->board, config, &watcher->net);
        if (*link == NULL) {
            log_line(LOG_LEVEL_ERROR, "memory: %s", strerror(errno));
            return WATCHER_FAILED;
        }
    }
    watcher->board.max_stale_s = (uint32_t)config->top.max_stale_s;
    board_begin(&watcher->board);
    if (upkeep_start(watcher) != 0)
        return WATCHER_FAILED;
    for (struct follower *follower = watcher->followers; follower != NULL;
         follower = follower->next)
        if (watcher_follow(watcher, follower) < 0)
            return WATCHER_FAILED;
    return 0;
}

int watcher_start(struct watcher *watcher, const struct arguments *arguments, struct config *config)
{
    int status;

    *watcher = (struct watcher){
        .arguments = arguments, .config = config, .signal_fd = -1, .timer_fd = -1, .net_fd = -1
    };
    status = wakers_open(watcher);
    if (status == 0)
        status = etcd_start(watcher);
    if (status == 0)
        status = table_open(watcher);
    if (status != 0)
        return status;
    net_open(watcher);
    return followers_open(watcher);
}

bool watcher_has_ended(const struct watcher *watcher)
{
    for (const struct follower *follower = watcher->followers; follower != NULL;
         follower = follower->next)
        if (follower->mirror.has_ended)
            return true;
    return false;
}

void watcher_tick(struct watcher *watcher)
{
    int rc = table_writer_heartbeat(watcher->table);

    if (rc > 0)
        log_line(LOG_LEVEL_WARNING, "%s: was gone; a new one was put there",
                 watcher->config->top.table);
    else if (rc < 0)
        log_line(LOG_LEVEL_ERROR, "%s: heartbeat: %s", watcher->config->top.table, strerror(-rc));
    if (watcher->is_net_changed)
        net_update(watcher);
    for (struct follower *follower = watcher->followers; follower != NULL;
         follower = follower->next) {
        mirror_tick(&follower->mirror);
        if (mirror_wants_list(&follower->mirror)) /* each watch begins with one */
            watcher_follow(watcher, follower);
    }
    board_tick(&watcher->board);
    upkeep_tick(&watcher->upkeep, (uint32_t)watcher->config->top.max_stale_s);
    log_tick();
}

static void fd_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* The table before etcd: libsd_close() may take two seconds when that is away. */
void watcher_stop(struct watcher *watcher)
{
    upkeep_close(&watcher->upkeep);
    table_writer_close(watcher->table);
    followers_free(watcher->followers);
    libsd_close(watcher->sd);
    fd_close(watcher->signal_fd);
    fd_close(watcher->timer_fd);
    fd_close(watcher->net_fd);
}
