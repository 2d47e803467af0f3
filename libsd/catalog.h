/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the handle knows of a service (or, under the name "", of all): followed
 * on the I/O thread, read by any other.
 *
 *             somebody watches, or picks            first list is complete
 *    IDLE ───────────────────────────▶ LISTING ──────────────────────▶ FOLLOWING
 *     ▲ │                                ▲                                │
 *     │ └─ no snapshot                   │ out of memory in between       │
 *     └──────── nobody does any more ────┴────────────────────────────────┘
 *
 * Rules:
 *  C1 A snapshot is published only when the list is complete and all changes of
 *     a revision are in it; in between the last one stands.
 *  C2 A change is made to the list only when every listener could be told of
 *     it.  If one could not, for want of memory, the list is read again later
 *     and nothing is swept out until then: so each listener is told each change
 *     once.
 *  C3 Listeners are told of a change after the snapshot that shows it.
 *  C4 A catalog, once made, stays until the handle ends: those who pick find it
 *     without a lock.
 */
#ifndef LIBSD_CATALOG_H
#define LIBSD_CATALOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "discovery.h"
#include "loop.h"
#include "outlier.h"
#include "shared_table.h"
#include "snapshot.h"
#include "watch.h"

#define CATALOGS_MAX 16384

struct catalog {
    /* Any thread. */
    struct handover handover;
    struct libsd *sd;
    char *service; /* "": all */
    struct shared_name name;
    uint64_t hash;
    atomic_bool connected; /* etcd is in sight */
    atomic_bool asked;     /* task is posted: somebody wants to pick */
    _Atomic(struct outliers *) outliers;
    struct task task;

    /* The I/O thread. */
    TAILQ_ENTRY(catalog) link; /* of those in use */
    struct libsd_watch *watch; /* NULL: idle */
    char *prefix;              /* of its keys */
    bool picked_from;
    struct listeners listeners;
    struct peer **list; /* by peer_compare(), unreadable ones as well */
    uint8_t *marks;     /* round in which each was last listed */
    size_t count;
    size_t capacity;
    size_t unreadable;
    uint8_t round;
    bool listing;
    bool complete;  /* a list was read to its end */
    bool unsound;   /* rule C2: to be listed again */
    bool dirty;     /* differs from the snapshot */
    bool committed; /* no revision is half there */
    bool told;      /* somebody was told of a change since the list began */
    bool mended;    /* the audit that runs found one that no event told of */
    int64_t revision;
    int error; /* why etcd is out of sight */
    struct timer retry;
};

/* Insert-only, open addressing; grown by a copy.  Older ones stay for whoever
 * reads them. */
struct catalog_index {
    struct catalog_index *older;
    size_t mask;
    _Atomic(struct catalog *) slots[];
};

struct catalogs {
    pthread_mutex_t mutex;  /* for adding catalogs and outliers, and for waiting */
    pthread_cond_t changed; /* something was published, or all ended */
    _Atomic(struct catalog_index *) index;
    size_t count;
    bool ended;

    /* The I/O thread. */
    TAILQ_HEAD(, catalog) used;
    LIST_HEAD(, inquiry) inquiries;
    unsigned inquiry_count;
    struct timer reap;
    struct timer idle;
    int64_t table_live_ns; /* since when the table could answer; 0: it can't */
};

int catalogs_init(struct libsd *sd);
/* On the I/O thread: after each turn; and at the handle's end, before it stops. */
void catalogs_turn(struct libsd *sd);
void catalogs_end(struct libsd *sd);
void catalogs_free(struct libsd *sd);

/* Any thread, no lock: the catalog of a service, or NULL. */
uint64_t catalog_hash(const char *service);
struct catalog *catalog_find(struct libsd *sd, const char *service, uint64_t hash);
/* Makes it if need be; NULL when out of memory, or there are too many. */
struct catalog *catalog_get(struct libsd *sd, const char *service, uint64_t hash);

/* Any thread: begins to follow for one who picks.  False: the handle ends. */
bool catalog_ask(struct catalog *catalog);
/* Waits until it has a snapshot.  Returns 0, LIBSD_ETIMEDOUT or LIBSD_ECLOSED. */
int catalog_wait(struct catalog *catalog, int64_t deadline_ns);

/* On the I/O thread: a listener joins (LIBSD_ENOMEM: try again later), leaves. */
int catalog_join(struct catalog *catalog, struct libsd_discovery *listener);
void catalog_leave(struct catalog *catalog, struct libsd_discovery *listener);

/* On the I/O thread: follows for those who pick; no longer so; for nobody any more. */
void catalog_pick(struct catalog *catalog);
void catalog_unpick(struct catalog *catalog);
void catalog_end(struct catalog *catalog);

#endif
