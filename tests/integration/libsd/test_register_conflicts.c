/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A live owner's key is never taken silently.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "enlist.h"

TestSuite(conflicts, .init = enlist_setup, .fini = enlist_teardown, .timeout = 90);

static int contend(libsd *handle, const char *address, int takeover, int timeout_ms)
{
    libsd_register_options options = { .size = sizeof options,
                                       .takeover = takeover,
                                       .timeout_ms = timeout_ms };

    return libsd_register(handle, "user", "i1", address, 10, &options);
}

Test(conflicts, live_owner_is_not_overwritten)
{
    char detail[300];
    double begin;

    enlist(ADDRESS, 3);
    begin = seconds();
    cr_assert_eq(contend(judge, OTHER, LIBSD_TAKEOVER_FAIL, 5000), LIBSD_ECONFLICT);
    cr_assert(seconds() - begin < 1);
    libsd_error_detail(judge, detail, sizeof detail);
    cr_assert(strstr(detail, ADDRESS) != NULL, "%s", detail);
    cr_assert_eq(contend(judge, OTHER, LIBSD_TAKEOVER_WAIT, 500), LIBSD_ECONFLICT);
    cr_assert(has(judge, KEY, ADDRESS));
    cr_assert_eq(libsd_deregister(judge, "user", "i1", 0), LIBSD_ENOTFOUND);
}

Test(conflicts, waiting_gets_the_key_when_its_owner_ends)
{
    double begin;

    enlist_other(2);
    kill_other();
    begin = seconds();
    cr_assert_eq(contend(judge, OTHER, LIBSD_TAKEOVER_WAIT, 8000), 0);
    cr_assert(seconds() - begin < 4.5);
    cr_assert(has(judge, KEY, OTHER));
}

Test(conflicts, force_overwrites_and_the_loser_waits)
{
    enlist(ADDRESS, 3);
    cr_assert_eq(contend(judge, OTHER, LIBSD_TAKEOVER_FORCE, 0), 0);
    cr_assert(has(judge, KEY, OTHER));
    UNTIL(told(&story, "RLC"), 2);
    cr_assert_eq(libsd_deregister(judge, "user", "i1", 0), 0);
    UNTIL(told(&story, "RLCR"), 2);
    cr_assert(has(judge, KEY, ADDRESS));
}

Test(conflicts, two_with_one_address_do_not_take_turns)
{
    int64_t lease;

    enlist(ADDRESS, 3);
    cr_assert_eq(contend(judge, ADDRESS, LIBSD_TAKEOVER_WAIT, 0), 0);
    UNTIL(told(&story, "RLC"), 2);
    lease = lease_of(KEY);
    double begin = seconds();

    while (seconds() - begin < 3) {
        cr_assert_eq(lease_of(KEY), lease);
        nap();
    }
}

Test(conflicts, value_without_lease_of_somebody_else_is_respected)
{
    put(judge, KEY, OTHER);
    cr_assert_eq(contend(sd, ADDRESS, LIBSD_TAKEOVER_WAIT, 300), LIBSD_ECONFLICT);
    cr_assert(has(judge, KEY, OTHER));
    put(judge, KEY, "{\"addr\":\"10.0.0.5:9090\",\"weight\":3}");
    cr_assert_eq(contend(sd, ADDRESS, LIBSD_TAKEOVER_WAIT, 300), 0, "our own address");
}
