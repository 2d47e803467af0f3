/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The network between a service and its etcd is gone without a word, as behind
 * a pulled cable or a firewall that drops: no reset, no answer, sockets that
 * stand.  And it comes back.
 *
 * Each test lives in a network namespace of its own, with etcd in another one
 * and a pair of virtual cards between them.  Needs the right to make these, or
 * user namespaces; skips otherwise.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cost.h"
#include "etcd.h"
#include "scene.h"

#define URL         "http://10.99.0.1:2379"
#define TTL_S       3

/* Nobody tells: the first sign of life is asked for after 4 s, and two of 2 s
 * each may be missed. */
#define NOTICED_S   10.0

/* A beat may take 1 s, and after that the local deadline decides. */
#define LOST_S      (TTL_S + 2.0)

/* Retransmissions back off, but new connections are tried each 2 s. */
#define BACK_S      6.0

/* One attempt to connect, 1 s, at each endpoint, or the timeout of the call. */
#define CALL_S      2.5

/* Of a core, while nothing arrives. */
#define OUTAGE_COST 0.05

static struct scene scene;
static pid_t host; /* of etcd: a process in the other namespace */

__attribute__((format(printf, 1, 2))) static bool run(const char *format, ...)
{
    char command[300];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command) == 0;
}

/* The other host: has nothing but its end of the cable and an etcd. */
static void be_host(int fd)
{
    struct etcd etcd;
    char byte = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWNET) < 0 || write(fd, "n", 1) != 1 || read(fd, &byte, 1) != 1 ||
        !run("ip link set lo up && ip addr add 10.99.0.1/24 dev etcd && ip link set etcd up"))
        _exit(1);
    etcd_prepare(&etcd);
    etcd.also_at = NULL;
    snprintf(etcd.also, sizeof etcd.also, "%s", URL);
    etcd_boot(&etcd);
    if (write(fd, "u", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static bool has_rights(void)
{
    uid_t user = getuid();
    gid_t group = getgid();
    char map[50];
    int fd;

    if (user == 0 && unshare(CLONE_NEWNET) == 0)
        return true;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "deny", 4) != 4)
        return false;
    close(fd);
    for (int i = 0; i < 2; i++) {
        fd = open(i ? "/proc/self/gid_map" : "/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        snprintf(map, sizeof map, "0 %u 1", i ? group : user);
        if (fd < 0 || write(fd, map, strlen(map)) != (ssize_t)strlen(map))
            return false;
        close(fd);
    }
    return true;
}

static void setup(void)
{
    char byte = 0;
    int ends[2];

    if (!has_rights() || !run("ip link set lo up 2>/dev/null"))
        cr_skip_test("no right to make network namespaces");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    host = fork();
    cr_assert(host >= 0);
    if (host == 0)
        be_host(ends[1]);
    close(ends[1]);
    cr_assert(read(ends[0], &byte, 1) == 1 && byte == 'n');
    if (!run("ip link add here type veth peer name etcd netns %d 2>/dev/null", host))
        cr_skip_test("no virtual network cards");
    cr_assert(run("ip addr add 10.99.0.2/24 dev here && ip link set here up"));
    cr_assert_eq(write(ends[0], "g", 1), 1);
    cr_assert(read(ends[0], &byte, 1) == 1 && byte == 'u');
    scene_start(&scene, open_with(URL, NULL), open_with(URL, NULL), TTL_S);
}

static void teardown(void)
{
    if (!host)
        return;
    scene_end(&scene);
    kill(host, SIGKILL);
    waitpid(host, NULL, 0);
}

TestSuite(network, .init = setup, .fini = teardown, .timeout = 60);

/* The far end of the cable: ours stays up, and what it sends is lost. */
static void cut(void)
{
    cr_assert(run("nsenter -t %d -n ip link set etcd down", host));
}

static void mend(void)
{
    cr_assert(run("nsenter -t %d -n ip link set etcd up", host));
}

/* What a card sends goes to a card that does not exist.  Nobody is told, and the
 * other direction stays open. */
#define NOBODY "02:00:00:00:00:99"

static void lose_what_etcd_sends(void)
{
    cr_assert(run("nsenter -t %d -n ip neigh replace 10.99.0.2 lladdr " NOBODY
                  " dev etcd nud permanent",
                  host));
}

static void find_us_again(void)
{
    cr_assert(run("nsenter -t %d -n ip neigh del 10.99.0.2 dev etcd", host));
}

static void lose_what_we_send(void)
{
    cr_assert(run("ip neigh replace 10.99.0.1 lladdr " NOBODY " dev here nud permanent"));
}

static void find_etcd_again(void)
{
    cr_assert(run("ip neigh del 10.99.0.1 dev here"));
}

static void lose_and_find(void (*lose)(void), void (*find)(void))
{
    double begin = seconds();

    lose();
    UNTIL(scene_is_told(&scene, "RL"), LOST_S);
    UNTIL(mirror_downs(&scene.mirror) == 1, NOTICED_S - (seconds() - begin));
    cr_assert(cost_of_waiting(4) < OUTAGE_COST);
    find();
    UNTIL(scene_is_told(&scene, "RLR"), TTL_S + 3.0);
    scene_becomes_current(&scene, BACK_S);
    cr_assert(scene_is_registered(&scene));
    cr_assert_eq(mirror_lists(&scene.mirror), 1);
}

Test(network, loss_is_noticed_and_what_was_missed_is_made_up)
{
    lose_and_find(cut, mend);
}

/* Etcd goes on to do what it is asked, and nobody learns of it. */
Test(network, loss_of_answers_only_is_noticed_and_made_up)
{
    lose_and_find(lose_what_etcd_sends, find_us_again);
}

Test(network, loss_of_requests_only_is_noticed_and_made_up)
{
    lose_and_find(lose_what_we_send, find_etcd_again);
}

/* Shorter than anybody would notice: TCP makes it up. */
Test(network, short_loss_is_made_up_by_tcp)
{
    cut();
    cr_assert(cost_of_waiting(1) < OUTAGE_COST);
    mend();
    scene_becomes_current(&scene, BACK_S);
    cr_assert_eq(mirror_downs(&scene.mirror), 0);
    cr_assert(scene_is_told(&scene, "R"), "%s", scene.story);
}

Test(network, calls_end_in_their_time)
{
    libsd_kvs *kvs = NULL;
    double begin;
    int rc;

    cut();
    for (int i = 0; i < 2; i++) {
        begin = seconds();
        rc = libsd_get(scene.sd, libsd_str(SCENE_KEY), &kvs, 1500);
        cr_assert(libsd_error_is_retriable(rc), "%s", libsd_strerror(rc));
        cr_assert(seconds() - begin < CALL_S, "%g s", seconds() - begin);
    }
    begin = seconds();
    libsd_close(scene.sd);
    cr_assert(seconds() - begin < CALL_S, "closing took %g s", seconds() - begin);
    scene.sd = NULL;
    mend();
}
