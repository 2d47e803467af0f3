/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A call of the application about registrations: what it asks for, and its
 * waiting for the answer.
 *
 *   caller              I/O thread
 *   pending_new
 *   pending_run ──task─▶ pending_join(each registration it is about)
 *      │                 pending_wait: armed
 *      ◀─────────────── all have answered, or time is up
 */
#ifndef LIBSD_PENDING_H
#define LIBSD_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"
#include "registration.h"
#include "util.h"
#include "wait.h"

struct pending {
    struct waiter waiter; /* first */
    struct task task;
    struct timer timer;
    struct libsd *sd;
    int64_t deadline_ns;
    bool detached; /* nobody waits */
    bool adds;     /* what still is in conflict when time is up, is not registered */
    unsigned left; /* registrations that still owe an answer */
    struct failure failure;
    struct failure conflict; /* why a registration still waits */

    struct registrations added;
    /* Else: which ones are meant; instance NULL: all of the service. */
    char *service;
    char *instance;
    bool changes; /* weight, priority, metadata */
    uint32_t weight;
    uint32_t priority;
    char *metadata;
    char *address;
};

/* NULL when out of memory.  timeout_ms 0: the handle's. */
struct pending *pending_new(struct libsd *sd, int timeout_ms, void (*run)(struct task *));

/* Posts it and, unless it is detached, waits for its end.  Frees it. */
int pending_run(struct pending *pending);

/* What follows runs on the I/O thread. */

/* The pending's answer depends on the registration's, too; a call that waited
 * for it until now is answered for it with code. */
void pending_join(struct pending *pending, struct registration *registration, int code);
/* All have joined. */
void pending_wait(struct pending *pending);
/* Ends it without waiting. */
void pending_end(struct pending *pending, const struct failure *failure);

/* register.c: the application's options as its version of the header knows
 * them; checked.  from NULL: none. */
int register_options_read(libsd_register_options *to, const libsd_register_options *from,
                          struct failure *failure);

#endif
