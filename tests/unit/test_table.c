/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writer and reader together: what is put is what is found.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table_help.h"

#define ask(name) table_ask_path(&f, name)

static struct table_fixture f;

static void begin(void)
{
    table_begin(&f);
}

static void end(void)
{
    table_end(&f);
}

TestSuite(table, .init = begin, .fini = end);

Test(table, is_invisible_until_published)
{
    cr_expect_eq(table_put(&f, "user.service.etcd", "i1=10.0.0.1:80"), 1);
    cr_expect_str_eq(ask("user.service.etcd"), "no table");
    cr_expect_eq(table_writer_publish(f.writer), 0);
    cr_expect_str_eq(ask("user.service.etcd"), "10.0.0.1");
}

Test(table, answers_services_and_instances)
{
    table_put(&f, "user.service.etcd", "b=10.0.0.2:80 a=10.0.0.1:80 c=[2001:db8::1]:80");
    table_put(&f, "user.shop.service.etcd", "x=10.1.0.1");
    table_writer_publish(f.writer);
    cr_expect_str_eq(ask("user.service.etcd"), "10.0.0.1 10.0.0.2 2001:db8::1");
    cr_expect_str_eq(ask("USER.Service.ETCD"), "10.0.0.1 10.0.0.2 2001:db8::1");
    cr_expect_str_eq(ask("a.user.service.etcd"), "10.0.0.1");
    cr_expect_str_eq(ask("B.user.service.etcd"), "10.0.0.2");
    cr_expect_str_eq(ask("c.user.service.etcd"), "2001:db8::1");
    cr_expect_str_eq(ask("user.shop.service.etcd"), "10.1.0.1");
    cr_expect_str_eq(ask("x.user.shop.service.etcd"), "10.1.0.1");
    cr_expect_str_eq(ask("d.user.service.etcd"), "miss");
    cr_expect_str_eq(ask("shop.service.etcd"), "miss");
    cr_expect_str_eq(ask("use.service.etcd"), "miss");
    cr_expect_str_eq(ask("user2.service.etcd"), "miss");
}

/* Of `length`: as the table has it, and with one letter in upper case. */
static void ask_length(struct table_source *source, const char *domain, size_t length)
{
    struct table_view view;
    size_t own = length - strlen(domain) - 1;
    char *name = malloc(length + 1); /* no byte more: reading on would be seen */

    cr_assert_not_null(name);
    for (size_t i = 0; i < own; i++)
        name[i] = i % 60 == 59 ? '.' : (char)('a' + (i * 7 + length) % 26);
    sprintf(name + own, ".%s", domain);
    cr_assert_eq(table_put(&f, name, "a=10.0.0.1"), 1, "%s", name);
    cr_assert(table_source_view(source, &view)); /* it grows */
    cr_expect_str_eq(table_ask(&view, name), "10.0.0.1", "%s", name);
    for (size_t i = 0; i < length; i += 1 + length / 20) {
        char kept = name[i];

        if (kept == '.')
            continue;
        name[i] = (char)(kept - 'a' + 'A');
        cr_expect_str_eq(table_ask(&view, name), "10.0.0.1", "%s", name);
        name[i] = kept == 'z' ? 'y' : (char)(kept + 1);
        cr_expect_str_neq(table_ask(&view, name), "10.0.0.1", "%s", name);
        name[i] = kept;
    }
    free(name);
}

/* Short ones, long ones and those in upper case are looked up in different ways;
 * so are those of short domains. */
Test(table, finds_names_of_every_length_in_any_case)
{
    static const char *const domains[] = { "service.etcd", "etcd", "x", NULL };
    static struct table_source source;
    struct table_view view;

    table_writer_close(f.writer);
    unlink(f.path);
    table_reopen(&f, domains, 0);
    table_writer_publish(f.writer);
    source.path = f.path;
    for (int i = 0; domains[i] != NULL; i++)
        for (size_t length = strlen(domains[i]) + 2; length <= TABLE_MAX_NAME; length++)
            ask_length(&source, domains[i], length);
    cr_assert(table_source_view(&source, &view));
    cr_expect_str_eq(table_ask(&view, "www.example.com"), "foreign");
    cr_expect_str_eq(table_ask(&view, "www.example.xcd"), "foreign");
    cr_expect_str_eq(table_ask(&view, "y"), "foreign");
    cr_expect_str_eq(table_ask(&view, ""), "foreign");
    cr_expect_str_eq(table_ask(&view, "X"), "miss");
    cr_expect_str_eq(table_ask(&view, "a.q.Etcd"), "miss");
}

Test(table, tells_ours_from_foreign)
{
    static struct table_source source;
    struct table_view view;

    table_put(&f, "user.service.etcd", "a=10.0.0.1");
    table_writer_publish(f.writer);
    source.path = f.path;
    cr_assert(table_source_view(&source, &view));
    cr_expect_eq(table_domain_of(&view, "user.service.etcd", 17), 12);
    cr_expect_eq(table_domain_of(&view, "service.etcd", 12), 12);
    cr_expect_eq(table_domain_of(&view, "xservice.etcd", 13), 0);
    cr_expect_eq(table_domain_of(&view, "etcd", 4), 0);
    cr_expect_eq(table_domain_of(&view, "", 0), 0);
    cr_expect_eq(table_domain_of(&view, "www.example.com", 15), 0);
}

Test(table, a_service_has_a_name_before_an_instance)
{
    table_put(&f, "b.service.etcd", "a=10.0.0.1");
    table_put(&f, "a.b.service.etcd", "x=10.0.0.2");
    table_writer_publish(f.writer);
    cr_expect_str_eq(ask("a.b.service.etcd"), "10.0.0.2");
}

Test(table, two_instances_on_one_address_are_one_address)
{
    table_put(&f, "u.service.etcd", "a=10.0.0.1:80 b=10.0.0.1:81 c=10.0.0.2:80");
    table_writer_publish(f.writer);
    cr_expect_str_eq(ask("u.service.etcd"), "10.0.0.1 10.0.0.2");
    cr_expect_str_eq(ask("b.u.service.etcd"), "10.0.0.1");
}

Test(table, a_repeated_label_stays_with_the_first)
{
    table_put(&f, "u.service.etcd", "a=10.0.0.9 a=10.0.0.1");
    table_writer_publish(f.writer);
    cr_expect_str_eq(ask("a.u.service.etcd"), "10.0.0.9");
    cr_expect_str_eq(ask("u.service.etcd"), "10.0.0.1 10.0.0.9");
}

/* They follow each other in the record, so they begin anywhere in a word. */
Test(table, labels_of_every_length_are_found_and_copied)
{
    char name[64 + sizeof "u.service.etcd"], label[64], all[5000] = "";
    static struct table_source source;
    struct table_owner owner;
    struct table_view view;

    for (uint32_t length = 1; length <= TABLE_MAX_LABEL; length++) {
        for (uint32_t i = 0; i < length; i++)
            label[i] = (char)('a' + (length + i) % 26);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%.*s=10.0.0.%u ", (int)length, label,
                 length);
    }
    cr_assert_geq(table_put(&f, "u.service.etcd", all), 0);
    table_writer_publish(f.writer);
    source.path = f.path;
    cr_assert(table_source_view(&source, &view));
    for (uint32_t length = 1; length <= TABLE_MAX_LABEL; length++) {
        for (uint32_t i = 0; i < length; i++)
            name[i] = (char)('a' + (length + i) % 26);
        strcpy(name + length, ".u.service.etcd");
        cr_assert_eq(table_find_owner(&view, name, strlen(name), &owner), TABLE_FOUND, "%s", name);
        cr_assert_eq(owner.label_length, length);
        table_label_copy(&owner, label);
        cr_assert_arr_eq(label, name, length);
        cr_assert_eq(ntohl(table_record_v4(&owner.record, owner.first)), 0x0a000000 + length);
    }
}

Test(table, says_whether_a_put_changed_anything)
{
    cr_expect_eq(table_put(&f, "u.service.etcd", "a=10.0.0.1:80 b=10.0.0.2"), 1);
    cr_expect_eq(table_put(&f, "u.service.etcd", "b=10.0.0.2 a=10.0.0.1:80"), 0);
    cr_expect_eq(table_put(&f, "u.service.etcd", "b=10.0.0.2 a=10.0.0.1:81"), 1);
    cr_expect_eq(table_put(&f, "u.service.etcd", "b=10.0.0.2 a=10.0.0.1:81*5"), 1);
}

Test(table, refuses_what_breaks_the_rules)
{
    struct table_instance instance = { .label = "a", .label_length = 1, .family = 5 };
    struct table_service service = {
        .name = "u.service.etcd", .name_length = 14, .instances = &instance, .count = 1
    };

    cr_expect_lt(table_writer_put(f.writer, &service), 0);
    instance.family = 4;
    cr_expect_eq(table_writer_put(f.writer, &service), 1);
    service.name = "U.service.etcd";
    cr_expect_lt(table_writer_put(f.writer, &service), 0, "upper case");
    service.name = "u.service.etc.";
    cr_expect_lt(table_writer_put(f.writer, &service), 0, "trailing dot");
    service.name_length = 0;
    cr_expect_lt(table_writer_put(f.writer, &service), 0, "empty name");
    service.name = "u.service.etcd";
    service.name_length = 14;
    instance.label = "a.b";
    instance.label_length = 3;
    cr_expect_lt(table_writer_put(f.writer, &service), 0, "dot in a label");
    service.count = 0;
    cr_expect_lt(table_writer_put(f.writer, &service), 0, "no instance");
}

Test(table, update_and_removal_are_seen_by_a_mapped_reader)
{
    static struct table_source source;
    struct table_view view;

    table_put(&f, "u.service.etcd", "a=10.0.0.1");
    table_writer_publish(f.writer);
    source.path = f.path;
    cr_assert(table_source_view(&source, &view));
    cr_expect_str_eq(table_ask(&view, "u.service.etcd"), "10.0.0.1");
    table_put(&f, "u.service.etcd", "a=10.0.0.1 b=10.0.0.2");
    cr_expect_str_eq(table_ask(&view, "u.service.etcd"), "10.0.0.1 10.0.0.2");
    cr_expect_eq(table_writer_remove(f.writer, "u.service.etcd", 14), 1);
    cr_expect_str_eq(table_ask(&view, "u.service.etcd"), "miss");
    cr_expect_eq(table_writer_remove(f.writer, "u.service.etcd", 14), 0);
    table_put(&f, "u.service.etcd", "a=10.0.0.3");
    cr_expect_str_eq(table_ask(&view, "u.service.etcd"), "10.0.0.3");
    cr_expect(table_view_holds(&view));
}

Test(table, rule_2_growth_supersedes_the_file_and_readers_follow)
{
    static struct table_source source;
    struct table_writer_stats stats;
    struct table_view view, first;
    char name[40], address[40];

    table_put(&f, "u.service.etcd", "a=10.0.0.1");
    table_writer_publish(f.writer);
    source.path = f.path;
    cr_assert(table_source_view(&source, &first));
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "s%05d.service.etcd", i);
        snprintf(address, sizeof address, "a=10.1.%d.%d:80", i / 256, i % 256);
        cr_assert_eq(table_put(&f, name, address), 1);
    }
    table_writer_stats(f.writer, &stats);
    cr_expect_gt(stats.files_made, 3);
    cr_expect_eq(stats.services, 20001);
    cr_expect_not(table_view_holds(&first));
    cr_assert(table_source_view(&source, &view));
    cr_expect(table_view_holds(&view));
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "s%05d.service.etcd", i);
        snprintf(address, sizeof address, "10.1.%d.%d", i / 256, i % 256);
        cr_assert_str_eq(table_ask(&view, name), address);
    }
    cr_expect_str_eq(table_ask(&view, "s20000.service.etcd"), "miss");
}

Test(table, many_changes_of_the_same_services_need_no_more_room)
{
    struct table_writer_stats before, after;
    char instances[100];

    for (int round = 0; round < 2000; round++)
        for (int s = 0; s < 20; s++) {
            char name[40];

            snprintf(name, sizeof name, "s%d.service.etcd", s);
            snprintf(instances, sizeof instances, "a=10.0.0.1 b=10.0.%d.%d:80%s", round / 250,
                     round % 250, round % 3 ? "" : " c=[::1]:80 d=10.9.9.9");
            cr_assert_eq(table_put(&f, name, instances), 1);
            if (round == 100)
                table_writer_stats(f.writer, &before);
        }
    table_writer_stats(f.writer, &after);
    cr_expect_leq(after.file_bytes, 2 * before.file_bytes);
}

static int keep_even(const char *name, size_t length, void *arg)
{
    (void)length;
    ++*(int *)arg;
    return (name[1] - '0') % 2 == 0;
}

Test(table, sweep_takes_out_what_is_not_kept)
{
    int asked = 0;
    char name[40];

    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "s%d.service.etcd", i);
        table_put(&f, name, "a=10.0.0.1:80");
    }
    table_writer_publish(f.writer);
    cr_expect_eq(table_writer_sweep(f.writer, keep_even, &asked), 5);
    cr_expect_eq(asked, 10);
    cr_expect_str_eq(ask("s2.service.etcd"), "10.0.0.1");
    cr_expect_str_eq(ask("s3.service.etcd"), "miss");
}

Test(table, rule_6_a_restarted_writer_adopts_the_file)
{
    static struct table_source source;
    struct table_view view;
    uint64_t generation;

    table_put(&f, "u.service.etcd", "a=10.0.0.1:80");
    table_put(&f, "v.service.etcd", "a=10.0.0.1:80 b=10.0.0.2:81");
    table_writer_publish(f.writer);
    source.path = f.path;
    cr_assert(table_source_view(&source, &view));
    generation = view.generation;
    table_writer_close(f.writer);
    cr_expect_eq(table_load(view.words + TABLE_H_STATE) & 0xff, TABLE_STOPPED);
    cr_expect_str_eq(table_ask(&view, "u.service.etcd"), "10.0.0.1", "answers go on");

    table_reopen(&f, NULL, 0);
    cr_expect(table_writer_is_published(f.writer));
    cr_expect_eq(table_load(view.words + TABLE_H_STATE) & 0xff, TABLE_DISCONNECTED);
    cr_expect_eq(table_put(&f, "v.service.etcd", "a=10.0.0.1:80 b=10.0.0.2:81"), 0);
    cr_expect_eq(table_put(&f, "v.service.etcd", "b=10.0.0.3:81"), 1);
    cr_expect_str_eq(table_ask(&view, "v.service.etcd"), "10.0.0.3", "in the same mapping");
    cr_expect_eq(view.generation, generation);
    cr_expect(table_view_holds(&view));
}

Test(table, other_zones_make_a_new_file_and_the_old_one_serves_until_then)
{
    static const char *const domains[] = { "svc.example", "service.etcd", NULL };
    static struct table_source source;
    struct table_view view;

    table_put(&f, "u.service.etcd", "a=10.0.0.1");
    table_writer_publish(f.writer);
    table_writer_close(f.writer);
    table_reopen(&f, domains, 0);
    cr_expect_str_eq(ask("u.service.etcd"), "10.0.0.1");
    source.path = f.path;
    cr_assert(table_source_view(&source, &view));
    cr_expect_eq(table_domain_of(&view, "x.svc.example", 13), 0);
    table_put(&f, "x.svc.example", "a=10.0.0.7");
    table_writer_publish(f.writer);
    cr_expect_not(table_view_holds(&view));
    cr_assert(table_source_view(&source, &view));
    cr_expect_str_eq(table_ask(&view, "x.svc.example"), "10.0.0.7");
    cr_expect_str_eq(table_ask(&view, "u.service.etcd"), "miss");
}

Test(table, zones_change_at_run_time_in_a_new_file_of_the_same_services)
{
    static const char *const before[] = { "service.etcd" };
    static const char *const after[] = { "svc.example", "service.etcd" };
    static struct table_source source;
    struct table_view view;

    table_put(&f, "u.service.etcd", "a=10.0.0.1");
    table_put(&f, "x.svc.example", "a=10.0.0.7");
    table_writer_publish(f.writer);
    source.path = f.path;
    cr_assert(table_source_view(&source, &view));
    cr_expect_eq(table_writer_set_zones(f.writer, before, 1, 0), 0, "they are the same");
    cr_expect(table_view_holds(&view));
    cr_expect_str_eq(table_ask(&view, "x.svc.example"), "foreign");
    cr_expect_eq(table_writer_set_zones(f.writer, after, 2, 0), 1);
    cr_expect_not(table_view_holds(&view));
    cr_assert(table_source_view(&source, &view));
    cr_expect_str_eq(table_ask(&view, "x.svc.example"), "10.0.0.7");
    cr_expect_str_eq(table_ask(&view, "u.service.etcd"), "10.0.0.1");
    cr_expect_eq(table_writer_set_zones(f.writer, before, 1, 0), 1);
    cr_assert(table_source_view(&source, &view));
    cr_expect_str_eq(table_ask(&view, "x.svc.example"), "foreign");
}

Test(table, zones_that_are_none_change_nothing)
{
    static const char *const wrong[] = { "svc.example", "Service.etcd" };

    table_put(&f, "u.service.etcd", "a=10.0.0.1");
    table_writer_publish(f.writer);
    cr_expect_eq(table_writer_set_zones(f.writer, wrong, 2, 0), -EINVAL);
    cr_expect_eq(table_writer_set_zones(f.writer, wrong, 0, 0), -EINVAL);
    table_put(&f, "x.svc.example", "a=10.0.0.7");
    cr_assert_eq(unlink(f.path), 0);
    cr_assert_eq(table_writer_heartbeat(f.writer), 1, "a new file has the zones, too");
    cr_expect_str_eq(ask("u.service.etcd"), "10.0.0.1");
    cr_expect_str_eq(ask("x.svc.example"), "foreign");
}

Test(table, file_grows_up_to_its_limit_and_keeps_what_it_has)
{
    struct table_writer_stats stats;
    char name[40];
    int rc = 1, count = 0;

    table_writer_publish(f.writer);
    table_writer_set_limits(f.writer, 0, 200000);
    for (; rc == 1 && count < 20000; count++) {
        snprintf(name, sizeof name, "s%05d.service.etcd", count);
        rc = table_put(&f, name, "a=10.1.2.3:80");
    }
    cr_assert_eq(rc, -EFBIG);
    cr_expect_gt(count, 500);
    table_writer_stats(f.writer, &stats);
    cr_expect_leq(stats.file_bytes, 200000);
    cr_expect_str_eq(ask("s00000.service.etcd"), "10.1.2.3");
    cr_expect_str_eq(ask(name), "miss");
    table_writer_set_limits(f.writer, 0, 0);
    cr_expect_eq(table_put(&f, name, "a=10.1.2.3:80"), 1);
    cr_expect_str_eq(ask(name), "10.1.2.3");
}

Test(table, rule_7_a_second_writer_is_told_who_has_it)
{
    static const char *const domains[] = { "service.etcd" };
    struct table_writer_options options = { .path = f.path, .domains = domains, .domain_count = 1 };
    struct table_writer *second;
    char why[200] = "", pid[20];

    cr_expect_eq(table_writer_open(&second, &options, why, sizeof why), -EBUSY);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    cr_expect(strstr(why, pid) != NULL, "%s", why);
    cr_expect_null(second);
}

Test(table, a_file_that_was_taken_away_comes_back)
{
    table_put(&f, "u.service.etcd", "a=10.0.0.1");
    table_writer_publish(f.writer);
    cr_expect_eq(table_writer_heartbeat(f.writer), 0);
    unlink(f.path);
    cr_expect_str_eq(ask("u.service.etcd"), "no table");
    cr_expect_eq(table_writer_heartbeat(f.writer), 1);
    cr_expect_str_eq(ask("u.service.etcd"), "10.0.0.1");
}

Test(table, the_file_is_readable_by_all_and_writable_by_its_owner_only)
{
    struct stat status;

    umask(077);
    table_put(&f, "u.service.etcd", "a=10.0.0.1");
    table_writer_publish(f.writer);
    cr_assert_eq(stat(f.path, &status), 0);
    cr_expect_eq(status.st_mode & 07777, 0644);
    cr_expect_geq(status.st_blocks * 512, status.st_size, "fully allocated");
}

Test(table, weights_decide_how_often_an_address_is_picked)
{
    static struct table_source source;
    struct table_view view;
    struct table_name name;
    struct table_record record;
    uint32_t hits[3] = { 0 };

    table_put(&f, "u.service.etcd", "a=10.0.0.1*1 b=10.0.0.2*2 c=10.0.0.3*7");
    table_writer_publish(f.writer);
    source.path = f.path;
    cr_assert(table_source_view(&source, &view));
    table_name_set(&name, "u.service.etcd", 14);
    cr_assert_eq(table_find(&view, &name, &record), TABLE_FOUND);
    for (int i = 0; i < 10000; i++) {
        struct table_position position = table_source_position(&source);

        hits[table_record_pick(&record, 0, 3, position.value)]++;
        table_source_position_used(position);
    }
    cr_expect(hits[0] > 980 && hits[0] < 1020, "%u", hits[0]);
    cr_expect(hits[1] > 1980 && hits[1] < 2020, "%u", hits[1]);
    cr_expect(hits[2] > 6980 && hits[2] < 7020, "%u", hits[2]);
}
