/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What becomes of one registration: see the drawing in registration.h.
 */
#include "registration.h"

#include "group.h"
#include "internal.h"
#include "json.h"

#define STABLE_NS   (5 * S)  /* what was lost sooner is mended with a wait */
#define RECHECK_NS  (10 * S) /* of a conflict, besides watching the key */
#define REFUSED_NS  (2 * S)  /* doubled up to */
#define REFUSED_MAX 4        /* so many times */

/* ---- telling ------------------------------------------------------------ */

static void set_state(struct registration *registration, int state, int error)
{
    struct item *item;

    if (registration->state == state)
        return;
    registration->state = state;
    handle_log(registration->sd, state == LIBSD_REGISTERED ? LIBSD_LOG_INFO : LIBSD_LOG_WARNING,
               "%s: %s%s%s", registration->key,
               state == LIBSD_REGISTERED ? "registered"
               : state == LIBSD_LOST     ? "registration lost"
                                         : "held by another owner",
               error ? ": " : "", error ? libsd_strerror(error) : "");
    if (!registration->callback)
        return;
    item = item_new(&registration->owner);
    if (item && item_note(item, state, 0, error, NULL))
        queue_add(registration->sd, item);
    else
        item_free(item);
}

void registration_answer(struct registration *registration, const struct failure *failure)
{
    struct pending *pending = registration->pending;

    if (!pending)
        return;
    registration->pending = NULL;
    if (failure->code < 0)
        pending->failure = *failure;
    if (--pending->left)
        return;
    timer_stop(&pending->timer);
    waiter_finish(&pending->waiter, &pending->failure);
    waiter_drop(&pending->waiter);
}

void registration_retire(struct registration *registration)
{
    struct failure closed;

    failure_set(&closed, LIBSD_ECLOSED, "the registration has ended");
    registration_answer(registration, &closed);
    atomic_store_explicit(&registration->owner.closed, true, memory_order_release);
    timer_stop(&registration->timer);
    keywatch_stop(registration);
    registry_remove(registration);
    group_leave(registration);
    owner_drop(&registration->owner);
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
    set_state(registration, LIBSD_REGISTERED, 0);
    registration_answer(registration, &success);
    keywatch_start(registration, store_revision);
}

static bool same_value(const struct registration *registration, const libsd_kv *kv)
{
    return slice_is(kv->value, registration->value);
}

/* Weights aside. */
static bool same_address(const struct registration *registration, const libsd_kv *kv)
{
    const libsd_instance *ours = &registration->address;
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
    bool fail = registration->pending && registration->takeover == LIBSD_TAKEOVER_FAIL;

    failure_set(&failure, LIBSD_ECONFLICT, "%s is held by %.*s, lease %lld", registration->key,
                kv->value.size < 60 ? (int)kv->value.size : 60, (const char *)kv->value.data,
                (long long)kv->lease);
    handle_background(registration->sd, &failure);
    if (registration->pending)
        registration->pending->conflict = failure;
    set_state(registration, LIBSD_CONFLICTED, LIBSD_ECONFLICT);
    if (fail) {
        registration_answer(registration, &failure);
        registration_retire(registration);
    }
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

void registration_refused(struct registration *registration, const struct failure *failure)
{
    unsigned level = registration->tries < REFUSED_MAX ? registration->tries++ : REFUSED_MAX;

    handle_background(registration->sd, failure);
    if (registration->pending) {
        registration_answer(registration, failure);
        registration_retire(registration);
        return;
    }
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

    /* Our own put is often seen before its answer. */
    if (kv->mod_revision <= registration->mod_revision ||
        (ours && kv->lease == registration->group->lease && same_value(registration, kv)))
        return;
    if (record->type == LIBSD_EVENT_PUT && kv->lease && !ours &&
        registration->state == LIBSD_REGISTERED)
        registration->displaced_by = kv->lease;
    registration_lost(registration,
                      record->type == LIBSD_EVENT_PUT ? LIBSD_ECONFLICT : LIBSD_ENOTFOUND);
    registration_look(registration);
}
