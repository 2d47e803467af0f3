/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Operations that were started.
 */
#include "request.h"

#include <stdlib.h>

#include "internal.h"
#include "plan.h"

/* A connection each; etcd gains nothing from more (16 connections: 6,200 puts
 * per second, 4: 5,150). */
#define SMALL_MAX   32
/* An answer may take 64 MiB. */
#define BIG_MAX     4
#define BIG_IDLE_MS 2000

struct request {
    struct owner owner; /* first: what the queue knows of us */
    struct libsd *sd;
    uint64_t id;
    LIST_ENTRY(request) in_table;
    libsd_reply_callback *callback;
    void *arg;
    atomic_bool settled; /* rule 1 */
    struct task start;
    struct task stop;

    /* The I/O thread's, and where callbacks run in turns: the queue and the
     * start task hand them over. */
    struct plan plan;
    struct item *item; /* made in time, so that no answer gets lost */
    struct outcome outcome;
    struct buffer text;
    int timeout_ms;

    /* The I/O thread's. */
    TAILQ_ENTRY(request) link;
    enum {
        REQUEST_IDLE,
        REQUEST_WAITING,
        REQUEST_RUNNING
    } state;
    struct call call;
};

static enum request_kind kind_of(const struct request *request)
{
    return request->plan.big ? REQUEST_BIG : REQUEST_SMALL;
}

static void request_free(struct owner *owner)
{
    struct request *request = container_of(owner, struct request, owner);

    plan_free(&request->plan);
    buffer_free(&request->text);
    free(request);
}

static bool make_item(struct request *request)
{
    struct item *item = item_new(&request->owner);

    if (!item || !item_note(item, 0, 0, 0, NULL)) {
        item_free(item);
        return false;
    }
    request->item = item;
    return true;
}

static void drop_item(struct request *request)
{
    item_free(request->item);
    request->item = NULL;
}

/* ---- the table ---------------------------------------------------------- */

void requests_init(struct requests *requests)
{
    pthread_mutex_init(&requests->mutex, NULL);
    for (size_t i = 0; i < REQUEST_BUCKETS; i++)
        LIST_INIT(&requests->table[i]);
    for (size_t i = 0; i < REQUEST_KINDS; i++)
        TAILQ_INIT(&requests->waiting[i]);
    TAILQ_INIT(&requests->running);
}

void requests_free(struct requests *requests)
{
    pthread_mutex_destroy(&requests->mutex);
}

static void table_add(struct request *request)
{
    struct requests *requests = &request->sd->requests;

    owner_keep(&request->owner);
    pthread_mutex_lock(&requests->mutex);
    request->id = ++requests->last_id;
    LIST_INSERT_HEAD(&requests->table[request->id % REQUEST_BUCKETS], request, in_table);
    pthread_mutex_unlock(&requests->mutex);
}

static void table_remove(struct request *request)
{
    struct requests *requests = &request->sd->requests;

    pthread_mutex_lock(&requests->mutex);
    LIST_REMOVE(request, in_table);
    pthread_mutex_unlock(&requests->mutex);
    owner_drop(&request->owner);
}

/* The request with that number and a reference to it, or NULL. */
static struct request *table_find(struct requests *requests, uint64_t id)
{
    struct request *request;

    pthread_mutex_lock(&requests->mutex);
    LIST_FOREACH(request, &requests->table[id % REQUEST_BUCKETS], in_table)
    {
        if (request->id == id)
            break;
    }
    if (request)
        owner_keep(&request->owner);
    pthread_mutex_unlock(&requests->mutex);
    return request;
}

/* ---- I/O thread --------------------------------------------------------- */

static void pump(struct libsd *sd);

/* Hands what became of the request to where callbacks run. */
static void hand_over(struct request *request)
{
    struct item *item = request->item;

    request->item = NULL;
    request->state = REQUEST_IDLE;
    item->cost = request->text.capacity;
    queue_add(request->sd, item);
    owner_drop(&request->owner);
}

static void request_done(struct call *call, struct buffer *text)
{
    struct request *request = container_of(call, struct request, call);
    struct libsd *sd = request->sd;

    TAILQ_REMOVE(&sd->requests.running, request, link);
    sd->requests.running_count[kind_of(request)]--;
    request->text = *text;
    *text = (struct buffer){ 0 };
    request->outcome.failure = call->failure;
    request->outcome.error = call->error;
    request->outcome.unsure = call->unsure;
    hand_over(request);
    pump(sd);
}

static void run(struct request *request)
{
    struct requests *requests = &request->sd->requests;
    struct call *call = &request->call;

    TAILQ_REMOVE(&requests->waiting[kind_of(request)], request, link);
    TAILQ_INSERT_TAIL(&requests->running, request, link);
    requests->running_count[kind_of(request)]++;
    request->state = REQUEST_RUNNING;
    call->path = request->plan.path;
    call->body = request->plan.body;
    request->plan.body = (struct buffer){ 0 };
    call_start(call);
}

/* Starts those whose turn it is. */
static void pump(struct libsd *sd)
{
    static const unsigned most[] = { [REQUEST_SMALL] = SMALL_MAX, [REQUEST_BIG] = BIG_MAX };
    struct requests *requests = &sd->requests;

    for (size_t kind = 0; kind < REQUEST_KINDS; kind++)
        while (requests->running_count[kind] < most[kind] &&
               !TAILQ_EMPTY(&requests->waiting[kind]) && !queue_is_full(sd))
            run(TAILQ_FIRST(&requests->waiting[kind]));
}

void requests_drained(struct libsd *sd)
{
    pump(sd);
}

/* Ends the waiting of those whose time is over, and looks again when the next
 * one's is. */
static void expire(struct timer *timer)
{
    struct libsd *sd = container_of(timer, struct libsd, requests.expiry);
    int64_t now = now_ns();
    int64_t next = INT64_MAX;

    for (size_t kind = 0; kind < REQUEST_KINDS; kind++) {
        struct request_queue *waiting = &sd->requests.waiting[kind];
        struct request *request = TAILQ_FIRST(waiting);

        while (request) {
            struct request *following = TAILQ_NEXT(request, link);

            if (request->call.deadline_ns <= now) {
                TAILQ_REMOVE(waiting, request, link);
                failure_set(&request->outcome.failure, LIBSD_ETIMEDOUT,
                            "not begun in time: too many requests");
                hand_over(request);
            } else if (request->call.deadline_ns < next) {
                next = request->call.deadline_ns;
            }
            request = following;
        }
    }
    if (next != INT64_MAX)
        timer_start(&sd->loop, timer, next - now);
}

static void wait_for_turn(struct request *request)
{
    struct libsd *sd = request->sd;
    struct timer *expiry = &sd->requests.expiry;
    int64_t deadline_ns = now_ns() + request->timeout_ms * MS;

    request->call.deadline_ns = deadline_ns;
    request->state = REQUEST_WAITING;
    TAILQ_INSERT_TAIL(&sd->requests.waiting[kind_of(request)], request, link);
    pump(sd);
    if (request->state != REQUEST_WAITING)
        return;
    expiry->fire = expire;
    if (expiry->due_ns == 0 || deadline_ns < expiry->due_ns)
        timer_start(&sd->loop, expiry, deadline_ns - now_ns());
}

static void request_start(struct task *task)
{
    struct request *request = container_of(task, struct request, start);

    if (!atomic_load(&request->settled)) {
        wait_for_turn(request);
        return;
    }
    /* Cancelled on the way here. */
    drop_item(request);
    owner_drop(&request->owner);
}

/* Takes a request that waits or runs away from the I/O thread. */
static void let_go(struct request *request)
{
    struct requests *requests = &request->sd->requests;

    if (request->state == REQUEST_WAITING) {
        TAILQ_REMOVE(&requests->waiting[kind_of(request)], request, link);
    } else if (request->state == REQUEST_RUNNING) {
        TAILQ_REMOVE(&requests->running, request, link);
        requests->running_count[kind_of(request)]--;
        call_cancel(&request->call);
    } else {
        return;
    }
    request->state = REQUEST_IDLE;
    drop_item(request);
    owner_drop(&request->owner);
}

static void request_stop(struct task *task)
{
    struct request *request = container_of(task, struct request, stop);
    struct libsd *sd = request->sd;

    let_go(request);
    owner_drop(&request->owner);
    pump(sd);
}

void requests_stop(struct libsd *sd)
{
    struct requests *requests = &sd->requests;
    struct request *request;

    for (size_t kind = 0; kind < REQUEST_KINDS; kind++)
        while ((request = TAILQ_FIRST(&requests->waiting[kind])))
            let_go(request);
    while ((request = TAILQ_FIRST(&requests->running)))
        let_go(request);
    timer_stop(&requests->expiry);
}

/* ---- where callbacks run ------------------------------------------------ */

/* Tells the application, unless that is forbidden: rules 1 and 2. */
static void tell(struct request *request)
{
    if (atomic_exchange(&request->settled, true))
        return;
    request->callback(request->sd, &request->plan.reply->public, request->arg);
    table_remove(request);
}

/* Has the plan's next request made.  Returns false when out of memory. */
static bool go_on(struct request *request)
{
    if (!make_item(request))
        return false;
    request->outcome = (struct outcome){ 0 };
    owner_keep(&request->owner);
    /* A handle that is being closed tells by itself. */
    if (!loop_post(&request->sd->loop, &request->start)) {
        owner_drop(&request->owner);
        drop_item(request);
    }
    return true;
}

static void request_deliver(struct owner *owner, const struct record *record)
{
    struct request *request = container_of(owner, struct request, owner);
    struct outcome *outcome = &request->outcome;

    if (record->error) {
        *outcome = (struct outcome){ 0 };
        failure_set(&outcome->failure, record->error, "the handle was closed");
    }
    while (plan_take(&request->plan, outcome, &request->text)) {
        buffer_free(&request->text);
        if (go_on(request))
            return;
        failure_set(&outcome->failure, LIBSD_ENOMEM, "out of memory");
    }
    buffer_free(&request->text);
    tell(request);
}

void requests_end(struct libsd *sd)
{
    const struct record closed = { .error = LIBSD_ECLOSED };
    struct requests *requests = &sd->requests;
    struct request *request;

    for (size_t i = 0; i < REQUEST_BUCKETS; i++)
        while ((request = LIST_FIRST(&requests->table[i])))
            queue_deliver(sd, &request->owner, &closed);
}

/* ---- application -------------------------------------------------------- */

static struct request *request_new(libsd *sd, int timeout_ms, libsd_reply_callback *callback,
                                   void *arg)
{
    struct request *request = calloc(1, sizeof *request);

    if (!request)
        return NULL;
    owner_init(&request->owner, request_deliver, request_free);
    request->sd = sd;
    request->callback = callback;
    request->arg = arg;
    request->timeout_ms = timeout_ms ? timeout_ms : sd->options.timeout_ms;
    request->start.run = request_start;
    request->stop.run = request_stop;
    request->call.sd = sd;
    request->call.done = request_done;
    if (!make_item(request)) {
        owner_drop(&request->owner);
        return NULL;
    }
    return request;
}

static void set_call(struct request *request)
{
    request->call.flags = request->plan.flags;
    request->call.only = request->plan.only;
    request->call.idle_ms = request->plan.big ? BIG_IDLE_MS : 0;
}

int libsd_start(libsd *sd, const libsd_op *op, int timeout_ms, libsd_reply_callback *callback,
                void *arg, uint64_t *id)
{
    struct request *request;
    struct failure failure;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (!op || !callback || timeout_ms < 0)
        return LIBSD_EINVAL;
    request = request_new(sd, timeout_ms, callback, arg);
    if (!request)
        return LIBSD_ENOMEM;
    rc = plan_init(&request->plan, sd, op, &failure);
    if (rc < 0)
        goto fail;
    set_call(request);
    table_add(request);
    if (id)
        *id = request->id; /* before any callback */
    if (loop_post(&sd->loop, &request->start))
        return 0;
    failure_set(&failure, LIBSD_ECLOSED, "the handle is being closed");
    table_remove(request);
fail:
    drop_item(request);
    owner_drop(&request->owner);
    return handle_fail(sd, &failure);
}

int libsd_cancel(libsd *sd, uint64_t id)
{
    struct request *request;
    bool first;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (id == 0)
        return LIBSD_EINVAL;
    request = table_find(&sd->requests, id);
    if (!request)
        return LIBSD_ENOTFOUND;
    first = !atomic_exchange(&request->settled, true);
    owner_close(sd, &request->owner);
    if (!first) {
        owner_drop(&request->owner);
        return LIBSD_ENOTFOUND;
    }
    table_remove(request);
    /* A handle that is being closed lets go by itself. */
    if (!loop_post(&sd->loop, &request->stop))
        owner_drop(&request->owner);
    return 0;
}
