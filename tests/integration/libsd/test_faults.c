/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What can happen to a store of one member and to what a service keeps there.
 * Afterwards the registration is back, a follower's mirror equals a fresh list,
 * and nothing has spun or piled up.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cost.h"
#include "etcd.h"
#include "proxy.h"
#include "scene.h"

static struct etcd etcd;
static struct scene scene;

#define TTL_S        2

/* What is promised: back within the TTL and 3 s of the store's return. */
#define REGISTERED_S (TTL_S + 3.0)

/* A connection that was cut is made again at once, but each 2 s at least if that
 * happens again and again. */
#define CUT_S        4.0

/* A store that is silent is found out after 8 s: the first sign of life is
 * asked for after 4 s, and two of 2 s each may be missed. */
#define NOTICED_S    10.0

/* What waits for an etcd that is back asks again each 2 s at least. */
#define BACK_S       4.0

/* The watch on the own key tells of its loss at once. */
#define MENDED_S     1.0

/* Of a core, during an outage; 1 would be a thread that spins. */
#define OUTAGE_COST  0.05

static void teardown(void)
{
    etcd_end(&etcd);
}

TestSuite(faults, .fini = teardown, .timeout = 90);

static void enter(void)
{
    scene_start(&scene, open_with(etcd.url, NULL), open_with(etcd.url, NULL), TTL_S);
}

static void leave(void)
{
    scene_becomes_current(&scene, BACK_S);
    cr_assert(scene_is_registered(&scene));
    scene_end(&scene);
}

/* ---- the store goes away ------------------------------------------------ */

Test(faults, store_is_killed_for_longer_than_the_ttl)
{
    etcd_start(&etcd);
    enter();
    etcd_kill(&etcd);
    cr_assert(cost_of_waiting(TTL_S + 3) < OUTAGE_COST);
    cr_assert(scene_is_told(&scene, "RL"), "%s", scene.story);
    cr_assert_eq(mirror_downs(&scene.mirror), 1);
    etcd_restart(&etcd);
    UNTIL(scene_is_told(&scene, "RLR"), REGISTERED_S);
    scene_becomes_current(&scene, BACK_S);
    cr_assert_eq(mirror_lists(&scene.mirror), 1);
    leave();
}

Test(faults, store_hangs_for_longer_than_the_ttl)
{
    double begin;

    etcd_start(&etcd);
    enter();
    begin = seconds();
    etcd_freeze(&etcd);
    UNTIL(mirror_downs(&scene.mirror) == 1, NOTICED_S);
    cr_assert_eq(scene.mirror.error, LIBSD_ETIMEDOUT);
    UNTIL(scene_is_told(&scene, "RL"), 1);
    cr_assert(seconds() - begin > TTL_S);
    cr_assert(cost_of_waiting(3) < OUTAGE_COST);
    etcd_thaw(&etcd);
    UNTIL(scene_is_told(&scene, "RLR"), REGISTERED_S);
    leave();
}

/* ---- the store is not what it was --------------------------------------- */

/* The service can't reach the store while judge works on it. */
static void out_of_sight(struct proxy *proxy)
{
    proxy_freeze(proxy);
    UNTIL(mirror_downs(&scene.mirror) == 1, NOTICED_S);
}

static void enter_by(struct proxy *proxy)
{
    proxy_start(proxy, etcd.url, NULL);
    scene_start(&scene, open_with(proxy->url, NULL), open_with(etcd.url, NULL), TTL_S);
}

Test(faults, history_is_compacted_while_disconnected)
{
    struct proxy proxy;

    etcd_start(&etcd);
    enter_by(&proxy);
    out_of_sight(&proxy);
    scene_stir(&scene);
    etcd_compact(&etcd, put(scene.judge, "/elsewhere", "x"));
    proxy_thaw(&proxy);
    UNTIL(mirror_lists(&scene.mirror) == 2, BACK_S);
    UNTIL(scene_is_registered(&scene), REGISTERED_S);
    leave();
    proxy_end(&proxy);
}

static void wipe_and_refill(int count)
{
    etcd_kill(&etcd);
    etcd_wipe(&etcd);
    etcd_restart(&etcd);
    for (int i = 0; i < count; i++)
        put(scene.judge, "/service/refilled", "10.0.0.9:9");
}

/* The same flags make the same ids; only the revision, or the term, tells. */
Test(faults, store_is_wiped_and_started_with_the_same_flags)
{
    etcd_start(&etcd);
    enter();
    for (int i = 0; i < 5; i++)
        scene_stir(&scene);
    wipe_and_refill(1);
    UNTIL(mirror_lists(&scene.mirror) == 2, BACK_S);
    UNTIL(scene_is_registered(&scene), REGISTERED_S);
    leave();
}

/* Not even the revision: it has come further than it was. */
Test(faults, store_is_wiped_and_refilled_beyond_its_revision)
{
    struct proxy proxy;

    etcd_start(&etcd);
    enter_by(&proxy);
    out_of_sight(&proxy);
    wipe_and_refill(100);
    proxy_thaw(&proxy);
    UNTIL(scene_is_registered(&scene), REGISTERED_S);
    scene_becomes_current(&scene, BACK_S);
    leave();
    proxy_end(&proxy);
}

/* ---- what others do ----------------------------------------------------- */

static int64_t lease_of_key(void)
{
    libsd_kvs *kvs = NULL;
    int64_t lease = 0;

    if (libsd_get(scene.judge, libsd_str(SCENE_KEY), &kvs, 0) == 0)
        lease = libsd_kvs_at(kvs, 0)->lease;
    libsd_kvs_free(kvs);
    return lease;
}

Test(faults, key_is_deleted_by_somebody_else)
{
    etcd_start(&etcd);
    enter();
    cr_assert_eq(libsd_delete(scene.judge, libsd_str(SCENE_KEY), 0), 1);
    UNTIL(scene_is_registered(&scene), MENDED_S);
    leave();
}

Test(faults, key_is_overwritten_by_somebody_else)
{
    etcd_start(&etcd);
    enter();
    put(scene.judge, SCENE_KEY, "192.0.2.1:1");
    UNTIL(scene_is_registered(&scene), MENDED_S);
    leave();
}

Test(faults, lease_is_revoked_by_somebody_else)
{
    int64_t lease;

    etcd_start(&etcd);
    enter();
    lease = lease_of_key();
    cr_assert_eq(libsd_lease_revoke(scene.judge, lease, 0), 0);
    UNTIL(scene_is_registered(&scene), MENDED_S + 1);
    cr_assert_neq(lease_of_key(), lease);
    leave();
}

/* ---- no space ----------------------------------------------------------- */

#define QUOTA_SIZE (1 << 20)

static void fill_up(void)
{
    static char value[QUOTA_SIZE];
    char key[40];
    int rc = 0;

    for (int i = 0; i < 40 && rc == 0; i++) {
        snprintf(key, sizeof key, "/big/%d", i);
        rc = libsd_put(scene.judge, libsd_str(key), libsd_bytes(value, sizeof value), 0, NULL, 0);
    }
    cr_assert_eq(rc, LIBSD_ENOSPACE, "%s", libsd_strerror(rc));
}

/* The alarm is the member's, whose id is in every answer. */
static void disarm(void)
{
    static const char mark[] = "\"member_id\":\"";
    char answer[2000];
    char body[200];
    char *id;

    cr_assert_eq(etcd_ask(&etcd, "/v3/maintenance/status", "{}", answer, sizeof answer), 200);
    id = strstr(answer, mark);
    cr_assert(id != NULL);
    snprintf(body, sizeof body, "{\"action\":\"DEACTIVATE\",\"memberID\":\"%llu\",\"alarm\":1}",
             strtoull(id + strlen(mark), NULL, 10));
    cr_assert_eq(etcd_post(&etcd, "/v3/maintenance/alarm", body), 200);
}

static void make_space(void)
{
    int64_t revision = 0;
    libsd_kvs *kvs = NULL;

    for (int i = 0; i < 40; i++) {
        char key[40];

        snprintf(key, sizeof key, "/big/%d", i);
        libsd_delete(scene.judge, libsd_str(key), 0);
    }
    cr_assert_eq(libsd_list(scene.judge, libsd_str("/none/"), 0, &kvs, 0), 0);
    revision = libsd_kvs_revision(kvs);
    libsd_kvs_free(kvs);
    etcd_compact(&etcd, revision);
    cr_assert_eq(etcd_post(&etcd, "/v3/maintenance/defragment", "{}"), 200);
    disarm();
}

/* Keepalives go on, so what is there stays; what gets lost then comes back with
 * the space. */
Test(faults, space_is_used_up_and_made_again)
{
    etcd_prepare(&etcd);
    etcd.flags[0] = "--quota-backend-bytes";
    etcd.flags[1] = "16777216";
    etcd_boot(&etcd);
    enter();
    fill_up();
    cr_assert(cost_of_waiting(TTL_S + 2) < OUTAGE_COST);
    cr_assert(scene_is_registered(&scene));
    cr_assert_eq(libsd_lease_revoke(scene.judge, lease_of_key(), 0), 0);
    cr_assert(cost_of_waiting(3) < OUTAGE_COST);
    cr_assert_not(scene_is_registered(&scene));
    make_space();
    UNTIL(scene_is_registered(&scene), REGISTERED_S);
    leave();
}

/* ---- the client is stopped ---------------------------------------------- */

/* A process with a scene of its own, forked before there are threads. */
static struct {
    pid_t pid;
    int fd; /* it says 'r' when it is registered, 'c' when it is current again */
} client;

static void be_client(int fd)
{
    char byte = 'r';

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    enter();
    if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
        _exit(1);
    scene_becomes_current(&scene, BACK_S);
    if (write(fd, &byte, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void start_client(void)
{
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    client.pid = fork();
    cr_assert(client.pid >= 0);
    if (client.pid == 0) {
        close(ends[0]);
        be_client(ends[1]);
    }
    close(ends[1]);
    client.fd = ends[0];
}

Test(faults, service_is_stopped_for_longer_than_its_ttl)
{
    char byte = 0;
    int status;

    etcd_start(&etcd);
    start_client();
    cr_assert(read(client.fd, &byte, 1) == 1 && byte == 'r');
    scene.judge = open_with(etcd.url, NULL);
    kill(client.pid, SIGSTOP);
    cr_assert(waitpid(client.pid, &status, WUNTRACED) == client.pid && WIFSTOPPED(status));
    UNTIL(absent(scene.judge, SCENE_KEY), TTL_S + 3);
    put(scene.judge, SCENE_PREFIX "meanwhile", "10.0.0.8:8");
    kill(client.pid, SIGCONT);
    UNTIL(scene_is_registered(&scene), 3);
    byte = 'c';
    cr_assert_eq(write(client.fd, &byte, 1), 1);
    cr_assert(read(client.fd, &byte, 1) == 1 && byte == 'c', "the follower missed something");
    kill(client.pid, SIGKILL);
    waitpid(client.pid, NULL, 0);
    libsd_close(scene.judge);
}

/* ---- again and again ---------------------------------------------------- */

/* FAULT_CYCLES in the environment makes it longer. */
#define CYCLES      30

/* Slack: a buffer that happens to be in use at the end, but not at the start. */
#define SLACK_BYTES (100 << 10)

Test(faults, hundreds_of_them_leave_nothing_behind, .timeout = 600)
{
    const char *wanted = getenv("FAULT_CYCLES");
    int cycles = wanted ? atoi(wanted) : CYCLES;
    struct proxy proxy;
    int descriptors = 0;
    size_t heap = 0;

    etcd_start(&etcd);
    enter_by(&proxy);
    for (int i = 0; i < cycles; i++) {
        if (i == CYCLES / 2) {
            descriptors = open_descriptors();
            heap = heap_in_use();
        }
        proxy_cut(&proxy);
        UNTIL(mirror_downs(&scene.mirror) == i + 1, CUT_S);
        if (i % 10 == 9)
            scene_becomes_current(&scene, CUT_S);
        UNTIL(mirror_ups(&scene.mirror) == i + 2, CUT_S);
    }
    scene_becomes_current(&scene, CUT_S);
    cr_assert(open_descriptors() <= descriptors + 2, "%d descriptors, %d before",
              open_descriptors(), descriptors);
    cr_assert(heap_in_use() < heap + SLACK_BYTES, "%zu bytes, %zu before", heap_in_use(), heap);
    cr_assert_eq(mirror_lists(&scene.mirror), 1);
    cr_assert(scene_is_told(&scene, "R"), "%s", scene.story);
    leave();
    proxy_end(&proxy);
}
