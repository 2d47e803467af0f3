/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How one who contends ends: lost, refused or given up; and what the application
 * is told on the way.  See the drawing and rule 4 in contest.h.
 */
#include "contest.h"
#include "internal.h"
#include "standing.h"

/* How long a revocation is tried: a store that comes back gives a lease its
 * whole TTL anew. */
#define LEAVE_TTLS 3
#define AGAIN_NS   (100 * MS) /* what could not be told for want of memory */

/* ---- telling ------------------------------------------------------------ */

static void tell(struct libsd_mutex *mutex)
{
    struct item *item;

    if (!mutex->callback)
        return;
    item = item_new(&mutex->owner);
    if (item && item_note(item, mutex->told, 0, mutex->told_error, NULL)) {
        timer_stop(&mutex->untold);
        queue_add(mutex->sd, item);
    } else {
        item_free(item);
        timer_start(&mutex->sd->loop, &mutex->untold, AGAIN_NS);
    }
}

void contest_untold(struct timer *timer)
{
    tell(container_of(timer, struct libsd_mutex, untold));
}

void contest_tell(struct libsd_mutex *mutex, int state, int error)
{
    static const char *const words[] = { "", "waiting", "held", "lost", "failed", "released" };

    if (mutex->told == state)
        return;
    mutex->told = state;
    mutex->told_error = error;
    handle_log(mutex->sd, state == LIBSD_LOCK_LOST ? LIBSD_LOG_WARNING : LIBSD_LOG_DEBUG,
               "lock %s: %s%s%s", mutex->key ? mutex->key : mutex->prefix, words[state],
               error ? ": " : "", error ? libsd_strerror(error) : "");
    tell(mutex);
}

void contest_answer(struct libsd_mutex *mutex, const struct failure *failure)
{
    struct errand *errand = mutex->errand;

    if (!errand)
        return;
    mutex->errand = NULL;
    timer_stop(&errand->timer);
    waiter_finish(&errand->waiter, failure);
    waiter_drop(&errand->waiter);
}

/* ---- leaving ------------------------------------------------------------ */

void contest_unwatch(struct libsd_mutex *mutex)
{
    stream_unsubscribe(mutex->sd, &mutex->own);
    stream_unsubscribe(mutex->sd, &mutex->before);
}

void contest_quiet(struct libsd_mutex *mutex)
{
    atomic_store_explicit(&mutex->held_until_ns, 0, memory_order_release);
    call_cancel(&mutex->call);
    timer_stop(&mutex->retry);
    contest_unwatch(mutex);
}

void contest_retire(struct libsd_mutex *mutex)
{
    atomic_store_explicit(&mutex->owner.closed, true, memory_order_release);
    contest_quiet(mutex);
    timer_stop(&mutex->untold);
    keeper_stop(&mutex->keeper);
    LIST_REMOVE(mutex, link);
    mutex->begun = false;
    owner_drop(&mutex->owner);
}

void contest_over(struct keeper *keeper, const struct failure *failure)
{
    struct libsd_mutex *mutex = container_of(keeper, struct libsd_mutex, keeper);
    struct libsd *sd = mutex->sd;

    mutex->phase = PHASE_OVER;
    if (mutex->told != LIBSD_LOCK_LOST && mutex->told != LIBSD_LOCK_FAILED)
        contest_tell(mutex, LIBSD_LOCK_RELEASED, failure->code);
    contest_answer(mutex, failure);
    if (mutex->closing) {
        if (--sd->closing == 0)
            loop_stop(&sd->loop);
    } else if (mutex->abandoned) {
        contest_retire(mutex);
    }
}

static int64_t leave_deadline(const struct libsd_mutex *mutex)
{
    const struct keeper *keeper = &mutex->keeper;
    int64_t ttl_s = keeper->granted_ttl_s > keeper->ttl_s ? keeper->granted_ttl_s : keeper->ttl_s;

    return now_ns() + LEAVE_TTLS * ttl_s * S;
}

static void cleaned(struct call *call, struct buffer *text)
{
    struct libsd_mutex *mutex = container_of(call, struct libsd_mutex, call);

    (void)text;
    if (mutex->borrowed)
        contest_over(&mutex->keeper, &call->failure);
    else
        keeper_revoke(&mutex->keeper, call->deadline_ns);
}

void contest_leave_until(struct libsd_mutex *mutex, int64_t deadline_ns)
{
    struct call *call = &mutex->call;

    contest_quiet(mutex);
    keeper_stop(&mutex->keeper);
    mutex->phase = PHASE_LEAVING;
    if (mutex->borrowed && !mutex->key)
        mutex->keeper.lease = 0; /* nothing to undo */
    if (!mutex->overwritten && (!mutex->borrowed || !mutex->key)) {
        keeper_revoke(&mutex->keeper, deadline_ns);
        return;
    }
    /* What was overwritten would stay for ever, in the way of all. */
    call->path = "/kv/txn";
    call->deadline_ns = deadline_ns;
    call->done = cleaned;
    standing_clean_body(&call->body, mutex);
    call_start(call);
}

void contest_leave(struct libsd_mutex *mutex)
{
    if (mutex->phase < PHASE_LEAVING)
        contest_leave_until(mutex, leave_deadline(mutex));
}

void contest_abandon(struct libsd_mutex *mutex)
{
    mutex->abandoned = true;
    if (mutex->phase == PHASE_OVER)
        contest_retire(mutex);
    else
        contest_leave(mutex);
}

void contest_lost(struct libsd_mutex *mutex, int error)
{
    mutex->lost = true;
    atomic_store_explicit(&mutex->held_until_ns, 0, memory_order_release);
    contest_tell(mutex, LIBSD_LOCK_LOST, error);
    contest_leave(mutex);
}

/* Before it was ever held. */
void contest_fail(struct libsd_mutex *mutex, const struct failure *failure)
{
    struct failure copy = *failure; /* it may be the call's */

    handle_background(mutex->sd, &copy);
    contest_tell(mutex, LIBSD_LOCK_FAILED, copy.code);
    if (mutex->errand) {
        contest_answer(mutex, &copy);
        mutex->abandoned = true;
    }
    contest_leave(mutex);
}
