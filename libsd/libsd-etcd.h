/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd: the primitives of etcd v3 itself: keys and values, leases, the cluster.
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

#    ifdef __cplusplus
}
#    endif

#endif
