/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whose turn it is: proportions, smoothness, priorities, stickiness, and who
 * rests, by a clock of the test's own.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pick.h"

enum {
    MOST = 2000
};

static struct libsd_snapshot *snapshot;
static struct lane lane;
static struct outliers outliers;
static int got[MOST];

static void add(uint32_t weight, uint32_t priority)
{
    char name[20];
    libsd_instance instance = { .family = 4,
                                .port = 80,
                                .weight = weight,
                                .priority = priority,
                                .service = "user",
                                .name = name };
    struct peer *peer;

    if (!snapshot)
        snapshot = snapshot_new(MOST);
    snprintf(name, sizeof name, "%05zu", snapshot->count);
    instance.address[0] = 10;
    instance.address[2] = (uint8_t)(snapshot->count >> 8);
    instance.address[3] = (uint8_t)snapshot->count;
    peer = peer_copy(&instance);
    snapshot_add(snapshot, peer);
    peer_unref(peer);
}

static int pick_at(int policy, const char *key, int64_t now)
{
    const struct pick pick = { .policy = policy,
                               .key = key ? rota_key(libsd_str(key)) : 0,
                               .lane = &lane,
                               .outliers = &outliers,
                               .now = now };

    return atoi(pick_peer(&pick, snapshot)->instance.name);
}

static void pick_many(int policy, int times)
{
    memset(got, 0, sizeof got);
    for (int i = 0; i < times; i++)
        got[pick_at(policy, NULL, 0)]++;
}

static void report(int i, bool ok, int64_t now)
{
    cr_assert(outliers_report(&outliers, snapshot->peers[i]->identity, ok, now));
}

static void end(void)
{
    libsd_snapshot_unref(snapshot);
}

TestSuite(pick, .fini = end);

Test(pick, round_robin_goes_round)
{
    for (int i = 0; i < 7; i++)
        add((uint32_t)i, 0);
    atomic_store(&lane.turn, 12345);
    for (int i = 0, first = pick_at(LIBSD_PICK_ROUND_ROBIN, NULL, 0); i < 70; i++)
        cr_assert_eq(pick_at(LIBSD_PICK_ROUND_ROBIN, NULL, 0), (first + 1 + i) % 7);
}

Test(pick, without_weights_weighted_is_round_robin)
{
    for (int i = 0; i < 5; i++)
        add(i % 2 ? 1 : 0, 0); /* none counts as 1 */
    pick_many(LIBSD_PICK_WEIGHTED, 50);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(got[i], 10);
}

Test(pick, single_instance_is_always_picked)
{
    add(3, 7);
    for (int policy = LIBSD_PICK_WEIGHTED; policy <= LIBSD_PICK_STICKY; policy++)
        cr_assert_eq(pick_at(policy, "k", 0), 0);
}

/* The sequence that nginx's commit message gives for weights 5, 1, 1. */
Test(pick, weights_are_nginx_smooth)
{
    char sequence[16] = "";

    add(50, 0);
    add(10, 0);
    add(10, 0);
    for (int i = 0; i < 14; i++)
        sequence[i] = (char)('a' + pick_at(LIBSD_PICK_WEIGHTED, NULL, 0));
    cr_assert_str_eq(sequence, "aabacaaaabacaa");
}

/* In a round each gets exactly its share; before its end nobody is off by more
 * than one turn or so. */
Test(pick, weighted_round_is_exact_and_even)
{
    static const uint32_t weights[] = { 1, 2, 3, 10, 20, 5, 9 };
    enum {
        COUNT = sizeof weights / sizeof *weights,
        ROUND = 50
    };

    for (int i = 0; i < COUNT; i++)
        add(weights[i], 0);
    for (int round = 0; round < 3; round++) {
        memset(got, 0, sizeof got);
        for (int turn = 1; turn <= ROUND; turn++) {
            got[pick_at(LIBSD_PICK_WEIGHTED, NULL, 0)]++;
            for (int i = 0; i < COUNT; i++)
                cr_assert(fabs(got[i] - (double)turn * weights[i] / ROUND) < 1.5,
                          "%d after %d turns: %d", i, turn, got[i]);
        }
        for (int i = 0; i < COUNT; i++)
            cr_assert_eq(got[i], (int)weights[i]);
    }
}

/* Too long a round to be written down. */
Test(pick, any_weights_are_kept_to)
{
    double total = 0;

    for (int i = 0; i < 1000; i++) {
        add((uint32_t)(1 + i * 13 % 997), 0);
        total += 1 + i * 13 % 997;
    }
    for (int policy = LIBSD_PICK_WEIGHTED; policy <= LIBSD_PICK_RANDOM; policy += 2) {
        pick_many(policy, 1000000);
        for (int i = 0; i < 1000; i++) {
            double wanted = 1e6 * (1 + i * 13 % 997) / total;
            double off = got[i] - wanted;

            /* Six times what chance alone makes of it. */
            cr_assert(off * off < 36 * (wanted + 1), "%d: %d, not %g", i, got[i], wanted);
        }
    }
}

Test(pick, heaviest_of_many_light_ones_is_not_lost)
{
    add(65535, 0);
    for (int i = 0; i < 999; i++)
        add(1, 0);
    pick_many(LIBSD_PICK_WEIGHTED, 66534);
    cr_assert(abs(got[0] - 65535) < 50, "%d", got[0]);
}

/* Chi-squared with 99 degrees of freedom: above 190 once in ten million. */
Test(pick, random_is_even)
{
    double deviation = 0;

    for (int i = 0; i < 100; i++)
        add(0, 0);
    pick_many(LIBSD_PICK_RANDOM, 100000);
    for (int i = 0; i < 100; i++)
        deviation += (got[i] - 1000.0) * (got[i] - 1000.0) / 1000;
    cr_assert(deviation < 190, "%g", deviation);
    cr_assert(deviation > 30, "too even to be random: %g", deviation);
}

Test(pick, random_counts_weights)
{
    add(1, 0);
    add(3, 0);
    pick_many(LIBSD_PICK_RANDOM, 40000);
    cr_assert(abs(got[1] - 30000) < 600, "%d", got[1]);
}

/* ---- priorities --------------------------------------------------------- */

Test(pick, lowest_priority_serves_alone)
{
    add(0, 20);
    add(0, 10);
    add(0, 10);
    add(0, 30);
    pick_many(LIBSD_PICK_WEIGHTED, 100);
    cr_assert_eq(got[1], 50);
    cr_assert_eq(got[2], 50);
}

Test(pick, next_priority_serves_when_the_first_rests)
{
    add(0, 20);
    add(0, 10);
    add(0, 10);
    report(1, false, 0);
    pick_many(LIBSD_PICK_ROUND_ROBIN, 10);
    cr_assert_eq(got[2], 10);
    report(2, false, 0);
    pick_many(LIBSD_PICK_ROUND_ROBIN, 10);
    cr_assert_eq(got[0], 10);
    report(0, false, 0);
    pick_many(LIBSD_PICK_ROUND_ROBIN, 10);
    cr_assert_eq(got[1] + got[2], 10); /* all rest: as if none did */
}

/* ---- resting ------------------------------------------------------------ */

#define SECOND INT64_C(1000000000)

Test(pick, share_of_a_resting_one_goes_to_all_others)
{
    for (int i = 0; i < 4; i++)
        add(0, 0);
    report(1, false, 0);
    pick_many(LIBSD_PICK_ROUND_ROBIN, 300);
    cr_assert_eq(got[1], 0);
    cr_assert_eq(got[0], 100);
    cr_assert_eq(got[2], 100);
    cr_assert_eq(got[3], 100);
}

Test(pick, rest_doubles_up_to_a_minute)
{
    static const int rests[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
    uint64_t identity;
    int64_t now = 1000 * SECOND;

    add(0, 0);
    identity = snapshot->peers[0]->identity;
    for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
        report(0, false, now);
        report(0, false, now + SECOND / 2); /* the same outage */
        cr_assert(outliers_rests(&outliers, identity, now + rests[i] * SECOND - 1));
        now += rests[i] * SECOND;
        cr_assert_not(outliers_rests(&outliers, identity, now), "rest %zu", i);
    }
    report(0, true, now);
    report(0, false, now);
    cr_assert_not(outliers_rests(&outliers, identity, now + SECOND));
}

Test(pick, success_ends_a_rest)
{
    add(0, 0);
    add(0, 0);
    report(0, false, 0);
    cr_assert_eq(atomic_load(&outliers.used), 1);
    report(0, true, 0);
    cr_assert_eq(atomic_load(&outliers.used), 0);
    pick_many(LIBSD_PICK_ROUND_ROBIN, 10);
    cr_assert_eq(got[0], 5);
}

Test(pick, one_works_among_a_thousand_at_rest)
{
    for (int i = 0; i < 900; i++)
        add(0, 0);
    for (int i = 0; i < 900; i++)
        if (i != 777)
            report(i, false, 0);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(pick_at(i % 4, "key", 0), 777);
}

/* Whatever is reported, memory and time are bounded, and forgotten places are
 * used again. */
Test(pick, places_of_the_long_forgotten_are_used_again)
{
    int taken = 0;

    for (uint64_t i = 1; i < 100000; i++)
        taken += outliers_report(&outliers, i * UINT64_C(0x9e3779b97f4a7c15), false, 0);
    cr_assert_eq(taken, OUTLIERS);
    cr_assert(outliers_report(&outliers, 7, false, 1000 * SECOND));
    cr_assert(outliers_rests(&outliers, 7, 1000 * SECOND));
}

/* ---- sticky ------------------------------------------------------------- */

enum {
    KEYS = 20000
};

static int sticky(int key)
{
    char text[20];

    snprintf(text, sizeof text, "user-%d", key);
    return pick_at(LIBSD_PICK_STICKY, text, 0);
}

Test(pick, keys_stay_and_are_spread)
{
    for (int i = 0; i < 20; i++)
        add(0, 0);
    for (int key = 0; key < KEYS; key++) {
        int picked = sticky(key);

        got[picked]++;
        cr_assert_eq(sticky(key), picked);
    }
    for (int i = 0; i < 20; i++)
        cr_assert(abs(got[i] - 1000) < 200, "%d: %d", i, got[i]);
}

Test(pick, no_key_moves_but_those_of_the_one_that_went)
{
    static int before[KEYS];
    int moved[20] = { 0 };

    for (int i = 0; i < 20; i++)
        add(0, 0);
    for (int key = 0; key < KEYS; key++)
        before[key] = sticky(key);
    report(7, false, 0); /* it rests: as good as gone */
    for (int key = 0; key < KEYS; key++) {
        int after = sticky(key);

        if (before[key] != 7)
            cr_assert_eq(after, before[key]);
        else
            moved[after]++;
    }
    cr_assert_eq(moved[7], 0);
    for (int i = 0; i < 20; i++)
        cr_assert(i == 7 || moved[i] > 10, "%d got %d", i, moved[i]);
    report(7, true, 0);
    add(0, 0); /* a new one takes a share from all, and nothing else moves */
    libsd_snapshot *grown = snapshot_new(MOST);
    for (size_t i = 0; i < snapshot->count; i++)
        snapshot_add(grown, snapshot->peers[i]);
    libsd_snapshot_unref(snapshot);
    snapshot = grown;
    for (int key = 0; key < KEYS; key++) {
        int after = sticky(key);

        cr_assert(after == before[key] || after == 20);
    }
}

/* Other processes, and other releases, must come to the same. */
Test(pick, identities_and_scores_are_for_ever)
{
    const uint8_t address[16] = { 10, 0, 0, 1 };

    cr_assert_eq(peer_identity(4, address, 80, NULL), UINT64_C(0x894912e4f7338682));
    cr_assert_eq(rota_score(rota_key(libsd_str("user-1")), 1), UINT64_C(0x817238efa8eab96b));
}
