/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An etcd, two handles, and what locks are told, for the tests of locks and
 * elections.
 */
#ifndef ETCDSD_TESTS_LOCK_SCENE_H
#define ETCDSD_TESTS_LOCK_SCENE_H

#include <pthread.h>

#include "etcd.h"

#define LOCK_NAME "locks/a"

extern struct lock_scene {
    struct etcd etcd;
    libsd *sd;
    libsd *judge; /* looks at the keys; somebody else */
} locks;

/* Before and after each test. */
void lock_scene_begin(void);
void lock_scene_end(void);

/* How many keys the lock has: its holder's and those who wait. */
size_t lock_keys(void);
libsd_mutex *lock_take_as(int ttl_s);
void lock_key_of(const libsd_mutex *mutex, char *key, size_t size);

/* What a lock's callback was told, as letters: W, H, L, F, R. */
struct lock_story {
    pthread_mutex_t mutex;
    char text[50];
    int error;
    libsd_mutex *lock;
};

void story_take(libsd_mutex *lock, int state, int error, void *arg);
bool story_is(struct lock_story *story, const char *text);
/* Asks for the lock and waits until the story is this. */
void story_start_on(libsd *handle, struct lock_story *story, int ttl_s, const char *until);
void story_start(struct lock_story *story, int ttl_s, const char *until);

#endif
