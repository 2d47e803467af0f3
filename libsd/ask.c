/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A call to etcd that blocks the application's thread.  The answer is read on
 * that thread: the I/O thread has leases to look after.
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

static struct asking *asking_new(libsd *sd, const struct question *question, int timeout_ms)
{
    struct asking *asking = calloc(1, sizeof *asking);

    if (!asking)
        return NULL;
    waiter_init(&asking->waiter, asking_free);
    asking->task.run = asking_start;
    asking->call.sd = sd;
    asking->call.path = question->path;
    asking->call.body = *question->body;
    asking->call.flags = question->flags;
    asking->call.deadline_ns = now_ns() + timeout_ms * MS;
    asking->call.idle_ms = question->big_answer ? BIG_IDLE_MS : 0;
    asking->call.done = asking_done;
    *question->body = (struct buffer){ 0 };
    return asking;
}

int ask(libsd *sd, const struct question *question, struct buffer *text, struct answer *answer,
        struct grpc_error *error)
{
    int timeout_ms = question->timeout_ms ? question->timeout_ms : sd->options.timeout_ms;
    struct asking *asking = NULL;
    struct failure failure = { 0 };

    *text = (struct buffer){ 0 };
    answer->records = (struct records){ 0 };
    if (error)
        error->code = 0;
    if (!question->body->failed)
        asking = asking_new(sd, question, timeout_ms);
    if (!asking) {
        failure_set(&failure, LIBSD_ENOMEM, "out of memory");
        goto fail;
    }
    if (!loop_post(&sd->loop, &asking->task)) {
        failure_set(&failure, LIBSD_ECLOSED, "the handle is being closed");
        waiter_drop(&asking->waiter);
    } else if (!waiter_wait(&asking->waiter, asking->call.deadline_ns + WAIT_GRACE_NS)) {
        failure_set(&failure, LIBSD_ETIMEDOUT, "the I/O thread does not answer");
    } else {
        failure = asking->waiter.failure;
        *text = asking->text;
        asking->text = (struct buffer){ 0 };
        if (error)
            *error = asking->call.error;
    }
    waiter_drop(&asking->waiter);
    if (failure.code == 0 && question->place)
        *question->place = failure;
    if (failure.code == 0) {
        if (question->keepalive)
            keepalive_read(text, answer, &failure);
        else
            answer_read(text, answer, &failure);
    }
    if (failure.code == 0)
        return 0;
fail:
    buffer_free(question->body);
    return handle_fail(sd, &failure);
}
