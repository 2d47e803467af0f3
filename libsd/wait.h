/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One thread of the application waiting for the I/O thread.
 */
#ifndef LIBSD_WAIT_H
#define LIBSD_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util.h"

/* Shared by two; the last one frees it, so that the I/O thread can finish late
 * without finding the other's stack gone. */
struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned references;
    bool done;
    struct failure failure;
    void (*free)(struct waiter *waiter);
};

void waiter_init(struct waiter *waiter, void (*free_waiter)(struct waiter *));
void waiter_drop(struct waiter *waiter);

/* I/O thread: failure.code 0 for success.  Does not drop. */
void waiter_finish(struct waiter *waiter, const struct failure *failure);

/* Application: returns false if nothing came until deadline_ns. */
bool waiter_wait(struct waiter *waiter, int64_t deadline_ns);

/* The I/O thread keeps deadlines itself; so much later it is taken for stuck. */
#define WAIT_GRACE_NS (1 * S)

#endif
