/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Picking from a table: the policies are those of picks from etcd.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../libsd/libsd-discovery.h"
#include "table_help.h"

enum {
    TIMES = 6000
};

static struct table_fixture f;
static libsd *sd;
static int got[4]; /* by the last digit of the instance's name */

static void begin(void)
{
    libsd_options *options;

    table_begin(&f);
    cr_assert_geq(
        table_put(&f, "even.service.etcd", "i1=10.0.0.1:81 i2=10.0.0.2:82 i3=[2001:db8::3]:83"), 0);
    cr_assert_geq(
        table_put(&f, "uneven.service.etcd", "i1=10.0.0.1:81*1 i2=10.0.0.2:82*2 i3=10.0.0.3:83*3"),
        0);
    table_writer_publish(f.writer);
    setenv("ETCDSD_TABLE", f.path, 1);
    cr_assert_eq(libsd_options_new(&options), 0);
    cr_assert_eq(libsd_options_load(options, ""), 0);
    cr_assert_eq(libsd_options_set(options, "source", "table"), 0);
    cr_assert_eq(libsd_open(&sd, options), 0);
    libsd_options_free(options);
}

static void end(void)
{
    libsd_close(sd);
    table_end(&f);
}

TestSuite(picks_table, .init = begin, .fini = end);

static libsd_picked pick(const char *service, int policy, const char *key)
{
    libsd_pick_options options = { .size = sizeof options,
                                   .policy = policy,
                                   .key = libsd_str(key) };
    libsd_picked picked;

    cr_assert_eq(libsd_pick(sd, service, &options, &picked), 0);
    cr_assert_eq(picked.source, LIBSD_SOURCE_TABLE);
    cr_assert(picked.name[0] == 'i' && strlen(picked.name) == 2, "%s", picked.name);
    cr_assert_eq(picked.port, 80 + picked.name[1] - '0');
    return picked;
}

static void count(const char *service, int policy)
{
    memset(got, 0, sizeof got);
    for (int i = 0; i < TIMES; i++)
        got[pick(service, policy, "").name[1] - '0']++;
}

static bool is_about(int number, int expected)
{
    return abs(number - expected) <= TIMES / 20;
}

Test(picks_table, go_round)
{
    count("even", LIBSD_PICK_ROUND_ROBIN);
    for (int i = 1; i <= 3; i++)
        cr_expect(is_about(got[i], TIMES / 3), "%d: %d", i, got[i]);
    count("uneven", LIBSD_PICK_ROUND_ROBIN);
    for (int i = 1; i <= 3; i++)
        cr_expect(is_about(got[i], TIMES / 3), "%d: %d", i, got[i]);
}

Test(picks_table, keep_to_weights)
{
    static const int policies[] = { LIBSD_PICK_WEIGHTED, LIBSD_PICK_RANDOM };

    for (int p = 0; p < 2; p++) {
        count("even", policies[p]);
        for (int i = 1; i <= 3; i++)
            cr_expect(is_about(got[i], TIMES / 3), "%d: %d", i, got[i]);
        count("uneven", policies[p]);
        for (int i = 1; i <= 3; i++)
            cr_expect(is_about(got[i], TIMES / 6 * i), "%d: %d", i, got[i]);
    }
}

Test(picks_table, keep_to_a_key_until_it_rests)
{
    libsd_picked first = pick("even", LIBSD_PICK_STICKY, "user-1");
    char other[sizeof first.name];

    for (int i = 0; i < 20; i++)
        cr_assert_str_eq(pick("even", LIBSD_PICK_STICKY, "user-1").name, first.name);
    cr_assert_eq(libsd_report(sd, "even", &first, 0), 0);
    strcpy(other, pick("even", LIBSD_PICK_STICKY, "user-1").name);
    cr_assert_str_neq(other, first.name);
    for (int i = 0; i < 20; i++)
        cr_assert_str_eq(pick("even", LIBSD_PICK_STICKY, "user-1").name, other);
    cr_assert_eq(libsd_report(sd, "even", &first, 1), 0);
    cr_assert_str_eq(pick("even", LIBSD_PICK_STICKY, "user-1").name, first.name);
}

Test(picks_table, pass_over_one_that_rests)
{
    libsd_picked first = pick("even", LIBSD_PICK_ROUND_ROBIN, "");

    cr_assert_eq(libsd_report(sd, "even", &first, 0), 0);
    for (int i = 0; i < 20; i++)
        cr_assert_str_neq(pick("even", LIBSD_PICK_ROUND_ROBIN, "").name, first.name);
}

/* Nobody is worse than somebody who may have recovered. */
Test(picks_table, one_is_picked_when_all_rest)
{
    libsd_picked picked;

    for (int rested = 0; rested < 3; rested++) {
        picked = pick("even", LIBSD_PICK_ROUND_ROBIN, "");
        cr_expect_eq(libsd_report(sd, "even", &picked, 0), 0);
    }
    count("even", LIBSD_PICK_ROUND_ROBIN);
    cr_expect_eq(got[1] + got[2] + got[3], TIMES);
    count("uneven", LIBSD_PICK_WEIGHTED);
    cr_expect(is_about(got[3], TIMES / 2), "others' rest is theirs alone: %d", got[3]);
}

Test(picks_table, what_is_not_there_is_not_found)
{
    libsd_picked picked;

    cr_expect_eq(libsd_pick(sd, "none", NULL, &picked), LIBSD_ENOTFOUND);
    table_writer_close(f.writer); /* there is no other source */
    f.writer = NULL;
    cr_expect_eq(libsd_pick(sd, "none", NULL, &picked), LIBSD_ENOTFOUND);
    pick("even", LIBSD_PICK_ROUND_ROBIN, "");
    unlink(f.path);
    cr_expect_eq(libsd_pick(sd, "even", NULL, &picked), 0, "what is mapped stays");
}
