/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a registration makes of events of its own key, in the orders that a real
 * etcd shows now and then only.
 */
#include <criterion/criterion.h>

#include "group.h"
#include "internal.h"

#define LEASE 77

static struct libsd sd;
static struct group group;
static struct registration registration;

/* Registered with revision 5, under LEASE. */
static void setup(void)
{
    group = (struct group){ .sd = &sd, .lease = LEASE, .held = true };
    TAILQ_INIT(&group.registrations);
    TAILQ_INIT(&group.work);
    LIST_INSERT_HEAD(&sd.groups, &group, link);
    registration = (struct registration){
        .sd = &sd,
        .group = &group,
        .key = (char[]){ "/service/user/i1" },
        .value = value_new("10.0.0.5:9090", 0, 0, NULL),
        .state = LIBSD_REGISTERED,
        .was_registered = true,
        .mod_revision = 5,
    };
    cr_assert_not_null(registration.value);
}

static void teardown(void)
{
    value_free(registration.value);
}

TestSuite(registration, .init = setup, .fini = teardown);

static void see_put(const char *value, int64_t lease)
{
    struct record record = { .type = LIBSD_EVENT_PUT };

    record.kv.key = libsd_str(registration.key);
    record.kv.value = libsd_str(value);
    record.kv.mod_revision = 6;
    record.kv.lease = lease;
    registration_key_changed(&registration, &record);
}

/* An update is written, another one came meanwhile: the value that is seen is
 * not the newest one of ours, and no loss. */
Test(registration, own_put_that_is_seen_before_its_answer_is_no_loss)
{
    registration.busy = true;
    registration.again = true;
    see_put("10.0.0.4:9090", LEASE);
    cr_assert_eq(registration.state, LIBSD_REGISTERED);
}

Test(registration, own_put_that_is_seen_before_the_next_one_is_no_loss)
{
    claim_queue(&registration, STEP_CLAIM);
    cr_assert(registration.queued);
    see_put("10.0.0.4:9090", LEASE);
    cr_assert_eq(registration.state, LIBSD_REGISTERED);
    cr_assert_eq(registration.step, STEP_CLAIM);
}

Test(registration, foreign_put_is_a_loss_though_one_of_ours_is_under_way)
{
    registration.busy = true;
    see_put("10.0.0.4:9090", LEASE + 1);
    cr_assert_eq(registration.state, LIBSD_LOST);
    cr_assert_eq(registration.displaced_by, LEASE + 1);
    cr_assert(registration.again);
}

Test(registration, other_value_under_our_lease_is_mended_when_we_write_nothing)
{
    see_put("10.0.0.4:9090", LEASE);
    cr_assert_eq(registration.state, LIBSD_LOST);
    cr_assert(registration.queued && registration.step == STEP_CLAIM);
}
