/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Events on their way from the I/O thread to the application's callbacks.
 *
 * An item carries the events of a whole message or page, which point into the
 * item's own text: 100,000 keys of a list are twenty items, not 100,000.
 *
 * Rules:
 *  1. The I/O thread adds, one thread at a time takes: the dispatcher, or who
 *     calls libsd_dispatch().
 *  2. No callback of an owner begins after owner_close() returned, and none is
 *     running then, except one that called it.
 *  3. An item keeps its owner alive.
 */
#ifndef LIBSD_QUEUE_H
#define LIBSD_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "buffer.h"
#include "loop.h"
#include "message.h"

/* Who gets events: a watch or a registration, which embeds this. */
struct owner {
    atomic_uint references;
    atomic_bool closed;
    void (*deliver)(struct owner *owner, const struct record *record);
    void (*free)(struct owner *owner);
};

void owner_init(struct owner *owner, void (*deliver)(struct owner *, const struct record *),
                void (*free_owner)(struct owner *));
void owner_keep(struct owner *owner);
void owner_drop(struct owner *owner);

struct item {
    TAILQ_ENTRY(item) link;
    struct owner *owner;
    struct records records;
    struct buffer text;
    size_t position; /* records before it are delivered */
    size_t cost;     /* bytes; before queue_add() those that the item does not see */
};

/* An empty item, or NULL when out of memory. */
struct item *item_new(struct owner *owner);
void item_free(struct item *item);

/* Adds an event without a key; detail NULL or copied.  Returns false when out
 * of memory. */
bool item_note(struct item *item, int type, int64_t revision, int error, const char *detail);

TAILQ_HEAD(items, item);

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct items items;
    size_t bytes;
    bool full;             /* bytes went over QUEUE_MAX and not yet below half */
    atomic_bool stopped;   /* begin no more callbacks */
    struct owner *running; /* whose callbacks run now */
    pthread_t runner;
    bool close_wanted; /* libsd_close() was called by a callback */

    bool has_thread;
    pthread_t thread;
    int event_fd; /* -1: not manual */

    struct items outbox; /* I/O thread: added, not yet handed over */
    struct task drained; /* posted when full ends */
    bool drained_posted;
};

/* So much waits at most, give or take a message: for the events of about a
 * quarter of a million keys. */
#define QUEUE_MAX ((size_t)64 << 20)

int queue_init(struct queue *queue, bool manual);
void queue_free(struct queue *queue);

/* On the I/O thread: adds an item; queue_flush() hands all over with one lock. */
void queue_add(struct libsd *sd, struct item *item);
int queue_flush(struct libsd *sd);
/* On the I/O thread: whether it should stop reading for now. */
bool queue_is_full(struct libsd *sd);

/* Delivers a record at once, on this thread: when the handle ends, and there is
 * no other. */
void queue_deliver(struct libsd *sd, struct owner *owner, const struct record *record);

/* Ends an owner's callbacks: rule 2. */
void owner_close(struct libsd *sd, struct owner *owner);

/* Waits for the end of a callback that runs now, but for one of ours. */
void queue_settle(struct libsd *sd);

/* Lets no more callbacks begin and waits for the end of a running one. */
void queue_stop(struct libsd *sd);

/* Whether the calling thread is inside a callback of the handle. */
bool queue_is_mine(const struct libsd *sd);

#endif
