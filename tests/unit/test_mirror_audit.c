/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Audits, as libsd tells them: the table goes on meanwhile, and what etcd never
 * told of is made good.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "mirror_stage.h"

TestSuite(mirror_audit, .init = stage_setup, .fini = stage_teardown);

static void shows(const char *key, const char *value)
{
    const libsd_kv kv = { .key = libsd_str(key), .value = libsd_str(value) };

    stage_tell(LIBSD_EVENT_AUDIT_KEY, 0, &kv);
}

static void shows_many(int from, int to)
{
    for (int i = from; i < to; i++) {
        char key[40];

        snprintf(key, sizeof key, "/service/user/m%02d", i);
        shows(key, "10.0.0.7:80");
    }
}

static void end(void)
{
    stage_tell(LIBSD_EVENT_AUDIT_END, 0, NULL);
    mirror_flush(&mirror);
}

Test(mirror_audit, changes_are_written_meanwhile)
{
    stage_tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    stage_list_many(0, 2, 10);
    stage_tell(LIBSD_EVENT_AUDIT_BEGIN, 0, NULL);
    cr_expect_eq(paper.state, TABLE_LIVE);
    stage_put("/service/user/m02", "10.0.0.7:80");
    stage_commit(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3);
    shows_many(0, 2);
    stage_commit(11);
    end();
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3, "the third came since it began");
    cr_expect_null(strstr(stage_logged(), "audit"));
}

Test(mirror_audit, what_no_event_told_of_is_made_good)
{
    stage_list_many(0, 2, 10);
    stage_tell(LIBSD_EVENT_AUDIT_BEGIN, 0, NULL);
    shows("/service/user/m00", "10.0.0.9:80");
    shows("/service/user/m02", "10.0.0.7:80");
    stage_commit(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3);
    cr_expect_eq(stage_shown("user.service.etcd")->instances[0].address[3], 9);
    end();
    cr_expect_eq(stage_shown_count("user.service.etcd"), 2);
    cr_expect_not_null(strstr(stage_logged(), "1 instances were gone"));
}

Test(mirror_audit, one_that_is_given_up_sweeps_nothing)
{
    stage_list_many(0, 3, 10);
    stage_tell(LIBSD_EVENT_AUDIT_BEGIN, 0, NULL);
    shows_many(0, 1);
    stage_commit(10);
    stage_tell(LIBSD_EVENT_AUDIT_BEGIN, 0, NULL);
    shows_many(0, 3);
    stage_commit(10);
    end();
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3);
}

Test(mirror_audit, list_ends_one_that_runs)
{
    stage_list_many(0, 3, 10);
    stage_tell(LIBSD_EVENT_AUDIT_BEGIN, 0, NULL);
    stage_list_begin();
    stage_put_many(0, 3);
    end();
    stage_list_end(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3);
}

Test(mirror_audit, sudden_loss_is_held_as_in_a_list)
{
    mirror.confirm_loss_s = 10;
    stage_list_many(0, 12, 10);
    stage_tell(LIBSD_EVENT_AUDIT_BEGIN, 0, NULL);
    shows_many(0, 5);
    stage_commit(10);
    end();
    cr_expect_eq(stage_shown_count("user.service.etcd"), 12);
    cr_expect_eq(mirror.held, 7);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED, "its content is in doubt");
    stage_tell(LIBSD_EVENT_AUDIT_BEGIN, 0, NULL);
    end();
    cr_expect_eq(stage_shown_count("user.service.etcd"), 12, "the second list decides");
    stage_list_many(0, 12, 11);
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror_audit, oversized_value_is_told_once)
{
    stage_list_many(0, 1, 10);
    stage_logged();
    zone.max_value_bytes = 4;
    stage_put("/service/user/m00", "10.0.0.7:80");
    stage_commit(11);
    cr_expect_not_null(strstr(stage_logged(), "max-value-size"));
    stage_tell(LIBSD_EVENT_AUDIT_BEGIN, 0, NULL);
    shows_many(0, 1);
    stage_commit(11);
    end();
    cr_expect_str_eq(stage_logged(), "");
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
}
