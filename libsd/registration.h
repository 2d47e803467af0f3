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
 *   any ── withheld: key deleted ──▶ PAUSED, UNHEALTHY ── no longer ──▶ claim
 *   (new) ── refused, or in conflict with takeover = fail ──▶ FAILED: the end
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
#include "util.h"
#include "value.h"

struct check;
struct group;
struct pending;

/* What is to be done with the key. */
enum step {
    STEP_NONE,
    STEP_CLAIM, /* put it if it does not exist, else read it */
    STEP_SWAP,  /* put it if it is still as it was read */
    STEP_DROP,  /* delete it if it is under our lease; the registration ends */
    STEP_HIDE   /* delete it if it is under our lease; the registration stays */
};

/* Why a key is kept out of etcd. */
enum withheld {
    WITHHELD_PAUSED = 1,
    WITHHELD_UNHEALTHY = 2
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
    int ttl_s;
    int takeover;
    libsd_registration_callback *callback;
    void *callback_arg;
    struct check *check; /* NULL: none */

    struct value *value;
    struct value *previous; /* what it said before, until the value is written; or NULL */

    int state; /* enum libsd_registration_state, 0 at first */
    int error; /* why it is in that state */
    bool untold;
    bool async; /* nobody waits for the first outcome */
    int step;
    bool fresh;           /* a refusal ends it: nobody was told yet that it stands */
    unsigned withheld;    /* enum withheld, several at once */
    bool hidden;          /* withheld, and no key of ours is in etcd */
    bool queued;          /* in the group's work */
    bool busy;            /* in its transaction */
    bool again;           /* something happened to the key meanwhile */
    int64_t mod_revision; /* of our own put, or of what is to be swapped */
    int64_t displaced_by; /* the lease that overwrote us: newest wins */
    bool was_registered;
    int64_t mended_ns; /* when it was last lost or looked for */
    unsigned tries;    /* in a row */
    struct timer timer;
    struct service_watch *service_watch; /* keywatch.c; NULL: not watched yet */
    bool shares_watch;
    struct subscription subscription; /* else */
    struct pending *pending;          /* the call that waits for an answer */
};

TAILQ_HEAD(registrations, registration);

/* claim.c tells what came out. */
void registration_claimed(struct registration *registration, int64_t mod_revision,
                          int64_t store_revision);
void registration_found(struct registration *registration, int step, const libsd_kv *kv,
                        int64_t store_revision);
void registration_refused(struct registration *registration, int step,
                          const struct failure *failure);
void registration_dropped(struct registration *registration);
/* store_revision 0: etcd was not asked. */
void registration_hidden(struct registration *registration, int64_t store_revision);

/* It has been tried in vain so far, and nobody was told. */
bool registration_is_waiting(const struct registration *registration);
/* Tells why. */
void registration_wait(struct registration *registration, const struct failure *failure);

/* Tells of a state that there was no memory to tell of. */
void registration_tell(struct registration *registration);

/* Not, or perhaps not, in etcd any more. */
void registration_lost(struct registration *registration, int error);
/* Claims again, at once or, if that happens too often, after a while. */
void registration_mend(struct registration *registration);

/* Writes another value, which is taken over. */
void registration_change(struct registration *registration, struct value *value);
/* Keeps the key out of etcd for a reason, or no longer for that reason. */
void registration_withhold(struct registration *registration, enum withheld reason, bool withhold);

/* Another one takes its name, but not its key: that goes. */
void registration_yield(struct registration *registration);
/* Takes it out of everything. */
void registration_retire(struct registration *registration);

/* keywatch.c tells what others did to the key, or that it does not know. */
void registration_key_changed(struct registration *registration, const struct record *record);
void registration_look(struct registration *registration);

/* registry.c: one that is in no group yet; options are checked, and whole.
 * instance NULL: a unique one.  NULL when out of memory. */
struct registration *registration_new(struct libsd *sd, const char *service, const char *instance,
                                      const char *address, int ttl_s,
                                      const libsd_register_options *options);

/* The registration under a key; NULL if there is none. */
struct registration *registry_find(struct libsd *sd, libsd_slice key);
/* Takes the place under its key, another one's too.  Returns false when out of
 * memory; never if the place is there. */
bool registry_add(struct registration *registration);
/* The key is free for another registration of the handle. */
void registry_remove(struct registration *registration);

/* Ends the waiting, if any. */
void registration_answer(struct registration *registration, const struct failure *failure);

#endif
