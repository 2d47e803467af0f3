/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd: who else is there: the instances of services, what becomes of them,
 * and which one to talk to next.
 *
 * All instances of a service, now:
 *
 *     libsd_snapshot *users;
 *     int count = libsd_discover(sd, "user", &users, 0);
 *     for (int i = 0; i < count; i++)
 *         printf("%s at %s\n", libsd_snapshot_at(users, i)->name, libsd_snapshot_at(users, i)->host);
 *     libsd_snapshot_unref(users);
 *
 * Told when one comes or goes:
 *
 *     static void changed(const libsd_change *change, void *arg)
 *     {
 *         if (change->type == LIBSD_ONLINE) ...  change->instance is there
 *         if (change->type == LIBSD_OFFLINE) ... change->instance is gone
 *     }
 *     rc = libsd_watch_service(sd, "user", changed, NULL, NULL);
 *
 * One of them, in turn:
 *
 *     libsd_picked user;
 *     rc = libsd_pick(sd, "user", NULL, &user);
 *
 * Part of libsd.h, which includes it and says what holds for all functions:
 * return values, threads, callbacks, fork.
 *
 * NAMES.  The instance NAME of SERVICE is the key <prefix>SERVICE/NAME, the
 * prefix being the handle's.  A service may have several segments ("shop/user");
 * its instances are the keys exactly one segment below it: neither those of
 * "shop/user/eu" nor of "shop/user2" are instances of "shop/user".
 *
 * VALUES THAT CAN'T BE READ cost the one instance that has it, never its
 * service: it is logged with its key (once), counted
 * (libsd_snapshot_unreadable()), and not there for anybody.  An instance whose
 * value turns unreadable goes offline, as it goes from the resolver's answers.
 *
 * OUTAGES.  What is known stays: while etcd can't be reached, while a list
 * fails half way, nothing goes offline and no snapshot gets shorter.  When etcd
 * is back, only the differences are told.
 *
 * Every item is available since 0.1.0.
 */
/* Before the guard: libsd.h includes this file where its turn is. */
#include "libsd.h"

#ifndef LIBSD_DISCOVERY_H
#    define LIBSD_DISCOVERY_H

#    ifdef __cplusplus
extern "C" {
#    endif

struct sockaddr;

/* ---- instances --------------------------------------------------------- */

/* An instance: what the value of its registration says, and where it stands.
 * Made by the library only; fields may be added at the end. */
typedef struct libsd_instance {
    uint8_t family;      /* 4, 6, or 0: host is a name */
    uint8_t address[16]; /* network order; 4 or 16 bytes of it */
    uint16_t port;       /* 0: none given */
    uint32_t weight;     /* 0: none given, counts as 1; at most 65535 */
    uint32_t priority;   /* 0: none given; lower ones are picked first */
    char host[256];      /* family 0: the name; else the address as text */

    /* Not from the value: libsd_instance_parse() leaves these 0. */
    const char *service;     /* "user"; "shop/user" */
    const char *name;        /* "instance-1" */
    libsd_slice value;       /* as it is in etcd, metadata and all */
    int64_t create_revision; /* when the key was made; 0: not known */
    int64_t mod_revision;    /* when it was last put; 0: not known */
    int64_t lease;           /* 0: none, or not known */
} libsd_instance;

/* Reads the value of a registration, whoever wrote it.
 *
 * format: NULL or "auto" (JSON if the first character is '{', else plain);
 *   "plain": ip:port, [ipv6]:port, a bare ip, host:port, or
 *   scheme://host:port/... (libsd, go-zero, registrator, etcdctl put);
 *   "json": an object with addr | Addr | address | host (string) or endpoints
 *   (list of URLs, as kratos writes them), and port, weight, priority where
 *   there are any (libsd's own form, etcd's naming/endpoints, kitex,
 *   SkyDNS/CoreDNS); unknown members are ignored.  Each may end in ":SCHEME"
 *   ("json:grpc"): of a list of endpoints the first of that scheme is taken, and
 *   a list without one is refused; else the first endpoint is taken.
 * value: the bytes, as read from etcd.
 * instance, instance_size: receives the result; sizeof *instance.
 * why, why_size: receives, on LIBSD_EINVAL, one line that says what is wrong
 *   and where; NULL, 0 if not wanted.
 *
 * Returns 0 or LIBSD_EINVAL, or LIBSD_ENOMEM.  Pure: touches no handle. */
LIBSD_API int libsd_instance_parse(const char *format, libsd_slice value, libsd_instance *instance,
                                   size_t instance_size, char *why, size_t why_size);

/* ---- snapshots --------------------------------------------------------- */

/* The instances of a service, or of all, at one moment.  Never changes; may be
 * read by any number of threads without a lock.  Reference counted, and
 * independent of the handle: it may outlive libsd_close(). */
typedef struct libsd_snapshot libsd_snapshot;

/* One reference more; returns the snapshot.  NULL is allowed. */
LIBSD_API libsd_snapshot *libsd_snapshot_ref(libsd_snapshot *snapshot);

/* One reference less; the last one frees it and its instances.  NULL is
 * allowed. */
LIBSD_API void libsd_snapshot_unref(libsd_snapshot *snapshot);

/* Number of instances; the i-th (0 to count - 1; NULL beyond), which lives as
 * long as the snapshot; an instance by its names, NULL if it is not there.
 * They are sorted by service, then by name, bytewise. */
LIBSD_API size_t libsd_snapshot_count(const libsd_snapshot *snapshot);
LIBSD_API const libsd_instance *libsd_snapshot_at(const libsd_snapshot *snapshot, size_t i);
LIBSD_API const libsd_instance *libsd_snapshot_find(const libsd_snapshot *snapshot,
                                                    const char *service, const char *name);

/* etcd's revision that the snapshot shows; 0: not known (from the table). */
LIBSD_API int64_t libsd_snapshot_revision(const libsd_snapshot *snapshot);

/* How many keys are left out because their value can't be read. */
LIBSD_API size_t libsd_snapshot_unreadable(const libsd_snapshot *snapshot);

/* Reads all instances of a service from etcd (KV.Range, linearizable, in pages
 * at one revision).
 * service: NULL for all services under the handle's prefix.
 * snapshot: receives them, maybe none; free it with libsd_snapshot_unref().
 *   NULL on failure.
 * timeout_ms: for each page; 0 for the handle's timeout-ms.
 * Returns how many there are, LIBSD_EINVAL, or what libsd_list() returns. */
LIBSD_API int libsd_discover(libsd *sd, const char *service, libsd_snapshot **snapshot,
                             int timeout_ms);

/* ---- watching services ------------------------------------------------- */

typedef struct libsd_discovery libsd_discovery;

enum libsd_change_type {
    LIBSD_ONLINE = 1,       /* an instance is there */
    LIBSD_OFFLINE = 2,      /* it is gone */
    LIBSD_CHANGED = 3,      /* its value is another one */
    LIBSD_SYNCED = 4,       /* all that there are have been told */
    LIBSD_OUT_OF_SIGHT = 5, /* etcd can't be reached; what was told stands */
    LIBSD_IN_SIGHT = 6      /* changes flow (again) */
};

enum libsd_change_reason {
    LIBSD_REASON_PRESENT = 1,      /* it was there when the watch began */
    LIBSD_REASON_REGISTERED = 2,   /* its key was made */
    LIBSD_REASON_UPDATED = 3,      /* its value was changed */
    LIBSD_REASON_DEREGISTERED = 4, /* its key was deleted, not its lease */
    LIBSD_REASON_LEASE_ENDED = 5,  /* its lease expired, or was revoked as
                                    * libsd_close() does: etcd keeps no record
                                    * that tells these two apart */
    LIBSD_REASON_DELETED = 6,      /* one of the last two; etcd did not say */
    LIBSD_REASON_UNREADABLE = 7,   /* its value can't be read any more */
    LIBSD_REASON_RESYNC = 8        /* it was so in a new list, or an audit: events were missed */
};

/* One change.  Everything in it is valid during the callback only. */
typedef struct libsd_change {
    int type;                       /* enum libsd_change_type */
    int reason;                     /* enum libsd_change_reason; 0: not of an instance */
    const libsd_instance *before;   /* OFFLINE, CHANGED: as it was; else NULL */
    const libsd_instance *now;      /* ONLINE, CHANGED: as it is; else NULL */
    const libsd_instance *instance; /* now, or else before; NULL: neither */
    int64_t revision;               /* of the change; SYNCED: what all of them show */
    int error;                      /* OUT_OF_SIGHT: LIBSD_E* */
} libsd_change;

/* Told of each change, in the order of revisions.  May call any libsd function
 * that does not block, libsd_pick() and libsd_discovery_snapshot() included,
 * which already know of the change; of those of a list, when SYNCED is told. */
typedef void libsd_change_callback(const libsd_change *change, void *arg);

/* Watches a service, for ever.  First the instances that are there come online
 * (LIBSD_REASON_PRESENT), then LIBSD_SYNCED, then whatever happens.  Each
 * appearance is told by exactly one ONLINE and each disappearance by exactly one
 * OFFLINE, over reconnects, compactions and wiped stores as well: what was
 * missed is found out by comparing (LIBSD_REASON_RESYNC, then LIBSD_SYNCED).
 * A put of the value that is there already, as after a restart, is no change.
 *
 * service: NULL for all services under the handle's prefix.
 * callback, arg: told of each change.
 * discovery: receives what libsd_discovery_close() ends; NULL if it is to last
 *   as long as the handle.
 *
 * Any number of watches of one service share one watch of etcd.
 * Returns 0 at once, before any connection, LIBSD_EINVAL, LIBSD_ENOMEM,
 * LIBSD_ECLOSED or LIBSD_EFORKED.
 *
 * Follows etcd v3: KV.Range, Watch; Lease.LeaseTimeToLive to tell
 * LIBSD_REASON_DEREGISTERED from LIBSD_REASON_LEASE_ENDED. */
LIBSD_API int libsd_watch_service(libsd *sd, const char *service, libsd_change_callback *callback,
                                  void *arg, libsd_discovery **discovery);

/* The newest snapshot of what is watched: cheap, never waits.
 * Returns it with a reference for the caller (libsd_snapshot_unref()), or NULL
 * before the first list is complete, and in a forked child. */
LIBSD_API libsd_snapshot *libsd_discovery_snapshot(libsd_discovery *discovery);

/* Ends a watch.  No callback of it runs after the call returns; a running one
 * is waited for, unless the call is made from inside it.  NULL is allowed. */
LIBSD_API void libsd_discovery_close(libsd_discovery *discovery);

/* ---- picking ----------------------------------------------------------- */

/* An instance picked: the caller's own copy. */
typedef struct libsd_picked {
    uint8_t family;      /* 4, 6, or 0: host is a name */
    uint8_t source;      /* enum libsd_source */
    uint16_t port;       /* 0: none given */
    uint32_t weight;     /* 0: none given, or from the table */
    uint8_t address[16]; /* network order; 4 or 16 bytes of it */
    uint64_t identity;   /* of address and port, for libsd_report() */
    uint64_t reserved[4];
    char name[256]; /* the instance's, cut if it is longer */
    char host[256]; /* family 0: the name; else empty, see libsd_picked_text() */
} libsd_picked;

/* Where an answer came from. */
enum libsd_source {
    LIBSD_SOURCE_ETCD = 1, /* the handle's own watch */
    LIBSD_SOURCE_TABLE = 2 /* the table of the host's etcdsd-watcher */
};

/* Whose turn it is.  All but ROUND_ROBIN and STICKY count weights; all choose
 * among the instances of the lowest priority that has one not at rest. */
enum libsd_pick_policy {
    LIBSD_PICK_WEIGHTED = 0,    /* in turn, each as often as its weight says, evenly
                                 * spread; without weights the same as ROUND_ROBIN */
    LIBSD_PICK_ROUND_ROBIN = 1, /* in turn */
    LIBSD_PICK_RANDOM = 2,
    LIBSD_PICK_STICKY = 3 /* the same one for the same key, as long as it is there;
                           * when it goes, its keys are spread over the others and
                           * no other key moves (rendezvous hashing) */
};

/* Set size to sizeof (libsd_pick_options); zero the rest for defaults.
 * Fields are only ever added at the end. */
typedef struct libsd_pick_options {
    size_t size;
    int policy;      /* enum libsd_pick_policy */
    int timeout_ms;  /* for a first list; 0: the handle's timeout-ms; -1: never wait */
    libsd_slice key; /* STICKY: a user, a session ... */
} libsd_pick_options;

/* Picks an instance of a service.
 *
 * service: as everywhere; never NULL.
 * options: NULL for defaults.
 * picked: receives the instance.
 *
 * Where instances come from is the handle's option `source`: with `auto`, the
 * handle's own watch of the service if it has one; else the table of the
 * host's etcdsd-watcher, which needs no connection, if it follows etcd at the
 * moment; else an own watch is begun, and until that has a list, the table
 * answers if it is not too old for itself (max-stale).  An own watch begun so
 * ends when the table is current again.  The table knows neither priorities nor
 * instances whose host is a name; if it lacks any instance, a service that it
 * does not know is looked for in etcd.
 *
 * Turns are taken per service and handle, apart for threads: two threads may
 * be given the same instance one after the other.  Processes start at
 * different places.
 *
 * Never waits if there is anything to pick from; else, for the first list, up
 * to timeout_ms (LIBSD_EDEADLOCK instead in a callback).
 * Returns 0; LIBSD_ENOTFOUND (the service has no instance); LIBSD_EINVAL;
 * LIBSD_ENOMEM (also: over 16,384 services are picked from); LIBSD_ETIMEDOUT
 * or LIBSD_EUNAVAILABLE: there is nothing to pick from yet; LIBSD_EFORKED. */
LIBSD_API int libsd_pick(libsd *sd, const char *service, const libsd_pick_options *options,
                         libsd_picked *picked);

/* Says how talking to a picked instance went.  After a failure it is left out
 * for a second, after the next one in a row for two, then four ... up to a
 * minute; a success ends that.  When all of a service's instances are at rest,
 * one is picked anyway.  At most 1,024 of a service rest at a time.  Failures
 * of picks made before a rest began do not make it longer.
 * service, picked: as at libsd_pick().  ok: 0 for a failure.
 * Returns 0, LIBSD_EINVAL, LIBSD_ENOMEM or LIBSD_EFORKED. */
LIBSD_API int libsd_report(libsd *sd, const char *service, const libsd_picked *picked, int ok);

/* The address as text: "10.0.0.5:9090", "[2001:db8::1]:80", "db.example.com:5432";
 * without a port if there is none.
 * buffer, size: receives the text, cut if needed, always terminated; 264 bytes
 *   are enough for any.
 * Returns the length of the whole text.  Pure. */
LIBSD_API size_t libsd_instance_text(const libsd_instance *instance, char *buffer, size_t size);
LIBSD_API size_t libsd_picked_text(const libsd_picked *picked, char *buffer, size_t size);

/* The address for connect(2).
 * address, size: receives a struct sockaddr_in or sockaddr_in6, as in a
 *   struct sockaddr_storage and its size.
 * Returns the size of the address, or LIBSD_EINVAL: the host is a name (ask
 * getaddrinfo(3)), or size is too small.  Pure. */
LIBSD_API int libsd_instance_sockaddr(const libsd_instance *instance, struct sockaddr *address,
                                      size_t size);
LIBSD_API int libsd_picked_sockaddr(const libsd_picked *picked, struct sockaddr *address,
                                    size_t size);

/* ---- resolving --------------------------------------------------------- */

/* All instances behind a name, from where libsd_pick() takes them.
 *
 * sd: NULL for the table alone.
 * name: a service ("user", "shop/user"), or an owner name as the resolver has
 *   it ("user.service.etcd", "user.shop.service.etcd", or one instance:
 *   "instance-1.user.service.etcd"), any case, with or without a dot at the
 *   end.  The domain is the handle's option `domain`.
 * snapshot: receives the instances, at least one; NULL on failure.  Those from
 *   the table have service, name, address, port, and a weight if no other
 *   instance of the service has the address.
 * timeout_ms: 0 for the handle's timeout-ms.
 * Returns how many there are; LIBSD_ENOTFOUND; LIBSD_EUNAVAILABLE (there is no
 * table, or an old one, and sd is NULL or its `source` is `table`); or what
 * libsd_discover() returns. */
LIBSD_API int libsd_resolve(libsd *sd, const char *name, libsd_snapshot **snapshot, int timeout_ms);

#    ifdef __cplusplus
}
#    endif

#endif
