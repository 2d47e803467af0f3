/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The transactions by which a contender joins the queue and sees its place in
 * it; shared with those who only ask who is first.
 */
#ifndef LIBSD_STANDING_H
#define LIBSD_STANDING_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "libsd.h"
#include "message.h"

struct libsd_mutex;

/* What an answer shows. */
struct standing {
    bool ours;               /* our key is there, under our lease when we joined */
    bool known;              /* before is what there is before us */
    int64_t create_revision; /* of our key */
    const libsd_kv *before;  /* lives as long as the answer; NULL: nobody */
};

/* Writes our key unless it exists, or, with try_only, anybody's does. */
void standing_join_body(struct buffer *body, const struct libsd_mutex *mutex);
void standing_read_join(struct standing *standing, const struct libsd_mutex *mutex,
                        const struct answer *answer);

/* Sees whether our key is there, and which is the next before it. */
void standing_look_body(struct buffer *body, const struct libsd_mutex *mutex);
void standing_read_look(struct standing *standing, const struct libsd_mutex *mutex,
                        const struct answer *answer);

/* Deletes our key: if it is under our lease, or, when it was overwritten, under
 * whatever. */
void standing_clean_body(struct buffer *body, const struct libsd_mutex *mutex);

/* Gives our key a new value. */
void standing_proclaim_body(struct buffer *body, const struct libsd_mutex *mutex,
                            libsd_slice value);

/* Asks for the first of the queue, at a revision; 0: now. */
void standing_first_body(struct buffer *body, libsd_slice prefix, int64_t revision);

#endif
