/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Watches without a list: every event once, in order, whatever happens.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd.h"

static struct etcd etcd;
static libsd *sd;
static struct notes notes;

static void setup(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
    notes_init(&notes);
}

static void teardown(void)
{
    libsd_close(sd);
    etcd_end(&etcd);
}

TestSuite(watch, .init = setup, .fini = teardown, .timeout = 90);

static libsd_watch *watch(const char *key, int flags, int64_t start)
{
    libsd_watch *made = NULL;

    cr_assert_eq(libsd_watch_open(sd, libsd_str(key), flags, start, notes_take, &notes, &made), 0);
    return made;
}

static libsd_watch *watch_live(const char *key, int flags)
{
    libsd_watch *made = watch(key, flags, 0);

    UNTIL(notes_count(&notes, LIBSD_EVENT_CONNECTED) == 1, 5);
    return made;
}

Test(watch, change_is_told_with_its_commit)
{
    int64_t revision;

    watch_live("/w/", LIBSD_WATCH_PREFIX);
    put(sd, "/w/a", "1");
    put(sd, "/v", "not watched");
    revision = put(sd, "/w/a", "2");
    libsd_delete(sd, libsd_str("/w/a"), 0);
    UNTIL(notes_say(&notes, "+/w/a=1 ; +/w/a=2 ; -/w/a ; "), 5);
    cr_assert_eq(notes.revision, revision + 1);
    cr_assert_not(notes.disordered);
}

static void take_previous(const libsd_event *event, void *arg)
{
    struct notes *list = arg;
    char line[64] = "";

    if (event->kv)
        snprintf(line, sizeof line, "%.*s=%.*s ",
                 event->prev_kv ? (int)event->prev_kv->key.size : 4,
                 event->prev_kv ? (const char *)event->prev_kv->key.data : "none",
                 event->prev_kv ? (int)event->prev_kv->value.size : 0,
                 event->prev_kv ? (const char *)event->prev_kv->value.data : "");
    pthread_mutex_lock(&list->mutex);
    list->counts[event->type]++;
    strncat(list->detail, line, sizeof list->detail - strlen(list->detail) - 1);
    pthread_mutex_unlock(&list->mutex);
}

/* With events of before and after a reconnect, and beside a watch that does not
 * ask for it. */
Test(watch, what_a_key_was_before_is_told_if_wanted)
{
    libsd_watch *made;

    watch_live("/w/", LIBSD_WATCH_PREFIX);
    notes_forget(&notes);
    static struct notes before;
    notes_init(&before);
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/w/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_PREV_KV, 0,
                                  take_previous, &before, &made),
                 0);
    UNTIL(notes_count(&before, LIBSD_EVENT_CONNECTED) == 1, 5);
    put(sd, "/w/a", "1");
    put(sd, "/w/b", "2");
    put(sd, "/w/a", "3");
    UNTIL(notes_count(&before, LIBSD_EVENT_PUT) == 3, 5);
    etcd_kill(&etcd);
    UNTIL(notes_count(&before, LIBSD_EVENT_DISCONNECTED) == 1, 10);
    etcd_restart(&etcd);
    UNTIL(libsd_delete(sd, libsd_str("/w/a"), 0) == 1, 10);
    UNTIL(notes_count(&before, LIBSD_EVENT_DELETE) == 1, 20);
    cr_expect_str_eq(before.detail, "none= none= /w/a=1 /w/a=3 ");
    UNTIL(notes_say(&notes, "+/w/a=1 ; +/w/b=2 ; +/w/a=3 ; down up -/w/a ;"), 10);
    libsd_watch_close(made);
}

Test(watch, single_key_is_not_a_prefix)
{
    watch_live("/w", 0);
    put(sd, "/w/a", "1");
    put(sd, "/w", "2");
    UNTIL(notes_say(&notes, "+/w=2 ;"), 5);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_PUT), 1);
}

Test(watch, start_revision_replays_history)
{
    int64_t revision = put(sd, "/w/a", "1");

    put(sd, "/w/a", "2");
    watch("/w/", LIBSD_WATCH_PREFIX, revision);
    UNTIL(notes_say(&notes, "+/w/a=1 +/w/a=2 ; "), 5);
}

Test(watch, changes_of_one_transaction_come_together)
{
    watch_live("/t/", LIBSD_WATCH_PREFIX);
    put_many(&etcd, "/t/", 100);
    UNTIL(notes_count(&notes, LIBSD_EVENT_PUT) == 100, 5);
    UNTIL(notes_count(&notes, LIBSD_EVENT_COMMIT) == 1, 1);
}

Test(watch, nothing_is_lost_or_doubled_over_kill_and_restart)
{
    char key[32];
    char word[64];

    watch_live("/w/", LIBSD_WATCH_PREFIX);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++) {
            snprintf(key, sizeof key, "/w/%d-%d", round, i);
            put(sd, key, "x");
        }
        etcd_kill(&etcd);
        etcd_restart(&etcd);
        UNTIL(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) == round + 1, 5);
    }
    put(sd, "/w/last", "x");
    UNTIL(notes_say(&notes, "+/w/last=x"), 10);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_PUT), 151);
    for (int i = 0; i < 150; i++) {
        snprintf(word, sizeof word, "+/w/%d-%d=x ", i / 50, i % 50);
        cr_assert(notes_say(&notes, word), "%s", word);
    }
    cr_assert_not(notes.disordered);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_CONNECTED), 4);
}

Test(watch, changes_made_while_disconnected_are_told)
{
    libsd_watch *watched = watch_live("/w/", LIBSD_WATCH_PREFIX);

    etcd_freeze(&etcd);
    /* A frozen etcd is noticed by its silence alone. */
    UNTIL(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) == 1, 15);
    etcd_thaw(&etcd);
    put(sd, "/w/a", "1");
    UNTIL(notes_say(&notes, "+/w/a=1 ;"), 5);
    UNTIL(notes_count(&notes, LIBSD_EVENT_CONNECTED) == 2, 5);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_PUT), 1);
    libsd_watch_close(watched);
}

Test(watch, idle_stream_stays_connected)
{
    double begin = seconds();

    watch_live("/w/", LIBSD_WATCH_PREFIX);
    UNTIL(seconds() - begin > 12, 13); /* past the first signs of life */
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_DISCONNECTED), 0);
    put(sd, "/w/a", "1");
    UNTIL(notes_say(&notes, "+/w/a=1 ;"), 1);
}

Test(watch, compacted_start_ends_the_watch)
{
    int64_t revision = put(sd, "/w/a", "1");

    put(sd, "/w/a", "2");
    etcd_compact(&etcd, put(sd, "/w/a", "3"));
    watch("/w/", LIBSD_WATCH_PREFIX, revision);
    UNTIL(notes_count(&notes, LIBSD_EVENT_ENDED) == 1, 5);
    cr_assert_eq(notes.last_error, LIBSD_ECOMPACTED);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_PUT), 0);
}

Test(watch, id_of_a_watch_that_etcd_ended_is_not_used_again_too_early)
{
    static struct notes ended[8];
    libsd_watch *first = watch("/k/", LIBSD_WATCH_PREFIX, 0);
    libsd_watch *compacted;

    put(sd, "/w/a", "1");
    etcd_compact(&etcd, put(sd, "/w/a", "2"));
    /* Each on the same connection, which the first one keeps open. */
    for (int i = 0; i < 8; i++) {
        notes_init(&ended[i]);
        cr_assert_eq(libsd_watch_open(sd, libsd_str("/w/"), LIBSD_WATCH_PREFIX, 1, notes_take,
                                      &ended[i], &compacted),
                     0);
        UNTIL(notes_count(&ended[i], LIBSD_EVENT_ENDED) == 1, 5);
        cr_assert_eq(ended[i].last_error, LIBSD_ECOMPACTED);
        cr_assert_eq(notes_count(&ended[i], LIBSD_EVENT_DISCONNECTED), 0, "%s", ended[i].detail);
        if (i % 2)
            libsd_watch_close(compacted);
    }
    libsd_watch_close(first);
}

Test(watch, wiped_store_ends_the_watch)
{
    for (int i = 0; i < 20; i++)
        put(sd, "/w/a", "1");
    watch_live("/w/", LIBSD_WATCH_PREFIX);
    etcd_kill(&etcd);
    etcd_wipe(&etcd);
    etcd_restart(&etcd);
    UNTIL(notes_count(&notes, LIBSD_EVENT_ENDED) == 1, 10);
    cr_assert_eq(notes.last_error, LIBSD_ECOMPACTED);
}

Test(watch, server_that_is_away_is_reported_once)
{
    etcd_kill(&etcd);
    watch("/w/", LIBSD_WATCH_PREFIX, 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) == 1, 5);
    cr_assert_eq(notes.last_error, LIBSD_EUNAVAILABLE);
    etcd_restart(&etcd);
    UNTIL(notes_count(&notes, LIBSD_EVENT_CONNECTED) == 1, 5);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_DISCONNECTED), 1);
}

Test(watch, many_watches_share_one_connection)
{
    enum {
        COUNT = 300
    };
    static struct notes many[COUNT];
    static libsd_watch *watches[COUNT];
    char key[20];

    for (int i = 0; i < COUNT; i++) {
        notes_init(&many[i]);
        snprintf(key, sizeof key, "/m/%d/", i);
        cr_assert_eq(libsd_watch_open(sd, libsd_str(key), LIBSD_WATCH_PREFIX, 0, notes_take,
                                      &many[i], &watches[i]),
                     0);
    }
    for (int i = 0; i < COUNT; i++)
        UNTIL(notes_count(&many[i], LIBSD_EVENT_CONNECTED) == 1, 5);
    for (int i = 0; i < COUNT; i += 2)
        libsd_watch_close(watches[i]);
    for (int i = 0; i < COUNT; i++) {
        snprintf(key, sizeof key, "/m/%d/k", i);
        put(sd, key, "x");
    }
    for (int i = 1; i < COUNT; i += 2)
        UNTIL(notes_count(&many[i], LIBSD_EVENT_PUT) == 1, 5);
    for (int i = 0; i < COUNT; i += 2)
        cr_assert_eq(notes_count(&many[i], LIBSD_EVENT_PUT), 0);
}

/* ---- callbacks ---------------------------------------------------------- */

struct probe {
    libsd_watch *watch;
    int calls;
    int blocking;
    int nested;
    libsd_watch *second;
};

static void probing(const libsd_event *event, void *arg)
{
    struct probe *probe = arg;
    libsd_kvs *kvs;

    if (event->type != LIBSD_EVENT_PUT)
        return;
    probe->blocking = libsd_get(sd, libsd_str("/a"), &kvs, 0);
    probe->nested =
        libsd_watch_open(sd, libsd_str("/second"), 0, 0, notes_take, &notes, &probe->second);
    libsd_watch_close(probe->watch);
    __atomic_fetch_add(&probe->calls, 1, __ATOMIC_SEQ_CST);
}

Test(watch, callback_may_open_and_close_watches_but_not_block)
{
    struct probe probe = { 0 };
    int64_t revision = put(sd, "/w/a", "1");

    put(sd, "/w/a", "2");
    cr_assert_eq(
        libsd_watch_open(sd, libsd_str("/w/a"), 0, revision, probing, &probe, &probe.watch), 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_CONNECTED) == 1, 5);
    put(sd, "/w/a", "3");
    put(sd, "/second", "x");
    UNTIL(notes_say(&notes, "+/second=x"), 5);
    cr_assert_eq(probe.blocking, LIBSD_EDEADLOCK);
    cr_assert_eq(probe.nested, 0);
    cr_assert_eq(__atomic_load_n(&probe.calls, __ATOMIC_SEQ_CST), 1);
}

static void closing(const libsd_event *event, void *arg)
{
    int *closed = arg;

    if (event->type == LIBSD_EVENT_PUT) {
        libsd_close(sd);
        __atomic_fetch_add(closed, 1, __ATOMIC_SEQ_CST);
    }
}

Test(watch, callback_may_close_the_handle)
{
    int closed = 0;
    libsd *other = etcd_open(&etcd, NULL);
    libsd_watch *watched;
    int64_t revision = put(other, "/w/a", "1");

    for (int i = 0; i < 10; i++)
        put(other, "/w/a", "2");
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/w/a"), 0, revision, closing, &closed, &watched),
                 0);
    UNTIL(__atomic_load_n(&closed, __ATOMIC_SEQ_CST), 5);
    put(other, "/w/a", "3");
    libsd_close(other);
    cr_assert_eq(__atomic_load_n(&closed, __ATOMIC_SEQ_CST), 1);
    sd = etcd_open(&etcd, NULL); /* for the teardown */
}

/* A callback that takes a while. */
static void lingering(const libsd_event *event, void *arg)
{
    int *state = arg;
    double begin = seconds();

    if (event->type != LIBSD_EVENT_PUT)
        return;
    __atomic_store_n(state, 1, __ATOMIC_SEQ_CST);
    UNTIL(seconds() - begin > 0.3, 1);
    __atomic_store_n(state, 2, __ATOMIC_SEQ_CST);
}

Test(watch, close_waits_for_a_running_callback)
{
    int state = 0;
    int64_t revision = put(sd, "/w/a", "1");
    libsd_watch *watched;

    cr_assert_eq(libsd_watch_open(sd, libsd_str("/w/a"), 0, revision, lingering, &state, &watched),
                 0);
    UNTIL(__atomic_load_n(&state, __ATOMIC_SEQ_CST) == 1, 5);
    libsd_watch_close(watched);
    cr_assert_eq(__atomic_load_n(&state, __ATOMIC_SEQ_CST), 2);
}

/* ---- dispatch=manual ---------------------------------------------------- */

/* ---- many who close ----------------------------------------------------- */

enum {
    CLOSERS = 10,
    ROUNDS = 30
};

static atomic_bool closed[CLOSERS * ROUNDS]; /* by watch */
static atomic_int after_close;
static atomic_int told;

static void note_late(const libsd_event *event, void *arg)
{
    int number = (int)(intptr_t)arg;

    (void)event;
    told++;
    after_close += closed[number];
}

static void *open_and_close(void *arg)
{
    int i = (int)(intptr_t)arg;
    intptr_t failed = 0;

    for (int round = 0; round < ROUNDS; round++) {
        libsd_watch *made;
        int number = i * ROUNDS + round;
        int before = told;
        double end = seconds() + 2;

        if (libsd_watch_open(sd, libsd_str("/w/"),
                             LIBSD_WATCH_PREFIX | (round % 2 ? LIBSD_WATCH_LIST : 0), 0, note_late,
                             (void *)(intptr_t)number, &made) != 0)
            failed++;
        /* Some at once, some in the middle of events. */
        while (round % 3 && told < before + 20 && seconds() < end)
            nap();
        libsd_watch_close(made);
        closed[number] = true;
    }
    return (void *)failed;
}

Test(watch, ten_threads_open_and_close_watches_at_once)
{
    pthread_t threads[CLOSERS];
    void *failed;

    for (int i = 0; i < CLOSERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, open_and_close, (void *)(intptr_t)i), 0);
    for (int i = 0; i < 200; i++)
        put(sd, "/w/a", "1");
    for (int i = 0; i < CLOSERS; i++) {
        /* Events until the last one has seen enough of them. */
        while (pthread_tryjoin_np(threads[i], &failed) != 0)
            put(sd, "/w/a", "2");
        cr_assert_null(failed);
    }
    cr_assert_gt(told, 0);
    cr_assert_eq(after_close, 0);
}

Test(watch, manual_dispatch_runs_on_the_callers_thread)
{
    libsd *manual = etcd_open(&etcd, "manual");
    libsd_watch *watched;
    struct pollfd readable = { .fd = libsd_fd(manual), .events = POLLIN };
    double begin = seconds();
    int ran = 0;

    cr_assert_eq(libsd_fd(sd), LIBSD_EINVAL);
    cr_assert_eq(libsd_dispatch(sd, 0), LIBSD_EINVAL);
    cr_assert(readable.fd >= 0);
    cr_assert_eq(poll(&readable, 1, 0), 0);
    cr_assert_eq(libsd_dispatch(manual, 0), 0);
    put_many(&etcd, "/w/", 10);
    cr_assert_eq(libsd_watch_open(manual, libsd_str("/w/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST,
                                  0, notes_take, &notes, &watched),
                 0);
    while (notes_count(&notes, LIBSD_EVENT_LIST_END) == 0 && seconds() - begin < 5) {
        int rc;

        cr_assert_eq(poll(&readable, 1, 5000), 1);
        rc = libsd_dispatch(manual, 3);
        cr_assert(rc >= 0 && rc <= 3);
        ran += rc;
    }
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_PUT), 10);
    cr_assert(ran >= 12);
    libsd_watch_close(watched);
    libsd_close(manual);
}

Test(watch, slow_reader_gets_everything_in_bounded_memory)
{
    /* Each of 150 values of 1 MB would have to wait: three times the queue. */
    static char value[1000000];
    libsd *manual;
    libsd_watch *watched;
    double begin;
    char key[20];

    if (getenv("UNDER_VALGRIND"))
        cr_skip_test("150 MB through valgrind take minutes");
    manual = etcd_open(&etcd, "manual");
    memset(value, 'x', sizeof value);
    cr_assert_eq(libsd_watch_open(manual, libsd_str("/big/"), LIBSD_WATCH_PREFIX, 1, notes_take,
                                  &notes, &watched),
                 0);
    for (int i = 0; i < 150; i++) {
        snprintf(key, sizeof key, "/big/%d", i);
        cr_assert_eq(libsd_put(sd, libsd_str(key), libsd_bytes(value, sizeof value), 0, NULL, 0),
                     0);
    }
    begin = seconds();
    while (notes_count(&notes, LIBSD_EVENT_PUT) < 150 && seconds() - begin < 30) {
        if (libsd_dispatch(manual, 1) == 0)
            nap();
    }
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_PUT), 150);
    cr_assert_not(notes.disordered);
    libsd_close(manual);
}
