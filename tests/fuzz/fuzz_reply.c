/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Operations that etcd, or whatever is in its place, answers: from plan_init()
 * to the reply that the application sees.
 *
 * The input: a byte that says which operation; then lines, one per request.  The
 * first byte of a line says what became of the request, the rest is the answer.
 *
 * Whatever that is: the reply has an end, what it counts is there, and all of it
 * lies in texts that are its own; after an error nothing is left of an answer
 * that was not understood.
 */
#include "fuzz.h"
#include "internal.h"
#include "json.h"
#include "lease.h"
#include "plan.h"

#define OPERATIONS 20
#define LEASE      77

static struct libsd sd = { .page_limit = 4 };

static libsd_op transaction(libsd_txn *inner, libsd_txn *outer)
{
    libsd_op op = libsd_op_delete(libsd_str("a"), LIBSD_PREV_KV);

    libsd_txn_then(inner, &op);
    op = libsd_op_get(libsd_str("a"));
    libsd_txn_else(inner, &op);
    op = libsd_op_put(libsd_str("b"), libsd_str("1"), 0, LIBSD_PREV_KV);
    libsd_txn_then(outer, &op);
    op = libsd_op_txn(inner);
    libsd_txn_then(outer, &op);
    op = libsd_op_list(libsd_str("a"), 0);
    libsd_txn_else(outer, &op);
    return libsd_op_txn(outer);
}

/* One of each kind, and ranges of every shape. */
static libsd_op operation(unsigned which)
{
    const libsd_slice key = libsd_str("a");
    const libsd_slice value = libsd_str("1");
    libsd_op op = libsd_op_list(key, 0);

    switch (which) {
    case 0:
        return libsd_op_put(key, value, LEASE, LIBSD_PREV_KV);
    case 1:
        return libsd_op_get(key);
    case 2:
        return libsd_op_delete(key, LIBSD_PREV_KV);
    case 3:
        return libsd_op_create(key, value, 0);
    case 4:
        return libsd_op_replace(key, value, 0);
    case 5:
        return libsd_op_swap(key, value, value, 0);
    case 6:
        return libsd_op_remove(key, value);
    case 7:
        return libsd_op_compact(5, 0);
    case 8:
        return libsd_op_lease_grant(0, 10);
    case 9:
        return libsd_op_lease_grant(LEASE, 10);
    case 10:
        return libsd_op_lease_keepalive(LEASE);
    case 11:
        return libsd_op_lease_revoke(LEASE);
    case 12:
        return libsd_op_lease_ttl(LEASE, LIBSD_LEASE_KEYS);
    case 13:
        return libsd_op_leases();
    case 14:
        return libsd_op_members();
    case 15:
        return libsd_op_status(NULL);
    case 16:
        return libsd_op_range(key, libsd_str("c"), 0);
    case 17:
        op.order = LIBSD_DESCENDING;
        op.sort_by = LIBSD_BY_VALUE;
        return op;
    case 18:
        op.limit = 5;
        op.revision = 9;
        return op;
    default:
        return op;
    }
}

/* ---- what the application sees ------------------------------------------ */

/* Whether bytes lie in one of the texts that the whole reply owns; the end of a
 * text may be one behind. */
static void check_bytes(const struct reply *whole, const char *at, size_t size)
{
    for (size_t i = 0; i < whole->kvs.text_count; i++) {
        const struct buffer *text = &whole->kvs.texts[i];

        if (at >= text->data && at + size <= text->data + text->size)
            return;
    }
    require(size == 0);
}

static void check_text(const struct reply *whole, const char *text)
{
    require(text != NULL);
    check_bytes(whole, text, strlen(text));
}

static void check_texts(const struct reply *whole, const char *const *texts)
{
    require(texts != NULL);
    for (size_t i = 0; texts[i]; i++) {
        require(i < TEXTS_MAX);
        check_text(whole, texts[i]);
    }
}

static void check_kvs(const struct reply *whole, const libsd_kvs *kvs)
{
    for (size_t i = 0; i < libsd_kvs_count(kvs); i++) {
        const libsd_kv *kv = libsd_kvs_at(kvs, i);

        check_bytes(whole, kv->key.data, kv->key.size);
        check_bytes(whole, kv->value.data, kv->value.size);
        require(kv->key.size > 0 && kv->mod_revision > 0);
    }
}

static void check_lists(const struct reply *whole, const libsd_reply *reply)
{
    for (size_t i = 0; i < reply->key_count; i++)
        check_bytes(whole, reply->keys[i].data, reply->keys[i].size);
    require(reply->lease_count == 0 || reply->leases != NULL);
    for (size_t i = 0; i < reply->member_count; i++) {
        check_text(whole, reply->members[i]->name);
        check_texts(whole, reply->members[i]->peer_urls);
        check_texts(whole, reply->members[i]->client_urls);
    }
    if (reply->status) {
        check_text(whole, reply->status->version);
        check_texts(whole, reply->status->errors);
    }
}

static void check_reply(const struct reply *whole, const libsd_reply *reply)
{
    require(memchr(reply->detail, '\0', sizeof whole->detail));
    check_kvs(whole, reply->kvs);
    check_lists(whole, reply);
    for (size_t i = 0; i < reply->reply_count; i++)
        check_reply(whole, reply->replies[i]);
}

/* What only a reply that was understood may have. */
static void check_meaning(const libsd_op *op, const libsd_reply *reply)
{
    bool by_key = op->sort_by == LIBSD_BY_KEY;

    require(reply->type == op->type && reply->error <= 0);
    if (reply->error < 0 && reply->error != LIBSD_ECONFLICT)
        require(libsd_kvs_count(reply->kvs) == 0 && reply->key_count == 0 &&
                reply->lease_count == 0 && reply->member_count == 0 && reply->reply_count == 0 &&
                !reply->status);
    if (reply->error < 0)
        return;
    require((reply->cluster_id != 0 || op->type == LIBSD_OP_LEASE_REVOKE) &&
            (op->type == LIBSD_OP_TXN || !reply->reply_count));
    if (op->type != LIBSD_OP_RANGE || !(op->flags & (LIBSD_PREFIX | LIBSD_RANGE)) || !by_key)
        return;
    for (size_t i = 1; i < libsd_kvs_count(reply->kvs); i++)
        require(slice_compare(libsd_kvs_at(reply->kvs, i - 1)->key,
                              libsd_kvs_at(reply->kvs, i)->key) < 0);
}

/* ---- what etcd says ----------------------------------------------------- */

static struct outcome outcome_of(unsigned what)
{
    static const int failures[] = {
        0, 0, 0, LIBSD_ECOMPACTED, LIBSD_ETOOBIG, LIBSD_ELEASE, LIBSD_EUNAVAILABLE, LIBSD_ECONFLICT
    };
    struct outcome outcome = { .unsure = what & 8 };
    int code = failures[what % 8];

    if (code)
        failure_set(&outcome.failure, code, "etcd: it is so");
    if (code == LIBSD_ECONFLICT) {
        outcome.error.code = 9;
        strcpy(outcome.error.text, "etcdserver: lease already exists");
        require(lease_exists_already(&outcome.error));
    }
    return outcome;
}

/* Returns whether there is to be another request. */
static bool answer(struct plan *plan, struct input *input)
{
    struct outcome outcome = outcome_of((unsigned)take(input, 1));
    const uint8_t *end = input->size ? memchr(input->data, '\n', input->size) : NULL;
    size_t size = end ? (size_t)(end - input->data) : input->size;
    struct buffer text = { 0 };
    bool again;

    require(plan->path && plan->body.size > 0 && !plan->body.failed);
    buffer_add(&text, input->data, size);
    input->data += size;
    input->size -= size;
    take(input, 1);
    again = plan_take(plan, &outcome, &text);
    buffer_free(&text);
    return again;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    struct failure failure = { 0 };
    libsd_txn *inner = NULL;
    libsd_txn *outer = NULL;
    struct plan plan;
    struct reply *reply;
    unsigned which = (unsigned)take(&input, 1) % (OPERATIONS + 1);
    libsd_op op = operation(which);
    bool again = true;

    require(libsd_txn_new(&inner) == 0 && libsd_txn_new(&outer) == 0);
    if (which == OPERATIONS)
        op = transaction(inner, outer);
    require(plan_init(&plan, &sd, &op, &failure) == 0);
    while (again && input.size > 0)
        again = answer(&plan, &input);
    if (!again) {
        reply = plan_reply(&plan);
        check_reply(reply, &reply->public);
        check_meaning(&op, &reply->public);
        libsd_reply_free(&reply->public);
    }
    plan_free(&plan);
    libsd_txn_free(inner);
    libsd_txn_free(outer);
    return 0;
}
