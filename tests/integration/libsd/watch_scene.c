/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See watch_scene.h.
 */
#include "watch_scene.h"

#include <criterion/criterion.h>

struct watch_scene seen;

void watch_scene_begin(void)
{
    gateway_start(NULL);
    seen.sd = etcd_open(&gateway, NULL);
    notes_init(&seen.notes);
}

void watch_scene_end(void)
{
    libsd_close(seen.sd);
}

libsd_watch *watch_scene_open(int flags, int64_t start)
{
    libsd_watch *made = NULL;

    cr_assert_eq(libsd_watch_open(seen.sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX | flags, start,
                                  notes_take, &seen.notes, &made),
                 0);
    return made;
}

void watch_scene_behaves_again(void)
{
    static struct notes others;
    struct notes *other = &others;
    libsd_watch *made;

    gateway_set(NULL);
    gateway_hang_up();
    if (other->text)
        notes_reset(other);
    else
        notes_init(other);
    cr_assert_eq(libsd_watch_open(seen.sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST,
                                  0, notes_take, other, &made),
                 0);
    UNTIL(notes_count(other, LIBSD_EVENT_LIST_END) && notes_count(other, LIBSD_EVENT_CONNECTED),
          10);
    libsd_watch_close(made);
}
