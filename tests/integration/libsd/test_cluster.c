/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Members of a cluster die, hang, lose each other and come back: the
 * registration stays or returns, a follower misses nothing, nothing spins.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "cost.h"
#include "scene.h"

static struct cluster cluster;
static struct scene scene;

/* Short, but not so short that an election alone ends the lease. */
#define TTL_S          5

/* A watch on a killed member is cut at once and made again at the next one; an
 * election takes 1.2 to 2.7 s. */
#define KILLED_S       6.0

/* A silent member is found out by its missing signs of life: the first is asked
 * for after 4 s, and two of 2 s each may be missed. */
#define NOTICED_S      10.0

/* Members that start anew have a leader after 1 to 3 s, and are asked again
 * each 2 s at least. */
#define RESTARTED_S    8.0

/* Without a leader all refuse at once; asked again each 2 s at least. */
#define QUORUM_S       6.0

/* What is promised: back within the TTL and 3 s of the store's return. */
#define REGISTERED_S   (TTL_S + 3.0)

/* One attempt of 3 s, and all others elsewhere. */
#define HANGING_CALL_S 4.0

/* Of a core, while the store is away; 1 would be a thread that spins. */
#define OUTAGE_COST    0.05

static void setup(void)
{
    cluster_start(&cluster);
}

static void teardown(void)
{
    scene_end(&scene);
    cluster_end(&cluster);
}

TestSuite(cluster, .init = setup, .fini = teardown, .timeout = 90);

/* The scene, with all that is under test on the victim's connections.  A handle
 * begins at a random endpoint, so it is opened until it has begun there. */
static void enter(const struct etcd *victim)
{
    char others[sizeof cluster.urls];

    cluster_others(&cluster, victim, others);
    for (;;) {
        scene_start(&scene, open_with(cluster.urls, NULL), open_with(others, NULL), TTL_S);
        if (etcd_is_connected(victim))
            return;
        scene_end(&scene);
    }
}

/* The key was there all the time, and every event came.  An election may take
 * longer than the rest of the TTL: then the service was told of a loss that was
 * none. */
static void went_on(double limit_s)
{
    scene_becomes_current(&scene, limit_s);
    cr_assert(scene_is_registered(&scene));
    cr_assert_eq(scene_writes(&scene), 1, "the key was made anew");
    UNTIL(scene_is_told(&scene, "R") || scene_is_told(&scene, "RLR"), REGISTERED_S);
    cr_assert_eq(mirror_lists(&scene.mirror), 1);
}

static void kill_and_restart(struct etcd *victim)
{
    enter(victim);
    etcd_kill(victim);
    went_on(KILLED_S);
    etcd_restart(victim);
    went_on(KILLED_S);
}

Test(cluster, follower_is_killed)
{
    kill_and_restart(cluster_follower(&cluster));
}

Test(cluster, leader_is_killed)
{
    kill_and_restart(cluster_leader(&cluster));
}

static void freeze_and_thaw(struct etcd *victim)
{
    enter(victim);
    etcd_freeze(victim);
    UNTIL(mirror_downs(&scene.mirror) == 1, NOTICED_S);
    went_on(KILLED_S);
    etcd_thaw(victim);
    went_on(KILLED_S);
}

Test(cluster, follower_hangs)
{
    freeze_and_thaw(cluster_follower(&cluster));
}

Test(cluster, leader_hangs)
{
    freeze_and_thaw(cluster_leader(&cluster));
}

/* One after the other, as in an upgrade. */
Test(cluster, members_are_restarted_in_turn)
{
    enter(&cluster.members[0]);
    for (int i = 0; i < MEMBERS; i++) {
        etcd_kill(&cluster.members[i]);
        scene_becomes_current(&scene, KILLED_S);
        etcd_restart(&cluster.members[i]);
        UNTIL(etcd_is_up(&cluster.members[i]), 10);
    }
    cr_assert_eq(scene_writes(&scene), 1, "the key was made anew");
    cr_assert(scene_is_registered(&scene));
    cr_assert_eq(mirror_lists(&scene.mirror), 1);
}

static void all_up(void)
{
    for (int i = 0; i < MEMBERS; i++)
        UNTIL(etcd_is_up(&cluster.members[i]), 20);
}

Test(cluster, all_members_are_killed_and_restarted)
{
    enter(&cluster.members[0]);
    for (int i = 0; i < MEMBERS; i++)
        etcd_kill(&cluster.members[i]);
    cr_assert(cost_of_waiting(TTL_S + 1) < OUTAGE_COST);
    cr_assert(scene_is_told(&scene, "RL"), "%s", scene.story);
    for (int i = 0; i < MEMBERS; i++)
        etcd_run(&cluster.members[i]);
    all_up();
    UNTIL(scene_is_told(&scene, "RLR"), REGISTERED_S);
    scene_becomes_current(&scene, RESTARTED_S);
    cr_assert(scene_is_registered(&scene));
    cr_assert_eq(mirror_lists(&scene.mirror), 1);
}

/* Two hang: who is left knows the state, but may not answer for it. */
Test(cluster, quorum_is_lost_and_regained)
{
    struct etcd *left = cluster_follower(&cluster);

    enter(left);
    for (int i = 0; i < MEMBERS; i++) {
        if (&cluster.members[i] != left)
            etcd_kill(&cluster.members[i]);
    }
    UNTIL(mirror_downs(&scene.mirror) == 1, 6);
    cr_assert(cost_of_waiting(6) < OUTAGE_COST);
    cr_assert(scene_is_told(&scene, "RL"), "%s", scene.story);
    for (int i = 0; i < MEMBERS; i++) {
        if (&cluster.members[i] != left)
            etcd_run(&cluster.members[i]);
    }
    all_up();
    UNTIL(scene_is_told(&scene, "RLR"), REGISTERED_S);
    scene_becomes_current(&scene, QUORUM_S);
    cr_assert_eq(mirror_lists(&scene.mirror), 1);
}

/* Calls of the application find their way in time, too. */
Test(cluster, calls_pass_a_member_that_hangs)
{
    struct etcd *victim = cluster_follower(&cluster);
    double begin;

    enter(victim);
    etcd_freeze(victim);
    begin = seconds();
    for (int i = 0; i < 20; i++)
        cr_assert(has(scene.sd, SCENE_KEY, SCENE_ADDRESS), "call %d", i);
    cr_assert(seconds() - begin < HANGING_CALL_S, "%g s", seconds() - begin);
    etcd_thaw(victim);
}
