/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What becomes of one registration: see the drawing in registration.h.
 */
#include "registration.h"

#include "group.h"
#include "internal.h"
#include "json.h"
#include "pending.h"

#define STABLE_NS   (5 * S)  /* what was lost sooner is mended with a wait */
#define RECHECK_NS  (10 * S) /* of a conflict, besides watching the key */
#define REFUSED_NS  (2 * S)  /* doubled up to */
#define REFUSED_MAX 4        /* so many times */

/* ---- telling ------------------------------------------------------------ */

/* detail: NULL for what the background met last. */
static void tell(struct registration *registration, const char *detail)
{
    struct item *item;

    if (!registration->untold)
        return;
    item = item_new(&registration->owner);
    registration->untold =
        !item || !item_note(item, registration->state, 0, registration->error, detail);
    if (registration->untold)
        item_free(item);
    else
        queue_add(registration->sd, item);
}

void registration_tell(struct registration *registration)
{
    tell(registration, NULL);
}

static void set_state_because(struct registration *registration, int state, int error,
                              const char *detail)
{
    static const char *const words[] = {
        [LIBSD_REGISTERED] = "registered",
        [LIBSD_LOST] = "registration lost",
        [LIBSD_CONFLICTED] = "held by another owner",
        [LIBSD_PAUSED] = "paused",
        [LIBSD_UNHEALTHY] = "unhealthy, taken out",
        [LIBSD_FAILED] = "not registered",
        [LIBSD_WAITING] = "not registered yet",
    };

    if (registration->state == state && (state != LIBSD_WAITING || registration->error == error))
        return;
    registration->state = state;
    registration->error = error;
    registration->untold = registration->callback != NULL;
    handle_log(registration->sd,
               state == LIBSD_REGISTERED || state == LIBSD_PAUSED ? LIBSD_LOG_INFO
                                                                  : LIBSD_LOG_WARNING,
               "%s: %s%s%s", registration->key, words[state], error ? ": " : "",
               error ? libsd_strerror(error) : "");
    tell(registration, detail);
}

static void set_state(struct registration *registration, int state, int error)
{
    set_state_because(registration, state, error, NULL);
}

bool registration_is_waiting(const struct registration *registration)
{
    return registration->async && registration->step != STEP_DROP &&
           (registration->state == 0 || registration->state == LIBSD_WAITING);
}

void registration_wait(struct registration *registration, const struct failure *failure)
{
    set_state_because(registration, LIBSD_WAITING, failure->code, failure->text);
}

void registration_answer(struct registration *registration, const struct failure *failure)
{
    struct pending *pending = registration->pending;

    if (!pending)
        return;
    registration->pending = NULL;
    if (failure->code < 0)
        pending->failure = *failure;
    if (--pending->left == 0)
        pending_end(pending, &pending->failure);
}

static void take_out(struct registration *registration)
{
    timer_stop(&registration->timer);
    if (registration->check)
        check_stop(registration->check);
    keywatch_stop(registration);
    registry_remove(registration);
    group_leave(registration);
    owner_drop(&registration->owner);
}

void registration_retire(struct registration *registration)
{
    struct failure closed;

    failure_set(&closed, LIBSD_ECLOSED, "the registration has ended");
    registration_answer(registration, &closed);
    atomic_store_explicit(&registration->owner.closed, true, memory_order_release);
    take_out(registration);
}

void registration_yield(struct registration *registration)
{
    struct failure closed;

    failure_set(&closed, LIBSD_ECLOSED, "the registration has ended");
    registration_answer(registration, &closed);
    atomic_store_explicit(&registration->owner.closed, true, memory_order_release);
    if (registration->check)
        check_stop(registration->check);
    keywatch_stop(registration);
    registry_remove(registration);
    claim_queue(registration, STEP_DROP);
}

/* The end of one that never stood: whoever made it is told, by the call that
 * waits or else by the callback, which may still run afterwards. */
static void give_up(struct registration *registration, const struct failure *failure)
{
    bool made_by_call = registration->pending && registration->pending->adds;

    registration_answer(registration, failure);
    if (made_by_call) {
        registration_retire(registration);
        return;
    }
    set_state_because(registration, LIBSD_FAILED, failure->code, failure->text);
    take_out(registration);
}

/* ---- claiming ----------------------------------------------------------- */

static void claim_timer(struct timer *timer)
{
    claim_queue(container_of(timer, struct registration, timer), STEP_CLAIM);
}

static void claim_later(struct registration *registration, int64_t delay_ns)
{
    registration->timer.fire = claim_timer;
    timer_start(&registration->sd->loop, &registration->timer, delay_ns);
}

void registration_mend(struct registration *registration)
{
    int64_t now = now_ns();

    /* Two who overwrite each other, or something that deletes the key each
     * time, must not keep etcd busy. */
    if (now - registration->mended_ns > STABLE_NS)
        registration->tries = 0;
    registration->mended_ns = now;
    if (registration->tries++ == 0)
        claim_queue(registration, STEP_CLAIM);
    else
        claim_later(registration, backoff_ns(registration->tries - 2));
}

void registration_claimed(struct registration *registration, int64_t mod_revision,
                          int64_t store_revision)
{
    const struct failure success = { 0 };

    registration->mod_revision = mod_revision;
    registration->was_registered = true;
    registration->fresh = false;
    value_free(registration->previous);
    registration->previous = NULL;
    set_state(registration, LIBSD_REGISTERED, 0);
    registration_answer(registration, &success);
    keywatch_start(registration, store_revision);
}

static bool same_value(const struct registration *registration, const libsd_kv *kv)
{
    return slice_is(kv->value, registration->value->text);
}

/* Weights aside. */
static bool same_address(const struct registration *registration, const libsd_kv *kv)
{
    const libsd_instance *ours = &registration->value->instance;
    libsd_instance theirs;

    return libsd_instance_parse(NULL, kv->value, &theirs, sizeof theirs, NULL, 0) == 0 &&
           ours->family == theirs.family && ours->port == theirs.port &&
           memcmp(ours->address, theirs.address, sizeof ours->address) == 0 &&
           strcasecmp(ours->host, theirs.host) == 0;
}

/* Whether the key that was found may be overwritten. */
static bool may_take(const struct registration *registration, const libsd_kv *kv)
{
    if (group_owns(registration->sd, kv->lease) || registration->takeover == LIBSD_TAKEOVER_FORCE)
        return true;
    /* It was ours, and whoever overwrote it does not keep it alive. */
    if (kv->lease == 0 && registration->was_registered)
        return true;
    /* As after a restart; unless that lease took it from us: of two who claim
     * one address the newer has it, or they would take turns for ever. */
    return same_address(registration, kv) &&
           (kv->lease == 0 || kv->lease != registration->displaced_by);
}

static void conflict(struct registration *registration, const libsd_kv *kv)
{
    struct failure failure;

    failure_set(&failure, LIBSD_ECONFLICT, "%s is held by %.*s, lease %lld", registration->key,
                kv->value.size < 60 ? (int)kv->value.size : 60, (const char *)kv->value.data,
                (long long)kv->lease);
    handle_background(registration->sd, &failure);
    if (registration->fresh && registration->takeover == LIBSD_TAKEOVER_FAIL) {
        give_up(registration, &failure);
        return;
    }
    if (registration->pending)
        registration->pending->conflict = failure;
    set_state_because(registration, LIBSD_CONFLICTED, LIBSD_ECONFLICT, failure.text);
}

void registration_found(struct registration *registration, int step, const libsd_kv *kv,
                        int64_t store_revision)
{
    if (kv->lease == registration->group->lease && same_value(registration, kv)) {
        registration_claimed(registration, kv->mod_revision, store_revision);
        return;
    }
    if (may_take(registration, kv) && step == STEP_SWAP) {
        registration_mend(registration); /* it changed under our hands */
        return;
    }
    if (may_take(registration, kv)) {
        registration->mod_revision = kv->mod_revision;
        claim_queue(registration, STEP_SWAP);
        return;
    }
    conflict(registration, kv);
    if (!registration->group)
        return;
    keywatch_start(registration, store_revision);
    claim_later(registration, jitter(RECHECK_NS));
}

void registration_refused(struct registration *registration, int step,
                          const struct failure *failure)
{
    unsigned level = registration->tries < REFUSED_MAX ? registration->tries++ : REFUSED_MAX;
    /* A call that gave up was told that its update will be written: it will, when
     * etcd takes the user again. */
    bool is_promised = !registration->pending && failure->code == LIBSD_EAUTH;

    handle_background(registration->sd, failure);
    if (step == STEP_DROP) {
        registration_answer(registration, failure);
        registration_retire(registration);
        return;
    }
    if (registration->previous && !is_promised) {
        /* Of an update, only its call is told: what was there still is, or still
         * waits. */
        registration_answer(registration, failure);
        value_free(registration->value);
        registration->value = registration->previous;
        registration->previous = NULL;
        if (registration->check)
            check_move(registration->check, &registration->value->instance);
        claim_queue(registration, STEP_CLAIM);
        return;
    }
    if (registration->fresh) {
        give_up(registration, failure);
        return;
    }
    registration_answer(registration, failure);
    registration_lost(registration, failure->code);
    claim_later(registration, jitter(REFUSED_NS << level));
}

void registration_dropped(struct registration *registration)
{
    const struct failure success = { 0 };

    registration_answer(registration, &success);
    registration_retire(registration);
}

void registration_lost(struct registration *registration, int error)
{
    if (registration->state == LIBSD_REGISTERED && registration->step != STEP_DROP)
        set_state(registration, LIBSD_LOST, error);
}

/* ---- what the application does ------------------------------------------ */

void registration_change(struct registration *registration, struct value *value)
{
    const struct failure success = { 0 };
    bool written = registration->state == LIBSD_REGISTERED && registration->step == STEP_NONE &&
                   !registration->busy;

    if (registration->previous)
        value_free(registration->value);
    else
        registration->previous = registration->value;
    registration->value = value;
    if (registration->check)
        check_move(registration->check, &value->instance);
    if (registration->withheld && registration->hidden)
        registration_answer(registration, &success);
    else
        claim_queue(registration, written ? STEP_SWAP : STEP_CLAIM);
}

void registration_hidden(struct registration *registration, int64_t store_revision)
{
    const struct failure success = { 0 };

    registration->hidden = true;
    registration->fresh = false;
    set_state(registration,
              registration->withheld & WITHHELD_PAUSED ? LIBSD_PAUSED : LIBSD_UNHEALTHY, 0);
    registration_answer(registration, &success);
    /* A put whose answer was lost may come through yet. */
    if (store_revision) {
        registration->mod_revision = store_revision;
        keywatch_start(registration, store_revision);
    }
}

void registration_withhold(struct registration *registration, enum withheld reason, bool withhold)
{
    const struct failure success = { 0 };
    unsigned before = registration->withheld;

    registration->withheld = withhold ? before | reason : before & ~(unsigned)reason;
    if (registration->step == STEP_DROP)
        return;
    if (before == 0 && registration->withheld == 0) {
        registration_answer(registration, &success);
        return;
    }
    if (registration->withheld == 0)
        registration->tries = 0;
    claim_queue(registration, STEP_CLAIM); /* or whatever is due instead */
    if (registration->withheld && registration->hidden)
        registration_hidden(registration, 0);
}

/* ---- what others do to the key ------------------------------------------ */

void registration_look(struct registration *registration)
{
    if (registration->step == STEP_DROP)
        return;
    if (registration->busy)
        registration->again = true;
    else
        registration_mend(registration);
}

void registration_key_changed(struct registration *registration, const struct record *record)
{
    const libsd_kv *kv = &record->kv;
    bool ours = record->type == LIBSD_EVENT_PUT && group_owns(registration->sd, kv->lease);

    if (kv->mod_revision <= registration->mod_revision)
        return;
    if (registration->withheld) {
        if (ours && registration->hidden) {
            registration->hidden = false;
            claim_queue(registration, STEP_CLAIM);
        }
        return;
    }
    /* Our own put is often seen before its answer, and before the next one. */
    if (ours && (registration->queued || registration->busy))
        return;
    if (ours && kv->lease == registration->group->lease && same_value(registration, kv))
        return;
    if (record->type == LIBSD_EVENT_PUT && kv->lease && !ours &&
        registration->state == LIBSD_REGISTERED)
        registration->displaced_by = kv->lease;
    registration_lost(registration,
                      record->type == LIBSD_EVENT_PUT ? LIBSD_ECONFLICT : LIBSD_ENOTFOUND);
    registration_look(registration);
}
