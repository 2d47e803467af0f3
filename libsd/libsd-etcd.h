/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd: the primitives of etcd v3 itself: keys and values, leases, watching.
 *
 * Part of libsd.h, which includes it and says what holds for all functions:
 * return values, threads, callbacks, fork.
 *
 * Every item is available since 0.1.0.
 */
#ifndef LIBSD_ETCD_H
#define LIBSD_ETCD_H

#include "libsd.h"

#ifdef __cplusplus
extern "C" {
#endif

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

enum libsd_list_flags {
    LIBSD_KEYS_ONLY = 1,   /* leave the values out */
    LIBSD_SERIALIZABLE = 2 /* any member may answer, maybe a little old */
};

/* Puts a key (KV.Put).
 * lease: 0 for none (which detaches an earlier lease).
 * revision: receives the store's revision; NULL is allowed.
 * timeout_ms: 0 for the handle's timeout-ms; so everywhere below.
 * Returns 0, LIBSD_ELEASE, or an error as above.  After LIBSD_ETIMEDOUT the
 * put may or may not have happened. */
LIBSD_API int libsd_put(libsd *sd, libsd_slice key, libsd_slice value, int64_t lease,
                        int64_t *revision, int timeout_ms);

/* Reads one key (KV.Range, linearizable).
 * kvs: receives a list of one; free it with libsd_kvs_free().
 * Returns 0 or LIBSD_ENOTFOUND, or an error; *kvs is NULL then. */
LIBSD_API int libsd_get(libsd *sd, libsd_slice key, libsd_kvs **kvs, int timeout_ms);

/* Reads all keys with a prefix, in key order, in pages at one revision
 * (KV.Range).  prefix: empty for every key.  flags: enum libsd_list_flags.
 * kvs: receives the list, maybe empty; free it with libsd_kvs_free().
 * timeout_ms: for each page. */
LIBSD_API int libsd_list(libsd *sd, libsd_slice prefix, int flags, libsd_kvs **kvs, int timeout_ms);

/* Deletes one key (KV.DeleteRange).  Returns 1 if it was there, 0 if not, or
 * an error. */
LIBSD_API int libsd_delete(libsd *sd, libsd_slice key, int timeout_ms);

/* Deletes all keys with a prefix, which must not be empty.
 * deleted: receives how many; NULL is allowed.  Returns 0 or an error. */
LIBSD_API int libsd_delete_prefix(libsd *sd, libsd_slice prefix, int64_t *deleted, int timeout_ms);

/* Number of keys in a list; the i-th (0 to count - 1; NULL beyond), which
 * lives as long as the list; the store's revision that the list shows. */
LIBSD_API size_t libsd_kvs_count(const libsd_kvs *kvs);
LIBSD_API const libsd_kv *libsd_kvs_at(const libsd_kvs *kvs, size_t i);
LIBSD_API int64_t libsd_kvs_revision(const libsd_kvs *kvs);

/* Frees a list.  NULL is allowed. */
LIBSD_API void libsd_kvs_free(libsd_kvs *kvs);

/* ---- leases (etcd v3 Lease) -------------------------------------------- */

/* Grants a lease.  Nobody keeps it alive; libsd_register() has its own.
 * ttl_s: seconds wanted, at least 1.  lease: receives its id.
 * granted_ttl_s: receives the seconds granted, often more than wanted; NULL
 * is allowed. */
LIBSD_API int libsd_lease_grant(libsd *sd, int64_t ttl_s, int64_t *lease, int64_t *granted_ttl_s,
                                int timeout_ms);

/* Renews a lease once.  ttl_s: receives the seconds until it ends; NULL is
 * allowed.  Returns 0 or LIBSD_ELEASE (it is gone), or an error. */
LIBSD_API int libsd_lease_keepalive(libsd *sd, int64_t lease, int64_t *ttl_s, int timeout_ms);

/* Ends a lease and deletes its keys.  Returns 0 or LIBSD_ELEASE, or an
 * error. */
LIBSD_API int libsd_lease_revoke(libsd *sd, int64_t lease, int timeout_ms);

/* ---- watching (etcd v3 Watch) ------------------------------------------ */

typedef struct libsd_watch libsd_watch;

enum libsd_watch_flags {
    LIBSD_WATCH_PREFIX = 1, /* all keys that begin with key */
    LIBSD_WATCH_LIST = 2    /* follow: list first, list again when needed */
};

enum libsd_event_type {
    LIBSD_EVENT_PUT = 1,          /* kv was written, or is in the list */
    LIBSD_EVENT_DELETE = 2,       /* kv.key is gone (kv.mod_revision: when) */
    LIBSD_EVENT_LIST_BEGIN = 3,   /* LIST: the PUTs up to LIST_END are all */
    LIBSD_EVENT_LIST_END = 4,     /*   keys there are, as of revision */
    LIBSD_EVENT_COMMIT = 5,       /* all events up to revision are delivered */
    LIBSD_EVENT_DISCONNECTED = 6, /* etcd out of sight; error and detail say why */
    LIBSD_EVENT_CONNECTED = 7,    /* events flow (again) */
    LIBSD_EVENT_ENDED = 8         /* no more events: compacted (without LIST) */
};

/* One event.  Everything in it is valid during the callback only. */
typedef struct libsd_event {
    int type;           /* enum libsd_event_type */
    int error;          /* DISCONNECTED, ENDED: LIBSD_E* */
    const libsd_kv *kv; /* PUT, DELETE; else NULL */
    int64_t revision;   /* PUT, DELETE: of the change; LIST_END, COMMIT: up to */
    const char *detail; /* DISCONNECTED, ENDED: one line; else NULL */
} libsd_event;

/* Told of each event, in the order of revisions. */
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

/* Ends a watch.  No callback of it runs after the call returns; a running one
 * is waited for, unless the call is made from inside it.  NULL is allowed. */
LIBSD_API void libsd_watch_close(libsd_watch *watch);

#ifdef __cplusplus
}
#endif

#endif
