/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What every test of a set-up or a fault looks at; see scene.h.
 */
#include "scene.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "etcd.h"

libsd *open_with(const char *endpoints, ...)
{
    libsd_options *options = NULL;
    libsd *sd = NULL;
    const char *key;
    va_list args;

    cr_assert_eq(libsd_options_new(&options), 0);
    cr_assert_eq(libsd_options_set(options, "endpoints", endpoints), 0, "%s", endpoints);
    va_start(args, endpoints);
    while ((key = va_arg(args, const char *))) {
        const char *value = va_arg(args, const char *);

        cr_assert_eq(libsd_options_set(options, key, value), 0, "%s = %s", key, value);
    }
    va_end(args);
    cr_assert_eq(libsd_open(&sd, options), 0);
    libsd_options_free(options);
    return sd;
}

static void take_state(libsd *sd, const char *service, const char *instance, int state, int error,
                       void *arg)
{
    struct scene *scene = arg;
    size_t size;

    (void)sd;
    (void)service;
    (void)instance;
    pthread_mutex_lock(&scene->mutex);
    size = strlen(scene->story);
    scene->state = "?RLCPUFW"[state];
    if (size + 1 < sizeof scene->story)
        scene->story[size] = scene->state;
    scene->error = error;
    pthread_mutex_unlock(&scene->mutex);
}

bool scene_is_told(struct scene *scene, const char *story)
{
    bool same;

    pthread_mutex_lock(&scene->mutex);
    same = strcmp(scene->story, story) == 0;
    pthread_mutex_unlock(&scene->mutex);
    return same;
}

bool scene_is_registered(struct scene *scene)
{
    libsd_kvs *kvs = NULL;
    bool found = false;

    if (libsd_get(scene->judge, libsd_str(SCENE_KEY), &kvs, 1000) == 0) {
        const libsd_kv *kv = libsd_kvs_at(kvs, 0);

        found = kv->lease && kv->value.size == strlen(SCENE_ADDRESS) &&
                memcmp(kv->value.data, SCENE_ADDRESS, kv->value.size) == 0;
    }
    libsd_kvs_free(kvs);
    return found;
}

bool scene_is_well(struct scene *scene)
{
    bool well;

    pthread_mutex_lock(&scene->mutex);
    well = scene->state == 'R';
    pthread_mutex_unlock(&scene->mutex);
    return well && scene_is_registered(scene);
}

uint64_t scene_resyncs(struct scene *scene)
{
    libsd_statistics stats = { .size = sizeof stats };

    cr_assert_eq(libsd_stats(scene->sd, &stats), 0);
    return stats.resyncs;
}

int64_t scene_writes(struct scene *scene)
{
    libsd_kvs *kvs = NULL;
    int64_t writes = 0;

    if (libsd_get(scene->judge, libsd_str(SCENE_KEY), &kvs, 0) == 0)
        writes = libsd_kvs_at(kvs, 0)->version;
    libsd_kvs_free(kvs);
    return writes;
}

void scene_start(struct scene *scene, libsd *sd, libsd *judge, int ttl_s)
{
    libsd_register_options options = {
        .size = sizeof options, .timeout_ms = 10000, .callback = take_state, .callback_arg = scene
    };
    char detail[300];
    int rc;

    memset(scene, 0, sizeof *scene);
    pthread_mutex_init(&scene->mutex, NULL);
    mirror_init(&scene->mirror);
    scene->sd = sd;
    scene->judge = judge;
    rc = libsd_register(sd, "user", "i1", SCENE_ADDRESS, ttl_s, &options);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(rc == 0, "%s: %s", libsd_strerror(rc), detail);
    cr_assert_eq(libsd_watch_open(sd, libsd_str(SCENE_PREFIX),
                                  LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0, mirror_take,
                                  &scene->mirror, &scene->watch),
                 0);
    UNTIL(mirror_ups(&scene->mirror) == 1, 10);
    cr_assert(scene_is_registered(scene));
    scene_becomes_current(scene, 5);
}

void scene_end(struct scene *scene)
{
    libsd_close(scene->sd);
    libsd_close(scene->judge);
}

/* A write is not repeated by libsd if the first one may have been done: whose
 * answer a fault has swallowed is written again here. */
static void write_anyhow(struct scene *scene, const char *key, const char *value)
{
    libsd_slice name = libsd_str(key);
    double begin = seconds();
    int rc;

    do {
        rc = value ? libsd_put(scene->judge, name, libsd_str(value), 0, NULL, 0)
                   : libsd_delete(scene->judge, name, 0);
        cr_assert(rc >= 0 || rc == LIBSD_EUNKNOWN || libsd_error_is_retriable(rc), "%s: %s", key,
                  libsd_strerror(rc));
        cr_assert(seconds() - begin < 15, "%s: %s", key, libsd_strerror(rc));
    } while (rc < 0);
}

void scene_stir(struct scene *scene)
{
    char key[50];
    char value[30];

    scene->stirs++;
    snprintf(value, sizeof value, "10.0.1.1:%d", scene->stirs);
    for (int i = 0; i < 5; i++) {
        snprintf(key, sizeof key, SCENE_PREFIX "stirred/%d", i);
        write_anyhow(scene, key, value);
    }
    snprintf(key, sizeof key, SCENE_PREFIX "stirred/%d", scene->stirs % 5);
    write_anyhow(scene, key, NULL);
    snprintf(key, sizeof key, SCENE_PREFIX "stirred/once-%d", scene->stirs);
    write_anyhow(scene, key, value);
}

void scene_becomes_current(struct scene *scene, double limit_s)
{
    double begin;

    scene_stir(scene);
    begin = seconds();
    while (!mirror_is_current(&scene->mirror, scene->judge, SCENE_PREFIX)) {
        cr_assert(seconds() < begin + limit_s, "the mirror is not current after %g s", limit_s);
        nap();
    }
    cr_assert(!*scene->mirror.wrong, "%s", scene->mirror.wrong);
}
