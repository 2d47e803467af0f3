/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One question to the cluster: tried at one endpoint after another until it is
 * answered, refused, or out of time.  On the I/O thread.
 */
#ifndef LIBSD_CALL_H
#define LIBSD_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "buffer.h"
#include "http.h"
#include "loop.h"
#include "message.h"
#include "util.h"

enum call_flags {
    CALL_WRITE = 1,        /* not to be repeated once etcd may have seen it */
    CALL_ONCE = 2,         /* one attempt only: the caller has its own back-off */
    CALL_SERIALIZABLE = 4, /* a member without a leader may answer */
    CALL_NO_TOKEN = 8,     /* the call that asks for the token */
    CALL_COUNTED = 16      /* repeated, but then `unsure` must say so */
};

/* A place in the queue for a token; see auth.h. */
struct auth_wait {
    LIST_ENTRY(auth_wait) link;
    bool queued;
    /* failure NULL: go on, with the token if there is one. */
    void (*ready)(struct auth_wait *wait, const struct failure *failure);
};

struct call {
    struct libsd *sd;
    const char *path;
    struct buffer body; /* freed by the call's end */
    unsigned flags;
    int64_t deadline_ns; /* 0: none */
    size_t only;         /* not 0: at endpoint only - 1, and once */
    int attempt_ms;      /* most time for one attempt; 0: CALL_ATTEMPT_MS */
    int idle_ms;         /* not 0: one attempt may take all the time, but not so long
                     * without a byte: for big answers */
    /* Called once, with the answer's text and failure.code 0, its text naming
     * where the answer is from, or with the failure.  The call is idle then: it
     * may be started again. */
    void (*done)(struct call *call, struct buffer *answer);
    struct failure failure;
    struct grpc_error error; /* what etcd said, code 0 if nothing */
    bool unsure;             /* an attempt may have been executed, though no answer came; with
                  * CALL_WRITE or CALL_COUNTED this is exact */
    int64_t sent_ns;         /* when the last attempt began */

    LIST_ENTRY(call) link; /* the starter's */

    /* Private. */
    struct transfer transfer;
    struct timer timer;
    struct auth_wait wait;
    bool active;
    bool renewed;   /* a new token was asked for */
    unsigned token; /* the serial of the one that was sent */
    unsigned attempts;
    struct backoff backoff;
    unsigned refusals; /* answers that no other try at that endpoint mends */
    size_t endpoint;
    const char *api;
};

#define CALL_ATTEMPT_MS 3000

/* Begins; the fields above "Private" are set, the rest zero or from an earlier
 * run.  done is never called before this returns. */
void call_start(struct call *call);

/* Ends without a call of done.  Idle is allowed. */
void call_cancel(struct call *call);

#endif
