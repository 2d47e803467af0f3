/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An operation as the application words it, and as etcd does.
 */
#ifndef LIBSD_OP_H
#define LIBSD_OP_H

#include <stdbool.h>

#include "buffer.h"
#include "libsd.h"
#include "util.h"

/* How deep transactions may hold transactions. */
#define TXN_DEPTH 8

/* The operations of a transaction, each before its own: what the reply must
 * look like.
 *
 *     then: PUT, TXN(then: RANGE, else: PUT), DELETE
 *     PUT  TXN{then_count 1, else_count 1, then_size 1, size 3}  RANGE  PUT  DELETE
 */
struct part {
    int type;          /* enum libsd_op_type */
    size_t then_count; /* TXN: operations in each branch */
    size_t else_count;
    size_t then_size; /* TXN: parts of the branch, theirs included */
    size_t size;      /* parts of this one, itself included */
};

struct parts {
    struct part *list;
    size_t count;
    size_t capacity;
};

/* Adds a part; NULL when out of memory. */
struct part *parts_add(struct parts *parts);

struct libsd_txn {
    struct buffer compares; /* JSON, separated by commas */
    struct buffer thens;
    struct buffer elses;
    struct parts then_parts;
    struct parts else_parts;
    size_t then_count;
    size_t else_count;
    unsigned depth;
    struct failure failure; /* the first one */
};

/* Whether an operation can be asked of etcd: 0 or LIBSD_EINVAL. */
int op_check(const libsd_op *op, struct failure *failure);

/* Appends the request for any operation but the members of the range family
 * that are read in pages. */
void op_body(struct buffer *body, const libsd_op *op);

/* Appends the request for a range, or for a page of it: from `from` on, limit 0
 * for no limit. */
void op_range_body(struct buffer *body, const libsd_op *op, libsd_slice from, int64_t limit,
                   int64_t revision, bool sorted);

/* What follows LIBSD_OP_ in its type's name, and where etcd takes it. */
const char *op_name(const libsd_op *op);
const char *op_path(const libsd_op *op);

/* Whether repeating the operation may do harm. */
bool op_writes(const libsd_op *op);

/* Appends the parts that op is made of. */
bool op_parts(const libsd_op *op, struct parts *parts);

#endif
