/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Picking from what etcd tells, where no table is.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "outlook.h"

TestSuite(picks, .init = outlook_begin, .fini = outlook_end, .timeout = 90);

Test(picks, picks_go_round)
{
    int got[3] = { 0 };
    libsd_picked picked;

    put(outlook.sd, "/service/user/0", "10.0.0.1:80");
    put(outlook.sd, "/service/user/1", "[2001:db8::1]:81");
    put(outlook.sd, "/service/user/2", "db.example.com:82");
    for (int i = 0; i < 30; i++) {
        char text[300];

        cr_assert_eq(libsd_pick(outlook.sd, "user", NULL, &picked), 0);
        cr_assert_eq(picked.source, LIBSD_SOURCE_ETCD);
        got[picked.name[0] - '0']++;
        libsd_picked_text(&picked, text, sizeof text);
        cr_assert_str_eq(text, picked.name[0] == '0'   ? "10.0.0.1:80"
                               : picked.name[0] == '1' ? "[2001:db8::1]:81"
                                                       : "db.example.com:82");
    }
    for (int i = 0; i < 3; i++)
        cr_assert_eq(got[i], 10);
    cr_assert_eq(libsd_pick(outlook.sd, "nobody", NULL, &picked), LIBSD_ENOTFOUND);
    cr_assert_eq(libsd_pick(outlook.sd, "a//b", NULL, &picked), LIBSD_EINVAL);
    cr_assert_eq(libsd_pick(outlook.sd, "", NULL, &picked), LIBSD_EINVAL);
    cr_assert_eq(libsd_pick(outlook.sd, NULL, NULL, &picked), LIBSD_EINVAL);
}

Test(picks, failed_instance_rests)
{
    libsd_picked picked, failed;

    put(outlook.sd, "/service/user/0", "10.0.0.1:80");
    put(outlook.sd, "/service/user/1", "10.0.0.2:80");
    cr_assert_eq(libsd_pick(outlook.sd, "user", NULL, &failed), 0);
    cr_assert_eq(libsd_report(outlook.sd, "user", &failed, 0), 0);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(libsd_pick(outlook.sd, "user", NULL, &picked), 0);
        cr_assert_str_neq(picked.name, failed.name);
    }
    cr_assert_eq(libsd_report(outlook.sd, "user", &failed, 1), 0);
    UNTIL((libsd_pick(outlook.sd, "user", NULL, &picked), strcmp(picked.name, failed.name) == 0),
          1);
}

/* What is picked from is found by a hash table, which grows under the pickers;
 * the second time nothing is asked. */
Test(picks, any_number_of_services_is_picked_from)
{
    libsd_pick_options never = { .size = sizeof never, .timeout_ms = -1 };
    libsd_picked picked;
    char key[48], address[32], service[16];

    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 100; i++) {
            snprintf(service, sizeof service, "s%.*d", 1 + i % 12, i);
            snprintf(key, sizeof key, "/service/%s/i", service);
            snprintf(address, sizeof address, "10.0.0.1:%d", 1000 + i);
            if (round == 0)
                put(outlook.sd, key, address);
            cr_assert_eq(libsd_pick(outlook.sd, service, round == 0 ? NULL : &never, &picked), 0,
                         "%s", service);
            cr_assert_eq(picked.port, 1000 + i, "%s", service);
        }
}

Test(picks, picks_outlive_etcd)
{
    libsd_pick_options never = { .size = sizeof never, .timeout_ms = -1 };
    libsd_picked picked;
    char detail[300];

    cr_assert_eq(libsd_pick(outlook.sd, "user", &never, &picked), LIBSD_EUNAVAILABLE);
    put(outlook.sd, "/service/user/0", "10.0.0.1:80");
    UNTIL(libsd_pick(outlook.sd, "user", &never, &picked) == 0, 5);
    etcd_kill(&outlook.etcd);
    outlook_watch("user", &outlook.diary);
    UNTIL(diary_count(&outlook.diary, LIBSD_OUT_OF_SIGHT) == 1, 10);
    cr_assert_eq(libsd_pick(outlook.sd, "user", &never, &picked), 0);
    never.timeout_ms = 100;
    cr_assert_eq(libsd_pick(outlook.sd, "nobody", &never, &picked), LIBSD_ETIMEDOUT);
    cr_assert(libsd_error_detail(outlook.sd, detail, sizeof detail) > 0);
    cr_assert(strstr(detail, "nobody: no list yet") != NULL, "%s", detail);
}
