/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The handle.
 *
 * Who touches what: options, pid and serial never change, nor do the URLs of
 * endpoints.  loop, queue, requests and checks have their own locks.  Everything
 * else belongs to the I/O thread.
 */
#ifndef LIBSD_INTERNAL_H
#define LIBSD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "auth.h"
#include "call.h"
#include "catalog.h"
#include "check.h"
#include "endpoint.h"
#include "group.h"
#include "libsd.h"
#include "loop.h"
#include "options.h"
#include "queue.h"
#include "request.h"
#include "stream.h"
#include "util.h"
#include "watch.h"

/* What libsd_stats() tells that nothing else remembers. */
struct counters {
    uint64_t requests;
    uint64_t failures;
    uint64_t retries;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t beats;
    uint64_t late_leases;
    uint64_t events;
    uint64_t resyncs;
    int64_t answered_ns; /* when etcd answered last; 0: never */
};

struct libsd {
    pid_t pid;
    uint64_t serial; /* tells a new handle at the address of an old one */
    struct libsd_options options;
    struct loop loop;
    struct queue queue;
    struct checks checks;

    struct counters counters;
    struct endpoints endpoints;
    struct auth auth;
    struct stream stream;
    LIST_HEAD(, call) asked; /* by threads that wait for the answer */
    struct requests requests;
    LIST_HEAD(, libsd_watch) watches;
    LIST_HEAD(, libsd_discovery) discoveries;
    LIST_HEAD(, group) groups;
    LIST_HEAD(, libsd_mutex) contests;
    LIST_HEAD(, libsd_observer) observers;
    LIST_HEAD(, libsd_keepalive) keepalives;
    void *registry;      /* registrations by key; see tsearch(3) */
    void *services;      /* struct service_watch by prefix */
    unsigned page_limit; /* keys per page of a list */
    int64_t audit_ns;    /* between lists of a LIBSD_WATCH_LIST; jittered to half of it */

    struct catalogs catalogs; /* has a lock, and parts without one, of its own */

    struct task close_task;
    struct timer close_timer;
    struct timer flush_timer;
    unsigned closing; /* groups and locks whose leases are still being revoked */

    pthread_mutex_t detail_mutex;
    char detail[sizeof((struct failure *)0)->text]; /* of background work */
};

#define container_of(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* ask.c: ends the waiting of all who ask. */
void asked_end(struct libsd *sd);

/* 0, or why a call on the handle can't be made: LIBSD_EINVAL, LIBSD_EFORKED;
 * for calls that block LIBSD_EDEADLOCK, too. */
int handle_check(const libsd *sd);
int handle_check_blocking(const libsd *sd);

/* A message for the application's log; I/O thread or dispatcher. */
void handle_log(libsd *sd, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Remembers what a failed call on this thread, or the background, met. */
int handle_fail(libsd *sd, const struct failure *failure);
/* What a callback is about to be told, on its thread; detail NULL: what the
 * background met last. */
void handle_told(struct libsd *sd, int error, const char *detail);
/* The same as handle_fail() for calls without a handle. */
int thread_fail(const struct failure *failure);
void handle_background(libsd *sd, const struct failure *failure);

#endif
