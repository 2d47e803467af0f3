/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Registrations: what is written, for how long, and how it ends.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "enlist.h"

TestSuite(registration, .init = enlist_setup, .fini = enlist_teardown, .timeout = 90);

/* ---- the plain case ----------------------------------------------------- */

Test(registration, writes_the_key_under_a_lease)
{
    enlist(ADDRESS, 3);
    cr_assert(has(judge, KEY, ADDRESS));
    cr_assert_neq(lease_of(KEY), 0);
    UNTIL(told(&story, "R"), 2);
}

Test(registration, weight_makes_the_value_an_object)
{
    libsd_register_options options = { .size = sizeof options, .weight = 7 };

    cr_assert_eq(libsd_register(sd, "user", "i1", ADDRESS, 3, &options), 0);
    cr_assert(has(judge, KEY, "{\"addr\":\"10.0.0.5:9090\",\"weight\":7}"));
}

Test(registration, outlives_its_ttl)
{
    double begin = seconds();

    enlist(ADDRESS, 2);
    while (seconds() - begin < 7) {
        cr_assert(has(judge, KEY, ADDRESS), "after %g s", seconds() - begin);
        nap();
    }
    cr_assert(told(&story, "R"));
}

Test(registration, same_ttl_shares_a_lease)
{
    cr_assert_eq(libsd_register(sd, "user", "i1", ADDRESS, 10, NULL), 0);
    cr_assert_eq(libsd_register(sd, "user", "i2", OTHER, 10, NULL), 0);
    cr_assert_eq(libsd_register(sd, "user", "i3", OTHER, 20, NULL), 0);
    cr_assert_eq(lease_of("/service/user/i1"), lease_of("/service/user/i2"));
    cr_assert_neq(lease_of("/service/user/i1"), lease_of("/service/user/i3"));
}

Test(registration, without_a_name_gets_one_of_its_own)
{
    libsd_kvs *kvs;

    cr_assert_eq(libsd_register(sd, "user", NULL, ADDRESS, 3, NULL), 0);
    cr_assert_eq(libsd_register(sd, "user", NULL, ADDRESS, 3, NULL), 0);
    cr_assert_eq(libsd_list(judge, libsd_str("/service/user/"), 0, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 2);
    libsd_kvs_free(kvs);
    cr_assert_eq(libsd_deregister(sd, "user", NULL, 0), 0);
    cr_assert_eq(libsd_list(judge, libsd_str("/service/user/"), 0, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 0);
    libsd_kvs_free(kvs);
}

Test(registration, again_updates_in_place)
{
    libsd_register_options options = { .size = sizeof options, .weight = 7 };

    enlist(ADDRESS, 3);
    cr_assert_eq(libsd_register(sd, "user", "i1", OTHER, 3, &options), 0);
    cr_assert(has(judge, KEY, "{\"addr\":\"10.0.0.6:9090\",\"weight\":7}"));
    cr_assert_eq(libsd_register(sd, "user", "i1", ADDRESS, 10, NULL), 0);
    cr_assert(has(judge, KEY, ADDRESS));
    /* The old lease's end must not take the key with it. */
    double begin = seconds();

    while (seconds() - begin < 3) {
        cr_assert(has(judge, KEY, ADDRESS));
        nap();
    }
}

Test(registration, nonsense_is_refused)
{
    libsd_register_options options = { .size = sizeof options, .weight = 65536 };

    cr_assert_eq(libsd_register(sd, "", "i", ADDRESS, 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a//b", "i", ADDRESS, 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "/a", "i", ADDRESS, 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i/j", ADDRESS, 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "", ADDRESS, 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i", "10.0.0.5", 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i", "999.0.0.5:1", 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i", "http://10.0.0.5:1", 3, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i", ADDRESS, -1, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_register(sd, "a", "i", ADDRESS, 3, &options), LIBSD_EINVAL);
    cr_assert_eq(libsd_deregister(sd, "a", NULL, 0), LIBSD_ENOTFOUND);
}

/* ---- the end ------------------------------------------------------------ */

Test(registration, close_removes_the_key_at_once)
{
    double begin;

    enlist(ADDRESS, 10);
    begin = seconds();
    libsd_close(sd);
    cr_assert(seconds() - begin < 0.25, "%g", seconds() - begin);
    cr_assert(absent(judge, KEY));
    sd = etcd_open(&etcd, NULL);
}

Test(registration, deregister_removes_the_key_and_no_other)
{
    enlist(ADDRESS, 3);
    cr_assert_eq(libsd_register(sd, "user", "i2", OTHER, 3, NULL), 0);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), 0);
    cr_assert(absent(judge, KEY));
    cr_assert(has(judge, "/service/user/i2", OTHER));
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), LIBSD_ENOTFOUND);
    /* And nothing brings it back. */
    double begin = seconds();

    while (seconds() - begin < 2) {
        cr_assert(absent(judge, KEY));
        nap();
    }
}

Test(registration, deregister_that_timed_out_is_completed_later)
{
    enlist(ADDRESS, 10);
    etcd_freeze(&etcd);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 300), LIBSD_ETIMEDOUT);
    etcd_thaw(&etcd);
    UNTIL(absent(judge, KEY), 5);
}

Test(registration, deregister_leaves_what_is_not_ours)
{
    libsd_register_options force = { .size = sizeof force, .takeover = LIBSD_TAKEOVER_FORCE };

    enlist(ADDRESS, 10);
    cr_assert_eq(libsd_register(judge, "user", "i1", OTHER, 10, &force), 0);
    UNTIL(told(&story, "RLC"), 2);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), 0);
    cr_assert(has(judge, KEY, OTHER));
}

Test(registration, killed_process_is_gone_after_its_ttl)
{
    double begin;

    enlist_other(2);
    begin = seconds();
    UNTIL(seconds() - begin > 2.5, 3);
    cr_assert(has(judge, KEY, ADDRESS), "alive, it stays");
    kill_other();
    UNTIL(absent(judge, KEY), 3.5);
}

Test(registration, restarted_process_gets_its_name_back_at_once)
{
    double begin;

    enlist_other(10);
    kill_other();
    begin = seconds();
    enlist(ADDRESS, 10);
    cr_assert(seconds() - begin < 1);
    cr_assert(has(judge, KEY, ADDRESS));
}
