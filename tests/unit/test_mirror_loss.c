/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lists that lack too much, and tables that begin with a snapshot.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "mirror_stage.h"

TestSuite(mirror_loss, .init = stage_setup, .fini = stage_teardown);

/* ---- lists that lack too much ------------------------------------------ */

/* As if so many seconds had gone by since the loss was met. */
static void let_pass(int seconds)
{
    mirror.held_ms -= seconds * 1000;
    mirror.ask_ms -= seconds * 1000;
}

Test(mirror_loss, sudden_loss_is_kept_until_a_second_list_says_the_same)
{
    mirror.confirm_loss_s = 10;
    stage_list_many(0, 12, 10);
    stage_list_many(0, 5, 3);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 12);
    cr_expect_eq(mirror.held, 7);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED, "its content is in doubt");
    cr_expect_not_null(strstr(stage_logged(), "lacks 7 of 12 instances"));
    cr_expect_not(mirror_wants_list(&mirror));
    let_pass(11);
    cr_expect(mirror_wants_list(&mirror));
    cr_expect_not(mirror_wants_list(&mirror), "once in a while");
    stage_list_many(0, 5, 4);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 5);
    cr_expect_eq(mirror.held, 0);
    cr_expect_eq(paper.state, TABLE_LIVE);
    cr_expect_not_null(strstr(stage_logged(), "still missing: believed"));
}

Test(mirror_loss, table_says_so_before_it_has_the_mixture)
{
    mirror.confirm_loss_s = 10;
    stage_list_many(0, 12, 10);
    cr_expect_eq(paper.state, TABLE_LIVE);
    stage_list_begin();
    stage_put("/service/user/m90", "10.0.0.9:80");
    stage_list_end(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 13);
    cr_expect_eq(paper.put_state, TABLE_DISCONNECTED);
    cr_expect_eq(paper.held, 12);
    stage_list_many(0, 12, 12);
    cr_expect_eq(paper.put_state, TABLE_DISCONNECTED, "live when it is written");
    cr_expect_eq(paper.state, TABLE_LIVE);
    cr_expect_eq(paper.held, 0);
}

Test(mirror_loss, sudden_loss_is_not_believed_by_a_second_list_that_comes_too_soon)
{
    mirror.confirm_loss_s = 10;
    stage_list_many(0, 12, 10);
    stage_list_many(0, 5, 3);
    stage_list_many(0, 5, 4);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 12);
}

Test(mirror_loss, what_comes_back_ends_the_doubt)
{
    mirror.confirm_loss_s = 10;
    stage_list_many(0, 12, 10);
    stage_list_many(0, 1, 3);
    stage_list_many(0, 11, 12);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 11);
    cr_expect_eq(mirror.held, 0);
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror_loss, changes_are_followed_while_a_loss_is_in_doubt)
{
    mirror.confirm_loss_s = 10;
    stage_list_many(0, 12, 10);
    stage_list_many(0, 1, 3);
    stage_put("/service/new/i1", "10.0.0.9:80");
    stage_del("/service/user/m11");
    stage_commit(4);
    cr_expect_eq(stage_shown_count("new.service.etcd"), 1);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 11);
}

Test(mirror_loss, few_instances_or_half_of_them_may_go_at_once)
{
    mirror.confirm_loss_s = 10;
    stage_list_many(0, 10, 10);
    stage_list_many(0, 0, 11);
    cr_expect_null(stage_shown("user.service.etcd"));
    stage_list_many(0, 20, 12);
    stage_list_many(0, 10, 13);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 10);
}

Test(mirror_loss, instances_that_were_deleted_one_by_one_are_no_loss)
{
    mirror.confirm_loss_s = 10;
    stage_list_many(0, 20, 10);
    for (int i = 1; i < 20; i++) {
        char key[40];

        snprintf(key, sizeof key, "/service/user/m%02d", i);
        stage_del(key);
    }
    stage_commit(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    stage_list_many(0, 1, 12);
    cr_expect_eq(mirror.held, 0);
}

Test(mirror_loss, each_list_is_believed_where_that_is_configured)
{
    mirror.confirm_loss_s = 0;
    stage_list_many(0, 20, 10);
    stage_list_many(0, 0, 11);
    cr_expect_null(stage_shown("user.service.etcd"));
}

/* ---- snapshots --------------------------------------------------------- */

static void restore(int from, int to)
{
    const struct model_value value = { .family = 4, .address = { 10, 0, 0, 7 }, .port = 80 };

    for (int i = from; i < to; i++) {
        char key[40];

        snprintf(key, sizeof key, "user/m%02d", i);
        cr_assert_eq(mirror_restore(&mirror, key, strlen(key), &value), 0);
    }
}

Test(mirror_loss, snapshot_is_shown_as_old_and_the_list_is_a_diff_to_it)
{
    restore(0, 3);
    mirror_restored(&mirror, 77, 9);
    board_show_old(&board, 30);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
    cr_expect_eq(paper.age_s, 30);
    cr_expect_eq(paper.revision, 9);
    paper.puts = 0;
    stage_list_many(0, 3, 10);
    cr_expect_eq(paper.puts, 0, "nothing changed");
    cr_expect_eq(paper.state, TABLE_LIVE);
    stage_list_many(1, 3, 11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 2);
}

Test(mirror_loss, snapshot_of_another_time_does_not_touch_an_adopted_table)
{
    paper.published = 1;
    snprintf(paper.services[0].name, sizeof paper.services[0].name, "now.service.etcd");
    paper.services[0].count = 1;
    restore(0, 3);
    mirror_restored(&mirror, 77, 9);
    stage_tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    mirror_tick(&mirror);
    mirror_rebalance(&mirror);
    mirror_flush(&mirror);
    cr_expect_eq(paper.puts, 0);
    cr_expect_eq(stage_shown_count("now.service.etcd"), 1);
    stage_list_many(0, 2, 10);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 2);
    cr_expect_null(stage_shown("now.service.etcd"));
}

/* What was gone before the watcher was killed must not come back with an older
 * snapshot, nor must go what came after that. */
Test(mirror_loss, P3_adopted_table_stays_as_it_is_while_the_first_list_is_in_doubt)
{
    mirror.confirm_loss_s = 10;
    paper.published = 1;
    paper.revision = 20;
    snprintf(paper.services[0].name, sizeof paper.services[0].name, "user.service.etcd");
    paper.services[0].count = 3;
    snprintf(paper.services[1].name, sizeof paper.services[1].name, "now.service.etcd");
    paper.services[1].count = 1;
    restore(0, 12);
    mirror_restored(&mirror, 77, 9);
    stage_list_many(0, 2, 1);
    cr_expect_eq(mirror.held, 10);
    stage_put("/service/new/i1", "10.0.0.9:80");
    stage_del("/service/user/m01");
    stage_commit(2);
    mirror_tick(&mirror);
    mirror_rebalance(&mirror);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3);
    cr_expect_eq(stage_shown_count("now.service.etcd"), 1);
    cr_expect_eq(paper.puts, 0);
    cr_expect_eq(paper.removes, 0);
    cr_expect_eq(paper.revision, 20, "it is still of that one");
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
    let_pass(11);
    stage_list_begin();
    stage_put("/service/new/i1", "10.0.0.9:80");
    stage_put_many(0, 1);
    stage_list_end(3);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    cr_expect_eq(stage_shown_count("new.service.etcd"), 1);
    cr_expect_null(stage_shown("now.service.etcd"));
    cr_expect_eq(paper.revision, 3);
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror_loss, P3_a_list_that_is_believed_goes_to_the_adopted_table_at_once)
{
    mirror.confirm_loss_s = 10;
    paper.published = 1;
    restore(0, 12);
    mirror_restored(&mirror, 77, 9);
    stage_list_many(0, 2, 1);
    stage_list_many(0, 9, 21);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 9);
    stage_put_many(9, 10);
    stage_commit(22);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 10);
}

Test(mirror_loss, snapshot_tells_that_the_first_list_lacks_too_much)
{
    mirror.confirm_loss_s = 10;
    restore(0, 12);
    mirror_restored(&mirror, 77, 9);
    board_show_old(&board, 30);
    stage_list_many(0, 0, 1);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 12);
    cr_expect_eq(mirror.held, 12);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
}
