/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See lock_scene.h.
 */
#include "lock_scene.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct lock_scene locks;

void lock_scene_begin(void)
{
    etcd_start(&locks.etcd);
    locks.sd = etcd_open(&locks.etcd, NULL);
    locks.judge = etcd_open(&locks.etcd, NULL);
}

void lock_scene_end(void)
{
    libsd_close(locks.sd);
    libsd_close(locks.judge);
    etcd_end(&locks.etcd);
}

size_t lock_keys(void)
{
    libsd_kvs *kvs = NULL;
    size_t count = 999;

    if (libsd_list(locks.judge, libsd_str(LOCK_NAME "/"), 0, &kvs, 0) == 0)
        count = libsd_kvs_count(kvs);
    libsd_kvs_free(kvs);
    return count;
}

void story_take(libsd_mutex *lock, int state, int error, void *arg)
{
    struct lock_story *story = arg;
    size_t size;

    (void)lock;
    pthread_mutex_lock(&story->mutex);
    size = strlen(story->text);
    if (size + 1 < sizeof story->text)
        story->text[size] = "?WHLFR"[state];
    story->error = error;
    pthread_mutex_unlock(&story->mutex);
}

bool story_is(struct lock_story *story, const char *text)
{
    bool same;

    pthread_mutex_lock(&story->mutex);
    same = strcmp(story->text, text) == 0;
    pthread_mutex_unlock(&story->mutex);
    return same;
}

void story_start_on(libsd *handle, struct lock_story *story, int ttl_s, const char *until)
{
    libsd_lock_options options = { .size = sizeof options, .ttl_s = ttl_s };

    *story = (struct lock_story){ .mutex = PTHREAD_MUTEX_INITIALIZER };
    cr_assert_eq(libsd_lock_start(handle, LOCK_NAME, &options, story_take, story, &story->lock), 0);
    UNTIL(story_is(story, until), 10);
}

void story_start(struct lock_story *story, int ttl_s, const char *until)
{
    story_start_on(locks.sd, story, ttl_s, until);
}

libsd_mutex *lock_take_as(int ttl_s)
{
    libsd_mutex *mutex = NULL;
    int rc = libsd_lock(locks.sd, LOCK_NAME, ttl_s, 20000, &mutex);

    cr_assert(rc == 0, "lock: %s", libsd_strerror(rc));
    cr_assert(libsd_lock_is_held(mutex));
    return mutex;
}

void lock_key_of(const libsd_mutex *mutex, char *key, size_t size)
{
    libsd_slice slice = libsd_lock_key(mutex);

    snprintf(key, size, "%.*s", (int)slice.size, (const char *)slice.data);
}
