/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A list of keys as the application gets it.
 */
#ifndef LIBSD_KVS_H
#define LIBSD_KVS_H

#include "buffer.h"
#include "message.h"

struct libsd_kvs {
    struct records records;
    struct buffer *texts; /* what the records point into, one per page */
    size_t text_count;
    int64_t revision;
};

/* Takes a text over.  Returns 0 or LIBSD_ENOMEM, which leaves it. */
int kvs_take_text(struct libsd_kvs *kvs, struct buffer *text);

/* Moves the records of more behind those of kvs.  Returns 0 or LIBSD_ENOMEM. */
int kvs_append(struct libsd_kvs *kvs, struct records *more);

/* Frees what is in it. */
void kvs_clear(struct libsd_kvs *kvs);

#endif
