/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the tests of watches on a bad gateway share.
 */
#ifndef ETCDSD_TESTS_WATCH_SCENE_H
#define ETCDSD_TESTS_WATCH_SCENE_H

#include "gateway.h"

extern struct watch_scene {
    libsd *sd;
    struct notes notes; /* of the watch that watch_scene_open() made */
} seen;

/* Before and after each test. */
void watch_scene_begin(void);
void watch_scene_end(void);

/* Watches /f/. */
libsd_watch *watch_scene_open(int flags, int64_t start);

/* Whatever was, in the end there are a list and a watch. */
void watch_scene_behaves_again(void);

#endif
