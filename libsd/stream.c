/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The connection of the watch stream: opened, kept alive, given up and opened
 * again.  What goes over it is subscription.c's.
 *
 * A stopped etcd behind an open socket keeps TCP content, so the stream asks
 * for a sign of life from time to time: a progress request, and if that brings
 * nothing (later versions answer it only when all watches are in step) a watch
 * that can't be, which every version refuses at once.  Any byte counts as one;
 * it is asked for among events, too, since they can come over a link that takes
 * nothing the other way: then TCP misses the acknowledgement.
 */
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

#define CREATED_NS  (3 * S) /* for the answer to a new watch */
#define END_MAX     65536   /* an error is short; a giant is not read again at each piece */
#define ALIVE_NS    (4 * S) /* then the next sign of life is asked for */
#define PROBE_NS    (2 * S) /* for an answer to each */
#define PROBES      2
#define STALLED_NS  (60 * S) /* for one line: 64 MiB at 10 Mbit/s */
#define REFUSAL_MAX 4096
#define STABLE_NS   (5 * S) /* a connection that lived so long begins back-off anew */

static size_t read_body(char *to, size_t size, size_t count, void *arg)
{
    struct stream *stream = arg;
    size_t left = stream->out.size - stream->sent;

    size *= count;
    if (left == 0) {
        stream->read_paused = true;
        return CURL_READFUNC_PAUSE;
    }
    if (size > left)
        size = left;
    memcpy(to, stream->out.data + stream->sent, size);
    stream->sent += size;
    if (stream->sent == stream->out.size)
        stream->sent = stream->out.size = 0;
    return size;
}

/* An answer that is no stream: kept for its words, and no sign of life. */
static size_t write_refusal(struct stream *stream, const char *data, size_t size)
{
    if (stream->lines.size < REFUSAL_MAX && lines_add(&stream->lines, data, size) == 0)
        return size;
    return 0;
}

/* Only gathers: what a message leads to may end the transfer, which curl does
 * not allow from here. */
static size_t write_answer(char *data, size_t size, size_t count, void *arg)
{
    struct stream *stream = arg;
    int rc;

    size *= count;
    curl_easy_getinfo(stream->transfer.easy, CURLINFO_RESPONSE_CODE, &stream->status);
    if (stream->status != 200)
        return write_refusal(stream, data, size);
    rc = lines_add(&stream->lines, data, size);
    stream->heard_ns = now_ns();
    stream->probes = 0;
    if (rc == 0)
        return size;
    stream->broken = rc;
    return 0;
}

void stream_send(struct libsd *sd)
{
    struct stream *stream = &sd->stream;

    if (stream->out.failed) {
        struct failure failure;

        failure_set(&failure, LIBSD_ENOMEM, "out of memory");
        stream_fail(sd, &failure);
    } else if (stream->read_paused && stream->transfer.easy) {
        stream->read_paused = false;
        curl_easy_pause(stream->transfer.easy, CURLPAUSE_CONT);
    }
}

/* Back to nothing but the list of subscriptions. */
static void reset(struct stream *stream)
{
    transfer_stop(&stream->transfer);
    timer_stop(&stream->timer);
    auth_cancel(&stream->wait);
    call_cancel(&stream->landmark.call);
    buffer_free(&stream->out);
    lines_free(&stream->lines);
    stream_reset_slots(stream);
    stream->sent = 0;
    stream->read_paused = false;
    stream->broken = 0;
    stream->status = 0;
    stream->probes = 0;
}

void stream_place(const struct libsd *sd, struct failure *failure)
{
    failure_set(failure, 0, "%s%s/watch: HTTP %ld", sd->endpoints.urls[sd->stream.endpoint],
                sd->stream.api, sd->stream.status);
}

void stream_close(struct libsd *sd)
{
    reset(&sd->stream);
    sd->stream.state = STREAM_IDLE;
}

/* ---- opening ------------------------------------------------------------ */

/* When a new watch must be answered.  On an open connection other watches'
 * events may be in front of that; on a new one bytes that make no line do not
 * count. */
static int64_t created_due(const struct stream *stream)
{
    int64_t begun = stream->created_ns;

    if (!stream->creating)
        return INT64_MAX;
    if (stream->state == STREAM_OPEN && stream->heard_ns > begun)
        begun = stream->heard_ns;
    return begun + CREATED_NS;
}

/* When a line must have ended. */
static int64_t line_due(const struct stream *stream)
{
    return stream->lines.size > stream->lines.taken ? stream->line_ns + STALLED_NS : INT64_MAX;
}

static int64_t probe_due(const struct stream *stream)
{
    return stream->probed_ns + (stream->probes ? PROBE_NS : ALIVE_NS);
}

static void arm(struct libsd *sd)
{
    struct stream *stream = &sd->stream;
    int64_t due = probe_due(stream);

    if (created_due(stream) < due)
        due = created_due(stream);
    if (line_due(stream) < due)
        due = line_due(stream);
    timer_start(&sd->loop, &stream->timer, due - now_ns());
}

static void stream_done(struct transfer *transfer, CURLcode result, long status);

static void stream_open(struct libsd *sd)
{
    struct stream *stream = &sd->stream;
    struct http_request request = {
        .options = &sd->options,
        .url = sd->endpoints.urls[sd->endpoints.current],
        .api = sd->endpoints.api,
        .path = "/watch",
        .needs_leader = true, /* else a member that lost its leader is silent */
    };
    struct subscription *subscription;
    struct failure failure;

    reset(stream);
    stream->state = STREAM_WAITING;
    if (queue_is_full(sd) || !auth_ready(sd, &stream->wait))
        return;
    request.token = sd->auth.token;
    stream->token = sd->auth.serial;
    stream->state = STREAM_OPENING;
    landmark_doubt(sd);
    stream->endpoint = sd->endpoints.current;
    stream->api = sd->endpoints.api;
    stream->opened_ns = stream->heard_ns = stream->line_ns = stream->created_ns = now_ns();
    stream->probed_ns = stream->opened_ns;
    stream->transfer.done = stream_done;
    TAILQ_FOREACH(subscription, &stream->subscriptions, link)
    {
        if (subscription->state == SUBSCRIPTION_WANTED)
            stream_create(sd, subscription);
    }
    if (stream->out.failed || transfer_start_stream(&sd->loop, &stream->transfer, &request,
                                                    read_body, write_answer, stream) < 0) {
        failure_set(&failure, LIBSD_ENOMEM, "out of memory");
        stream_fail(sd, &failure);
        return;
    }
    arm(sd);
}

static void token_ready(struct auth_wait *wait, const struct failure *failure)
{
    struct libsd *sd = container_of(wait, struct libsd, stream.wait);

    if (failure)
        stream_fail(sd, failure);
    else
        stream_open(sd);
}

void stream_drained(struct libsd *sd)
{
    struct stream *stream = &sd->stream;

    if (stream->state == STREAM_WAITING && !stream->timer.due_ns && !stream->wait.queued)
        stream_open(sd);
}

/* ---- ending ------------------------------------------------------------- */

/* Everybody's watch is gone with the connection. */
static void all_wanted(struct libsd *sd, const struct failure *failure)
{
    struct subscription *subscription = TAILQ_FIRST(&sd->stream.subscriptions);

    while (subscription) {
        struct subscription *next = TAILQ_NEXT(subscription, link);

        if (subscription->state != SUBSCRIPTION_RESTING)
            subscription->state = SUBSCRIPTION_WANTED;
        if (failure)
            subscription->on_down(subscription, failure); /* may leave */
        subscription = next;
    }
}

void stream_fail(struct libsd *sd, const struct failure *failure)
{
    struct stream *stream = &sd->stream;
    struct failure copy = *failure;

    if (stream->state == STREAM_OPEN && now_ns() - stream->opened_ns > STABLE_NS)
        stream->backoff = (struct backoff){ 0 };
    if (stream->transfer.easy)
        endpoints_failed(&sd->endpoints, stream->endpoint);
    reset(stream);
    stream->state = STREAM_WAITING;
    handle_background(sd, &copy);
    handle_log(sd, backoff_is_new(&stream->backoff) ? LIBSD_LOG_WARNING : LIBSD_LOG_DEBUG,
               "watch stream: %s", copy.text);
    timer_retry(&sd->loop, &stream->timer, &stream->backoff, &copy);
    all_wanted(sd, &copy);
}

/* The reader of events is behind: etcd keeps the history, so stop reading and
 * go on from the resume points when it has caught up. */
static void suspend(struct libsd *sd)
{
    handle_log(sd, LIBSD_LOG_WARNING, "callbacks are too slow: watching is suspended");
    reset(&sd->stream);
    sd->stream.state = STREAM_WAITING;
    all_wanted(sd, NULL);
}

/* Words the end of the connection. */
static void describe_end(struct libsd *sd, CURLcode result, struct failure *failure)
{
    struct stream *stream = &sd->stream;
    const char *url = sd->endpoints.urls[stream->endpoint];
    struct grpc_error error;
    char *rest;
    size_t size;

    lines_rest(&stream->lines, &rest, &size);
    if (stream->broken == LIBSD_ENOMEM) {
        failure_set(failure, LIBSD_ENOMEM, "out of memory");
    } else if (stream->broken) {
        failure_set(failure, stream->broken, "%s: watch answer without end", url);
    } else if (grpc_error_read(rest, size, &error) &&
               !grpc_error_is_no_path(&error, stream->status)) {
        stream_error(sd, &error, failure);
    } else if (stream->status && stream->status != 200) {
        if (stream->status == 404)
            endpoints_next_api(&sd->endpoints, stream->api);
        http_refusal(failure, url, stream->api, "/watch", stream->status, libsd_bytes(rest, size));
    } else if (result != CURLE_OK) {
        http_outcome(result, failure, url, stream->transfer.error);
        /* No write is in doubt here. */
        if (failure->code == LIBSD_ETIMEDOUT && result != CURLE_OPERATION_TIMEDOUT)
            failure->code = LIBSD_EUNAVAILABLE;
    } else {
        failure_set(failure, LIBSD_EUNAVAILABLE, "%s: the watch was closed by the server%s%.*s",
                    url, size ? ": " : "", size < 120 ? (int)size : 120, size ? rest : "");
    }
}

void stream_error(struct libsd *sd, const struct grpc_error *error, struct failure *failure)
{
    struct failure place;
    int code = grpc_error_classify(error, failure);
    struct failure cause = *failure;

    if (grpc_error_wants_token(error))
        auth_refused(sd, sd->stream.token);
    stream_place(sd, &place);
    failure_set(failure, code, "%s: %s", place.text, cause.text);
}

static bool is_running(const struct stream *stream)
{
    return stream->state == STREAM_OPENING || stream->state == STREAM_OPEN;
}

static void ended(struct libsd *sd, CURLcode result)
{
    struct failure failure;

    describe_end(sd, result, &failure);
    endpoints_failed(&sd->endpoints, sd->stream.endpoint);
    stream_fail(sd, &failure);
}

static void stream_done(struct transfer *transfer, CURLcode result, long status)
{
    struct libsd *sd = container_of(transfer, struct libsd, stream.transfer);

    sd->stream.status = status; /* there may have been nothing behind the head */
    stream_turn(sd);
    if (is_running(&sd->stream))
        ended(sd, result);
}

/* ---- while open --------------------------------------------------------- */

static void tick(struct timer *timer)
{
    struct libsd *sd = container_of(timer, struct libsd, stream.timer);
    struct stream *stream = &sd->stream;
    const char *url = sd->endpoints.urls[stream->endpoint];
    int64_t now = now_ns();
    struct failure failure;

    if (stream->state == STREAM_WAITING) {
        stream_open(sd);
        return;
    }
    if (now >= created_due(stream) || now >= line_due(stream)) {
        failure_set(&failure, LIBSD_ETIMEDOUT, "%s: %s", url,
                    now >= line_due(stream) ? "a message of the watch does not end"
                                            : "no answer to a new watch");
        stream_fail(sd, &failure);
        return;
    }
    if (now >= probe_due(stream)) {
        if (stream->probes == PROBES) {
            failure_set(&failure, LIBSD_ETIMEDOUT, "%s: no sign of life on the watch", url);
            stream_fail(sd, &failure);
            return;
        }
        stream->probed_ns = now;
        if (stream->probes++ == 0)
            buffer_text(&stream->out, "{\"progress_request\":{}}\n");
        else
            stream_ask_probe(sd);
        stream_send(sd);
        if (stream->state == STREAM_WAITING)
            return;
    }
    arm(sd);
}

/* Behind an error nothing comes.  It ends without a newline, and when the answer
 * ends, too, curl keeps the transfer for the sake of the request, whose body is
 * paused: without this look the end would go unnoticed until the next sign of
 * life is asked for. */
static bool says_the_end(const struct stream *stream)
{
    const char *rest = stream->lines.data + stream->lines.taken;
    size_t size = stream->lines.size - stream->lines.taken;
    struct grpc_error error;

    return stream->status == 200 && size > 0 && size <= END_MAX && rest[size - 1] == '}' &&
           grpc_error_read(rest, size, &error);
}

void stream_turn(struct libsd *sd)
{
    struct stream *stream = &sd->stream;
    char *line;
    size_t size;

    /* A message may end the stream, which leaves no lines. */
    while (stream->status == 200 && lines_next(&stream->lines, &line, &size)) {
        struct buffer copy = { 0 };

        stream->line_ns = stream->heard_ns;
        buffer_add(&copy, line, size);
        if (copy.failed) {
            struct failure failure;

            failure_set(&failure, LIBSD_ENOMEM, "out of memory");
            stream_fail(sd, &failure);
            return;
        }
        if (size)
            stream_message(sd, &copy);
        buffer_free(&copy);
    }
    if (stream->lines.size == stream->lines.taken)
        stream->line_ns = stream->heard_ns;
    /* Do not keep the room of one huge message for ever. */
    if (stream->lines.size == 0 && stream->lines.capacity > 16 * LINES_FIRST)
        lines_free(&stream->lines);
    if (!is_running(stream))
        return;
    if (stream->out.failed) {
        stream_send(sd); /* what could not be asked for is asked for anew */
    } else if (queue_is_full(sd)) {
        suspend(sd);
    } else if (says_the_end(stream)) {
        ended(sd, CURLE_OK);
    } else if (stream->read_paused && transfer_is_over(&stream->transfer)) {
        curl_easy_getinfo(stream->transfer.easy, CURLINFO_RESPONSE_CODE, &stream->status);
        snprintf(stream->transfer.error, sizeof stream->transfer.error,
                 "connection closed by the server");
        ended(sd, CURLE_PARTIAL_FILE);
    }
}

void stream_init(struct libsd *sd)
{
    struct stream *stream = &sd->stream;

    TAILQ_INIT(&stream->subscriptions);
    stream->timer.fire = tick;
    stream->wait.ready = token_ready;
}

void stream_free(struct libsd *sd)
{
    reset(&sd->stream);
    free(sd->stream.slots);
}

/* ---- subscriptions come and go ------------------------------------------ */

void stream_subscribe(struct libsd *sd, struct subscription *subscription)
{
    struct stream *stream = &sd->stream;

    subscription->sd = sd;
    subscription->state = SUBSCRIPTION_WANTED;
    subscription->seen = subscription->delivered = 0;
    subscription->refusals = 0;
    TAILQ_INSERT_TAIL(&stream->subscriptions, subscription, link);
    switch (stream->state) {
    case STREAM_IDLE:
        /* Not at once: many come together, and nobody expects a failure from
         * inside this call. */
        stream->state = STREAM_WAITING;
        timer_start(&sd->loop, &stream->timer, 0);
        break;
    case STREAM_WAITING:
        break;
    case STREAM_OPENING:
    case STREAM_OPEN:
        stream_create(sd, subscription);
        if (!stream->out.failed)
            stream_send(sd);
        arm(sd);
        break;
    }
}
