/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a handle tells of itself.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "enlist.h"

TestSuite(stats, .init = enlist_setup, .fini = enlist_teardown, .timeout = 60);

static libsd_statistics look(void)
{
    libsd_statistics stats = { .size = sizeof stats };

    cr_assert_eq(libsd_stats(sd, &stats), 0);
    return stats;
}

Test(stats, count_what_is_done)
{
    libsd_statistics before = look();
    libsd_statistics after;
    static struct notes notes;
    libsd_watch *watch;

    cr_assert_eq(before.requests, 0);
    cr_assert_eq(before.answer_age_ms, -1);
    cr_assert_eq(before.stream_age_ms, -1);
    put(sd, "/a", "12345");
    after = look();
    cr_assert_eq(after.requests, 1);
    cr_assert_eq(after.failures, 0);
    cr_assert_gt(after.bytes_sent, 10);
    cr_assert_gt(after.bytes_received, 10);
    cr_assert_geq(after.answer_age_ms, 0);
    cr_assert_str_eq(after.endpoint, etcd.url);
    notes_init(&notes);
    cr_assert_eq(
        libsd_watch_open(sd, libsd_str("/a"), LIBSD_WATCH_LIST, 0, notes_take, &notes, &watch), 0);
    UNTIL(notes_say(&notes, "+/a=12345"), 5);
    UNTIL(look().stream_age_ms >= 0, 5);
    after = look();
    cr_assert_eq(after.watches, 1);
    cr_assert_geq(after.events, 3, "[ + ]");
    libsd_watch_close(watch);
    UNTIL(look().watches == 0, 5);
}

Test(stats, count_registrations_by_state_and_beats)
{
    enlist(ADDRESS, 2);
    cr_assert_eq(libsd_register(sd, "user", "i2", OTHER, 2, NULL), 0);
    cr_assert_eq(libsd_register(sd, "user", "i3", OTHER, 10, NULL), 0);
    cr_assert_eq(libsd_pause(sd, "user", "i2", 0), 0);
    cr_assert_eq(look().registrations, 3);
    cr_assert_eq(look().registered, 2);
    cr_assert_eq(look().paused, 1);
    cr_assert_eq(look().leases, 2);
    UNTIL(look().beats >= 2, 5);
    cr_assert_eq(look().late_leases, 0);
    etcd_kill(&etcd);
    UNTIL(look().late_leases == 1, 8);
    UNTIL(look().lost == 1 && look().failures > 0, 8);
    etcd_restart(&etcd);
    UNTIL(look().registered == 2, 8);
}

Test(stats, older_programs_get_what_they_know)
{
    libsd_statistics stats;

    memset(&stats, 0x55, sizeof stats);
    stats.size = offsetof(libsd_statistics, failures);
    put(sd, "/a", "1");
    cr_assert_eq(libsd_stats(sd, &stats), 0);
    cr_assert_eq(stats.requests, 1);
    cr_assert_eq(stats.failures, UINT64_C(0x5555555555555555));
    stats.size = 0;
    cr_assert_eq(libsd_stats(sd, &stats), LIBSD_EINVAL);
    cr_assert_eq(libsd_stats(sd, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_stats(NULL, &stats), LIBSD_EINVAL);
}
