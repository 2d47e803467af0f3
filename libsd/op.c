/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Operations as etcd's gateway wants them.
 */
#include "op.h"

#include <stdlib.h>

#include "message.h"

/* etcd refuses keys and values above 1.5 MiB; refusing what is far above here
 * spares the encoding. */
#define BYTES_MAX ((size_t)8 << 20)

static const struct {
    const char *name;
    const char *path;
    int flags; /* that mean something */
} kinds[] = {
    [LIBSD_OP_PUT] = { "PUT", "/kv/put", LIBSD_PREV_KV | LIBSD_IGNORE_VALUE | LIBSD_IGNORE_LEASE },
    [LIBSD_OP_RANGE] = { "RANGE", "/kv/range",
                         LIBSD_KEYS_ONLY | LIBSD_SERIALIZABLE | LIBSD_COUNT_ONLY | LIBSD_PREFIX |
                             LIBSD_RANGE },
    [LIBSD_OP_DELETE] = { "DELETE", "/kv/deleterange", LIBSD_PREFIX | LIBSD_RANGE | LIBSD_PREV_KV },
    [LIBSD_OP_TXN] = { "TXN", "/kv/txn", 0 },
    [LIBSD_OP_CREATE] = { "CREATE", "/kv/txn", 0 },
    [LIBSD_OP_REPLACE] = { "REPLACE", "/kv/txn", 0 },
    [LIBSD_OP_SWAP] = { "SWAP", "/kv/txn", 0 },
    [LIBSD_OP_REMOVE] = { "REMOVE", "/kv/txn", 0 },
    [LIBSD_OP_COMPACT] = { "COMPACT", "/kv/compaction", LIBSD_PHYSICAL },
    [LIBSD_OP_LEASE_GRANT] = { "LEASE_GRANT", "/lease/grant", 0 },
    [LIBSD_OP_LEASE_KEEPALIVE] = { "LEASE_KEEPALIVE", "/lease/keepalive", 0 },
    [LIBSD_OP_LEASE_REVOKE] = { "LEASE_REVOKE", "/lease/revoke", 0 },
    [LIBSD_OP_LEASE_TTL] = { "LEASE_TTL", "/lease/timetolive", LIBSD_LEASE_KEYS },
    [LIBSD_OP_LEASES] = { "LEASES", "/lease/leases", 0 },
    [LIBSD_OP_MEMBERS] = { "MEMBERS", "/cluster/member/list", 0 },
    [LIBSD_OP_STATUS] = { "STATUS", "/maintenance/status", 0 },
    [LIBSD_OP_MEMBER_ADD] = { "MEMBER_ADD", "/cluster/member/add", LIBSD_LEARNER },
    [LIBSD_OP_MEMBER_REMOVE] = { "MEMBER_REMOVE", "/cluster/member/remove", 0 },
};

struct part *parts_add(struct parts *parts)
{
    if (parts->count == parts->capacity) {
        size_t capacity = parts->capacity ? parts->capacity * 2 : 8;
        struct part *list = reallocarray(parts->list, capacity, sizeof *list);

        if (!list)
            return NULL;
        parts->list = list;
        parts->capacity = capacity;
    }
    parts->list[parts->count] = (struct part){ .size = 1 };
    return &parts->list[parts->count++];
}

/* ---- checking ----------------------------------------------------------- */

static bool is_slice(libsd_slice slice)
{
    return (slice.data || slice.size == 0) && slice.size <= BYTES_MAX;
}

/* What is wrong with an operation on keys; NULL: nothing. */
static const char *check_keys(const libsd_op *op)
{
    int many = op->flags & (LIBSD_PREFIX | LIBSD_RANGE);

    if (!is_slice(op->key) || !is_slice(op->end) || !is_slice(op->value) || !is_slice(op->expected))
        return "a key or value is NULL or larger than 8 MiB";
    if (op->key.size == 0 && !(many && op->type == LIBSD_OP_RANGE))
        return "the key is empty";
    if (many == (LIBSD_PREFIX | LIBSD_RANGE))
        return "it is a prefix and a range";
    return op->mod_revision < 0 ? "the mod_revision is negative" : NULL;
}

static const char *check_range(const libsd_op *op)
{
    if (op->limit < 0 || op->revision < 0)
        return "limit or revision is negative";
    if (op->order < LIBSD_UNORDERED || op->order > LIBSD_DESCENDING || op->sort_by < LIBSD_BY_KEY ||
        op->sort_by > LIBSD_BY_VALUE)
        return "order or sort_by is unknown";
    return NULL;
}

static const char *check_others(const libsd_op *op)
{
    switch (op->type) {
    case LIBSD_OP_RANGE:
        return check_range(op);
    case LIBSD_OP_TXN:
        return op->txn ? NULL : "there is no transaction";
    case LIBSD_OP_COMPACT:
        return op->revision > 0 ? NULL : "the revision is not positive";
    case LIBSD_OP_LEASE_GRANT:
        if (op->ttl_s < 1)
            return "the TTL is not positive";
        return op->lease < 0 ? "the lease is negative" : NULL;
    case LIBSD_OP_MEMBER_ADD:
        return op->peer_urls && *op->peer_urls ? NULL : "there is no URL";
    default:
        return NULL;
    }
}

int op_check(const libsd_op *op, struct failure *failure)
{
    const char *why = NULL;

    /* Later versions of the header may add fields.  Only those of the operations
     * that came with them may be missing. */
    if (op->size < (op->type < LIBSD_OP_MEMBER_ADD ? offsetof(libsd_op, peer_urls) : sizeof *op))
        return failure_set(failure, LIBSD_EINVAL, "not an operation: size %zu", op->size);
    if (op->type < LIBSD_OP_PUT || op->type > LIBSD_OP_MEMBER_REMOVE)
        return failure_set(failure, LIBSD_EINVAL, "unknown operation %d", op->type);
    if (op->flags & ~kinds[op->type].flags)
        why = "a flag means nothing here";
    if (!why && op->type <= LIBSD_OP_REMOVE && op->type != LIBSD_OP_TXN)
        why = check_keys(op);
    if (!why)
        why = check_others(op);
    if (why)
        return failure_set(failure, LIBSD_EINVAL, "LIBSD_OP_%s: %s", kinds[op->type].name, why);
    if (op->type == LIBSD_OP_TXN && op->txn->failure.code < 0) {
        *failure = op->txn->failure;
        return failure->code;
    }
    return 0;
}

/* ---- what it is --------------------------------------------------------- */

const char *op_name(const libsd_op *op)
{
    return kinds[op->type].name;
}

const char *op_path(const libsd_op *op)
{
    return kinds[op->type].path;
}

static bool parts_write(const struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        if (parts->list[i].type == LIBSD_OP_PUT || parts->list[i].type == LIBSD_OP_DELETE)
            return true;
    return false;
}

bool op_writes(const libsd_op *op)
{
    switch (op->type) {
    case LIBSD_OP_RANGE:
        return false;
    case LIBSD_OP_TXN:
        return parts_write(&op->txn->then_parts) || parts_write(&op->txn->else_parts);
    case LIBSD_OP_LEASE_GRANT:
        return op->lease != 0; /* with a number of our own it can be repeated */
    case LIBSD_OP_MEMBER_ADD:
    case LIBSD_OP_MEMBER_REMOVE:
        return true;
    default:
        return op->type <= LIBSD_OP_COMPACT;
    }
}

static bool parts_append(struct parts *parts, const struct parts *more)
{
    for (size_t i = 0; i < more->count; i++) {
        struct part *part = parts_add(parts);

        if (!part)
            return false;
        *part = more->list[i];
    }
    return true;
}

/* What CREATE ... REMOVE are made of. */
static bool add_conditional_parts(struct parts *parts, int then_type)
{
    struct part *part = parts_add(parts);

    if (part)
        *part = (struct part){ LIBSD_OP_TXN, 1, 1, 1, 3 };
    part = part ? parts_add(parts) : NULL;
    if (part)
        part->type = then_type;
    part = part ? parts_add(parts) : NULL;
    if (part)
        part->type = LIBSD_OP_RANGE;
    return part != NULL;
}

bool op_parts(const libsd_op *op, struct parts *parts)
{
    const struct libsd_txn *txn = op->txn;
    struct part *part;

    if (op->type >= LIBSD_OP_CREATE && op->type <= LIBSD_OP_REMOVE)
        return add_conditional_parts(parts,
                                     op->type == LIBSD_OP_REMOVE ? LIBSD_OP_DELETE : LIBSD_OP_PUT);
    part = parts_add(parts);
    if (!part)
        return false;
    part->type = op->type;
    if (op->type != LIBSD_OP_TXN)
        return true;
    *part = (struct part){
        .type = LIBSD_OP_TXN,
        .then_count = txn->then_count,
        .else_count = txn->else_count,
        .then_size = txn->then_parts.count,
        .size = 1 + txn->then_parts.count + txn->else_parts.count,
    };
    return parts_append(parts, &txn->then_parts) && parts_append(parts, &txn->else_parts);
}

/* ---- requests ----------------------------------------------------------- */

static void add_keys(struct buffer *body, const libsd_op *op, libsd_slice from)
{
    const struct span span = {
        .key = op->key,
        .prefix = op->flags & LIBSD_PREFIX,
        .until = op->flags & LIBSD_RANGE,
        .end = op->end,
    };

    message_span(body, from, &span);
}

static void add_flag(struct buffer *body, const libsd_op *op, int flag, const char *name)
{
    if (op->flags & flag)
        buffer_format(body, ",\"%s\":true", name);
}

void op_range_body(struct buffer *body, const libsd_op *op, libsd_slice from, int64_t limit,
                   int64_t revision, bool sorted)
{
    static const char *const orders[] = { "NONE", "ASCEND", "DESCEND" };
    static const char *const targets[] = { "KEY", "VERSION", "CREATE", "MOD", "VALUE" };

    buffer_text(body, "{");
    add_keys(body, op, from);
    message_number(body, "limit", limit);
    message_number(body, "revision", revision);
    if (sorted)
        buffer_format(body, ",\"sort_order\":\"%s\",\"sort_target\":\"%s\"", orders[op->order],
                      targets[op->sort_by]);
    add_flag(body, op, LIBSD_KEYS_ONLY, "keys_only");
    add_flag(body, op, LIBSD_COUNT_ONLY, "count_only");
    add_flag(body, op, LIBSD_SERIALIZABLE, "serializable");
    buffer_text(body, "}");
}

static void add_put(struct buffer *body, const libsd_op *op)
{
    buffer_text(body, "{");
    message_key(body, op->key, false);
    if (!(op->flags & LIBSD_IGNORE_VALUE)) {
        buffer_text(body, ",\"value\":");
        buffer_base64(body, op->value);
    }
    if (!(op->flags & LIBSD_IGNORE_LEASE))
        message_number(body, "lease", op->lease);
    add_flag(body, op, LIBSD_PREV_KV, "prev_kv");
    add_flag(body, op, LIBSD_IGNORE_VALUE, "ignore_value");
    add_flag(body, op, LIBSD_IGNORE_LEASE, "ignore_lease");
    buffer_text(body, "}");
}

static void add_delete(struct buffer *body, const libsd_op *op)
{
    buffer_text(body, "{");
    add_keys(body, op, op->key);
    add_flag(body, op, LIBSD_PREV_KV, "prev_kv");
    buffer_text(body, "}");
}

static void add_txn(struct buffer *body, const struct libsd_txn *txn)
{
    buffer_text(body, "{\"compare\":[");
    buffer_add(body, txn->compares.data, txn->compares.size);
    buffer_text(body, "],\"success\":[");
    buffer_add(body, txn->thens.data, txn->thens.size);
    buffer_text(body, "],\"failure\":[");
    buffer_add(body, txn->elses.data, txn->elses.size);
    buffer_text(body, "]}");
}

static void add_condition(struct buffer *body, const libsd_op *op)
{
    buffer_text(body, "{\"compare\":[{");
    message_key(body, op->key, false);
    if (op->type == LIBSD_OP_CREATE) {
        buffer_text(body, ",\"target\":\"CREATE\",\"create_revision\":\"0\"");
    } else if (op->type == LIBSD_OP_REPLACE) {
        buffer_text(body,
                    ",\"target\":\"CREATE\",\"create_revision\":\"0\",\"result\":\"GREATER\"");
    } else if (op->mod_revision) {
        buffer_text(body, ",\"target\":\"MOD\"");
        message_number(body, "mod_revision", op->mod_revision);
    } else {
        buffer_text(body, ",\"target\":\"VALUE\",\"value\":");
        buffer_base64(body, op->expected);
    }
    buffer_text(body, "}],");
}

/* The one in the way is read in the same transaction. */
static void add_conditional(struct buffer *body, const libsd_op *op)
{
    add_condition(body, op);
    if (op->type == LIBSD_OP_REMOVE) {
        buffer_text(body, "\"success\":[{\"request_delete_range\":");
        add_delete(body, op);
    } else {
        buffer_text(body, "\"success\":[{\"request_put\":");
        add_put(body, op);
    }
    buffer_text(body, "}],\"failure\":[{\"request_range\":{");
    message_key(body, op->key, false);
    buffer_text(body, "}}]}");
}

/* {"ID":...} and what belongs to it; etcd takes 0 for a missing number. */
static void add_lease(struct buffer *body, const libsd_op *op)
{
    buffer_format(body, "{\"ID\":\"%lld\"", (long long)op->lease);
    message_number(body, "TTL", op->ttl_s);
    add_flag(body, op, LIBSD_LEASE_KEYS, "keys");
    buffer_text(body, "}");
}

static void add_member(struct buffer *body, const libsd_op *op)
{
    const char *url = op->peer_urls;

    buffer_text(body, "{\"peerURLs\":[");
    for (;;) {
        size_t size;

        url += strspn(url, " ");
        size = strcspn(url, ",");
        buffer_json_text(body, libsd_bytes(url, size));
        if (!url[size])
            break;
        buffer_text(body, ",");
        url += size + 1;
    }
    buffer_text(body, "]");
    add_flag(body, op, LIBSD_LEARNER, "isLearner");
    buffer_text(body, "}");
}

void op_body(struct buffer *body, const libsd_op *op)
{
    switch (op->type) {
    case LIBSD_OP_PUT:
        add_put(body, op);
        break;
    case LIBSD_OP_RANGE:
        op_range_body(body, op, op->key, op->limit, op->revision, op->order != LIBSD_UNORDERED);
        break;
    case LIBSD_OP_DELETE:
        add_delete(body, op);
        break;
    case LIBSD_OP_TXN:
        add_txn(body, op->txn);
        break;
    case LIBSD_OP_COMPACT:
        buffer_format(body, "{\"revision\":\"%lld\"", (long long)op->revision);
        add_flag(body, op, LIBSD_PHYSICAL, "physical");
        buffer_text(body, "}");
        break;
    case LIBSD_OP_CREATE:
    case LIBSD_OP_REPLACE:
    case LIBSD_OP_SWAP:
    case LIBSD_OP_REMOVE:
        add_conditional(body, op);
        break;
    case LIBSD_OP_LEASES:
    case LIBSD_OP_MEMBERS:
    case LIBSD_OP_STATUS:
        buffer_text(body, "{}");
        break;
    case LIBSD_OP_MEMBER_ADD:
        add_member(body, op);
        break;
    case LIBSD_OP_MEMBER_REMOVE:
        buffer_format(body, "{\"ID\":\"%llu\"}", (unsigned long long)op->member);
        break;
    default:
        add_lease(body, op);
        break;
    }
}
