/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A registration, a watch and a list, without any one of libsd's allocations.
 */
#include <criterion/criterion.h>

#include "scarce.h"

static struct notes notes;
static atomic_int state;

static void take_state(libsd *sd, const char *service, const char *instance, int now, int error,
                       void *arg)
{
    (void)sd;
    (void)service;
    (void)instance;
    (void)error;
    (void)arg;
    state = now;
}

static void register_it(libsd *sd, const char *address)
{
    libsd_register_options options = { .size = sizeof options,
                                       .weight = 7,
                                       .callback = take_state };
    int rc = CALL(libsd_register(sd, "s", "i", address, 3, &options));

    cr_assert(rc == 0, "register: %s", libsd_strerror(rc));
}

static void follow_it(libsd *sd)
{
    libsd_watch *watch = NULL;

    cr_assert_eq(
        CALL(libsd_watch_open(sd, libsd_str("/memory/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0,
                              notes_take, &notes, &watch)),
        0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_LIST_END) > 0, 10);
    UNTIL(notes_say(&notes, "+/memory/s/i={"), 10);
    UNTIL(notes_count(&notes, LIBSD_EVENT_CONNECTED) > 0, 10);
    SEEN(put(witness, "/memory/x", "1"));
    UNTIL(notes_say(&notes, "+/memory/x=1 "), 10);
    libsd_watch_close(watch);
}

static void read_it(libsd *sd)
{
    libsd_kvs *kvs = NULL;
    libsd_instance instance = { 0 };

    cr_assert_eq(CALL(libsd_list(sd, libsd_str("/memory/s/"), 0, &kvs, 0)), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 1);
    cr_assert_eq(CALL(libsd_instance_parse(NULL, libsd_kvs_at(kvs, 0)->value, &instance,
                                           sizeof instance, NULL, 0)),
                 0);
    cr_assert_eq(instance.port, 2);
    libsd_kvs_free(kvs);
}

static void live(libsd *sd)
{
    state = 0;
    notes_reset(&notes);
    register_it(sd, "10.0.0.1:1");
    register_it(sd, "10.0.0.1:2");
    follow_it(sd);
    read_it(sd);
    UNTIL(state == LIBSD_REGISTERED, 10);
    cr_assert(!SEEN(absent(witness, "/memory/s/i")));
    cr_assert_eq(CALL(libsd_deregister(sd, "s", "i", 0)), 0);
    cr_assert(SEEN(absent(witness, "/memory/s/i")));
}

static void setup(void)
{
    scarce_setup();
    notes_init(&notes);
}

TestSuite(memory, .init = setup, .fini = scarce_teardown, .timeout = 1200);

Test(memory, registration_and_watch_go_on_without_any_one_allocation)
{
    every_allocation(live);
}
