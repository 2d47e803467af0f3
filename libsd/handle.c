/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Opening and closing a handle.
 *
 * Closing: no more callbacks begin; the I/O thread ends watches, requests and
 * waiting calls, revokes the leases, which deletes their keys, and stops when
 * that is answered or CLOSE_MS are over.  Who was not told of a request is told
 * then, by the thread that closes.
 */
#include "handle.h"

#include <stdlib.h>
#include <unistd.h>

#include "contest.h"
#include "internal.h"
#include "keepalive.h"
#include "observe.h"
#include "process.h"

/* Below the 2 seconds that libsd_close() promises. */
#define CLOSE_MS   1700
#define PAGE_LIMIT 5000
#define AUDIT_NS   (360 * S)  /* jittered: each 3 to 6 minutes */
#define FLUSH_NS   (100 * MS) /* until another try to start the dispatcher */

/* What fails for want of memory is tried again by the next handle. */
static bool init_curl(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static bool ready;
    bool done;

    pthread_mutex_lock(&mutex);
    if (!ready)
        ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    done = ready;
    pthread_mutex_unlock(&mutex);
    return done;
}

static void flush_again(struct timer *timer)
{
    (void)timer; /* the turn that it makes will do */
}

static void after_turn(struct loop *loop)
{
    struct libsd *sd = container_of(loop, struct libsd, loop);

    stream_turn(sd);
    catalogs_turn(sd);
    if (queue_flush(sd) < 0) {
        sd->flush_timer.fire = flush_again;
        timer_start(&sd->loop, &sd->flush_timer, FLUSH_NS);
    }
}

static void close_timeout(struct timer *timer)
{
    loop_stop(&container_of(timer, struct libsd, close_timer)->loop);
}

/* The last task of the I/O thread. */
static void close_task(struct task *task)
{
    struct libsd *sd = container_of(task, struct libsd, close_task);

    discoveries_end(sd);
    catalogs_end(sd);
    watches_end(sd);
    observers_end(sd);
    keepalives_end(sd);
    asked_end(sd);
    requests_stop(sd);
    sd->close_timer.fire = close_timeout;
    timer_start(&sd->loop, &sd->close_timer, CLOSE_MS * MS);
    contests_end(sd, CLOSE_MS);
    groups_end(sd, CLOSE_MS);
}

static void destroy(struct libsd *sd)
{
    contests_free(sd);
    groups_free(sd);
    checks_free(&sd->checks);
    stream_free(sd);
    auth_free(sd);
    loop_free(&sd->loop);
    queue_free(&sd->queue);
    requests_free(&sd->requests);
    catalogs_free(sd);
    endpoints_free(&sd->endpoints);
    options_clear(&sd->options);
    pthread_mutex_destroy(&sd->detail_mutex);
    free(sd);
}

int libsd_open(libsd **handle, const libsd_options *options)
{
    static atomic_uint_fast64_t serials;
    struct libsd *sd;
    int rc;

    if (!handle)
        return LIBSD_EINVAL;
    *handle = NULL;
    sd = init_curl() ? calloc(1, sizeof *sd) : NULL;
    if (!sd)
        return LIBSD_ENOMEM;
    sd->pid = process_id();
    sd->serial = atomic_fetch_add(&serials, 1) + 1;
    sd->page_limit = PAGE_LIMIT;
    sd->audit_ns = AUDIT_NS;
    sd->close_task.run = close_task;
    requests_init(&sd->requests);
    pthread_mutex_init(&sd->detail_mutex, NULL);
    checks_init(&sd->checks);
    rc = options_resolve(&sd->options, options);
    if (rc < 0)
        goto fail_options;
    rc = endpoints_init(&sd->endpoints, sd->options.endpoints);
    if (rc < 0)
        goto fail_endpoints;
    endpoints_balance(&sd->endpoints, sd->options.balance);
    rc = catalogs_init(sd);
    if (rc < 0)
        goto fail_catalogs;
    rc = queue_init(&sd->queue, sd->options.dispatch == DISPATCH_MANUAL);
    if (rc < 0)
        goto fail_queue;
    rc = loop_init(&sd->loop);
    if (rc < 0)
        goto fail_queue;
    sd->loop.after_turn = after_turn;
    stream_init(sd);
    rc = loop_start(&sd->loop);
    if (rc < 0) {
        destroy(sd);
        return rc;
    }
    *handle = sd;
    return 0;
fail_queue:
    queue_free(&sd->queue);
    catalogs_free(sd);
fail_catalogs:
    endpoints_free(&sd->endpoints);
fail_endpoints:
    options_clear(&sd->options);
fail_options:
    requests_free(&sd->requests);
    checks_free(&sd->checks);
    pthread_mutex_destroy(&sd->detail_mutex);
    free(sd);
    return rc;
}

void handle_end(libsd *sd)
{
    queue_stop(sd);
    checks_end(sd);
    loop_post_last(&sd->loop, &sd->close_task);
    loop_join(&sd->loop);
    requests_end(sd);
    destroy(sd);
}

/* Only what no other thread can have been changing at the fork, and nothing of
 * curl's, which would talk on connections that are the parent's (closing TLS
 * says goodbye).  The rest is the parent's memory, copied; it goes with the
 * child. */
static void close_forked(struct libsd *sd)
{
    if (sd->queue.event_fd >= 0)
        close(sd->queue.event_fd);
    endpoints_free(&sd->endpoints);
    options_clear(&sd->options);
    free(sd);
}

void libsd_close(libsd *sd)
{
    struct queue *queue;

    if (!sd)
        return;
    if (handle_check(sd) < 0) {
        close_forked(sd);
        return;
    }
    if (!queue_is_mine(sd) && !checks_is_mine(sd)) {
        handle_end(sd);
        return;
    }
    if (checks_is_mine(sd)) {
        pthread_mutex_lock(&sd->checks.mutex);
        sd->checks.close_wanted = true;
        pthread_mutex_unlock(&sd->checks.mutex);
    }
    queue = &sd->queue;
    pthread_mutex_lock(&queue->mutex);
    queue->close_wanted = queue_is_mine(sd);
    queue->stopped = true;
    pthread_mutex_unlock(&queue->mutex);
}
