/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A store of one member that is killed and restarted, or hangs, again and again.
 * After each time the registration is back and the follower's mirror is what the
 * store is; after all of them nothing has piled up.
 *
 * FAULT_CYCLES in the environment makes it longer.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "cost.h"
#include "etcd.h"
#include "scene.h"

#define CYCLES       4

#define TTL_S        2

/* What is promised: back within the TTL and 3 s of the store's return. */
#define REGISTERED_S (TTL_S + 3.0)

/* What waits for an etcd that is back asks again each 2 s at least. */
#define BACK_S       4.0

/* A store that is silent is found out after 8 s: the first sign of life is
 * asked for after 4 s, and two of 2 s each may be missed. */
#define NOTICED_S    10.0

/* Of a core, during an outage and behind it; 1 would be a thread that spins. */
#define OUTAGE_COST  0.05

static struct etcd etcd;
static struct scene scene;

static void setup(void)
{
    etcd_start(&etcd);
    scene_start(&scene, open_with(etcd.url, NULL), open_with(etcd.url, NULL), TTL_S);
}

static void teardown(void)
{
    scene_end(&scene);
    etcd_end(&etcd);
}

TestSuite(cycles, .init = setup, .fini = teardown, .timeout = 3500);

static void costs_little(double wait_s)
{
    double cost = cost_of_waiting(wait_s);

    cr_assert(cost < OUTAGE_COST, "%g of a core over %g s", cost, wait_s);
}

/* The store is there again. */
static void all_is_well(void)
{
    UNTIL(scene_is_well(&scene), REGISTERED_S);
    scene_becomes_current(&scene, BACK_S);
    cr_assert_eq(scene_resyncs(&scene), 0, "what was missed was listed, not told");
    costs_little(0.3);
}

static void again_and_again(void (*fault)(int cycle))
{
    const char *wanted = getenv("FAULT_CYCLES");
    struct holdings holdings = { .cycles = wanted ? atoi(wanted) : CYCLES };

    for (int i = 0; i < holdings.cycles; i++) {
        scene_stir(&scene); /* its events may be on their way still */
        fault(i);
        all_is_well();
        holdings_note(&holdings, i);
    }
    holdings_check(&holdings);
}

/* For less than the TTL, for more, and for just about it. */
static void kill_and_restart(int cycle)
{
    etcd_kill(&etcd);
    costs_little(0.5 + cycle % 4);
    etcd_restart(&etcd);
}

Test(cycles, store_that_is_killed_leaves_nothing_behind)
{
    again_and_again(kill_and_restart);
}

/* For less than the TTL, for more, and until it is found out. */
static void freeze_and_thaw(int cycle)
{
    int downs = mirror_downs(&scene.mirror);

    etcd_freeze(&etcd);
    if (cycle % 4 == 3)
        UNTIL(mirror_downs(&scene.mirror) == downs + 1, NOTICED_S);
    else
        costs_little(0.5 + cycle % 4);
    etcd_thaw(&etcd);
}

Test(cycles, store_that_hangs_leaves_nothing_behind)
{
    again_and_again(freeze_and_thaw);
}
