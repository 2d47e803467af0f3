/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd: distributed locks and leader election.
 *
 * Part of libsd.h, which includes it and says what holds for all functions:
 * return values, threads, callbacks, fork.
 *
 *     libsd_mutex *mutex;
 *     int rc = libsd_lock(sd, "nightly-report", 10, 60000, &mutex);
 *     if (rc == 0) {
 *         ...                      nobody else is here
 *         libsd_unlock(mutex, 0);
 *     }
 *
 * HOW IT WORKS.  Who wants a lock writes the key <name>/<lease in hex> under a
 * lease, its own unless it is given one.  The key with the lowest create_revision holds the lock;
 * each of the others waits for the end of the key before its own, by a watch.
 * That is the layout of etcd's own locks and elections: a lock of libsd, of
 * `etcdctl lock`, of Go's clientv3/concurrency and of etcd's Lock service
 * exclude each other, and so do the leaders of elections.  Names are used as
 * they are, without the handle's prefix.  "a" and "a/b" should not both be
 * names: the keys of the second count for the first, too, as with etcd's own.
 * Two locks of one name exclude each other in one process and handle as well.
 *
 * WHAT IS GUARANTEED.  The lease is kept alive each TTL/3 until the lock is
 * given back.  When that fails for as long as the TTL, the lock counts as lost
 * here before etcd can give it to another; so it does at once when etcd says
 * that lease or key are gone.  A process that was stopped, or slept with its
 * machine, for longer than the TTL finds the lock lost when it asks.  What is
 * lost stays lost; acquire again.
 *
 * No lock with a time limit can stop a write that is already on its way when
 * the lock is lost.  Where that matters, guard writes with libsd_lock_key()
 * and libsd_lock_revision(): in a transaction of etcd compare the key's
 * create_revision, for other stores send the revision as a fencing token, for
 * it only grows.
 *
 * Every item is available since 0.1.0.
 */
/* Before the guard: libsd.h includes this file where its turn is. */
#include "libsd.h"

#ifndef LIBSD_LOCK_H
#    define LIBSD_LOCK_H

#    ifdef __cplusplus
extern "C" {
#    endif

/* ---- locks (etcd v3 concurrency, Lock) --------------------------------- */

/* One wish for a lock: waiting, granted or over. */
typedef struct libsd_mutex libsd_mutex;

/* What became of a lock. */
enum libsd_lock_state {
    LIBSD_LOCK_WAITING = 1, /* others are before us */
    LIBSD_LOCK_HELD = 2,    /* it is ours */
    LIBSD_LOCK_LOST = 3,    /* it was ours and is no more; error says why */
    LIBSD_LOCK_FAILED = 4,  /* it will never be ours; error says why */
    LIBSD_LOCK_RELEASED = 5 /* given back, see libsd_lock_release() */
};

/* Told on every change of state; LOST, FAILED and RELEASED are the last.
 * error: 0, or for
 *   LOST  LIBSD_ETIMEDOUT (not kept alive within its TTL), LIBSD_ELEASE (the
 *     lease was revoked or has ended), LIBSD_ENOTFOUND (the key was deleted),
 *     LIBSD_ECONFLICT (somebody else wrote the key, or stands before it);
 *   FAILED  LIBSD_ECONFLICT (held by another, with try_only), or what etcd
 *     refused the key with;
 *   RELEASED  0, or why etcd could not be told: the lease then ends by itself.
 * May call any libsd function that does not block; libsd_lock_close() too. */
typedef void libsd_lock_callback(libsd_mutex *mutex, int state, int error, void *arg);

/* Waits for a lock.
 *
 * name: not empty; at most 1024 bytes.
 * ttl_s: seconds after which etcd gives the lock of a dead process to the
 *   next; 0 means 10.  etcd's minimum is usually 2.
 * timeout_ms: the longest wait; 0 for the handle's timeout-ms.
 * mutex: receives the lock, which is held; NULL on failure.  End it with
 *   libsd_unlock() or libsd_lock_close().
 *
 * Returns 0; LIBSD_ETIMEDOUT (others hold it) or LIBSD_EUNAVAILABLE: nothing
 * is waited for any more, and nothing left in etcd, unless it can't be reached
 * (an empty place in the queue then ends with its lease); LIBSD_EINVAL,
 * LIBSD_ENOMEM, LIBSD_EDEADLOCK, LIBSD_EFORKED, LIBSD_ECLOSED; what etcd
 * refused the key with: LIBSD_EAUTH, LIBSD_EDENIED, LIBSD_EREFUSED.
 *
 * Waiting survives outages: as long as etcd keeps the lease, the place in the
 * queue is kept, too.
 *
 * Follows etcd v3: Lease.LeaseGrant, LeaseKeepAlive, KV.Txn, Watch. */
LIBSD_API int libsd_lock(libsd *sd, const char *name, int ttl_s, int timeout_ms,
                         libsd_mutex **mutex);

/* The same without waiting for others: LIBSD_ECONFLICT if anybody holds the
 * lock or waits for it. */
LIBSD_API int libsd_trylock(libsd *sd, const char *name, int ttl_s, int timeout_ms,
                            libsd_mutex **mutex);

/* The same as libsd_lock() under a lease of the caller's, as of
 * libsd_lease_grant(): its TTL decides, and it may hold other keys and locks,
 * which all end with it.  The lock keeps it alive as long as it is waited for
 * or held, and leaves it alone afterwards: giving back deletes the key only.
 *
 * lease: has one place in the queue.  Another lock of that name with it is
 *   refused by this handle until the first is over (LIBSD_ECONFLICT); with
 *   another handle or program both would take themselves for the holder.
 *
 * Returns what libsd_lock() does, or LIBSD_ELEASE (it is gone).  Where etcd
 * can't be told that a place in the queue is given up, it ends with the lease. */
LIBSD_API int libsd_lock_with_lease(libsd *sd, const char *name, int64_t lease, int timeout_ms,
                                    libsd_mutex **mutex);

/* Set size to sizeof (libsd_lock_options); zero the rest for defaults.  Fields
 * are only ever added at the end. */
typedef struct libsd_lock_options {
    size_t size;
    int ttl_s;     /* as above */
    int try_only;  /* not 0: FAILED with LIBSD_ECONFLICT instead of WAITING */
    int64_t lease; /* 0: one of its own; else see libsd_lock_with_lease() */
} libsd_lock_options;

/* The same without blocking: begins to wait, for as long as it takes.
 *
 * options: NULL for defaults.
 * callback, arg: told of each change; NULL is allowed.
 * mutex: receives the lock, set before the first callback; end it with
 *   libsd_unlock() or libsd_lock_close(), whatever became of it.
 *
 * Returns 0 at once, before any connection, LIBSD_EINVAL, LIBSD_ENOMEM,
 * LIBSD_ECLOSED or LIBSD_EFORKED. */
LIBSD_API int libsd_lock_start(libsd *sd, const char *name, const libsd_lock_options *options,
                               libsd_lock_callback *callback, void *arg, libsd_mutex **mutex);

/* Whether the lock is held at this moment: 1 or 0.  Looks at the clock itself,
 * so it is right even before the library had a chance to notice, as in a
 * process that was stopped.  0 in a forked child.  Never blocks; any thread. */
LIBSD_API int libsd_lock_is_held(const libsd_mutex *mutex);

/* The lock's key in etcd, and the revision at which it was made, higher than
 * those of all earlier holders.  Empty, and 0, as long as the lock was not
 * held; they stay when it is lost.  The key lives as long as the lock. */
LIBSD_API libsd_slice libsd_lock_key(const libsd_mutex *mutex);
LIBSD_API int64_t libsd_lock_revision(const libsd_mutex *mutex);

/* Gives the lock, or the place in the queue, back without waiting for etcd.
 * libsd_lock_is_held() says 0 from now on; the callback is told RELEASED when
 * etcd knows.  Of any thread and callback, also several at once; a second call
 * does nothing.  The lock must still be ended.
 * Returns 0, LIBSD_EINVAL (NULL) or LIBSD_EFORKED. */
LIBSD_API int libsd_lock_release(libsd_mutex *mutex);

/* Gives the lock back, if it was not yet, and ends it: key and lease are gone
 * from etcd when it returns 0.  No callback of it runs after the call.
 * timeout_ms: 0 for the handle's timeout-ms.
 * Returns 0; LIBSD_ELEASE (it had been lost before); LIBSD_ETIMEDOUT or
 * LIBSD_EUNAVAILABLE (etcd could not be told yet; the library goes on trying,
 * and the lease ends by itself); LIBSD_EINVAL (NULL); LIBSD_EFORKED; or
 * LIBSD_EDEADLOCK, after which alone the lock still exists. */
LIBSD_API int libsd_unlock(libsd_mutex *mutex, int timeout_ms);

/* The same without waiting for etcd; allowed in callbacks.  A running callback
 * of the lock is waited for, unless the call is made from inside it.  NULL is
 * allowed. */
LIBSD_API void libsd_lock_close(libsd_mutex *mutex);

/* ---- leader election (etcd v3 concurrency, Election) ------------------- */

/* A candidacy is a lock whose key has a value, by which the others know the
 * leader: HELD means elected.  All functions for locks take it. */
typedef libsd_mutex libsd_leadership;

/* Waits until elected.
 * name: of the election; value: what others are to know, at most 1 MiB.
 * All else as libsd_lock(). */
LIBSD_API int libsd_campaign(libsd *sd, const char *name, libsd_slice value, int ttl_s,
                             int timeout_ms, libsd_leadership **leadership);

/* The same under a lease of the caller's; see libsd_lock_with_lease(). */
LIBSD_API int libsd_campaign_with_lease(libsd *sd, const char *name, libsd_slice value,
                                        int64_t lease, int timeout_ms,
                                        libsd_leadership **leadership);

/* Begins to wait for being elected.  All else as libsd_lock_start(). */
LIBSD_API int libsd_campaign_start(libsd *sd, const char *name, libsd_slice value,
                                   const libsd_lock_options *options, libsd_lock_callback *callback,
                                   void *arg, libsd_leadership **leadership);

/* Changes the leader's value without another election.
 * timeout_ms: 0 for the handle's timeout-ms.
 * Returns 0; LIBSD_ECONFLICT (not the leader, or no longer); LIBSD_EINVAL; or
 * an error as of libsd_put().  After LIBSD_ETIMEDOUT it may have happened. */
LIBSD_API int libsd_proclaim(libsd_leadership *leadership, libsd_slice value, int timeout_ms);

/* Ends a leadership or candidacy: libsd_unlock() by its name in elections. */
LIBSD_API int libsd_resign(libsd_leadership *leadership, int timeout_ms);

/* Reads who leads.
 * kvs: receives a list of one, the leader's key; free it with libsd_kvs_free().
 * Returns 0 or LIBSD_ENOTFOUND (nobody does), or an error; *kvs is NULL then. */
LIBSD_API int libsd_leader(libsd *sd, const char *name, libsd_kvs **kvs, int timeout_ms);

typedef struct libsd_observer libsd_observer;

enum libsd_leader_state {
    LIBSD_LEADER_ELECTED = 1, /* leader leads; or the value is new */
    LIBSD_LEADER_NONE = 2,    /* nobody leads */
    LIBSD_LEADER_UNKNOWN = 3  /* etcd is out of sight; error says why */
};

/* Told of the present leader and of each change.  leader: its key and value,
 * valid during the call; NULL unless ELECTED.  Another create_revision means
 * another leader, the same one another value. */
typedef void libsd_observer_callback(int state, const libsd_kv *leader, int error, void *arg);

/* Follows who leads, for ever and over outages: what happened meanwhile is
 * told afterwards, in order, or, if etcd has compacted it, the present state.
 * UNKNOWN is followed by ELECTED or NONE when etcd is in sight again.
 * observer: receives the observer; end it with libsd_observe_close().
 * Returns 0 at once, before any connection, LIBSD_EINVAL, LIBSD_ENOMEM,
 * LIBSD_ECLOSED or LIBSD_EFORKED. */
LIBSD_API int libsd_observe(libsd *sd, const char *name, libsd_observer_callback *callback,
                            void *arg, libsd_observer **observer);

/* Ends an observer.  No callback of it runs after the call returns; a running
 * one is waited for, unless the call is made from inside it.  NULL is
 * allowed. */
LIBSD_API void libsd_observe_close(libsd_observer *observer);

#    ifdef __cplusplus
}
#    endif

#endif
