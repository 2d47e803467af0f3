/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An operation on its way.
 */
#include "plan.h"

#include <stdlib.h>

#include "internal.h"
#include "json.h"
#include "lease.h"

/* A long list may be overtaken by a compaction; it is begun anew so often. */
#define LIST_TRIES 3

static libsd_slice cursor_of(const struct plan *plan)
{
    return libsd_bytes(plan->cursor.data, plan->cursor.size);
}

/* ---- the first request -------------------------------------------------- */

static bool is_key_order(const libsd_op *op)
{
    return op->sort_by == LIBSD_BY_KEY && op->order != LIBSD_DESCENDING;
}

/* Copies the keys that pages are asked for with. */
static void copy_keys(struct plan *plan)
{
    libsd_op *op = &plan->op;
    struct buffer *bytes = &plan->bytes;

    buffer_add(bytes, op->key.data, op->key.size);
    buffer_add(bytes, op->end.data, op->end.size);
    if (bytes->failed)
        return;
    op->key.data = bytes->data;
    op->end.data = bytes->size > op->key.size ? bytes->data + op->key.size : NULL;
}

static void page_body(struct plan *plan)
{
    int64_t limit = plan->page_limit;

    if (plan->left && plan->left < limit)
        limit = plan->left;
    op_range_body(&plan->body, &plan->op, cursor_of(plan), limit, plan->pinned, false);
    plan->body.failed |= plan->cursor.failed;
}

static void first_page(struct plan *plan)
{
    plan->cursor.size = 0;
    buffer_add(&plan->cursor, plan->op.key.data, plan->op.key.size);
    plan->pinned = plan->op.revision;
    plan->left = plan->op.limit;
    page_body(plan);
}

static int find_endpoint(struct plan *plan, const libsd *sd, struct failure *failure)
{
    int at = plan->op.endpoint ? endpoints_find(&sd->endpoints, plan->op.endpoint) : 0;

    if (at < 0)
        return failure_set(failure, LIBSD_EINVAL, "the handle has no such endpoint");
    plan->only = plan->op.endpoint ? (size_t)at + 1 : 0;
    return 0;
}

static unsigned call_flags(const libsd_op *op)
{
    switch (op->type) {
    case LIBSD_OP_RANGE:
        return op->flags & LIBSD_SERIALIZABLE ? CALL_SERIALIZABLE : 0;
    case LIBSD_OP_STATUS:
    case LIBSD_OP_MEMBERS:
        return CALL_SERIALIZABLE; /* of use above all when there is no leader */
    case LIBSD_OP_LEASE_REVOKE:
        return CALL_COUNTED;
    default:
        return op_writes(op) ? CALL_WRITE : 0;
    }
}

int plan_init(struct plan *plan, libsd *sd, const libsd_op *op, struct failure *failure)
{
    *plan = (struct plan){ 0 };
    if (op_check(op, failure) < 0)
        return failure->code;
    memcpy(&plan->op, op, op->size < sizeof plan->op ? op->size : sizeof plan->op);
    plan->path = op_path(op);
    plan->flags = call_flags(op);
    plan->page_limit = sd->page_limit;
    plan->big = op->type == LIBSD_OP_RANGE && (op->flags & (LIBSD_PREFIX | LIBSD_RANGE)) &&
                !(op->flags & LIBSD_COUNT_ONLY);
    plan->paged = plan->big && (is_key_order(op) || op->limit == 0);
    if (find_endpoint(plan, sd, failure) < 0)
        return failure->code;
    if (op->type == LIBSD_OP_LEASE_GRANT && op->lease == 0)
        plan->op.lease = lease_new_id();
    plan->reply = reply_new(op->type);
    if (plan->reply)
        plan->reply->begun_ns = now_ns();
    if (plan->paged) {
        copy_keys(plan);
        first_page(plan);
    } else {
        op_body(&plan->body, &plan->op);
    }
    if (!plan->reply || !op_parts(op, &plan->parts) || plan->body.failed || plan->bytes.failed)
        return failure_set(failure, LIBSD_ENOMEM, "out of memory");
    return 0;
}

void plan_free(struct plan *plan)
{
    buffer_free(&plan->body);
    buffer_free(&plan->bytes);
    buffer_free(&plan->cursor);
    free(plan->parts.list);
    reply_free(plan->reply);
    *plan = (struct plan){ 0 };
}

struct reply *plan_reply(struct plan *plan)
{
    struct reply *reply = plan->reply;

    plan->reply = NULL;
    return reply;
}

/* ---- lists in pages ----------------------------------------------------- */

static bool is_asked_for(const libsd_op *op, libsd_slice key)
{
    if (op->flags & LIBSD_PREFIX)
        return key.size >= op->key.size &&
               (op->key.size == 0 || memcmp(key.data, op->key.data, op->key.size) == 0);
    return op->end.size == 0 || slice_compare(key, op->end) < 0;
}

/* What is wrong with a page; NULL: nothing.  One that does not go forward might
 * never end; fewer keys than it counts, taken for the whole, would be a lie. */
static const char *why_unsound(const struct plan *plan, const struct reply *page)
{
    const struct records *records = &page->kvs.records;
    libsd_slice last = cursor_of(plan);

    for (size_t i = 0; i < records->count; i++) {
        libsd_slice key = records->list[i].kv.key;
        int order = slice_compare(last, key);

        if (!is_asked_for(&plan->op, key) || (order > 0 && i == 0))
            return "keys that were not asked for";
        if (order > 0 || (order == 0 && i))
            return "keys out of order";
        last = key;
    }
    if (page->public.revision == 0)
        return "no revision";
    if (page->public.more)
        return records->count ? NULL : "no keys, but more of them";
    return page->public.count > (int64_t)records->count ? "fewer keys than it counts" : NULL;
}

static int check_page(const struct plan *plan, const struct reply *page, struct failure *failure)
{
    const char *why = why_unsound(plan, page);
    struct failure place = *failure;

    if (!why)
        return 0;
    return failure_set(failure, LIBSD_EPROTOCOL, "%s%snot a page of keys: %s", place.text,
                       *place.text ? ": " : "", why);
}

static bool next_page(struct plan *plan)
{
    struct reply *reply = plan->reply;
    libsd_slice last = reply->kvs.records.list[reply->kvs.records.count - 1].kv.key;

    plan->cursor.size = 0;
    buffer_add(&plan->cursor, last.data, last.size);
    buffer_add(&plan->cursor, "", 1);
    page_body(plan);
    return !plan->body.failed;
}

/* Adds a page to the reply. */
static int append_page(struct plan *plan, struct reply *page)
{
    struct reply *reply = plan->reply;
    int64_t count = (int64_t)page->kvs.records.count;

    if (reply->public.cluster_id == 0) {
        reply->public.cluster_id = page->public.cluster_id;
        reply->public.member_id = page->public.member_id;
        reply->public.raft_term = page->public.raft_term;
        reply->public.revision = page->public.revision;
        reply->public.count = page->public.count;
        if (!plan->pinned)
            plan->pinned = page->public.revision;
        reply->kvs.revision = plan->pinned;
    }
    if (kvs_append(&reply->kvs, &page->kvs.records) < 0 ||
        kvs_take_text(&reply->kvs, &page->kvs.texts[0]) < 0)
        return LIBSD_ENOMEM;
    reply->public.more = page->public.more;
    if (plan->left)
        plan->left = count < plan->left ? plan->left - count : -1;
    return 0;
}

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_records(const void *a, const void *b, void *arg)
{
    const libsd_op *op = arg;
    const libsd_kv *one = &((const struct record *)a)->kv;
    const libsd_kv *other = &((const struct record *)b)->kv;
    int order = 0;

    if (op->sort_by == LIBSD_BY_VERSION)
        order = compare_numbers(one->version, other->version);
    else if (op->sort_by == LIBSD_BY_CREATE_REVISION)
        order = compare_numbers(one->create_revision, other->create_revision);
    else if (op->sort_by == LIBSD_BY_MOD_REVISION)
        order = compare_numbers(one->mod_revision, other->mod_revision);
    else if (op->sort_by == LIBSD_BY_VALUE)
        order = slice_compare(one->value, other->value);
    if (order == 0)
        order = slice_compare(one->key, other->key);
    return op->order == LIBSD_DESCENDING ? -order : order;
}

/* From the start, with nothing. */
static bool list_again(struct plan *plan)
{
    kvs_clear(&plan->reply->kvs);
    plan->reply->public.cluster_id = 0;
    first_page(plan);
    return !plan->body.failed;
}

static int out_of_memory(struct failure *failure)
{
    return failure_set(failure, LIBSD_ENOMEM, "out of memory");
}

static int read_page(struct plan *plan, struct buffer *text, struct failure *failure)
{
    struct reply *page = reply_new(LIBSD_OP_RANGE);
    int rc;

    if (!page)
        return out_of_memory(failure);
    rc = reply_read(page, text, &plan->parts, failure);
    if (rc == 0)
        rc = check_page(plan, page, failure);
    if (rc == 0 && append_page(plan, page) < 0)
        rc = out_of_memory(failure);
    reply_free(page);
    return rc;
}

/* Returns 1 if another page is to be asked for, 0 at the end, or an error. */
static int take_page(struct plan *plan, struct buffer *text, struct failure *failure)
{
    bool made;

    if (failure->code == LIBSD_ETOOBIG && plan->page_limit > 1) {
        plan->page_limit /= 2;
        page_body(plan);
        made = !plan->body.failed;
    } else if (failure->code == LIBSD_ECOMPACTED && !plan->op.revision &&
               ++plan->tries < LIST_TRIES) {
        made = list_again(plan);
    } else {
        if (failure->code < 0 || read_page(plan, text, failure) < 0)
            return failure->code;
        if (!plan->reply->public.more || plan->left < 0)
            return 0;
        made = next_page(plan);
    }
    return made ? 1 : out_of_memory(failure);
}

/* ---- other answers ------------------------------------------------------ */

/* The answer to the only request, or to the second one of a grant. */
static void take_answer(struct plan *plan, struct buffer *text, struct failure *failure)
{
    int type = plan->reply->public.type;

    /* Conditional writes are transactions to etcd. */
    plan->reply->public.type = plan->parts.list[0].type;
    reply_read(plan->reply, text, &plan->parts, failure);
    plan->reply->public.type = type;
}

/* etcd has the lease already.  A number of our own is random, so it was a first
 * try of ours whose answer got lost: a renewal tells what was granted. */
static bool ask_what_was_granted(struct plan *plan, const struct outcome *outcome)
{
    if (plan->op.type != LIBSD_OP_LEASE_GRANT || (plan->flags & CALL_WRITE) ||
        !lease_exists_already(&outcome->error))
        return false;
    plan->op = libsd_op_lease_keepalive(plan->op.lease);
    plan->path = op_path(&plan->op);
    plan->parts.list[0].type = plan->op.type;
    op_body(&plan->body, &plan->op);
    return true;
}

/* ---- the end ------------------------------------------------------------ */

/* The part of the branch that was taken says the rest. */
static int finish_conditional(struct plan *plan, struct failure *failure)
{
    struct reply *reply = plan->reply;
    struct reply *part = reply->parts[0];

    reply->public.replies = NULL;
    reply->public.reply_count = 0;
    reply->public.count = part->public.count;
    if (reply->public.succeeded)
        return 0;
    if (kvs_append(&reply->kvs, &part->kvs.records) < 0)
        return out_of_memory(failure);
    part->public.kvs = NULL;
    if (reply->kvs.records.count == 0 && plan->op.type != LIBSD_OP_CREATE)
        return failure_set(failure, LIBSD_ENOTFOUND, "there is no such key");
    reply->public.kvs = &reply->kvs;
    return failure_set(failure, LIBSD_ECONFLICT, "%s",
                       plan->op.type == LIBSD_OP_CREATE ? "the key exists"
                                                        : "the key is not as expected");
}

static int finish_lease(struct plan *plan, struct failure *failure)
{
    libsd_reply *said = &plan->reply->public;
    int64_t ttl_s = said->ttl_s;

    if (said->type == LIBSD_OP_LEASE_GRANT)
        said->granted_ttl_s = ttl_s;
    said->lease = plan->op.lease;
    /* etcd has no other way to say that there is no such lease. */
    if (ttl_s < 0 || (ttl_s == 0 && plan->op.type == LIBSD_OP_LEASE_KEEPALIVE))
        return failure_set(failure, LIBSD_ELEASE, "etcd: requested lease not found");
    return 0;
}

static void finish_range(struct plan *plan, struct failure *failure)
{
    struct reply *reply = plan->reply;

    if (!plan->paged && plan->op.revision)
        reply->kvs.revision = plan->op.revision;
    if (plan->paged && !is_key_order(&plan->op) && reply->kvs.records.count)
        qsort_r(reply->kvs.records.list, reply->kvs.records.count, sizeof *reply->kvs.records.list,
                compare_records, &plan->op);
    if (!(plan->op.flags & (LIBSD_PREFIX | LIBSD_RANGE | LIBSD_COUNT_ONLY)) &&
        reply->kvs.records.count == 0)
        failure_set(failure, LIBSD_ENOTFOUND, "there is no such key");
}

static void finish_success(struct plan *plan, struct failure *failure)
{
    switch (plan->reply->public.type) {
    case LIBSD_OP_CREATE:
    case LIBSD_OP_REPLACE:
    case LIBSD_OP_SWAP:
    case LIBSD_OP_REMOVE:
        finish_conditional(plan, failure);
        break;
    case LIBSD_OP_LEASE_GRANT:
    case LIBSD_OP_LEASE_KEEPALIVE:
    case LIBSD_OP_LEASE_TTL:
        finish_lease(plan, failure);
        break;
    case LIBSD_OP_RANGE:
        finish_range(plan, failure);
        break;
    default:
        break;
    }
}

/* What a failure means to who asked. */
static void finish_failure(struct plan *plan, const struct outcome *outcome,
                           struct failure *failure)
{
    int type = plan->reply->public.type;

    if (type == LIBSD_OP_RANGE)
        kvs_clear(&plan->reply->kvs); /* half a list is none */
    if (type == LIBSD_OP_LEASE_REVOKE && outcome->unsure && failure->code == LIBSD_ELEASE)
        failure->code = 0; /* gone, by an earlier try of ours or by itself */
    else if (type == LIBSD_OP_LEASE_GRANT && lease_exists_already(&outcome->error))
        failure->code = LIBSD_ECONFLICT;
    /* With an answer that can't be read nobody knows, either. */
    if ((plan->flags & CALL_WRITE) && (outcome->unsure || outcome->failure.code == 0) &&
        failure->code < 0 && failure->code != LIBSD_ECLOSED)
        failure->code = LIBSD_EUNKNOWN;
}

bool plan_take(struct plan *plan, const struct outcome *outcome, struct buffer *text)
{
    struct failure failure = outcome->failure;
    int again = 0;

    buffer_free(&plan->body);
    if (plan->paged)
        again = take_page(plan, text, &failure);
    else if (ask_what_was_granted(plan, outcome))
        again = 1;
    else if (failure.code == 0)
        take_answer(plan, text, &failure);
    if (again > 0)
        return true;
    if (failure.code < 0)
        finish_failure(plan, outcome, &failure);
    else
        finish_success(plan, &failure);
    if (failure.code == 0)
        failure.text[0] = '\0';
    reply_fail(plan->reply, &failure);
    return false;
}
