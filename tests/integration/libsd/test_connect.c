/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Ways to name an etcd, each with all that a service needs: a registration, a
 * list, a watch, a lease.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster.h"
#include "etcd.h"
#include "proxy.h"
#include "scene.h"

static struct etcd etcd;
static struct scene scene;

/* A refused connection is noticed at once, so dead endpoints must not be felt. */
#define DEAD_ENDPOINTS_S 2.0

static void teardown(void)
{
    if (etcd.pid)
        etcd_end(&etcd);
}

TestSuite(connect, .fini = teardown, .timeout = 60);

static const char *port_of(const char *url)
{
    return strrchr(url, ':') + 1;
}

static void check_lease(libsd *sd)
{
    int64_t lease = 0;
    int64_t ttl = 0;

    cr_assert_eq(libsd_lease_grant(sd, 5, &lease, &ttl, 0), 0);
    cr_assert_eq(ttl, 5);
    cr_assert_eq(libsd_put(sd, libsd_str("/service/leased"), libsd_str("x"), lease, NULL, 0), 0);
    cr_assert_eq(libsd_lease_keepalive(sd, lease, &ttl, 0), 0);
    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), 0);
    cr_assert(absent(sd, "/service/leased"));
}

/* scene_start() has registered and followed; scene_becomes_current() lists. */
static void works_at(const char *endpoints, const char *judge)
{
    scene_start(&scene, open_with(endpoints, NULL), open_with(judge, NULL), 5);
    check_lease(scene.sd);
    scene_becomes_current(&scene, 5);
    cr_assert_eq(libsd_deregister(scene.sd, "user", "i1", 0), 0);
    cr_assert(absent(scene.judge, SCENE_KEY));
    scene_end(&scene);
}

Test(connect, by_url)
{
    etcd_start(&etcd);
    works_at(etcd.url, etcd.url);
}

Test(connect, by_address_and_port_alone)
{
    etcd_start(&etcd);
    works_at(strstr(etcd.url, "//") + 2, etcd.url);
}

Test(connect, by_host_name)
{
    char endpoint[64];

    etcd_start(&etcd);
    snprintf(endpoint, sizeof endpoint, "localhost:%s", port_of(etcd.url));
    works_at(endpoint, etcd.url);
    snprintf(endpoint, sizeof endpoint, "http://localhost:%s/", port_of(etcd.url));
    works_at(endpoint, etcd.url);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

    close(fd);
    return has;
}

Test(connect, by_ipv6_literal)
{
    if (!has_ipv6())
        cr_skip_test("no IPv6 here");
    etcd_prepare(&etcd);
    etcd.also_at = "http://[::1]";
    etcd_boot(&etcd);
    works_at(etcd.also, etcd.url);
    works_at(strstr(etcd.also, "//") + 2, etcd.url);
}

/* Bound, but not listening: refused, and nobody else gets it. */
static void dead_endpoint(char *text, size_t size)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert(bind(fd, (struct sockaddr *)&address, length) == 0 &&
              getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    snprintf(text, size, "http://127.0.0.1:%d", ntohs(address.sin_port));
}

/* A handle begins at a random endpoint: often enough that dead ones are hit. */
Test(connect, past_dead_endpoints)
{
    char dead[2][64];
    char endpoints[256];

    etcd_start(&etcd);
    dead_endpoint(dead[0], sizeof dead[0]);
    dead_endpoint(dead[1], sizeof dead[1]);
    snprintf(endpoints, sizeof endpoints, "%s,%s, %s", dead[0], dead[1], etcd.url);
    for (int i = 0; i < 6; i++) {
        double begin = seconds();

        scene_start(&scene, open_with(endpoints, NULL), open_with(etcd.url, NULL), 5);
        cr_assert(seconds() - begin < DEAD_ENDPOINTS_S, "%g s", seconds() - begin);
        scene_end(&scene);
    }
}

/* What a user reads when nothing is there: which endpoint, and why not. */
Test(connect, nowhere_says_where)
{
    char dead[64];
    char detail[300];
    int64_t lease;
    libsd *sd;

    dead_endpoint(dead, sizeof dead);
    sd = open_with(dead, "timeout-ms", "300", NULL);
    cr_assert_eq(libsd_lease_grant(sd, 5, &lease, NULL, 0), LIBSD_EUNAVAILABLE);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, dead) != NULL, "%s", detail);
    libsd_close(sd);
}

Test(connect, to_three_members)
{
    static struct cluster cluster;

    cluster_start(&cluster);
    works_at(cluster.urls, cluster.urls);
    for (int i = 0; i < MEMBERS; i++)
        works_at(cluster.members[i].url, cluster.urls);
    cluster_end(&cluster);
}

/* etcd 3.3 has the gateway under /v3beta, 3.2 under /v3alpha. */
static void works_under(const char *api)
{
    struct proxy proxy;

    etcd_start(&etcd);
    proxy_start(&proxy, etcd.url, api);
    works_at(proxy.url, etcd.url);
    proxy_end(&proxy);
}

Test(connect, finds_the_gateway_of_etcd_3_3)
{
    works_under("/v3beta");
}

Test(connect, finds_the_gateway_of_etcd_3_2)
{
    works_under("/v3alpha");
}

Test(connect, server_without_a_gateway_is_named)
{
    struct proxy proxy;
    char detail[300];
    int64_t lease;
    libsd *sd;

    etcd_start(&etcd);
    proxy_start(&proxy, etcd.url, "/nowhere");
    sd = open_with(proxy.url, NULL);
    cr_assert_eq(libsd_lease_grant(sd, 5, &lease, NULL, 0), LIBSD_EPROTOCOL);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, "404") && strstr(detail, proxy.url), "%s", detail);
    libsd_close(sd);
    proxy_end(&proxy);
}
