/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * When checks run and what their results mean; see check.h.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "registration.h"

#define INTERVAL_MS 10000
#define TIMEOUT_MS  2000
#define LIMIT_MS    86400000
#define RISE        1
#define FALL        3
#define ROW_MAX     1000
#define FIRST_NS    (200 * MS) /* the first runs of many are spread over this */

/* ---- results (the loop's thread) ---------------------------------------- */

static void run(struct timer *timer);

static void verdict(struct task *task)
{
    struct check *check = container_of(task, struct check, verdict);

    atomic_store(&check->posted, false);
    if (check->registration)
        registration_withhold(check->registration, WITHHELD_UNHEALTHY,
                              !atomic_load(&check->healthy));
    check_drop(check);
}

static void tell(struct check *check)
{
    atomic_store(&check->healthy, check->passing);
    if (atomic_exchange(&check->posted, true))
        return; /* it is on its way and will see what we stored */
    check_keep(check);
    if (!loop_post(&check->sd->loop, &check->verdict))
        check_drop(check);
}

/* From begin to begin, so that slow checks come as often as quick ones; a tenth
 * more or less, so that many do not come together. */
static void run_later(struct check *check)
{
    int64_t interval = check->interval_ns * 9 / 10 + jitter(check->interval_ns / 5);

    check->timer.fire = run;
    timer_start(&check->sd->checks.loop, &check->timer, check->begun_ns + interval - now_ns());
}

static void note(struct check *check, const char *why)
{
    struct failure failure;

    failure_set(&failure, LIBSD_EUNAVAILABLE, "check of %s/%s failed: %s", check->service,
                check->instance, why);
    handle_background(check->sd, &failure);
    handle_log(check->sd, check->row == 1 ? LIBSD_LOG_WARNING : LIBSD_LOG_DEBUG, "%s",
               failure.text);
}

void check_result(struct check *check, bool good, const char *why)
{
    check->is_running = false;
    check->row = good != check->good ? 1 : check->row + (check->row < ROW_MAX);
    check->good = good;
    if (!good)
        note(check, why);
    run_later(check);
    if (good != check->passing && check->row >= (good ? check->rise : check->fall)) {
        check->passing = good;
        tell(check);
    }
}

/* ---- runs --------------------------------------------------------------- */

/* curl keeps the time of its own. */
static void time_is_up(struct timer *timer)
{
    struct check *check = container_of(timer, struct check, timer);

    if (check->type == LIBSD_CHECK_COMMAND) {
        command_timeout(check);
        return;
    }
    check->late = true;
    check_result(check, false, "no result in time");
}

static void take_next_url(struct check *check)
{
    char *url = atomic_exchange(&check->next_url, NULL);

    if (!url)
        return;
    free(check->url);
    check->url = url;
}

static void run(struct timer *timer)
{
    struct check *check = container_of(timer, struct check, timer);
    bool begun;

    take_next_url(check);
    check->begun_ns = now_ns();
    if (check->late) {
        run_later(check); /* the callback is still at it */
        return;
    }
    check->is_running = true;
    if (check->type == LIBSD_CHECK_CALLBACK)
        begun = callback_run(check);
    else if (check->type == LIBSD_CHECK_COMMAND)
        begun = command_run(check);
    else
        begun = http_run(check);
    if (!begun) {
        check_result(check, false, "it can't be started");
        return;
    }
    if (check->type == LIBSD_CHECK_CALLBACK || check->type == LIBSD_CHECK_COMMAND) {
        check->timer.fire = time_is_up;
        timer_start(&check->sd->checks.loop, &check->timer, check->timeout_ns);
    }
}

static void start_task(struct task *task)
{
    struct check *check = container_of(task, struct check, start);

    LIST_INSERT_HEAD(&check->sd->checks.running, check, link);
    check->timer.fire = run;
    timer_start(&check->sd->checks.loop, &check->timer, jitter(FIRST_NS));
}

static void end(struct check *check)
{
    timer_stop(&check->timer);
    http_cancel(check);
    command_cancel(check);
    check->is_running = false; /* a callback's result may still come */
    LIST_REMOVE(check, link);
    check_drop(check);
}

static void stop_task(struct task *task)
{
    end(container_of(task, struct check, stop));
}

/* ---- from the I/O thread ------------------------------------------------ */

void check_start(struct check *check, struct registration *registration)
{
    check->registration = registration;
    check_keep(check);
    if (!loop_post(&check->sd->checks.loop, &check->start))
        check_drop(check);
}

void check_stop(struct check *check)
{
    if (!check->registration)
        return;
    check->registration = NULL;
    callback_close(check);
    loop_post(&check->sd->checks.loop, &check->stop); /* else checks_end() did it */
}

void check_move(struct check *check, const libsd_instance *instance)
{
    char address[sizeof instance->host + 8];
    char *url;

    if (!check->path)
        return;
    libsd_instance_text(instance, address, sizeof address);
    if (asprintf(&url, "http://%s%s", address, check->path) < 0)
        handle_log(check->sd, LIBSD_LOG_WARNING, "check of %s/%s: no memory to follow its address",
                   check->service, check->instance);
    else
        free(atomic_exchange(&check->next_url, url));
}

/* ---- the thread --------------------------------------------------------- */

void checks_init(struct checks *checks)
{
    pthread_mutex_init(&checks->mutex, NULL);
    pthread_cond_init(&checks->changed, NULL);
}

static void after_turn(struct loop *loop)
{
    (void)loop;
}

static int need_thread(struct checks *checks)
{
    int rc = 0;

    pthread_mutex_lock(&checks->mutex);
    if (!checks->started) {
        rc = loop_init(&checks->loop);
        checks->loop.after_turn = after_turn;
        if (rc == 0 && (rc = loop_start(&checks->loop)) < 0)
            loop_free(&checks->loop);
        checks->started = rc == 0;
        if (rc == 0)
            pthread_setname_np(checks->loop.thread, "libsd-checks");
    }
    pthread_mutex_unlock(&checks->mutex);
    return rc;
}

static void end_all(struct task *task)
{
    struct checks *checks = container_of(task, struct checks, end);
    struct check *check;

    while ((check = LIST_FIRST(&checks->running)))
        end(check);
    loop_stop(&checks->loop);
}

void checks_end(struct libsd *sd)
{
    struct checks *checks = &sd->checks;
    struct check *check;

    if (!checks->started)
        return;
    checks->end.run = end_all;
    loop_post_last(&checks->loop, &checks->end);
    loop_join(&checks->loop);
    pthread_mutex_lock(&checks->mutex);
    LIST_FOREACH(check, &checks->callbacks, callback_link)
    {
        check->closed = true;
        pthread_cond_signal(&check->wanted);
    }
    while (checks->threads > (checks_is_mine(sd) ? 1U : 0U))
        pthread_cond_wait(&checks->changed, &checks->mutex);
    pthread_mutex_unlock(&checks->mutex);
}

void checks_free(struct checks *checks)
{
    if (checks->started)
        loop_free(&checks->loop);
    pthread_cond_destroy(&checks->changed);
    pthread_mutex_destroy(&checks->mutex);
}

/* ---- making one --------------------------------------------------------- */

void check_keep(struct check *check)
{
    atomic_fetch_add_explicit(&check->references, 1, memory_order_relaxed);
}

void check_drop(struct check *check)
{
    if (atomic_fetch_sub_explicit(&check->references, 1, memory_order_acq_rel) != 1)
        return;
    for (char **word = check->command; word && *word; word++)
        free(*word);
    free(check->command);
    free(check->service);
    free(check->instance);
    free(check->url);
    free(check->next_url);
    free(check->path);
    free(check->host_header);
    pthread_cond_destroy(&check->wanted);
    free(check);
}

static bool copy_command(struct check *check, const char *const *words)
{
    size_t count = 0;

    while (words[count])
        count++;
    check->command = calloc(count + 1, sizeof *check->command);
    for (size_t i = 0; check->command && i < count; i++) {
        check->command[i] = strdup(words[i]);
        if (!check->command[i])
            return false;
    }
    return check->command != NULL;
}

/* tcp connects to http://host:port, too, but says nothing there. */
static bool make_url(struct check *check, const libsd_check *spec, const char *address)
{
    const char *target = spec->target ? spec->target : "";
    bool is_whole = strstr(target, "://");

    if (spec->type == LIBSD_CHECK_HTTP && !is_whole && !*target)
        target = "/";
    if (!*target || *target == '/') {
        check->path = strdup(target);
        if (!check->path)
            return false;
    } else {
        address = "";
    }
    if (asprintf(&check->url, "%s%s%s", is_whole ? "" : "http://", address, target) < 0)
        check->url = NULL;
    return check->url != NULL;
}

static bool copy(struct check *check, const libsd_check *spec, const libsd_registration *about)
{
    check->service = strdup(about->service);
    check->instance = strdup(about->instance);
    if (!check->service || !check->instance)
        return false;
    if (spec->type == LIBSD_CHECK_COMMAND)
        return copy_command(check, spec->command);
    if (spec->type == LIBSD_CHECK_CALLBACK)
        return true;
    if (spec->host && asprintf(&check->host_header, "Host: %s", spec->host) < 0) {
        check->host_header = NULL;
        return false;
    }
    return make_url(check, spec, about->address);
}

static bool is_target(const libsd_check *spec)
{
    const char *target = spec->target;
    struct failure failure;

    if (spec->host && strpbrk(spec->host, "\r\n"))
        return false;
    if (!target)
        return true;
    if (spec->type == LIBSD_CHECK_TCP)
        return value_check_address(target, &failure) == 0;
    return (target[0] == '/' || strncmp(target, "http://", 7) == 0 ||
            strncmp(target, "https://", 8) == 0) &&
           !strpbrk(target, " \t\r\n");
}

static int check_spec(const libsd_check *spec, struct failure *failure)
{
    bool net = spec->type == LIBSD_CHECK_TCP || spec->type == LIBSD_CHECK_HTTP;

    if (spec->type < LIBSD_CHECK_TCP || spec->type > LIBSD_CHECK_CALLBACK)
        return failure_set(failure, LIBSD_EINVAL, "check: there is no type %d", spec->type);
    if (net && !is_target(spec))
        return failure_set(failure, LIBSD_EINVAL, "check: '%.60s' is no target for it",
                           spec->target ? spec->target : spec->host);
    if (spec->type == LIBSD_CHECK_COMMAND && (!spec->command || !spec->command[0]))
        return failure_set(failure, LIBSD_EINVAL, "check: there is no command");
    if (spec->type == LIBSD_CHECK_CALLBACK && !spec->callback)
        return failure_set(failure, LIBSD_EINVAL, "check: there is no callback");
    if (spec->interval_ms < 0 || spec->interval_ms > LIMIT_MS || spec->timeout_ms < 0 ||
        spec->timeout_ms > LIMIT_MS || spec->rise < 0 || spec->rise > ROW_MAX || spec->fall < 0 ||
        spec->fall > ROW_MAX)
        return failure_set(failure, LIBSD_EINVAL, "check: a number is out of range");
    return 0;
}

int check_new(struct libsd *sd, const libsd_check *from, const libsd_registration *about,
              struct check **check, struct failure *failure)
{
    libsd_check spec = { 0 };
    struct check *made;

    if (from->size < sizeof from->size)
        return failure_set(failure, LIBSD_EINVAL, "check: size is not set");
    memcpy(&spec, from, from->size < sizeof spec ? from->size : sizeof spec);
    if (check_spec(&spec, failure) < 0)
        return LIBSD_EINVAL;
    failure_set(failure, LIBSD_ENOMEM, "out of memory or threads");
    made = need_thread(&sd->checks) == 0 ? calloc(1, sizeof *made) : NULL;
    if (!made)
        return LIBSD_ENOMEM;
    atomic_init(&made->references, 1);
    pthread_cond_init(&made->wanted, NULL);
    made->sd = sd;
    made->type = spec.type;
    made->callback = spec.callback;
    made->callback_arg = spec.callback_arg;
    made->interval_ns = (spec.interval_ms ? spec.interval_ms : INTERVAL_MS) * MS;
    made->timeout_ns = (spec.timeout_ms ? spec.timeout_ms : TIMEOUT_MS) * MS;
    made->rise = spec.rise ? (unsigned)spec.rise : RISE;
    made->fall = spec.fall ? (unsigned)spec.fall : FALL;
    made->passing = spec.passing != 0;
    made->start.run = start_task;
    made->stop.run = stop_task;
    made->verdict.run = verdict;
    if (!copy(made, &spec, about)) {
        check_drop(made);
        return LIBSD_ENOMEM;
    }
    *check = made;
    return 0;
}
