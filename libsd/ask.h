/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A call to etcd that blocks the application's thread.
 */
#ifndef LIBSD_ASK_H
#define LIBSD_ASK_H

#include "buffer.h"
#include "libsd.h"
#include "message.h"

struct question {
    const char *path;
    struct buffer *body; /* taken over */
    unsigned flags;      /* enum call_flags */
    int timeout_ms;      /* as the application gave it, not negative */
    bool big_answer;
    bool keepalive; /* its answer is a stream's */
    /* Not NULL: receives the place of a good answer, as call.h leaves it. */
    struct failure *place;
};

/* Asks and reads the answer; text is what the answer points into.  On failure
 * the detail is remembered, and error, unless NULL, says what etcd said.  Free
 * text and the answer's records in any case. */
int ask(libsd *sd, const struct question *question, struct buffer *text, struct answer *answer,
        struct grpc_error *error);

#endif
