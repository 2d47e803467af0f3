/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a follower makes of its events: a copy of the keys below a prefix, and
 * whether any event came twice, out of order or not at all.
 */
#ifndef TESTS_MIRROR_H
#define TESTS_MIRROR_H

#include <libsd.h>
#include <pthread.h>
#include <stdbool.h>

#define MIRROR_KEYS 1000

struct mirrored {
    char key[100];
    char value[100];
    int64_t created;
    int64_t modified;
    int64_t version;
    int mark;
};

struct mirror {
    pthread_mutex_t mutex;
    struct mirrored keys[MIRROR_KEYS];
    int count;
    int mark;
    bool listing;
    int64_t revision; /* nothing that comes may be older */
    int lists;
    int audits;
    int ups;
    int downs;
    int error;       /* of the last down */
    char wrong[300]; /* what came that should not have; empty: nothing */
};

void mirror_init(struct mirror *mirror);

/* A libsd_watch_callback for a watch with LIBSD_WATCH_LIST. */
void mirror_take(const libsd_event *event, void *mirror);

/* Whether it is what sd lists below the prefix now. */
bool mirror_is_current(struct mirror *mirror, libsd *sd, const char *prefix);

int mirror_lists(struct mirror *mirror);
int mirror_audits(struct mirror *mirror);
int mirror_ups(struct mirror *mirror);
int mirror_downs(struct mirror *mirror);

#endif
