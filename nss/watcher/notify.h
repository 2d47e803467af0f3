/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Telling the service manager how we are: sd_notify(3)'s protocol, which is
 * one datagram of lines to the socket in $NOTIFY_SOCKET.  Written here rather
 * than linked from libsystemd: sd_notify(3) itself says that the protocol is
 * stable and meant to be implemented without the library, and one sendto(2) is
 * no reason to load it and what it loads.
 *
 * Without $NOTIFY_SOCKET nothing is sent.  Nothing here blocks or fails.
 */
#ifndef ETCDSD_WATCHER_NOTIFY_H
#define ETCDSD_WATCHER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NOTIFY_STATUS_SIZE 256

struct notify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_size;
    int64_t watchdog_ms; /* between two signs of life; 0: not wanted */
    int64_t alive_ms;    /* of the last one, monotonic */
    bool is_ready;
    char status[NOTIFY_STATUS_SIZE]; /* last sent */
};

/* Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID and takes them out of
 * the environment, so that no child has them. */
void notify_open(struct notify *notify);
void notify_close(struct notify *notify);

/* Says READY=1 until the manager has it; then nothing until notify_reloading().
 * To be called each second while that holds. */
void notify_ready(struct notify *notify);

/* A reload begins; notify_ready() tells its end. */
void notify_reloading(struct notify *notify);

/* The end begins. */
void notify_stopping(struct notify *notify);

/* Gives the start as much time again: something is getting on. */
void notify_extend(struct notify *notify, uint32_t seconds);

/* One line about how we are, each second; sent if the manager has another. */
void notify_status(struct notify *notify, const char *status);

/* To be called at least each second while all is well. */
void notify_alive(struct notify *notify);

#endif
