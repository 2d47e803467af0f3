/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One question to the cluster.
 *
 *                    token wanted          answer
 *   start ──▶ attempt ─────────▶ wait ┐  ┌───────▶ finish
 *               ▲  └──────────────────┴──┤
 *               │      next endpoint,    │ transport error, code 14, 13, 4, 1
 *               └─────── back-off ◀──────┘
 *
 * A failed or timed-out write may have been done.  Most of our writes are
 * guarded and can be repeated; those that can't carry CALL_WRITE and are only
 * repeated when etcd surely did not act on them.
 */
#include "call.h"

#include "internal.h"

static void attempt(struct call *call);

static void finish(struct call *call, struct buffer *answer)
{
    struct buffer nothing = { 0 };

    call->active = false;
    call->sd->counters.failures += call->failure.code < 0;
    buffer_free(&call->body);
    call->done(call, answer ? answer : &nothing);
}

static void finish_timer(struct timer *timer)
{
    finish(container_of(timer, struct call, timer), NULL);
}

/* done must not be called from inside call_start(). */
static void finish_soon(struct call *call)
{
    call->timer.fire = finish_timer;
    timer_start(&call->sd->loop, &call->timer, 0);
}

static void attempt_timer(struct timer *timer)
{
    attempt(container_of(timer, struct call, timer));
}

/* The endpoint is no good: go to the next one at once, and once around wait
 * between the rounds. */
static void retry(struct call *call)
{
    struct endpoints *endpoints = &call->sd->endpoints;
    struct timer *timer = &call->timer;

    endpoints_failed(endpoints, call->endpoint);
    timer->fire = attempt_timer;
    if (++call->attempts < endpoints->count)
        timer_start(&call->sd->loop, timer, 0);
    else
        timer_retry(&call->sd->loop, timer, &call->backoff, &call->failure);
    if ((call->flags & CALL_ONCE) || call->only ||
        (call->deadline_ns && timer->due_ns >= call->deadline_ns)) {
        timer_stop(timer);
        finish(call, NULL);
    }
}

/* Trying again at this endpoint is no use; at another one it may be. */
static void refused(struct call *call)
{
    if (!call->only && ++call->refusals < call->sd->endpoints.count)
        retry(call);
    else
        finish(call, NULL);
}

/* The request may have been executed. */
static void uncertain(struct call *call)
{
    call->unsure = true;
    if (call->flags & CALL_WRITE) {
        call->failure.code = LIBSD_ETIMEDOUT;
        endpoints_failed(&call->sd->endpoints, call->endpoint);
        finish(call, NULL);
    } else {
        retry(call);
    }
}

/* Whether a new token was asked for; once per call, so that a token that is
 * refused at birth ends the call. */
static bool renew_token(struct call *call)
{
    struct libsd *sd = call->sd;

    if (call->renewed || !*sd->options.user || (call->flags & CALL_NO_TOKEN))
        return false;
    call->renewed = true;
    auth_refused(sd, call->token);
    attempt(call);
    return true;
}

/* Some versions answer a bad token by closing (etcd issue 15256).  A write can't
 * be repeated for that; the next one has a new token. */
static bool closed_for_token(struct call *call, CURLcode result)
{
    if (result != CURLE_GOT_NOTHING && result != CURLE_SEND_FAIL_REWIND)
        return false;
    if (!(call->flags & CALL_WRITE))
        return renew_token(call);
    if (*call->sd->options.user)
        auth_refused(call->sd, call->token);
    return false;
}

/* The connection ended, or time did, before the request was out. */
static void not_sent(struct call *call)
{
    call->failure.code = LIBSD_EUNAVAILABLE;
    retry(call);
}

static void transport_failed(struct call *call, CURLcode result)
{
    struct transfer *transfer = &call->transfer;
    const char *url = call->sd->endpoints.urls[call->endpoint];

    if (transfer->too_big) {
        call->unsure = true;
        failure_set(&call->failure, LIBSD_ETOOBIG, "%s: answer above %zu bytes", url,
                    HTTP_ANSWER_MAX);
        finish(call, NULL);
        return;
    }
    /* The last attempt often has no time left: what came before says more. */
    if (result == CURLE_OPERATION_TIMEDOUT && call->failure.code < 0 && call->deadline_ns &&
        now_ns() >= call->deadline_ns && !(call->flags & CALL_WRITE)) {
        finish(call, NULL);
        return;
    }
    switch (http_outcome(result, &call->failure, url, transfer->error)) {
    case HTTP_NOT_SENT:
        retry(call);
        break;
    case HTTP_UNKNOWN:
        if (transfer_is_unsent(transfer))
            not_sent(call);
        else if (!closed_for_token(call, result))
            uncertain(call);
        break;
    case HTTP_CONFIG:
        refused(call);
        break;
    }
}

static void etcd_failed(struct call *call, long status)
{
    struct failure failure;
    int code = grpc_error_classify(&call->error, &failure);

    failure_set(&call->failure, code, "%s%s%s: HTTP %ld: %s",
                call->sd->endpoints.urls[call->endpoint], call->api, call->path, status,
                failure.text);
    if (grpc_error_wants_token(&call->error) && renew_token(call))
        return;
    /* A member that lags behind does not know the new one yet. */
    if (grpc_error_wants_token(&call->error) && call->renewed) {
        retry(call);
        return;
    }
    if (!grpc_error_is_transient(&call->error))
        finish(call, NULL);
    else if (strstr(call->error.text, "no leader") ||
             strstr(call->error.text, "too many requests") || grpc_error_is_dropped(&call->error))
        retry(call); /* we asked for a leader: refused before it was looked at */
    else
        uncertain(call);
}

/* An answer without etcd's JSON: a proxy, another program, another version. */
static void http_failed(struct call *call, long status, const struct buffer *text)
{
    const char *url = call->sd->endpoints.urls[call->endpoint];

    if (status == 404 && endpoints_next_api(&call->sd->endpoints, call->api) == 0) {
        attempt(call);
        return;
    }
    http_refusal(&call->failure, url, call->api, call->path, status,
                 libsd_bytes(text->data, text->size));
    if (call->failure.code == LIBSD_EUNAVAILABLE || (status == 200 && (call->flags & CALL_WRITE)))
        uncertain(call);
    else
        refused(call);
}

static bool is_object(const struct buffer *text)
{
    size_t at = 0;

    while (at < text->size && text->data[at] && strchr(" \t\r\n", text->data[at]))
        at++;
    return at < text->size && text->data[at] == '{';
}

static void transfer_done(struct transfer *transfer, CURLcode result, long status)
{
    struct call *call = container_of(transfer, struct call, transfer);
    struct buffer text = transfer->answer;
    bool is_error = grpc_error_read(text.data, text.size, &call->error);

    transfer->answer = (struct buffer){ 0 };
    call->sd->counters.bytes_received += text.size;
    if (result == CURLE_OK)
        call->sd->counters.answered_ns = now_ns();
    if (is_error && grpc_error_is_no_path(&call->error, status))
        is_error = false;
    if (result != CURLE_OK) {
        transport_failed(call, result);
    } else if (is_error) {
        etcd_failed(call, status);
    } else if (status != 200 || !is_object(&text)) {
        http_failed(call, status, &text);
    } else {
        failure_set(&call->failure, 0, "%s%s%s: HTTP %ld", call->sd->endpoints.urls[call->endpoint],
                    call->api, call->path, status);
        loop_heard(&call->sd->loop);
        finish(call, &text);
    }
    buffer_free(&text);
}

static int attempt_timeout_ms(const struct call *call, int64_t left_ns)
{
    int64_t most = call->attempt_ms ? call->attempt_ms : CALL_ATTEMPT_MS;

    if (call->idle_ms)
        return call->deadline_ns ? (int)((left_ns + MS - 1) / MS) : 0;
    /* One member that hangs may not use up all the time if there are others
     * that can be asked the same. */
    if (!(call->flags & CALL_WRITE) && call->attempts + 1 < call->sd->endpoints.count)
        left_ns /= 2;
    if (call->deadline_ns && left_ns < most * MS)
        most = (left_ns + MS - 1) / MS;
    return (int)most;
}

static void attempt(struct call *call)
{
    struct libsd *sd = call->sd;
    int64_t left_ns = call->deadline_ns - now_ns();
    size_t endpoint = call->only ? call->only - 1 : sd->endpoints.current;
    struct http_request request = {
        .options = &sd->options,
        .url = sd->endpoints.urls[endpoint],
        .api = sd->endpoints.api,
        .path = call->path,
        .needs_leader = !(call->flags & CALL_SERIALIZABLE),
        .timeout_ms = attempt_timeout_ms(call, left_ns),
        .idle_ms = call->idle_ms,
        .once = call->flags & (CALL_WRITE | CALL_COUNTED),
        .body = call->body.data,
        .body_size = call->body.size,
    };

    if (call->deadline_ns && left_ns <= 0) {
        if (call->failure.code == 0)
            failure_set(&call->failure, LIBSD_ETIMEDOUT, "no time left");
        finish_soon(call);
        return;
    }
    if (!(call->flags & CALL_NO_TOKEN)) {
        if (!auth_ready(sd, &call->wait))
            return;
        request.token = sd->auth.token;
        call->token = sd->auth.serial;
    }
    call->endpoint = endpoint;
    call->api = sd->endpoints.api;
    call->sent_ns = now_ns();
    sd->counters.requests++;
    sd->counters.retries += call->attempts > 0;
    sd->counters.bytes_sent += call->body.size;
    call->transfer.done = transfer_done;
    if (call->body.failed || transfer_start(&sd->loop, &call->transfer, &request) < 0) {
        failure_set(&call->failure, LIBSD_ENOMEM, "out of memory");
        finish_soon(call);
    }
}

static void token_ready(struct auth_wait *wait, const struct failure *failure)
{
    struct call *call = container_of(wait, struct call, wait);

    if (!failure) {
        attempt(call);
        return;
    }
    call->failure = *failure;
    if (libsd_error_is_retriable(failure->code))
        retry(call);
    else
        finish(call, NULL);
}

void call_start(struct call *call)
{
    call->active = true;
    call->renewed = false;
    call->unsure = false;
    call->attempts = 0;
    call->backoff = (struct backoff){ 0 };
    call->refusals = 0;
    call->failure.code = 0;
    call->failure.text[0] = '\0';
    call->error.code = 0;
    call->wait.ready = token_ready;
    endpoints_turn(&call->sd->endpoints);
    attempt(call);
}

void call_cancel(struct call *call)
{
    if (!call->active)
        return;
    transfer_stop(&call->transfer);
    timer_stop(&call->timer);
    auth_cancel(&call->wait);
    buffer_free(&call->body);
    call->active = false;
}
