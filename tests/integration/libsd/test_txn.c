/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Transactions against a real etcd.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd.h"

static struct etcd etcd;
static libsd *sd;
static libsd_txn *txn;

static void setup(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
    cr_assert_eq(libsd_txn_new(&txn), 0);
}

static void teardown(void)
{
    libsd_txn_free(txn);
    libsd_close(sd);
    etcd_end(&etcd);
}

TestSuite(txn, .init = setup, .fini = teardown, .timeout = 60);

static void when(libsd_txn *of, libsd_compare compare)
{
    cr_assert_eq(libsd_txn_if(of, &compare), 0);
}

static void then(libsd_txn *of, libsd_op op)
{
    cr_assert_eq(libsd_txn_then(of, &op), 0);
}

static void otherwise(libsd_txn *of, libsd_op op)
{
    cr_assert_eq(libsd_txn_else(of, &op), 0);
}

static libsd_reply *run(const libsd_txn *what)
{
    libsd_op op = libsd_op_txn(what);
    libsd_reply *reply;
    char detail[300];
    int rc = libsd_execute(sd, &op, 0, &reply);

    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(rc == 0, "%s: %s", libsd_strerror(rc), detail);
    return reply;
}

/* Whether one comparison holds. */
static bool holds(libsd_compare compare)
{
    libsd_txn *one;
    libsd_reply *reply;
    bool result;

    cr_assert_eq(libsd_txn_new(&one), 0);
    when(one, compare);
    reply = run(one);
    result = reply->succeeded;
    libsd_reply_free(reply);
    libsd_txn_free(one);
    return result;
}

Test(txn, every_target_compares_with_every_operator)
{
    libsd_slice key = libsd_str("/k");
    libsd_slice none = libsd_str("/none");
    int64_t created = put(sd, "/k", "a");
    int64_t lease = 0;
    int64_t changed = 0;

    cr_assert_eq(libsd_lease_grant(sd, 60, &lease, NULL, 0), 0);
    cr_assert_eq(libsd_put(sd, key, libsd_str("m"), lease, &changed, 0), 0);
    cr_assert(holds(libsd_compare_value(key, LIBSD_EQUAL, libsd_str("m"))));
    cr_assert(!holds(libsd_compare_value(key, LIBSD_EQUAL, libsd_str("n"))));
    cr_assert(holds(libsd_compare_value(key, LIBSD_NOT_EQUAL, libsd_str("n"))));
    cr_assert(holds(libsd_compare_value(key, LIBSD_LESS, libsd_str("n"))));
    cr_assert(holds(libsd_compare_value(key, LIBSD_GREATER, libsd_str("l"))));
    cr_assert(!holds(libsd_compare_value(none, LIBSD_NOT_EQUAL, libsd_str("x"))));
    cr_assert(holds(libsd_compare_version(key, LIBSD_EQUAL, 2)));
    cr_assert(holds(libsd_compare_version(none, LIBSD_EQUAL, 0)));
    cr_assert(!holds(libsd_compare_version(key, LIBSD_EQUAL, 0)));
    cr_assert(holds(libsd_compare_version(key, LIBSD_GREATER, 1)));
    cr_assert(holds(libsd_compare_create_revision(key, LIBSD_EQUAL, created)));
    cr_assert(holds(libsd_compare_create_revision(none, LIBSD_EQUAL, 0)));
    cr_assert(holds(libsd_compare_mod_revision(key, LIBSD_EQUAL, changed)));
    cr_assert(holds(libsd_compare_mod_revision(key, LIBSD_GREATER, created)));
    cr_assert(holds(libsd_compare_mod_revision(key, LIBSD_LESS, changed + 1)));
    cr_assert(holds(libsd_compare_lease(key, LIBSD_EQUAL, lease)));
    cr_assert(holds(libsd_compare_lease(key, LIBSD_NOT_EQUAL, 0)));
}

Test(txn, branch_taken_answers_in_order)
{
    libsd_reply *reply;

    put(sd, "/a", "1");
    put(sd, "/d", "x");
    when(txn, libsd_compare_version(libsd_str("/a"), LIBSD_GREATER, 0));
    when(txn, libsd_compare_version(libsd_str("/b"), LIBSD_EQUAL, 0));
    then(txn, libsd_op_put(libsd_str("/a"), libsd_str("2"), 0, LIBSD_PREV_KV));
    then(txn, libsd_op_list(libsd_str("/"), 0));
    then(txn, libsd_op_delete(libsd_str("/d"), LIBSD_PREV_KV));
    then(txn, libsd_op_put(libsd_str("/b"), libsd_str("3"), 0, 0));
    otherwise(txn, libsd_op_get(libsd_str("/none")));
    reply = run(txn);
    cr_assert_eq(reply->succeeded, 1);
    cr_assert_eq(reply->reply_count, 4);
    cr_assert_eq(reply->replies[0]->type, LIBSD_OP_PUT);
    cr_assert_eq(*(const char *)libsd_kvs_at(reply->replies[0]->kvs, 0)->value.data, '1');
    cr_assert_eq(reply->replies[1]->type, LIBSD_OP_RANGE);
    cr_assert_eq(libsd_kvs_count(reply->replies[1]->kvs), 2);
    cr_assert_eq(reply->replies[1]->count, 2);
    cr_assert_eq(reply->replies[2]->type, LIBSD_OP_DELETE);
    cr_assert_eq(reply->replies[2]->count, 1);
    cr_assert_eq(libsd_kvs_count(reply->replies[2]->kvs), 1);
    cr_assert_eq(reply->replies[3]->type, LIBSD_OP_PUT);
    libsd_reply_free(reply);
    /* The same again: now /b exists. */
    reply = run(txn);
    cr_assert_eq(reply->succeeded, 0);
    cr_assert_eq(reply->reply_count, 1);
    cr_assert_eq(reply->replies[0]->type, LIBSD_OP_RANGE);
    cr_assert_eq(libsd_kvs_count(reply->replies[0]->kvs), 0);
    cr_assert_eq(reply->replies[0]->error, 0);
    libsd_reply_free(reply);
}

Test(txn, transactions_nest)
{
    libsd_txn *inner;
    libsd_reply *reply;
    const libsd_reply *part;

    cr_assert_eq(libsd_txn_new(&inner), 0);
    when(inner, libsd_compare_version(libsd_str("/a"), LIBSD_GREATER, 0));
    then(inner, libsd_op_get(libsd_str("/a")));
    otherwise(inner, libsd_op_put(libsd_str("/b"), libsd_str("1"), 0, 0));
    otherwise(inner, libsd_op_get(libsd_str("/c")));
    then(txn, libsd_op_put(libsd_str("/x"), libsd_str("1"), 0, 0));
    then(txn, libsd_op_txn(inner));
    then(txn, libsd_op_get(libsd_str("/x")));
    libsd_txn_free(inner); /* it was copied */
    reply = run(txn);
    cr_assert_eq(reply->reply_count, 3);
    part = reply->replies[1];
    cr_assert_eq(part->type, LIBSD_OP_TXN);
    cr_assert_eq(part->succeeded, 0);
    cr_assert_eq(part->reply_count, 2);
    cr_assert_eq(part->replies[0]->type, LIBSD_OP_PUT);
    cr_assert_eq(part->replies[1]->type, LIBSD_OP_RANGE);
    cr_assert_eq(libsd_kvs_count(reply->replies[2]->kvs), 1);
    libsd_reply_free(reply);
    put(sd, "/a", "1");
    reply = run(txn);
    part = reply->replies[1];
    cr_assert_eq(part->succeeded, 1);
    cr_assert_eq(part->reply_count, 1);
    cr_assert_eq(libsd_kvs_count(part->replies[0]->kvs), 1);
    libsd_reply_free(reply);
}

Test(txn, empty_one_holds_and_does_nothing)
{
    libsd_reply *reply = run(txn);

    cr_assert_eq(reply->succeeded, 1);
    cr_assert_eq(reply->reply_count, 0);
    libsd_reply_free(reply);
}

Test(txn, etcd_says_itself_what_is_too_much)
{
    libsd_op op = libsd_op_txn(txn);
    char key[20];
    char detail[300];

    for (int i = 0; i < 129; i++) {
        snprintf(key, sizeof key, "/k/%d", i);
        then(txn, libsd_op_put(libsd_str(key), libsd_str(""), 0, 0));
    }
    cr_assert_eq(libsd_execute(sd, &op, 0, NULL), LIBSD_EREFUSED);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, "too many operations") != NULL, "%s", detail);
    cr_assert(absent(sd, "/k/0"));
}

Test(txn, what_does_not_belong_in_one_is_named)
{
    libsd_op wrong = libsd_op_create(libsd_str("/k"), libsd_str(""), 0);
    libsd_op right = libsd_op_put(libsd_str("/k"), libsd_str(""), 0, 0);
    libsd_op op = libsd_op_txn(txn);
    char detail[300];

    cr_assert_eq(libsd_txn_then(txn, &wrong), LIBSD_EINVAL);
    cr_assert_eq(libsd_txn_then(txn, &right), 0);
    /* It is not executed without the part that is missing. */
    cr_assert_eq(libsd_execute(sd, &op, 0, NULL), LIBSD_EINVAL);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, "LIBSD_OP_CREATE can't be part") != NULL, "%s", detail);
    cr_assert_eq(libsd_start(sd, &op, 0, (libsd_reply_callback *)abort, NULL, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_txn_else(txn, &op), LIBSD_EINVAL); /* itself */
    cr_assert(absent(sd, "/k"));
}

/* ---- what they are for -------------------------------------------------- */

enum {
    ADDERS = 10,
    ADDITIONS = 20
};

static char failure[] = "failed";

/* Adds one, whatever the others do. */
static bool add_one(void)
{
    int rc = LIBSD_ECONFLICT;

    while (rc == LIBSD_ECONFLICT) {
        libsd_kvs *kvs;
        const libsd_kv *kv;
        char sum[20];

        if (libsd_get(sd, libsd_str("/sum"), &kvs, 0) != 0)
            return false;
        kv = libsd_kvs_at(kvs, 0);
        snprintf(sum, sizeof sum, "%.*s", (int)kv->value.size, (const char *)kv->value.data);
        snprintf(sum, sizeof sum, "%d", atoi(sum) + 1);
        rc = libsd_compare_and_swap_revision(sd, libsd_str("/sum"), kv->mod_revision,
                                             libsd_str(sum), 0, NULL, 0);
        libsd_kvs_free(kvs);
    }
    return rc == 0;
}

static void *add(void *arg)
{
    (void)arg;
    for (int i = 0; i < ADDITIONS; i++)
        if (!add_one())
            return failure;
    return NULL;
}

Test(txn, ten_threads_that_add_get_the_exact_sum)
{
    pthread_t threads[ADDERS];
    char expected[20];

    put(sd, "/sum", "0");
    for (int i = 0; i < ADDERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, add, NULL), 0);
    for (int i = 0; i < ADDERS; i++) {
        void *failed;

        pthread_join(threads[i], &failed);
        cr_assert_null(failed);
    }
    snprintf(expected, sizeof expected, "%d", ADDERS * ADDITIONS);
    cr_assert(has(sd, "/sum", expected));
}
