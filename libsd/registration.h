/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One registered instance.
 *
 *              claim: key is free, or ours already
 *   (new) ───────────────────────────────────────▶ REGISTERED
 *     │                                              │    ▲
 *     │ a live owner                                 │    │ claimed again
 *     ▼            key deleted or overwritten,       ▼    │
 *   CONFLICTED ◀── lease gone or deadline passed ── LOST ─┘
 *     └── its key is gone ────────────────────────────────▶ claim
 *
 * A watch on the registration's own key notices at once what others do to it,
 * whatever the TTL.  All on the I/O thread but for delivering.
 */
#ifndef LIBSD_REGISTRATION_H
#define LIBSD_REGISTRATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "keywatch.h"
#include "libsd.h"
#include "loop.h"
#include "queue.h"
#include "stream.h"
#include "wait.h"

struct group;

/* What is to be done with the key. */
enum step {
    STEP_NONE,
    STEP_CLAIM, /* put it if it does not exist, else read it */
    STEP_SWAP,  /* put it if it is still as it was read */
    STEP_DROP   /* delete it if it is under our lease */
};

/* A libsd_register() or libsd_deregister() that waits. */
struct pending {
    struct waiter waiter; /* first */
    struct task task;
    struct timer timer;
    struct libsd *sd;
    int64_t deadline_ns;
    unsigned left; /* registrations still to be answered for */
    struct failure failure;
    struct failure conflict; /* why a register still waits */
    /* register: what to add; deregister: what to end. */
    struct registration *registration;
    char *service;
    char *instance;
};

struct registration {
    struct owner owner; /* first: what the queue knows of us */
    struct libsd *sd;
    struct group *group; /* NULL: retired */
    TAILQ_ENTRY(registration) link;
    TAILQ_ENTRY(registration) work_link;

    /* Never change. */
    char *service;
    char *instance;
    char *key;
    libsd_slice name; /* the same, for the registry */
    char *value;
    libsd_instance address;
    int ttl_s;
    int takeover;
    libsd_registration_callback *callback;
    void *callback_arg;

    int state; /* enum libsd_registration_state, 0 at first */
    int step;
    bool queued;          /* in the group's work */
    bool busy;            /* in its transaction */
    bool again;           /* something happened to the key meanwhile */
    bool alone;           /* a transaction with others was refused */
    int64_t mod_revision; /* of our own put, or of what is to be swapped */
    int64_t displaced_by; /* the lease that overwrote us: newest wins */
    bool was_registered;
    int64_t mended_ns; /* when it was last lost or looked for */
    unsigned tries;    /* in a row */
    struct timer timer;
    struct service_watch *service_watch; /* keywatch.c; NULL: not watched yet */
    bool shares_watch;
    struct subscription subscription; /* else */
    struct pending *pending;
};

/* claim.c tells what came out. */
void registration_claimed(struct registration *registration, int64_t mod_revision,
                          int64_t store_revision);
void registration_found(struct registration *registration, int step, const libsd_kv *kv,
                        int64_t store_revision);
void registration_refused(struct registration *registration, const struct failure *failure);
void registration_dropped(struct registration *registration);

/* Not, or perhaps not, in etcd any more. */
void registration_lost(struct registration *registration, int error);
/* Claims again, at once or, if that happens too often, after a while. */
void registration_mend(struct registration *registration);

/* Takes it out of everything. */
void registration_retire(struct registration *registration);

/* keywatch.c tells what others did to the key, or that it does not know. */
void registration_key_changed(struct registration *registration, const struct record *record);
void registration_look(struct registration *registration);

/* register.c: the registration under a key; NULL if there is none. */
struct registration *registry_find(struct libsd *sd, libsd_slice key);
/* The key is free for another registration of the handle. */
void registry_remove(struct registration *registration);

/* Ends the waiting, if any. */
void registration_answer(struct registration *registration, const struct failure *failure);

#endif
