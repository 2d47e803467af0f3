/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Watching as programs know it from etcd-cpp-apiv3; see test_parity_kv.c.
 * Where that library leaves it to the program to watch again, libsd does.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "etcd.h"

static struct etcd etcd;
static libsd *sd;
static libsd *writer;
static struct notes notes;
static struct notes others;

static void setup(void)
{
    notes_init(&notes);
    notes_init(&others);
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
    writer = etcd_open(&etcd, NULL);
}

static void teardown(void)
{
    libsd_close(sd);
    libsd_close(writer);
    etcd_end(&etcd);
}

TestSuite(parity_watch, .init = setup, .fini = teardown, .timeout = 60);

/* From the revision on; from now on, and open when it returns, if that is 0. */
static libsd_watch *watch(const char *key, int flags, int64_t revision, struct notes *to)
{
    int connected = notes_count(to, LIBSD_EVENT_CONNECTED);
    libsd_watch *opened = NULL;

    cr_assert_eq(libsd_watch_open(sd, libsd_str(key), flags, revision, notes_take, to, &opened), 0);
    UNTIL(notes_count(to, LIBSD_EVENT_CONNECTED) > connected, 10);
    return opened;
}

static int puts_told(struct notes *to)
{
    return notes_count(to, LIBSD_EVENT_PUT);
}

/* Whether exactly so many puts came, up to one of a mark that comes last. */
static void told_exactly(struct notes *to, int count, const char *mark)
{
    UNTIL(notes_say(to, mark), 10);
    cr_assert_eq(puts_told(to), count);
    cr_assert(!to->disordered);
}

Test(parity_watch, two_puts_are_two_events)
{
    libsd_watch *open = watch("/k", 0, 0, &notes);

    put(writer, "/k", "42");
    put(writer, "/k", "43");
    told_exactly(&notes, 2, "+/k=43 ");
    cr_assert(notes_say(&notes, "+/k=42 "));
    libsd_watch_close(open);
}

Test(parity_watch, one_key_is_waited_for)
{
    libsd_watch *open = watch("/k", 0, 0, &notes);

    put(writer, "/k/1", "not it");
    put(writer, "/k", "43");
    told_exactly(&notes, 1, "+/k=43 ");
    libsd_watch_close(open);
}

Test(parity_watch, directory_is_waited_for)
{
    libsd_watch *open = watch("/d/", LIBSD_WATCH_PREFIX, 0, &notes);

    put(writer, "/d/1/2", "43");
    told_exactly(&notes, 1, "+/d/1/2=43 ");
    libsd_watch_close(open);
}

Test(parity_watch, several_keys_are_watched_at_once)
{
    libsd_watch *first = watch("/a", 0, 0, &notes);
    libsd_watch *second = watch("/b", 0, 0, &others);

    put(writer, "/b", "2");
    put(writer, "/a", "1");
    told_exactly(&notes, 1, "+/a=1 ");
    told_exactly(&others, 1, "+/b=2 ");
    libsd_watch_close(first);
    libsd_watch_close(second);
}

Test(parity_watch, prefix_matches_no_neighbour)
{
    libsd_watch *open = watch("/key_prefix", LIBSD_WATCH_PREFIX, 0, &notes);

    put(writer, "/key_prefiy", "no");
    put(writer, "/key1", "no");
    put(writer, "/key_prefix1", "yes");
    put(writer, "/key_prefix/2", "last");
    told_exactly(&notes, 2, "+/key_prefix/2=last ");
    libsd_watch_close(open);
}

static libsd_watch *watch_range(const char *key, const char *end, int flags, int64_t revision)
{
    int connected = notes_count(&notes, LIBSD_EVENT_CONNECTED);
    libsd_watch *opened = NULL;

    cr_assert_eq(libsd_watch_open_range(sd, libsd_str(key), libsd_str(end), flags, revision,
                                        notes_take, &notes, &opened),
                 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_CONNECTED) > connected, 10);
    return opened;
}

/* Three of four keys, as theirs has it; and what is not a range is refused. */
Test(parity_watch, range_stops_before_its_end)
{
    libsd_watch *open = watch_range("/k1", "/k4", 0, 0);

    for (const char *key = "01234"; *key; key++)
        put(writer, (char[]){ '/', 'k', *key, '\0' }, "x");
    put(writer, "/k2", "last");
    told_exactly(&notes, 4, "+/k2=last ");
    cr_assert(notes_say(&notes, "+/k1=x ") && notes_say(&notes, "+/k3=x "));
    libsd_watch_close(open);
    open = NULL;
    cr_assert_eq(libsd_watch_open_range(sd, libsd_str("/k4"), libsd_str("/k1"), 0, 0, notes_take,
                                        &notes, &open),
                 LIBSD_EINVAL);
    cr_assert_null(open);
}

Test(parity_watch, range_is_replayed_from_a_revision)
{
    int64_t revision = put(writer, "/k1", "42");
    libsd_watch *open;

    put(writer, "/k2", "43");
    put(writer, "/k9", "44");
    open = watch_range("/k1", "/k3", 0, revision + 1);
    told_exactly(&notes, 1, "+/k2=43 ");
    libsd_watch_close(open);
}

/* And more: a range is followed from a list on, to its end or without one. */
Test(parity_watch, range_is_listed_and_followed)
{
    libsd_watch *open;

    put_many(&etcd, "/many/", 6000); /* more than a page */
    put(writer, "/n", "behind");
    open = watch_range("/many/00010", "/many/05990", LIBSD_WATCH_LIST, 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_LIST_END) == 1, 20);
    cr_assert_eq(puts_told(&notes), 5980);
    put(writer, "/many/05990", "no");
    put(writer, "/many/03000", "yes");
    UNTIL(notes_say(&notes, "+/many/03000=yes "), 10);
    cr_assert_eq(puts_told(&notes), 5981);
    libsd_watch_close(open);
    notes_reset(&notes);
    open = watch_range("/many/05999", "", LIBSD_WATCH_LIST, 0);
    UNTIL(notes_say(&notes, "[ +/many/05999=/many/05999 +/n=behind ]"), 10);
    libsd_watch_close(open);
}

Test(parity_watch, events_tell_revisions_version_and_lease)
{
    libsd_watch *open = watch("/k", 0, 0, &notes);
    int64_t revision = put(writer, "/k", "42");

    told_exactly(&notes, 1, "+/k=42 ");
    cr_assert_eq(libsd_delete(writer, libsd_str("/k"), 0), 1);
    UNTIL(notes_say(&notes, "-/k "), 10);
    UNTIL(notes_count(&notes, LIBSD_EVENT_COMMIT) >= 2, 10);
    cr_assert_eq(notes.revision, revision + 1);
    libsd_watch_close(open);
}

/* Of five puts, from the first, the second and the third on. */
Test(parity_watch, past_is_replayed_from_a_revision)
{
    static const char *const all[] = { "42", "43", "44", "45", "46" };
    int64_t revisions[5];

    for (int i = 0; i < 5; i++)
        revisions[i] = put(writer, "/d/k", all[i]);
    for (int i = 0; i < 3; i++) {
        libsd_watch *key = watch("/d/k", 0, revisions[i], &notes);
        libsd_watch *range = watch("/d/", LIBSD_WATCH_PREFIX, revisions[i], &others);

        told_exactly(&notes, 5 - i, "+/d/k=46 ");
        told_exactly(&others, 5 - i, "+/d/k=46 ");
        libsd_watch_close(key);
        libsd_watch_close(range);
        notes_reset(&notes);
        notes_reset(&others);
    }
}

Test(parity_watch, ten_updates_of_one_key_come_in_order)
{
    int64_t first = put(writer, "/k", "0");
    char story[400] = "";
    libsd_watch *open;

    for (int i = 1; i <= 10; i++) {
        char value[4];

        snprintf(value, sizeof value, "%d", i);
        put(writer, "/k", value);
    }
    open = watch("/k", 0, first + 1, &notes);
    told_exactly(&notes, 10, "+/k=10 ");
    for (char *from = notes.text; (from = strstr(from, "+/k=")) != NULL; from++)
        snprintf(story + strlen(story), sizeof story - strlen(story), "%.*s ",
                 (int)strcspn(from + 4, " "), from + 4);
    cr_assert_str_eq(story, "1 2 3 4 5 6 7 8 9 10 ");
    libsd_watch_close(open);
}

Test(parity_watch, nested_prefixes_are_told_both)
{
    libsd_watch *outer = watch("/d/", LIBSD_WATCH_PREFIX, 0, &notes);
    libsd_watch *inner = watch("/d/in/", LIBSD_WATCH_PREFIX, 0, &others);

    put(writer, "/d/1", "1");
    put(writer, "/d/in/2", "2");
    put(writer, "/d/3", "3");
    put(writer, "/d/in/4", "4");
    told_exactly(&notes, 4, "+/d/in/4=4 ");
    told_exactly(&others, 2, "+/d/in/4=4 ");
    libsd_watch_close(outer);
    libsd_watch_close(inner);
}

Test(parity_watch, nothing_is_told_after_cancel)
{
    libsd_watch *open = watch("/k", 0, 0, &notes);
    libsd_watch *witness = watch("/k", 0, 0, &others);

    put(writer, "/k", "before");
    told_exactly(&notes, 1, "+/k=before ");
    libsd_watch_close(open);
    put(writer, "/k", "after");
    told_exactly(&others, 2, "+/k=after ");
    cr_assert_eq(puts_told(&notes), 1);
    libsd_watch_close(witness);
}

Test(parity_watch, watch_may_be_cancelled_at_once)
{
    for (int i = 0; i < 20; i++) {
        libsd_watch *open = NULL;

        cr_assert_eq(libsd_watch_open(sd, libsd_str("/k"), 0, 0, notes_take, &notes, &open), 0);
        libsd_watch_close(open);
    }
    libsd_watch_close(NULL);
}

static void *close_watch(void *arg)
{
    libsd_watch_close(arg);
    return NULL;
}

/* Theirs are ten calls for one watch; ours ends with the call, so ten for ten. */
Test(parity_watch, ten_threads_cancel_at_once)
{
    libsd_watch *open[10];
    pthread_t threads[10];
    int told;

    for (int i = 0; i < 10; i++)
        open[i] = watch("/k", 0, 0, &notes);
    put(writer, "/k", "42");
    for (int i = 0; i < 10; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, close_watch, open[i]), 0);
    for (int i = 0; i < 10; i++)
        pthread_join(threads[i], NULL);
    told = puts_told(&notes);
    open[0] = watch("/k", 0, 0, &others);
    put(writer, "/k", "43");
    told_exactly(&others, 1, "+/k=43 ");
    cr_assert_eq(puts_told(&notes), told);
    libsd_watch_close(open[0]);
}

static void *wait_for_put(void *arg)
{
    UNTIL(puts_told(&notes) > 0, 20);
    return arg;
}

/* Wait() is the program's own business: whatever its callback tells. */
Test(parity_watch, thread_waits_for_what_the_callback_tells)
{
    libsd_watch *open = watch("/k", 0, 0, &notes);
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, wait_for_put, NULL), 0);
    put(writer, "/k", "42");
    pthread_join(thread, NULL);
    libsd_watch_close(open);
}

Test(parity_watch, restart_of_etcd_needs_no_new_watch)
{
    libsd_watch *open = watch("/d/", LIBSD_WATCH_PREFIX, 0, &notes);

    for (int round = 0; round < 3; round++) {
        char key[10];
        char word[20];

        etcd_kill(&etcd);
        etcd_restart(&etcd);
        snprintf(key, sizeof key, "/d/%d", round);
        put(writer, key, "again");
        snprintf(word, sizeof word, "+%s=again ", key);
        told_exactly(&notes, round + 1, word);
    }
    libsd_watch_close(open);
}

Test(parity_watch, compacted_past_is_told)
{
    libsd_watch *open = NULL;
    int64_t first = put(writer, "/k", "1");

    put(writer, "/k", "2");
    etcd_compact(&etcd, put(writer, "/k", "3"));
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/k"), 0, first, notes_take, &notes, &open), 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_ENDED) == 1, 10);
    cr_assert_eq(notes.last_error, LIBSD_ECOMPACTED);
    libsd_watch_close(open);
    /* The same, mended by a list. */
    cr_assert_eq(
        libsd_watch_open(sd, libsd_str("/k"), LIBSD_WATCH_LIST, first, notes_take, &notes, &open),
        0);
    UNTIL(notes_say(&notes, "[ +/k=3 ]"), 10);
    libsd_watch_close(open);
}

enum {
    UP = 1,
    TOLD = 2
};

static void take_before(const libsd_event *event, void *arg)
{
    atomic_int *seen = arg;

    if (event->type == LIBSD_EVENT_CONNECTED)
        *seen = UP;
    else if (event->type == LIBSD_EVENT_DELETE && event->prev_kv &&
             event->prev_kv->value.size == 3 && memcmp(event->prev_kv->value.data, "old", 3) == 0)
        *seen = TOLD;
}

Test(parity_watch, event_tells_what_was_before)
{
    static atomic_int seen;
    libsd_watch *open;

    cr_assert_eq(
        libsd_watch_open(sd, libsd_str("/p"), LIBSD_WATCH_PREV_KV, 0, take_before, &seen, &open),
        0);
    UNTIL(seen == UP, 5);
    put(sd, "/p", "old");
    cr_assert_eq(libsd_delete(sd, libsd_str("/p"), 0), 1);
    UNTIL(seen == TOLD, 5);
    libsd_watch_close(open);
}
