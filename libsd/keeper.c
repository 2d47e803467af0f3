/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A lease that is one owner's alone.
 *
 * Its local deadline counts from the sending of the last successful beat, so
 * that it never ends after etcd's own.  etcd may keep the lease longer (a new
 * leader, a restart give it its full TTL anew), so beats go on after it.
 */
#include "keeper.h"

#include <time.h>

#include "internal.h"
#include "lease.h"

#define GRANT_NS      (5 * S)
#define BEAT_MS       2000
#define STABLE_NS     (2 * S) /* a lease lost sooner counts as a failure */
#define REVOKE_TRY_MS 800

static void grant(struct timer *timer);
static void beat(struct timer *timer);

int64_t keeper_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * S + now.tv_nsec;
}

static void next(struct keeper *keeper, void (*what)(struct timer *), int64_t delay)
{
    keeper->timer.fire = what;
    timer_start(&keeper->sd->loop, &keeper->timer, delay);
}

static void note_failure(struct keeper *keeper, const char *what, const struct failure *failure)
{
    keeper->failure = *failure;
    handle_background(keeper->sd, failure);
    handle_log(keeper->sd, keeper->failures ? LIBSD_LOG_DEBUG : LIBSD_LOG_WARNING, "%s: %s", what,
               failure->text);
}

static void prepare(struct keeper *keeper, const char *path, int64_t deadline_ns,
                    void (*done)(struct call *, struct buffer *))
{
    struct call *call = &keeper->call;

    call->sd = keeper->sd;
    call->path = path;
    call->attempt_ms = 0;
    call->deadline_ns = deadline_ns;
    call->done = done;
    /* A machine that falls asleep between here and the sending makes our
     * deadline come too early, never too late. */
    keeper->slept_ns = keeper_clock_ns() - now_ns();
}

static void late(struct timer *timer)
{
    struct keeper *keeper = container_of(timer, struct keeper, deadline);

    keeper->on_late(keeper);
}

static void renewed(struct keeper *keeper, int64_t ttl_s)
{
    /* A hundredth less, for clocks that do not run alike. */
    int64_t end_ns = keeper->call.sent_ns + ttl_s * S - ttl_s * S / 100;

    keeper->granted_ttl_s = ttl_s;
    keeper->renewed_ns = keeper->call.sent_ns;
    keeper->safe_ns = end_ns + keeper->slept_ns;
    keeper->failures = 0;
    keeper->failure.code = 0;
    keeper->deadline.fire = late;
    timer_start(&keeper->sd->loop, &keeper->deadline, end_ns - now_ns());
    next(keeper, beat, keeper->renewed_ns + ttl_s * S / 3 - now_ns());
    keeper->on_alive(keeper);
}

/* ---- grant -------------------------------------------------------------- */

static void grant_done(struct call *call, struct buffer *text)
{
    struct keeper *keeper = container_of(call, struct keeper, call);
    struct failure failure = call->failure;
    struct answer answer = { 0 };
    bool exists = lease_exists_already(&call->error);
    bool failed = !exists && (failure.code < 0 || answer_read(text, &answer, &failure) < 0);

    records_free(&answer.records);
    if (failed) {
        note_failure(keeper, "lease not granted", &failure);
        if (libsd_error_is_retriable(failure.code))
            next(keeper, grant, backoff_ns(keeper->failures++));
        else
            keeper->on_refused(keeper, &failure);
        return;
    }
    keeper->held = true;
    keeper->granted_ns = now_ns();
    keeper->granted_ttl_s = keeper->ttl_s;
    keeper->renewed_ns = call->sent_ns;
    if (exists)
        next(keeper, beat, 0); /* a try before: since when, and for how long? */
    else
        renewed(keeper, answer.ttl > 0 ? answer.ttl : keeper->ttl_s);
}

static void grant(struct timer *timer)
{
    struct keeper *keeper = container_of(timer, struct keeper, timer);

    /* The same number until etcd has answered: a grant that got through without
     * our knowing is then found, not doubled. */
    if (!keeper->lease)
        keeper->lease = lease_new_id();
    prepare(keeper, "/lease/grant", now_ns() + GRANT_NS, grant_done);
    lease_grant_body(&keeper->call.body, keeper->lease, keeper->ttl_s);
    call_start(&keeper->call);
}

void keeper_start(struct keeper *keeper)
{
    keeper_stop(keeper);
    keeper->lease = 0;
    next(keeper, grant, keeper->failures ? backoff_ns(keeper->failures - 1) : 0);
}

/* The first beat tells whether there is one, and its TTL. */
void keeper_adopt(struct keeper *keeper, int64_t lease)
{
    keeper_stop(keeper);
    keeper->lease = lease;
    keeper->held = true;
    keeper->granted_ns = now_ns();
    next(keeper, beat, 0);
}

void keeper_lost(struct keeper *keeper)
{
    struct failure failure;

    if (!keeper->held)
        return;
    failure_set(&failure, LIBSD_ELEASE, "lease %lld is gone", (long long)keeper->lease);
    note_failure(keeper, "lease lost", &failure);
    keeper_stop(keeper);
    keeper->lease = 0;
    if (now_ns() - keeper->granted_ns > STABLE_NS)
        keeper->failures = 0;
    else
        keeper->failures++;
    keeper->on_gone(keeper);
}

/* ---- beat --------------------------------------------------------------- */

static void beat_done(struct call *call, struct buffer *text)
{
    struct keeper *keeper = container_of(call, struct keeper, call);
    struct failure failure = call->failure;
    struct answer answer = { 0 };
    bool failed = failure.code < 0 || keepalive_read(text, &answer, &failure) < 0;

    records_free(&answer.records);
    if (failed && failure.code != LIBSD_ELEASE) {
        note_failure(keeper, "lease not renewed", &failure);
        next(keeper, beat, backoff_ns(keeper->failures++));
    } else if (failed || answer.ttl <= 0) {
        keeper_lost(keeper); /* a missing TTL is all that etcd says */
    } else {
        renewed(keeper, answer.ttl);
    }
}

static void beat(struct timer *timer)
{
    struct keeper *keeper = container_of(timer, struct keeper, timer);
    int64_t third_ms = keeper->granted_ttl_s * 1000 / 3;
    int64_t end = keeper->renewed_ns + keeper->granted_ttl_s * S;
    int64_t soon = now_ns() + BEAT_MS * MS;

    /* The first try must leave time for one at the next endpoint. */
    prepare(keeper, "/lease/keepalive", end > soon ? end : soon, beat_done);
    keeper->call.attempt_ms = third_ms < BEAT_MS ? (int)third_ms : BEAT_MS;
    lease_id_body(&keeper->call.body, keeper->lease);
    call_start(&keeper->call);
}

/* ---- end ---------------------------------------------------------------- */

static void revoke(struct timer *timer);

static void revoke_done(struct call *call, struct buffer *text)
{
    struct keeper *keeper = container_of(call, struct keeper, call);
    struct failure failure = call->failure;

    (void)text;
    /* What else may pass, the call has waited for. */
    if (failure.code == LIBSD_ENOMEM && now_ns() < call->deadline_ns) {
        next(keeper, revoke, backoff_ns(keeper->failures++));
        return;
    }
    if (failure.code == LIBSD_ELEASE)
        failure.code = 0;
    keeper->lease = 0;
    keeper->on_over(keeper, &failure);
}

static void revoke(struct timer *timer)
{
    struct keeper *keeper = container_of(timer, struct keeper, timer);

    prepare(keeper, "/lease/revoke", keeper->call.deadline_ns, revoke_done);
    keeper->call.attempt_ms = REVOKE_TRY_MS;
    lease_id_body(&keeper->call.body, keeper->lease);
    call_start(&keeper->call);
}

static void nothing_to_revoke(struct timer *timer)
{
    struct keeper *keeper = container_of(timer, struct keeper, timer);
    const struct failure success = { 0 };

    keeper->on_over(keeper, &success);
}

void keeper_revoke(struct keeper *keeper, int64_t deadline_ns)
{
    keeper_stop(keeper);
    keeper->call.deadline_ns = deadline_ns;
    if (keeper->lease)
        revoke(&keeper->timer);
    else
        next(keeper, nothing_to_revoke, 0);
}

void keeper_stop(struct keeper *keeper)
{
    call_cancel(&keeper->call);
    timer_stop(&keeper->timer);
    timer_stop(&keeper->deadline);
    keeper->held = false;
}
