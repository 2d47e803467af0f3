/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How one who contends joins the queue, waits for its turn and stays first; see
 * the drawing and rules 1 to 3 in contest.h.
 */
#include "contest.h"

#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "standing.h"

#define CALL_NS   (5 * S)
#define STABLE_NS (5 * S) /* trouble that comes sooner again is met with a wait */
/* A look for safety, while waiting and while holding: servers before 3.4.31 and
 * 3.5.13 can lose events around a compaction. */
#define AUDIT_NS  (60 * S)

static void join(struct libsd_mutex *mutex);
static void look(struct libsd_mutex *mutex);

/* ---- trouble ------------------------------------------------------------ */

static void retry_timer(struct timer *timer)
{
    struct libsd_mutex *mutex = container_of(timer, struct libsd_mutex, retry);

    if (mutex->phase == PHASE_JOIN)
        join(mutex);
    else
        look(mutex);
}

/* Does again what is to be done in this phase, after a wait if that has been
 * the case lately. */
static void do_again(struct libsd_mutex *mutex)
{
    int64_t now = now_ns();

    if (now - mutex->troubled_ns > STABLE_NS)
        mutex->troubles = 0;
    mutex->troubled_ns = now;
    timer_start(&mutex->sd->loop, &mutex->retry,
                mutex->troubles ? backoff_ns(mutex->troubles - 1) : 0);
    mutex->troubles++;
}

static void join_again(struct libsd_mutex *mutex)
{
    call_cancel(&mutex->call);
    contest_unwatch(mutex);
    mutex->phase = PHASE_JOIN;
    do_again(mutex);
}

/* Our key is not there. */
static void key_gone(struct libsd_mutex *mutex)
{
    if (mutex->phase == PHASE_HELD)
        contest_lost(mutex, LIBSD_ENOTFOUND);
    else if (mutex->phase == PHASE_QUEUE)
        join_again(mutex);
}

/* It is there, but somebody else wrote it: it will not go with our lease. */
static void key_overwritten(struct libsd_mutex *mutex)
{
    struct failure failure;

    mutex->overwritten = true;
    failure_set(&failure, LIBSD_ECONFLICT, "%s was overwritten", mutex->key);
    if (mutex->phase == PHASE_HELD)
        contest_lost(mutex, LIBSD_ECONFLICT);
    else
        contest_fail(mutex, &failure);
}

/* ---- watching ----------------------------------------------------------- */

static void on_live(struct subscription *subscription)
{
    (void)subscription;
}

/* The beats look instead, until it is up again. */
static void on_down(struct subscription *subscription, const struct failure *failure)
{
    (void)subscription;
    (void)failure;
}

static bool own_events(struct subscription *subscription, struct records *records,
                       struct buffer *text, bool complete)
{
    struct libsd_mutex *mutex = container_of(subscription, struct libsd_mutex, own);

    (void)text;
    (void)complete;
    for (size_t i = 0; i < records->count; i++) {
        const struct record *record = &records->list[i];
        bool deleted = record->type == LIBSD_EVENT_DELETE;

        if (deleted || record->kv.lease != mutex->lease) {
            if (deleted)
                key_gone(mutex);
            else
                key_overwritten(mutex);
            break;
        }
    }
    return true;
}

static void own_lost(struct subscription *subscription, const struct failure *failure)
{
    (void)failure;
    do_again(container_of(subscription, struct libsd_mutex, own));
}

static bool before_events(struct subscription *subscription, struct records *records,
                          struct buffer *text, bool complete)
{
    struct libsd_mutex *mutex = container_of(subscription, struct libsd_mutex, before);
    bool deleted = false;

    (void)text;
    (void)complete;
    for (size_t i = 0; i < records->count; i++)
        deleted |= records->list[i].type == LIBSD_EVENT_DELETE;
    if (deleted) {
        stream_unsubscribe(mutex->sd, subscription);
        look(mutex);
    }
    return true;
}

static void before_lost(struct subscription *subscription, const struct failure *failure)
{
    (void)failure;
    do_again(container_of(subscription, struct libsd_mutex, before));
}

static void watch_from(struct libsd_mutex *mutex, struct subscription *subscription,
                       int64_t revision)
{
    if (subscription->state != SUBSCRIPTION_NONE)
        return;
    subscription->next = revision;
    stream_subscribe(mutex->sd, subscription);
}

/* Whether we would hear of all that matters. */
static bool is_watching(const struct libsd_mutex *mutex)
{
    return mutex->own.state == SUBSCRIPTION_LIVE &&
           (mutex->phase == PHASE_HELD || mutex->before.state == SUBSCRIPTION_LIVE);
}

/* ---- the queue ---------------------------------------------------------- */

static void wait_for(struct libsd_mutex *mutex, const libsd_kv *before, int64_t store_revision)
{
    struct buffer *key = &mutex->before_key;

    if (key->size != before->key.size || memcmp(key->data, before->key.data, key->size) != 0) {
        stream_unsubscribe(mutex->sd, &mutex->before);
        key->size = 0;
        buffer_add(key, before->key.data, before->key.size);
        if (key->failed) {
            buffer_free(key);
            do_again(mutex);
            return;
        }
        mutex->before.span.key = libsd_bytes(key->data, key->size);
    }
    watch_from(mutex, &mutex->before, store_revision + 1);
    contest_tell(mutex, LIBSD_LOCK_WAITING, 0);
}

/* Rule 1: nobody is before us. */
static void first(struct libsd_mutex *mutex)
{
    const struct failure success = { 0 };

    stream_unsubscribe(mutex->sd, &mutex->before);
    if (!mutex->keeper.held || keeper_clock_ns() >= mutex->keeper.safe_ns)
        return; /* look again when the lease is alive */
    mutex->phase = PHASE_HELD;
    atomic_store_explicit(&mutex->revision, mutex->create_revision, memory_order_release);
    atomic_store_explicit(&mutex->held_until_ns, mutex->keeper.safe_ns, memory_order_release);
    contest_tell(mutex, LIBSD_LOCK_HELD, 0);
    contest_answer(mutex, &success);
}

static void place(struct libsd_mutex *mutex, const struct standing *standing,
                  int64_t store_revision)
{
    mutex->looked_ns = now_ns();
    watch_from(mutex, &mutex->own, store_revision + 1);
    if (mutex->phase != PHASE_HELD && standing->before)
        wait_for(mutex, standing->before, store_revision);
    else if (mutex->phase != PHASE_HELD)
        first(mutex);
    else if (standing->before)
        contest_lost(mutex, LIBSD_ECONFLICT); /* as in a store that was restored */
}

/* Whether there is an answer, or the call's failure is dealt with. */
static bool is_answered(struct libsd_mutex *mutex, struct buffer *text, struct answer *answer)
{
    struct failure *failure = &mutex->failure;

    *failure = mutex->call.failure;
    if (failure->code == 0 && answer_read(text, answer, failure) == 0) {
        mutex->backoff = (struct backoff){ 0 };
        return true;
    }
    handle_background(mutex->sd, failure);
    if (failure->code == LIBSD_ELEASE)
        keeper_lost(&mutex->keeper);
    else if (libsd_error_is_retriable(failure->code) || mutex->phase == PHASE_HELD)
        timer_start(&mutex->sd->loop, &mutex->retry, backoff_next_ns(&mutex->backoff, failure));
    else
        contest_fail(mutex, failure);
    return false;
}

static void ask(struct libsd_mutex *mutex,
                void (*body)(struct buffer *, const struct libsd_mutex *),
                void (*done)(struct call *, struct buffer *))
{
    struct call *call = &mutex->call;

    timer_stop(&mutex->retry);
    call->path = "/kv/txn";
    call->deadline_ns = now_ns() + CALL_NS;
    call->done = done;
    body(&call->body, mutex);
    call_start(call);
}

static void look_done(struct call *call, struct buffer *text)
{
    struct libsd_mutex *mutex = container_of(call, struct libsd_mutex, call);
    struct answer answer = { 0 };
    struct standing standing;

    if (is_answered(mutex, text, &answer)) {
        standing_read_look(&standing, mutex, &answer);
        if (standing.ours)
            place(mutex, &standing, answer.header.revision);
        else
            key_gone(mutex);
    }
    records_free(&answer.records);
}

/* An answer that is on its way already may be older than what made us look; the
 * watches begin behind it then, and tell again. */
static void look(struct libsd_mutex *mutex)
{
    if (!mutex->call.active)
        ask(mutex, standing_look_body, look_done);
}

static void join_done(struct call *call, struct buffer *text)
{
    struct libsd_mutex *mutex = container_of(call, struct libsd_mutex, call);
    struct answer answer = { 0 };
    struct standing standing;
    struct failure failure;

    if (!is_answered(mutex, text, &answer))
        goto out;
    standing_read_join(&standing, mutex, &answer);
    if (!standing.ours) {
        failure_set(&failure, LIBSD_ECONFLICT, "%s is held", mutex->prefix);
        contest_fail(mutex, &failure);
        goto out;
    }
    mutex->create_revision = standing.create_revision;
    mutex->phase = PHASE_QUEUE;
    if (standing.known)
        place(mutex, &standing, answer.header.revision);
    else
        look(mutex);
out:
    records_free(&answer.records);
}

static void join(struct libsd_mutex *mutex)
{
    if (!mutex->call.active)
        ask(mutex, standing_join_body, join_done);
}

/* ---- the lease ---------------------------------------------------------- */

static void first_join(struct libsd_mutex *mutex)
{
    struct failure failure;

    free(mutex->key);
    if (asprintf(&mutex->key, "%s%llx", mutex->prefix, (unsigned long long)mutex->keeper.lease) <
        0) {
        mutex->key = NULL;
        failure_set(&failure, LIBSD_ENOMEM, "out of memory");
        contest_fail(mutex, &failure);
        return;
    }
    mutex->lease = mutex->keeper.lease;
    mutex->own.span.key = libsd_str(mutex->key);
    mutex->phase = PHASE_JOIN;
    join(mutex);
}

static void on_alive(struct keeper *keeper)
{
    struct libsd_mutex *mutex = container_of(keeper, struct libsd_mutex, keeper);

    if (mutex->phase == PHASE_LEASE) {
        first_join(mutex);
        return;
    }
    if (mutex->phase == PHASE_HELD) {
        /* Who asked meanwhile was told that it is lost: so be it. */
        if (keeper_clock_ns() >= mutex->held_until_ns) {
            contest_lost(mutex, LIBSD_ETIMEDOUT);
            return;
        }
        atomic_store_explicit(&mutex->held_until_ns, keeper->safe_ns, memory_order_release);
    }
    if (mutex->phase != PHASE_JOIN && !mutex->retry.due_ns &&
        (!is_watching(mutex) || now_ns() - mutex->looked_ns > AUDIT_NS))
        look(mutex);
}

/* While waiting nothing hangs on our deadline; etcd may keep the lease, and
 * with it our place. */
static void on_late(struct keeper *keeper)
{
    struct libsd_mutex *mutex = container_of(keeper, struct libsd_mutex, keeper);

    if (mutex->phase == PHASE_HELD)
        contest_lost(mutex, LIBSD_ETIMEDOUT);
}

static void on_gone(struct keeper *keeper)
{
    struct libsd_mutex *mutex = container_of(keeper, struct libsd_mutex, keeper);

    if (mutex->phase == PHASE_HELD) {
        contest_lost(mutex, LIBSD_ELEASE);
        return;
    }
    if (mutex->borrowed) {
        contest_fail(mutex, &keeper->failure);
        return;
    }
    contest_quiet(mutex);
    mutex->phase = PHASE_LEASE;
    keeper_start(keeper);
}

static void on_refused(struct keeper *keeper, const struct failure *failure)
{
    contest_fail(container_of(keeper, struct libsd_mutex, keeper), failure);
}

/* ---- who is told -------------------------------------------------------- */

static void init_watch(struct subscription *subscription,
                       bool (*events)(struct subscription *, struct records *, struct buffer *,
                                      bool),
                       void (*lost_events)(struct subscription *, const struct failure *))
{
    subscription->on_live = on_live;
    subscription->on_down = on_down;
    subscription->on_events = events;
    subscription->on_lost = lost_events;
}

void contest_init(struct libsd_mutex *mutex)
{
    mutex->retry.fire = retry_timer;
    mutex->untold.fire = contest_untold;
    mutex->keeper.on_alive = on_alive;
    mutex->keeper.on_late = on_late;
    mutex->keeper.on_gone = on_gone;
    mutex->keeper.on_refused = on_refused;
    mutex->keeper.on_over = contest_over;
    init_watch(&mutex->own, own_events, own_lost);
    init_watch(&mutex->before, before_events, before_lost);
}
