/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The I/O thread.
 */
#include "loop.h"

#include <poll.h>
#include <signal.h>

#include "http.h"
#include "libsd.h"
#include "util.h"

/* Without memory curl can't wait, and returns at once. */
#define POLL_FAILED_MS 10

int loop_init(struct loop *loop)
{
    *loop = (struct loop){ .multi = curl_multi_init() };
    if (!loop->multi)
        return LIBSD_ENOMEM;
    pthread_mutex_init(&loop->mutex, NULL);
    STAILQ_INIT(&loop->tasks);
    return 0;
}

static bool post(struct loop *loop, struct task *task, bool last)
{
    bool taken;

    pthread_mutex_lock(&loop->mutex);
    taken = !loop->closed;
    if (taken)
        STAILQ_INSERT_TAIL(&loop->tasks, task, link);
    loop->closed |= last;
    pthread_mutex_unlock(&loop->mutex);
    if (taken)
        curl_multi_wakeup(loop->multi);
    return taken;
}

bool loop_post(struct loop *loop, struct task *task)
{
    return post(loop, task, false);
}

bool loop_post_last(struct loop *loop, struct task *task)
{
    return post(loop, task, true);
}

void loop_stop(struct loop *loop)
{
    loop->stop = true;
}

void timer_start(struct loop *loop, struct timer *timer, int64_t delay_ns)
{
    timers_add(&loop->timers, timer, now_ns() + (delay_ns > 0 ? delay_ns : 0), 0);
}

void timer_retry(struct loop *loop, struct timer *timer, struct backoff *backoff,
                 const struct failure *failure)
{
    int64_t now = now_ns();

    timers_add(&loop->timers, timer, now + backoff_next_ns(backoff, failure),
               libsd_error_is_retriable(failure->code) ? now + RETRY_NS : 0);
}

void timer_stop(struct timer *timer)
{
    timers_remove(timer);
}

void loop_heard(struct loop *loop)
{
    timers_heard(&loop->timers);
}

static void run_tasks(struct loop *loop)
{
    STAILQ_HEAD(, task) tasks = STAILQ_HEAD_INITIALIZER(tasks);
    struct task *task;

    pthread_mutex_lock(&loop->mutex);
    STAILQ_CONCAT(&tasks, &loop->tasks);
    pthread_mutex_unlock(&loop->mutex);
    while ((task = STAILQ_FIRST(&tasks))) {
        STAILQ_REMOVE_HEAD(&tasks, link);
        task->run(task); /* may free the task */
    }
}

/* Fires what was due when the turn began: a timer that arms itself again with
 * no delay must not hold up the sockets. */
static void run_timers(struct loop *loop)
{
    int64_t now = now_ns();
    struct timer *timer;

    while ((timer = loop->timers.first) && timer->due_ns <= now) {
        timer_stop(timer);
        timer->fire(timer);
    }
}

static int wait_ms(struct loop *loop)
{
    const struct timer *timer = loop->timers.first;
    int64_t wait;

    if (!timer)
        return 60000;
    wait = timer->due_ns - now_ns();
    if (wait <= 0)
        return 0;
    return wait < 60000 * MS ? (int)((wait + MS - 1) / MS) : 60000;
}

static void *loop_main(void *arg)
{
    struct loop *loop = arg;
    int running;

    for (;;) {
        run_tasks(loop);
        run_timers(loop);
        curl_multi_perform(loop->multi, &running);
        http_reap(loop);
        loop->after_turn(loop);
        if (loop->stop)
            return NULL;
        /* Returns early for loop_post(), and never later than curl's own
         * timeouts want. */
        if (curl_multi_poll(loop->multi, NULL, 0, wait_ms(loop), NULL) != CURLM_OK)
            poll(NULL, 0, POLL_FAILED_MS);
    }
}

int loop_start(struct loop *loop)
{
    sigset_t all;
    sigset_t old;
    int error;

    /* The program's handlers run on the program's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    error = pthread_create(&loop->thread, NULL, loop_main, loop);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error)
        return LIBSD_ENOMEM;
    pthread_setname_np(loop->thread, "libsd-io");
    return 0;
}

void loop_join(struct loop *loop)
{
    pthread_join(loop->thread, NULL);
}

void loop_free(struct loop *loop)
{
    curl_multi_cleanup(loop->multi);
    pthread_mutex_destroy(&loop->mutex);
}
