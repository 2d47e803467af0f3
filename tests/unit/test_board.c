/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Several zones on one table, which is one of paper here.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../nss/watcher/board.h"
#include "../../nss/watcher/follower.h"
#include "../../nss/watcher/log.h"
#include "paper_writer.h"

static struct settings outer_says, inner_says;
static struct config config; /* nothing is said of any service */
static struct localnet net;
static struct board board = { .table = &paper };
static struct follower *outer, *inner;

static void settings_fill(struct settings *says, const char *prefix, const char *domain)
{
    char why[KEY_WHY_SIZE];

    for (size_t i = 0; i < key_count; i++)
        if ((keys[i].places & KEY_ZONE) && keys[i].fallback != NULL)
            cr_assert_eq(key_set(says, i, keys[i].fallback, why), 0);
    cr_assert_eq(key_set(says, (size_t)key_find("prefix"), prefix, why), 0);
    cr_assert_eq(key_set(says, (size_t)key_find("domain"), domain, why), 0);
}

static void setup(void)
{
    log_open(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR);
    settings_fill(&outer_says, "/service/", "service.etcd");
    settings_fill(&inner_says, "/inner/", "in.service.etcd");
    outer = follower_new(&outer_says, &board, &config, &net);
    cr_assert_not_null(outer);
}

static void teardown(void)
{
    if (inner != NULL)
        follower_free(inner);
    follower_free(outer);
    settings_free(&outer_says);
    settings_free(&inner_says);
}

TestSuite(board, .init = setup, .fini = teardown);

static void inner_comes(void)
{
    inner = follower_new(&inner_says, &board, &config, &net);
    cr_assert_not_null(inner);
}

static void tell(struct follower *follower, int type, int64_t revision, const libsd_kv *kv)
{
    const libsd_event event = { .type = type, .revision = revision, .kv = kv, .cluster_id = 5 };

    mirror_event(&event, &follower->mirror);
    mirror_flush(&follower->mirror);
}

static void put(struct follower *follower, const char *key, const char *value)
{
    const libsd_kv kv = { .key = libsd_str(key), .value = libsd_str(value) };

    tell(follower, LIBSD_EVENT_PUT, 0, &kv);
}

static void list(struct follower *follower, int64_t revision, const char *key)
{
    tell(follower, LIBSD_EVENT_LIST_BEGIN, 0, NULL);
    put(follower, key, "10.0.0.1:80");
    tell(follower, LIBSD_EVENT_LIST_END, revision, NULL);
}

static bool shows(const char *name)
{
    return paper_find(name, strlen(name)) != NULL;
}

Test(board, P1_new_table_waits_for_the_first_list_of_each_zone)
{
    inner_comes();
    list(outer, 10, "/service/user/i1");
    cr_expect_eq(paper.published, 0);
    list(inner, 12, "/inner/user/i1");
    cr_expect_eq(paper.published, 1);
    cr_expect_str_eq(paper.zones, "service.etcd in.service.etcd ");
    cr_expect(shows("user.service.etcd") && shows("user.in.service.etcd"));
}

Test(board, revision_is_that_up_to_which_all_zones_are_written)
{
    inner_comes();
    list(outer, 10, "/service/user/i1");
    list(inner, 12, "/inner/user/i1");
    cr_expect_eq(paper.revision, 10);
    put(outer, "/service/user/i2", "10.0.0.2:80");
    tell(outer, LIBSD_EVENT_COMMIT, 15, NULL);
    cr_expect_eq(paper.revision, 12);
}

Test(board, dropped_instances_of_all_zones_are_counted)
{
    inner_comes();
    list(outer, 10, "/service/user/i1");
    list(inner, 12, "/inner/user/i1");
    put(outer, "/service/user/i2", "");
    tell(outer, LIBSD_EVENT_COMMIT, 15, NULL);
    put(inner, "/inner/user/i2", "");
    tell(inner, LIBSD_EVENT_COMMIT, 16, NULL);
    cr_expect_eq(paper.dropped, 2);
}

Test(board, B1_table_is_live_if_all_zones_are)
{
    inner_comes();
    list(outer, 10, "/service/user/i1");
    list(inner, 12, "/inner/user/i1");
    cr_expect_eq(paper.state, TABLE_LIVE);
    tell(inner, LIBSD_EVENT_DISCONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
    tell(outer, LIBSD_EVENT_CONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
    tell(inner, LIBSD_EVENT_CONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_LIVE);
    tell(outer, LIBSD_EVENT_DISCONNECTED, 0, NULL);
    tell(inner, LIBSD_EVENT_CONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
}

Test(board, B1_zone_that_came_later_counts_when_it_is_named)
{
    list(outer, 10, "/service/user/i1");
    inner_comes();
    tell(inner, LIBSD_EVENT_DISCONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_LIVE);
    tell(outer, LIBSD_EVENT_CONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_LIVE);
    list(inner, 12, "/inner/user/i1");
    cr_expect_eq(paper.state, TABLE_LIVE);
    tell(inner, LIBSD_EVENT_DISCONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
}

Test(board, B2_name_is_of_the_zone_with_the_longest_domain)
{
    inner_comes();
    list(inner, 12, "/inner/user/i1");
    tell(outer, LIBSD_EVENT_LIST_BEGIN, 0, NULL);
    put(outer, "/service/in/user/i1", "10.9.9.9:80");
    put(outer, "/service/in/other/i1", "10.9.9.9:80");
    put(outer, "/service/plain/i1", "10.9.9.9:80");
    tell(outer, LIBSD_EVENT_LIST_END, 13, NULL);
    cr_expect_eq(paper_find("user.in.service.etcd", 20)->instances[0].address[1], 0);
    cr_expect_not(shows("other.in.service.etcd"));
    cr_expect(shows("plain.service.etcd"));
    cr_expect_eq(outer->publish.elsewhere, 2);
    cr_expect_eq(board_owner(&board, "x.service.etcd", 14), &outer->publish);
    cr_expect_eq(board_owner(&board, "x.in.service.etcd", 17), &inner->publish);
    cr_expect_null(board_owner(&board, "service.etcd", 12));
    cr_expect_null(board_owner(&board, "x.myservice.etcd", 16));
}

Test(board, B2_deleting_the_other_zones_key_leaves_the_name)
{
    const libsd_kv kv = { .key = libsd_str("/service/in/user/i1") };

    inner_comes();
    list(inner, 12, "/inner/user/i1");
    list(outer, 13, "/service/in/user/i1");
    tell(outer, LIBSD_EVENT_DELETE, 0, &kv);
    tell(outer, LIBSD_EVENT_COMMIT, 14, NULL);
    cr_expect(shows("user.in.service.etcd"));
}

Test(board, B3_zone_is_named_when_its_list_is_complete)
{
    list(outer, 10, "/service/user/i1");
    cr_expect_str_eq(paper.zones, "service.etcd ");
    inner_comes();
    board_settle(&board);
    list(outer, 11, "/service/user/i1");
    cr_expect_str_eq(paper.zones, "service.etcd ");
    list(inner, 12, "/inner/user/i1");
    cr_expect_str_eq(paper.zones, "service.etcd in.service.etcd ");
}

Test(board, B3_zone_is_not_named_while_a_service_of_it_waits)
{
    list(outer, 10, "/service/user/i1");
    inner_comes();
    strcpy(paper.failing, "user.in.service.etcd");
    paper.error = -ENOSPC;
    list(inner, 12, "/inner/user/i1");
    cr_expect_str_eq(paper.zones, "service.etcd ");
    paper.error = 0;
    mirror_tick(&outer->mirror);
    mirror_tick(&inner->mirror);
    cr_expect_str_eq(paper.zones, "service.etcd in.service.etcd ");
}

Test(board, B3_zones_that_could_not_be_set_are_tried_again)
{
    list(outer, 10, "/service/user/i1");
    inner_comes();
    strcpy(paper.failing, "zones");
    paper.error = -ENOSPC;
    list(inner, 12, "/inner/user/i1");
    cr_expect_str_eq(paper.zones, "service.etcd ");
    paper.error = 0;
    mirror_tick(&outer->mirror);
    cr_expect_str_eq(paper.zones, "service.etcd in.service.etcd ");
}

Test(board, B4_names_of_a_zone_that_went_go_with_it)
{
    inner_comes();
    list(outer, 10, "/service/user/i1");
    list(inner, 12, "/inner/user/i1");
    put(outer, "/service/in/user/i1", "10.9.9.9:80");
    tell(outer, LIBSD_EVENT_COMMIT, 13, NULL);
    follower_free(inner);
    inner = NULL;
    mirror_rebalance(&outer->mirror);
    board_settle(&board);
    cr_expect_str_eq(paper.zones, "service.etcd ");
    cr_expect_eq(paper_find("user.in.service.etcd", 20)->instances[0].address[1], 9,
                 "the name is the outer zone's now");
}

Test(board, B4_nothing_goes_while_the_header_still_names_its_zone)
{
    inner_comes();
    list(outer, 10, "/service/user/i1");
    list(inner, 12, "/inner/user/i1");
    follower_free(outer);
    outer = inner;
    inner = NULL;
    strcpy(paper.failing, "zones");
    paper.error = -ENOSPC;
    board_settle(&board);
    cr_expect(shows("user.service.etcd"));
    paper.error = 0;
    board_settle(&board);
    cr_expect_not(shows("user.service.etcd"));
    cr_expect(shows("user.in.service.etcd"));
}

/* ---- zones set aside --------------------------------------------------- */

static void deny(struct follower *follower)
{
    const libsd_event event = { .type = LIBSD_EVENT_DISCONNECTED, .error = LIBSD_EDENIED };

    mirror_event(&event, &follower->mirror);
}

enum {
    INNER = 2 /* its bit among the zones that are not ready */
};

Test(board, B5_a_denied_zone_is_not_waited_for)
{
    inner_comes();
    deny(inner);
    board_tick(&board);
    cr_expect_eq(paper.published, 0, "nothing is known yet");
    list(outer, 10, "/service/user/i1");
    cr_expect_eq(paper.published, 0);
    board_tick(&board);
    cr_expect_eq(paper.published, 1);
    cr_expect_str_eq(paper.zones, "service.etcd in.service.etcd ");
    cr_expect_eq(paper.unready, INNER);
    cr_expect_eq(paper.state, TABLE_LIVE);
    cr_expect_eq(paper.revision, 10);
    list(inner, 12, "/inner/user/i1");
    board_tick(&board);
    cr_expect_eq(paper.unready, 0);
    cr_expect(shows("user.in.service.etcd"));
}

Test(board, B5_a_zone_that_fails_beside_another_is_given_some_seconds)
{
    inner_comes();
    list(outer, 10, "/service/user/i1");
    tell(inner, LIBSD_EVENT_DISCONNECTED, 0, NULL);
    board_tick(&board);
    cr_expect_eq(paper.published, 0);
    inner->publish.lost_s -= 60;
    board_tick(&board);
    cr_expect_eq(paper.published, 1);
    cr_expect_eq(paper.unready, INNER);
}

Test(board, B5_if_no_zone_is_shown_none_is_set_aside)
{
    inner_comes();
    list(outer, 10, "/service/user/i1");
    list(inner, 12, "/inner/user/i1");
    tell(inner, LIBSD_EVENT_DISCONNECTED, 0, NULL);
    tell(outer, LIBSD_EVENT_DISCONNECTED, 0, NULL);
    inner->publish.lost_s -= 60;
    outer->publish.lost_s -= 60;
    board_tick(&board);
    cr_expect_not(inner->publish.is_apart || outer->publish.is_apart);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
}

Test(board, B5_what_is_known_answers_for_max_stale)
{
    inner_comes();
    board.max_stale_s = 60;
    list(outer, 10, "/service/user/i1");
    list(inner, 12, "/inner/user/i1");
    board_tick(&board);
    deny(inner);
    board_tick(&board);
    cr_expect(inner->publish.is_apart);
    cr_expect_eq(paper.state, TABLE_LIVE);
    cr_expect_eq(paper.unready, 0);
    list(outer, 14, "/service/user/i1");
    cr_expect(shows("user.in.service.etcd"), "nothing of it is swept");
    inner->publish.true_s -= 100;
    board_tick(&board);
    cr_expect_eq(paper.unready, INNER);
    board.max_stale_s = 0;
    board_tick(&board);
    cr_expect_eq(paper.unready, 0);
}

Test(board, B5_an_adopted_table_says_what_it_knows)
{
    inner_comes();
    paper.published = 1;
    paper.unready = INNER;
    board_begin(&board);
    cr_expect(outer->publish.is_known);
    cr_expect_not(inner->publish.is_known);
    strcpy(paper.services[0].name, "old.service.etcd");
    list(outer, 10, "/service/user/i1");
    cr_expect(shows("old.service.etcd"), "the other zone is waited for");
    deny(inner);
    board_tick(&board);
    cr_expect_not(shows("old.service.etcd"));
    cr_expect_eq(paper.unready, INNER);
}

Test(board, B5_a_snapshot_may_know_some_zones_only)
{
    const struct model_value value = { .family = 4, .address = { 10, 0, 0, 1 } };

    inner_comes();
    cr_assert_eq(mirror_restore(&outer->mirror, "user/i1", 7, &value), 0);
    mirror_restored(&outer->mirror, 5, 10);
    mirror_restored(&inner->mirror, 5, 10);
    board_show_old(&board, 30);
    cr_expect_eq(paper.published, 1);
    cr_expect_eq(paper.unready, INNER);
    cr_expect_eq(paper.age_s, 30);
}

Test(board, B5_a_snapshot_of_nothing_is_not_shown)
{
    inner_comes();
    board_show_old(&board, 30);
    cr_expect_eq(paper.published, 0);
}

Test(board, change_of_settings_says_what_has_to_be_done)
{
    struct settings other = { 0 };
    char why[KEY_WHY_SIZE];

    settings_fill(&other, "/service/", "service.etcd");
    cr_expect_eq(follower_change(outer, &other), FOLLOWER_SAME);
    key_set(&other, (size_t)key_find("max-answers"), "3", why);
    cr_expect_eq(follower_change(outer, &other), FOLLOWER_PUBLISH);
    cr_expect_eq(outer->says.max_answers, 3);
    key_set(&other, (size_t)key_find("allow"), "10.0.0.0/8", why);
    cr_expect_eq(follower_change(outer, &other), FOLLOWER_READ);
    key_set(&other, (size_t)key_find("format"), "json", why);
    cr_expect_eq(follower_change(outer, &other), FOLLOWER_READ);
    cr_expect_str_eq(outer->zone.format, "json");
    key_set(&other, (size_t)key_find("max-value-size"), "5", why);
    cr_expect_eq(follower_change(outer, &other), FOLLOWER_READ);
    cr_expect_eq(outer->zone.max_value_bytes, 5);
    cr_expect_eq(follower_change(outer, &other), FOLLOWER_SAME);
    settings_free(&other);
}
