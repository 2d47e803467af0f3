/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The I/O thread of a handle: one curl multi handle, timers, and tasks that
 * other threads hand over.
 *
 * Everything that talks to etcd lives on this thread and needs no lock; other
 * threads reach it only through loop_post().
 */
#ifndef LIBSD_LOOP_H
#define LIBSD_LOOP_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "timers.h"
#include "util.h"

/* Something to do once on the I/O thread; embedded in what it is about. */
struct task {
    STAILQ_ENTRY(task) link;
    void (*run)(struct task *task);
};

struct loop {
    pthread_t thread;
    CURLM *multi;
    pthread_mutex_t mutex; /* guards tasks and closed */
    STAILQ_HEAD(, task) tasks;
    bool closed;
    struct timers timers;
    bool stop;
    /* Called after each turn, when no curl callback is active. */
    void (*after_turn)(struct loop *loop);
};

/* Returns 0 or LIBSD_ENOMEM. */
int loop_init(struct loop *loop);

/* Starts the thread.  Returns 0 or LIBSD_ENOMEM. */
int loop_start(struct loop *loop);

/* Hands a task to the I/O thread; any thread may.  Tasks run in the order of
 * their posting.  Returns false if the loop takes no more. */
bool loop_post(struct loop *loop, struct task *task);

/* The same, and the last one taken. */
bool loop_post_last(struct loop *loop, struct task *task);

/* On the I/O thread: end after this turn. */
void loop_stop(struct loop *loop);

/* Waits for the thread's end. */
void loop_join(struct loop *loop);
void loop_free(struct loop *loop);

/* On the I/O thread: (re-)arms, or takes back, a timer. */
void timer_start(struct loop *loop, struct timer *timer, int64_t delay_ns);
void timer_stop(struct timer *timer);

/* Arms a timer for the next attempt behind a failure.  If nobody answered, it
 * fires earlier as soon as somebody does, so that what waits out an outage goes
 * on when the first of them finds that it is over; but never within RETRY_NS,
 * since who answers one question may go on not answering another. */
void timer_retry(struct loop *loop, struct timer *timer, struct backoff *backoff,
                 const struct failure *failure);
#define RETRY_NS (500 * MS)

/* etcd answered. */
void loop_heard(struct loop *loop);

#endif
