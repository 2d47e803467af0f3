/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Following who leads.
 *
 *                    ┌── first of the queue ──▶ watch its key ──deleted──┐
 *   look at revision ┤                                                   │
 *     ▲              └── nobody ──▶ watch the queue ──first key──────────┤
 *     └──────────────────────── at the revision of that event ◀──────────┘
 *
 * Looking at the revision of the event, not at the present, is what makes no
 * leader be skipped, however late we are; when that revision is compacted, the
 * present is all there is to tell.
 */
#include "observe.h"

#include <stdlib.h>

#include "contest.h"
#include "internal.h"
#include "standing.h"

#define CALL_NS   (5 * S)
#define STABLE_NS (5 * S)   /* trouble that comes sooner again is met with a wait */
#define AUDIT_NS  (360 * S) /* as in follow.c */

struct libsd_observer {
    struct owner owner; /* first: what the queue knows of us */
    struct libsd *sd;
    LIST_ENTRY(libsd_observer) link;
    struct task start;
    struct task stop;
    struct buffer prefix; /* name and '/' */
    libsd_observer_callback *callback;
    void *arg;

    struct call call;
    struct timer timer;
    struct backoff backoff;
    int64_t troubled_ns;
    unsigned troubles; /* in a row */
    int64_t revision;  /* to look at; 0: the present */
    struct subscription subscription;
    struct buffer leader; /* its key */

    /* What was told last. */
    int told; /* enum libsd_leader_state */
    int64_t told_create_revision;
    int64_t told_mod_revision;
};

static void look(struct timer *timer);

static void look_later(struct libsd_observer *observer, int64_t delay_ns)
{
    observer->timer.fire = look;
    timer_start(&observer->sd->loop, &observer->timer, delay_ns);
}

/* ---- telling ------------------------------------------------------------ */

static bool tell(struct libsd_observer *observer, int state, const libsd_kv *kv, int error)
{
    struct item *item = item_new(&observer->owner);
    struct record *record = item ? records_add(&item->records) : NULL;

    if (!record)
        goto fail;
    record->type = state;
    record->error = error;
    if (kv) {
        record->kv = *kv;
        buffer_add(&item->text, kv->key.data, kv->key.size);
        buffer_add(&item->text, kv->value.data, kv->value.size);
        if (item->text.failed)
            goto fail;
        record->kv.key.data = item->text.data;
        record->kv.value.data = item->text.data + kv->key.size;
        observer->told_create_revision = kv->create_revision;
        observer->told_mod_revision = kv->mod_revision;
    }
    observer->told = state;
    queue_add(observer->sd, item);
    return true;
fail:
    item_free(item);
    return false;
}

/* What was told before is not told again: an event may be seen twice, once as
 * such and once by looking. */
static bool tell_leader(struct libsd_observer *observer, const libsd_kv *kv)
{
    bool known = observer->told == LIBSD_LEADER_ELECTED &&
                 observer->told_create_revision == kv->create_revision &&
                 observer->told_mod_revision >= kv->mod_revision;

    return known || tell(observer, LIBSD_LEADER_ELECTED, kv, 0);
}

static bool tell_none(struct libsd_observer *observer)
{
    return observer->told == LIBSD_LEADER_NONE || tell(observer, LIBSD_LEADER_NONE, NULL, 0);
}

static void tell_unknown(struct libsd_observer *observer, const struct failure *failure)
{
    handle_background(observer->sd, failure);
    if (observer->told != LIBSD_LEADER_UNKNOWN)
        tell(observer, LIBSD_LEADER_UNKNOWN, NULL, failure->code);
}

/* ---- watching ----------------------------------------------------------- */

static void look_at(struct libsd_observer *observer, int64_t revision)
{
    stream_unsubscribe(observer->sd, &observer->subscription);
    observer->revision = revision;
    look_later(observer, 0);
}

static bool leader_events(struct subscription *subscription, struct records *records,
                          struct buffer *text, bool complete)
{
    struct libsd_observer *observer =
        container_of(subscription, struct libsd_observer, subscription);

    (void)text;
    (void)complete;
    for (size_t i = 0; i < records->count; i++) {
        const struct record *record = &records->list[i];

        if (record->type == LIBSD_EVENT_DELETE) {
            look_at(observer, record->kv.mod_revision);
            return true;
        }
        if (!tell_leader(observer, &record->kv))
            return false;
    }
    return true;
}

static bool queue_events(struct subscription *subscription, struct records *records,
                         struct buffer *text, bool complete)
{
    struct libsd_observer *observer =
        container_of(subscription, struct libsd_observer, subscription);

    (void)text;
    (void)complete;
    for (size_t i = 0; i < records->count; i++) {
        if (records->list[i].type == LIBSD_EVENT_PUT) {
            look_at(observer, records->list[i].kv.mod_revision);
            break;
        }
    }
    return true;
}

/* In sight again: told from where we were. */
static void on_live(struct subscription *subscription)
{
    struct libsd_observer *observer =
        container_of(subscription, struct libsd_observer, subscription);

    if (observer->told == LIBSD_LEADER_UNKNOWN)
        look_at(observer, subscription->next - 1);
}

static void on_down(struct subscription *subscription, const struct failure *failure)
{
    tell_unknown(container_of(subscription, struct libsd_observer, subscription), failure);
}

static void on_lost(struct subscription *subscription, const struct failure *failure)
{
    struct libsd_observer *observer =
        container_of(subscription, struct libsd_observer, subscription);
    int64_t now = now_ns();

    handle_log(observer->sd, LIBSD_LOG_INFO, "looking for the leader again: %s", failure->text);
    if (now - observer->troubled_ns > STABLE_NS)
        observer->troubles = 0;
    observer->troubled_ns = now;
    observer->revision = 0;
    look_later(observer, observer->troubles ? backoff_ns(observer->troubles - 1) : 0);
    observer->troubles++;
}

static void audit(struct timer *timer)
{
    look_at(container_of(timer, struct libsd_observer, timer), 0);
}

static void watch_from(struct libsd_observer *observer, bool queue, int64_t revision)
{
    struct subscription *subscription = &observer->subscription;
    const struct buffer *key = queue ? &observer->prefix : &observer->leader;

    subscription->span.key = libsd_bytes(key->data, key->size);
    subscription->span.prefix = queue;
    subscription->on_events = queue ? queue_events : leader_events;
    subscription->next = revision;
    stream_subscribe(observer->sd, subscription);
    observer->timer.fire = audit;
    timer_start(&observer->sd->loop, &observer->timer, jitter(AUDIT_NS));
}

/* ---- looking ------------------------------------------------------------ */

static bool found(struct libsd_observer *observer, const struct answer *answer)
{
    int64_t revision = observer->revision ? observer->revision : answer->header.revision;
    const libsd_kv *kv = answer->records.count ? &answer->records.list[0].kv : NULL;

    observer->leader.size = 0;
    if (kv)
        buffer_add(&observer->leader, kv->key.data, kv->key.size);
    if (observer->leader.failed || !(kv ? tell_leader(observer, kv) : tell_none(observer))) {
        buffer_free(&observer->leader);
        return false;
    }
    watch_from(observer, !kv, revision + 1);
    return true;
}

static void look_done(struct call *call, struct buffer *text)
{
    struct libsd_observer *observer = container_of(call, struct libsd_observer, call);
    struct failure failure = call->failure;
    struct answer answer = { 0 };

    if (failure.code == 0 && answer_read(text, &answer, &failure) == 0 && !found(observer, &answer))
        failure_set(&failure, LIBSD_ENOMEM, "out of memory");
    records_free(&answer.records);
    if (failure.code == 0) {
        observer->backoff = (struct backoff){ 0 };
    } else if (failure.code == LIBSD_ECOMPACTED && observer->revision) {
        observer->revision = 0;
        look_later(observer, 0);
    } else {
        tell_unknown(observer, &failure);
        look_later(observer, backoff_next_ns(&observer->backoff, &failure));
    }
}

static void look(struct timer *timer)
{
    struct libsd_observer *observer = container_of(timer, struct libsd_observer, timer);
    struct call *call = &observer->call;

    call->path = "/kv/range";
    call->deadline_ns = now_ns() + CALL_NS;
    call->done = look_done;
    standing_first_body(&call->body, libsd_bytes(observer->prefix.data, observer->prefix.size),
                        observer->revision);
    call_start(call);
}

/* ---- beginning and end -------------------------------------------------- */

static void observer_deliver(struct owner *owner, const struct record *record)
{
    struct libsd_observer *observer = container_of(owner, struct libsd_observer, owner);
    bool has_leader = record->type == LIBSD_LEADER_ELECTED;

    observer->callback(record->type, has_leader ? &record->kv : NULL, record->error, observer->arg);
}

static void observer_free(struct owner *owner)
{
    struct libsd_observer *observer = container_of(owner, struct libsd_observer, owner);

    buffer_free(&observer->prefix);
    buffer_free(&observer->leader);
    free(observer);
}

static void observer_start(struct task *task)
{
    struct libsd_observer *observer = container_of(task, struct libsd_observer, start);

    LIST_INSERT_HEAD(&observer->sd->observers, observer, link);
    look(&observer->timer);
}

static void observer_stop(struct task *task)
{
    struct libsd_observer *observer = container_of(task, struct libsd_observer, stop);

    call_cancel(&observer->call);
    timer_stop(&observer->timer);
    stream_unsubscribe(observer->sd, &observer->subscription);
    LIST_REMOVE(observer, link);
    owner_drop(&observer->owner);
}

void observers_end(struct libsd *sd)
{
    struct libsd_observer *observer;

    while ((observer = LIST_FIRST(&sd->observers)))
        observer_stop(&observer->stop);
}

/* ---- application -------------------------------------------------------- */

int libsd_observe(libsd *sd, const char *name, libsd_observer_callback *callback, void *arg,
                  libsd_observer **observer)
{
    struct libsd_observer *made;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (!observer || !callback || !lock_is_name(name))
        return LIBSD_EINVAL;
    *observer = NULL;
    made = calloc(1, sizeof *made);
    if (!made)
        return LIBSD_ENOMEM;
    owner_init(&made->owner, observer_deliver, observer_free);
    buffer_format(&made->prefix, "%s/", name);
    if (made->prefix.failed) {
        owner_drop(&made->owner);
        return LIBSD_ENOMEM;
    }
    made->sd = made->call.sd = sd;
    made->callback = callback;
    made->arg = arg;
    made->start.run = observer_start;
    made->stop.run = observer_stop;
    made->subscription.on_live = on_live;
    made->subscription.on_down = on_down;
    made->subscription.on_lost = on_lost;
    /* Before the start: a callback may want to close it. */
    *observer = made;
    if (loop_post(&sd->loop, &made->start))
        return 0;
    *observer = NULL;
    owner_drop(&made->owner);
    return LIBSD_ECLOSED;
}

void libsd_observe_close(libsd_observer *observer)
{
    /* In a forked child the observer is freed with the handle. */
    if (!observer || handle_check(observer->sd) < 0)
        return;
    owner_close(observer->sd, &observer->owner);
    /* A handle that is being closed ends its observers itself. */
    loop_post(&observer->sd->loop, &observer->stop);
}
