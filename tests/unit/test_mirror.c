/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * From libsd's events to calls of the table writer, which is one of paper here.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mirror_stage.h"

TestSuite(mirror, .init = stage_setup, .fini = stage_teardown);

static void start_with_user(void)
{
    stage_list_begin();
    stage_put("/service/user/i1", "10.0.0.1:80");
    stage_list_end(10);
}

Test(mirror, P1_new_table_is_published_when_the_first_list_is_complete)
{
    stage_list_begin();
    stage_put("/service/user/i1", "10.0.0.1:80");
    stage_put("/service/zebra/i1", "10.0.0.2:80");
    mirror_flush(&mirror);
    mirror_tick(&mirror);
    cr_expect_eq(paper.published, 0);
    stage_list_end(10);
    cr_expect_eq(paper.published, 1);
    cr_expect_eq(paper.revision, 10);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror, new_table_is_written_ahead_but_for_the_youngest_service)
{
    stage_list_begin();
    stage_put("/service/a/i1", "10.0.0.1:80");
    stage_put("/service/b/i1", "10.0.0.2:80");
    mirror_flush(&mirror);
    cr_expect_eq(stage_shown_count("a.service.etcd"), 1);
    cr_expect_null(stage_shown("b.service.etcd"));
    stage_put("/service/b/i2", "10.0.0.3:80");
    stage_list_end(10);
    cr_expect_eq(stage_shown_count("b.service.etcd"), 2);
    cr_expect_eq(paper.puts, 2);
}

Test(mirror, what_was_written_ahead_of_a_list_that_failed_does_not_stay)
{
    stage_list_begin();
    stage_put("/service/a/i1", "10.0.0.1:80");
    stage_put("/service/b/i1", "10.0.0.2:80");
    mirror_flush(&mirror);
    stage_list_begin();
    stage_put("/service/b/i1", "10.0.0.2:80");
    stage_list_end(10);
    cr_expect_null(stage_shown("a.service.etcd"));
    cr_expect_eq(stage_shown_count("b.service.etcd"), 1);
}

Test(mirror, P1_list_that_fails_half_way_publishes_nothing)
{
    stage_list_begin();
    stage_put("/service/user/i1", "10.0.0.1:80");
    stage_put("/service/user/i2", "10.0.0.2:80");
    stage_list_begin();
    mirror_tick(&mirror);
    cr_expect_eq(paper.published, 0);
    stage_put("/service/user/i2", "10.0.0.2:80");
    stage_list_end(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
}

Test(mirror, adopted_table_answers_as_it_was_until_the_list_is_complete)
{
    paper.published = 1;
    snprintf(paper.services[0].name, sizeof paper.services[0].name, "gone.service.etcd");
    paper.services[0].count = 3;
    stage_tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED, "its content is not known to be etcd's");
    stage_list_begin();
    stage_put("/service/user/i1", "10.0.0.1:80");
    stage_put("/service/user2/i1", "10.0.0.1:80");
    mirror_flush(&mirror);
    cr_expect_eq(stage_shown_count("gone.service.etcd"), 3);
    cr_expect_eq(paper.puts, 0);
    stage_list_end(5);
    cr_expect_null(stage_shown("gone.service.etcd"));
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    cr_expect_eq(paper.published, 1);
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror, one_revision_is_written_at_once)
{
    start_with_user();
    stage_put("/service/user/i2", "10.0.0.2:80");
    mirror_flush(&mirror);
    mirror_tick(&mirror);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    stage_put("/service/order/i1", "10.0.0.3:80");
    stage_commit(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 2);
    cr_expect_eq(stage_shown_count("order.service.etcd"), 1);
    cr_expect_eq(paper.revision, 11);
}

Test(mirror, half_a_revision_is_not_written_with_the_one_before)
{
    start_with_user();
    stage_put("/service/user/i2", "10.0.0.2:80");
    stage_tell(LIBSD_EVENT_COMMIT, 11, NULL);
    stage_put("/service/user/i3", "10.0.0.3:80");
    stage_tell(LIBSD_EVENT_DISCONNECTED, 0, NULL);
    mirror_flush(&mirror);
    mirror_tick(&mirror);
    mirror_rebalance(&mirror);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    stage_commit(12);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3);
}

Test(mirror, small_commits_are_written_as_one)
{
    start_with_user();
    paper.puts = 0;
    for (int i = 0; i < 100; i++) {
        char key[40];

        snprintf(key, sizeof key, "/service/user/n%d", i % 9);
        stage_put(key, i % 2 == 0 ? "10.0.0.8:80" : "10.0.0.9:80");
        stage_tell(LIBSD_EVENT_COMMIT, 11 + i, NULL);
    }
    mirror_flush(&mirror);
    cr_expect_lt(paper.puts, 50);
    cr_expect_eq(paper.revision, 110);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 10);
}

Test(mirror, last_instance_gone_takes_the_service_out)
{
    start_with_user();
    stage_del("/service/user/i1");
    stage_commit(11);
    cr_expect_null(stage_shown("user.service.etcd"));
    cr_expect_eq(model.service_count, 0);
}

Test(mirror, bad_value_drops_that_instance_and_says_which)
{
    start_with_user();
    stage_put("/service/user/i2", "nonsense\x1b");
    stage_put("/service/user/i3", "10.0.0.3:80");
    stage_commit(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 2);
    cr_expect_eq(paper.dropped, 1);
    cr_expect_not_null(strstr(stage_logged(), "key \"/service/user/i2\": not in the table: "));
}

Test(mirror, good_value_that_turns_bad_is_dropped_and_comes_back)
{
    start_with_user();
    stage_put("/service/user/i1", "");
    stage_commit(11);
    cr_expect_null(stage_shown("user.service.etcd"));
    cr_expect_eq(paper.dropped, 1);
    stage_put("/service/user/i1", "10.0.0.1:80");
    stage_commit(12);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    cr_expect_eq(paper.dropped, 0);
}

Test(mirror, host_name_is_dropped)
{
    start_with_user();
    stage_put("/service/user/i2", "db.example:80");
    stage_commit(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    cr_expect_not_null(strstr(stage_logged(), "the value holds a host name, not an address"));
}

Test(mirror, bad_value_is_not_told_again_by_the_next_list)
{
    start_with_user();
    stage_put("/service/user/i2", "nonsense");
    stage_commit(11);
    cr_expect_not_null(strstr(stage_logged(), "/service/user/i2"));
    stage_list_begin();
    stage_put("/service/user/i1", "10.0.0.1:80");
    stage_put("/service/user/i2", "nonsense");
    stage_list_end(12);
    cr_expect_null(strstr(stage_logged(), "/service/user/i2"));
}

Test(mirror, key_without_a_place_is_dropped_and_counted)
{
    start_with_user();
    stage_put("/service/stray", "10.0.0.1:80");
    stage_put("/service/user//x", "10.0.0.1:80");
    stage_commit(11);
    cr_expect_eq(paper.dropped, 2);
    const char *text = stage_logged();
    cr_expect_not_null(
        strstr(text, "key \"/service/stray\": not in the table: the key has no service"));
    cr_expect_not_null(strstr(text, "an empty segment"));
    stage_del("/service/stray");
    stage_commit(12);
    cr_expect_eq(paper.dropped, 1);
}

Test(mirror, label_that_is_taken_stays_with_the_first_in_key_order)
{
    start_with_user();
    stage_put("/service/user/web-1", "10.0.0.3:80");
    stage_put("/service/user/Web 1", "10.0.0.2:80");
    stage_commit(11);
    const struct paper_service *user = stage_shown("user.service.etcd");
    cr_assert_eq(user->count, 3);
    cr_expect_str_eq(user->labels[0], "web-1"); /* "Web 1" sorts before "i1" and "web-1" */
    cr_expect_eq(user->instances[0].address[3], 2);
    cr_expect_str_eq(user->labels[2], "");
    cr_expect_eq(publish.unnamed, 1);
    cr_expect_not_null(strstr(stage_logged(), "\"user/web-1\": has no name of its own"));
    stage_put("/service/user/i4", "10.0.0.4:80");
    stage_commit(12);
    cr_expect_null(strstr(stage_logged(), "has no name of its own"), "told once");
    stage_del("/service/user/Web 1");
    stage_commit(13);
    cr_expect_str_eq(stage_shown("user.service.etcd")->labels[2], "web-1");
}

Test(mirror, second_list_takes_out_what_is_gone)
{
    start_with_user();
    stage_list_begin();
    stage_put("/service/order/i1", "10.0.0.3:80");
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1, "not before LIST_END");
    stage_list_end(20);
    cr_expect_null(stage_shown("user.service.etcd"));
    cr_expect_eq(stage_shown_count("order.service.etcd"), 1);
}

Test(mirror, P2_lost_connection_changes_the_state_word_only)
{
    stage_tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    start_with_user();
    stage_tell(LIBSD_EVENT_DISCONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    stage_tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_LIVE, "events go on where they stopped");
}

Test(mirror, table_that_missed_events_is_live_after_the_list)
{
    start_with_user();
    stage_tell(LIBSD_EVENT_DISCONNECTED, 0, NULL);
    stage_list_begin();
    stage_tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
    stage_put("/service/user/i1", "10.0.0.1:80");
    stage_list_end(30);
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror, list_in_spite_of_a_connection_does_not_make_the_table_look_old)
{
    stage_tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    start_with_user();
    stage_list_begin();
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror, P2_service_that_finds_no_room_is_tried_again)
{
    start_with_user();
    strcpy(paper.failing, "order.service.etcd");
    paper.error = -ENOSPC;
    stage_put("/service/order/i1", "10.0.0.3:80");
    stage_put("/service/pay/i1", "10.0.0.4:80");
    stage_commit(11);
    cr_expect_null(stage_shown("order.service.etcd"));
    cr_expect_eq(stage_shown_count("pay.service.etcd"), 1, "others are not held up");
    cr_expect_eq(paper.revision, 10, "the table is not true up to 11");
    cr_expect_not_null(strstr(stage_logged(), "service order.service.etcd"));
    mirror_tick(&mirror);
    cr_expect_null(stage_shown("order.service.etcd"));
    cr_expect_str_eq(stage_logged(), "", "told once, not each second");
    paper.error = 0;
    mirror_tick(&mirror);
    cr_expect_not_null(strstr(stage_logged(), "all services that had to wait are written"));
    cr_expect_eq(stage_shown_count("order.service.etcd"), 1);
    cr_expect_eq(paper.revision, 11);
}

Test(mirror, P1_new_table_waits_for_what_found_no_room)
{
    strcpy(paper.failing, "*");
    paper.error = -ENOSPC;
    start_with_user();
    cr_expect_eq(paper.published, 0);
    paper.error = 0;
    mirror_tick(&mirror);
    cr_expect_eq(paper.published, 1);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
}

Test(mirror, P2_adopted_service_that_cannot_be_written_stays)
{
    paper.published = 1;
    snprintf(paper.services[0].name, sizeof paper.services[0].name, "user.service.etcd");
    paper.services[0].count = 3;
    strcpy(paper.failing, "*");
    paper.error = -ENOSPC;
    start_with_user();
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3);
}

Test(mirror, full_table_is_not_tried_for_each_service)
{
    start_with_user();
    strcpy(paper.failing, "*");
    paper.error = -ENOSPC;
    paper.puts = 0;
    for (int i = 0; i < 40; i++) {
        char key[40];

        snprintf(key, sizeof key, "/service/s%d/i", i);
        stage_put(key, "10.0.0.1:80");
    }
    stage_commit(11);
    cr_expect_lt(paper.puts, 20);
    paper.error = 0;
    mirror_tick(&mirror);
    for (int i = 0; i < 40; i++) {
        char name[40];

        snprintf(name, sizeof name, "s%d.service.etcd", i);
        cr_expect_eq(stage_shown_count(name), 1, "%s", name);
    }
}

Test(mirror, refused_service_is_not_tried_again_as_it_is)
{
    start_with_user();
    strcpy(paper.failing, "user.service.etcd");
    paper.error = -EINVAL;
    stage_put("/service/user/i2", "10.0.0.2:80");
    stage_commit(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    cr_expect_eq(publish.refused, 1);
    paper.error = 0;
    mirror_tick(&mirror);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    stage_put("/service/user/i3", "10.0.0.3:80");
    stage_commit(12);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3);
}

Test(mirror, service_with_too_many_instances_stays_as_it_was)
{
    start_with_user();
    for (int i = 0; i < TABLE_MAX_INSTANCES; i++) {
        char key[40];

        snprintf(key, sizeof key, "/service/user/n%d", i);
        stage_put(key, "10.0.0.2:80");
    }
    stage_commit(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
    stage_del("/service/user/n7");
    stage_commit(12);
    cr_expect_eq(stage_shown_count("user.service.etcd"), TABLE_MAX_INSTANCES);
}

Test(mirror, limits_follow_the_addresses_of_the_host)
{
    static const uint8_t own[16] = { 10, 0, 0, 200 }, own6[16] = { 0xfe, 0x80, [15] = 1 };

    start_with_user();
    stage_put("/service/user/i2", "10.0.0.2:80");
    stage_commit(11);
    cr_expect_eq(stage_shown("user.service.etcd")->limit4, TABLE_DEFAULT_ANSWERS);
    localnet_add(&net, 4, own, 24);
    localnet_add(&net, 6, own6, 64);
    mirror_rebalance(&mirror);
    cr_expect_eq(stage_shown("user.service.etcd")->limit4, 1);
    cr_expect_eq(stage_shown("user.service.etcd")->limit_any, 1);
}

Test(mirror, max_answers_decides_alone)
{
    says.max_answers = 3;
    start_with_user();
    cr_expect_eq(stage_shown("user.service.etcd")->limit4, 3);
    cr_expect_eq(stage_shown("user.service.etcd")->limit6, 3);
    cr_expect_eq(stage_shown("user.service.etcd")->limit_any, 3);
}

Test(mirror, weights_may_be_ignored)
{
    start_with_user();
    stage_put("/service/user/i2", "{\"addr\":\"10.0.0.2:80\",\"weight\":7}");
    stage_commit(11);
    cr_expect_eq(stage_shown("user.service.etcd")->instances[1].weight, 7);
    says.weights = 0;
    mirror_rebalance(&mirror);
    cr_expect_eq(stage_shown("user.service.etcd")->instances[1].weight, 0);
}

Test(mirror, service_may_say_otherwise_than_its_zone)
{
    static char name[] = "user.service.etcd";
    static struct config_section section = { .name = name };
    static const struct config services = { .services = &section, .service_count = 1 };

    section.says = (struct settings){ .max_answers = 2, .max_instances = 1, .weights = 1 };
    publish.services = &services;
    start_with_user();
    stage_put("/service/user/i2", "10.0.0.2:80");
    stage_put("/service/order/i1", "10.0.0.3:80");
    stage_put("/service/order/i2", "10.0.0.4:80");
    stage_commit(11);
    cr_expect_eq(stage_shown("user.service.etcd")->limit4, 2);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1, "max-instances: stays as it was");
    cr_expect_eq(stage_shown_count("order.service.etcd"), 2);
    cr_expect_eq(publish.refused, 1);
}

Test(mirror, address_outside_of_the_networks_is_dropped_counted_and_told)
{
    static struct networks allow;
    char why[100];

    cr_assert_eq(networks_parse(&allow, "10.0.0.0/24", why, sizeof why), 0);
    zone.allow = &allow;
    start_with_user();
    stage_put("/service/user/i2", "10.0.1.1:80");
    stage_put("/service/user/i3", "[::ffff:10.0.0.9]:80");
    stage_commit(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 2);
    cr_expect_eq(paper.dropped, 1);
    cr_expect_eq(mirror.outside, 1);
    cr_expect_not_null(strstr(stage_logged(), "10.0.1.1 is in none of the networks"));
    stage_put("/service/user/i2", "10.0.0.2:80");
    stage_commit(12);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 3);
    cr_expect_eq(paper.dropped, 0);
    networks_free(&allow);
}

Test(mirror, value_that_is_too_large_leaves_the_instance_as_it_was)
{
    zone.max_value_bytes = 12;
    start_with_user();
    stage_put("/service/user/i1", "http://10.9.9.9:80");
    stage_put("/service/user/i2", "http://10.9.9.9:80");
    stage_put("/service/user/i3", "10.11.0.1:80");
    stage_commit(11);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 2);
    cr_expect_eq(stage_shown("user.service.etcd")->instances[0].address[1], 0);
    cr_expect_eq(mirror.oversized, 2);
    const char *text = stage_logged();
    cr_expect_not_null(strstr(text, "\"/service/user/i1\": its value has 18 bytes"));
    cr_expect_not_null(strstr(text, "\"/service/user/i2\": not in the table: the value is larger"));
    stage_list_begin();
    stage_put("/service/user/i1", "http://10.9.9.9:80");
    stage_list_end(12);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1, "a list does not take it out");
}

Test(mirror, full_table_is_told_with_the_key_that_limits_it)
{
    start_with_user();
    strcpy(paper.failing, "order.service.etcd");
    paper.error = -EFBIG;
    stage_put("/service/order/i1", "10.0.0.3:80");
    stage_commit(11);
    cr_expect_not_null(strstr(stage_logged(), "as large as max-table-size allows"));
    paper.error = 0;
    mirror_tick(&mirror);
    cr_expect_eq(stage_shown_count("order.service.etcd"), 1);
}

Test(mirror, key_outside_the_prefix_is_nothing)
{
    start_with_user();
    stage_put("/elsewhere/user/i2", "10.0.0.2:80");
    stage_put("/s", "10.0.0.2:80");
    stage_commit(11);
    cr_expect_eq(model.instance_count, 1);
}

Test(mirror, watch_that_ended_ends_the_daemon_and_nothing_else)
{
    start_with_user();
    stage_tell(LIBSD_EVENT_ENDED, 0, NULL);
    cr_expect(mirror.has_ended);
    stage_list_begin();
    stage_list_end(12);
    cr_expect_eq(stage_shown_count("user.service.etcd"), 1);
}
