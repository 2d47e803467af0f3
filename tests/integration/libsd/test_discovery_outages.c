/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What watchers are told when etcd is away, loses its history or all it had:
 * each appearance and disappearance once.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "outlook.h"

TestSuite(discovery_outages, .init = outlook_begin, .fini = outlook_end, .timeout = 90);

Test(discovery_outages, restart_of_etcd_is_no_change)
{
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    outlook_watch("user", &outlook.diary);
    TOLD("+a:present synced ", 5);
    etcd_kill(&outlook.etcd);
    TOLD("+a:present synced blind ", 5);
    etcd_restart(&outlook.etcd);
    TOLD("+a:present synced blind sight ", 10);
    put(outlook.other, "/service/user/b", "10.0.0.2:80");
    libsd_delete(outlook.other, libsd_str("/service/user/a"), 0);
    TOLD("+a:present synced blind sight +b:registered -a:deregistered ", 5);
}

Test(discovery_outages, what_happened_during_an_outage_is_told_once)
{
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    put(outlook.sd, "/service/user/b", "10.0.0.2:80");
    outlook_watch("user", &outlook.diary);
    TOLD("+a:present +b:present synced ", 5);
    etcd_freeze(&outlook.etcd); /* noticed by its silence alone */
    TOLD("+a:present +b:present synced blind ", 15);
    etcd_thaw(&outlook.etcd);
    put(outlook.other, "/service/user/a", "10.0.0.9:80");
    libsd_delete(outlook.other, libsd_str("/service/user/b"), 0);
    UNTIL(diary_count(&outlook.diary, LIBSD_OFFLINE) == 1 &&
              diary_count(&outlook.diary, LIBSD_IN_SIGHT) == 1,
          5);
    cr_assert_eq(diary_count(&outlook.diary, LIBSD_CHANGED), 1);
    cr_assert_eq(diary_count(&outlook.diary, LIBSD_ONLINE), 2);
}

Test(discovery_outages, compacted_history_is_made_up_for_by_comparing)
{
    char url[sizeof outlook.etcd.url];

    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    put(outlook.sd, "/service/user/b", "10.0.0.2:80");
    put(outlook.sd, "/service/user/c", "10.0.0.3:80");
    outlook_watch("user", &outlook.diary);
    TOLD("+a:present +b:present +c:present synced ", 5);
    diary_forget(&outlook.diary);
    etcd_kill(&outlook.etcd);
    TOLD("blind ", 5);
    strcpy(url, outlook.etcd.url);
    etcd_move(&outlook.etcd); /* outlook.sd does not find it there */
    etcd_restart(&outlook.etcd);
    libsd_close(outlook.other);
    outlook.other = etcd_open(&outlook.etcd, NULL);
    put(outlook.other, "/service/user/a", "10.0.0.9:80");
    libsd_delete(outlook.other, libsd_str("/service/user/b"), 0);
    put(outlook.other, "/service/user/d", "10.0.0.4:80");
    put(outlook.other, "/service/user/e", "10.0.0.5:80");
    libsd_delete(outlook.other, libsd_str("/service/user/e"), 0);
    etcd_compact(&outlook.etcd, put(outlook.other, "/outlook.other", "x"));
    etcd_kill(&outlook.etcd);
    strcpy(outlook.etcd.url, url);
    etcd_restart(&outlook.etcd);
    UNTIL(diary_count(&outlook.diary, LIBSD_SYNCED) == 2 &&
              diary_count(&outlook.diary, LIBSD_IN_SIGHT) == 1,
          10);
    cr_assert(strstr(outlook.diary.text, "~a:resync +d:resync -b:resync synced ") != NULL, "%s",
              outlook.diary.text);
    cr_assert_eq(diary_count(&outlook.diary, LIBSD_ONLINE), 4);
    cr_assert_eq(diary_count(&outlook.diary, LIBSD_OFFLINE), 1);
    cr_assert_eq(diary_count(&outlook.diary, LIBSD_CHANGED), 1);
}

Test(discovery_outages, wiped_store_is_told_as_a_difference)
{
    for (int i = 0; i < 10; i++)
        put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    put(outlook.sd, "/service/user/b", "10.0.0.2:80");
    outlook_watch("user", &outlook.diary);
    TOLD("+a:present +b:present synced ", 5);
    diary_forget(&outlook.diary);
    etcd_kill(&outlook.etcd);
    TOLD("blind ", 5);
    etcd_wipe(&outlook.etcd);
    etcd_restart(&outlook.etcd);
    UNTIL(diary_count(&outlook.diary, LIBSD_OFFLINE) == 2, 10);
    cr_assert(strstr(outlook.diary.text, "-b:resync -a:resync synced ") != NULL, "%s",
              outlook.diary.text);
    UNTIL(diary_count(&outlook.diary, LIBSD_IN_SIGHT) == 1, 10);
    put(outlook.other, "/service/user/b", "10.0.0.2:80");
    UNTIL(diary_count(&outlook.diary, LIBSD_ONLINE) == 3, 5);
    cr_assert_eq(diary_count(&outlook.diary, LIBSD_OFFLINE), 2);
}

Test(discovery_outages, etcd_that_is_away_at_first_is_waited_for)
{
    libsd_discovery *watched;

    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    etcd_kill(&outlook.etcd);
    watched = outlook_watch("user", &outlook.diary);
    TOLD("blind ", 5);
    cr_assert_null(libsd_discovery_snapshot(watched));
    etcd_restart(&outlook.etcd);
    TOLD("blind +a:present synced sight ", 10);
}
