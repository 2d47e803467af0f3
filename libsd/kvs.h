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

#endif
