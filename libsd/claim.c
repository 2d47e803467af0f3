/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writing the keys of a group, many in one transaction.
 *
 * Each step has a condition on its key, and a transaction does all its steps if
 * all conditions hold; else it does nothing and reads the keys.  Then each step
 * whose condition did not hold is told what is there, which settles it, and the
 * others are tried again without it.  So a conflict over one key costs the
 * others one round trip, and every transaction brings at least one step on.
 *
 * Flat, because etcd takes up to twice the time for nested transactions, and
 * because 3.4.23 does not look at users' rights inside those (seen).
 *
 * Every request can be repeated when its outcome is unknown: a first try that
 * got through shows up as a key that exists and is ours.
 */
#include "group.h"
#include "internal.h"

#define TXN_NS (5 * S)

static void send_batch(struct group *group);

static void work_timer(struct timer *timer)
{
    send_batch(container_of(timer, struct group, work_timer));
}

void claim_start(struct group *group)
{
    if (group->txn.active || group->work_timer.due_ns || TAILQ_EMPTY(&group->work))
        return;
    /* Not before the end of the turn: what comes together goes together. */
    group->work_timer.fire = work_timer;
    timer_start(&group->sd->loop, &group->work_timer, 0);
}

static void unqueue(struct registration *registration)
{
    if (registration->queued)
        TAILQ_REMOVE(&registration->group->work, registration, work_link);
    registration->queued = false;
    registration->step = STEP_NONE;
}

void claim_queue(struct registration *registration, int step)
{
    struct group *group = registration->group;

    timer_stop(&registration->timer);
    if (registration->withheld && step != STEP_DROP) {
        if (registration->hidden) {
            unqueue(registration);
            return;
        }
        step = STEP_HIDE;
    }
    registration->step = step;
    if (registration->busy)
        registration->again = true;
    else if (!registration->queued)
        TAILQ_INSERT_TAIL(&group->work, registration, work_link);
    registration->queued = !registration->busy;
    claim_start(group);
}

/* ---- request ------------------------------------------------------------ */

static bool deletes(int step)
{
    return step == STEP_DROP || step == STEP_HIDE;
}

/* What must be so for the step to be done; step_holds() says the same. */
static void add_condition(struct buffer *body, const struct registration *registration, int step,
                          int64_t lease)
{
    const char *target = "CREATE";
    const char *field = "create_revision";
    int64_t number = 0;

    if (deletes(step)) {
        target = "LEASE";
        field = "lease";
        number = lease;
    } else if (step == STEP_SWAP) {
        target = "MOD";
        field = "mod_revision";
        number = registration->mod_revision;
    }
    buffer_format(body, "{\"target\":\"%s\",\"key\":", target);
    buffer_base64(body, libsd_str(registration->key));
    buffer_format(body, ",\"%s\":\"%lld\"}", field, (long long)number);
}

static void add_deed(struct buffer *body, const struct registration *registration, int step,
                     int64_t lease)
{
    buffer_text(body, deletes(step) ? "{\"request_delete_range\":{\"key\":"
                                    : "{\"request_put\":{\"key\":");
    buffer_base64(body, libsd_str(registration->key));
    if (!deletes(step)) {
        buffer_text(body, ",\"value\":");
        buffer_base64(body, libsd_str(registration->value->text));
        buffer_format(body, ",\"lease\":\"%lld\"", (long long)lease);
    }
    buffer_text(body, "}}");
}

static void add_reading(struct buffer *body, const struct registration *registration, int step,
                        int64_t lease)
{
    (void)step;
    (void)lease;
    buffer_text(body, "{\"request_range\":{\"key\":");
    buffer_base64(body, libsd_str(registration->key));
    buffer_text(body, "}}");
}

static void add_batch(struct buffer *body, const struct group *group)
{
    static const struct {
        const char *begin;
        void (*add)(struct buffer *, const struct registration *, int, int64_t);
    } parts[] = {
        { "{\"compare\":[", add_condition },
        { "],\"success\":[", add_deed },
        { "],\"failure\":[", add_reading },
    };

    for (size_t part = 0; part < sizeof parts / sizeof *parts; part++) {
        buffer_text(body, parts[part].begin);
        for (size_t i = 0; i < group->batch_count; i++) {
            if (i)
                buffer_text(body, ",");
            parts[part].add(body, group->batch[i], group->batch_step[i], group->batch_lease);
        }
    }
    buffer_text(body, "]}");
}

static void take_from_work(struct group *group, struct registration *registration)
{
    TAILQ_REMOVE(&group->work, registration, work_link);
    registration->queued = false;
    registration->busy = true;
    registration->again = false;
    if (registration->step != STEP_DROP && registration->step != STEP_HIDE)
        registration->hidden = false;
    owner_keep(&registration->owner);
    group->batch_step[group->batch_count] = registration->step;
    group->batch[group->batch_count++] = registration;
}

static void fill_batch(struct group *group)
{
    struct registration *registration;

    group->batch_lease = group->lease;
    while (group->batch_count < group->batch_most && (registration = TAILQ_FIRST(&group->work)))
        take_from_work(group, registration);
}

/* Without a lease there is no key of ours to delete. */
static void drop_unheld(struct group *group)
{
    struct registration *registration = TAILQ_FIRST(&group->work);

    while (registration) {
        struct registration *following = TAILQ_NEXT(registration, work_link);

        if (registration->step == STEP_DROP) {
            registration_dropped(registration);
        } else if (registration->step == STEP_HIDE) {
            unqueue(registration);
            registration_hidden(registration, 0);
        }
        registration = following;
    }
}

static void batch_done(struct call *call, struct buffer *text);

static void send_batch(struct group *group)
{
    if (!group->held) {
        drop_unheld(group);
        return;
    }
    fill_batch(group);
    if (group->batch_count == 0)
        return;
    group->txn.sd = group->sd;
    group->txn.path = "/kv/txn";
    group->txn.deadline_ns = now_ns() + TXN_NS;
    group->txn.done = batch_done;
    add_batch(&group->txn.body, group);
    call_start(&group->txn);
}

/* ---- answer ------------------------------------------------------------- */

/* Puts one back to be tried again, from the start: what was known of its key
 * is old. */
static void again(struct registration *registration)
{
    claim_queue(registration, registration->step == STEP_DROP ? STEP_DROP : STEP_CLAIM);
}

/* Whether the condition of a step holds for what was read. */
static bool step_holds(const struct group *group, const struct registration *registration, int step,
                       const libsd_kv *found)
{
    if (deletes(step))
        return found && found->lease == group->batch_lease;
    if (step == STEP_SWAP)
        return found && found->mod_revision == registration->mod_revision;
    return !found;
}

static const libsd_kv *found_by(const struct answer *answer, size_t i)
{
    const struct txn_result *result = &answer->results[i];

    return result->found ? &answer->records.list[result->record].kv : NULL;
}

/* done: the transaction was; else found is what its key is, NULL if nothing. */
static void one_done(struct group *group, struct registration *registration, int step, bool done,
                     const libsd_kv *found, int64_t revision)
{
    bool stale = registration->again || group->batch_lease != group->lease;

    if (stale && !(step == STEP_DROP && registration->step == STEP_DROP)) {
        again(registration);
        return;
    }
    if (!done && step_holds(group, registration, step, found)) {
        claim_queue(registration, step); /* another one was in the way */
        return;
    }
    registration->step = STEP_NONE;
    if (step == STEP_DROP)
        registration_dropped(registration);
    else if (step == STEP_HIDE)
        registration_hidden(registration, revision);
    else if (done)
        registration_claimed(registration, revision, revision);
    else if (found)
        registration_found(registration, step, found, revision);
    else
        registration_mend(registration); /* gone between reading and swapping */
}

static void all_done(struct group *group, size_t count, const struct answer *answer)
{
    group->work_failures = 0;
    group->failure.code = 0;
    group->batch_most = group->batch_most < BATCH_MAX / 2 ? 2 * group->batch_most : BATCH_MAX;
    for (size_t i = 0; i < count; i++) {
        if (group->batch[i]->group)
            one_done(group, group->batch[i], group->batch_step[i], answer->succeeded,
                     found_by(answer, i), answer->header.revision);
    }
}

static void all_failed(struct group *group, size_t count, const struct failure *failure)
{
    bool transient = libsd_error_is_retriable(failure->code) || failure->code == LIBSD_EPROTOCOL ||
                     failure->code == LIBSD_ELEASE;

    /* One of them may be why, or etcd takes fewer or less at once. */
    if (!transient && count > 1)
        group->batch_most = count / 2;
    for (size_t i = 0; i < count; i++) {
        struct registration *registration = group->batch[i];

        if (!registration->group)
            continue;
        if (!transient && count == 1 && !registration->again) {
            int step = registration->step;

            registration->step = STEP_NONE;
            registration_refused(registration, step, failure);
        } else {
            again(registration);
        }
    }
    if (failure->code == LIBSD_ELEASE && group->batch_lease == group->lease)
        group_lease_lost(group);
    if (!transient)
        return;
    group->failure = *failure;
    handle_background(group->sd, failure);
    group->work_timer.fire = work_timer;
    timer_start(&group->sd->loop, &group->work_timer,
                failure->code == LIBSD_ELEASE ? 0 : backoff_ns(group->work_failures++));
}

/* Whether an answer is one to the batch, and not to be asked for for ever. */
static int check_answer(const struct group *group, size_t count, const struct answer *answer,
                        struct failure *failure)
{
    const char *place = group->txn.failure.text;
    bool settles = answer->succeeded;

    if (answer->result_count != count)
        return failure_set(failure, LIBSD_EPROTOCOL, "%s: %zu answers to %zu operations", place,
                           answer->result_count, count);
    for (size_t i = 0; i < count && !settles; i++)
        settles = !step_holds(group, group->batch[i], group->batch_step[i], found_by(answer, i));
    if (!settles)
        return failure_set(failure, LIBSD_EPROTOCOL,
                           "%s: refused %zu operations, though all conditions hold", place, count);
    return 0;
}

static void batch_done(struct call *call, struct buffer *text)
{
    struct group *group = container_of(call, struct group, txn);
    struct failure failure = call->failure;
    struct answer answer = { 0 };
    size_t count = group->batch_count;

    group->batch_count = 0;
    for (size_t i = 0; i < count; i++)
        group->batch[i]->busy = false;
    if (failure.code < 0 || answer_read(text, &answer, &failure) < 0 ||
        check_answer(group, count, &answer, &failure) < 0)
        all_failed(group, count, &failure);
    else
        all_done(group, count, &answer);
    records_free(&answer.records);
    for (size_t i = 0; i < count; i++)
        owner_drop(&group->batch[i]->owner);
    claim_start(group);
}

void claim_stop(struct group *group)
{
    call_cancel(&group->txn);
    timer_stop(&group->work_timer);
    for (size_t i = 0; i < group->batch_count; i++)
        owner_drop(&group->batch[i]->owner);
    group->batch_count = 0;
}
