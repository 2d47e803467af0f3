/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Building a transaction: what is added is written as JSON at once, so that
 * nothing of the caller's needs to be kept.
 */
#include <stdlib.h>

#include "message.h"
#include "op.h"

int libsd_txn_new(libsd_txn **txn)
{
    if (!txn)
        return LIBSD_EINVAL;
    *txn = calloc(1, sizeof **txn);
    return *txn ? 0 : LIBSD_ENOMEM;
}

void libsd_txn_free(libsd_txn *txn)
{
    if (!txn)
        return;
    buffer_free(&txn->compares);
    buffer_free(&txn->thens);
    buffer_free(&txn->elses);
    free(txn->then_parts.list);
    free(txn->else_parts.list);
    free(txn);
}

/* Remembers the first failure; the execution will tell. */
static int fail(libsd_txn *txn, const struct failure *failure)
{
    if (txn->failure.code == 0)
        txn->failure = *failure;
    return failure->code;
}

static int out_of_memory(libsd_txn *txn)
{
    struct failure failure;

    failure_set(&failure, LIBSD_ENOMEM, "transaction: out of memory");
    return fail(txn, &failure);
}

int libsd_txn_if(libsd_txn *txn, const libsd_compare *compare)
{
    static const char *const targets[] = { "VERSION", "CREATE", "MOD", "VALUE", "LEASE" };
    static const char *const fields[] = { "version", "create_revision", "mod_revision", NULL,
                                          "lease" };
    static const char *const results[] = { "EQUAL", "GREATER", "LESS", "NOT_EQUAL" };
    struct buffer *body;
    struct failure failure;

    if (!txn || !compare)
        return LIBSD_EINVAL;
    if (compare->size < sizeof *compare || compare->target < 0 ||
        compare->target > LIBSD_COMPARE_LEASE || compare->result < 0 ||
        compare->result > LIBSD_NOT_EQUAL || !compare->key.data || compare->key.size == 0 ||
        (!compare->value.data && compare->value.size)) {
        failure_set(&failure, LIBSD_EINVAL, "transaction: comparison %d %d is not acceptable",
                    compare->target, compare->result);
        return fail(txn, &failure);
    }
    body = &txn->compares;
    buffer_text(body, body->size ? ",{" : "{");
    message_key(body, compare->key, false);
    buffer_format(body, ",\"target\":\"%s\",\"result\":\"%s\"", targets[compare->target],
                  results[compare->result]);
    if (compare->target == LIBSD_COMPARE_VALUE) {
        buffer_text(body, ",\"value\":");
        buffer_base64(body, compare->value);
    } else {
        message_number(body, fields[compare->target], compare->number);
    }
    buffer_text(body, "}");
    return body->failed ? out_of_memory(txn) : 0;
}

static const char *request_name(int type)
{
    switch (type) {
    case LIBSD_OP_PUT:
        return "request_put";
    case LIBSD_OP_RANGE:
        return "request_range";
    case LIBSD_OP_DELETE:
        return "request_delete_range";
    case LIBSD_OP_TXN:
        return "request_txn";
    default:
        return NULL;
    }
}

static int check_part(const libsd_txn *txn, const libsd_op *op, struct failure *failure)
{
    if (op_check(op, failure) < 0)
        return failure->code;
    if (!request_name(op->type))
        return failure_set(failure, LIBSD_EINVAL, "LIBSD_OP_%s can't be part of a transaction",
                           op_name(op));
    if (op->type == LIBSD_OP_TXN && (op->txn == txn || op->txn->depth + 1 >= TXN_DEPTH))
        return failure_set(failure, LIBSD_EINVAL,
                           "transaction: more than %d in each other, or one in itself", TXN_DEPTH);
    return 0;
}

static int add(libsd_txn *txn, const libsd_op *op, struct buffer *body, struct parts *parts,
               size_t *count)
{
    struct failure failure;

    if (check_part(txn, op, &failure) < 0)
        return fail(txn, &failure);
    buffer_format(body, "%s{\"%s\":", body->size ? "," : "", request_name(op->type));
    op_body(body, op);
    buffer_text(body, "}");
    if (body->failed || !op_parts(op, parts))
        return out_of_memory(txn);
    if (op->type == LIBSD_OP_TXN && op->txn->depth >= txn->depth)
        txn->depth = op->txn->depth + 1;
    ++*count;
    return 0;
}

int libsd_txn_then(libsd_txn *txn, const libsd_op *op)
{
    if (!txn || !op)
        return LIBSD_EINVAL;
    return add(txn, op, &txn->thens, &txn->then_parts, &txn->then_count);
}

int libsd_txn_else(libsd_txn *txn, const libsd_op *op)
{
    if (!txn || !op)
        return LIBSD_EINVAL;
    return add(txn, op, &txn->elses, &txn->else_parts, &txn->else_count);
}
