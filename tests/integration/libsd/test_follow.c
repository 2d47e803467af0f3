/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * LIBSD_WATCH_LIST: a mirror that marks at LIST_BEGIN and sweeps at LIST_END
 * equals the store, whatever happened in between.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "etcd.h"

static struct etcd etcd;
static libsd *sd;

/* Keys are prefix + 5 digits, so that the mirror is an array. */
#define KEYS 20000

struct mirror {
    struct notes notes;
    pthread_mutex_t mutex;
    char prefix[16];
    int mark;
    int marks[KEYS]; /* 0: absent */
    int64_t revisions[KEYS];
    int count;
    int lists;
    bool wrong; /* an event that makes no sense */
};

static struct mirror mirror;

static int index_of(const struct mirror *it, const libsd_kv *kv)
{
    size_t size = strlen(it->prefix);
    char digits[6] = { 0 };

    if (kv->key.size != size + 5 || memcmp(kv->key.data, it->prefix, size) != 0)
        return -1;
    memcpy(digits, (const char *)kv->key.data + size, 5);
    return atoi(digits) < KEYS ? atoi(digits) : -1;
}

static void apply(struct mirror *it, const libsd_event *event)
{
    int i = event->kv ? index_of(it, event->kv) : 0;

    if (i < 0) {
        it->wrong = true;
        return;
    }
    switch (event->type) {
    case LIBSD_EVENT_LIST_BEGIN:
        it->mark++;
        break;
    case LIBSD_EVENT_LIST_END:
        it->lists++;
        for (i = 0; i < KEYS; i++) {
            if (it->marks[i] && it->marks[i] != it->mark) {
                it->marks[i] = 0;
                it->count--;
            }
        }
        break;
    case LIBSD_EVENT_PUT:
        it->count += it->marks[i] == 0;
        it->marks[i] = it->mark;
        it->revisions[i] = event->kv->mod_revision;
        break;
    case LIBSD_EVENT_DELETE:
        it->wrong |= it->marks[i] == 0;
        it->count -= it->marks[i] != 0;
        it->marks[i] = 0;
        break;
    default:
        break;
    }
}

static void mirror_take(const libsd_event *event, void *arg)
{
    struct mirror *it = arg;

    pthread_mutex_lock(&it->mutex);
    apply(it, event);
    pthread_mutex_unlock(&it->mutex);
    notes_take(event, &it->notes);
}

static int count(void)
{
    int now;

    pthread_mutex_lock(&mirror.mutex);
    now = mirror.count;
    pthread_mutex_unlock(&mirror.mutex);
    return now;
}

static int lists(void)
{
    return notes_count(&mirror.notes, LIBSD_EVENT_LIST_END);
}

static void setup(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
    notes_init(&mirror.notes);
    pthread_mutex_init(&mirror.mutex, NULL);
    strcpy(mirror.prefix, "/f/");
}

static void teardown(void)
{
    libsd_close(sd);
    etcd_end(&etcd);
}

TestSuite(follow, .init = setup, .fini = teardown, .timeout = 90);

static libsd_watch *follow(void)
{
    libsd_watch *watch = NULL;

    cr_assert_eq(libsd_watch_open(sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0,
                                  mirror_take, &mirror, &watch),
                 0);
    return watch;
}

static void follow_live(void)
{
    follow();
    UNTIL(notes_count(&mirror.notes, LIBSD_EVENT_CONNECTED) == 1, 10);
}

static void delete_key(const char *key)
{
    cr_assert_eq(libsd_delete(sd, libsd_str(key), 0), 1);
}

Test(follow, empty_prefix_is_a_complete_list)
{
    follow_live();
    UNTIL(notes_say(&mirror.notes, "[ ] up "), 5);
    cr_assert_eq(count(), 0);
}

Test(follow, list_comes_first_then_changes)
{
    put(sd, "/f/00001", "a");
    put(sd, "/f/00002", "b");
    follow_live();
    put(sd, "/f/00003", "c");
    delete_key("/f/00001");
    UNTIL(notes_say(&mirror.notes, "[ +/f/00001=a +/f/00002=b ] up +/f/00003=c ; -/f/00001 ; "), 5);
    cr_assert_eq(count(), 2);
}

Test(follow, single_key_can_be_followed)
{
    static struct notes notes; /* events may come until the handle is closed */
    libsd_watch *watch;

    notes_init(&notes);
    put(sd, "/f", "a");
    put(sd, "/f/x", "b");
    cr_assert_eq(
        libsd_watch_open(sd, libsd_str("/f"), LIBSD_WATCH_LIST, 0, notes_take, &notes, &watch), 0);
    UNTIL(notes_say(&notes, "[ +/f=a ] up "), 5);
    put(sd, "/f/x", "c");
    put(sd, "/f", "d");
    UNTIL(notes_say(&notes, "up +/f=d ; "), 5);
}

Test(follow, many_pages_are_one_list)
{
    put_many(&etcd, "/f/", 17000);
    follow_live();
    cr_assert_eq(count(), 17000);
    cr_assert_eq(lists(), 1);
    cr_assert_eq(notes_count(&mirror.notes, LIBSD_EVENT_PUT), 17000);
    cr_assert_not(mirror.wrong);
}

Test(follow, changes_while_listing_are_not_lost)
{
    char key[20];

    put_many(&etcd, "/f/", 15000);
    follow();
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "/f/%05d", 15000 + i);
        put(sd, key, "late");
        snprintf(key, sizeof key, "/f/%05d", i);
        delete_key(key);
    }
    UNTIL(lists() >= 1 && count() == 15000, 10);
    UNTIL(notes_say(&mirror.notes, "-/f/00099") || lists() > 1 || count() == 15000, 5);
    cr_assert_not(mirror.wrong);
}

Test(follow, killed_and_restarted_etcd_is_resumed_without_a_new_list)
{
    put(sd, "/f/00001", "a");
    follow_live();
    etcd_kill(&etcd);
    UNTIL(notes_count(&mirror.notes, LIBSD_EVENT_DISCONNECTED) == 1, 5);
    cr_assert_eq(count(), 1, "an outage must not empty the mirror");
    etcd_restart(&etcd);
    put(sd, "/f/00002", "b");
    UNTIL(count() == 2, 10);
    cr_assert_eq(lists(), 1);
    cr_assert_not(mirror.wrong);
}

/* The follower can't see the store while it is changed and compacted: that is
 * done under another address. */
static void change_out_of_sight(void)
{
    char url[sizeof etcd.url];
    libsd *other;

    memcpy(url, etcd.url, sizeof url);
    etcd_kill(&etcd);
    etcd_move(&etcd);
    etcd_restart(&etcd);
    other = etcd_open(&etcd, NULL);
    cr_assert_eq(libsd_delete(other, libsd_str("/f/00001"), 0), 1);
    put(other, "/f/00003", "a");
    etcd_compact(&etcd, put(other, "/elsewhere", "x"));
    libsd_close(other);
    etcd_kill(&etcd);
    memcpy(etcd.url, url, sizeof url);
    etcd_restart(&etcd);
}

Test(follow, compaction_while_disconnected_leads_to_a_new_list)
{
    put(sd, "/f/00001", "a");
    put(sd, "/f/00002", "a");
    follow_live();
    change_out_of_sight();
    UNTIL(lists() == 2, 10);
    UNTIL(count() == 2, 5);
    cr_assert(mirror.marks[1] == 0 && mirror.marks[2] && mirror.marks[3]);
    cr_assert_eq(notes_count(&mirror.notes, LIBSD_EVENT_DELETE), 0, "swept, not told");
    put(sd, "/f/00004", "a");
    UNTIL(count() == 3, 5);
}

Test(follow, wiped_store_leads_to_a_new_list)
{
    for (int i = 0; i < 30; i++)
        put(sd, "/f/00001", "a");
    put(sd, "/f/00002", "a");
    follow_live();
    etcd_kill(&etcd);
    etcd_wipe(&etcd);
    etcd_restart(&etcd);
    put(sd, "/f/00003", "b");
    UNTIL(lists() == 2, 15);
    UNTIL(count() == 1, 5);
    cr_assert_eq(mirror.marks[3], mirror.mark);
    put(sd, "/f/00004", "b");
    UNTIL(count() == 2, 5);
}

Test(follow, list_starts_when_etcd_does)
{
    etcd_kill(&etcd);
    follow();
    UNTIL(notes_count(&mirror.notes, LIBSD_EVENT_DISCONNECTED) == 1, 5);
    cr_assert_eq(lists(), 0);
    etcd_restart(&etcd);
    UNTIL(lists() == 1, 10);
    UNTIL(notes_say(&mirror.notes, "down [ ] up"), 5);
}

Test(follow, transactions_arrive_whole)
{
    follow_live();
    for (int i = 0; i < 5; i++)
        put_many(&etcd, "/f/", 100);
    UNTIL(notes_count(&mirror.notes, LIBSD_EVENT_COMMIT) == 5, 5);
    cr_assert_eq(notes_count(&mirror.notes, LIBSD_EVENT_PUT), 500);
    cr_assert_not(mirror.notes.disordered);
}

Test(follow, slow_reader_makes_listing_wait_and_still_sees_all)
{
    libsd *manual = etcd_open(&etcd, "manual");
    static char value[300000];
    libsd_watch *watch;
    double begin;
    char key[20];

    memset(value, 'x', sizeof value);
    for (int i = 0; i < 400; i++) {
        snprintf(key, sizeof key, "/f/%05d", i);
        cr_assert_eq(libsd_put(sd, libsd_str(key), libsd_bytes(value, sizeof value), 0, NULL, 0),
                     0);
    }
    cr_assert_eq(libsd_watch_open(manual, libsd_str("/f/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST,
                                  0, mirror_take, &mirror, &watch),
                 0);
    begin = seconds();
    while (lists() == 0 && seconds() - begin < 30) {
        if (libsd_dispatch(manual, 1) == 0)
            nap();
    }
    cr_assert_eq(count(), 400);
    libsd_close(manual);
}
