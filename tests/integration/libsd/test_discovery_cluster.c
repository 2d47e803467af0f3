/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What one who watches a service is told while members of a cluster die and come
 * back: each appearance and each disappearance once, whatever was told when.
 *
 * Instances are "i0" to "i9"; i0 belongs to a service that was killed, so its lease
 * ends somewhere in between.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cluster.h"
#include "diary.h"
#include "proxy.h"
#include "scene.h"

static struct cluster cluster;
static libsd *sd;    /* watches */
static libsd *other; /* registers, by other members than the victim */
static struct diary diary;

/* An election takes 1.2 to 2.7 s; a watch on a killed member is cut at once and made
 * again at the next one. */
#define KILLED_S  6.0

/* A new leader gives leases their TTL anew, and looks for ended ones each 0.5 s. */
#define TTL_S     3
#define EXPIRED_S (3 + TTL_S + 3.0)

/* Without a leader all refuse at once; asked again each 2 s at least. */
#define QUORUM_S  6.0

/* An attempt that hangs takes 3 s, the next one is made 2 s later at most. */
#define THAWED_S  8.0

static void setup(void)
{
    cluster_start(&cluster);
}

static void teardown(void)
{
    cr_assert_not(diary.odd);
    libsd_close(sd);
    libsd_close(other);
    cluster_end(&cluster);
}

TestSuite(discovery_cluster, .init = setup, .fini = teardown, .timeout = 90);

/* ---- what happens ------------------------------------------------------- */

static void come(int number, int64_t lease)
{
    char key[40], value[40];

    snprintf(key, sizeof key, "/service/user/i%d", number);
    snprintf(value, sizeof value, "10.0.0.%d:80", number);
    UNTIL(libsd_put(other, libsd_str(key), libsd_str(value), lease, NULL, 0) == 0, KILLED_S);
}

static void go(int number)
{
    char key[40];

    snprintf(key, sizeof key, "/service/user/i%d", number);
    UNTIL(libsd_delete(other, libsd_str(key), 0) >= 0, KILLED_S);
}

/* i3 comes, i2 goes, and i4 does both. */
static void come_and_go(void)
{
    come(3, 0);
    go(2);
    come(4, 0);
    go(4);
}

static void watch(const char *endpoints)
{
    diary_init(&diary);
    sd = open_with(endpoints, NULL);
    cr_assert_eq(libsd_watch_service(sd, "user", diary_take, &diary, NULL), 0);
    UNTIL(diary_count(&diary, LIBSD_SYNCED) == 1, 5);
}

static void begin(const struct etcd *victim)
{
    char others[sizeof cluster.urls];

    cluster_others(&cluster, victim, others);
    other = open_with(others, NULL);
    come(1, 0);
    come(2, 0);
}

static void come_for_a_while(void)
{
    int64_t lease;

    cr_assert_eq(libsd_lease_grant(other, TTL_S, &lease, NULL, 0), 0);
    come(0, lease);
    UNTIL(diary_count(&diary, LIBSD_ONLINE) == 3, KILLED_S);
}

/* A handle begins at a random endpoint, so it is opened until that is the
 * victim. */
static void begin_at(const struct etcd *victim)
{
    begin(victim);
    watch(cluster.urls);
    while (!etcd_is_connected(victim)) {
        libsd_close(sd);
        watch(cluster.urls);
    }
    come_for_a_while();
}

/* ---- what was told of it ------------------------------------------------ */

static bool has_told(int online, int offline)
{
    return diary_count(&diary, LIBSD_ONLINE) == online &&
           diary_count(&diary, LIBSD_OFFLINE) == offline;
}

/* Who is there by what was told, a bit for each; nobody came twice, and nobody
 * changed or went who was not there. */
static unsigned told(void)
{
    unsigned there = 0;

    pthread_mutex_lock(&diary.mutex);
    for (const char *word = diary.text; *word; word = strchr(word, ' ') + 1) {
        unsigned bit = strchr("+-~", word[0]) ? 1u << (word[2] - '0') : 0;

        cr_assert_eq(!(there & bit), !bit || word[0] == '+', "at '%s' of '%s'", word, diary.text);
        if (word[0] != '~')
            there ^= bit;
    }
    pthread_mutex_unlock(&diary.mutex);
    return there;
}

/* i9 is the last to come: what was told twice would have been before. */
static void all_was_told(int online, int offline, unsigned there)
{
    come(9, 0);
    UNTIL(diary_count(&diary, LIBSD_ONLINE) > online, KILLED_S);
    cr_assert(has_told(online + 1, offline), "%s", diary.text);
    cr_assert_eq(told(), there | 1u << 9, "%s", diary.text);
    UNTIL(diary_count(&diary, LIBSD_IN_SIGHT) == diary_count(&diary, LIBSD_OUT_OF_SIGHT), KILLED_S);
}

/* ---- the cases ---------------------------------------------------------- */

static void kill_and_restart(struct etcd *victim)
{
    begin_at(victim);
    etcd_kill(victim);
    come_and_go();
    UNTIL(diary_count(&diary, LIBSD_ONLINE) == 5, KILLED_S);
    UNTIL(has_told(5, 3), EXPIRED_S);
    etcd_restart(victim);
    come(5, 0);
    UNTIL(has_told(6, 3), KILLED_S);
    all_was_told(6, 3, 1u << 1 | 1u << 3 | 1u << 5);
    cr_assert_null(strstr(diary.text, "resync"), "%s", diary.text);
    cr_assert_not(diary.disordered);
}

Test(discovery_cluster, leader_is_killed)
{
    kill_and_restart(cluster_leader(&cluster));
}

Test(discovery_cluster, follower_is_killed)
{
    kill_and_restart(cluster_follower(&cluster));
}

/* Who is left could go on telling old news; nobody goes for want of news. */
Test(discovery_cluster, quorum_is_lost_and_regained)
{
    struct etcd *left = cluster_follower(&cluster);

    begin_at(left);
    for (int i = 0; i < MEMBERS; i++) {
        if (&cluster.members[i] != left)
            etcd_kill(&cluster.members[i]);
    }
    UNTIL(diary_count(&diary, LIBSD_OUT_OF_SIGHT) == 1, QUORUM_S);
    cr_assert_eq(told() | 1, 7);
    for (int i = 0; i < MEMBERS; i++) {
        if (&cluster.members[i] != left)
            etcd_run(&cluster.members[i]);
    }
    for (int i = 0; i < MEMBERS; i++)
        UNTIL(etcd_is_up(&cluster.members[i]), 20);
    come_and_go();
    UNTIL(diary_count(&diary, LIBSD_ONLINE) == 5, QUORUM_S);
    UNTIL(has_told(5, 3), EXPIRED_S);
    all_was_told(5, 3, 1u << 1 | 1u << 3);
    cr_assert_null(strstr(diary.text, "resync"), "%s", diary.text);
}

/* The way to the victim stays shut until it knows of the compaction: what came
 * and went meanwhile is never told of, what else differs is told once. */
Test(discovery_cluster, history_is_compacted_while_away)
{
    struct etcd *victim = cluster_follower(&cluster);
    const struct etcd *leader = cluster_leader(&cluster);
    struct proxy proxy;

    proxy_start(&proxy, victim->url, NULL);
    begin(victim);
    watch(proxy.url);
    come_for_a_while();
    etcd_kill(victim);
    UNTIL(diary_count(&diary, LIBSD_OUT_OF_SIGHT) == 1, KILLED_S);
    proxy_freeze(&proxy);
    come_and_go();
    UNTIL(absent(other, "/service/user/i0"), EXPIRED_S);
    etcd_compact(leader, put(other, "/elsewhere", "x"));
    etcd_restart(victim);
    proxy_thaw(&proxy);
    UNTIL(diary_count(&diary, LIBSD_SYNCED) == 2, THAWED_S);
    cr_assert(has_told(4, 2), "%s", diary.text);
    cr_assert(strstr(diary.text, "+i3:resync -i2:resync -i0:resync synced ") != NULL, "%s",
              diary.text);
    all_was_told(4, 2, 1u << 1 | 1u << 3);
    proxy_end(&proxy);
}
