/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Checks by a function of the application, which may take its time: each has a
 * thread of its own.
 */
#include <signal.h>

#include "check.h"
#include "handle.h"
#include "internal.h"

/* The handle whose check the thread runs. */
static _Thread_local const struct libsd *inside;

bool checks_is_mine(const struct libsd *sd)
{
    return inside == sd;
}

/* A result on its way to the loop's thread. */
static void finished(struct task *task)
{
    struct check *check = container_of(task, struct check, finished);

    if (check->late)
        check->late = false; /* that run was given up */
    else if (check->is_running)
        check_result(check, check->result == 0, "the callback says so");
    check_drop(check);
}

/* Waits for the next run.  Returns false when there is none any more.  With the
 * lock. */
static bool wait_for_run(struct check *check)
{
    while (!check->go && !check->closed)
        pthread_cond_wait(&check->wanted, &check->sd->checks.mutex);
    check->go = false;
    check->busy = !check->closed;
    return check->busy;
}

static void *callback_main(void *arg)
{
    struct check *check = arg;
    struct libsd *sd = check->sd;
    struct checks *checks = &sd->checks;
    bool close_wanted = false;

    inside = sd;
    pthread_mutex_lock(&checks->mutex);
    while (!close_wanted && wait_for_run(check)) {
        int result;

        pthread_mutex_unlock(&checks->mutex);
        result = check->callback(sd, check->service, check->instance, check->callback_arg);
        pthread_mutex_lock(&checks->mutex);
        check->busy = false;
        check->result = result;
        check_keep(check);
        if (!loop_post(&checks->loop, &check->finished))
            check_drop(check);
        pthread_cond_broadcast(&checks->changed);
        close_wanted = checks->close_wanted;
        checks->close_wanted = false; /* it is ours to do */
    }
    LIST_REMOVE(check, callback_link);
    pthread_mutex_unlock(&checks->mutex);
    check_drop(check);
    if (close_wanted) {
        handle_end(sd);
        return NULL;
    }
    pthread_mutex_lock(&checks->mutex);
    checks->threads--;
    pthread_cond_broadcast(&checks->changed);
    pthread_mutex_unlock(&checks->mutex);
    return NULL;
}

/* With the lock. */
static bool need_thread(struct check *check)
{
    struct checks *checks = &check->sd->checks;
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t old;

    if (check->has_thread || check->closed)
        return check->has_thread;
    check->finished.run = finished;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    check_keep(check);
    check->has_thread = pthread_create(&thread, &attributes, callback_main, check) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    if (!check->has_thread) {
        check_drop(check);
        return false;
    }
    checks->threads++;
    LIST_INSERT_HEAD(&checks->callbacks, check, callback_link);
    return true;
}

bool callback_run(struct check *check)
{
    bool begun;

    pthread_mutex_lock(&check->sd->checks.mutex);
    begun = need_thread(check);
    check->go = begun;
    pthread_cond_signal(&check->wanted);
    pthread_mutex_unlock(&check->sd->checks.mutex);
    return begun;
}

void callback_close(struct check *check)
{
    pthread_mutex_lock(&check->sd->checks.mutex);
    check->closed = true;
    pthread_cond_signal(&check->wanted);
    pthread_mutex_unlock(&check->sd->checks.mutex);
}

/* One of our own callbacks that waits for another one would be waited for by
 * that, too, if it did the same: so it does not wait at all. */
void checks_settle(struct libsd *sd)
{
    struct checks *checks = &sd->checks;
    struct check *check;

    if (checks_is_mine(sd))
        return;
    pthread_mutex_lock(&checks->mutex);
    check = LIST_FIRST(&checks->callbacks);
    while (check) {
        if (check->closed && check->busy) {
            pthread_cond_wait(&checks->changed, &checks->mutex);
            check = LIST_FIRST(&checks->callbacks);
        } else {
            check = LIST_NEXT(check, callback_link);
        }
    }
    pthread_mutex_unlock(&checks->mutex);
}
