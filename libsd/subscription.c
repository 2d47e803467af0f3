/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What goes over the watch stream: watches asked for and cancelled, and the
 * messages that come back.
 *
 * Resume points: behind a whole message the revision after its last event; as
 * long as fragments come the last event's own revision, since etcd cuts inside
 * a revision; a progress notice's revision plus one.  header.revision of a
 * message with events is the store's, not theirs.
 */
#include <stdlib.h>

#include "internal.h"
#include "json.h"
#include "stream.h"

#define RESTING_MIN_NS (1 * S)
#define RESTING_MAX_NS (30 * S)

/* ---- slots -------------------------------------------------------------- */

void stream_reset_slots(struct stream *stream)
{
    stream->slot_count = stream->free_slot = 0;
    stream->first_asked = stream->last_asked = SIZE_MAX;
    stream->probe_asked = false;
    stream->creating = 0;
}

static bool slot_reserve(struct stream *stream)
{
    size_t capacity = stream->slot_capacity ? stream->slot_capacity * 2 : 16;
    struct slot *slots;

    if (stream->slot_count < stream->slot_capacity)
        return true;
    slots = reallocarray(stream->slots, capacity, sizeof *slots);
    if (!slots)
        return false;
    stream->slots = slots;
    stream->slot_capacity = capacity;
    return true;
}

/* A free slot's number, 0 when out of memory. */
static size_t slot_take(struct stream *stream)
{
    size_t slot = stream->free_slot;

    if (slot) {
        stream->free_slot = stream->slots[slot].next;
        return slot;
    }
    if (!slot_reserve(stream))
        return 0;
    if (stream->slot_count == 0)
        stream->slots[stream->slot_count++] = (struct slot){ 0 };
    if (!slot_reserve(stream))
        return 0;
    return stream->slot_count++;
}

static void slot_give(struct stream *stream, size_t slot)
{
    stream->slots[slot] = (struct slot){ .next = stream->free_slot };
    stream->free_slot = slot;
}

static void asked_push(struct stream *stream, size_t slot)
{
    stream->slots[slot].next = SIZE_MAX;
    stream->slots[slot].state = SLOT_ASKED;
    if (stream->last_asked == SIZE_MAX)
        stream->first_asked = slot;
    else
        stream->slots[stream->last_asked].next = slot;
    stream->last_asked = slot;
    stream->created_ns = now_ns();
}

/* The watch that an answer is about; SIZE_MAX if we asked for none. */
static size_t asked_pop(struct stream *stream)
{
    size_t slot = stream->first_asked;

    if (slot == SIZE_MAX)
        return slot;
    stream->first_asked = stream->slots[slot].next;
    if (stream->first_asked == SIZE_MAX)
        stream->last_asked = SIZE_MAX;
    stream->slots[slot].state = SLOT_STANDING;
    if (slot == 0)
        stream->probe_asked = false;
    return slot;
}

/* ---- asking ------------------------------------------------------------- */

void stream_create(struct libsd *sd, struct subscription *subscription)
{
    struct stream *stream = &sd->stream;
    struct buffer *out = &stream->out;
    size_t slot = slot_take(stream);

    if (!slot) {
        out->failed = true;
        return;
    }
    stream->slots[slot].subscription = subscription;
    asked_push(stream, slot);
    subscription->slot = slot;
    subscription->begun = subscription->next;
    subscription->state = SUBSCRIPTION_CREATING;
    subscription->seen = 0;
    stream->creating++;
    buffer_text(out, "{\"create_request\":{");
    message_span(out, subscription->span.key, &subscription->span);
    if (subscription->next)
        buffer_format(out, ",\"start_revision\":\"%lld\"", (long long)subscription->next);
    if (subscription->previous)
        buffer_text(out, ",\"prev_kv\":true");
    buffer_format(out, ",\"fragment\":true,\"progress_notify\":true,\"watch_id\":\"%zu\"}}\n",
                  slot);
}

void stream_ask_probe(struct libsd *sd)
{
    struct stream *stream = &sd->stream;

    if (stream->probe_asked || stream->slot_count == 0)
        return;
    stream->probe_asked = true;
    asked_push(stream, 0);
    /* The range from "\2" to "\1" is empty, which etcd does not watch. */
    buffer_text(&stream->out, "{\"create_request\":{\"key\":\"Ag==\",\"range_end\":\"AQ==\"}}\n");
}

/* Takes a subscription off its slot.  The slot stays taken until etcd confirms,
 * if it is to be told. */
static void detach(struct libsd *sd, struct subscription *subscription, bool tell)
{
    struct stream *stream = &sd->stream;

    timer_stop(&subscription->timer);
    if (subscription->state == SUBSCRIPTION_CREATING)
        stream->creating--;
    if (subscription->state != SUBSCRIPTION_CREATING && subscription->state != SUBSCRIPTION_LIVE)
        return;
    stream->slots[subscription->slot].subscription = NULL;
    if (tell) {
        buffer_format(&stream->out, "{\"cancel_request\":{\"watch_id\":\"%zu\"}}\n",
                      subscription->slot);
        if (!stream->out.failed)
            stream_send(sd);
    } else {
        slot_give(stream, subscription->slot);
    }
}

static void leave(struct libsd *sd, struct subscription *subscription, bool tell)
{
    if (subscription->state == SUBSCRIPTION_NONE)
        return;
    detach(sd, subscription, tell);
    TAILQ_REMOVE(&sd->stream.subscriptions, subscription, link);
    subscription->state = SUBSCRIPTION_NONE;
    if (TAILQ_EMPTY(&sd->stream.subscriptions))
        stream_close(sd);
}

void stream_unsubscribe(struct libsd *sd, struct subscription *subscription)
{
    leave(sd, subscription, true);
}

void stream_lose(struct libsd *sd, struct subscription *subscription, bool tell,
                 const struct failure *failure)
{
    leave(sd, subscription, tell);
    subscription->on_lost(subscription, failure);
}

/* ---- messages ----------------------------------------------------------- */

static void rested(struct timer *timer)
{
    struct subscription *subscription = container_of(timer, struct subscription, timer);
    struct libsd *sd = subscription->sd;

    subscription->state = SUBSCRIPTION_WANTED;
    if (sd->stream.state != STREAM_OPENING && sd->stream.state != STREAM_OPEN)
        return;
    stream_create(sd, subscription);
    stream_send(sd);
}

/* etcd ended or refused one watch; the connection is fine. */
static void refused(struct libsd *sd, struct subscription *subscription,
                    const struct watch_message *message)
{
    struct grpc_error error = { .code = GRPC_UNKNOWN };
    struct failure failure;
    struct failure place;
    bool stood = !message->created;
    int64_t delay = RESTING_MAX_NS;
    libsd_slice reason = message->cancel_reason;
    int size = reason.size < sizeof error.text ? (int)reason.size : (int)sizeof error.text - 1;

    memcpy(error.text, reason.data, (size_t)size);
    stream_place(sd, &place);
    if (grpc_error_wants_token(&error)) {
        auth_refused(sd, sd->stream.token);
        failure_set(&failure, LIBSD_EAUTH, "%s: watch refused: %s", place.text, error.text);
        stream_fail(sd, &failure); /* the token belongs to the connection */
        return;
    }
    if (message->compact_revision || reason.size == 0 || strstr(error.text, "compacted")) {
        failure_set(&failure, LIBSD_ECOMPACTED, "revisions below %lld are compacted",
                    (long long)message->compact_revision);
        stream_lose(sd, subscription, stood, &failure);
        return;
    }
    failure_set(&failure, strstr(error.text, "permission denied") ? LIBSD_EDENIED : LIBSD_EREFUSED,
                "%s: watch refused: %s", place.text, error.text);
    detach(sd, subscription, stood);
    subscription->state = SUBSCRIPTION_RESTING;
    if (subscription->refusals < 5)
        delay = RESTING_MIN_NS << subscription->refusals++;
    subscription->timer.fire = rested;
    timer_start(&sd->loop, &subscription->timer, jitter(delay));
    handle_background(sd, &failure);
    subscription->on_down(subscription, &failure);
}

static void created(struct libsd *sd, struct watch_message *message)
{
    struct stream *stream = &sd->stream;
    size_t slot = asked_pop(stream);
    struct subscription *subscription;
    struct failure failure;
    struct failure place;

    /* Answers come in order; anything else means that we lost track. */
    if (slot == SIZE_MAX ||
        (message->watch_id != (int64_t)slot && !(message->watch_id == -1 && message->canceled))) {
        stream_place(sd, &place);
        failure_set(&failure, LIBSD_EPROTOCOL, "%s: watch %lld was created, but not asked for",
                    place.text, (long long)message->watch_id);
        stream_fail(sd, &failure);
        return;
    }
    subscription = stream->slots[slot].subscription;
    if (message->canceled) {
        if (subscription)
            refused(sd, subscription, message);
        else if (slot)
            slot_give(stream, slot);
        return;
    }
    stream->state = STREAM_OPEN;
    stream->cluster_id = message->header.cluster_id;
    loop_heard(&sd->loop);
    if (!subscription)
        return; /* cancelled meanwhile */
    stream->creating--;
    subscription->state = SUBSCRIPTION_LIVE;
    subscription->refusals = 0;
    if (subscription->next == 0 && message->header.revision)
        subscription->next = message->header.revision + 1;
    else if (subscription->next)
        landmark_check(sd, &message->header, subscription);
    subscription->on_live(subscription);
}

/* Drops what was delivered before and moves the resume point. */
static void advance(struct subscription *subscription, struct records *records, bool fragment)
{
    struct record before = { 0 };
    size_t kept = 0;

    for (size_t i = 0; i < records->count; i++) {
        const struct record *record = &records->list[i];
        struct record its = before;

        before = (struct record){ 0 };
        if (record->type == RECORD_PREVIOUS) {
            if (subscription->previous)
                before = *record;
            continue;
        }
        if (record->kv.mod_revision < subscription->next)
            continue;
        if (record->kv.mod_revision > subscription->next) {
            subscription->next = record->kv.mod_revision;
            subscription->seen = subscription->delivered = 0;
        }
        if (++subscription->seen <= subscription->delivered)
            continue;
        subscription->delivered = subscription->seen;
        if (its.type == RECORD_PREVIOUS)
            records->list[kept++] = its;
        records->list[kept++] = *record;
    }
    /* A message of nothing but old events says nothing about newer ones. */
    if (!fragment && subscription->seen) {
        subscription->next++;
        subscription->seen = subscription->delivered = 0;
    }
    records->count = kept;
}

static void deliver(struct libsd *sd, struct subscription *subscription,
                    struct watch_message *message, struct buffer *line)
{
    int64_t next = subscription->next;
    unsigned delivered = subscription->delivered;
    struct failure failure;

    if (message->records.count == 0) {
        /* A progress notice: up to its revision nothing is missing. */
        if (subscription->delivered == 0 && message->header.revision >= next)
            subscription->next = message->header.revision + 1;
        return;
    }
    advance(subscription, &message->records, message->fragment);
    landmark_note(sd, &message->records);
    if (message->records.count == 0 ||
        subscription->on_events(subscription, &message->records, line, !message->fragment))
        return;
    subscription->next = next;
    subscription->delivered = delivered;
    failure_set(&failure, LIBSD_ENOMEM, "out of memory");
    stream_fail(sd, &failure);
}

static void dispatch(struct libsd *sd, struct watch_message *message, struct buffer *line)
{
    struct stream *stream = &sd->stream;
    struct subscription *subscription = NULL;
    size_t slot = (size_t)message->watch_id;

    if (message->created) {
        created(sd, message);
        return;
    }
    if (message->watch_id <= 0 || slot >= stream->slot_count)
        return; /* the answer to a progress request */
    subscription = stream->slots[slot].subscription;
    if (message->canceled && stream->slots[slot].state != SLOT_STANDING)
        return;
    if (message->canceled) {
        if (subscription)
            refused(sd, subscription, message);
        else
            slot_give(stream, slot);
    } else if (subscription && subscription->state == SUBSCRIPTION_LIVE) {
        deliver(sd, subscription, message, line);
    }
}

void stream_message(struct libsd *sd, struct buffer *line)
{
    struct watch_message message;
    struct failure failure;

    stream_place(sd, &failure);
    if (watch_message_read(line->data, line->size, &message, &failure) < 0) {
        stream_fail(sd, &failure);
    } else if (message.error.code) {
        stream_error(sd, &message.error, &failure);
        stream_fail(sd, &failure);
    } else {
        dispatch(sd, &message, line);
    }
    records_free(&message.records);
}
