/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A request to etcd that blocks the application's thread, which reads the
 * answer, too.
 */
#include "ask.h"

#include <stdlib.h>

#include "internal.h"
#include "wait.h"

#define BIG_IDLE_MS 2000

struct asking {
    struct waiter waiter; /* first */
    struct task task;
    struct call call;
    struct buffer text;
};

static void asking_free(struct waiter *waiter)
{
    struct asking *asking = container_of(waiter, struct asking, waiter);

    buffer_free(&asking->call.body);
    buffer_free(&asking->text);
    free(asking);
}

static void asking_done(struct call *call, struct buffer *text)
{
    struct asking *asking = container_of(call, struct asking, call);

    asking->text = *text;
    *text = (struct buffer){ 0 };
    LIST_REMOVE(call, link);
    waiter_finish(&asking->waiter, &call->failure);
    waiter_drop(&asking->waiter);
}

static void asking_start(struct task *task)
{
    struct asking *asking = container_of(task, struct asking, task);

    LIST_INSERT_HEAD(&asking->call.sd->asked, &asking->call, link);
    call_start(&asking->call);
}

void asked_end(struct libsd *sd)
{
    struct call *call;
    struct buffer nothing = { 0 };

    while ((call = LIST_FIRST(&sd->asked))) {
        call_cancel(call);
        failure_set(&call->failure, LIBSD_ECLOSED, "the handle is being closed");
        asking_done(call, &nothing);
    }
}

static struct asking *asking_new(libsd *sd, const struct question *question)
{
    int64_t timeout_ms = question->timeout_ms ? question->timeout_ms : sd->options.timeout_ms;
    struct asking *asking = calloc(1, sizeof *asking);

    if (!asking)
        return NULL;
    waiter_init(&asking->waiter, asking_free);
    asking->task.run = asking_start;
    asking->call.sd = sd;
    asking->call.path = question->path;
    asking->call.body = *question->body;
    asking->call.flags = question->flags;
    asking->call.only = question->only;
    asking->call.deadline_ns = now_ns() + timeout_ms * MS;
    asking->call.idle_ms = question->big_answer ? BIG_IDLE_MS : 0;
    asking->call.done = asking_done;
    *question->body = (struct buffer){ 0 };
    return asking;
}

void ask_text(libsd *sd, const struct question *question, struct buffer *text,
              struct outcome *outcome)
{
    struct asking *asking = question->body->failed ? NULL : asking_new(sd, question);
    struct failure *failure = &outcome->failure;

    *text = (struct buffer){ 0 };
    *outcome = (struct outcome){ 0 };
    if (!asking) {
        buffer_free(question->body);
        failure_set(failure, LIBSD_ENOMEM, "out of memory");
        return;
    }
    if (!loop_post(&sd->loop, &asking->task)) {
        failure_set(failure, LIBSD_ECLOSED, "the handle is being closed");
        waiter_drop(&asking->waiter);
    } else if (!waiter_wait(&asking->waiter, asking->call.deadline_ns + WAIT_GRACE_NS)) {
        failure_set(failure, LIBSD_ETIMEDOUT, "the I/O thread does not answer");
        outcome->unsure = true;
    } else {
        *failure = asking->waiter.failure;
        *text = asking->text;
        asking->text = (struct buffer){ 0 };
        outcome->error = asking->call.error;
        outcome->unsure = asking->call.unsure;
    }
    waiter_drop(&asking->waiter);
}

int ask(libsd *sd, const struct question *question, struct buffer *text, struct answer *answer)
{
    struct outcome outcome;

    answer->records = (struct records){ 0 };
    ask_text(sd, question, text, &outcome);
    if (outcome.failure.code == 0 && answer_read(text, answer, &outcome.failure) == 0)
        return 0;
    return handle_fail(sd, &outcome.failure);
}

/* Makes the plan's next request. */
static void ask_next(libsd *sd, struct plan *plan, int timeout_ms, struct buffer *text,
                     struct outcome *outcome)
{
    const struct question question = {
        .path = plan->path,
        .body = &plan->body,
        .flags = plan->flags,
        .timeout_ms = timeout_ms,
        .big_answer = plan->big,
        .only = plan->only,
    };

    ask_text(sd, &question, text, outcome);
}

int libsd_execute(libsd *sd, const libsd_op *op, int timeout_ms, libsd_reply **reply)
{
    struct plan plan;
    struct failure failure;
    struct outcome outcome;
    struct buffer text;
    bool again = true;
    int rc = handle_check_blocking(sd);

    if (reply)
        *reply = NULL;
    if (rc < 0)
        return rc;
    if (!op || timeout_ms < 0)
        return LIBSD_EINVAL;
    rc = plan_init(&plan, sd, op, &failure);
    if (rc < 0) {
        plan_free(&plan);
        return handle_fail(sd, &failure);
    }
    while (again) {
        ask_next(sd, &plan, timeout_ms, &text, &outcome);
        again = plan_take(&plan, &outcome, &text);
        buffer_free(&text);
    }
    rc = plan.reply->public.error;
    if (rc < 0) {
        failure_set(&failure, rc, "%s", plan.reply->detail);
        handle_fail(sd, &failure);
    }
    if (reply)
        *reply = &plan_reply(&plan)->public;
    plan_free(&plan);
    return rc;
}
