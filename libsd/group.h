/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A lease and the registrations under it.  All registrations of a handle with
 * one TTL form a group: 10,000 of them cost one beat per TTL/3.
 *
 *            granted                  renewed each TTL/3
 *   GRANT ─────────────▶ HELD ◀──┬──▶ beat
 *     ▲                   │      │
 *     │ lease gone        │      │ TTL over since the last good beat: LATE, all
 *     └───────────────────┴──────┘ keys count as lost, beats go on
 *
 * All on the I/O thread.
 */
#ifndef LIBSD_GROUP_H
#define LIBSD_GROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "call.h"
#include "registration.h"

/* Registrations per transaction: as many operations as etcd allows. */
#define BATCH_MAX   TXN_MAX
#define PAST_LEASES 4

struct group {
    LIST_ENTRY(group) link;
    struct libsd *sd;
    int ttl_s; /* asked for */
    struct registrations registrations;

    int64_t lease; /* 0: none; set before the grant is sent */
    bool held;     /* etcd granted it, and has not said that it is gone */
    bool late;     /* the local deadline passed */
    int64_t granted_ttl_s;
    int64_t renewed_ns; /* when the last successful grant or beat was sent */
    int64_t granted_ns;
    int64_t past[PAST_LEASES]; /* a key under one of these is still ours */
    unsigned past_count;
    struct call call;      /* grant, beat or revoke */
    struct timer timer;    /* the next of these */
    struct timer deadline; /* renewed_ns + granted TTL */
    struct timer linger;   /* empty: ended when this fires */
    struct timer notice;   /* members that wait are told why */
    bool ending;           /* takes no more members */
    struct backoff backoff;
    struct failure failure; /* the last one; code 0: none since things went well */

    /* claim.c: one transaction at a time. */
    struct registrations work; /* to be done */
    struct call txn;
    struct timer work_timer;
    unsigned work_failures;
    size_t batch_most; /* fewer than BATCH_MAX behind a refusal */
    int64_t batch_lease;
    struct registration *batch[BATCH_MAX];
    int batch_step[BATCH_MAX];
    size_t batch_count;
};

/* The group for a TTL, made if need be; NULL when out of memory. */
struct group *group_get(struct libsd *sd, int ttl_s);

/* A registration joins or leaves. */
void group_join(struct group *group, struct registration *registration);
void group_leave(struct registration *registration);

/* Whether a lease is or was one of the handle's. */
bool group_owns(const struct libsd *sd, int64_t lease);

/* etcd says that the lease is gone. */
void group_lease_lost(struct group *group);

/* claim.c: has a step done for the registration, as soon as the lease is held. */
void claim_queue(struct registration *registration, int step);
/* The lease is held: begin. */
void claim_start(struct group *group);
void claim_stop(struct group *group);

/* Deletes all keys by revoking the leases, and stops the loop when that is
 * done; frees all. */
void groups_end(struct libsd *sd, int timeout_ms);
void groups_free(struct libsd *sd);

#endif
