/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Locks as the application has them: what the threads of the application do,
 * and what they ask the I/O thread for.
 */
#include <stdlib.h>

#include "contest.h"
#include "internal.h"

#define TTL_S          10
#define NAME_BYTES_MAX 1024

bool lock_is_name(const char *name)
{
    return name && *name && strlen(name) <= NAME_BYTES_MAX;
}

/* ---- I/O thread --------------------------------------------------------- */

static void start_task(struct task *task)
{
    contest_begin(container_of(task, struct libsd_mutex, start));
}

/* The lock's tasks hold a reference: another one may have ended it meanwhile. */
static void release_task(struct task *task)
{
    struct libsd_mutex *mutex = container_of(task, struct libsd_mutex, release);

    if (mutex->begun)
        contest_leave(mutex);
    owner_drop(&mutex->owner);
}

static void close_task(struct task *task)
{
    struct libsd_mutex *mutex = container_of(task, struct libsd_mutex, close);

    if (mutex->begun)
        contest_abandon(mutex);
    owner_drop(&mutex->owner);
}

/* What stands in the way, as far as is known. */
static void time_is_up(const struct libsd_mutex *mutex, struct failure *failure)
{
    const struct keeper *keeper = &mutex->keeper;

    failure_set(failure, LIBSD_ETIMEDOUT, "not done in time");
    if (mutex->call.active && libsd_error_is_retriable(mutex->call.failure.code))
        *failure = mutex->call.failure;
    else if (keeper->call.active && libsd_error_is_retriable(keeper->call.failure.code))
        *failure = keeper->call.failure;
    else if (keeper->failures && libsd_error_is_retriable(keeper->failure.code))
        *failure = keeper->failure;
    else if (libsd_error_is_retriable(mutex->failure.code))
        *failure = mutex->failure;
    else if (mutex->phase == PHASE_QUEUE && mutex->before.state != SUBSCRIPTION_NONE)
        failure_set(failure, LIBSD_ETIMEDOUT, "%.*s is before us", (int)mutex->before.span.key.size,
                    (const char *)mutex->before.span.key.data);
}

static void errand_timeout(struct timer *timer)
{
    struct errand *errand = container_of(timer, struct errand, timer);
    struct libsd_mutex *mutex = errand->mutex;
    struct failure failure;

    time_is_up(mutex, &failure);
    contest_answer(mutex, &failure);
    contest_abandon(mutex);
}

/* The errand is the mutex's until it is answered. */
static void errand_begin(struct errand *errand)
{
    struct libsd_mutex *mutex = errand->mutex;

    mutex->errand = errand;
    errand->timer.fire = errand_timeout;
    timer_start(&mutex->sd->loop, &errand->timer, errand->deadline_ns - now_ns());
}

static void wait_task(struct task *task)
{
    struct errand *errand = container_of(task, struct errand, task);

    errand_begin(errand);
    contest_begin(errand->mutex);
}

static void unlock_task(struct task *task)
{
    struct errand *errand = container_of(task, struct errand, task);
    struct libsd_mutex *mutex = errand->mutex;
    struct failure failure = { 0 };

    errand_begin(errand);
    if (mutex->lost)
        failure_set(&failure, LIBSD_ELEASE, "the lock had been lost before");
    if (mutex->lost || mutex->phase == PHASE_OVER)
        contest_answer(mutex, &failure);
    contest_abandon(mutex);
}

/* ---- waiting ------------------------------------------------------------ */

static void errand_free(struct waiter *waiter)
{
    struct errand *errand = container_of(waiter, struct errand, waiter);

    owner_drop(&errand->mutex->owner);
    free(errand);
}

static struct errand *errand_new(struct libsd_mutex *mutex, int timeout_ms,
                                 void (*run)(struct task *))
{
    struct errand *errand = calloc(1, sizeof *errand);

    if (!errand)
        return NULL;
    waiter_init(&errand->waiter, errand_free);
    owner_keep(&mutex->owner);
    errand->mutex = mutex;
    errand->task.run = run;
    errand->deadline_ns = now_ns() + (timeout_ms ? timeout_ms : mutex->sd->options.timeout_ms) * MS;
    return errand;
}

/* Posts it and waits for its end; posted tells whether it got so far. */
static int errand_run(struct errand *errand, bool *posted)
{
    struct libsd *sd = errand->mutex->sd;
    struct failure failure = { 0 };

    *posted = loop_post(&sd->loop, &errand->task);
    if (!*posted) {
        failure_set(&failure, LIBSD_ECLOSED, "the handle is being closed");
        waiter_drop(&errand->waiter);
    } else if (waiter_wait(&errand->waiter, errand->deadline_ns + WAIT_GRACE_NS)) {
        failure = errand->waiter.failure;
    } else {
        failure_set(&failure, LIBSD_ETIMEDOUT, "the I/O thread does not answer");
    }
    if (failure.code < 0)
        handle_fail(sd, &failure);
    waiter_drop(&errand->waiter);
    return failure.code;
}

/* Posts a task of the mutex, with a reference. */
static void post(struct libsd_mutex *mutex, struct task *task, void (*run)(struct task *))
{
    task->run = run;
    owner_keep(&mutex->owner);
    if (!loop_post(&mutex->sd->loop, task))
        owner_drop(&mutex->owner); /* the handle ends it */
}

int lock_wait(struct libsd_mutex *mutex, int ttl_s, int timeout_ms, struct libsd_mutex **out)
{
    struct errand *errand = errand_new(mutex, timeout_ms, wait_task);
    bool posted;
    int rc;

    if (!errand) {
        owner_drop(&mutex->owner);
        return LIBSD_ENOMEM;
    }
    mutex->keeper.ttl_s = ttl_s ? ttl_s : TTL_S;
    owner_keep(&mutex->owner); /* it may be over before we look */
    rc = errand_run(errand, &posted);
    if (!posted)
        owner_drop(&mutex->owner);
    else if (rc < 0)
        post(mutex, &mutex->close, close_task); /* harmless if it knows */
    else
        *out = mutex;
    owner_drop(&mutex->owner);
    return rc;
}

int lock_begin(struct libsd_mutex *mutex, const libsd_lock_options *options,
               libsd_lock_callback *callback, void *arg, struct libsd_mutex **out)
{
    libsd_lock_options given = { 0 };
    bool sound = !options || options->size >= sizeof options->size;

    if (options && sound)
        memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
    if (!sound || given.ttl_s < 0 || given.lease < 0) {
        owner_drop(&mutex->owner);
        return LIBSD_EINVAL;
    }
    mutex->keeper.ttl_s = given.ttl_s ? given.ttl_s : TTL_S;
    mutex->try_only = given.try_only;
    mutex->borrowed = given.lease;
    mutex->callback = callback;
    mutex->arg = arg;
    mutex->start.run = start_task;
    /* Before the start: a callback may want to close it. */
    *out = mutex;
    if (loop_post(&mutex->sd->loop, &mutex->start))
        return 0;
    *out = NULL;
    owner_drop(&mutex->owner);
    return LIBSD_ECLOSED;
}

/* ---- application -------------------------------------------------------- */

struct wish {
    int ttl_s;
    bool try_only;
    int64_t lease; /* 0: one of its own */
};

static int lock(libsd *sd, const char *name, const struct wish *wish, int timeout_ms,
                libsd_mutex **out)
{
    struct libsd_mutex *mutex;
    int rc = handle_check_blocking(sd);

    if (out)
        *out = NULL;
    if (rc < 0)
        return rc;
    if (!out || !lock_is_name(name) || wish->ttl_s < 0 || timeout_ms < 0)
        return LIBSD_EINVAL;
    mutex = contest_new(sd, name, libsd_bytes(NULL, 0));
    if (!mutex)
        return LIBSD_ENOMEM;
    mutex->try_only = wish->try_only;
    mutex->borrowed = wish->lease;
    return lock_wait(mutex, wish->ttl_s, timeout_ms, out);
}

int libsd_lock(libsd *sd, const char *name, int ttl_s, int timeout_ms, libsd_mutex **mutex)
{
    const struct wish wish = { .ttl_s = ttl_s };

    return lock(sd, name, &wish, timeout_ms, mutex);
}

int libsd_trylock(libsd *sd, const char *name, int ttl_s, int timeout_ms, libsd_mutex **mutex)
{
    const struct wish wish = { .ttl_s = ttl_s, .try_only = true };

    return lock(sd, name, &wish, timeout_ms, mutex);
}

int libsd_lock_with_lease(libsd *sd, const char *name, int64_t lease, int timeout_ms,
                          libsd_mutex **mutex)
{
    const struct wish wish = { .lease = lease };

    return lease > 0 ? lock(sd, name, &wish, timeout_ms, mutex) : LIBSD_EINVAL;
}

int libsd_lock_start(libsd *sd, const char *name, const libsd_lock_options *options,
                     libsd_lock_callback *callback, void *arg, libsd_mutex **mutex)
{
    struct libsd_mutex *made;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (!mutex || !lock_is_name(name))
        return LIBSD_EINVAL;
    *mutex = NULL;
    made = contest_new(sd, name, libsd_bytes(NULL, 0));
    return made ? lock_begin(made, options, callback, arg, mutex) : LIBSD_ENOMEM;
}

int libsd_lock_is_held(const libsd_mutex *mutex)
{
    int64_t until;

    if (!mutex || handle_check(mutex->sd) < 0 ||
        atomic_load_explicit(&mutex->given_up, memory_order_acquire))
        return 0;
    until = atomic_load_explicit(&mutex->held_until_ns, memory_order_acquire);
    return until && keeper_clock_ns() < until;
}

int64_t libsd_lock_revision(const libsd_mutex *mutex)
{
    return mutex ? atomic_load_explicit(&mutex->revision, memory_order_acquire) : 0;
}

libsd_slice libsd_lock_key(const libsd_mutex *mutex)
{
    return libsd_str(libsd_lock_revision(mutex) ? mutex->key : "");
}

int libsd_lock_release(libsd_mutex *mutex)
{
    int rc;

    if (!mutex)
        return LIBSD_EINVAL;
    rc = handle_check(mutex->sd);
    if (rc == 0 && !atomic_exchange(&mutex->given_up, true))
        post(mutex, &mutex->release, release_task);
    return rc;
}

int libsd_unlock(libsd_mutex *mutex, int timeout_ms)
{
    struct errand *errand;
    bool posted;
    int rc;

    if (!mutex || timeout_ms < 0)
        return LIBSD_EINVAL;
    rc = handle_check_blocking(mutex->sd);
    if (rc < 0)
        return rc;
    atomic_store(&mutex->given_up, true);
    owner_close(mutex->sd, &mutex->owner);
    errand = errand_new(mutex, timeout_ms, unlock_task);
    if (errand)
        return errand_run(errand, &posted);
    post(mutex, &mutex->close, close_task);
    return LIBSD_ENOMEM;
}

void libsd_lock_close(libsd_mutex *mutex)
{
    /* In a forked child the lock is freed with the handle. */
    if (!mutex || handle_check(mutex->sd) < 0)
        return;
    atomic_store(&mutex->given_up, true);
    owner_close(mutex->sd, &mutex->owner);
    post(mutex, &mutex->close, close_task);
}
