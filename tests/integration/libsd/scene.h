/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What every test of a set-up or a fault looks at: a handle that keeps a
 * registration and follows its prefix, and another one that judges.
 */
#ifndef TESTS_SCENE_H
#define TESTS_SCENE_H

#include <libsd.h>
#include <pthread.h>
#include <stdbool.h>

#include "mirror.h"

#define SCENE_PREFIX  "/service/"
#define SCENE_KEY     "/service/user/i1"
#define SCENE_ADDRESS "10.0.0.5:9090"

struct scene {
    libsd *sd;    /* under test */
    libsd *judge; /* has a way to the store of its own */
    struct mirror mirror;
    libsd_watch *watch;
    int stirs;

    pthread_mutex_t mutex;
    char story[100]; /* states of the registration as letters: R, L, C */
    char state;      /* the last of them */
    int error;       /* of the last one */
};

/* A handle with options by name and value, NULL at the end. */
libsd *open_with(const char *endpoints, ...) __attribute__((sentinel));

/* Registers with that TTL and follows; both are done when it returns. */
void scene_start(struct scene *scene, libsd *sd, libsd *judge, int ttl_s);
void scene_end(struct scene *scene);

bool scene_is_told(struct scene *scene, const char *story);
/* Whether the last state told is REGISTERED, and true. */
bool scene_is_well(struct scene *scene);
/* Lists that had to be made anew since events may have been lost; audits, each 3
 * to 6 minutes, are none. */
uint64_t scene_resyncs(struct scene *scene);
/* Whether the registration is in the store, under a lease. */
bool scene_is_registered(struct scene *scene);
/* How often the key was written since it was made; 0 if it is not there. */
int64_t scene_writes(struct scene *scene);

/* Writes, changes and deletes keys below the prefix. */
void scene_stir(struct scene *scene);

/* The mirror becomes what the store is, with what is stirred in now, within so
 * many seconds, and no event was lost or doubled. */
void scene_becomes_current(struct scene *scene, double limit_s);

#endif
