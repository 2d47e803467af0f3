/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Calls that are refused at once, with no etcd anywhere: those of a child that
 * was forked, those inside a callback that would wait for themselves, and those
 * whose arguments nobody could mean.
 */
#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../libsd/libsd-discovery.h"
#include "../../libsd/libsd-etcd.h"
#include "../../libsd/libsd-lock.h"
#include "attack_help.h"

static libsd *sd;

/* What all calls below are given where an argument does not matter. */
static libsd_reply *reply;
static libsd_snapshot *snapshot;
static libsd_kvs *kvs;
static libsd_mutex *mutex;
static libsd_keepalive *keepalive;
static libsd_leadership *leadership;
static libsd_observer *observer;
static libsd_watch *watch;
static libsd_picked picked;
static char text[100];
static int64_t number;
static uint64_t id;

static void begin(void)
{
    libsd_options *options;

    cr_assert_eq(libsd_options_new(&options), 0);
    cr_assert_eq(libsd_options_load(options, ""), 0);
    cr_assert_eq(libsd_options_set(options, "endpoints", "http://127.0.0.1:1"), 0);
    cr_assert_eq(libsd_options_set(options, "source", "etcd"), 0);
    cr_assert_eq(libsd_open(&sd, options), 0);
    libsd_options_free(options);
}

static void end(void)
{
    libsd_close(sd);
}

TestSuite(refused, .init = begin, .fini = end, .timeout = 60);

static void note(libsd *handle, const libsd_reply *got, void *arg)
{
    (void)handle;
    (void)got;
    (void)arg;
}

static void see_change(const libsd_change *change, void *arg)
{
    (void)change;
    (void)arg;
}

static void see_event(const libsd_event *event, void *arg)
{
    (void)event;
    (void)arg;
}

static void see_leader(int state, const libsd_kv *leader, int error, void *arg)
{
    (void)state;
    (void)leader;
    (void)error;
    (void)arg;
}

/* ---- a handle that is the parent's, or in a callback --------------------- */

/* Says which call it was, also in a child. */
#define EXPECT(call, code)                                             \
    do {                                                               \
        int rc_ = (call);                                              \
                                                                       \
        if (rc_ != (code)) {                                           \
            fprintf(stderr, "%s: %s\n", #call, libsd_error_name(rc_)); \
            wrong++;                                                   \
        }                                                              \
    } while (0)

static int waiting_calls(int code)
{
    const libsd_op op = libsd_op_get(libsd_str("/k"));
    int wrong = 0;

    EXPECT(libsd_get(sd, libsd_str("/k"), &kvs, 0), code);
    EXPECT(libsd_execute(sd, &op, 0, &reply), code);
    EXPECT(libsd_register(sd, "s", "i", "10.0.0.1:1", 0, NULL), code);
    EXPECT(libsd_update(sd, "s", "i", "10.0.0.1:1", NULL), code);
    EXPECT(libsd_pause(sd, "s", "i", 0), code);
    EXPECT(libsd_resume(sd, "s", "i", 0), code);
    EXPECT(libsd_deregister(sd, "s", "i", 0), code);
    EXPECT(libsd_discover(sd, "s", &snapshot, 0), code);
    EXPECT(libsd_resolve(sd, "s", &snapshot, 0), code);
    EXPECT(libsd_lock(sd, "l", 0, 0, &mutex), code);
    EXPECT(libsd_trylock(sd, "l", 0, 0, &mutex), code);
    EXPECT(libsd_campaign(sd, "l", libsd_str("v"), 0, 0, &leadership), code);
    EXPECT(libsd_leader(sd, "l", &kvs, 0), code);
    EXPECT(libsd_lease_grant(sd, 10, &number, NULL, 0), code);
    EXPECT(libsd_auth_token(sd, text, sizeof text, 0), code);
    return wrong;
}

static int other_calls(int code)
{
    const libsd_op op = libsd_op_get(libsd_str("/k"));
    libsd_statistics stats = { .size = sizeof stats };
    int wrong = 0;

    EXPECT(libsd_start(sd, &op, 0, note, NULL, &id), code);
    EXPECT(libsd_cancel(sd, 1), code);
    EXPECT(libsd_watch_open(sd, libsd_str("/k"), 0, 0, see_event, NULL, &watch), code);
    EXPECT(libsd_watch_service(sd, "s", see_change, NULL, NULL), code);
    EXPECT(libsd_register_async(sd, "s", "i", "10.0.0.1:1", 0, NULL), code);
    EXPECT(libsd_pick(sd, "s", NULL, &picked), code);
    EXPECT(libsd_report(sd, "s", &picked, 1), code);
    EXPECT(libsd_lock_start(sd, "l", NULL, NULL, NULL, &mutex), code);
    EXPECT(libsd_campaign_start(sd, "l", libsd_str("v"), NULL, NULL, NULL, &leadership), code);
    EXPECT(libsd_observe(sd, "l", see_leader, NULL, &observer), code);
    EXPECT(libsd_keepalive_start(sd, 1, NULL, NULL, &keepalive), code);
    EXPECT(libsd_stats(sd, &stats), code);
    EXPECT(libsd_fd(sd), code);
    EXPECT(libsd_dispatch(sd, 0), code);
    return wrong;
}

static int in_a_child(void)
{
    int wrong = waiting_calls(LIBSD_EFORKED) + other_calls(LIBSD_EFORKED);

    wrong += libsd_error_detail(sd, text, sizeof text) != 0;
    libsd_close(sd);
    return wrong;
}

Test(refused, every_call_of_a_forked_child)
{
    cr_expect_eq(child_status(in_a_child), 0);
}

static int wrong_inside = -1;
static sem_t is_done;

static void call_back(libsd *handle, const libsd_reply *got, void *arg)
{
    note(handle, got, arg);
    wrong_inside = waiting_calls(LIBSD_EDEADLOCK);
    sem_post(&is_done);
}

Test(refused, every_call_that_waits_inside_a_callback)
{
    const libsd_op op = libsd_op_get(libsd_str("/k"));

    sem_init(&is_done, 0, 0);
    cr_assert_eq(libsd_start(sd, &op, 100, call_back, NULL, &id), 0);
    sem_wait(&is_done); /* as long as the suite may take */
    cr_expect_eq(wrong_inside, 0);
}

/* ---- arguments ----------------------------------------------------------- */

Test(refused, operations_that_nobody_could_mean)
{
    libsd_op op = libsd_op_get(libsd_str("/k"));
    libsd_compare compare = libsd_compare_version(libsd_str("/k"), LIBSD_GREATER, 0);
    libsd_statistics stats = { .size = 1 };
    libsd_txn *txn;
    int wrong = 0;

    EXPECT(libsd_start(sd, NULL, 0, note, NULL, &id), LIBSD_EINVAL);
    EXPECT(libsd_start(sd, &op, -1, note, NULL, &id), LIBSD_EINVAL);
    EXPECT(libsd_execute(sd, &op, -1, &reply), LIBSD_EINVAL);
    EXPECT(libsd_stats(sd, &stats), LIBSD_EINVAL);
    EXPECT(libsd_get(sd, libsd_str("/k"), NULL, 0), LIBSD_EINVAL);
    EXPECT(libsd_lease_grant(sd, 10, NULL, NULL, 0), LIBSD_EINVAL);
    op.flags = LIBSD_PREFIX | LIBSD_RANGE;
    EXPECT(libsd_execute(sd, &op, 0, &reply), LIBSD_EINVAL);
    op = libsd_op_get(libsd_str("/k"));
    op.limit = -1;
    EXPECT(libsd_execute(sd, &op, 0, &reply), LIBSD_EINVAL);
    op = libsd_op_get(libsd_str("/k"));
    EXPECT(libsd_auth_token(sd, NULL, 10, 0), LIBSD_EINVAL);
    EXPECT(libsd_auth_token(sd, text, 0, 0), LIBSD_EINVAL);
    EXPECT(libsd_txn_new(NULL), LIBSD_EINVAL);
    EXPECT(libsd_txn_new(&txn), 0);
    EXPECT(libsd_txn_if(txn, NULL), LIBSD_EINVAL);
    EXPECT(libsd_txn_then(txn, NULL), LIBSD_EINVAL);
    EXPECT(libsd_txn_else(NULL, &op), LIBSD_EINVAL);
    compare.result = LIBSD_NOT_EQUAL + 1;
    EXPECT(libsd_txn_if(txn, &compare), LIBSD_EINVAL);
    op = libsd_op_txn(txn); /* which remembers it */
    EXPECT(libsd_execute(sd, &op, 0, &reply), LIBSD_EINVAL);
    libsd_error_detail(sd, text, sizeof text);
    cr_expect_str_eq(text, "transaction: comparison 0 4 is not acceptable");
    libsd_txn_free(txn);
    cr_expect_eq(wrong, 0);
}

Test(refused, handles_and_watches_that_nobody_could_mean)
{
    int wrong = 0;

    EXPECT(libsd_open(NULL, NULL), LIBSD_EINVAL);
    EXPECT(libsd_options_new(NULL), LIBSD_EINVAL);
    EXPECT(libsd_options_load(NULL, ""), LIBSD_EINVAL);
    libsd_options_set_log(NULL, NULL, NULL);
    EXPECT(libsd_watch_open_range(sd, libsd_str("/a"), libsd_str("/b"), LIBSD_WATCH_PREFIX, 0,
                                  see_event, NULL, &watch),
           LIBSD_EINVAL);
    cr_expect_null(watch);
    cr_expect_eq(wrong, 0);
}

Test(refused, a_transaction_in_itself)
{
    libsd_txn *txn;
    libsd_op op;
    int wrong = 0;

    EXPECT(libsd_txn_new(&txn), 0);
    op = libsd_op_txn(txn);
    EXPECT(libsd_txn_then(txn, &op), LIBSD_EINVAL);
    libsd_txn_free(txn);
    cr_expect_eq(wrong, 0);
}

Test(refused, services_that_nobody_could_mean)
{
    libsd_register_options options = { .size = sizeof options, .takeover = 99 };
    int wrong = 0;

    EXPECT(libsd_register(sd, "s", "i", NULL, 0, NULL), LIBSD_EINVAL);
    EXPECT(libsd_register(sd, NULL, "i", "10.0.0.1:1", 0, NULL), LIBSD_EINVAL);
    EXPECT(libsd_register(sd, "s", "i", "10.0.0.1:1", 0, &options), LIBSD_EINVAL);
    options = (libsd_register_options){ .size = sizeof options, .timeout_ms = -1 };
    EXPECT(libsd_update(sd, "s", "i", "10.0.0.1:1", &options), LIBSD_EINVAL);
    options = (libsd_register_options){ .size = 1 };
    EXPECT(libsd_update(sd, "s", "i", "10.0.0.1:1", &options), LIBSD_EINVAL);
    EXPECT(libsd_update(sd, NULL, "i", "10.0.0.1:1", NULL), LIBSD_EINVAL);
    EXPECT(libsd_register_many(sd, NULL, 1, 0, NULL), LIBSD_EINVAL);
    EXPECT(libsd_pause(sd, NULL, "i", 0), LIBSD_EINVAL);
    EXPECT(libsd_pause(sd, "s", "i", -1), LIBSD_EINVAL);
    EXPECT(libsd_discover(sd, "s", NULL, 0), LIBSD_EINVAL);
    EXPECT(libsd_resolve(sd, "s", NULL, 0), LIBSD_EINVAL);
    EXPECT(libsd_watch_service(sd, "s", NULL, NULL, NULL), LIBSD_EINVAL);
    EXPECT(libsd_report(sd, "s", &picked, 1), LIBSD_EINVAL);
    cr_expect_null(libsd_discovery_snapshot(NULL));
    cr_expect_eq(wrong, 0);
}

Test(refused, locks_and_leaders_that_nobody_could_mean)
{
    int wrong = 0;

    EXPECT(libsd_lock(sd, NULL, 0, 0, &mutex), LIBSD_EINVAL);
    EXPECT(libsd_lock(sd, "l", 0, -1, &mutex), LIBSD_EINVAL);
    EXPECT(libsd_lock_start(sd, "l", NULL, NULL, NULL, NULL), LIBSD_EINVAL);
    EXPECT(libsd_campaign(sd, "l", libsd_str("v"), 0, 0, NULL), LIBSD_EINVAL);
    EXPECT(libsd_campaign_start(sd, NULL, libsd_str("v"), NULL, NULL, NULL, &leadership),
           LIBSD_EINVAL);
    EXPECT(libsd_leader(sd, "l", NULL, 0), LIBSD_EINVAL);
    EXPECT(libsd_proclaim(NULL, libsd_str("v"), 0), LIBSD_EINVAL);
    EXPECT(libsd_observe(sd, NULL, see_leader, NULL, &observer), LIBSD_EINVAL);
    EXPECT(libsd_observe(sd, "l", NULL, NULL, &observer), LIBSD_EINVAL);
    EXPECT(libsd_keepalive_start(sd, 0, NULL, NULL, &keepalive), LIBSD_EINVAL);
    EXPECT(libsd_keepalive_start(sd, 1, NULL, NULL, NULL), LIBSD_EINVAL);
    libsd_observe_close(NULL);
    libsd_watch_close(NULL);
    libsd_lock_close(NULL);
    cr_expect_eq(wrong, 0);
}
