/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Operations that call back: order and number of callbacks, cancelling from
 * anywhere, closing and forking with requests outstanding, many at once.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "etcd.h"

static struct etcd etcd;
static libsd *sd;

static void setup(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
}

static void teardown(void)
{
    libsd_close(sd);
    etcd_end(&etcd);
}

TestSuite(async, .init = setup, .fini = teardown, .timeout = 60);

/* What callbacks were told. */
struct told {
    atomic_int count;
    atomic_int failed;
    atomic_int error; /* the last one */
    atomic_llong keys;
    atomic_bool inside; /* a callback runs */
    atomic_bool leave;  /* it may end */
};

static void take(libsd *handle, const libsd_reply *reply, void *arg)
{
    struct told *told = arg;

    (void)handle;
    if (reply->error) {
        atomic_store(&told->error, reply->error);
        atomic_fetch_add(&told->failed, 1);
    }
    atomic_store(&told->keys, (long long)libsd_kvs_count(reply->kvs));
    atomic_fetch_add(&told->count, 1);
}

/* Stays until it may leave. */
static void linger(libsd *handle, const libsd_reply *reply, void *arg)
{
    struct told *told = arg;

    atomic_store(&told->inside, true);
    while (!atomic_load(&told->leave))
        nap();
    take(handle, reply, arg);
    atomic_store(&told->inside, false);
}

static uint64_t start(libsd_op op, libsd_reply_callback *callback, void *arg)
{
    uint64_t id = 0;

    cr_assert_eq(libsd_start(sd, &op, 30000, callback, arg, &id), 0);
    cr_assert(id != 0);
    return id;
}

static libsd_op put_op(const char *key)
{
    return libsd_op_put(libsd_str(key), libsd_str("x"), 0, 0);
}

/* ---- being told --------------------------------------------------------- */

Test(async, thousands_of_puts_are_all_done_and_told_once)
{
    enum {
        PUTS = 5000
    };
    struct told told = { 0 };
    libsd_reply *reply;
    libsd_op count = libsd_op_list(libsd_str("/m/"), LIBSD_COUNT_ONLY);
    char key[20];

    for (int i = 0; i < PUTS; i++) {
        snprintf(key, sizeof key, "/m/%d", i);
        start(put_op(key), take, &told); /* key is overwritten by the next one */
    }
    UNTIL(atomic_load(&told.count) == PUTS, 40);
    cr_assert_eq(atomic_load(&told.failed), 0);
    cr_assert_eq(libsd_execute(sd, &count, 0, &reply), 0);
    cr_assert_eq(reply->count, PUTS);
    libsd_reply_free(reply);
    cr_assert_eq(atomic_load(&told.count), PUTS);
}

Test(async, list_of_several_pages_is_one_reply)
{
    struct told told = { 0 };

    put_many(&etcd, "/p/", 12000);
    start(libsd_op_list(libsd_str("/p/"), 0), take, &told);
    UNTIL(atomic_load(&told.count) == 1, 20);
    cr_assert_eq(atomic_load(&told.failed), 0);
    cr_assert_eq(atomic_load(&told.keys), 12000);
}

/* Adds up by starting the next one from the callback of the one before. */
static void next(libsd *handle, const libsd_reply *reply, void *arg)
{
    struct told *told = arg;
    libsd_op op = put_op("/chain");

    take(handle, reply, arg);
    if (atomic_load(&told->count) < 50)
        cr_assert_eq(libsd_start(handle, &op, 0, next, arg, NULL), 0);
    /* What blocks is refused. */
    cr_assert_eq(libsd_execute(handle, &op, 0, NULL), LIBSD_EDEADLOCK);
}

Test(async, callback_may_start_the_next_one)
{
    struct told told = { 0 };
    libsd_kvs *kvs;

    start(put_op("/chain"), next, &told);
    UNTIL(atomic_load(&told.count) == 50, 20);
    cr_assert_eq(libsd_get(sd, libsd_str("/chain"), &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->version, 50);
    libsd_kvs_free(kvs);
}

Test(async, errors_are_told_like_success)
{
    struct told told = { 0 };
    libsd_op op = put_op("/k");

    start(libsd_op_get(libsd_str("/none")), take, &told);
    UNTIL(atomic_load(&told.count) == 1, 20);
    cr_assert_eq(atomic_load(&told.error), LIBSD_ENOTFOUND);
    etcd_freeze(&etcd);
    /* More than run at once: those that wait run out of time, too. */
    for (int i = 0; i < 100; i++)
        cr_assert_eq(libsd_start(sd, &op, 300, take, &told, NULL), 0);
    UNTIL(atomic_load(&told.count) == 101, 20);
    cr_assert_eq(atomic_load(&told.failed), 101);
    etcd_thaw(&etcd);
    start(op, take, &told);
    UNTIL(atomic_load(&told.count) == 102, 20);
    cr_assert_eq(atomic_load(&told.failed), 101);
}

/* ---- dispatch=manual ---------------------------------------------------- */

static pthread_t told_by;

static void note_thread(libsd *handle, const libsd_reply *reply, void *arg)
{
    told_by = pthread_self();
    take(handle, reply, arg);
}

Test(async, manual_dispatch_tells_on_the_callers_thread)
{
    struct told told = { 0 };
    struct pollfd ready = { .events = POLLIN };

    libsd_close(sd);
    sd = etcd_open(&etcd, "manual");
    ready.fd = libsd_fd(sd);
    put_many(&etcd, "/p/", 6000);
    start(put_op("/k"), note_thread, &told);
    start(libsd_op_list(libsd_str("/p/"), 0), note_thread, &told);
    nap();
    cr_assert_eq(atomic_load(&told.count), 0);
    while (atomic_load(&told.count) < 2) {
        cr_assert_eq(poll(&ready, 1, 20000), 1);
        cr_assert(libsd_dispatch(sd, 0) >= 0);
    }
    cr_assert(pthread_equal(told_by, pthread_self()));
    cr_assert_eq(atomic_load(&told.failed), 0);
}

/* ---- cancelling --------------------------------------------------------- */

Test(async, cancelled_one_is_never_told)
{
    struct told told = { 0 };
    struct told last = { 0 };
    uint64_t ids[200];

    etcd_freeze(&etcd);
    /* Running ones and waiting ones. */
    for (int i = 0; i < 200; i++)
        ids[i] = start(put_op("/k"), take, &told);
    for (int i = 0; i < 200; i++)
        cr_assert_eq(libsd_cancel(sd, ids[i]), 0);
    for (int i = 0; i < 200; i++)
        cr_assert_eq(libsd_cancel(sd, ids[i]), LIBSD_ENOTFOUND);
    cr_assert_eq(libsd_cancel(sd, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_cancel(sd, 4711), LIBSD_ENOTFOUND);
    etcd_thaw(&etcd);
    start(put_op("/k"), take, &last);
    UNTIL(atomic_load(&last.count) == 1, 20);
    cr_assert_eq(atomic_load(&told.count), 0);
}

static uint64_t own_id;
static int own_result;

static void cancel_itself(libsd *handle, const libsd_reply *reply, void *arg)
{
    own_result = libsd_cancel(handle, own_id);
    take(handle, reply, arg);
}

Test(async, callback_may_cancel_itself_and_others)
{
    struct told told = { 0 };
    libsd_op op = put_op("/k");

    own_result = 1;
    cr_assert_eq(libsd_start(sd, &op, 0, cancel_itself, &told, &own_id), 0);
    UNTIL(atomic_load(&told.count) == 1, 20);
    cr_assert_eq(own_result, LIBSD_ENOTFOUND);
}

struct canceller {
    pthread_t thread;
    uint64_t id;
    struct told *told;
    atomic_int *ready;
    int result;
    bool ran_on; /* the callback ran on after our cancel had returned */
};

static void *cancel_one(void *arg)
{
    struct canceller *canceller = arg;

    atomic_fetch_add(canceller->ready, 1);
    canceller->result = libsd_cancel(sd, canceller->id);
    canceller->ran_on = atomic_load(&canceller->told->inside);
    return NULL;
}

/* Has ten threads cancel one request at the same time.  Returns how many of
 * them succeeded. */
static int cancel_tenfold(uint64_t id, struct told *told, bool lingers)
{
    struct canceller cancellers[10];
    atomic_int ready = 0;
    int succeeded = 0;

    for (int i = 0; i < 10; i++) {
        cancellers[i] = (struct canceller){ .id = id, .told = told, .ready = &ready };
        cr_assert_eq(pthread_create(&cancellers[i].thread, NULL, cancel_one, &cancellers[i]), 0);
    }
    UNTIL(atomic_load(&ready) == 10, 20);
    if (lingers)
        poll(NULL, 0, 50); /* so that most of them wait for the callback */
    atomic_store(&told->leave, true);
    for (int i = 0; i < 10; i++) {
        pthread_join(cancellers[i].thread, NULL);
        cr_assert(cancellers[i].result == 0 || cancellers[i].result == LIBSD_ENOTFOUND);
        cr_assert(!cancellers[i].ran_on);
        succeeded += cancellers[i].result == 0;
    }
    return succeeded;
}

Test(async, of_ten_threads_that_cancel_one_succeeds)
{
    for (int i = 0; i < 50; i++) {
        struct told told = { 0 };
        uint64_t id = start(put_op("/k"), take, &told);
        int succeeded = cancel_tenfold(id, &told, false);

        cr_assert_eq(succeeded + atomic_load(&told.count), 1);
    }
}

Test(async, cancel_waits_for_a_callback_that_runs)
{
    struct told told = { 0 };
    uint64_t id = start(put_op("/k"), linger, &told);

    UNTIL(atomic_load(&told.inside), 20);
    cr_assert_eq(cancel_tenfold(id, &told, true), 0);
    cr_assert_eq(atomic_load(&told.count), 1);
}

/* ---- closing and forking ------------------------------------------------ */

Test(async, close_tells_all_that_are_left)
{
    struct told told = { 0 };
    double begin;

    etcd_freeze(&etcd);
    for (int i = 0; i < 100; i++)
        start(put_op("/k"), take, &told);
    start(libsd_op_list(libsd_str("/"), 0), take, &told);
    begin = seconds();
    libsd_close(sd);
    cr_assert(seconds() - begin < 2.0);
    cr_assert_eq(atomic_load(&told.count), 101);
    cr_assert_eq(atomic_load(&told.failed), 101);
    cr_assert_eq(atomic_load(&told.error), LIBSD_ECLOSED);
    etcd_thaw(&etcd);
    sd = etcd_open(&etcd, NULL);
}

static void start_in_vain(libsd *handle, const libsd_reply *reply, void *arg)
{
    libsd_op op = put_op("/k");

    if (reply->error == LIBSD_ECLOSED)
        cr_assert_eq(libsd_start(handle, &op, 0, take, arg, NULL), LIBSD_ECLOSED);
    take(handle, reply, arg);
}

Test(async, close_during_traffic_tells_each_once)
{
    for (int round = 0; round < 20; round++) {
        struct told told = { 0 };

        for (int i = 0; i < 100; i++)
            start(put_op("/k"), start_in_vain, &told);
        libsd_close(sd);
        cr_assert_eq(atomic_load(&told.count), 100);
        sd = etcd_open(&etcd, NULL);
    }
}

static void close_it(libsd *handle, const libsd_reply *reply, void *arg)
{
    struct told *told = arg;

    if (atomic_load(&told->count) == 0)
        libsd_close(handle);
    take(handle, reply, arg);
}

Test(async, close_from_a_callback_tells_the_others)
{
    struct told told = { 0 };

    for (int i = 0; i < 50; i++)
        start(put_op("/k"), close_it, &told);
    UNTIL(atomic_load(&told.count) == 50, 20);
    cr_assert_eq(atomic_load(&told.error), LIBSD_ECLOSED);
    sd = etcd_open(&etcd, "manual");
    atomic_store(&told.count, 0);
    for (int i = 0; i < 50; i++)
        start(put_op("/k"), close_it, &told);
    while (atomic_load(&told.count) == 0)
        libsd_dispatch(sd, 0);
    cr_assert_eq(atomic_load(&told.count), 50);
    sd = etcd_open(&etcd, NULL);
}

Test(async, forked_child_can_start_nothing)
{
    struct told told = { 0 };
    libsd_op op = put_op("/k");
    uint64_t id = 0;
    int status = -1;
    pid_t child;

    etcd_freeze(&etcd);
    id = start(op, take, &told);
    child = fork();
    if (child == 0) {
        bool refused = libsd_start(sd, &op, 0, take, &told, NULL) == LIBSD_EFORKED &&
                       libsd_execute(sd, &op, 0, NULL) == LIBSD_EFORKED &&
                       libsd_cancel(sd, id) == LIBSD_EFORKED;

        libsd_close(sd);
        _exit(refused && atomic_load(&told.count) == 0 ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    etcd_thaw(&etcd);
    UNTIL(atomic_load(&told.count) == 1, 20);
    cr_assert_eq(atomic_load(&told.failed), 0);
}

/* ---- keepalive ---------------------------------------------------------- */

static void note_loss(libsd *handle, const char *service, const char *instance, int state,
                      int error, void *arg)
{
    (void)handle;
    (void)service;
    (void)instance;
    (void)error;
    if (state != LIBSD_REGISTERED)
        atomic_fetch_add((atomic_int *)arg, 1);
}

Test(async, keepalive_waits_behind_no_list)
{
    atomic_int losses = 0;
    struct told told = { 0 };
    libsd_register_options options = { .size = sizeof options, .callback = note_loss };
    libsd_kvs *before;
    libsd_kvs *after;
    libsd_op list = libsd_op_list(libsd_str("/p/"), 0);

    put_many(&etcd, "/p/", 3000);
    options.callback_arg = &losses;
    cr_assert_eq(libsd_register(sd, "s", "i", "10.0.0.1:1", 2, &options), 0);
    cr_assert_eq(libsd_get(sd, libsd_str("/service/s/i"), &before, 0), 0);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(libsd_start(sd, &list, 60000, take, &told, NULL), 0);
    UNTIL(atomic_load(&told.count) == 100, 50);
    cr_assert_eq(atomic_load(&told.failed), 0);
    /* It was never lost and made again. */
    cr_assert_eq(libsd_get(sd, libsd_str("/service/s/i"), &after, 0), 0);
    cr_assert_eq(libsd_kvs_at(after, 0)->create_revision, libsd_kvs_at(before, 0)->create_revision);
    cr_assert_eq(libsd_kvs_at(after, 0)->lease, libsd_kvs_at(before, 0)->lease);
    cr_assert_eq(atomic_load(&losses), 0);
    libsd_kvs_free(before);
    libsd_kvs_free(after);
}
