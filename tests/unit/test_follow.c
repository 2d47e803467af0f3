/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The audit of a list that is followed: an event that etcd never sent is made
 * good.  Its interval is minutes, and within reach only from in here.
 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <string.h>

#include "../integration/libsd/gateway.h"
#include "internal.h"

#define KEY_B "L2YvYg==" /* "/f/b" */

static libsd *sd;
static struct notes notes;

static void setup(void)
{
    gateway_start(NULL);
    sd = etcd_open(&gateway, NULL);
    notes_init(&notes);
}

static void teardown(void)
{
    libsd_close(sd);
}

TestSuite(follow, .init = setup, .fini = teardown, .timeout = 60);

/* "/f/a" went and "/f/b" came, though no watch says so. */
static bool changed_in_silence(struct exchange *exchange)
{
    return asks(exchange, "/kv/range") && strstr(exchange->body, "range_end") &&
           answer_ok(exchange, "{" HEADER(6) ",\"kvs\":[" KV(KEY_B, 6) "],\"count\":\"1\"}");
}

static void follow(void)
{
    libsd_watch *watch;

    cr_assert_eq(libsd_watch_open(sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0,
                                  notes_take, &notes, &watch),
                 0);
    UNTIL(notes_say(&notes, "[ +/f/a=1 ] up "), 5);
}

Test(follow, lost_event_is_found_by_the_audit)
{
    sd->audit_ns = 500 * MS;
    follow();
    gateway_set(changed_in_silence);
    UNTIL(notes_say(&notes, "[ +/f/b=1 ] "), 10);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_DISCONNECTED), 0, "nothing was down");
}

Test(follow, audit_comes_again_and_again)
{
    sd->audit_ns = 100 * MS;
    follow();
    UNTIL(notes_count(&notes, LIBSD_EVENT_LIST_END) >= 5, 20);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_DISCONNECTED), 0);
}

/* ---- with a real etcd --------------------------------------------------- */

#define NOTICED_S 10.0

static struct etcd etcd;

static void setup_etcd(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
    notes_init(&notes);
    put(sd, "/f/a", "1");
}

static void teardown_etcd(void)
{
    libsd_close(sd);
    etcd_end(&etcd);
}

TestSuite(hang, .init = setup_etcd, .fini = teardown_etcd, .timeout = 60);

/* The stream would find out after 8 s; the audit falls in between. */
Test(hang, is_noticed_no_later_for_an_audit)
{
    sd->audit_ns = 8200 * MS; /* jittered: 4.1 s and more */
    follow();
    etcd_freeze(&etcd);
    UNTIL(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) == 1, NOTICED_S);
    etcd_thaw(&etcd);
    UNTIL(notes_count(&notes, LIBSD_EVENT_LIST_END) == 2, NOTICED_S);
}
