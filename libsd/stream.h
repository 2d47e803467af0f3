/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The watch stream: one connection per handle that carries all its watches.
 *
 *           subscribe          created
 *   IDLE ───────────▶ OPENING ────────▶ OPEN
 *    ▲                  ▲ │ failure       │
 *    │ no subscription  │ ▼               │
 *    └─────────────── WAITING ◀───────────┘
 *                     back-off, token, or until the queue is drained
 *
 * A subscription outlives connections: it is created again on each with the
 * first revision that was not yet delivered.  All on the I/O thread.
 */
#ifndef LIBSD_STREAM_H
#define LIBSD_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "call.h"
#include "http.h"
#include "landmark.h"
#include "lines.h"
#include "loop.h"
#include "message.h"
#include "util.h"

enum subscription_state {
    SUBSCRIPTION_NONE,     /* not with the stream */
    SUBSCRIPTION_WANTED,   /* to be created when the stream is open */
    SUBSCRIPTION_CREATING, /* asked for */
    SUBSCRIPTION_LIVE,
    SUBSCRIPTION_RESTING /* refused; tried again after a while */
};

struct subscription {
    struct span span; /* of the owner's bytes */
    bool previous;    /* with RECORD_PREVIOUS before events, where etcd has it */

    /* The first revision not yet delivered in full, 0 for "from now"; of that
     * revision, events that came on this connection, and were ever delivered. */
    int64_t next;
    unsigned seen;
    unsigned delivered;

    /* Told on the I/O thread.  None may be called from inside
     * stream_subscribe() or stream_unsubscribe(). */

    /* The watch stands; whatever happens from next on will come. */
    void (*on_live)(struct subscription *subscription);
    /* Events, none of them delivered before; text is what they point into.
     * Both may be taken over (and zeroed).  complete: all of their last
     * revision's events are there.  Returns false when out of memory: they
     * come again then. */
    bool (*on_events)(struct subscription *subscription, struct records *records,
                      struct buffer *text, bool complete);
    /* The connection is lost or the watch refused; it is tried again. */
    void (*on_down)(struct subscription *subscription, const struct failure *failure);
    /* Events were or may have been missed; the subscription is over. */
    void (*on_lost)(struct subscription *subscription, const struct failure *failure);

    /* Private. */
    TAILQ_ENTRY(subscription) link;
    enum subscription_state state;
    size_t slot;
    int64_t begun; /* next when the watch was created on this connection */
    unsigned refusals;
    struct libsd *sd;
    struct timer timer;
};

/* Our watch ids are indices here; number 0 is the heartbeat's.
 *
 *          create sent          created            canceled
 *   FREE ───────────────▶ ASKED ───────▶ STANDING ──────────▶ FREE
 *                           └──── created and canceled ────────┘
 *
 * A watch that etcd ended by itself is cancelled by us, too: until that is
 * answered etcd 3.4 takes its id for used.  If both ends cross on their way, a
 * second "canceled" finds the slot free, or asked for anew, and says nothing. */
struct slot {
    struct subscription *subscription; /* NULL: cancelled or free */
    size_t next;                       /* in the list of free ones, or of asked ones */
    enum {
        SLOT_FREE,
        SLOT_ASKED,
        SLOT_STANDING
    } state;
};

struct stream {
    enum {
        STREAM_IDLE,
        STREAM_WAITING,
        STREAM_OPENING,
        STREAM_OPEN
    } state;
    TAILQ_HEAD(, subscription) subscriptions;
    unsigned creating; /* subscriptions in that state */

    struct transfer transfer;
    struct auth_wait wait;
    size_t endpoint;
    unsigned token; /* the serial of the one that it was opened with */
    const char *api;
    struct buffer out; /* requests not yet sent, from sent on */
    size_t sent;
    bool read_paused;
    struct lines lines;
    int broken;  /* LIBSD_E* met while receiving */
    long status; /* HTTP's, of the answer */

    struct slot *slots;
    size_t slot_count;
    size_t slot_capacity;
    size_t free_slot; /* 0: none */
    /* Watches asked for and not yet answered: etcd answers in order, and a
     * refusal does not name the watch. */
    size_t first_asked;
    size_t last_asked;
    bool probe_asked;

    struct timer timer;
    struct backoff backoff;
    uint64_t cluster_id; /* of who created the last watch; 0: nobody yet */
    int64_t opened_ns;
    int64_t heard_ns;   /* last byte from etcd */
    int64_t line_ns;    /* last time there was no line half received */
    int64_t created_ns; /* last time a watch was asked for */
    int64_t probed_ns;  /* last time a sign of life was asked for */
    unsigned probes;    /* sent since the last byte */

    struct landmark landmark;
};

void stream_init(struct libsd *sd);
void stream_free(struct libsd *sd);

/* Joins; next says where from. */
void stream_subscribe(struct libsd *sd, struct subscription *subscription);
/* Leaves; in state NONE allowed. */
void stream_unsubscribe(struct libsd *sd, struct subscription *subscription);

/* For both: what an error that etcd sent means; a token that it does not like is
 * forgotten. */
void stream_error(struct libsd *sd, const struct grpc_error *error, struct failure *failure);

/* Names the place that what comes over the stream is from, in failure's text. */
void stream_place(const struct libsd *sd, struct failure *failure);

/* For subscription.c: asks for a watch, or for its end, and lets go of all. */
void stream_create(struct libsd *sd, struct subscription *subscription);
void stream_message(struct libsd *sd, struct buffer *line);
void stream_reset_slots(struct stream *stream);
/* Lets go of one, whose events were or may have been missed.  tell: etcd does not
 * know yet. */
void stream_lose(struct libsd *sd, struct subscription *subscription, bool tell,
                 const struct failure *failure);

/* For stream.c and subscription.c: sends what is in out; ends the connection
 * because of failure, and begins another one later. */
void stream_send(struct libsd *sd);
void stream_close(struct libsd *sd);
void stream_fail(struct libsd *sd, const struct failure *failure);
/* Asks something that every version answers: an impossible watch. */
void stream_ask_probe(struct libsd *sd);

/* After each turn of the loop: handles what was received. */
void stream_turn(struct libsd *sd);

/* The queue is drained: open again if that was waited for. */
void stream_drained(struct libsd *sd);

#endif
