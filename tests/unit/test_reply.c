/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Answers that are not those to what was asked, and those that are cut: refused
 * with a place, and nothing of them is in the reply.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "plan.h"

#define HEADER "\"header\":{\"cluster_id\":\"7\",\"revision\":\"12\"}"
#define KV     "{\"key\":\"YQ==\",\"mod_revision\":\"5\",\"value\":\"MQ==\"}"

static struct libsd sd = { .page_limit = 4 };

/* The reply to an operation whose only request was answered so. */
static libsd_reply *reply_to(const libsd_op *op, const char *answer)
{
    struct outcome outcome = { 0 };
    struct failure failure = { 0 };
    struct buffer text = { 0 };
    struct reply *reply;
    struct plan plan;

    cr_assert_eq(plan_init(&plan, &sd, op, &failure), 0, "%s", failure.text);
    buffer_text(&text, answer);
    cr_assert_not(plan_take(&plan, &outcome, &text), "another request after %s", answer);
    reply = plan_reply(&plan);
    buffer_free(&text); /* what still points there is found by the sanitizer */
    plan_free(&plan);
    return &reply->public;
}

static void expect_nothing_of(const libsd_reply *reply)
{
    cr_assert_eq(libsd_kvs_count(reply->kvs), 0);
    cr_assert_eq(reply->key_count, 0);
    cr_assert_eq(reply->lease_count, 0);
    cr_assert_eq(reply->member_count, 0);
    cr_assert_eq(reply->reply_count, 0);
    cr_assert_null(reply->keys);
    cr_assert_null(reply->status);
    cr_assert_null(reply->replies);
}

static void refused(libsd_op op, const char *answer, const char *why)
{
    libsd_reply *reply = reply_to(&op, answer);

    cr_assert(reply->error == LIBSD_EPROTOCOL || reply->error == LIBSD_EUNKNOWN, "%s: %s", answer,
              libsd_strerror(reply->error));
    cr_assert(strstr(reply->detail, why) != NULL, "%s: %s", answer, reply->detail);
    cr_assert_eq(reply->type, op.type);
    expect_nothing_of(reply);
    libsd_reply_free(reply);
}

/* ---- reply_read --------------------------------------------------------- */

Test(reply, what_is_no_answer_of_etcds_is_refused)
{
    static const char *const answers[] = {
        "",
        "null",
        "[]",
        "{",
        "{}",
        "{\"header\":{}}",
        "{" HEADER "} {" HEADER "}",
        "<html>",
        "{" HEADER ",\"kvs\":[{\"key\":\"Y!==\",\"mod_revision\":\"5\"}]}",
        "{" HEADER ",\"kvs\":[{\"value\":\"MQ==\"}]}",
        "{" HEADER ",\"kvs\":[" KV "]",
    };

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        refused(libsd_op_get(libsd_str("a")), answers[i], "not etcd's JSON");
}

/* Each list stands in front of the place where the answer is cut. */
Test(reply, nothing_is_left_of_an_answer_that_was_cut)
{
    refused(libsd_op_lease_ttl(77, LIBSD_LEASE_KEYS), "{" HEADER ",\"keys\":[\"YQ==\",\"Yg==\"]",
            "byte");
    refused(libsd_op_leases(), "{" HEADER ",\"leases\":[{\"ID\":\"7\"}]", "byte");
    refused(libsd_op_members(), "{" HEADER ",\"members\":[{\"name\":\"n1\"}]", "byte");
    refused(libsd_op_status(NULL), "{" HEADER ",\"version\":\"3.4\",\"errors\":[\"x\"]", "byte");
    refused(libsd_op_put(libsd_str("a"), libsd_str("1"), 0, LIBSD_PREV_KV),
            "{" HEADER ",\"prev_kv\":" KV, "byte");
    refused(libsd_op_list(libsd_str("a"), 0), "{" HEADER ",\"kvs\":[" KV "]", "byte");
}

static libsd_op put_or_get(libsd_txn *txn)
{
    libsd_op op = libsd_op_put(libsd_str("a"), libsd_str("1"), 0, LIBSD_PREV_KV);

    libsd_txn_then(txn, &op);
    op = libsd_op_get(libsd_str("a"));
    libsd_txn_else(txn, &op);
    return libsd_op_txn(txn);
}

Test(reply, transaction_of_other_parts_is_refused)
{
    static const char *const answers[] = {
        "{" HEADER ",\"succeeded\":true}",
        "{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_range\":{}}]}",
        "{" HEADER
        ",\"succeeded\":true,\"responses\":[{\"response_put\":{}},{\"response_put\":{}}]}",
        "{" HEADER ",\"responses\":[{\"response_put\":{\"prev_kv\":" KV "}}]}",
        "{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_watch\":{}}]}",
        "{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_txn\":{\"responses\":[{}]}}]}",
    };
    libsd_txn *txn = NULL;

    cr_assert_eq(libsd_txn_new(&txn), 0);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        refused(put_or_get(txn), answers[i], "parts");
    libsd_txn_free(txn);
    refused(libsd_op_create(libsd_str("a"), libsd_str("1"), 0),
            "{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_range\":{\"kvs\":[" KV
            "]}}]}",
            "parts");
}

/* ---- plan_take ---------------------------------------------------------- */

/* One that did not go forward might never end. */
Test(plan, page_of_other_keys_is_refused)
{
    static const struct {
        const char *page;
        const char *why;
    } pages[] = {
        { "[{\"key\":\"Yg==\",\"mod_revision\":\"5\"}]", "keys that were not asked for" },
        { "[{\"key\":\"YWI=\",\"mod_revision\":\"5\"},{\"key\":\"YWE=\",\"mod_revision\":\"5\"}]",
          "keys out of order" },
        { "[" KV "," KV "]", "keys out of order" },
        { "[],\"more\":true", "no keys, but more of them" },
        { "[" KV "],\"count\":\"2\"", "fewer keys than it counts" },
    };
    char answer[300];

    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        snprintf(answer, sizeof answer, "{" HEADER ",\"kvs\":%s}", pages[i].page);
        refused(libsd_op_list(libsd_str("a"), 0), answer, pages[i].why);
    }
    refused(libsd_op_list(libsd_str("a"), 0), "{\"header\":{\"cluster_id\":\"7\"}}", "no revision");
}

/* The key in the way is in the reply itself: there are no parts to look at. */
Test(plan, condition_that_did_not_hold_has_the_key_and_no_parts)
{
    libsd_op op = libsd_op_create(libsd_str("a"), libsd_str("1"), 0);
    libsd_reply *reply =
        reply_to(&op, "{" HEADER ",\"responses\":[{\"response_range\":{\"kvs\":[" KV
                      "],\"count\":\"1\"}}]}");

    cr_assert_eq(reply->error, LIBSD_ECONFLICT);
    cr_assert_eq(libsd_kvs_count(reply->kvs), 1);
    cr_assert_eq(reply->reply_count, 0);
    cr_assert_null(reply->replies);
    libsd_reply_free(reply);
}
