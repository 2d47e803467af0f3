/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd: the primitives of etcd v3 itself: keys and values, leases, the cluster,
 * operations and transactions that block or call back, watching.
 *
 * Part of libsd.h, which includes it and says what holds for all functions:
 * return values, threads, callbacks, fork.
 *
 * Every item is available since 0.1.0.
 */
/* Before the guard: libsd.h includes this file where its turn is. */
#include "libsd.h"

#ifndef LIBSD_ETCD_H
#    define LIBSD_ETCD_H

#    ifdef __cplusplus
extern "C" {
#    endif

/* ---- keys and values (etcd v3 KV) -------------------------------------- */

/* A key of etcd.  Made by the library only; fields may be added at the end. */
typedef struct libsd_kv {
    libsd_slice key;
    libsd_slice value;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease; /* 0: none */
} libsd_kv;

typedef struct libsd_kvs libsd_kvs; /* an immutable list of them */

/* Number of keys in a list; the i-th (0 to count - 1; NULL beyond), which
 * lives as long as the list; the store's revision that the list shows.  NULL
 * is an empty list. */
LIBSD_API size_t libsd_kvs_count(const libsd_kvs *kvs);
LIBSD_API const libsd_kv *libsd_kvs_at(const libsd_kvs *kvs, size_t i);
LIBSD_API int64_t libsd_kvs_revision(const libsd_kvs *kvs);

/* Frees a list that a function handed out.  NULL is allowed. */
LIBSD_API void libsd_kvs_free(libsd_kvs *kvs);

/* The calls that most programs need follow; each blocks until etcd has
 * answered, and each is one of the operations further down, which can do more
 * and need not block.
 *
 * key: 1 byte or more; keys and values may hold any bytes.
 * timeout_ms: the most time, 0 for the handle's timeout-ms.
 *
 * They return what is said with each; LIBSD_EINVAL; LIBSD_EDEADLOCK;
 * LIBSD_EFORKED; LIBSD_ENOMEM; LIBSD_EUNAVAILABLE; LIBSD_ETIMEDOUT;
 * LIBSD_EAUTH; LIBSD_EDENIED; LIBSD_EPROTOCOL; LIBSD_ETLS; LIBSD_ETOOBIG;
 * LIBSD_ENOSPACE; LIBSD_EREFUSED; LIBSD_ECLOSED.
 *
 * A WRITE IS SENT ONCE.  When the answer to it gets lost, the call returns
 * LIBSD_EUNKNOWN: it may have happened, or happen yet.  After LIBSD_ECLOSED
 * that is so, too; after any other error it has not happened.  So a create or
 * a compare-and-swap never takes its own first try for somebody else's, and
 * never takes somebody else's write for its own.  After LIBSD_EUNKNOWN read
 * the key, or repeat what may be repeated (a put of the same value). */

/* Puts a key (KV.Put).
 * lease: 0 for none (which detaches an earlier lease).
 * revision: receives the store's revision after it; NULL is allowed.
 * Returns 0, LIBSD_ELEASE (no such lease) or LIBSD_EUNKNOWN. */
LIBSD_API int libsd_put(libsd *sd, libsd_slice key, libsd_slice value, int64_t lease,
                        int64_t *revision, int timeout_ms);

/* Puts a key that must not exist yet (KV.Txn); otherwise as libsd_put().
 * Returns 0, LIBSD_ECONFLICT (it exists), LIBSD_ELEASE or LIBSD_EUNKNOWN. */
LIBSD_API int libsd_create(libsd *sd, libsd_slice key, libsd_slice value, int64_t lease,
                           int64_t *revision, int timeout_ms);

/* Puts a key that must exist already (KV.Txn); otherwise as libsd_put().
 * Returns 0, LIBSD_ENOTFOUND, LIBSD_ELEASE or LIBSD_EUNKNOWN. */
LIBSD_API int libsd_replace(libsd *sd, libsd_slice key, libsd_slice value, int64_t lease,
                            int64_t *revision, int timeout_ms);

/* Puts a key if its present value is expected, or if it was last written at
 * mod_revision (KV.Txn); otherwise as libsd_put().  A value may have gone away
 * and come back meanwhile; a revision can't.
 * mod_revision: at least 1.
 * Returns 0, LIBSD_ECONFLICT (it is another), LIBSD_ENOTFOUND (there is no such
 * key), LIBSD_ELEASE or LIBSD_EUNKNOWN. */
LIBSD_API int libsd_compare_and_swap(libsd *sd, libsd_slice key, libsd_slice expected,
                                     libsd_slice value, int64_t lease, int64_t *revision,
                                     int timeout_ms);
LIBSD_API int libsd_compare_and_swap_revision(libsd *sd, libsd_slice key, int64_t mod_revision,
                                              libsd_slice value, int64_t lease, int64_t *revision,
                                              int timeout_ms);

/* Deletes a key under the same conditions (KV.Txn).  Returns 0,
 * LIBSD_ECONFLICT, LIBSD_ENOTFOUND or LIBSD_EUNKNOWN. */
LIBSD_API int libsd_compare_and_delete(libsd *sd, libsd_slice key, libsd_slice expected,
                                       int timeout_ms);
LIBSD_API int libsd_compare_and_delete_revision(libsd *sd, libsd_slice key, int64_t mod_revision,
                                                int timeout_ms);

/* Reads one key (KV.Range, linearizable).
 * kvs: receives a list of one; free it with libsd_kvs_free().
 * Returns 0 or LIBSD_ENOTFOUND; *kvs is NULL unless it returns 0. */
LIBSD_API int libsd_get(libsd *sd, libsd_slice key, libsd_kvs **kvs, int timeout_ms);

/* Reads all keys with a prefix, in key order, in pages at one revision
 * (KV.Range).
 * prefix: empty for every key.
 * flags: LIBSD_KEYS_ONLY, LIBSD_SERIALIZABLE.
 * kvs: receives the list, maybe empty; free it with libsd_kvs_free().
 * timeout_ms: for each page.
 * Returns 0; *kvs is NULL unless it does. */
LIBSD_API int libsd_list(libsd *sd, libsd_slice prefix, int flags, libsd_kvs **kvs, int timeout_ms);

/* The same with LIBSD_KEYS_ONLY. */
LIBSD_API int libsd_keys(libsd *sd, libsd_slice prefix, libsd_kvs **kvs, int timeout_ms);

/* Deletes one key (KV.DeleteRange).  Returns 1 if it was there, 0 if not, or
 * LIBSD_EUNKNOWN. */
LIBSD_API int libsd_delete(libsd *sd, libsd_slice key, int timeout_ms);

/* Deletes all keys with a prefix, which must not be empty (KV.DeleteRange).
 * deleted: receives how many; NULL is allowed.  Returns 0 or LIBSD_EUNKNOWN. */
LIBSD_API int libsd_delete_prefix(libsd *sd, libsd_slice prefix, int64_t *deleted, int timeout_ms);

/* ---- leases (etcd v3 Lease) -------------------------------------------- */

/* These, too, block, and return the errors named above.  Repeating them does no
 * harm, so libsd does that itself; they never return LIBSD_EUNKNOWN. */

/* Grants a lease (Lease.LeaseGrant).  Nobody keeps it alive but
 * libsd_keepalive_start(); libsd_register() has its own.
 * ttl_s: seconds wanted, at least 1.  lease: receives its id, a random number.
 * granted_ttl_s: receives the seconds granted, often more than wanted; NULL
 * is allowed. */
LIBSD_API int libsd_lease_grant(libsd *sd, int64_t ttl_s, int64_t *lease, int64_t *granted_ttl_s,
                                int timeout_ms);

/* Renews a lease once (Lease.LeaseKeepAlive).  ttl_s: receives the seconds
 * until it ends; NULL is allowed.  Returns 0 or LIBSD_ELEASE (it is gone). */
LIBSD_API int libsd_lease_keepalive(libsd *sd, int64_t lease, int64_t *ttl_s, int timeout_ms);

/* Ends a lease and deletes its keys (Lease.LeaseRevoke).  Returns 0 or
 * LIBSD_ELEASE (it was gone already). */
LIBSD_API int libsd_lease_revoke(libsd *sd, int64_t lease, int timeout_ms);

/* How long a lease still has (Lease.LeaseTimeToLive).  ttl_s: receives the
 * seconds until it ends, 0 in its last one; granted_ttl_s: those it was granted
 * with; NULL is allowed for either.  Returns 0 or LIBSD_ELEASE (it is gone). */
LIBSD_API int libsd_lease_ttl(libsd *sd, int64_t lease, int64_t *ttl_s, int64_t *granted_ttl_s,
                              int timeout_ms);

typedef struct libsd_keepalive libsd_keepalive;

/* What became of a lease that is kept alive. */
enum libsd_keepalive_state {
    LIBSD_KEEPALIVE_ALIVE = 1, /* renewed, for the first time or after LATE */
    LIBSD_KEEPALIVE_LATE = 2,  /* not renewed within its TTL: etcd may have ended it;
                                * it is tried on */
    LIBSD_KEEPALIVE_GONE = 3   /* etcd says that there is none; the last */
};

/* Told on every change of state.  error: 0, LIBSD_ETIMEDOUT (LATE) or
 * LIBSD_ELEASE (GONE).  May call any libsd function that does not block,
 * libsd_keepalive_close() too. */
typedef void libsd_keepalive_callback(int64_t lease, int state, int error, void *arg);

/* Keeps a lease alive, whoever granted it: renews it each third of its TTL,
 * over outages and changes of leaders, until it is gone or
 * libsd_keepalive_close() is called.  Registrations and locks have leases of
 * their own, which need none of this.
 *
 * callback, arg: told of each change; NULL is allowed.
 * keepalive: receives what ends it, set before the first callback.
 *
 * Returns 0 at once, before any connection, LIBSD_EINVAL, LIBSD_ENOMEM,
 * LIBSD_ECLOSED or LIBSD_EFORKED. */
LIBSD_API int libsd_keepalive_start(libsd *sd, int64_t lease, libsd_keepalive_callback *callback,
                                    void *arg, libsd_keepalive **keepalive);

/* Keeps it alive no longer, as libsd_close() does; the lease is left to its
 * TTL.  No callback runs after the call returns; a running one is waited for,
 * unless the call is made from inside it.  NULL is allowed. */
LIBSD_API void libsd_keepalive_close(libsd_keepalive *keepalive);

typedef struct libsd_reply libsd_reply;

/* The ids of all leases (Lease.LeaseLeases), in reply->leases.  reply: free it
 * with libsd_reply_free(); NULL unless the call returns 0. */
LIBSD_API int libsd_leases(libsd *sd, libsd_reply **reply, int timeout_ms);

/* ---- the cluster (etcd v3 Cluster, Maintenance) ------------------------ */

/* The members of the cluster (Cluster.MemberList), in reply->members.  reply:
 * as above. */
LIBSD_API int libsd_members(libsd *sd, libsd_reply **reply, int timeout_ms);

/* Adds a member to the cluster (Cluster.MemberAdd), which is then started with
 * --initial-cluster-state existing; reply->member is the new one, reply->members
 * are all.
 * peer_urls: where the others will reach it, separated by commas.
 * learner: not 0: without a vote until it is promoted with etcdctl.  A member
 *   with a vote counts for the quorum at once: a cluster of one stands still
 *   until the new one is started.
 * reply: as above; NULL is allowed.
 * Returns 0, LIBSD_EINVAL, LIBSD_EREFUSED (etcd says why: there is such a
 * member, members are out of sight ...) or LIBSD_EUNKNOWN. */
LIBSD_API int libsd_member_add(libsd *sd, const char *peer_urls, int learner, libsd_reply **reply,
                               int timeout_ms);

/* Removes a member from the cluster (Cluster.MemberRemove); it stops.
 * member: its id, as in reply->members.
 * Returns 0, LIBSD_ENOTFOUND (there is no such member), LIBSD_EREFUSED or
 * LIBSD_EUNKNOWN. */
LIBSD_API int libsd_member_remove(libsd *sd, uint64_t member, int timeout_ms);

/* How one member is (Maintenance.Status), in reply->status; reply: as above.
 * endpoint: which of the handle's endpoints, written as in the option; NULL for
 * the one in use now, or the next that answers.
 * Returns 0, or LIBSD_EINVAL (the handle has no such endpoint). */
LIBSD_API int libsd_status(libsd *sd, const char *endpoint, libsd_reply **reply, int timeout_ms);

/* The token that the handle's user has at the moment (Auth.Authenticate), for a
 * request that the application makes itself: "Authorization: TOKEN", without
 * "Bearer".  etcd may refuse it at any later time; ask for it again then.
 * buffer, size: receives the token, cut if needed, always terminated; etcd's are
 *   of some dozens of bytes, or, with JWT, of some hundreds.
 * timeout_ms: 0 for the handle's timeout-ms.
 * Returns the length of the whole token, 0 if the handle has none because it
 * has no user, or etcd none; LIBSD_EINVAL; LIBSD_EAUTH; or what libsd_status()
 * returns. */
LIBSD_API int libsd_auth_token(libsd *sd, char *buffer, size_t size, int timeout_ms);

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

/* ---- watching (etcd v3 Watch) ------------------------------------------ */

typedef struct libsd_watch libsd_watch;

enum libsd_watch_flags {
    LIBSD_WATCH_PREFIX = 1, /* all keys that begin with key */
    LIBSD_WATCH_LIST = 2,   /* follow: list first, list again when needed */
    LIBSD_WATCH_PREV_KV = 4 /* PUT, DELETE: with what the key was before */
};

enum libsd_event_type {
    LIBSD_EVENT_PUT = 1,          /* kv was written, or is in the list */
    LIBSD_EVENT_DELETE = 2,       /* kv.key is gone (kv.mod_revision: when) */
    LIBSD_EVENT_LIST_BEGIN = 3,   /* LIST: the PUTs up to LIST_END are all */
    LIBSD_EVENT_LIST_END = 4,     /*   keys there are, as of revision */
    LIBSD_EVENT_COMMIT = 5,       /* all events up to revision are delivered */
    LIBSD_EVENT_DISCONNECTED = 6, /* etcd out of sight; error and detail say why */
    LIBSD_EVENT_CONNECTED = 7,    /* events flow (again) */
    LIBSD_EVENT_ENDED = 8,        /* no more events: compacted (without LIST) */
    LIBSD_EVENT_AUDIT_BEGIN = 9,  /* LIST: the AUDIT_KEYs up to AUDIT_END, and what */
    LIBSD_EVENT_AUDIT_KEY = 10,   /*   PUTs say meanwhile, are all keys there are; */
    LIBSD_EVENT_AUDIT_END = 11    /*   kv: a key as it is, most often as known */
};

/* One event.  Everything in it is valid during the callback only. */
typedef struct libsd_event {
    int type;            /* enum libsd_event_type */
    int error;           /* DISCONNECTED, ENDED: LIBSD_E* */
    const libsd_kv *kv;  /* PUT, DELETE, AUDIT_KEY; else NULL */
    int64_t revision;    /* PUT, DELETE, AUDIT_KEY: of the change; else: up to */
    const char *detail;  /* DISCONNECTED, ENDED: one line; else NULL */
    uint64_t cluster_id; /* the store's, once known; PUT, DELETE, AUDIT_KEY: 0 */
    /* PUT, DELETE with LIBSD_WATCH_PREV_KV: the key before the change; NULL if
     * there was none, in lists, and where etcd has compacted it. */
    const libsd_kv *prev_kv;
} libsd_event;

/* Told of each event, in the order of revisions; those of an AUDIT_KEY are older
 * than what was told before, but never than what was told of that key. */
typedef void libsd_watch_callback(const libsd_event *event, void *arg);

/* Watches a key or a prefix, for ever: after a lost connection it goes on, at
 * another endpoint if need be, with the first event not yet delivered, so
 * that each event is delivered once.
 *
 * key: the key or, with LIBSD_WATCH_PREFIX, the prefix (not empty).
 * flags: enum libsd_watch_flags.  With LIBSD_WATCH_LIST the present keys come
 *   first (LIST_BEGIN, PUT ..., LIST_END), then what changes after them; the
 *   same again whenever events may have been missed (compaction, a store that
 *   was wiped or restored, a decoding error).  A list that fails half way is
 *   begun anew with another LIST_BEGIN.  So a mirror that marks at LIST_BEGIN
 *   and sweeps at LIST_END is always right, and an error never empties it.
 *   Versions of etcd before 3.4.31 and 3.5.13 can lose events around a
 *   compaction.  Therefore, each 3 to 6 minutes, the keys are read again while
 *   the watch goes on: AUDIT_BEGIN, AUDIT_KEY ... among the events that come,
 *   AUDIT_END.  A mirror that takes an AUDIT_KEY like a PUT, and marks and
 *   sweeps here, too, is right again after that; who needs it not ignores the
 *   three.  An audit that can't be finished is begun anew with AUDIT_BEGIN.
 * start_revision: first revision wanted; 0 for "from now"; ignored with LIST.
 * callback, arg: told of each event.
 * watch: receives the watch; end it with libsd_watch_close().
 *
 * Returns 0 at once, before any connection, LIBSD_EINVAL, LIBSD_ENOMEM,
 * LIBSD_ECLOSED or LIBSD_EFORKED.
 *
 * Memory is bounded: a callback that falls too far behind makes the library
 * stop reading and go on later from there; if etcd has compacted that history
 * meanwhile, it lists again (LIST) or ends (without). */
LIBSD_API int libsd_watch_open(libsd *sd, libsd_slice key, int flags, int64_t start_revision,
                               libsd_watch_callback *callback, void *arg, libsd_watch **watch);

/* The same for all keys from key up to end, which is not one of them.
 * end: empty for all keys from key on; else behind key.
 * flags: without LIBSD_WATCH_PREFIX. */
LIBSD_API int libsd_watch_open_range(libsd *sd, libsd_slice key, libsd_slice end, int flags,
                                     int64_t start_revision, libsd_watch_callback *callback,
                                     void *arg, libsd_watch **watch);

/* Ends a watch.  No callback of it runs after the call returns; a running one
 * is waited for, unless the call is made from inside it.  NULL is allowed. */
LIBSD_API void libsd_watch_close(libsd_watch *watch);

#    ifdef __cplusplus
}
#    endif

#endif
