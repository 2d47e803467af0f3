/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Transactions as programs know them from etcd-cpp-apiv3; see test_parity_kv.c.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd.h"

#define KEY libsd_str("/k")

static struct etcd etcd;
static libsd *sd;
static libsd_txn *txn;
static libsd_reply *reply;

static void setup(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
    cr_assert_eq(libsd_txn_new(&txn), 0);
}

static void teardown(void)
{
    libsd_reply_free(reply);
    libsd_txn_free(txn);
    libsd_close(sd);
    etcd_end(&etcd);
}

TestSuite(parity_txn, .init = setup, .fini = teardown, .timeout = 60);

static void run(void)
{
    libsd_op op = libsd_op_txn(txn);
    int rc;

    libsd_reply_free(reply);
    rc = libsd_execute(sd, &op, 0, &reply);
    cr_assert(rc == 0, "%s", libsd_strerror(rc));
}

static void then(libsd_op op)
{
    cr_assert_eq(libsd_txn_then(txn, &op), 0);
}

static void otherwise(libsd_op op)
{
    cr_assert_eq(libsd_txn_else(txn, &op), 0);
}

/* Whether a comparison alone lets a transaction take its first branch. */
static bool holds(libsd_compare compare)
{
    libsd_txn_free(txn);
    cr_assert_eq(libsd_txn_new(&txn), 0);
    cr_assert_eq(libsd_txn_if(txn, &compare), 0);
    run();
    return reply->succeeded;
}

Test(parity_txn, version_is_compared)
{
    put(sd, "/k", "1");
    put(sd, "/k", "2");
    cr_assert(holds(libsd_compare_version(KEY, LIBSD_EQUAL, 2)));
    cr_assert(holds(libsd_compare_version(KEY, LIBSD_GREATER, 1)));
    cr_assert(!holds(libsd_compare_version(KEY, LIBSD_LESS, 2)));
    cr_assert(holds(libsd_compare_version(libsd_str("/none"), LIBSD_EQUAL, 0)));
}

Test(parity_txn, create_revision_is_compared)
{
    int64_t created = put(sd, "/k", "1");

    put(sd, "/k", "2");
    cr_assert(holds(libsd_compare_create_revision(KEY, LIBSD_EQUAL, created)));
    cr_assert(!holds(libsd_compare_create_revision(KEY, LIBSD_EQUAL, created + 1)));
    cr_assert(holds(libsd_compare_create_revision(libsd_str("/none"), LIBSD_EQUAL, 0)));
}

Test(parity_txn, mod_revision_is_compared)
{
    int64_t first = put(sd, "/k", "1");
    int64_t second = put(sd, "/k", "2");

    cr_assert(!holds(libsd_compare_mod_revision(KEY, LIBSD_EQUAL, first)));
    cr_assert(holds(libsd_compare_mod_revision(KEY, LIBSD_EQUAL, second)));
    cr_assert(holds(libsd_compare_mod_revision(KEY, LIBSD_NOT_EQUAL, first)));
}

Test(parity_txn, value_is_compared)
{
    put(sd, "/k", "42");
    cr_assert(holds(libsd_compare_value(KEY, LIBSD_EQUAL, libsd_str("42"))));
    cr_assert(!holds(libsd_compare_value(KEY, LIBSD_EQUAL, libsd_str("43"))));
    cr_assert(holds(libsd_compare_value(KEY, LIBSD_LESS, libsd_str("43"))));
    cr_assert(!holds(libsd_compare_value(libsd_str("/none"), LIBSD_EQUAL, libsd_str(""))));
}

Test(parity_txn, lease_is_compared)
{
    int64_t lease = 0;

    cr_assert_eq(libsd_lease_grant(sd, 60, &lease, NULL, 0), 0);
    cr_assert_eq(libsd_put(sd, KEY, libsd_str("1"), lease, NULL, 0), 0);
    cr_assert(holds(libsd_compare_lease(KEY, LIBSD_EQUAL, lease)));
    put(sd, "/k", "2");
    cr_assert(!holds(libsd_compare_lease(KEY, LIBSD_EQUAL, lease)));
    cr_assert(holds(libsd_compare_lease(KEY, LIBSD_EQUAL, 0)));
}

/* Put, get and delete in one; each part has its answer, in order. */
Test(parity_txn, success_branch_mixes_operations)
{
    libsd_compare compare = libsd_compare_create_revision(KEY, LIBSD_EQUAL, 0);

    put(sd, "/old", "x");
    cr_assert_eq(libsd_txn_if(txn, &compare), 0);
    then(libsd_op_put(KEY, libsd_str("42"), 0, 0));
    then(libsd_op_get(KEY));
    then(libsd_op_delete(libsd_str("/old"), LIBSD_PREV_KV));
    otherwise(libsd_op_put(libsd_str("/wrong"), libsd_str(""), 0, 0));
    run();
    cr_assert(reply->succeeded);
    cr_assert_eq(reply->reply_count, 3);
    cr_assert_eq(reply->replies[0]->type, LIBSD_OP_PUT);
    cr_assert_eq(libsd_kvs_at(reply->replies[1]->kvs, 0)->create_revision, reply->revision);
    cr_assert_eq(reply->replies[2]->count, 1);
    cr_assert_eq(libsd_kvs_at(reply->replies[2]->kvs, 0)->value.size, 1);
    cr_assert(has(sd, "/k", "42") && absent(sd, "/old") && absent(sd, "/wrong"));
}

Test(parity_txn, failure_branch_is_taken_instead)
{
    libsd_compare compare = libsd_compare_value(KEY, LIBSD_EQUAL, libsd_str("42"));

    put(sd, "/k", "41");
    cr_assert_eq(libsd_txn_if(txn, &compare), 0);
    then(libsd_op_put(libsd_str("/wrong"), libsd_str(""), 0, 0));
    otherwise(libsd_op_get(KEY));
    otherwise(libsd_op_put(libsd_str("/other"), libsd_str("1"), 0, 0));
    otherwise(libsd_op_delete(KEY, 0));
    run();
    cr_assert(!reply->succeeded);
    cr_assert_eq(reply->reply_count, 3);
    cr_assert_arr_eq(libsd_kvs_at(reply->replies[0]->kvs, 0)->value.data, "41", 2);
    cr_assert(absent(sd, "/wrong") && absent(sd, "/k") && has(sd, "/other", "1"));
}

Test(parity_txn, transaction_is_part_of_another)
{
    libsd_compare compare = libsd_compare_version(KEY, LIBSD_EQUAL, 0);
    libsd_op op = libsd_op_put(KEY, libsd_str("inner"), 0, 0);
    libsd_txn *inner = NULL;

    cr_assert_eq(libsd_txn_new(&inner), 0);
    libsd_txn_if(inner, &compare);
    libsd_txn_then(inner, &op);
    then(libsd_op_txn(inner));
    libsd_txn_free(inner);
    run();
    cr_assert_eq(reply->reply_count, 1);
    cr_assert(reply->replies[0]->succeeded && reply->replies[0]->reply_count == 1);
    cr_assert(has(sd, "/k", "inner"));
}

/* ---- fetch and add ------------------------------------------------------ */

enum {
    THREADS = 10,
    ROUNDS = 10
};

static int failures;

/* Reads, and puts one more if nobody wrote meanwhile. */
static bool fetch_and_add(libsd_txn *attempt)
{
    libsd_kvs *kvs = NULL;
    libsd_reply *outcome = NULL;
    libsd_compare compare;
    libsd_op op;
    char number[20] = "0";
    bool done;

    cr_assert_eq(libsd_get(sd, KEY, &kvs, 0), 0);
    snprintf(number, sizeof number, "%.*s", (int)libsd_kvs_at(kvs, 0)->value.size,
             (const char *)libsd_kvs_at(kvs, 0)->value.data);
    compare = libsd_compare_mod_revision(KEY, LIBSD_EQUAL, libsd_kvs_at(kvs, 0)->mod_revision);
    libsd_kvs_free(kvs);
    snprintf(number, sizeof number, "%d", atoi(number) + 1);
    libsd_txn_if(attempt, &compare);
    op = libsd_op_put(KEY, libsd_str(number), 0, 0);
    libsd_txn_then(attempt, &op);
    op = libsd_op_txn(attempt);
    if (libsd_execute(sd, &op, 0, &outcome) != 0)
        __atomic_fetch_add(&failures, 1, __ATOMIC_SEQ_CST);
    done = outcome && outcome->succeeded;
    libsd_reply_free(outcome);
    return done;
}

static void *add(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        bool done = false;

        while (!done && __atomic_load_n(&failures, __ATOMIC_SEQ_CST) == 0) {
            libsd_txn *attempt = NULL;

            libsd_txn_new(&attempt);
            done = fetch_and_add(attempt);
            libsd_txn_free(attempt);
        }
    }
    return arg;
}

Test(parity_txn, ten_threads_fetch_and_add_an_exact_sum)
{
    pthread_t threads[THREADS];

    put(sd, "/k", "0");
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, add, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(failures, 0);
    cr_assert(has(sd, "/k", "100"));
}
