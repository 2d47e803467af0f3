/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An operation on its way: the request to make next, and what the answers add
 * up to.
 *
 *   plan_init ──▶ request ──answer──▶ plan_take ──▶ reply
 *                    ▲                   │
 *                    └───────────────────┘
 *        the next page; smaller pages; a list that was overtaken by a
 *        compaction, from its start; what a repeated grant had granted
 *
 * It knows nothing of threads and connections: libsd_execute() uses it on the
 * application's thread, a request of libsd_start() where callbacks run.  So
 * answers are never read on the I/O thread, which has leases to look after.
 */
#ifndef LIBSD_PLAN_H
#define LIBSD_PLAN_H

#include "call.h"
#include "op.h"
#include "reply.h"

struct plan {
    /* The next request. */
    const char *path;
    struct buffer body; /* may be taken over */
    unsigned flags;     /* enum call_flags */
    bool big;           /* its answer */
    size_t only;        /* as in struct call */

    struct reply *reply; /* complete when plan_take() returns false */

    /* Private. */
    libsd_op op;         /* its slices lie in bytes */
    struct buffer bytes; /* RANGE: key and end */
    struct parts parts;
    struct buffer cursor; /* RANGE in pages: first key of the next one */
    bool paged;
    int64_t page_limit;
    int64_t pinned; /* revision of all pages; 0: not known yet */
    unsigned tries;
    int64_t left; /* keys to go; 0: no limit */
};

/* Copies all it needs of op, and makes the first request.  Returns 0,
 * LIBSD_EINVAL or LIBSD_ENOMEM, filling failure; plan_free() in any case. */
int plan_init(struct plan *plan, libsd *sd, const libsd_op *op, struct failure *failure);
void plan_free(struct plan *plan);

/* What became of a request. */
struct outcome {
    struct failure failure;  /* code 0: text is the answer */
    struct grpc_error error; /* etcd's, code 0 if none */
    bool unsure;             /* as in struct call */
};

/* Takes an outcome; text may be taken over.  Returns true if another request is
 * to be made. */
bool plan_take(struct plan *plan, const struct outcome *outcome, struct buffer *text);

/* The reply, which is the caller's then. */
struct reply *plan_reply(struct plan *plan);

#endif
