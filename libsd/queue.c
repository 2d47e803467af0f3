/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The queue of events and the thread that empties it.
 */
#include "queue.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "handle.h"
#include "internal.h"

/* The handle whose callback the thread is in. */
static _Thread_local const struct libsd *inside;

void owner_init(struct owner *owner, void (*deliver)(struct owner *, const struct record *),
                void (*free_owner)(struct owner *))
{
    atomic_init(&owner->references, 1);
    atomic_init(&owner->closed, false);
    owner->deliver = deliver;
    owner->free = free_owner;
}

void owner_keep(struct owner *owner)
{
    atomic_fetch_add_explicit(&owner->references, 1, memory_order_relaxed);
}

void owner_drop(struct owner *owner)
{
    if (atomic_fetch_sub_explicit(&owner->references, 1, memory_order_acq_rel) == 1)
        owner->free(owner);
}

struct item *item_new(struct owner *owner)
{
    struct item *item = calloc(1, sizeof *item);

    if (item) {
        item->owner = owner;
        owner_keep(owner);
    }
    return item;
}

void item_free(struct item *item)
{
    if (!item)
        return;
    owner_drop(item->owner);
    records_free(&item->records);
    buffer_free(&item->text);
    free(item);
}

bool item_note(struct item *item, int type, int64_t revision, int error, const char *detail)
{
    struct record *record = records_add(&item->records);

    if (!record)
        return false;
    record->type = type;
    record->error = error;
    record->kv.mod_revision = revision;
    if (detail) {
        /* An item has one note with a detail, and then no keys in its text. */
        buffer_add(&item->text, detail, strlen(detail) + 1);
        record->kv.value = libsd_bytes(item->text.data, item->text.size);
    }
    return !item->text.failed;
}

static void queue_drained(struct task *task);

int queue_init(struct queue *queue, bool manual)
{
    *queue = (struct queue){ .event_fd = -1, .drained.run = queue_drained };
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->changed, NULL);
    TAILQ_INIT(&queue->items);
    TAILQ_INIT(&queue->outbox);
    if (manual) {
        queue->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (queue->event_fd < 0)
            return LIBSD_ENOMEM;
    }
    return 0;
}

static void free_items(struct items *items)
{
    struct item *item;

    while ((item = TAILQ_FIRST(items))) {
        TAILQ_REMOVE(items, item, link);
        item_free(item);
    }
}

void queue_free(struct queue *queue)
{
    free_items(&queue->items);
    free_items(&queue->outbox);
    if (queue->event_fd >= 0)
        close(queue->event_fd);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->mutex);
}

bool queue_is_mine(const struct libsd *sd)
{
    return inside == sd;
}

/* ---- adding (I/O thread) ------------------------------------------------ */

void queue_add(struct libsd *sd, struct item *item)
{
    item->cost +=
        sizeof *item + item->text.capacity + item->records.capacity * sizeof(struct record);
    sd->counters.events += item->records.count;
    TAILQ_INSERT_TAIL(&sd->queue.outbox, item, link);
}

static void *dispatcher_main(void *arg);

/* The first event starts the dispatcher: a handle that only reads and writes
 * keys has no use for it. */
static int need_thread(struct libsd *sd) /* with the lock */
{
    struct queue *queue = &sd->queue;
    sigset_t all;
    sigset_t old;

    if (queue->has_thread || queue->event_fd >= 0 || queue->stopped)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    queue->has_thread = pthread_create(&queue->thread, NULL, dispatcher_main, sd) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!queue->has_thread)
        return LIBSD_ENOMEM;
    pthread_setname_np(queue->thread, "libsd-events");
    return 0;
}

static void ring(struct queue *queue)
{
    uint64_t one = 1;

    /* Only fails when the counter is full, which polls readable as well. */
    if (queue->event_fd >= 0 && write(queue->event_fd, &one, sizeof one) < 0)
        return;
}

int queue_flush(struct libsd *sd)
{
    struct queue *queue = &sd->queue;
    struct item *item;
    bool was_empty;

    if (TAILQ_EMPTY(&queue->outbox))
        return 0;
    pthread_mutex_lock(&queue->mutex);
    if (need_thread(sd) < 0) {
        pthread_mutex_unlock(&queue->mutex);
        return LIBSD_ENOMEM; /* kept: the next turn tries again */
    }
    was_empty = TAILQ_EMPTY(&queue->items);
    TAILQ_FOREACH(item, &queue->outbox, link)
    queue->bytes += item->cost;
    TAILQ_CONCAT(&queue->items, &queue->outbox, link);
    if (queue->bytes > QUEUE_MAX)
        queue->full = true;
    if (was_empty)
        pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->mutex);
    if (was_empty)
        ring(queue);
    return 0;
}

bool queue_is_full(struct libsd *sd)
{
    struct queue *queue = &sd->queue;
    bool full;

    pthread_mutex_lock(&queue->mutex);
    full = queue->full;
    pthread_mutex_unlock(&queue->mutex);
    return full;
}

static void queue_drained(struct task *task)
{
    struct libsd *sd = container_of(task, struct libsd, queue.drained);

    pthread_mutex_lock(&sd->queue.mutex);
    sd->queue.drained_posted = false;
    pthread_mutex_unlock(&sd->queue.mutex);
    stream_drained(sd);
    watches_drained(sd);
    requests_drained(sd);
}

/* ---- taking ------------------------------------------------------------- */

/* Runs an item's callbacks, at most max.  Returns how many.  Without the lock:
 * rule 1. */
static int run_item(struct libsd *sd, struct item *item, int max)
{
    const struct libsd *outside = inside;
    int ran = 0;

    inside = sd;
    while (item->position < item->records.count && ran < max && !sd->queue.stopped &&
           !atomic_load_explicit(&item->owner->closed, memory_order_acquire)) {
        item->owner->deliver(item->owner, &item->records.list[item->position++]);
        ran++;
    }
    inside = outside;
    return ran;
}

void queue_deliver(struct libsd *sd, struct owner *owner, const struct record *record)
{
    const struct libsd *outside = inside;

    inside = sd;
    owner->deliver(owner, record);
    inside = outside;
}

/* Takes the first item off, after its callbacks.  Called with the lock. */
static void pop(struct libsd *sd, struct item *item)
{
    struct queue *queue = &sd->queue;

    TAILQ_REMOVE(&queue->items, item, link);
    queue->bytes -= item->cost;
    if (queue->full && queue->bytes < QUEUE_MAX / 2) {
        queue->full = false;
        if (!queue->drained_posted)
            queue->drained_posted = loop_post(&sd->loop, &queue->drained);
    }
}

/* Runs up to max callbacks of the items up to last.  Called and returns with
 * the lock.  Stops at once when a callback has closed the handle. */
static int run_items(struct libsd *sd, struct item *last, int max)
{
    struct queue *queue = &sd->queue;
    struct item *item;
    bool at_last = false;
    int ran = 0;

    while (!at_last && ran < max && !queue->stopped && (item = TAILQ_FIRST(&queue->items))) {
        bool finished;

        at_last = item == last;
        queue->running = item->owner;
        queue->runner = pthread_self();
        pthread_mutex_unlock(&queue->mutex);
        ran += run_item(sd, item, max - ran);
        finished = item->position >= item->records.count ||
                   atomic_load_explicit(&item->owner->closed, memory_order_acquire);
        pthread_mutex_lock(&queue->mutex);
        queue->running = NULL;
        pthread_cond_broadcast(&queue->changed);
        if (finished) {
            pop(sd, item);
            pthread_mutex_unlock(&queue->mutex);
            item_free(item);
            pthread_mutex_lock(&queue->mutex);
        }
    }
    return ran;
}

/* How many callbacks the dispatcher runs before it looks whether it must stop. */
#define SLICE 256

static void *dispatcher_main(void *arg)
{
    struct libsd *sd = arg;
    struct queue *queue = &sd->queue;
    bool close_wanted;

    pthread_mutex_lock(&queue->mutex);
    while (!queue->stopped) {
        if (TAILQ_EMPTY(&queue->items))
            pthread_cond_wait(&queue->changed, &queue->mutex);
        else
            run_items(sd, NULL, SLICE);
    }
    close_wanted = queue->close_wanted;
    if (close_wanted)
        queue->has_thread = false;
    pthread_mutex_unlock(&queue->mutex);
    if (close_wanted) {
        /* Nobody else will: whoever called libsd_close() was one of ours. */
        pthread_detach(pthread_self());
        handle_end(sd);
    }
    return NULL;
}

int libsd_dispatch(libsd *sd, int max)
{
    struct queue *queue;
    uint64_t counter;
    bool close_wanted;
    bool left;
    int ran;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    queue = &sd->queue;
    if (queue->event_fd < 0 || max < 0)
        return LIBSD_EINVAL;
    if (read(queue->event_fd, &counter, sizeof counter) < 0)
        counter = 0; /* nothing new; something may be left from before */
    pthread_mutex_lock(&queue->mutex);
    ran = run_items(sd, TAILQ_LAST(&queue->items, items), max ? max : INT32_MAX);
    left = !TAILQ_EMPTY(&queue->items);
    close_wanted = queue->close_wanted;
    pthread_mutex_unlock(&queue->mutex);
    if (close_wanted)
        handle_end(sd);
    else if (left)
        ring(queue);
    return ran;
}

int libsd_fd(libsd *sd)
{
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    return sd->queue.event_fd >= 0 ? sd->queue.event_fd : LIBSD_EINVAL;
}

/* ---- ending ------------------------------------------------------------- */

/* Waits until no callback of owner (NULL: of anybody) runs.  With the lock. */
static void wait_for_callback(struct queue *queue, const struct owner *owner)
{
    while (queue->running && (!owner || queue->running == owner) &&
           !pthread_equal(queue->runner, pthread_self()))
        pthread_cond_wait(&queue->changed, &queue->mutex);
}

void owner_close(struct libsd *sd, struct owner *owner)
{
    struct queue *queue = &sd->queue;

    atomic_store_explicit(&owner->closed, true, memory_order_release);
    pthread_mutex_lock(&queue->mutex);
    wait_for_callback(queue, owner);
    pthread_mutex_unlock(&queue->mutex);
}

void queue_settle(struct libsd *sd)
{
    pthread_mutex_lock(&sd->queue.mutex);
    wait_for_callback(&sd->queue, NULL);
    pthread_mutex_unlock(&sd->queue.mutex);
}

void queue_stop(struct libsd *sd)
{
    struct queue *queue = &sd->queue;
    bool has_thread;

    pthread_mutex_lock(&queue->mutex);
    queue->stopped = true;
    pthread_cond_broadcast(&queue->changed);
    wait_for_callback(queue, NULL);
    has_thread = queue->has_thread;
    queue->has_thread = false;
    pthread_mutex_unlock(&queue->mutex);
    if (has_thread)
        pthread_join(queue->thread, NULL);
}
