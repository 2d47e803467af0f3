/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The main loop: one thread, five descriptors, and at rest one wake-up a
 * second for the heartbeat.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "log.h"
#include "watcher.h"

/* Callbacks in one round, so that a flood of events can't hold up the
 * heartbeat or a signal. */
#define EVENTS_AT_ONCE 1024

enum waker {
    WAKER_SIGNAL,
    WAKER_TIMER,
    WAKER_ETCD,
    WAKER_NET,
    WAKER_HTTP,
    WAKERS
};

static void reload(struct watcher *watcher)
{
    bool was_ready = watcher->upkeep.notify.is_ready;

    if (was_ready)
        notify_reloading(&watcher->upkeep.notify);
    watcher_reload(watcher);
    if (was_ready)
        notify_ready(&watcher->upkeep.notify);
}

/* The name of a signal that ends the daemon; NULL: none came. */
static const char *take_signal(struct watcher *watcher)
{
    struct signalfd_siginfo info;

    while (read(watcher->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo != SIGHUP)
            return sigabbrev_np((int)info.ssi_signo);
        reload(watcher);
    }
    return NULL;
}

static void serve(struct watcher *watcher, const struct pollfd *wakers)
{
    uint64_t expirations;

    if (wakers[WAKER_ETCD].revents != 0) {
        libsd_dispatch(watcher->sd, EVENTS_AT_ONCE);
        for (struct follower *follower = watcher->followers; follower != NULL;
             follower = follower->next)
            mirror_flush(&follower->mirror);
    }
    if (wakers[WAKER_NET].revents != 0 && localnet_monitor_drain(watcher->net_fd))
        watcher->is_net_changed = true;
    if (wakers[WAKER_HTTP].revents != 0)
        metrics_http_serve(&watcher->upkeep.http);
    if (wakers[WAKER_TIMER].revents != 0 &&
        read(watcher->timer_fd, &expirations, sizeof expirations) == sizeof expirations)
        watcher_tick(watcher);
}

int watcher_run(struct watcher *watcher)
{
    struct pollfd wakers[WAKERS] = {
        [WAKER_SIGNAL] = { .fd = watcher->signal_fd, .events = POLLIN },
        [WAKER_TIMER] = { .fd = watcher->timer_fd, .events = POLLIN },
        [WAKER_ETCD] = { .events = POLLIN },
        [WAKER_NET] = { .fd = watcher->net_fd, .events = POLLIN },
        [WAKER_HTTP] = { .fd = watcher->upkeep.http.fd, .events = POLLIN },
    };

    while (!watcher_has_ended(watcher)) {
        const char *name;

        wakers[WAKER_ETCD].fd = libsd_fd(watcher->sd); /* a reload may bring another */

        if (poll(wakers, WAKERS, -1) < 0) {
            if (errno == EINTR)
                continue;
            log_line(LOG_LEVEL_ERROR, "poll: %s", strerror(errno));
            return WATCHER_FAILED;
        }
        serve(watcher, wakers);
        name = wakers[WAKER_SIGNAL].revents != 0 ? take_signal(watcher) : NULL;
        if (name != NULL) {
            log_line(LOG_LEVEL_INFO, "SIG%s: stopping (the table stays and goes on answering)",
                     name);
            return WATCHER_STOPPED;
        }
    }
    return WATCHER_FAILED;
}
