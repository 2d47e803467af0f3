/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Replies: what etcd answered to an operation, as the application sees it.
 *
 * A reply owns the texts of the answers it was read from; everything in it and
 * in its parts points there.  How much is allocated for a text is bounded: keys
 * and numbers by its size, the parts of a transaction by what was asked for, the
 * rest by constants.
 */
#ifndef LIBSD_REPLY_H
#define LIBSD_REPLY_H

#include "kvs.h"
#include "op.h"

/* Texts, ended by NULL; what exceeds is no etcd's. */
#define TEXTS_MAX   32
#define MEMBERS_MAX 1000

struct texts {
    const char *list[TEXTS_MAX + 1];
    size_t count;
};

struct member {
    libsd_member public;
    struct texts peer_urls;
    struct texts client_urls;
};

struct reply {
    libsd_reply public;
    struct libsd_kvs kvs;
    libsd_slice *keys;
    int64_t *leases;
    struct member **members;
    struct member *member;
    int64_t begun_ns; /* 0: a part, or a page */
    libsd_member_status status;
    struct texts errors;
    struct reply **parts; /* public.replies, once it is known which branch they are of */
    size_t part_count;
    char detail[sizeof((struct failure *)0)->text];
};

/* An empty reply to an operation, or NULL when out of memory. */
struct reply *reply_new(int type);
void reply_free(struct reply *reply);

/* Reads an answer to an operation of these parts into a new reply, and takes
 * text over.  Returns 0, LIBSD_EPROTOCOL or LIBSD_ENOMEM, filling failure; the
 * reply is as new then, and text the caller's still. */
int reply_read(struct reply *reply, struct buffer *text, const struct parts *parts,
               struct failure *failure);

/* Sets the error; all but numbers and a key in the way is as it was. */
void reply_fail(struct reply *reply, const struct failure *failure);

/* Takes the list of keys out of a reply; NULL when out of memory. */
libsd_kvs *reply_take_kvs(struct reply *reply);

#endif
