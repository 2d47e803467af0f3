/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The token, for requests that the application makes without libsd.
 */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "wait.h"

struct showing {
    struct waiter waiter; /* first */
    struct task task;
    struct libsd *sd;
    char *token; /* NULL: none */
};

static void showing_free(struct waiter *waiter)
{
    struct showing *showing = container_of(waiter, struct showing, waiter);

    if (showing->token)
        explicit_bzero(showing->token, strlen(showing->token));
    free(showing->token);
    free(showing);
}

static void show(struct task *task)
{
    struct showing *showing = container_of(task, struct showing, task);
    const char *token = showing->sd->auth.token;
    struct failure failure = { 0 };

    showing->token = token ? strdup(token) : NULL;
    if (token && !showing->token)
        failure_set(&failure, LIBSD_ENOMEM, "out of memory");
    waiter_finish(&showing->waiter, &failure);
    waiter_drop(&showing->waiter);
}

/* What the I/O thread has. */
static int copy_token(libsd *sd, char *buffer, size_t size)
{
    struct showing *showing = calloc(1, sizeof *showing);
    int rc;

    if (!showing)
        return LIBSD_ENOMEM;
    waiter_init(&showing->waiter, showing_free);
    showing->sd = sd;
    showing->task.run = show;
    if (!loop_post(&sd->loop, &showing->task)) {
        waiter_drop(&showing->waiter);
        rc = LIBSD_ECLOSED;
    } else if (!waiter_wait(&showing->waiter, now_ns() + WAIT_GRACE_NS)) {
        rc = LIBSD_ETIMEDOUT;
    } else if (showing->waiter.failure.code < 0) {
        rc = showing->waiter.failure.code;
    } else {
        rc = snprintf(buffer, size, "%s", showing->token ? showing->token : "");
    }
    waiter_drop(&showing->waiter);
    return rc;
}

int libsd_auth_token(libsd *sd, char *buffer, size_t size, int timeout_ms)
{
    /* Any request makes the handle ask for a token, if it wants one. */
    const libsd_op op = libsd_op_status(NULL);
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (!buffer || size == 0 || timeout_ms < 0)
        return LIBSD_EINVAL;
    *buffer = '\0';
    rc = libsd_execute(sd, &op, timeout_ms, NULL);
    return rc < 0 ? rc : copy_token(sd, buffer, size);
}
