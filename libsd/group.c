/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The lease of a group of registrations: granted, kept alive, lost and granted
 * again, for ever.
 *
 * The local deadline counts from the sending of the last successful beat, so
 * it never ends after etcd's own.  etcd may keep the lease longer (a new
 * leader, a restart give it its full TTL anew), so beats go on after it.
 */
#include "group.h"

#include <stdlib.h>

#include "internal.h"
#include "lease.h"

#define GRANT_NS      (5 * S)
#define BEAT_MS       2000
#define LINGER_NS     (1 * S) /* an empty group waits so long for newcomers */
#define STABLE_NS     (2 * S) /* a lease lost sooner counts as a failure */
#define REVOKE_TRY_MS 800
#define TIDY_NS       (1 * MS)
#define NOTICE_NS     (500 * MS)

static void grant(struct timer *timer);
static void beat(struct timer *timer);

static void next(struct group *group, void (*what)(struct timer *), int64_t delay)
{
    group->timer.fire = what;
    timer_start(&group->sd->loop, &group->timer, delay);
}

static void note_failure(struct group *group, const char *what, const struct failure *failure)
{
    group->failure = *failure;
    handle_background(group->sd, failure);
    handle_log(group->sd, backoff_is_new(&group->backoff) ? LIBSD_LOG_WARNING : LIBSD_LOG_DEBUG,
               "%s: %s", what, failure->text);
}

static void retry(struct group *group, void (*what)(struct timer *), const struct failure *failure)
{
    group->timer.fire = what;
    timer_retry(&group->sd->loop, &group->timer, &group->backoff, failure);
}

static void prepare(struct group *group, const char *path, int64_t deadline_ns,
                    void (*done)(struct call *, struct buffer *))
{
    struct call *call = &group->call;

    call->sd = group->sd;
    call->path = path;
    call->flags = 0;
    call->attempt_ms = 0;
    call->deadline_ns = deadline_ns;
    call->done = done;
}

/* ---- grant -------------------------------------------------------------- */

/* Those who wait and can't be helped by waiting. */
static void refuse_all(struct group *group, const struct failure *failure)
{
    struct registration *registration = TAILQ_FIRST(&group->registrations);

    while (registration) {
        struct registration *following = TAILQ_NEXT(registration, link);

        if ((registration->pending || registration->fresh) && registration->step != STEP_DROP)
            registration_refused(registration, registration->step, failure);
        registration = following;
    }
}

static void renewed(struct group *group, int64_t ttl_s)
{
    group->granted_ttl_s = ttl_s;
    group->renewed_ns = group->call.sent_ns;
    group->failure.code = 0;
    group->backoff = (struct backoff){ 0 };
    timer_start(&group->sd->loop, &group->deadline, group->renewed_ns + ttl_s * S - now_ns());
    next(group, beat, group->renewed_ns + ttl_s * S / 3 - now_ns());
}

/* An answer about another lease than ours says nothing about it. */
static int check_id(const struct group *group, const struct answer *answer, struct failure *failure)
{
    if (answer->id == group->lease)
        return 0;
    return failure_set(failure, LIBSD_EPROTOCOL, "%s: about lease %lld instead of %lld",
                       group->call.failure.text, (long long)answer->id, (long long)group->lease);
}

static void grant_done(struct call *call, struct buffer *text)
{
    struct group *group = container_of(call, struct group, call);
    struct failure failure = call->failure;
    struct answer answer = { .ttl = group->ttl_s };
    bool exists = lease_exists_already(&call->error);
    struct registration *registration;

    if (!exists && (failure.code < 0 || answer_read(text, &answer, &failure) < 0 ||
                    check_id(group, &answer, &failure) < 0)) {
        records_free(&answer.records);
        note_failure(group, "lease not granted", &failure);
        retry(group, grant, &failure);
        if (!libsd_error_is_retriable(failure.code))
            refuse_all(group, &failure);
        return;
    }
    records_free(&answer.records);
    group->held = true;
    group->late = false;
    group->granted_ns = now_ns();
    renewed(group, answer.ttl > 0 ? answer.ttl : group->ttl_s);
    if (exists)
        next(group, beat, 0); /* what was granted? */
    TAILQ_FOREACH(registration, &group->registrations, link)
    {
        if (registration->step == STEP_NONE)
            claim_queue(registration, STEP_CLAIM);
    }
    claim_start(group);
}

static void grant(struct timer *timer)
{
    struct group *group = container_of(timer, struct group, timer);

    /* The same number until etcd has answered: a grant that got through without
     * our knowing is then found, not doubled. */
    if (!group->lease)
        group->lease = lease_new_id();
    prepare(group, "/lease/grant", now_ns() + GRANT_NS, grant_done);
    lease_grant_body(&group->call.body, group->lease, group->ttl_s);
    call_start(&group->call);
}

void group_lease_lost(struct group *group)
{
    struct failure failure;
    struct registration *registration;
    unsigned *failures = &group->backoff.failures;

    if (!group->held)
        return;
    failure_set(&failure, LIBSD_ELEASE, "lease %lld is gone", (long long)group->lease);
    note_failure(group, "registrations lost", &failure);
    call_cancel(&group->call);
    timer_stop(&group->deadline);
    group->past[group->past_count++ % PAST_LEASES] = group->lease;
    group->lease = 0;
    group->held = false;
    TAILQ_FOREACH(registration, &group->registrations, link)
    registration_lost(registration, LIBSD_ELEASE);
    if (now_ns() - group->granted_ns > STABLE_NS)
        group->backoff = (struct backoff){ 0 };
    next(group, grant, *failures ? backoff_ns(*failures - 1) : 0);
    ++*failures;
}

/* ---- beat --------------------------------------------------------------- */

/* The keys outlived what we took for the lease's end, or their watch is down
 * and would not have told: see whether they are there. */
static void verify(struct group *group)
{
    struct registration *registration;

    TAILQ_FOREACH(registration, &group->registrations, link)
    {
        if (registration->step == STEP_NONE && !registration->timer.due_ns &&
            (group->late || !keywatch_is_live(registration)))
            claim_queue(registration, STEP_CLAIM);
    }
    group->late = false;
}

static void beat_done(struct call *call, struct buffer *text)
{
    struct group *group = container_of(call, struct group, call);
    struct failure failure = call->failure;
    struct answer answer = { 0 };
    bool failed = failure.code < 0 || keepalive_read(text, &answer, &failure) < 0 ||
                  check_id(group, &answer, &failure) < 0;

    records_free(&answer.records);
    if (failed && failure.code != LIBSD_ELEASE) {
        note_failure(group, "lease not renewed", &failure);
        /* As long as the lease may live, its end is dearer than some requests. */
        if (!group->late)
            failure.code = LIBSD_EUNAVAILABLE;
        retry(group, beat, &failure);
    } else if (failed || answer.ttl <= 0) {
        group_lease_lost(group); /* a missing TTL is all that etcd says */
    } else {
        renewed(group, answer.ttl);
        verify(group);
    }
}

static void beat(struct timer *timer)
{
    struct group *group = container_of(timer, struct group, timer);
    struct registration *registration;
    int64_t third_ms = group->granted_ttl_s * 1000 / 3;
    int64_t end = group->renewed_ns + group->granted_ttl_s * S;
    int64_t now = now_ns();

    TAILQ_FOREACH(registration, &group->registrations, link)
    registration_tell(registration);
    /* The first try must leave time for one at the next endpoint. */
    prepare(group, "/lease/keepalive", end > now + BEAT_MS * MS ? end : now + BEAT_MS * MS,
            beat_done);
    group->call.attempt_ms = third_ms < BEAT_MS ? (int)third_ms : BEAT_MS;
    lease_id_body(&group->call.body, group->lease);
    group->sd->counters.beats++;
    call_start(&group->call);
}

static void deadline_passed(struct timer *timer)
{
    struct group *group = container_of(timer, struct group, deadline);
    struct registration *registration;

    group->late = true;
    group->sd->counters.late_leases++;
    TAILQ_FOREACH(registration, &group->registrations, link)
    registration_lost(registration, LIBSD_ETIMEDOUT);
}

/* ---- the end of a group ---------------------------------------------------------------- */

static void revoke_done(struct call *call, struct buffer *text)
{
    struct libsd *sd = call->sd;

    (void)text;
    if (--sd->closing == 0)
        loop_stop(&sd->loop);
}

static void revoke(struct group *group, int64_t deadline_ns,
                   void (*done)(struct call *, struct buffer *))
{
    prepare(group, "/lease/revoke", deadline_ns, done);
    group->call.attempt_ms = REVOKE_TRY_MS;
    lease_id_body(&group->call.body, group->lease);
    call_start(&group->call);
}

static void quiet(struct group *group)
{
    call_cancel(&group->call);
    timer_stop(&group->timer);
    timer_stop(&group->deadline);
    timer_stop(&group->linger);
    timer_stop(&group->notice);
    claim_stop(group);
}

static void retire_all(struct group *group)
{
    struct registration *registration;

    group->ending = true;
    while ((registration = TAILQ_FIRST(&group->registrations)))
        registration_retire(registration);
}

static void group_free(struct group *group)
{
    quiet(group);
    retire_all(group);
    LIST_REMOVE(group, link);
    free(group);
}

static void empty_revoked(struct call *call, struct buffer *text)
{
    (void)text; /* whatever it was: what is left goes with the lease */
    group_free(container_of(call, struct group, call));
}

static void end_empty(struct timer *timer)
{
    struct group *group = container_of(timer, struct group, linger);

    group->ending = true;
    quiet(group);
    if (group->lease)
        revoke(group, now_ns() + GRANT_NS, empty_revoked);
    else
        group_free(group);
}

/* ---- members ------------------------------------------------------------ */

/* What has kept the lease, or the keys, from being there. */
static const struct failure *trouble(const struct group *group)
{
    if (group->call.active && group->call.failure.code < 0)
        return &group->call.failure;
    if (group->txn.active && group->txn.failure.code < 0)
        return &group->txn.failure;
    return group->failure.code < 0 ? &group->failure : NULL;
}

static void notice(struct timer *timer)
{
    struct group *group = container_of(timer, struct group, notice);
    const struct failure *failure = trouble(group);
    struct registration *registration;
    bool any = false;

    TAILQ_FOREACH(registration, &group->registrations, link)
    {
        if (!registration_is_waiting(registration))
            continue;
        any = true;
        if (failure)
            registration_wait(registration, failure);
    }
    if (any)
        timer_start(&group->sd->loop, timer, NOTICE_NS);
}

struct group *group_get(struct libsd *sd, int ttl_s)
{
    struct group *group;

    LIST_FOREACH(group, &sd->groups, link)
    {
        if (group->ttl_s == ttl_s && !group->ending)
            return group;
    }
    group = calloc(1, sizeof *group);
    if (!group)
        return NULL;
    group->sd = sd;
    group->ttl_s = ttl_s;
    group->batch_most = BATCH_MAX;
    group->deadline.fire = deadline_passed;
    group->linger.fire = end_empty;
    group->notice.fire = notice;
    TAILQ_INIT(&group->registrations);
    TAILQ_INIT(&group->work);
    LIST_INSERT_HEAD(&sd->groups, group, link);
    next(group, grant, 0);
    return group;
}

void group_join(struct group *group, struct registration *registration)
{
    timer_stop(&group->linger);
    registration->group = group;
    TAILQ_INSERT_TAIL(&group->registrations, registration, link);
    if (registration->async && !group->notice.due_ns)
        timer_start(&group->sd->loop, &group->notice, NOTICE_NS);
}

void group_leave(struct registration *registration)
{
    struct group *group = registration->group;

    if (registration->queued)
        TAILQ_REMOVE(&group->work, registration, work_link);
    registration->queued = false;
    TAILQ_REMOVE(&group->registrations, registration, link);
    registration->group = NULL;
    if (TAILQ_EMPTY(&group->registrations) && !group->ending)
        timer_start(&group->sd->loop, &group->linger, LINGER_NS);
}

bool group_owns(const struct libsd *sd, int64_t lease)
{
    const struct group *group;

    LIST_FOREACH(group, &sd->groups, link)
    {
        if (lease && group->lease == lease)
            return true;
        for (unsigned i = 0; i < PAST_LEASES; i++) {
            if (lease && group->past[i] == lease)
                return true;
        }
    }
    return false;
}

/* ---- the end of the handle ---------------------------------------------- */

static void tidy(struct timer *timer)
{
    retire_all(container_of(timer, struct group, linger));
}

void groups_end(struct libsd *sd, int timeout_ms)
{
    struct group *group;
    struct failure closed;

    failure_set(&closed, LIBSD_ECLOSED, "the handle is being closed");
    LIST_FOREACH(group, &sd->groups, link)
    {
        struct registration *registration;

        quiet(group);
        TAILQ_FOREACH(registration, &group->registrations, link)
        {
            keywatch_stop(registration);
            timer_stop(&registration->timer);
            registration_answer(registration, &closed);
        }
        if (!group->lease)
            continue;
        sd->closing++;
        revoke(group, now_ns() + timeout_ms * MS, revoke_done);
        /* Not before the request is on its way: etcd takes longer than we do. */
        group->linger.fire = tidy;
        timer_start(&sd->loop, &group->linger, TIDY_NS);
    }
    if (sd->closing == 0)
        loop_stop(&sd->loop);
}

void groups_free(struct libsd *sd)
{
    struct group *group = LIST_FIRST(&sd->groups);

    while (group) {
        struct group *following = LIST_NEXT(group, link);

        group_free(group);
        group = following;
    }
}
