/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The wall clock jumps, as by hand or by NTP after a long sleep: leases, beats,
 * deadlines and back-offs must not.
 *
 * The functions below stand in for the C library's in libsd and libcurl.
 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "cost.h"
#include "etcd.h"
#include "proxy.h"
#include "scene.h"

#define SHOWN __attribute__((visibility("default")))
#define YEAR  (365L * 24 * 3600)

static atomic_long jump_s;

SHOWN int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, now);

    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += jump_s;
    return rc;
}

SHOWN time_t time(time_t *to)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (to)
        *to = now.tv_sec;
    return now.tv_sec;
}

SHOWN int gettimeofday(struct timeval *restrict to, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return 0;
}

#define TTL_S        2

/* As without a jump: see test_faults.c. */
#define NOTICED_S    10.0
#define REGISTERED_S (TTL_S + 3.0)
#define BACK_S       4.0
#define OUTAGE_COST  0.05

static struct etcd etcd;
static struct proxy proxy;
static struct scene scene;

static void setup(void)
{
    etcd_start(&etcd);
    proxy_start(&proxy, etcd.url, NULL);
    scene_start(&scene, open_with(proxy.url, NULL), open_with(etcd.url, NULL), TTL_S);
}

static void teardown(void)
{
    scene_end(&scene);
    proxy_end(&proxy);
    etcd_end(&etcd);
}

TestSuite(clock, .init = setup, .fini = teardown, .timeout = 60);

static void goes_on(void)
{
    cr_assert(cost_of_waiting(2 * TTL_S) < OUTAGE_COST);
    cr_assert(scene_is_registered(&scene));
    cr_assert_eq(scene_writes(&scene), 1);
    scene_becomes_current(&scene, 1);
    cr_assert(scene_is_told(&scene, "R"), "%s", scene.story);
    cr_assert_eq(mirror_downs(&scene.mirror), 0);
}

Test(clock, jumps_do_not_touch_what_is_registered_and_followed)
{
    jump_s = 10 * YEAR;
    cr_assert(time(NULL) > 60 * YEAR);
    goes_on();
    jump_s = -10 * YEAR;
    cr_assert(time(NULL) < 50 * YEAR);
    goes_on();
}

/* Back in time, whoever counts by the wall clock waits for years; forward, all
 * limits are over at once. */
static void outage_is_noticed_and_ended(long jump)
{
    double begin = seconds();

    proxy_freeze(&proxy);
    UNTIL(seconds() - begin > 1, 2);
    jump_s = jump;
    UNTIL(mirror_downs(&scene.mirror) == 1, NOTICED_S);
    cr_assert(seconds() - begin > 3, "it was not silent for long enough");
    UNTIL(scene_is_told(&scene, "RL"), TTL_S);
    jump_s = 0;
    proxy_thaw(&proxy);
    UNTIL(scene_is_told(&scene, "RLR"), REGISTERED_S);
    scene_becomes_current(&scene, BACK_S);
}

Test(clock, outage_is_noticed_and_ended_while_it_jumps_back)
{
    outage_is_noticed_and_ended(-10 * YEAR);
}

Test(clock, outage_is_noticed_and_ended_while_it_jumps_on)
{
    outage_is_noticed_and_ended(10 * YEAR);
}
