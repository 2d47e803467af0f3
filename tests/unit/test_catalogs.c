/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An own watch that was begun because the table was of no use, and when it ends:
 * catalogs.c is compiled into this program, so that its clock can be put on.
 */
#include "../../libsd/catalogs.c"

#include <criterion/criterion.h>
#include <semaphore.h>

#include "table_help.h"

static struct table_fixture f;
static libsd *sd;
static sem_t is_done;

static void begin(void)
{
    libsd_options *options;

    table_begin(&f);
    table_put(&f, "user.service.etcd", "i=10.0.0.1:80");
    cr_assert_eq(table_writer_publish(f.writer), 0);
    setenv("ETCDSD_TABLE", f.path, 1);
    cr_assert_eq(libsd_options_new(&options), 0);
    cr_assert_eq(libsd_options_load(options, ""), 0);
    setenv("ETCDCTL_ENDPOINTS", "http://127.0.0.1:1",
           1); /* given in code, they would rule the table out */
    cr_assert_eq(libsd_open(&sd, options), 0);
    libsd_options_free(options);
    sem_init(&is_done, 0, 0);
}

static void end(void)
{
    libsd_close(sd);
    table_end(&f);
}

TestSuite(catalogs, .init = begin, .fini = end, .timeout = 60);

/* What is done on the handle's I/O thread, as all that touches catalogs. */
static void (*job)(void);

static void run_job(struct task *task)
{
    (void)task;
    job();
    sem_post(&is_done);
}

static void do_there(void (*what)(void))
{
    static struct task task = { .run = run_job };

    job = what;
    cr_assert(loop_post(&sd->loop, &task));
    sem_wait(&is_done);
}

static void tick(void)
{
    timer_stop(&sd->catalogs.idle);
    idle_tick(&sd->catalogs.idle);
}

static void trust_has_lasted(void)
{
    sd->catalogs.table_live_ns -= TABLE_TRUST_NS;
    tick();
}

static bool follows, ticks;
static int64_t live_ns;

static void look(void)
{
    follows = !TAILQ_EMPTY(&sd->catalogs.used);
    ticks = sd->catalogs.idle.due_ns != 0;
    live_ns = sd->catalogs.table_live_ns;
}

static void table_is(int state)
{
    table_writer_set_state(f.writer, state);
    table_writer_heartbeat(f.writer);
}

static void pick(void)
{
    libsd_picked picked;

    cr_assert_eq(libsd_pick(sd, "user", NULL, &picked), 0);
    cr_assert_eq(picked.source, LIBSD_SOURCE_TABLE);
    do_there(look);
}

Test(catalogs, table_that_follows_etcd_needs_no_watch)
{
    pick();
    cr_expect_not(follows);
    cr_expect_not(ticks);
}

Test(catalogs, watch_ends_when_the_table_has_been_current_for_long)
{
    table_is(TABLE_DISCONNECTED);
    pick(); /* it is old, but there is nothing else */
    cr_expect(follows);
    cr_expect(ticks);

    do_there(tick);
    do_there(look);
    cr_expect(follows);
    cr_expect_eq(live_ns, 0);

    table_is(TABLE_LIVE);
    do_there(tick);
    do_there(look);
    cr_expect(follows && ticks);
    cr_expect_neq(live_ns, 0);

    /* Not in one piece. */
    table_is(TABLE_DISCONNECTED);
    do_there(trust_has_lasted);
    do_there(look);
    cr_expect(follows && ticks);
    cr_expect_eq(live_ns, 0);

    table_is(TABLE_LIVE);
    do_there(tick);
    do_there(trust_has_lasted);
    do_there(look);
    cr_expect_not(follows);
    cr_expect_not(ticks);

    table_is(TABLE_DISCONNECTED);
    pick();
    cr_expect(follows && ticks, "it begins again");
}
