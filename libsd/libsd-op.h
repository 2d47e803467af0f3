/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd: what can be asked of etcd v3, as values: operations that block or call
 * back, their replies, and transactions.
 *
 * Part of libsd.h, which includes it and says what holds for all functions:
 * return values, threads, callbacks, fork.
 *
 * Every item is available since 0.1.0.
 */
/* Before the guard: libsd.h includes this file where its turn is. */
#include "libsd.h"

#ifndef LIBSD_OPERATION_H
#    define LIBSD_OPERATION_H

#    ifdef __cplusplus
extern "C" {
#    endif

/* ---- operations -------------------------------------------------------- */

/* What can be asked of etcd, as a value.  It is made by one of the inline
 * functions below, and used in one of three ways:
 *
 *     libsd_op op = libsd_op_put(libsd_str("/a"), libsd_str("1"), 0, LIBSD_PREV_KV);
 *
 *     libsd_execute(sd, &op, 0, &reply);                       wait for the reply
 *     libsd_start(sd, &op, 0, callback, arg, &id);             be told of it
 *     libsd_txn_then(txn, &op);                                part of a transaction
 *
 * What it points to need only live until that call returns.  Fields that the
 * function has no parameter for may be set afterwards:
 *
 *     libsd_op op = libsd_op_list(libsd_str("/a/"), LIBSD_KEYS_ONLY);
 *     op.limit = 10;
 *     op.order = LIBSD_DESCENDING;
 */
typedef struct libsd_op {
    size_t size; /* sizeof (libsd_op); fields are only ever added at the end */
    int type;    /* enum libsd_op_type */
    int flags;   /* enum libsd_op_flags */
    libsd_slice key;
    libsd_slice end;      /* LIBSD_RANGE: the first key behind; empty: no end */
    libsd_slice value;    /* PUT, CREATE, REPLACE, SWAP */
    libsd_slice expected; /* SWAP, REMOVE with mod_revision 0 */
    int64_t mod_revision; /* SWAP, REMOVE */
    int64_t lease;        /* PUT, CREATE, REPLACE, SWAP: 0 for none; LEASE_* */
    int64_t ttl_s;        /* LEASE_GRANT */
    int64_t revision;     /* RANGE: 0 for the newest; COMPACT */
    int64_t limit;        /* RANGE: the most keys; 0 for all */
    int order;            /* RANGE: enum libsd_order */
    int sort_by;          /* RANGE: enum libsd_sort_by */
    const struct libsd_txn *txn;
    const char *endpoint;  /* STATUS */
    const char *peer_urls; /* MEMBER_ADD: separated by commas */
    uint64_t member;       /* MEMBER_REMOVE: its id */
} libsd_op;

enum libsd_op_type {
    LIBSD_OP_PUT = 1,
    LIBSD_OP_RANGE = 2,
    LIBSD_OP_DELETE = 3,
    LIBSD_OP_TXN = 4,
    LIBSD_OP_CREATE = 5,
    LIBSD_OP_REPLACE = 6,
    LIBSD_OP_SWAP = 7,
    LIBSD_OP_REMOVE = 8,
    LIBSD_OP_COMPACT = 9,
    LIBSD_OP_LEASE_GRANT = 10,
    LIBSD_OP_LEASE_KEEPALIVE = 11,
    LIBSD_OP_LEASE_REVOKE = 12,
    LIBSD_OP_LEASE_TTL = 13,
    LIBSD_OP_LEASES = 14,
    LIBSD_OP_MEMBERS = 15,
    LIBSD_OP_STATUS = 16,
    LIBSD_OP_MEMBER_ADD = 17,
    LIBSD_OP_MEMBER_REMOVE = 18
};

enum libsd_op_flags {
    LIBSD_KEYS_ONLY = 1,      /* RANGE: leave the values out */
    LIBSD_SERIALIZABLE = 2,   /* RANGE: any member may answer, maybe a little old */
    LIBSD_COUNT_ONLY = 4,     /* RANGE: no keys, only how many there are */
    LIBSD_PREFIX = 8,         /* RANGE, DELETE: all keys that begin with key */
    LIBSD_RANGE = 16,         /* RANGE, DELETE: all keys from key up to end */
    LIBSD_PREV_KV = 32,       /* PUT, DELETE: tell what was there before */
    LIBSD_IGNORE_VALUE = 64,  /* PUT: keep the value, which must exist */
    LIBSD_IGNORE_LEASE = 128, /* PUT: keep the lease of a key that must exist */
    LIBSD_PHYSICAL = 256,     /* COMPACT: answer when it is done on disk */
    LIBSD_LEASE_KEYS = 512,   /* LEASE_TTL: with the keys under the lease */
    LIBSD_LEARNER = 1024      /* MEMBER_ADD: without a vote */
};

enum libsd_order {
    LIBSD_UNORDERED = 0, /* by key, ascending */
    LIBSD_ASCENDING = 1,
    LIBSD_DESCENDING = 2
};

enum libsd_sort_by {
    LIBSD_BY_KEY = 0,
    LIBSD_BY_VERSION = 1,
    LIBSD_BY_CREATE_REVISION = 2,
    LIBSD_BY_MOD_REVISION = 3,
    LIBSD_BY_VALUE = 4
};

static inline libsd_op libsd_op_of(int type, libsd_slice key, int flags)
{
    libsd_op op;

    memset(&op, 0, sizeof op);
    op.size = sizeof op;
    op.type = type;
    op.flags = flags;
    op.key = key;
    return op;
}

/* Puts a key.  lease: 0 for none.  flags: LIBSD_PREV_KV (the old one is in
 * reply->kvs), LIBSD_IGNORE_VALUE, LIBSD_IGNORE_LEASE (value or lease are not
 * looked at then; a key that does not exist gives LIBSD_EREFUSED). */
static inline libsd_op libsd_op_put(libsd_slice key, libsd_slice value, int64_t lease, int flags)
{
    libsd_op op = libsd_op_of(LIBSD_OP_PUT, key, flags);

    op.value = value;
    op.lease = lease;
    return op;
}

/* Reads one key; LIBSD_ENOTFOUND if there is none (in a transaction an empty
 * list).  May be set: revision; flags LIBSD_SERIALIZABLE, LIBSD_KEYS_ONLY. */
static inline libsd_op libsd_op_get(libsd_slice key)
{
    return libsd_op_of(LIBSD_OP_RANGE, key, 0);
}

/* Lists the keys that begin with prefix (empty: all), in key order.  flags:
 * LIBSD_KEYS_ONLY, LIBSD_SERIALIZABLE, LIBSD_COUNT_ONLY.  May be set: revision,
 * limit, order, sort_by.  Outside transactions it is read in pages, all at one
 * revision, unless limit comes together with another order than by key; then
 * timeout_ms is for each page. */
static inline libsd_op libsd_op_list(libsd_slice prefix, int flags)
{
    return libsd_op_of(LIBSD_OP_RANGE, prefix, flags | LIBSD_PREFIX);
}

/* The same for the keys from `from` up to, and without, end; end empty: up to
 * the last one. */
static inline libsd_op libsd_op_range(libsd_slice from, libsd_slice end, int flags)
{
    libsd_op op = libsd_op_of(LIBSD_OP_RANGE, from, flags | LIBSD_RANGE);

    op.end = end;
    return op;
}

/* Deletes one key; all that begin with prefix, which must not be empty; those
 * of a range.  flags: LIBSD_PREV_KV.  reply->count says how many there were. */
static inline libsd_op libsd_op_delete(libsd_slice key, int flags)
{
    return libsd_op_of(LIBSD_OP_DELETE, key, flags);
}

static inline libsd_op libsd_op_delete_prefix(libsd_slice prefix, int flags)
{
    return libsd_op_of(LIBSD_OP_DELETE, prefix, flags | LIBSD_PREFIX);
}

static inline libsd_op libsd_op_delete_range(libsd_slice from, libsd_slice end, int flags)
{
    libsd_op op = libsd_op_of(LIBSD_OP_DELETE, from, flags | LIBSD_RANGE);

    op.end = end;
    return op;
}

/* Puts a key if it does not exist (CREATE), if it does (REPLACE), if it has
 * that value or that mod_revision (SWAP); deletes it then (REMOVE).  If not,
 * reply->error is LIBSD_ECONFLICT, and reply->kvs holds the key as it is now,
 * or LIBSD_ENOTFOUND.  Not for transactions, which have libsd_txn_if(). */
static inline libsd_op libsd_op_create(libsd_slice key, libsd_slice value, int64_t lease)
{
    libsd_op op = libsd_op_of(LIBSD_OP_CREATE, key, 0);

    op.value = value;
    op.lease = lease;
    return op;
}

static inline libsd_op libsd_op_replace(libsd_slice key, libsd_slice value, int64_t lease)
{
    libsd_op op = libsd_op_create(key, value, lease);

    op.type = LIBSD_OP_REPLACE;
    return op;
}

static inline libsd_op libsd_op_swap(libsd_slice key, libsd_slice expected, libsd_slice value,
                                     int64_t lease)
{
    libsd_op op = libsd_op_create(key, value, lease);

    op.type = LIBSD_OP_SWAP;
    op.expected = expected;
    return op;
}

static inline libsd_op libsd_op_swap_revision(libsd_slice key, int64_t mod_revision,
                                              libsd_slice value, int64_t lease)
{
    libsd_op op = libsd_op_create(key, value, lease);

    op.type = LIBSD_OP_SWAP;
    op.mod_revision = mod_revision;
    return op;
}

static inline libsd_op libsd_op_remove(libsd_slice key, libsd_slice expected)
{
    libsd_op op = libsd_op_of(LIBSD_OP_REMOVE, key, 0);

    op.expected = expected;
    return op;
}

static inline libsd_op libsd_op_remove_revision(libsd_slice key, int64_t mod_revision)
{
    libsd_op op = libsd_op_of(LIBSD_OP_REMOVE, key, 0);

    op.mod_revision = mod_revision;
    return op;
}

/* Forgets the history before revision (KV.Compact).  flags: LIBSD_PHYSICAL.
 * LIBSD_ECOMPACTED: it is compacted already, or not reached yet. */
static inline libsd_op libsd_op_compact(int64_t revision, int flags)
{
    libsd_op op = libsd_op_of(LIBSD_OP_COMPACT, libsd_bytes("", 0), flags);

    op.revision = revision;
    return op;
}

/* A transaction; see libsd_txn_new(). */
static inline libsd_op libsd_op_txn(const struct libsd_txn *txn)
{
    libsd_op op = libsd_op_of(LIBSD_OP_TXN, libsd_bytes("", 0), 0);

    op.txn = txn;
    return op;
}

/* Leases: grant (lease 0: the library chooses an id; else that one, and
 * LIBSD_ECONFLICT if there is such a lease), renew once, end, ask about (flags:
 * LIBSD_LEASE_KEYS), list.  Results: reply->lease, ttl_s, granted_ttl_s, keys,
 * leases. */
static inline libsd_op libsd_op_lease_grant(int64_t lease, int64_t ttl_s)
{
    libsd_op op = libsd_op_of(LIBSD_OP_LEASE_GRANT, libsd_bytes("", 0), 0);

    op.lease = lease;
    op.ttl_s = ttl_s;
    return op;
}

static inline libsd_op libsd_op_lease_keepalive(int64_t lease)
{
    libsd_op op = libsd_op_of(LIBSD_OP_LEASE_KEEPALIVE, libsd_bytes("", 0), 0);

    op.lease = lease;
    return op;
}

static inline libsd_op libsd_op_lease_revoke(int64_t lease)
{
    libsd_op op = libsd_op_lease_keepalive(lease);

    op.type = LIBSD_OP_LEASE_REVOKE;
    return op;
}

static inline libsd_op libsd_op_lease_ttl(int64_t lease, int flags)
{
    libsd_op op = libsd_op_lease_keepalive(lease);

    op.type = LIBSD_OP_LEASE_TTL;
    op.flags = flags;
    return op;
}

static inline libsd_op libsd_op_leases(void)
{
    return libsd_op_of(LIBSD_OP_LEASES, libsd_bytes("", 0), 0);
}

/* The members; how the member at endpoint is, NULL as for libsd_status(). */
static inline libsd_op libsd_op_members(void)
{
    return libsd_op_of(LIBSD_OP_MEMBERS, libsd_bytes("", 0), 0);
}

static inline libsd_op libsd_op_status(const char *endpoint)
{
    libsd_op op = libsd_op_of(LIBSD_OP_STATUS, libsd_bytes("", 0), 0);

    op.endpoint = endpoint;
    return op;
}

/* Adds a member (flags: LIBSD_LEARNER), removes one; see libsd_member_add(). */
static inline libsd_op libsd_op_member_add(const char *peer_urls, int flags)
{
    libsd_op op = libsd_op_of(LIBSD_OP_MEMBER_ADD, libsd_bytes("", 0), flags);

    op.peer_urls = peer_urls;
    return op;
}

static inline libsd_op libsd_op_member_remove(uint64_t member)
{
    libsd_op op = libsd_op_of(LIBSD_OP_MEMBER_REMOVE, libsd_bytes("", 0), 0);

    op.member = member;
    return op;
}

/* ---- replies ----------------------------------------------------------- */

/* A member of the cluster.  The lists of URLs end with NULL. */
typedef struct libsd_member {
    uint64_t id;
    const char *name; /* empty: not started yet */
    const char *const *peer_urls;
    const char *const *client_urls;
    int is_learner;
} libsd_member;

/* How a member is. */
typedef struct libsd_member_status {
    const char *version; /* etcd's, "3.4.23" */
    uint64_t leader;     /* its id; 0: there is none */
    uint64_t raft_term;
    uint64_t raft_index;
    uint64_t raft_applied_index;
    int64_t db_size; /* bytes */
    int64_t db_size_in_use;
    int is_learner;
    const char *const *errors; /* ends with NULL */
} libsd_member_status;

/* What became of an operation.  Made by the library only; fields may be added
 * at the end.  What is not said by this operation's reply is 0 or NULL. */
struct libsd_reply {
    int error;            /* 0 or LIBSD_E* */
    const char *detail;   /* of an error: one line; never NULL */
    int type;             /* enum libsd_op_type */
    int succeeded;        /* TXN: the comparisons held; CREATE ... REMOVE: done */
    int64_t revision;     /* the store's; in a transaction that of the part */
    uint64_t cluster_id;  /* whose answer this is */
    uint64_t member_id;   /* unknown in a part of a transaction: 0 */
    uint64_t raft_term;   /* so are the others */
    int64_t count;        /* RANGE: keys in the range, limit or not; DELETE: deleted */
    int more;             /* RANGE: limit left some out */
    const libsd_kvs *kvs; /* RANGE: the keys; PREV_KV, or a condition that did not hold */
    int64_t lease;        /* LEASE_GRANT, _KEEPALIVE, _TTL: its id */
    int64_t ttl_s;        /* the seconds it has */
    int64_t granted_ttl_s;
    const libsd_slice *keys; /* LEASE_TTL: key_count keys under it */
    size_t key_count;
    const int64_t *leases; /* LEASES: lease_count ids */
    size_t lease_count;
    const libsd_member *const *members; /* MEMBERS, MEMBER_*: member_count of them */
    size_t member_count;
    const libsd_member_status *status;        /* STATUS */
    const struct libsd_reply *const *replies; /* TXN: reply_count parts, in order */
    size_t reply_count;
    const libsd_member *member; /* MEMBER_ADD: the new one */
    int64_t duration_us;        /* from the call to the reply, retries and pages included;
                                 * of a part of a transaction: 0 */
};

/* Frees a reply that a function handed out.  NULL is allowed. */
LIBSD_API void libsd_reply_free(libsd_reply *reply);

/* ---- executing, starting ----------------------------------------------- */

/* Executes an operation and waits for the reply.
 * op: looked at during the call only.
 * timeout_ms: 0 for the handle's timeout-ms.
 * reply: receives the reply, also that of an operation that failed, so that the
 *   key that was in the way can be seen; free it with libsd_reply_free().  NULL
 *   if there is none, as after LIBSD_EINVAL.  May be NULL itself.
 * Returns reply->error, or LIBSD_EINVAL (the operation is not acceptable; the
 * detail says why), LIBSD_EDEADLOCK, LIBSD_EFORKED or LIBSD_ENOMEM. */
LIBSD_API int libsd_execute(libsd *sd, const libsd_op *op, int timeout_ms, libsd_reply **reply);

/* Told of a reply, once.  It is valid during the call only.  May call any libsd
 * function that does not block. */
typedef void libsd_reply_callback(libsd *sd, const libsd_reply *reply, void *arg);

/* Starts an operation and returns at once.  Requests run at the same time, some
 * dozens of them, and the others wait for their turn: their order is not kept.
 * Who needs an order starts the next one in the callback of the one before.
 * Neither they nor their callbacks are ever in a keepalive's way.
 *
 * op: looked at during the call only.
 * timeout_ms: from now, for each page of a list; 0 for the handle's timeout-ms.
 * callback, arg: told of the reply by the handle's dispatcher, or inside
 *   libsd_dispatch(); once, unless libsd_cancel() ends the request before.
 *   libsd_close() tells LIBSD_ECLOSED, on its own thread, to all that are left,
 *   before it returns.
 * id: receives what libsd_cancel() wants, before any callback; not 0; NULL is
 *   allowed.
 * Returns 0; LIBSD_EINVAL (the operation is not acceptable; the detail says
 * why), LIBSD_ENOMEM, LIBSD_ECLOSED or LIBSD_EFORKED: nobody will be told. */
LIBSD_API int libsd_start(libsd *sd, const libsd_op *op, int timeout_ms,
                          libsd_reply_callback *callback, void *arg, uint64_t *id);

/* Ends a request: after the call no callback of it runs or will run.  A running
 * one is waited for, unless the call is made from inside it.  What etcd was
 * asked already may happen all the same.  Any number of threads may do this at
 * the same time.
 * Returns 0 (the callback was not told and never will be), LIBSD_ENOTFOUND (it
 * was told, or somebody else ended it), LIBSD_EINVAL or LIBSD_EFORKED. */
LIBSD_API int libsd_cancel(libsd *sd, uint64_t id);

/* ---- transactions (KV.Txn) --------------------------------------------- */

/* If all comparisons hold (none: they do), then these operations, else those;
 * at once, at one revision:
 *
 *     libsd_txn_new(&txn);
 *     compare = libsd_compare_mod_revision(key, LIBSD_EQUAL, revision);
 *     libsd_txn_if(txn, &compare);
 *     op = libsd_op_put(key, value, 0, 0);
 *     libsd_txn_then(txn, &op);
 *     op = libsd_op_get(key);
 *     libsd_txn_else(txn, &op);
 *     op = libsd_op_txn(txn);
 *     rc = libsd_execute(sd, &op, 0, &reply);
 *     libsd_txn_free(txn);
 *
 * The three functions copy what they are given.  A failed one makes the whole
 * transaction fail with the same error when it is executed, so that their
 * results need not be looked at one by one.
 *
 * etcd takes 128 comparisons and 128 operations (its --max-txn-ops), and no
 * key put twice; more gives LIBSD_EREFUSED.
 *
 * A transaction may be used any number of times, also for several requests and
 * handles; by one thread at a time. */
typedef struct libsd_txn libsd_txn;

typedef struct libsd_compare {
    size_t size; /* sizeof (libsd_compare); fields are only ever added at the end */
    int target;  /* enum libsd_compare_target */
    int result;  /* enum libsd_compare_result: how target is to be to the number */
    libsd_slice key;
    libsd_slice value;
    int64_t number;
} libsd_compare;

enum libsd_compare_target {
    LIBSD_COMPARE_VERSION = 0,
    LIBSD_COMPARE_CREATE_REVISION = 1,
    LIBSD_COMPARE_MOD_REVISION = 2,
    LIBSD_COMPARE_VALUE = 3,
    LIBSD_COMPARE_LEASE = 4
};

enum libsd_compare_result {
    LIBSD_EQUAL = 0,
    LIBSD_GREATER = 1,
    LIBSD_LESS = 2,
    LIBSD_NOT_EQUAL = 3
};

static inline libsd_compare libsd_compare_of(int target, libsd_slice key, int result,
                                             int64_t number)
{
    libsd_compare compare;

    memset(&compare, 0, sizeof compare);
    compare.size = sizeof compare;
    compare.target = target;
    compare.result = result;
    compare.key = key;
    compare.number = number;
    return compare;
}

/* Of a key that does not exist the value compares as false with everything, and
 * the numbers are 0. */
static inline libsd_compare libsd_compare_value(libsd_slice key, int result, libsd_slice value)
{
    libsd_compare compare = libsd_compare_of(LIBSD_COMPARE_VALUE, key, result, 0);

    compare.value = value;
    return compare;
}

static inline libsd_compare libsd_compare_version(libsd_slice key, int result, int64_t version)
{
    return libsd_compare_of(LIBSD_COMPARE_VERSION, key, result, version);
}

static inline libsd_compare libsd_compare_create_revision(libsd_slice key, int result,
                                                          int64_t revision)
{
    return libsd_compare_of(LIBSD_COMPARE_CREATE_REVISION, key, result, revision);
}

static inline libsd_compare libsd_compare_mod_revision(libsd_slice key, int result,
                                                       int64_t revision)
{
    return libsd_compare_of(LIBSD_COMPARE_MOD_REVISION, key, result, revision);
}

static inline libsd_compare libsd_compare_lease(libsd_slice key, int result, int64_t lease)
{
    return libsd_compare_of(LIBSD_COMPARE_LEASE, key, result, lease);
}

/* Makes an empty transaction.  txn: receives it; free it with libsd_txn_free().
 * Returns 0, LIBSD_EINVAL or LIBSD_ENOMEM. */
LIBSD_API int libsd_txn_new(libsd_txn **txn);

/* Adds a comparison.  Returns 0, LIBSD_EINVAL or LIBSD_ENOMEM. */
LIBSD_API int libsd_txn_if(libsd_txn *txn, const libsd_compare *compare);

/* Adds an operation to either branch: PUT, RANGE, DELETE, or a TXN, which may
 * hold others, 8 deep.  reply->replies has one reply for each of the branch that
 * was taken.  A list is one answer here, without pages.
 * Returns 0, LIBSD_EINVAL (an operation that can't be part of a transaction, or
 * not acceptable) or LIBSD_ENOMEM.
 *
 * Rights: etcd 3.4.23 does not look at a user's rights inside nested
 * transactions, so there they are no protection against one's own mistakes. */
LIBSD_API int libsd_txn_then(libsd_txn *txn, const libsd_op *op);
LIBSD_API int libsd_txn_else(libsd_txn *txn, const libsd_op *op);

/* Frees a transaction; requests that were made of it go on.  NULL is allowed. */
LIBSD_API void libsd_txn_free(libsd_txn *txn);

#    ifdef __cplusplus
}
#    endif

#endif
