/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading all keys again beside the watch; the states and rules are in audit.h.
 *
 * Pages are read as the store is at that moment, not all at one revision: an
 * audit takes its time, and etcd may compact in the meantime.
 */
#include "audit.h"

#include <stdlib.h>

#include "internal.h"
#include "json.h"
#include "watch.h"

#define PAUSES      9         /* so many times as long as the page took */
#define LOOK_NS     (20 * MS) /* has the watch got as far as the page? */
#define LATE_NS     (10 * S)  /* it never will */
#define SETTLE_NS   (500 * MS)
#define PUT_OFF_NS  (30 * S)
#define TOUCHED_MAX ((size_t)1 << 20)

static void step(struct timer *timer);

static void arm(struct libsd_watch *watch, int64_t delay_ns)
{
    watch->timer.fire = step;
    timer_start(&watch->sd->loop, &watch->timer, delay_ns);
}

static void forget_page(struct audit *audit)
{
    item_free(audit->page);
    audit->page = NULL;
    buffer_free(&audit->touched);
    audit->touched_count = 0;
}

void audit_stop(struct libsd_watch *watch)
{
    struct audit *audit = &watch->audit;

    if (audit->state == AUDIT_ASKED)
        call_cancel(&watch->call);
    if (watch->timer.fire == step)
        timer_stop(&watch->timer);
    forget_page(audit);
    audit->state = AUDIT_RESTING;
}

void audit_later(struct libsd_watch *watch)
{
    /* Reconnects must not put it off for ever. */
    if (watch->audit.state == AUDIT_RESTING && !watch->timer.due_ns)
        arm(watch, jitter(watch->sd->audit_ns));
}

static void put_off(struct libsd_watch *watch, const char *why)
{
    int64_t audit_ns = watch->sd->audit_ns;

    handle_log(watch->sd, LIBSD_LOG_DEBUG, "audit put off: %s", why);
    audit_stop(watch);
    arm(watch, jitter(audit_ns < PUT_OFF_NS ? audit_ns : PUT_OFF_NS));
}

/* ---- rule A1 ------------------------------------------------------------ */

void audit_touch(struct libsd_watch *watch, const struct records *records)
{
    struct audit *audit = &watch->audit;

    if (audit->state != AUDIT_ASKED && audit->state != AUDIT_HELD)
        return;
    for (size_t i = 0; i < records->count && audit->touched.size <= TOUCHED_MAX; i++) {
        libsd_slice key = records->list[i].kv.key;

        buffer_add(&audit->touched, &key.size, sizeof key.size);
        buffer_add(&audit->touched, key.data, key.size);
        audit->touched_count++;
    }
}

static int by_key(const void *a, const void *b)
{
    return slice_compare(*(const libsd_slice *)a, *(const libsd_slice *)b);
}

/* The keys in order; NULL when out of memory. */
static libsd_slice *touched_keys(const struct audit *audit)
{
    libsd_slice *keys = calloc(audit->touched_count + 1, sizeof *keys);
    const char *at = audit->touched.data;

    if (!keys || audit->touched.failed) {
        free(keys);
        return NULL;
    }
    for (size_t i = 0; i < audit->touched_count; i++) {
        memcpy(&keys[i].size, at, sizeof keys[i].size);
        keys[i].data = at + sizeof keys[i].size;
        at += sizeof keys[i].size + keys[i].size;
    }
    qsort(keys, audit->touched_count, sizeof *keys, by_key);
    return keys;
}

/* Both are in the order of keys. */
static bool drop_touched(struct audit *audit)
{
    struct records *records = &audit->page->records;
    libsd_slice *keys = touched_keys(audit);
    size_t kept = 0;
    size_t at = 0;

    if (!keys)
        return false;
    for (size_t i = 0; i < records->count; i++) {
        const struct record *record = &records->list[i];

        while (at < audit->touched_count && slice_compare(keys[at], record->kv.key) < 0)
            at++;
        if (at == audit->touched_count || slice_compare(keys[at], record->kv.key) != 0)
            records->list[kept++] = *record;
    }
    records->count = kept;
    free(keys);
    return true;
}

/* ---- a page ------------------------------------------------------------- */

static void page_done(struct call *call, struct buffer *text);

static void ask(struct libsd_watch *watch)
{
    struct audit *audit = &watch->audit;

    audit->state = AUDIT_ASKED;
    audit->asked_ns = now_ns();
    follow_ask(watch, 0, page_done);
}

static void begin(struct libsd_watch *watch)
{
    /* Before the page is asked for: what events say from here on was seen. */
    if (!watch_note(watch, LIBSD_EVENT_AUDIT_BEGIN, watch->subscription.next - 1, 0, NULL)) {
        put_off(watch, "out of memory");
        return;
    }
    follow_rewind(watch);
    ask(watch);
}

/* Takes records and text over. */
static bool hold(struct libsd_watch *watch, struct answer *answer, struct buffer *text)
{
    struct audit *audit = &watch->audit;
    struct item *page = item_new(&watch->owner);

    if (!page)
        return false;
    audit->newest = 0;
    for (size_t i = 0; i < answer->records.count; i++) {
        struct record *record = &answer->records.list[i];

        record->type = LIBSD_EVENT_AUDIT_KEY;
        if (audit->newest < record->kv.mod_revision)
            audit->newest = record->kv.mod_revision;
    }
    page->records = answer->records;
    page->text = *text;
    answer->records = (struct records){ 0 };
    *text = (struct buffer){ 0 };
    audit->page = page;
    audit->more = answer->more;
    audit->state = AUDIT_HELD;
    audit->came_ns = now_ns();
    return true;
}

static void page_done(struct call *call, struct buffer *text)
{
    struct libsd_watch *watch = container_of(call, struct libsd_watch, call);
    struct failure failure;
    struct answer answer = { 0 };
    int rc = follow_read(watch, text, &answer, &failure);

    if (rc == LIBSD_ETOOBIG && watch->limit > 1) {
        watch->limit /= 2;
        forget_page(&watch->audit);
        ask(watch);
        return;
    }
    if (rc == 0 && !hold(watch, &answer, text))
        rc = failure_set(&failure, LIBSD_ENOMEM, "out of memory");
    records_free(&answer.records);
    if (rc < 0)
        put_off(watch, failure.text);
    else
        step(&watch->timer);
}

/* Whether the stream that carried the watch when the page came lives. */
static bool is_heard(const struct libsd_watch *watch)
{
    const struct stream *stream = &watch->sd->stream;

    return watch->subscription.state == SUBSCRIPTION_LIVE &&
           stream->opened_ns < watch->audit.asked_ns && stream->heard_ns > watch->audit.came_ns;
}

/* The page waits for the watch, or the program, whose queue is full. */
static void wait_with_page(struct libsd_watch *watch)
{
    if (now_ns() - watch->audit.came_ns < LATE_NS) {
        arm(watch, LOOK_NS);
    } else if (watch->subscription.next > watch->audit.newest || !is_heard(watch)) {
        put_off(watch, "the watch or the program is behind");
    } else {
        handle_log(watch->sd, LIBSD_LOG_WARNING,
                   "listing again: etcd has revision %lld, but its watch never told of it",
                   (long long)watch->audit.newest);
        follow_restart(watch);
    }
}

static void tell_page(struct libsd_watch *watch)
{
    struct audit *audit = &watch->audit;
    struct subscription *subscription = &watch->subscription;
    struct item *page = audit->page;

    if (subscription->next <= audit->newest || queue_is_full(watch->sd)) {
        wait_with_page(watch);
        return;
    }
    /* Of a revision that is half there the rest comes with its own COMMIT. */
    if (audit->touched.size > TOUCHED_MAX || !drop_touched(audit) ||
        (subscription->delivered == 0 &&
         !watch_note_in(watch, page, LIBSD_EVENT_COMMIT, subscription->next - 1, 0, NULL))) {
        put_off(watch, "too many changes, or out of memory");
        return;
    }
    audit->page = NULL;
    forget_page(audit);
    audit->state = audit->more ? AUDIT_PAUSED : AUDIT_SETTLING;
    arm(watch, audit->more ? PAUSES * (audit->came_ns - audit->asked_ns) : SETTLE_NS);
    watch_emit(watch, page);
}

static void end(struct libsd_watch *watch)
{
    const struct stream *stream = &watch->sd->stream;

    if (stream->opened_ns > watch->audit.asked_ns) {
        put_off(watch, "the watch was begun anew");
    } else if (!is_heard(watch)) {
        arm(watch, SETTLE_NS);
    } else if (!watch_note(watch, LIBSD_EVENT_AUDIT_END, watch->subscription.next - 1, 0, NULL)) {
        put_off(watch, "out of memory");
    } else {
        watch->audit.state = AUDIT_RESTING;
        audit_later(watch);
    }
}

static void step(struct timer *timer)
{
    struct libsd_watch *watch = container_of(timer, struct libsd_watch, timer);

    switch (watch->audit.state) {
    case AUDIT_RESTING:
        begin(watch);
        break;
    case AUDIT_ASKED:
        break;
    case AUDIT_HELD:
        tell_page(watch);
        break;
    case AUDIT_PAUSED:
        ask(watch);
        break;
    case AUDIT_SETTLING:
        end(watch);
        break;
    }
}
