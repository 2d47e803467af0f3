/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writing the keys of a group, many in one transaction.
 *
 * Each key has a transaction that decides for itself, so every request can be
 * repeated when its outcome is unknown: a first try that got through shows up
 * as a key that exists and is ours.
 *
 * Several go as nested transactions in one; a conflict over one key does not
 * touch the others then.  Not so where users have rights: etcd 3.4.23 does not
 * look at rights inside nested transactions (seen), and we don't want to write
 * what we may not.
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

static void add_compare(struct buffer *body, const char *target, libsd_slice key, const char *field,
                        int64_t number)
{
    buffer_format(body, "{\"compare\":[{\"target\":\"%s\",\"key\":", target);
    buffer_base64(body, key);
    buffer_format(body, ",\"%s\":\"%lld\"}],\"success\":[", field, (long long)number);
}

static void add_step(struct buffer *body, const struct registration *registration, int step,
                     int64_t lease)
{
    libsd_slice key = libsd_str(registration->key);

    if (step == STEP_DROP || step == STEP_HIDE) {
        add_compare(body, "LEASE", key, "lease", lease);
        buffer_text(body, "{\"request_delete_range\":{\"key\":");
        buffer_base64(body, key);
        buffer_text(body, "}}]}");
        return;
    }
    if (step == STEP_SWAP)
        add_compare(body, "MOD", key, "mod_revision", registration->mod_revision);
    else
        add_compare(body, "CREATE", key, "create_revision", 0);
    buffer_text(body, "{\"request_put\":{\"key\":");
    buffer_base64(body, key);
    buffer_text(body, ",\"value\":");
    buffer_base64(body, libsd_str(registration->value->text));
    buffer_format(
        body, ",\"lease\":\"%lld\"}}],\"failure\":[{\"request_range\":{\"key\":", (long long)lease);
    buffer_base64(body, key);
    buffer_text(body, "}}]}");
}

static void add_batch(struct buffer *body, const struct group *group)
{
    if (group->batch_count == 1) {
        add_step(body, group->batch[0], group->batch_step[0], group->batch_lease);
        return;
    }
    buffer_text(body, "{\"success\":[");
    for (size_t i = 0; i < group->batch_count; i++) {
        buffer_text(body, i ? ",{\"request_txn\":" : "{\"request_txn\":");
        add_step(body, group->batch[i], group->batch_step[i], group->batch_lease);
        buffer_text(body, "}");
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
    size_t most = group->proven && !*group->sd->options.user ? BATCH_MAX : 1;

    group->batch_lease = group->lease;
    while (group->batch_count < most && (registration = TAILQ_FIRST(&group->work))) {
        if (registration->alone && group->batch_count)
            return;
        take_from_work(group, registration);
        if (registration->alone)
            return;
    }
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

static void one_done(struct group *group, struct registration *registration, int step,
                     const struct txn_result *result, const struct answer *answer)
{
    bool stale = registration->again || group->batch_lease != group->lease;

    if (stale && !(step == STEP_DROP && registration->step == STEP_DROP)) {
        again(registration);
        return;
    }
    registration->step = STEP_NONE;
    if (step == STEP_DROP)
        registration_dropped(registration);
    else if (step == STEP_HIDE)
        registration_hidden(registration, answer->header.revision);
    else if (result->succeeded)
        registration_claimed(registration, answer->header.revision, answer->header.revision);
    else if (result->found)
        registration_found(registration, step, &answer->records.list[result->record].kv,
                           answer->header.revision);
    else
        registration_mend(registration); /* gone between reading and swapping */
}

static void all_failed(struct group *group, size_t count, const struct failure *failure)
{
    bool transient = libsd_error_is_retriable(failure->code) || failure->code == LIBSD_EPROTOCOL ||
                     failure->code == LIBSD_ELEASE;

    for (size_t i = 0; i < count; i++) {
        struct registration *registration = group->batch[i];

        if (!registration->group)
            continue;
        if (!transient && count == 1 && !registration->again) {
            int step = registration->step;

            registration->step = STEP_NONE;
            registration_refused(registration, step, failure);
        } else {
            registration->alone = !transient;
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

static void batch_done(struct call *call, struct buffer *text)
{
    struct group *group = container_of(call, struct group, txn);
    struct failure failure = call->failure;
    struct answer answer = { 0 };
    size_t count = group->batch_count;

    group->batch_count = 0;
    for (size_t i = 0; i < count; i++)
        group->batch[i]->busy = false;
    if (failure.code == 0 && answer_read(text, &answer, &failure) == 0 && count == 1) {
        answer.results[0].succeeded = answer.succeeded;
        answer.result_count = 1;
    }
    if (failure.code == 0 && answer.result_count != count)
        failure_set(&failure, LIBSD_EPROTOCOL, "%s: %zu answers to %zu operations",
                    call->failure.text, answer.result_count, count);
    if (failure.code < 0) {
        all_failed(group, count, &failure);
    } else {
        group->work_failures = 0;
        group->proven = true;
        for (size_t i = 0; i < count; i++) {
            if (group->batch[i]->group)
                one_done(group, group->batch[i], group->batch_step[i], &answer.results[i], &answer);
        }
    }
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
