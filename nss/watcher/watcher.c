/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Start, tick and stop.  The table is opened before etcd is asked: if another
 * watcher has it, nothing else is touched.
 */
#include "watcher.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
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

static int etcd_open(struct watcher *watcher)
{
    char detail[300] = "";
    int rc;

    libsd_options_set_log(watcher->config->etcd, on_libsd_message, NULL);
    rc = libsd_open(&watcher->sd, watcher->config->etcd);
    if (rc == 0)
        return 0;
    libsd_error_detail(NULL, detail, sizeof detail);
    log_line(LOG_LEVEL_ERROR, "etcd client: %s", *detail != '\0' ? detail : libsd_strerror(rc));
    return rc == LIBSD_EINVAL ? WATCHER_USAGE : WATCHER_FAILED;
}

static int etcd_follow(struct watcher *watcher)
{
    const struct zone *zone = &watcher->zone;
    int rc = libsd_watch_open(watcher->sd, libsd_bytes(zone->prefix, zone->prefix_length),
                              LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0, mirror_event,
                              &watcher->mirror, &watcher->watch);

    if (rc == 0)
        return 0;
    log_line(LOG_LEVEL_ERROR, "etcd client: can't watch %s: %s", zone->prefix, libsd_strerror(rc));
    return WATCHER_FAILED;
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
    const char *domains[] = { watcher->zone.domain };
    const struct table_writer_options options = {
        .path = watcher->config->top.table,
        .domains = domains,
        .domain_count = 1,
        .max_stale_s = (uint32_t)watcher->config->top.max_stale_s,
    };
    char why[256] = "";
    int rc = directory_make(options.path);

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

    if (watcher->config->top.max_answers != 0)
        return;
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
    mirror_rebalance(&watcher->mirror);
}

static int wakers_open(struct watcher *watcher)
{
    const struct itimerspec second = { { 1, 0 }, { 1, 0 } };
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
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

static int model_open(struct watcher *watcher)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof seed, 0) == sizeof seed && model_init(&watcher->model, seed) == 0)
        return 0;
    log_line(LOG_LEVEL_ERROR, "memory: %s", strerror(errno));
    return WATCHER_FAILED;
}

static void connect_parts(struct watcher *watcher)
{
    watcher->publish.model = &watcher->model;
    watcher->publish.table = watcher->table;
    watcher->publish.zone = &watcher->zone;
    watcher->publish.net = &watcher->net;
    watcher->publish.max_answers = (uint8_t)watcher->config->top.max_answers;
    watcher->mirror.zone = &watcher->zone;
    watcher->mirror.model = &watcher->model;
    watcher->mirror.publish = &watcher->publish;
}

int watcher_start(struct watcher *watcher, const struct arguments *arguments,
                  const struct config *config)
{
    const struct settings *says = &config->zones[0].says;
    int status;

    *watcher = (struct watcher){
        .arguments = arguments, .config = config, .signal_fd = -1, .timer_fd = -1, .net_fd = -1
    };
    watcher->zone = (struct zone){
        .prefix = says->prefix,
        .prefix_length = strlen(says->prefix),
        .domain = says->domain,
        .domain_length = strlen(says->domain),
        .format = says->format,
    };
    if (config->zone_count > 1) {
        log_line(LOG_LEVEL_ERROR, "%s: one zone is all that can be followed so far", config->path);
        return WATCHER_USAGE;
    }
    status = wakers_open(watcher);
    if (status == 0)
        status = model_open(watcher);
    if (status == 0)
        status = etcd_open(watcher);
    if (status == 0)
        status = table_open(watcher);
    if (status != 0)
        return status;
    net_open(watcher);
    connect_parts(watcher);
    return etcd_follow(watcher);
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
    mirror_tick(&watcher->mirror);
    log_tick();
}

static void fd_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* The table first: libsd_close() may take two seconds when etcd is away. */
void watcher_stop(struct watcher *watcher)
{
    table_writer_close(watcher->table);
    libsd_watch_close(watcher->watch);
    libsd_close(watcher->sd);
    publish_free(&watcher->publish);
    if (watcher->model.nameless != NULL)
        model_free(&watcher->model);
    fd_close(watcher->signal_fd);
    fd_close(watcher->timer_fd);
    fd_close(watcher->net_fd);
}
