/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Is the store behind a new connection still the one that we knew?
 *
 * One that was wiped, or restored from a backup, has the same ids: they are
 * made from etcd's flags.  A revision or a term that went back betrays it, if
 * it did not come further meanwhile.  So the last change that we saw is kept as
 * a landmark and looked up again at its revision.
 */
#ifndef LIBSD_LANDMARK_H
#define LIBSD_LANDMARK_H

#include <stdbool.h>

#include "call.h"
#include "message.h"

#define LANDMARK_KEY_MAX 512

struct subscription;

struct landmark {
    char key[LANDMARK_KEY_MAX];
    libsd_kv kv;  /* its key points there; without value; mod_revision 0: none */
    bool doubted; /* a new connection: not looked up yet */
    bool latest;  /* its history is compacted: look at what the key is now */
    struct call call;
    uint64_t cluster_id;
    uint64_t raft_term;
};

/* The stream is being opened. */
void landmark_doubt(struct libsd *sd);

/* Keys that were listed or changed: the newest becomes the landmark. */
void landmark_note(struct libsd *sd, const struct records *records);

/* A watch was resumed, with that header in etcd's answer.  Watches on a store
 * that is another one are told that they are lost. */
void landmark_check(struct libsd *sd, const struct header *header,
                    const struct subscription *subscription);

#endif
