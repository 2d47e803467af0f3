/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd: watching keys of etcd v3, with the keys that are there already or
 * without.
 *
 * Part of libsd.h, which includes it and says what holds for all functions:
 * return values, threads, callbacks, fork.
 *
 * Every item is available since 0.1.0.
 */
/* Before the guard: libsd.h includes this file where its turn is. */
#include "libsd.h"

#ifndef LIBSD_WATCHING_H
#    define LIBSD_WATCHING_H

#    ifdef __cplusplus
extern "C" {
#    endif

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
