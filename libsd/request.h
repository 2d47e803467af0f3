/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Operations that were started with libsd_start().
 *
 *              I/O thread                    where callbacks run
 *   start ──▶ WAITING ──turn──▶ RUNNING ──answer──▶ (queue) ──▶ plan_take
 *                ▲                                    │            │
 *                └──────────── another request ───────────────────┘└▶ callback
 *
 * So many run at the same time, and the others wait for their turn: a thousand
 * puts are not a thousand connections, and nothing is asked for while callbacks
 * are far behind.
 *
 * Rules:
 *  1. Who sets `settled` first has the last word: the callback is about to be
 *     told, or libsd_cancel() or libsd_close() have made that impossible.
 *  2. A request is in the table until its callback has ended, so that
 *     libsd_cancel() can wait for that.
 *  3. References: the table's; one while WAITING or RUNNING, or on the way
 *     there; one of the item that will carry the answer; one per task posted.
 */
#ifndef LIBSD_REQUEST_H
#define LIBSD_REQUEST_H

#include <pthread.h>
#include <stdint.h>
#include <sys/queue.h>

#include "loop.h"

struct libsd;
struct request;
TAILQ_HEAD(request_queue, request);
LIST_HEAD(request_list, request);

/* Numbers are given one after the other, so they spread evenly. */
#define REQUEST_BUCKETS 256

enum request_kind {
    REQUEST_SMALL,
    REQUEST_BIG, /* lists */
    REQUEST_KINDS
};

struct requests {
    pthread_mutex_t mutex; /* guards table and last_id */
    struct request_list table[REQUEST_BUCKETS];
    uint64_t last_id;

    /* The I/O thread's. */
    struct request_queue waiting[REQUEST_KINDS];
    struct request_queue running;
    unsigned running_count[REQUEST_KINDS];
    struct timer expiry; /* of the first one that waits in vain */
};

void requests_init(struct requests *requests);
void requests_free(struct requests *requests);

/* On the I/O thread: goes on after the queue was full; lets go of all. */
void requests_drained(struct libsd *sd);
void requests_stop(struct libsd *sd);

/* When there is no I/O thread any more: tells all that are left. */
void requests_end(struct libsd *sd);

#endif
