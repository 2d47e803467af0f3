/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * LIBSD_WATCH_LIST: a list in pages, all at the revision of the first, then a
 * watch from the revision after it.
 *
 *   start ──▶ LISTING ──last page──▶ WATCHING (the subscription's business)
 *              │   ▲                    │
 *       failure│   │back-off            │ events missed
 *              ▼   │                    │
 *             again ◀───────────────────┘
 *
 * LIST_END is only sent behind a list that is complete and without error, so
 * who sweeps there never sweeps too much.  While WATCHING there are audits
 * (audit.h).
 */
#include "internal.h"
#include "watch.h"

#define STABLE_NS (5 * S) /* what ends earlier counts as a failure */
#define IDLE_MS   5000

static void request_page(struct libsd_watch *watch);

/* ---- pages -------------------------------------------------------------- */

void follow_rewind(struct libsd_watch *watch)
{
    libsd_slice first = watch->subscription.span.key;

    buffer_free(&watch->cursor);
    buffer_add(&watch->cursor, first.data, first.size);
}

void follow_ask(struct libsd_watch *watch, int64_t revision,
                void (*done)(struct call *call, struct buffer *text))
{
    struct call *call = &watch->call;
    struct buffer *body = &call->body;

    call->sd = watch->sd;
    call->path = "/kv/range";
    call->flags = CALL_ONCE;
    call->idle_ms = IDLE_MS;
    call->done = done;
    buffer_text(body, "{");
    message_span(body, libsd_bytes(watch->cursor.data, watch->cursor.size),
                 &watch->subscription.span);
    buffer_format(body, ",\"limit\":\"%u\"", watch->limit);
    if (revision)
        buffer_format(body, ",\"revision\":\"%lld\"", (long long)revision);
    buffer_text(body, "}");
    body->failed |= watch->cursor.failed;
    call_start(call);
}

/* Before the page is handed on, which may free it. */
static void move_cursor(struct libsd_watch *watch, const struct records *records)
{
    libsd_slice last = records->list[records->count - 1].kv.key;

    buffer_free(&watch->cursor);
    buffer_add(&watch->cursor, last.data, last.size);
    buffer_add(&watch->cursor, "", 1);
}

int follow_read(struct libsd_watch *watch, struct buffer *text, struct answer *answer,
                struct failure *failure)
{
    *failure = watch->call.failure;
    if (failure->code < 0 || answer_read(text, answer, failure) < 0 ||
        page_check(answer, libsd_bytes(watch->cursor.data, watch->cursor.size),
                   &watch->subscription.span, failure) < 0)
        return failure->code;
    landmark_note(watch->sd, &answer->records);
    if (answer->more)
        move_cursor(watch, &answer->records);
    else
        buffer_free(&watch->cursor);
    return 0;
}

/* ---- lists -------------------------------------------------------------- */

static void begin(struct timer *timer)
{
    struct libsd_watch *watch = container_of(timer, struct libsd_watch, timer);

    watch->begun_ns = now_ns();
    watch->revision = 0;
    follow_rewind(watch);
    request_page(watch);
}

void follow_start(struct libsd_watch *watch)
{
    watch->limit = watch->sd->page_limit;
    begin(&watch->timer);
}

/* At once if the last list has held for a while, else after a wait: whatever
 * etcd answers, it must not lead to a tight loop. */
void follow_again(struct libsd_watch *watch)
{
    unsigned *failures = &watch->backoff.failures;

    audit_stop(watch);
    watch->sd->counters.resyncs++;
    if (now_ns() - watch->begun_ns > STABLE_NS)
        watch->backoff = (struct backoff){ 0 };
    watch->timer.fire = begin;
    timer_start(&watch->sd->loop, &watch->timer, *failures ? backoff_ns(*failures - 1) : 0);
    ++*failures;
}

void follow_restart(struct libsd_watch *watch)
{
    call_cancel(&watch->call);
    watch->parked = false;
    stream_unsubscribe(watch->sd, &watch->subscription);
    follow_again(watch);
}

static void failed(struct libsd_watch *watch, const struct failure *failure)
{
    handle_background(watch->sd, failure);
    handle_log(watch->sd, LIBSD_LOG_DEBUG, "list: %s", failure->text);
    watch_down(watch, failure);
    watch->timer.fire = begin;
    timer_retry(&watch->sd->loop, &watch->timer, &watch->backoff, failure);
}

/* Hands a page to the queue; takes records and text over. */
static bool emit_page(struct libsd_watch *watch, struct answer *answer, struct buffer *text)
{
    struct item *item;

    if (watch->revision == 0) {
        watch->cluster_id = answer->header.cluster_id;
        if (!watch_note(watch, LIBSD_EVENT_LIST_BEGIN, answer->header.revision, 0, NULL))
            return false;
        watch->revision = answer->header.revision;
    }
    item = item_new(&watch->owner);
    if (!item)
        return false;
    item->records = answer->records;
    item->text = *text;
    answer->records = (struct records){ 0 };
    *text = (struct buffer){ 0 };
    if (!answer->more &&
        !watch_note_in(watch, item, LIBSD_EVENT_LIST_END, watch->revision, 0, NULL)) {
        item_free(item);
        return false;
    }
    watch_emit(watch, item);
    return true;
}

static void next_page(struct libsd_watch *watch)
{
    watch->parked = queue_is_full(watch->sd);
    if (!watch->parked)
        request_page(watch);
}

static void page_done(struct call *call, struct buffer *text)
{
    struct libsd_watch *watch = container_of(call, struct libsd_watch, call);
    struct failure failure;
    struct answer answer = { 0 };
    int rc = follow_read(watch, text, &answer, &failure);
    bool more = answer.more;

    if (rc == LIBSD_ETOOBIG && watch->limit > 1) {
        watch->limit /= 2;
        request_page(watch);
        return;
    }
    if (rc == 0 && !emit_page(watch, &answer, text))
        rc = failure_set(&failure, LIBSD_ENOMEM, "out of memory");
    records_free(&answer.records);
    if (rc < 0) {
        failed(watch, &failure);
        return;
    }
    if (more) {
        next_page(watch);
        return;
    }
    /* Failures are kept in mind until this list has held for a while: an etcd
     * that goes on to say "compacted" was asked 20 times a second. */
    watch->backoff.refusals = 0;
    watch->subscription.next = watch->revision + 1;
    stream_subscribe(watch->sd, &watch->subscription);
}

static void request_page(struct libsd_watch *watch)
{
    follow_ask(watch, watch->revision, page_done);
}

void follow_drained(struct libsd_watch *watch)
{
    if (!watch->parked)
        return;
    watch->parked = false;
    request_page(watch);
}

void follow_init(struct libsd_watch *watch)
{
    watch->timer.fire = begin;
}

void follow_stop(struct libsd_watch *watch)
{
    audit_stop(watch);
    call_cancel(&watch->call);
    timer_stop(&watch->timer);
    buffer_free(&watch->cursor);
    watch->parked = false;
}
