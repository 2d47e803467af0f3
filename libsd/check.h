/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Health checks that decide whether a registration's key is in etcd.
 *
 *             due                     ended, or time is up
 *   WAITING ───────▶ RUNNING ────────────────────────────────▶ WAITING
 *                                      │ `rise` good or `fall` bad ones in a row
 *                                      ▼
 *                        verdict ──▶ I/O thread: registration_withhold()
 *
 * They run on a thread of their own, with a loop like that of I/O: the beats of
 * leases never wait for them.  Callbacks of the application, which may block,
 * have a thread each.
 *
 * Rules:
 *  1. No callback begins after check_stop() returned; checks_settle() waits for
 *     one that runs.
 *  2. When checks_end() returns, no thread, process or connection of a check is
 *     left.
 */
#ifndef LIBSD_CHECK_H
#define LIBSD_CHECK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "http.h"
#include "libsd.h"
#include "loop.h"
#include "util.h"

struct registration;

/* A handle's. */
struct checks {
    pthread_mutex_t mutex; /* guards what follows, up to loop */
    pthread_cond_t changed;
    bool started;
    unsigned threads; /* of callbacks */
    LIST_HEAD(, check) callbacks;
    bool close_wanted; /* libsd_close() was called by a check */

    struct loop loop;
    LIST_HEAD(, check) running; /* its thread's: all that were started */
    struct task end;
};

struct check {
    atomic_uint references;
    struct libsd *sd;

    /* Never change. */
    int type;      /* enum libsd_check_type */
    char *service; /* for the callback */
    char *instance;
    char *path; /* behind the registration's address; NULL: that is not checked */
    char *host_header;
    char **command;
    libsd_check_callback *callback;
    void *callback_arg;
    int64_t interval_ns;
    int64_t timeout_ns;
    unsigned rise;
    unsigned fall;

    /* The loop's thread. */
    LIST_ENTRY(check) link;
    struct task start;
    struct task stop;
    struct timer timer; /* the next run, or the end of this one's time */
    bool is_running;
    int64_t begun_ns;
    bool good;    /* the last result */
    unsigned row; /* so many the same */
    bool passing; /* the verdict */
    struct transfer transfer;
    char *url;
    pid_t pid;
    struct timer look; /* whether the command has ended */
    unsigned looks;
    bool late; /* a callback's time was up; its result comes later */
    struct task finished;

    /* checks.mutex: the callback's thread. */
    LIST_ENTRY(check) callback_link;
    bool has_thread;
    bool go;
    bool busy;
    bool closed;
    int result;
    pthread_cond_t wanted;

    /* The way of an address: url from the next run on, or NULL. */
    _Atomic(char *) next_url;

    /* The way of the verdict. */
    atomic_bool healthy;
    atomic_bool posted;
    struct task verdict;
    struct registration *registration; /* I/O thread's; NULL: not there any more */
};

void checks_init(struct checks *checks);
/* Stops all; the thread has ended then. */
void checks_end(struct libsd *sd);
void checks_free(struct checks *checks);
/* Waits for running callbacks of stopped checks, but for one of ours. */
void checks_settle(struct libsd *sd);
/* Whether the calling thread is inside a check's callback of the handle. */
bool checks_is_mine(const struct libsd *sd);

/* Makes one, and the thread.  address: what is checked if spec names nothing.
 * Returns 0, LIBSD_EINVAL with its reason, or LIBSD_ENOMEM. */
int check_new(struct libsd *sd, const libsd_check *spec, const libsd_registration *about,
              struct check **check, struct failure *failure);
void check_keep(struct check *check);
void check_drop(struct check *check);

/* On the I/O thread. */
void check_start(struct check *check, struct registration *registration);
void check_stop(struct check *check);
/* The registration has another address; what has none of its own checks that
 * from its next run on. */
void check_move(struct check *check, const libsd_instance *instance);

/* For the kinds of checks, on the loop's thread: the run has ended. */
void check_result(struct check *check, bool good, const char *why);

/* check_http.c, check_command.c, check_callback.c: begin a run, which ends with
 * check_result() but not before this returns; false: it can't begin.  End one
 * without a result. */
bool http_run(struct check *check);
void http_cancel(struct check *check);
bool command_run(struct check *check);
void command_timeout(struct check *check);
void command_cancel(struct check *check);
bool callback_run(struct check *check);
void callback_close(struct check *check);

#endif
