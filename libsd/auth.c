/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Asking for the token, once for all who wait.
 */
#include "auth.h"

#include <stdlib.h>

#include "internal.h"

#define AUTH_TIMEOUT_MS 3000

static void wipe_token(struct auth *auth)
{
    if (auth->token)
        explicit_bzero(auth->token, strlen(auth->token));
    free(auth->token);
    auth->token = NULL;
}

static int take_token(struct auth *auth, struct buffer *text, struct failure *failure)
{
    struct answer answer;
    int rc = answer_read(text, &answer, failure);

    if (rc == 0 && answer.token.size == 0)
        rc = failure_set(failure, LIBSD_EPROTOCOL, "authenticated, but there is no token");
    if (rc == 0) {
        auth->token = strndup(answer.token.data, answer.token.size);
        auth->serial++;
        if (!auth->token)
            rc = failure_set(failure, LIBSD_ENOMEM, "out of memory");
    }
    records_free(&answer.records);
    return rc;
}

static void auth_done(struct call *call, struct buffer *text)
{
    struct auth *auth = &call->sd->auth;
    LIST_HEAD(, auth_wait) waiting = LIST_HEAD_INITIALIZER(waiting);
    struct auth_wait *wait;
    const struct failure *failure = NULL;

    /* etcd refuses a password when it needs none; etcdctl goes on, too. */
    if (call->error.code == GRPC_FAILED_PRECONDITION)
        auth->off = true;
    else if (call->failure.code < 0 || take_token(auth, text, &call->failure) < 0)
        failure = &call->failure;
    /* Take the whole list over: who comes back for another token must wait for
     * the next answer. */
    wait = LIST_FIRST(&auth->waiting);
    LIST_INIT(&auth->waiting);
    if (wait) {
        waiting.lh_first = wait;
        wait->link.le_prev = &waiting.lh_first;
    }
    while ((wait = LIST_FIRST(&waiting))) {
        auth_cancel(wait);
        wait->ready(wait, failure);
    }
}

static void ask(struct libsd *sd)
{
    struct call *call = &sd->auth.call;

    call->sd = sd;
    call->path = "/auth/authenticate";
    call->flags = CALL_NO_TOKEN | CALL_SERIALIZABLE;
    call->deadline_ns = now_ns() + AUTH_TIMEOUT_MS * MS;
    call->done = auth_done;
    buffer_text(&call->body, "{\"name\":");
    buffer_json_string(&call->body, sd->options.user);
    buffer_text(&call->body, ",\"password\":");
    buffer_json_string(&call->body, sd->options.password);
    buffer_text(&call->body, "}");
    call_start(call);
}

bool auth_ready(struct libsd *sd, struct auth_wait *wait)
{
    if (!*sd->options.user || sd->auth.token || sd->auth.off)
        return true;
    if (!wait->queued)
        LIST_INSERT_HEAD(&sd->auth.waiting, wait, link);
    wait->queued = true;
    if (!sd->auth.call.active)
        ask(sd);
    return false;
}

void auth_cancel(struct auth_wait *wait)
{
    if (wait->queued)
        LIST_REMOVE(wait, link);
    wait->queued = false;
}

void auth_refused(struct libsd *sd, unsigned serial)
{
    if (serial != sd->auth.serial)
        return;
    wipe_token(&sd->auth);
    sd->auth.off = false;
}

void auth_free(struct libsd *sd)
{
    call_cancel(&sd->auth.call);
    wipe_token(&sd->auth);
}
