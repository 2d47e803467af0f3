/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Audits of a list that is followed: an event that etcd never sent is made good,
 * and those that it sends go on meanwhile.  Their interval is minutes, and within
 * reach only from in here.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../integration/libsd/gateway.h"
#include "../integration/libsd/mirror.h"
#include "internal.h"

#define KEY_B   "L2YvYg==" /* "/f/b" */
#define AUDIT_S 25         /* waits for a sign of life, 4 s apart, and for what is late */

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

TestSuite(audit, .init = setup, .fini = teardown, .timeout = 60);

/* Quirks: the list is what the gateway always says; from the first watch on, what
 * they say. */
static atomic_bool watched;      /* the stream carries the watch */
static atomic_bool asked;        /* a page of an audit is wanted */
static atomic_bool told;         /* the stream said its lines */
static const char *page;         /* what the audit is told */
static const char *const *lines; /* what the stream says while it is wanted; NULL: nothing */

static bool asks_for_audit(struct exchange *exchange)
{
    char revision[32];

    if (!watched || !asks(exchange, "/kv/range") || !strstr(exchange->body, "range_end") ||
        *member(exchange, "revision", revision, sizeof revision))
        return false;
    asked = true;
    return true;
}

static bool page_of_audit(struct exchange *exchange)
{
    if (!asks_for_audit(exchange))
        return false;
    UNTIL(told || !lines, 10);
    return answer_ok(exchange, page);
}

static bool stream_beside_audit(struct exchange *exchange)
{
    while (stream_read(exchange)) {
        stream_behave(exchange);
        if (!strstr(exchange->body, "watch_id"))
            continue;
        watched = true;
        UNTIL(asked, 10);
        for (size_t i = 0; lines && lines[i]; i++)
            stream_line(exchange, lines[i]);
        told = true;
    }
    return true;
}

static bool quirk(struct exchange *exchange)
{
    return asks(exchange, "/watch") ? stream_beside_audit(exchange) : page_of_audit(exchange);
}

static void follow(void)
{
    libsd_watch *watch;

    cr_assert_eq(libsd_watch_open(sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0,
                                  notes_take, &notes, &watch),
                 0);
    UNTIL(notes_say(&notes, "[ +/f/a=1 ] up "), 5);
}

static void audit_with(const char *shown, const char *const *said)
{
    page = shown;
    lines = said;
    sd->audit_ns = 100 * MS;
    gateway_set(quirk);
    follow();
}

#define PAGE(revision, kvs, count) \
    "{" HEADER(revision) ",\"kvs\":[" kvs "],\"count\":\"" #count "\"}"

Test(audit, tells_what_is_there)
{
    audit_with(PAGE(5, KV(KEY_F, 4), 1), NULL);
    UNTIL(notes_say(&notes, "( =/f/a=1 ; ) "), AUDIT_S);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_DISCONNECTED), 0);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_LIST_BEGIN), 1);
}

/* What /f/a's deletion at 5 was is a key that the audit does not show. */
Test(audit, lost_deletion_is_a_key_not_told)
{
    audit_with(PAGE(5, KV(KEY_B, 4), 1), NULL);
    UNTIL(notes_say(&notes, "( =/f/b=1 ; ) "), AUDIT_S);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_LIST_BEGIN), 1);
}

/* Rule A2: the watch lives, but never gets to revision 6. */
Test(audit, event_that_never_comes_leads_to_a_list)
{
    audit_with(PAGE(6, KV(KEY_B, 6), 1), NULL);
    UNTIL(notes_count(&notes, LIBSD_EVENT_LIST_END) == 2, AUDIT_S);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_AUDIT_KEY), 0);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_DISCONNECTED), 0, "nothing was down");
}

/* Rule A1: the page was read before the deletion, and comes behind it. */
Test(audit, what_changed_meanwhile_is_not_told)
{
    static const char *const said[] = { EVENTS(1, 6, DELETE(KEY_F, 6)), NULL };

    audit_with(PAGE(5, KV(KEY_F, 4) "," KV(KEY_B, 5), 2), said);
    UNTIL(notes_say(&notes, "( -/f/a ; =/f/b=1 ; ) "), AUDIT_S);
}

/* A watch that says its line when it is time. */
static bool speaks(struct exchange *exchange, void (*wait_for_time)(void), const char *line)
{
    if (!asks(exchange, "/watch"))
        return page_of_audit(exchange);
    while (stream_read(exchange)) {
        stream_behave(exchange);
        if (!strstr(exchange->body, "watch_id"))
            continue;
        watched = true;
        wait_for_time();
        stream_line(exchange, line);
    }
    return true;
}

/* Rule A2: the page shows what the watch tells later. */
static void page_is_not_told(void)
{
    UNTIL(asked, 10);
    UNTIL(notes_count(&notes, LIBSD_EVENT_AUDIT_BEGIN), 10);
    for (double begun = seconds(); seconds() - begun < 0.5;)
        cr_assert_eq(notes_count(&notes, LIBSD_EVENT_AUDIT_KEY), 0);
}

static bool late_event(struct exchange *exchange)
{
    return speaks(exchange, page_is_not_told, EVENTS(1, 6, PUT(KEY_B, 6)));
}

Test(audit, page_waits_for_the_watch)
{
    page = PAGE(6, KV(KEY_F, 4) "," KV(KEY_B, 6), 2);
    lines = NULL;
    sd->audit_ns = 100 * MS;
    gateway_set(late_event);
    follow();
    UNTIL(notes_say(&notes, "( +/f/b=1 ; =/f/a=1 ; ) "), AUDIT_S);
}

/* Rule A3: the key is not in the page, as its deletion is on its way. */
static void page_is_told(void)
{
    UNTIL(notes_count(&notes, LIBSD_EVENT_COMMIT), 10);
}

static bool late_deletion(struct exchange *exchange)
{
    return speaks(exchange, page_is_told, EVENTS(1, 6, DELETE(KEY_F, 6)));
}

Test(audit, end_waits_for_what_is_on_its_way)
{
    page = PAGE(6, , 0);
    lines = NULL;
    sd->audit_ns = 100 * MS;
    gateway_set(late_deletion);
    follow();
    UNTIL(notes_say(&notes, "( ; -/f/a ; ) "), AUDIT_S);
}

/* The stream's events are told while a page lets wait for it. */
static atomic_bool released;

static bool slow_page(struct exchange *exchange)
{
    if (asks(exchange, "/watch"))
        return stream_beside_audit(exchange);
    if (!asks_for_audit(exchange))
        return false;
    UNTIL(released, 4);
    return answer_ok(exchange, page);
}

Test(audit, events_go_on_meanwhile)
{
    static const char *const said[] = { EVENTS(1, 6, PUT(KEY_B, 6)), NULL };

    page = PAGE(5, KV(KEY_F, 4), 1);
    lines = said;
    sd->audit_ns = 100 * MS;
    gateway_set(slow_page);
    follow();
    UNTIL(notes_say(&notes, "( +/f/b=1 ; "), 3);
    released = true;
    UNTIL(notes_say(&notes, "( +/f/b=1 ; =/f/a=1 ; ) "), AUDIT_S);
}

static bool refuses_pages(struct exchange *exchange)
{
    if (asks(exchange, "/watch"))
        return stream_beside_audit(exchange);
    return asks_for_audit(exchange) && answer(exchange, "503 Service Unavailable", "not now");
}

Test(audit, failure_disturbs_nobody)
{
    audit_with(NULL, NULL);
    gateway_set(refuses_pages);
    UNTIL(notes_count(&notes, LIBSD_EVENT_AUDIT_BEGIN) >= 3, AUDIT_S);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_DISCONNECTED), 0);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_LIST_BEGIN), 1);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_AUDIT_END), 0);
    page = PAGE(5, KV(KEY_F, 4), 1);
    gateway_set(quirk);
    UNTIL(notes_say(&notes, "( =/f/a=1 ; ) "), AUDIT_S);
}

/* ---- discovery ----------------------------------------------------------- */

#define SERVICE(key, value) "{\"key\":\"" key "\",\"mod_revision\":\"4\",\"value\":\"" value "\"}"
#define KEY_SA              "L3NlcnZpY2Uvcy9h" /* "/service/s/a" */
#define KEY_SB              "L3NlcnZpY2Uvcy9i"
#define ADDRESS             "MTAuMC4wLjE6ODA=" /* "10.0.0.1:80" */

static char story[200];
static atomic_int changes;

static void note_change(const libsd_change *change, void *arg)
{
    size_t size = strlen(story);

    (void)arg;
    snprintf(story + size, sizeof story - size, "%d%s/%d ", change->type,
             change->instance ? change->instance->name : "", change->reason);
    changes++;
}

/* The list has a, the audit b. */
static bool other_service(struct exchange *exchange)
{
    if (asks(exchange, "/watch"))
        return stream_beside_audit(exchange);
    if (!asks(exchange, "/kv/range") || !strstr(exchange->body, "range_end"))
        return false;
    asked = watched;
    return answer_ok(exchange, watched ? PAGE(5, SERVICE(KEY_SB, ADDRESS), 1)
                                       : PAGE(5, SERVICE(KEY_SA, ADDRESS), 1));
}

Test(audit, discovery_tells_what_was_lost)
{
    libsd_snapshot *snapshot;
    libsd_discovery *discovery;

    sd->audit_ns = 100 * MS;
    lines = NULL;
    gateway_set(other_service);
    cr_assert_eq(libsd_watch_service(sd, "s", note_change, NULL, &discovery), 0);
    UNTIL(changes == 5, AUDIT_S);
    cr_assert_str_eq(story, "1a/1 4/0 1b/8 2a/8 4/0 ");
    snapshot = libsd_discovery_snapshot(discovery);
    cr_assert_eq(libsd_snapshot_count(snapshot), 1);
    cr_assert_not_null(libsd_snapshot_find(snapshot, "s", "b"));
    libsd_snapshot_unref(snapshot);
}

/* ---- with a real etcd --------------------------------------------------- */

#define NOTICED_S 10.0

static struct etcd etcd;

static struct mirror mirror;

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
    UNTIL(notes_count(&notes, LIBSD_EVENT_AUDIT_END) > 0, AUDIT_S);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_LIST_BEGIN), 1);
}

/* ---- beside changes ------------------------------------------------------ */

#define CHANGED_KEYS 300
#define WRITERS      4

static atomic_bool over;

/* Writes and deletes keys in a random order, each thread its own. */
static void *change(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    libsd *own = etcd_open(&etcd, NULL);
    char key[40];

    while (!over) {
        snprintf(key, sizeof key, "/f/%05d", rand_r(&seed) % CHANGED_KEYS);
        if (rand_r(&seed) % 3)
            put(own, key, "x");
        else
            libsd_delete(own, libsd_str(key), 1000);
    }
    libsd_close(own);
    return NULL;
}

TestSuite(beside, .init = setup_etcd, .fini = teardown_etcd, .timeout = 120);

/* The mirror objects to a key that an audit tells wrongly, and to one that it
 * does not tell. */
Test(beside, of_changes_an_audit_finds_nothing)
{
    pthread_t writers[WRITERS];
    libsd_watch *watch;
    libsd_statistics now = { .size = sizeof now };

    mirror_init(&mirror);
    sd->audit_ns = 20 * MS;
    sd->page_limit = 16;
    for (uintptr_t i = 0; i < WRITERS; i++)
        cr_assert_eq(pthread_create(&writers[i], NULL, change, (void *)(i + 1)), 0);
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0,
                                  mirror_take, &mirror, &watch),
                 0);
    UNTIL(mirror_audits(&mirror) >= 8 || *mirror.wrong, 60);
    over = true;
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    UNTIL(mirror_is_current(&mirror, sd, "/f/") || *mirror.wrong, 10);
    cr_assert_str_eq(mirror.wrong, "");
    cr_assert_eq(mirror_lists(&mirror), 1);
    cr_assert_eq(mirror_downs(&mirror), 0);
    libsd_stats(sd, &now);
    cr_assert_eq(now.resyncs, 0);
}
