/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Registrations that get lost, whatever the cause, come back.
 */
#include <criterion/criterion.h>

#include "enlist.h"

TestSuite(losses, .init = enlist_setup, .fini = enlist_teardown, .timeout = 90);

static void lose_and_regain(void (*lose)(void))
{
    enlist(ADDRESS, 10);
    UNTIL(told(&story, "R"), 2);
    lose();
    UNTIL(told(&story, "RLR"), 2);
    cr_assert(has(judge, KEY, ADDRESS));
    cr_assert_neq(lease_of(KEY), 0);
}

static void revoke_lease(void)
{
    cr_assert_eq(libsd_lease_revoke(judge, lease_of(KEY), 0), 0);
}

static void delete_key(void)
{
    cr_assert_eq(libsd_delete(judge, libsd_str(KEY), 0), 1);
}

static void overwrite(void)
{
    put(judge, KEY, OTHER);
}

static void detach(void)
{
    put(judge, KEY, ADDRESS);
}

Test(losses, revoked_lease_is_mended_in_two_seconds)
{
    lose_and_regain(revoke_lease);
}

Test(losses, deleted_key_is_mended_in_two_seconds)
{
    lose_and_regain(delete_key);
}

Test(losses, key_overwritten_without_a_lease_is_mended_in_two_seconds)
{
    lose_and_regain(overwrite);
}

Test(losses, key_detached_from_its_lease_is_mended_in_two_seconds)
{
    lose_and_regain(detach);
}

Test(losses, hundred_losses_in_a_row_are_mended_without_a_storm)
{
    double begin = seconds();
    int deleted = 0;

    enlist(ADDRESS, 10);
    while (seconds() - begin < 5) {
        deleted += libsd_delete(judge, libsd_str(KEY), 0) == 1;
        nap();
    }
    cr_assert(deleted >= 3 && deleted < 30, "%d", deleted);
    UNTIL(has(judge, KEY, ADDRESS), 2.5);
}

Test(losses, survives_kill_and_restart_of_etcd)
{
    enlist(ADDRESS, 3);
    for (int i = 0; i < 2; i++) {
        etcd_kill(&etcd);
        etcd_restart(&etcd);
        double begin = seconds();

        /* etcd gives the lease its whole TTL anew; beats must be back by then. */
        while (seconds() - begin < 5) {
            cr_assert(has(judge, KEY, ADDRESS), "after %g s", seconds() - begin);
            nap();
        }
    }
}

Test(losses, comes_back_after_an_outage_longer_than_its_ttl)
{
    double begin;

    enlist(ADDRESS, 2);
    etcd_kill(&etcd);
    begin = seconds();
    UNTIL(told(&story, "RL"), 4);
    cr_assert_eq(story.error, LIBSD_ETIMEDOUT);
    UNTIL(seconds() - begin > 4, 5);
    etcd_restart(&etcd);
    UNTIL(told(&story, "RLR"), 5);
    cr_assert(has(judge, KEY, ADDRESS));
}

Test(losses, comes_back_after_the_store_was_wiped)
{
    enlist(ADDRESS, 10);
    etcd_kill(&etcd);
    etcd_wipe(&etcd);
    etcd_restart(&etcd);
    UNTIL(has(judge, KEY, ADDRESS), 8);
}

Test(losses, is_completed_when_etcd_comes_up_later)
{
    libsd_register_options options = { .size = sizeof options, .timeout_ms = 300 };

    etcd_kill(&etcd);
    cr_assert_eq(libsd_register(sd, "user", "i1", ADDRESS, 3, &options), LIBSD_EUNAVAILABLE);
    etcd_restart(&etcd);
    UNTIL(has(judge, KEY, ADDRESS), 5);
}

Test(losses, frozen_etcd_does_not_lose_it_for_ever)
{
    enlist(ADDRESS, 2);
    etcd_freeze(&etcd);
    UNTIL(told(&story, "RL"), 4);
    etcd_thaw(&etcd);
    UNTIL(told(&story, "RLR"), 6);
    cr_assert(has(judge, KEY, ADDRESS));
}
