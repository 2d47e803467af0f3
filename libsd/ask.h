/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A request to etcd that blocks the application's thread.
 */
#ifndef LIBSD_ASK_H
#define LIBSD_ASK_H

#include "plan.h"

struct question {
    const char *path;
    struct buffer *body; /* taken over */
    unsigned flags;      /* enum call_flags */
    int timeout_ms;      /* as the application gave it, not negative */
    bool big_answer;
    size_t only; /* as in struct call */
};

/* Asks; text receives the answer if there is one. */
void ask_text(libsd *sd, const struct question *question, struct buffer *text,
              struct outcome *outcome);

/* Asks and reads the answer; text is what the answer points into.  On failure
 * the detail is remembered.  Free text and the answer's records in any case. */
int ask(libsd *sd, const struct question *question, struct buffer *text, struct answer *answer);

#endif
