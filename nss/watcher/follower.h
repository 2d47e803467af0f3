/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One zone that is followed: all that belongs to it, from its watch to its
 * place on the board.
 */
#ifndef ETCDSD_WATCHER_FOLLOWER_H
#define ETCDSD_WATCHER_FOLLOWER_H

#include "board.h"
#include "config.h"
#include "libsd.h"
#include "localnet.h"
#include "mirror.h"
#include "model.h"
#include "publish.h"
#include "zone.h"

struct follower {
    struct follower *next;
    struct settings says; /* a copy of the section's */
    struct zone zone;     /* which points into it */
    struct model model;
    struct publish publish;
    struct mirror mirror;
    libsd_watch *watch; /* NULL: not yet, or not any more */
};

/* Makes one and puts it on the board; config and net must outlive it.
 * Returns it, or NULL: no memory. */
struct follower *follower_new(const struct settings *says, struct board *board,
                              const struct config *config, const struct localnet *net);

/* Begins to follow, or begins anew with another list; the table says what it
 * said until that is complete.  Returns 0 or LIBSD_E*. */
int follower_open(struct follower *follower, libsd *sd);

/* How a zone's settings differ from a follower's. */
enum follower_change {
    FOLLOWER_SAME,    /* not at all */
    FOLLOWER_PUBLISH, /* in what answers are like */
    FOLLOWER_READ     /* in what values mean: the list has to be read anew */
};

/* Takes other settings over; prefix and domain must be the same.  Returns
 * enum follower_change, upon which the caller has to act, or -ENOMEM. */
int follower_change(struct follower *follower, const struct settings *says);

/* Ends it.  What it wrote stays in the table. */
void follower_free(struct follower *follower);

/* The same for a list of them. */
void followers_free(struct follower *first);

#endif
