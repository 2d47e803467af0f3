/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Operations that block, against a real etcd: conditional writes, lists of every
 * kind, leases, the cluster.
 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
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

TestSuite(ops, .init = setup, .fini = teardown, .timeout = 60);

static libsd_reply *execute(libsd_op op, int expected)
{
    libsd_reply *reply;
    char detail[300];
    int rc = libsd_execute(sd, &op, 0, &reply);

    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(rc == expected, "operation %d: %s: %s", op.type, libsd_strerror(rc), detail);
    cr_assert(reply != NULL);
    cr_assert_eq(reply->error, rc);
    cr_assert_eq(reply->type, op.type);
    cr_assert((rc == 0) == (*reply->detail == '\0'), "%s", reply->detail);
    return reply;
}

static void execute_only(libsd_op op, int expected)
{
    libsd_reply_free(execute(op, expected));
}

static bool is(libsd_slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

/* The keys of a list, each with a space behind. */
static const char *words(const libsd_kvs *kvs)
{
    static char text[1000];

    text[0] = '\0';
    for (size_t i = 0; i < libsd_kvs_count(kvs); i++) {
        libsd_slice key = libsd_kvs_at(kvs, i)->key;

        snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s ", (int)key.size,
                 (const char *)key.data);
    }
    return text;
}

/* ---- conditional writes ------------------------------------------------- */

Test(ops, create_takes_a_free_key_only)
{
    int64_t revision = 0;
    libsd_reply *reply;

    cr_assert_eq(libsd_create(sd, libsd_str("/k"), libsd_str("1"), 0, &revision, 0), 0);
    cr_assert(revision > 1);
    cr_assert_eq(libsd_create(sd, libsd_str("/k"), libsd_str("2"), 0, NULL, 0), LIBSD_ECONFLICT);
    reply = execute(libsd_op_create(libsd_str("/k"), libsd_str("2"), 0), LIBSD_ECONFLICT);
    cr_assert_eq(reply->succeeded, 0);
    cr_assert_eq(libsd_kvs_count(reply->kvs), 1);
    cr_assert(is(libsd_kvs_at(reply->kvs, 0)->value, "1"));
    cr_assert_eq(libsd_kvs_at(reply->kvs, 0)->mod_revision, revision);
    libsd_reply_free(reply);
    cr_assert(has(sd, "/k", "1"));
}

Test(ops, replace_wants_an_existing_key)
{
    int64_t created = 0;
    int64_t revision = 0;

    cr_assert_eq(libsd_replace(sd, libsd_str("/k"), libsd_str("1"), 0, NULL, 0), LIBSD_ENOTFOUND);
    cr_assert(absent(sd, "/k"));
    created = put(sd, "/k", "1");
    cr_assert_eq(libsd_replace(sd, libsd_str("/k"), libsd_str("2"), 0, &revision, 0), 0);
    cr_assert(revision > created);
    cr_assert(has(sd, "/k", "2"));
}

Test(ops, swap_by_value_needs_the_value)
{
    cr_assert_eq(
        libsd_compare_and_swap(sd, libsd_str("/k"), libsd_str("1"), libsd_str("2"), 0, NULL, 0),
        LIBSD_ENOTFOUND);
    put(sd, "/k", "1");
    cr_assert_eq(
        libsd_compare_and_swap(sd, libsd_str("/k"), libsd_str("x"), libsd_str("2"), 0, NULL, 0),
        LIBSD_ECONFLICT);
    cr_assert(has(sd, "/k", "1"));
    cr_assert_eq(
        libsd_compare_and_swap(sd, libsd_str("/k"), libsd_str("1"), libsd_str("2"), 0, NULL, 0), 0);
    cr_assert(has(sd, "/k", "2"));
    /* An empty value is one to compare with, too. */
    cr_assert_eq(
        libsd_compare_and_swap(sd, libsd_str("/k"), libsd_str(""), libsd_str("3"), 0, NULL, 0),
        LIBSD_ECONFLICT);
    put(sd, "/k", "");
    cr_assert_eq(
        libsd_compare_and_swap(sd, libsd_str("/k"), libsd_str(""), libsd_str("3"), 0, NULL, 0), 0);
}

Test(ops, swap_by_revision_sees_a_value_that_came_back)
{
    int64_t first = put(sd, "/k", "a");
    int64_t last = 0;

    put(sd, "/k", "b");
    last = put(sd, "/k", "a");
    cr_assert_eq(
        libsd_compare_and_swap_revision(sd, libsd_str("/k"), first, libsd_str("c"), 0, NULL, 0),
        LIBSD_ECONFLICT);
    cr_assert_eq(
        libsd_compare_and_swap_revision(sd, libsd_str("/k"), last, libsd_str("c"), 0, &last, 0), 0);
    cr_assert_eq(
        libsd_compare_and_swap_revision(sd, libsd_str("/k"), last, libsd_str("d"), 0, NULL, 0), 0);
    cr_assert_eq(
        libsd_compare_and_swap_revision(sd, libsd_str("/none"), last, libsd_str("d"), 0, NULL, 0),
        LIBSD_ENOTFOUND);
    cr_assert_eq(
        libsd_compare_and_swap_revision(sd, libsd_str("/k"), 0, libsd_str("d"), 0, NULL, 0),
        LIBSD_EINVAL);
    cr_assert(has(sd, "/k", "d"));
}

Test(ops, compare_and_delete_deletes_what_it_was_shown)
{
    int64_t revision = put(sd, "/k", "1");

    cr_assert_eq(libsd_compare_and_delete(sd, libsd_str("/k"), libsd_str("2"), 0), LIBSD_ECONFLICT);
    cr_assert_eq(libsd_compare_and_delete_revision(sd, libsd_str("/k"), revision - 1, 0),
                 LIBSD_ECONFLICT);
    cr_assert(has(sd, "/k", "1"));
    cr_assert_eq(libsd_compare_and_delete_revision(sd, libsd_str("/k"), revision, 0), 0);
    cr_assert_eq(libsd_compare_and_delete(sd, libsd_str("/k"), libsd_str("1"), 0), LIBSD_ENOTFOUND);
    put(sd, "/k", "1");
    cr_assert_eq(libsd_compare_and_delete(sd, libsd_str("/k"), libsd_str("1"), 0), 0);
    cr_assert(absent(sd, "/k"));
}

Test(ops, conditions_hold_for_keys_of_any_bytes)
{
    const unsigned char bytes[] = { 0, 0xff, '"', '\\', 0, '\n' };
    libsd_slice key = libsd_bytes(bytes, sizeof bytes);

    cr_assert_eq(libsd_create(sd, key, key, 0, NULL, 0), 0);
    cr_assert_eq(libsd_create(sd, key, key, 0, NULL, 0), LIBSD_ECONFLICT);
    cr_assert_eq(libsd_compare_and_swap(sd, key, libsd_bytes(bytes, 5), key, 0, NULL, 0),
                 LIBSD_ECONFLICT);
    cr_assert_eq(libsd_compare_and_swap(sd, key, key, libsd_bytes(bytes, 1), 0, NULL, 0), 0);
    cr_assert_eq(libsd_compare_and_delete(sd, key, libsd_bytes(bytes, 1), 0), 0);
}

/* ---- puts and deletes --------------------------------------------------- */

Test(ops, put_and_delete_tell_what_was_there)
{
    libsd_reply *reply;
    int64_t revision = put(sd, "/k/1", "old");

    put(sd, "/k/2", "too");
    reply = execute(libsd_op_put(libsd_str("/k/1"), libsd_str("new"), 0, LIBSD_PREV_KV), 0);
    cr_assert(is(libsd_kvs_at(reply->kvs, 0)->value, "old"));
    cr_assert_eq(libsd_kvs_at(reply->kvs, 0)->mod_revision, revision);
    cr_assert(reply->revision > revision && reply->cluster_id && reply->member_id);
    libsd_reply_free(reply);
    reply = execute(libsd_op_put(libsd_str("/k/3"), libsd_str("x"), 0, LIBSD_PREV_KV), 0);
    cr_assert_eq(libsd_kvs_count(reply->kvs), 0);
    libsd_reply_free(reply);
    reply = execute(libsd_op_delete_range(libsd_str("/k/1"), libsd_str("/k/3"), LIBSD_PREV_KV), 0);
    cr_assert_eq(reply->count, 2);
    cr_assert_str_eq(words(reply->kvs), "/k/1 /k/2 ");
    libsd_reply_free(reply);
    reply = execute(libsd_op_delete(libsd_str("/k/1"), 0), 0);
    cr_assert_eq(reply->count, 0);
    libsd_reply_free(reply);
    cr_assert(has(sd, "/k/3", "x"));
}

Test(ops, put_may_keep_value_or_lease)
{
    libsd_reply *reply;
    int64_t lease = 0;

    cr_assert_eq(libsd_lease_grant(sd, 60, &lease, NULL, 0), 0);
    execute_only(libsd_op_put(libsd_str("/k"), libsd_str("1"), lease, 0), 0);
    execute_only(libsd_op_put(libsd_str("/k"), libsd_str("2"), 0, LIBSD_IGNORE_LEASE), 0);
    execute_only(libsd_op_put(libsd_str("/k"), libsd_str("-"), lease, LIBSD_IGNORE_VALUE), 0);
    reply = execute(libsd_op_get(libsd_str("/k")), 0);
    cr_assert(is(libsd_kvs_at(reply->kvs, 0)->value, "2"));
    cr_assert_eq(libsd_kvs_at(reply->kvs, 0)->lease, lease);
    libsd_reply_free(reply);
    execute_only(libsd_op_put(libsd_str("/none"), libsd_str(""), 0, LIBSD_IGNORE_VALUE),
                 LIBSD_EREFUSED);
}

/* ---- lists -------------------------------------------------------------- */

Test(ops, lists_have_every_shape)
{
    libsd_reply *reply;
    libsd_op op;

    put(sd, "/l/a", "3");
    put(sd, "/l/b", "1");
    put(sd, "/l/c", "2");
    put(sd, "/l/a", "3");
    reply = execute(libsd_op_range(libsd_str("/l/a"), libsd_str("/l/c"), 0), 0);
    cr_assert_str_eq(words(reply->kvs), "/l/a /l/b ");
    cr_assert_eq(reply->count, 2);
    cr_assert_eq(reply->more, 0);
    libsd_reply_free(reply);
    reply = execute(libsd_op_range(libsd_str("/l/b"), libsd_str(""), LIBSD_KEYS_ONLY), 0);
    cr_assert_str_eq(words(reply->kvs), "/l/b /l/c ");
    cr_assert_eq(libsd_kvs_at(reply->kvs, 0)->value.size, 0);
    libsd_reply_free(reply);
    reply = execute(libsd_op_list(libsd_str("/l/"), LIBSD_COUNT_ONLY), 0);
    cr_assert_eq(reply->count, 3);
    cr_assert_eq(libsd_kvs_count(reply->kvs), 0);
    libsd_reply_free(reply);
    op = libsd_op_list(libsd_str("/l/"), 0);
    op.limit = 2;
    reply = execute(op, 0);
    cr_assert_str_eq(words(reply->kvs), "/l/a /l/b ");
    cr_assert_eq(reply->count, 3);
    cr_assert_eq(reply->more, 1);
    libsd_reply_free(reply);
    execute_only(libsd_op_get(libsd_str("/l/")), LIBSD_ENOTFOUND);
}

/* Whether a list in pages, and one with a limit, which is etcd's to sort, have
 * that order. */
static void check_order(int order, int sort_by, const char *expected)
{
    libsd_op op = libsd_op_list(libsd_str("/l/"), 0);
    libsd_reply *reply;

    op.order = order;
    op.sort_by = sort_by;
    for (op.limit = 0; op.limit <= 3; op.limit += 3) {
        reply = execute(op, 0);
        cr_assert_str_eq(words(reply->kvs), expected);
        libsd_reply_free(reply);
    }
}

Test(ops, lists_come_in_any_order)
{
    put(sd, "/l/a", "3");
    put(sd, "/l/b", "1");
    put(sd, "/l/c", "2");
    put(sd, "/l/a", "3");
    check_order(LIBSD_UNORDERED, LIBSD_BY_KEY, "/l/a /l/b /l/c ");
    check_order(LIBSD_DESCENDING, LIBSD_BY_KEY, "/l/c /l/b /l/a ");
    check_order(LIBSD_ASCENDING, LIBSD_BY_VALUE, "/l/b /l/c /l/a ");
    check_order(LIBSD_ASCENDING, LIBSD_BY_MOD_REVISION, "/l/b /l/c /l/a ");
    check_order(LIBSD_DESCENDING, LIBSD_BY_CREATE_REVISION, "/l/c /l/b /l/a ");
}

Test(ops, list_at_a_revision_shows_the_past)
{
    libsd_op op = libsd_op_list(libsd_str("/l/"), 0);
    libsd_reply *reply;

    op.revision = put(sd, "/l/a", "1");
    put(sd, "/l/b", "1");
    libsd_delete(sd, libsd_str("/l/a"), 0);
    reply = execute(op, 0);
    cr_assert_str_eq(words(reply->kvs), "/l/a ");
    cr_assert_eq(libsd_kvs_revision(reply->kvs), op.revision);
    cr_assert(reply->revision > op.revision);
    libsd_reply_free(reply);
    execute_only(libsd_op_compact(op.revision + 1, LIBSD_PHYSICAL), 0);
    execute_only(op, LIBSD_ECOMPACTED);
    execute_only(libsd_op_compact(op.revision, 0), LIBSD_ECOMPACTED);
}

Test(ops, limit_above_a_page_is_kept)
{
    libsd_op op = libsd_op_list(libsd_str("/p/"), 0);
    libsd_reply *reply;

    put_many(&etcd, "/p/", 12000);
    op.limit = 7001;
    reply = execute(op, 0);
    cr_assert_eq(libsd_kvs_count(reply->kvs), 7001);
    cr_assert_eq(reply->count, 12000);
    cr_assert_eq(reply->more, 1);
    libsd_reply_free(reply);
    op.limit = 12000;
    reply = execute(op, 0);
    cr_assert_eq(libsd_kvs_count(reply->kvs), 12000);
    cr_assert_eq(reply->more, 0);
    cr_assert(is(libsd_kvs_at(reply->kvs, 11999)->key, "/p/11999"));
    libsd_reply_free(reply);
    op.limit = 0;
    op.order = LIBSD_DESCENDING;
    reply = execute(op, 0);
    cr_assert_eq(libsd_kvs_count(reply->kvs), 12000);
    cr_assert(is(libsd_kvs_at(reply->kvs, 0)->key, "/p/11999"));
    libsd_reply_free(reply);
}

Test(ops, keys_are_listed_without_values)
{
    libsd_kvs *kvs;

    put(sd, "/k/1", "x");
    cr_assert_eq(libsd_keys(sd, libsd_str("/k/"), &kvs, 0), 0);
    cr_assert_str_eq(words(kvs), "/k/1 ");
    cr_assert_eq(libsd_kvs_at(kvs, 0)->value.size, 0);
    libsd_kvs_free(kvs);
}

/* ---- leases and the cluster --------------------------------------------- */

Test(ops, leases_are_asked_about)
{
    int64_t ttl_s = 0;
    int64_t granted_ttl_s = 0;
    libsd_reply *reply;

    execute_only(libsd_op_lease_grant(4711, 100), 0);
    execute_only(libsd_op_lease_grant(4711, 100), LIBSD_ECONFLICT);
    cr_assert_eq(libsd_put(sd, libsd_str("/k/1"), libsd_str(""), 4711, NULL, 0), 0);
    cr_assert_eq(libsd_put(sd, libsd_str("/k/2"), libsd_str(""), 4711, NULL, 0), 0);
    reply = execute(libsd_op_lease_ttl(4711, LIBSD_LEASE_KEYS), 0);
    cr_assert_eq(reply->lease, 4711);
    cr_assert(reply->ttl_s > 50 && reply->ttl_s <= 100);
    cr_assert_eq(reply->granted_ttl_s, 100);
    cr_assert_eq(reply->key_count, 2);
    cr_assert(is(reply->keys[0], "/k/1") || is(reply->keys[1], "/k/1"));
    libsd_reply_free(reply);
    cr_assert_eq(libsd_leases(sd, &reply, 0), 0);
    cr_assert(reply->lease_count == 1 && reply->leases[0] == 4711);
    libsd_reply_free(reply);
    cr_assert_eq(libsd_lease_keepalive(sd, 4711, &ttl_s, 0), 0);
    cr_assert_eq(ttl_s, 100);
    cr_assert_eq(libsd_lease_ttl(sd, 4711, &ttl_s, &granted_ttl_s, 0), 0);
    cr_assert(ttl_s > 90 && granted_ttl_s == 100);
    cr_assert_eq(libsd_lease_revoke(sd, 4711, 0), 0);
    cr_assert_eq(libsd_lease_revoke(sd, 4711, 0), LIBSD_ELEASE);
    cr_assert_eq(libsd_lease_ttl(sd, 4711, &ttl_s, NULL, 0), LIBSD_ELEASE);
    cr_assert_eq(libsd_lease_keepalive(sd, 4711, NULL, 0), LIBSD_ELEASE);
    cr_assert(absent(sd, "/k/1"));
    cr_assert_eq(libsd_put(sd, libsd_str("/k"), libsd_str(""), 4711, NULL, 0), LIBSD_ELEASE);
    cr_assert_eq(libsd_create(sd, libsd_str("/k"), libsd_str(""), 4711, NULL, 0), LIBSD_ELEASE);
}

Test(ops, cluster_is_described)
{
    libsd_reply *reply;

    cr_assert_eq(libsd_members(sd, &reply, 0), 0);
    cr_assert_eq(reply->member_count, 1);
    cr_assert_str_eq(reply->members[0]->name, "n1");
    cr_assert_str_eq(reply->members[0]->client_urls[0], etcd.url);
    cr_assert_str_eq(reply->members[0]->peer_urls[0], etcd.peer);
    cr_assert_null(reply->members[0]->peer_urls[1]);
    cr_assert_eq(reply->members[0]->id, reply->member_id);
    libsd_reply_free(reply);
    cr_assert_eq(libsd_status(sd, NULL, &reply, 0), 0);
    cr_assert(strncmp(reply->status->version, "3.", 2) == 0);
    cr_assert_eq(reply->status->leader, reply->member_id);
    cr_assert(reply->status->db_size > 0 && reply->status->raft_index > 0);
    cr_assert_null(reply->status->errors[0]);
    libsd_reply_free(reply);
    cr_assert_eq(libsd_status(sd, etcd.url, &reply, 0), 0);
    libsd_reply_free(reply);
    cr_assert_eq(libsd_status(sd, "http://127.0.0.1:1", &reply, 0), LIBSD_EINVAL);
    cr_assert_null(reply);
}

Test(ops, status_of_a_named_endpoint_is_not_anothers)
{
    libsd_options *options;
    libsd_reply *reply;
    char endpoints[200];

    libsd_close(sd);
    snprintf(endpoints, sizeof endpoints, "%s,127.0.0.1:1", etcd.url);
    libsd_options_new(&options);
    cr_assert_eq(libsd_options_set(options, "endpoints", endpoints), 0);
    cr_assert_eq(libsd_open(&sd, options), 0);
    libsd_options_free(options);
    cr_assert_eq(libsd_status(sd, "http://127.0.0.1:1", &reply, 0), LIBSD_EUNAVAILABLE);
    cr_assert_eq(libsd_status(sd, etcd.url, &reply, 0), 0);
    libsd_reply_free(reply);
    cr_assert_eq(libsd_status(sd, NULL, &reply, 0), 0);
    libsd_reply_free(reply);
}

static atomic_ullong clusters[LIBSD_EVENT_ENDED + 1];

static void note_cluster(const libsd_event *event, void *arg)
{
    (void)arg;
    atomic_store(&clusters[event->type], event->cluster_id);
}

Test(ops, events_name_the_cluster)
{
    libsd_watch *watch;
    libsd_reply *reply = execute(libsd_op_members(), 0);

    cr_assert_eq(libsd_watch_open(sd, libsd_str("/c/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0,
                                  note_cluster, NULL, &watch),
                 0);
    UNTIL(atomic_load(&clusters[LIBSD_EVENT_CONNECTED]), 20);
    cr_assert_eq(atomic_load(&clusters[LIBSD_EVENT_CONNECTED]), reply->cluster_id);
    cr_assert_eq(atomic_load(&clusters[LIBSD_EVENT_LIST_BEGIN]), reply->cluster_id);
    cr_assert_eq(atomic_load(&clusters[LIBSD_EVENT_LIST_END]), reply->cluster_id);
    libsd_watch_close(watch);
    libsd_reply_free(reply);
}

/* ---- what is not acceptable --------------------------------------------- */

static void refuse(libsd_op op, const char *why)
{
    libsd_reply *reply;
    char detail[300];

    cr_assert_eq(libsd_execute(sd, &op, 0, &reply), LIBSD_EINVAL);
    cr_assert_null(reply);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, why) != NULL, "%s", detail);
}

Test(ops, nonsense_is_refused_by_name)
{
    libsd_op op = libsd_op_get(libsd_str("/k"));

    refuse(libsd_op_put(libsd_str(""), libsd_str("x"), 0, 0), "LIBSD_OP_PUT: the key is empty");
    refuse(libsd_op_put(libsd_str("/k"), libsd_str("x"), 0, LIBSD_PREFIX), "a flag means nothing");
    refuse(libsd_op_delete_prefix(libsd_str(""), 0), "the key is empty");
    refuse(libsd_op_put(libsd_bytes(NULL, 3), libsd_str("x"), 0, 0), "NULL");
    refuse(libsd_op_compact(0, 0), "LIBSD_OP_COMPACT: the revision");
    refuse(libsd_op_lease_grant(0, 0), "LIBSD_OP_LEASE_GRANT: the TTL");
    refuse(libsd_op_txn(NULL), "there is no transaction");
    op.order = 9;
    refuse(op, "order or sort_by is unknown");
    op.type = 77;
    refuse(op, "unknown operation 77");
    op.size = 3;
    refuse(op, "not an operation");
}
