/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * From libsd's events to calls of the table writer, which is one of paper here.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../nss/watcher/board.h"
#include "../../nss/watcher/log.h"
#include "../../nss/watcher/mirror.h"
#include "paper_writer.h"

static struct zone zone = {
    .prefix = "/service/",
    .prefix_length = sizeof "/service/" - 1,
    .domain = "service.etcd",
    .domain_length = sizeof "service.etcd" - 1,
};
static struct model model;
static struct localnet net;
static struct settings says = { .weights = 1, .max_instances = TABLE_MAX_INSTANCES };
static struct board board = { .table = &paper };
static struct publish publish = {
    .model = &model, .table = &paper, .zone = &zone, .net = &net, .says = &says
};
static struct mirror mirror = { .zone = &zone, .model = &model, .publish = &publish };
static int log_ends[2];

static void setup(void)
{
    unsetenv("JOURNAL_STREAM");
    cr_assert_eq(pipe2(log_ends, O_NONBLOCK | O_CLOEXEC), 0);
    log_open(log_ends[1], LOG_LEVEL_INFO);
    cr_assert_eq(model_init(&model, 7), 0);
    board_add(&board, &publish);
}

static void teardown(void)
{
    publish_free(&publish);
    model_free(&model);
}

TestSuite(mirror, .init = setup, .fini = teardown);

static const char *logged(void)
{
    static char text[1 << 16];
    ssize_t size = read(log_ends[0], text, sizeof text - 1);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

static void tell(int type, int64_t revision, const libsd_kv *kv)
{
    const libsd_event event = { .type = type, .revision = revision, .kv = kv };

    mirror_event(&event, &mirror);
}

static void put(const char *key, const char *value)
{
    const libsd_kv kv = { .key = libsd_str(key), .value = libsd_str(value) };

    tell(LIBSD_EVENT_PUT, 0, &kv);
}

static void del(const char *key)
{
    const libsd_kv kv = { .key = libsd_str(key) };

    tell(LIBSD_EVENT_DELETE, 0, &kv);
}

static void commit(int64_t revision)
{
    tell(LIBSD_EVENT_COMMIT, revision, NULL);
    mirror_flush(&mirror);
}

static void list_begin(void)
{
    tell(LIBSD_EVENT_LIST_BEGIN, 0, NULL);
}

static void list_end(int64_t revision)
{
    tell(LIBSD_EVENT_LIST_END, revision, NULL);
    mirror_flush(&mirror);
}

static const struct paper_service *shown(const char *name)
{
    return paper_find(name, strlen(name));
}

static uint32_t shown_count(const char *name)
{
    return shown(name) == NULL ? 0 : shown(name)->count;
}

static void start_with_user(void)
{
    list_begin();
    put("/service/user/i1", "10.0.0.1:80");
    list_end(10);
}

Test(mirror, P1_new_table_is_published_when_the_first_list_is_complete)
{
    list_begin();
    put("/service/user/i1", "10.0.0.1:80");
    put("/service/zebra/i1", "10.0.0.2:80");
    mirror_flush(&mirror);
    mirror_tick(&mirror);
    cr_expect_eq(paper.published, 0);
    list_end(10);
    cr_expect_eq(paper.published, 1);
    cr_expect_eq(paper.revision, 10);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror, new_table_is_written_ahead_but_for_the_youngest_service)
{
    list_begin();
    put("/service/a/i1", "10.0.0.1:80");
    put("/service/b/i1", "10.0.0.2:80");
    mirror_flush(&mirror);
    cr_expect_eq(shown_count("a.service.etcd"), 1);
    cr_expect_null(shown("b.service.etcd"));
    put("/service/b/i2", "10.0.0.3:80");
    list_end(10);
    cr_expect_eq(shown_count("b.service.etcd"), 2);
    cr_expect_eq(paper.puts, 2);
}

Test(mirror, what_was_written_ahead_of_a_list_that_failed_does_not_stay)
{
    list_begin();
    put("/service/a/i1", "10.0.0.1:80");
    put("/service/b/i1", "10.0.0.2:80");
    mirror_flush(&mirror);
    list_begin();
    put("/service/b/i1", "10.0.0.2:80");
    list_end(10);
    cr_expect_null(shown("a.service.etcd"));
    cr_expect_eq(shown_count("b.service.etcd"), 1);
}

Test(mirror, P1_list_that_fails_half_way_publishes_nothing)
{
    list_begin();
    put("/service/user/i1", "10.0.0.1:80");
    put("/service/user/i2", "10.0.0.2:80");
    list_begin();
    mirror_tick(&mirror);
    cr_expect_eq(paper.published, 0);
    put("/service/user/i2", "10.0.0.2:80");
    list_end(11);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
}

Test(mirror, adopted_table_answers_as_it_was_until_the_list_is_complete)
{
    paper.published = 1;
    snprintf(paper.services[0].name, sizeof paper.services[0].name, "gone.service.etcd");
    paper.services[0].count = 3;
    tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED, "its content is not known to be etcd's");
    list_begin();
    put("/service/user/i1", "10.0.0.1:80");
    put("/service/user2/i1", "10.0.0.1:80");
    mirror_flush(&mirror);
    cr_expect_eq(shown_count("gone.service.etcd"), 3);
    cr_expect_eq(paper.puts, 0);
    list_end(5);
    cr_expect_null(shown("gone.service.etcd"));
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    cr_expect_eq(paper.published, 1);
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror, one_revision_is_written_at_once)
{
    start_with_user();
    put("/service/user/i2", "10.0.0.2:80");
    mirror_flush(&mirror);
    mirror_tick(&mirror);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    put("/service/order/i1", "10.0.0.3:80");
    commit(11);
    cr_expect_eq(shown_count("user.service.etcd"), 2);
    cr_expect_eq(shown_count("order.service.etcd"), 1);
    cr_expect_eq(paper.revision, 11);
}

Test(mirror, half_a_revision_is_not_written_with_the_one_before)
{
    start_with_user();
    put("/service/user/i2", "10.0.0.2:80");
    tell(LIBSD_EVENT_COMMIT, 11, NULL);
    put("/service/user/i3", "10.0.0.3:80");
    tell(LIBSD_EVENT_DISCONNECTED, 0, NULL);
    mirror_flush(&mirror);
    mirror_tick(&mirror);
    mirror_rebalance(&mirror);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    commit(12);
    cr_expect_eq(shown_count("user.service.etcd"), 3);
}

Test(mirror, small_commits_are_written_as_one)
{
    start_with_user();
    paper.puts = 0;
    for (int i = 0; i < 100; i++) {
        char key[40];

        snprintf(key, sizeof key, "/service/user/n%d", i % 9);
        put(key, i % 2 == 0 ? "10.0.0.8:80" : "10.0.0.9:80");
        tell(LIBSD_EVENT_COMMIT, 11 + i, NULL);
    }
    mirror_flush(&mirror);
    cr_expect_lt(paper.puts, 50);
    cr_expect_eq(paper.revision, 110);
    cr_expect_eq(shown_count("user.service.etcd"), 10);
}

Test(mirror, last_instance_gone_takes_the_service_out)
{
    start_with_user();
    del("/service/user/i1");
    commit(11);
    cr_expect_null(shown("user.service.etcd"));
    cr_expect_eq(model.service_count, 0);
}

Test(mirror, bad_value_drops_that_instance_and_says_which)
{
    start_with_user();
    put("/service/user/i2", "nonsense\x1b");
    put("/service/user/i3", "10.0.0.3:80");
    commit(11);
    cr_expect_eq(shown_count("user.service.etcd"), 2);
    cr_expect_eq(paper.dropped, 1);
    cr_expect_not_null(strstr(logged(), "key \"/service/user/i2\": not in the table: "));
}

Test(mirror, good_value_that_turns_bad_is_dropped_and_comes_back)
{
    start_with_user();
    put("/service/user/i1", "");
    commit(11);
    cr_expect_null(shown("user.service.etcd"));
    cr_expect_eq(paper.dropped, 1);
    put("/service/user/i1", "10.0.0.1:80");
    commit(12);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    cr_expect_eq(paper.dropped, 0);
}

Test(mirror, host_name_is_dropped)
{
    start_with_user();
    put("/service/user/i2", "db.example:80");
    commit(11);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    cr_expect_not_null(strstr(logged(), "the value holds a host name, not an address"));
}

Test(mirror, bad_value_is_not_told_again_by_the_next_list)
{
    start_with_user();
    put("/service/user/i2", "nonsense");
    commit(11);
    cr_expect_not_null(strstr(logged(), "/service/user/i2"));
    list_begin();
    put("/service/user/i1", "10.0.0.1:80");
    put("/service/user/i2", "nonsense");
    list_end(12);
    cr_expect_null(strstr(logged(), "/service/user/i2"));
}

Test(mirror, key_without_a_place_is_dropped_and_counted)
{
    start_with_user();
    put("/service/stray", "10.0.0.1:80");
    put("/service/user//x", "10.0.0.1:80");
    commit(11);
    cr_expect_eq(paper.dropped, 2);
    const char *text = logged();
    cr_expect_not_null(
        strstr(text, "key \"/service/stray\": not in the table: the key has no service"));
    cr_expect_not_null(strstr(text, "an empty segment"));
    del("/service/stray");
    commit(12);
    cr_expect_eq(paper.dropped, 1);
}

Test(mirror, label_that_is_taken_stays_with_the_first_in_key_order)
{
    start_with_user();
    put("/service/user/web-1", "10.0.0.3:80");
    put("/service/user/Web 1", "10.0.0.2:80");
    commit(11);
    const struct paper_service *user = shown("user.service.etcd");
    cr_assert_eq(user->count, 3);
    cr_expect_str_eq(user->labels[0], "web-1"); /* "Web 1" sorts before "i1" and "web-1" */
    cr_expect_eq(user->instances[0].address[3], 2);
    cr_expect_str_eq(user->labels[2], "");
    cr_expect_eq(publish.unnamed, 1);
    cr_expect_not_null(strstr(logged(), "\"user/web-1\": has no name of its own"));
    put("/service/user/i4", "10.0.0.4:80");
    commit(12);
    cr_expect_null(strstr(logged(), "has no name of its own"), "told once");
    del("/service/user/Web 1");
    commit(13);
    cr_expect_str_eq(shown("user.service.etcd")->labels[2], "web-1");
}

Test(mirror, second_list_takes_out_what_is_gone)
{
    start_with_user();
    list_begin();
    put("/service/order/i1", "10.0.0.3:80");
    cr_expect_eq(shown_count("user.service.etcd"), 1, "not before LIST_END");
    list_end(20);
    cr_expect_null(shown("user.service.etcd"));
    cr_expect_eq(shown_count("order.service.etcd"), 1);
}

Test(mirror, P2_lost_connection_changes_the_state_word_only)
{
    tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    start_with_user();
    tell(LIBSD_EVENT_DISCONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_LIVE, "events go on where they stopped");
}

Test(mirror, table_that_missed_events_is_live_after_the_list)
{
    start_with_user();
    tell(LIBSD_EVENT_DISCONNECTED, 0, NULL);
    list_begin();
    tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
    put("/service/user/i1", "10.0.0.1:80");
    list_end(30);
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror, audit_does_not_make_the_table_look_old)
{
    tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    start_with_user();
    list_begin();
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror, P2_service_that_finds_no_room_is_tried_again)
{
    start_with_user();
    strcpy(paper.failing, "order.service.etcd");
    paper.error = -ENOSPC;
    put("/service/order/i1", "10.0.0.3:80");
    put("/service/pay/i1", "10.0.0.4:80");
    commit(11);
    cr_expect_null(shown("order.service.etcd"));
    cr_expect_eq(shown_count("pay.service.etcd"), 1, "others are not held up");
    cr_expect_eq(paper.revision, 10, "the table is not true up to 11");
    cr_expect_not_null(strstr(logged(), "service order.service.etcd"));
    mirror_tick(&mirror);
    cr_expect_null(shown("order.service.etcd"));
    cr_expect_str_eq(logged(), "", "told once, not each second");
    paper.error = 0;
    mirror_tick(&mirror);
    cr_expect_not_null(strstr(logged(), "all services that had to wait are written"));
    cr_expect_eq(shown_count("order.service.etcd"), 1);
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
    cr_expect_eq(shown_count("user.service.etcd"), 1);
}

Test(mirror, P2_adopted_service_that_cannot_be_written_stays)
{
    paper.published = 1;
    snprintf(paper.services[0].name, sizeof paper.services[0].name, "user.service.etcd");
    paper.services[0].count = 3;
    strcpy(paper.failing, "*");
    paper.error = -ENOSPC;
    start_with_user();
    cr_expect_eq(shown_count("user.service.etcd"), 3);
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
        put(key, "10.0.0.1:80");
    }
    commit(11);
    cr_expect_lt(paper.puts, 20);
    paper.error = 0;
    mirror_tick(&mirror);
    for (int i = 0; i < 40; i++) {
        char name[40];

        snprintf(name, sizeof name, "s%d.service.etcd", i);
        cr_expect_eq(shown_count(name), 1, "%s", name);
    }
}

Test(mirror, refused_service_is_not_tried_again_as_it_is)
{
    start_with_user();
    strcpy(paper.failing, "user.service.etcd");
    paper.error = -EINVAL;
    put("/service/user/i2", "10.0.0.2:80");
    commit(11);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    cr_expect_eq(publish.refused, 1);
    paper.error = 0;
    mirror_tick(&mirror);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    put("/service/user/i3", "10.0.0.3:80");
    commit(12);
    cr_expect_eq(shown_count("user.service.etcd"), 3);
}

Test(mirror, service_with_too_many_instances_stays_as_it_was)
{
    start_with_user();
    for (int i = 0; i < TABLE_MAX_INSTANCES; i++) {
        char key[40];

        snprintf(key, sizeof key, "/service/user/n%d", i);
        put(key, "10.0.0.2:80");
    }
    commit(11);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    del("/service/user/n7");
    commit(12);
    cr_expect_eq(shown_count("user.service.etcd"), TABLE_MAX_INSTANCES);
}

Test(mirror, limits_follow_the_addresses_of_the_host)
{
    static const uint8_t own[16] = { 10, 0, 0, 200 }, own6[16] = { 0xfe, 0x80, [15] = 1 };

    start_with_user();
    put("/service/user/i2", "10.0.0.2:80");
    commit(11);
    cr_expect_eq(shown("user.service.etcd")->limit4, TABLE_DEFAULT_ANSWERS);
    localnet_add(&net, 4, own, 24);
    localnet_add(&net, 6, own6, 64);
    mirror_rebalance(&mirror);
    cr_expect_eq(shown("user.service.etcd")->limit4, 1);
    cr_expect_eq(shown("user.service.etcd")->limit_any, 1);
}

Test(mirror, max_answers_decides_alone)
{
    says.max_answers = 3;
    start_with_user();
    cr_expect_eq(shown("user.service.etcd")->limit4, 3);
    cr_expect_eq(shown("user.service.etcd")->limit6, 3);
    cr_expect_eq(shown("user.service.etcd")->limit_any, 3);
}

Test(mirror, weights_may_be_ignored)
{
    start_with_user();
    put("/service/user/i2", "{\"addr\":\"10.0.0.2:80\",\"weight\":7}");
    commit(11);
    cr_expect_eq(shown("user.service.etcd")->instances[1].weight, 7);
    says.weights = 0;
    mirror_rebalance(&mirror);
    cr_expect_eq(shown("user.service.etcd")->instances[1].weight, 0);
}

Test(mirror, service_may_say_otherwise_than_its_zone)
{
    static char name[] = "user.service.etcd";
    static struct config_section section = { .name = name };
    static const struct config services = { .services = &section, .service_count = 1 };

    section.says = (struct settings){ .max_answers = 2, .max_instances = 1, .weights = 1 };
    publish.services = &services;
    start_with_user();
    put("/service/user/i2", "10.0.0.2:80");
    put("/service/order/i1", "10.0.0.3:80");
    put("/service/order/i2", "10.0.0.4:80");
    commit(11);
    cr_expect_eq(shown("user.service.etcd")->limit4, 2);
    cr_expect_eq(shown_count("user.service.etcd"), 1, "max-instances: stays as it was");
    cr_expect_eq(shown_count("order.service.etcd"), 2);
    cr_expect_eq(publish.refused, 1);
}

Test(mirror, address_outside_of_the_networks_is_dropped_counted_and_told)
{
    static struct networks allow;
    char why[100];

    cr_assert_eq(networks_parse(&allow, "10.0.0.0/24", why, sizeof why), 0);
    zone.allow = &allow;
    start_with_user();
    put("/service/user/i2", "10.0.1.1:80");
    put("/service/user/i3", "[::ffff:10.0.0.9]:80");
    commit(11);
    cr_expect_eq(shown_count("user.service.etcd"), 2);
    cr_expect_eq(paper.dropped, 1);
    cr_expect_eq(mirror.outside, 1);
    cr_expect_not_null(strstr(logged(), "10.0.1.1 is in none of the networks"));
    put("/service/user/i2", "10.0.0.2:80");
    commit(12);
    cr_expect_eq(shown_count("user.service.etcd"), 3);
    cr_expect_eq(paper.dropped, 0);
    networks_free(&allow);
}

Test(mirror, value_that_is_too_large_leaves_the_instance_as_it_was)
{
    zone.max_value_bytes = 12;
    start_with_user();
    put("/service/user/i1", "http://10.9.9.9:80");
    put("/service/user/i2", "http://10.9.9.9:80");
    put("/service/user/i3", "10.11.0.1:80");
    commit(11);
    cr_expect_eq(shown_count("user.service.etcd"), 2);
    cr_expect_eq(shown("user.service.etcd")->instances[0].address[1], 0);
    cr_expect_eq(mirror.oversized, 2);
    const char *text = logged();
    cr_expect_not_null(strstr(text, "\"/service/user/i1\": its value has 18 bytes"));
    cr_expect_not_null(strstr(text, "\"/service/user/i2\": not in the table: the value is larger"));
    list_begin();
    put("/service/user/i1", "http://10.9.9.9:80");
    list_end(12);
    cr_expect_eq(shown_count("user.service.etcd"), 1, "a list does not take it out");
}

Test(mirror, full_table_is_told_with_the_key_that_limits_it)
{
    start_with_user();
    strcpy(paper.failing, "order.service.etcd");
    paper.error = -EFBIG;
    put("/service/order/i1", "10.0.0.3:80");
    commit(11);
    cr_expect_not_null(strstr(logged(), "as large as max-table-size allows"));
    paper.error = 0;
    mirror_tick(&mirror);
    cr_expect_eq(shown_count("order.service.etcd"), 1);
}

Test(mirror, key_outside_the_prefix_is_nothing)
{
    start_with_user();
    put("/elsewhere/user/i2", "10.0.0.2:80");
    put("/s", "10.0.0.2:80");
    commit(11);
    cr_expect_eq(model.instance_count, 1);
}

Test(mirror, watch_that_ended_ends_the_daemon_and_nothing_else)
{
    start_with_user();
    tell(LIBSD_EVENT_ENDED, 0, NULL);
    cr_expect(mirror.has_ended);
    list_begin();
    list_end(12);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
}

/* ---- lists that lack too much ------------------------------------------ */

static void put_many(int from, int to)
{
    for (int i = from; i < to; i++) {
        char key[40];

        snprintf(key, sizeof key, "/service/user/m%02d", i);
        put(key, "10.0.0.7:80");
    }
}

static void list_many(int from, int to, int64_t revision)
{
    list_begin();
    put_many(from, to);
    list_end(revision);
}

/* As if so many seconds had gone by since the loss was met. */
static void let_pass(int seconds)
{
    mirror.held_ms -= seconds * 1000;
    mirror.ask_ms -= seconds * 1000;
}

Test(mirror, sudden_loss_is_kept_until_a_second_list_says_the_same)
{
    mirror.confirm_loss_s = 10;
    list_many(0, 12, 10);
    list_many(0, 5, 3);
    cr_expect_eq(shown_count("user.service.etcd"), 12);
    cr_expect_eq(mirror.held, 7);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED, "its content is in doubt");
    cr_expect_not_null(strstr(logged(), "lacks 7 of 12 instances"));
    cr_expect_not(mirror_wants_list(&mirror));
    let_pass(11);
    cr_expect(mirror_wants_list(&mirror));
    cr_expect_not(mirror_wants_list(&mirror), "once in a while");
    list_many(0, 5, 4);
    cr_expect_eq(shown_count("user.service.etcd"), 5);
    cr_expect_eq(mirror.held, 0);
    cr_expect_eq(paper.state, TABLE_LIVE);
    cr_expect_not_null(strstr(logged(), "still missing: believed"));
}

Test(mirror, sudden_loss_is_not_believed_by_a_second_list_that_comes_too_soon)
{
    mirror.confirm_loss_s = 10;
    list_many(0, 12, 10);
    list_many(0, 5, 3);
    list_many(0, 5, 4);
    cr_expect_eq(shown_count("user.service.etcd"), 12);
}

Test(mirror, what_comes_back_ends_the_doubt)
{
    mirror.confirm_loss_s = 10;
    list_many(0, 12, 10);
    list_many(0, 1, 3);
    list_many(0, 11, 12);
    cr_expect_eq(shown_count("user.service.etcd"), 11);
    cr_expect_eq(mirror.held, 0);
    cr_expect_eq(paper.state, TABLE_LIVE);
}

Test(mirror, changes_are_followed_while_a_loss_is_in_doubt)
{
    mirror.confirm_loss_s = 10;
    list_many(0, 12, 10);
    list_many(0, 1, 3);
    put("/service/new/i1", "10.0.0.9:80");
    del("/service/user/m11");
    commit(4);
    cr_expect_eq(shown_count("new.service.etcd"), 1);
    cr_expect_eq(shown_count("user.service.etcd"), 11);
}

Test(mirror, few_instances_or_half_of_them_may_go_at_once)
{
    mirror.confirm_loss_s = 10;
    list_many(0, 10, 10);
    list_many(0, 0, 11);
    cr_expect_null(shown("user.service.etcd"));
    list_many(0, 20, 12);
    list_many(0, 10, 13);
    cr_expect_eq(shown_count("user.service.etcd"), 10);
}

Test(mirror, instances_that_were_deleted_one_by_one_are_no_loss)
{
    mirror.confirm_loss_s = 10;
    list_many(0, 20, 10);
    for (int i = 1; i < 20; i++) {
        char key[40];

        snprintf(key, sizeof key, "/service/user/m%02d", i);
        del(key);
    }
    commit(11);
    cr_expect_eq(shown_count("user.service.etcd"), 1);
    list_many(0, 1, 12);
    cr_expect_eq(mirror.held, 0);
}

Test(mirror, each_list_is_believed_where_that_is_configured)
{
    mirror.confirm_loss_s = 0;
    list_many(0, 20, 10);
    list_many(0, 0, 11);
    cr_expect_null(shown("user.service.etcd"));
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

Test(mirror, snapshot_is_shown_as_old_and_the_list_is_a_diff_to_it)
{
    restore(0, 3);
    mirror_restored(&mirror, 77, 9);
    board_show_old(&board, 30);
    cr_expect_eq(shown_count("user.service.etcd"), 3);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
    cr_expect_eq(paper.age_s, 30);
    cr_expect_eq(paper.revision, 9);
    paper.puts = 0;
    list_many(0, 3, 10);
    cr_expect_eq(paper.puts, 0, "nothing changed");
    cr_expect_eq(paper.state, TABLE_LIVE);
    list_many(1, 3, 11);
    cr_expect_eq(shown_count("user.service.etcd"), 2);
}

Test(mirror, snapshot_of_another_time_does_not_touch_an_adopted_table)
{
    paper.published = 1;
    snprintf(paper.services[0].name, sizeof paper.services[0].name, "now.service.etcd");
    paper.services[0].count = 1;
    restore(0, 3);
    mirror_restored(&mirror, 77, 9);
    tell(LIBSD_EVENT_CONNECTED, 0, NULL);
    mirror_tick(&mirror);
    mirror_rebalance(&mirror);
    mirror_flush(&mirror);
    cr_expect_eq(paper.puts, 0);
    cr_expect_eq(shown_count("now.service.etcd"), 1);
    list_many(0, 2, 10);
    cr_expect_eq(shown_count("user.service.etcd"), 2);
    cr_expect_null(shown("now.service.etcd"));
}

Test(mirror, snapshot_tells_that_the_first_list_lacks_too_much)
{
    mirror.confirm_loss_s = 10;
    restore(0, 12);
    mirror_restored(&mirror, 77, 9);
    board_show_old(&board, 30);
    list_many(0, 0, 1);
    cr_expect_eq(shown_count("user.service.etcd"), 12);
    cr_expect_eq(mirror.held, 12);
    cr_expect_eq(paper.state, TABLE_DISCONNECTED);
}
