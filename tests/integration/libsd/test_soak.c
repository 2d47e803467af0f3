/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Registrations for a long time, by processes that are killed, stopped, resumed
 * and started again, in a cluster whose members are, too.  All along somebody
 * reads the keys without libsd and holds against what was done:
 *
 *  1. A process that runs is never without its keys for longer than its TTL and
 *     3 s, as long as most members run.
 *  2. The keys of one that does not are never there for longer than its TTL and
 *     1.5 s, as long as one leader leads.
 *  3. What a process holds in memory, threads and descriptors does not grow.
 *
 * SOAK_SECONDS in the environment makes it longer; SEED repeats what is done.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cluster.h"
#include "cost.h"
#include "crew.h"

#define TTL_S     3
#define SECONDS   22
#define LOOK_S    0.1

/* Rule 1. */
#define ABSENT_S  (TTL_S + 3.0)

/* Rule 2.  A new leader gives each lease its whole TTL anew, and an election
 * timeout, 1 s, on top of it: lessor.Promote() in etcd. */
#define PRESENT_S (TTL_S + 1.5)
#define EXTEND_S  1.0

/* Rule 3.  Buffers and the heap's own slack come and go. */
#define RSS_KIB   1500
#define SPARE_FDS 6

/* A member that was started or thawed is in step again behind that. */
#define SETTLE_S  4.0

static struct cluster cluster;
static struct mate crew[CREW_SIZE];

/* Members that were killed or frozen. */
static struct {
    struct etcd *down[MEMBERS];
    bool frozen[MEMBERS];
    unsigned count;
    double mended; /* of the schedule */
} ill;

/* ---- time --------------------------------------------------------------- */

/* What is promised is promised of a machine that lets programs run: while it
 * does not, as seen by naps that take too long, this clock stands. */
static double stalled_s;

static double fair(void)
{
    return seconds() - stalled_s;
}

static void rest(void)
{
    struct timespec whole = { .tv_nsec = (long)(LOOK_S * 1e9) };
    double begin = seconds();
    double took;

    nanosleep(&whole, NULL);
    took = seconds() - begin;
    if (took > 2 * LOOK_S)
        stalled_s += took - LOOK_S;
}

/* ---- who sees what ------------------------------------------------------ */

static struct {
    unsigned next; /* member to ask */
    unsigned long long term;
    double changed;  /* when the term was first seen */
    double thawed;   /* what was under way to a member then is done now */
    bool quorum;     /* most members run */
    bool answered;   /* and have said so since */
    double returned; /* when they did */
    double duty_since[CREW_SIZE];
    double seen[CREW_SIZE][CREW_KEYS];
    double absent_s; /* the longest of rule 1 */
    double present_s;
    unsigned looks;
} sight;

static double later(double a, double b)
{
    return a > b ? a : b;
}

static void judge_absent(const struct mate *mate, int i, double now)
{
    double since = later(sight.seen[mate->number][i], sight.duty_since[mate->number]);
    double absent = now - later(since, sight.returned);

    sight.absent_s = later(sight.absent_s, absent);
    cr_assert(absent <= ABSENT_S, "key %d of process %d is absent for %g s", i, mate->number,
              absent);
}

/* Behind a change of leaders the count begins anew, and with more. */
static void judge_present(const struct mate *mate, int i, double now)
{
    double ended = sight.duty_since[mate->number];
    double present = now - ended;

    if (sight.changed + EXTEND_S > ended)
        present = now - sight.changed - EXTEND_S;
    if (sight.thawed > ended)
        present = present < now - sight.thawed ? present : now - sight.thawed;
    sight.present_s = later(sight.present_s, present);
    cr_assert(present <= PRESENT_S, "key %d of process %d is there %g s after its end", i,
              mate->number, present);
}

static bool shows(const char *answer, const struct mate *mate, int i)
{
    char name[MATE_TEXT_SIZE];
    char value[MATE_TEXT_SIZE];
    char key[2 * MATE_TEXT_SIZE];
    char wanted[4 * MATE_TEXT_SIZE] = "\"key\":\"";

    mate_key(mate, i, name, value);
    snprintf(key, sizeof key, CREW_PREFIX "%s", name);
    add_base64(wanted, key);
    return strstr(answer, wanted) != NULL;
}

static void judge(const char *answer, double now)
{
    for (int n = 0; n < CREW_SIZE; n++) {
        const struct mate *mate = &crew[n];

        for (int i = 0; i < CREW_KEYS; i++) {
            bool there = shows(answer, mate, i);

            if (there)
                sight.seen[n][i] = now;
            if (there && mate->duty != DUTY_RUNNING)
                judge_present(mate, i, now);
            else if (!there && mate->duty == DUTY_RUNNING && sight.answered)
                judge_absent(mate, i, now);
        }
    }
}

static void note_term(const char *answer)
{
    static const char mark[] = "\"raft_term\":\"";
    const char *found = strstr(answer, mark);
    unsigned long long term = found ? strtoull(found + strlen(mark), NULL, 10) : 0;

    cr_assert(term != 0, "%s", answer);
    if (term != sight.term)
        sight.changed = fair();
    sight.term = term;
}

static bool is_ill(const struct etcd *member)
{
    for (unsigned i = 0; i < ill.count; i++)
        if (ill.down[i] == member)
            return true;
    return false;
}

/* A linearizable read at one member after another. */
static void look(void)
{
    static char answer[1 << 15];
    char body[200] = "{\"key\":\"";
    double now = fair();
    const struct etcd *member = &cluster.members[sight.next++ % MEMBERS];

    add_base64(body, CREW_PREFIX);
    strcat(body, "\",\"range_end\":\"");
    add_base64(body, "/service/soak0");
    strcat(body, "\"}");
    if (is_ill(member) || etcd_ask(member, "/v3/kv/range", body, answer, sizeof answer) != 200)
        return;
    note_term(answer);
    if (sight.quorum && !sight.answered) {
        sight.answered = true;
        sight.returned = fair();
    }
    judge(answer, now);
    sight.looks++;
}

/* ---- what they hold ----------------------------------------------------- */

/* The first process is left alone, and has to be what it was. */
static struct mate_use early;

static void judge_holdings(double elapsed, double whole)
{
    struct mate_use now = mate_holdings(&crew[0]);

    if (elapsed < whole / 3 && elapsed < 120) {
        early = now;
        return;
    }
    cr_assert(now.threads <= early.threads, "%d threads, %d before", now.threads, early.threads);
    cr_assert(now.descriptors <= early.descriptors + SPARE_FDS, "%d descriptors, %d before",
              now.descriptors, early.descriptors);
    /* A sanitizer's allocator keeps what was freed. */
    cr_assert(heap_in_use() == 0 || now.rss_kib <= early.rss_kib + RSS_KIB, "%ld KiB, %ld before",
              now.rss_kib, early.rss_kib);
}

/* ---- what is done to them ----------------------------------------------- */

static uint64_t seed;

static unsigned draw(unsigned below)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15; /* splitmix64 */

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (unsigned)((z ^ z >> 31) % below);
}

static void set_about(struct mate *mate)
{
    bool coin = draw(2);

    if (mate->duty == DUTY_ENDED)
        mate_start(mate, cluster.urls, TTL_S);
    else if (mate->duty == DUTY_STOPPED && coin)
        mate_resume(mate);
    else if (mate->duty == DUTY_STOPPED || coin)
        mate_kill(mate);
    else
        mate_stop(mate);
    sight.duty_since[mate->number] = fair();
}

static void strike(struct etcd *member, bool freeze)
{
    if (freeze)
        etcd_freeze(member);
    else
        etcd_kill(member);
    ill.down[ill.count] = member;
    ill.frozen[ill.count++] = freeze;
}

static void mend(double at)
{
    while (ill.count) {
        struct etcd *member = ill.down[--ill.count];

        if (ill.frozen[ill.count])
            etcd_thaw(member);
        else
            etcd_run(member);
    }
    sight.thawed = fair();
    sight.quorum = true;
    ill.mended = at;
}

static bool all_up(void)
{
    for (int i = 0; i < MEMBERS; i++)
        if (!etcd_is_up(&cluster.members[i]))
            return false;
    return true;
}

/* A member that can't be asked can't be struck for another one. */
static void settle(void)
{
    double limit = seconds() + 30;

    while (!all_up()) {
        cr_assert(seconds() < limit, "the members do not come back");
        look();
        rest();
    }
}

static void strike_store(void)
{
    unsigned kind = draw(5);

    settle();
    switch (kind) {
    case 0:
        strike(cluster_follower(&cluster), false);
        break;
    case 1:
        strike(cluster_follower(&cluster), true);
        break;
    case 2:
        strike(cluster_leader(&cluster), true);
        break;
    case 3: /* no quorum is left */
        sight.quorum = sight.answered = false;
        strike(cluster_follower(&cluster), false);
        strike(cluster_leader(&cluster), false);
        break;
    default:
        strike(cluster_leader(&cluster), false);
    }
}

/* One deed of the schedule.  It follows from the seed and the deeds before it,
 * not from what came of them. */
static void act(double at)
{
    unsigned what = draw(10);

    if (what < 7)
        set_about(&crew[1 + draw(CREW_SIZE - 1)]);
    else if (ill.count)
        mend(at);
    else if (at > ill.mended + SETTLE_S)
        strike_store();
}

/* ---- the whole ---------------------------------------------------------- */

static double wanted_seconds(void)
{
    const char *text = getenv("SOAK_SECONDS");

    return text ? atof(text) : SECONDS;
}

static void setup(void)
{
    const char *text = getenv("SEED");

    seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    fprintf(stderr, "SEED=%llu SOAK_SECONDS=%g\n", (unsigned long long)seed, wanted_seconds());
    cluster_start(&cluster);
    sight.quorum = true;
    for (int i = 0; i < CREW_SIZE; i++) {
        crew[i].number = i;
        mate_start(&crew[i], cluster.urls, TTL_S);
        sight.duty_since[i] = fair();
    }
}

static void teardown(void)
{
    for (int i = 0; i < CREW_SIZE; i++)
        if (crew[i].duty != DUTY_ENDED)
            mate_kill(&crew[i]);
    cluster_end(&cluster);
}

TestSuite(soak, .init = setup, .fini = teardown, .timeout = 86400);

static void report(double elapsed)
{
    struct mate_use now = mate_holdings(&crew[0]);

    fprintf(stderr,
            "%.0f s: %u looks, term %llu, absent %.2f s, present %.2f s, stalled %.2f s; "
            "%ld KiB, %d threads, %d descriptors\n",
            elapsed, sight.looks, sight.term, sight.absent_s, sight.present_s, stalled_s,
            now.rss_kib, now.threads, now.descriptors);
}

Test(soak, live_keys_stay_and_dead_ones_go)
{
    double whole = wanted_seconds();
    double begin = seconds();
    double minute = 60;
    double at = 1; /* of the schedule */
    double elapsed;

    while ((elapsed = seconds() - begin) < whole) {
        if (elapsed >= at) {
            act(at);
            at += 0.3 + draw(1000) / 1000.0;
        }
        for (int i = 0; i < CREW_SIZE; i++)
            cr_assert(crew[i].duty == DUTY_ENDED || !mate_has_ended(&crew[i]), "process %d", i);
        look();
        judge_holdings(elapsed, whole);
        rest();
        if (elapsed > minute) {
            report(elapsed);
            minute += 60;
        }
    }
    if (ill.count)
        mend(at);
    settle();
    for (double end = fair() + ABSENT_S + 1; fair() < end; rest())
        look();
    report(seconds() - begin);
}
