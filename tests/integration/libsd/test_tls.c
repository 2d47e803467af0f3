/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * https: each set-up that works, and each mistake with the words that name it.
 */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "cost.h"
#include "etcd.h"
#include "proxy.h"
#include "scene.h"
#include "tls.h"
#include "users.h"

static struct etcd etcd;
static struct scene scene;
static struct notes notes;

/* A mistake in a certificate is found in the first handshake. */
#define REFUSED_S   2.0

/* Connections while a watch and a registration try for so long: 1 s, 2 s, 4 s
 * apart after the first two, each of them. */
#define STORM_S     5.0
#define STORM_LIMIT 14
/* Of a core; a handshake costs 1 to 2 ms, 40 when libcurl reads the system's
 * authorities for it. */
#define STORM_COST  0.15

static void setup(void)
{
    notes_init(&notes);
}

static void teardown(void)
{
    etcd_end(&etcd);
}

TestSuite(tls, .init = setup, .fini = teardown, .timeout = 60);

static void works(libsd *sd)
{
    scene_start(&scene, sd, open_with(etcd.url, NULL), 5);
    etcd_kill(&etcd);
    etcd_restart(&etcd);
    scene_becomes_current(&scene, 8);
    cr_assert(scene_is_registered(&scene));
    scene_end(&scene);
}

Test(tls, works_with_the_authority)
{
    tls_start(&etcd, NULL, NULL);
    works(open_with(etcd.also, "cacert", tls_file(&etcd, "ca.crt"), NULL));
}

Test(tls, works_with_a_client_certificate)
{
    tls_start(&etcd, NULL, "ca");
    works(open_with(etcd.also, "cacert", tls_file(&etcd, "ca.crt"), "cert",
                    tls_file(&etcd, "client.crt"), "key", tls_file(&etcd, "client.key"), NULL));
}

Test(tls, works_with_a_client_certificate_and_a_user)
{
    tls_start(&etcd, NULL, "ca");
    users_start(&etcd);
    scene_start(&scene,
                open_with(etcd.also, "cacert", tls_file(&etcd, "ca.crt"), "cert",
                          tls_file(&etcd, "client.crt"), "key", tls_file(&etcd, "client.key"),
                          "user", "app", "password", APP_PASSWORD, NULL),
                open_with(etcd.url, "user", "root", "password", ROOT_PASSWORD, NULL), 5);
    scene_end(&scene);
}

/* Every call says what is wrong, and what goes on in the background does not
 * storm the server. */
static void is_refused(struct proxy *proxy, libsd *sd, const char *word)
{
    libsd_register_options options = { .size = sizeof options, .timeout_ms = 4000 };
    double begin = seconds();
    libsd_watch *watch;
    char detail[300];
    int64_t lease;
    int before;

    cr_assert_eq(libsd_lease_grant(sd, 5, &lease, NULL, 0), LIBSD_ETLS);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, word) && strstr(detail, proxy->url), "%s", detail);
    cr_assert_eq(libsd_register(sd, "user", "i1", SCENE_ADDRESS, 5, &options), LIBSD_ETLS);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, word) && strstr(detail, proxy->url), "%s", detail);
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/service/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST,
                                  0, notes_take, &notes, &watch),
                 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) == 1, REFUSED_S);
    cr_assert(notes.last_error == LIBSD_ETLS && strstr(notes.detail, word), "%s", notes.detail);
    cr_assert(seconds() - begin < REFUSED_S, "%g s", seconds() - begin);

    before = proxy_count(proxy);
    double cost = cost_of_waiting(STORM_S);

    cr_assert(proxy_count(proxy) - before <= STORM_LIMIT, "%d connections in %g s",
              proxy_count(proxy) - before, STORM_S);
    cr_assert(cost < STORM_COST, "%g of a core", cost);
    libsd_close(sd);
    proxy_end(proxy);
}

Test(tls, unknown_authority_is_refused)
{
    struct proxy proxy;

    tls_start(&etcd, NULL, NULL);
    proxy_start(&proxy, etcd.also, NULL);
    is_refused(&proxy, open_with(proxy.url, "cacert", tls_file(&etcd, "stranger.crt"), NULL),
               "issuer certificate");
}

Test(tls, authority_of_nobody_is_refused)
{
    struct proxy proxy;

    tls_start(&etcd, NULL, NULL);
    proxy_start(&proxy, etcd.also, NULL);
    is_refused(&proxy, open_with(proxy.url, NULL), "issuer certificate");
}

/* The system's authorities may vouch for anybody, which is why one names one's
 * own. */
Test(tls, authority_that_was_named_is_the_only_one)
{
    int64_t lease;
    libsd *sd;

    tls_start(&etcd, NULL, NULL);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(etcd.dir, "/etc/ssl/certs", NULL, MS_BIND, NULL) < 0)
        cr_skip_test("the system's authorities can't be changed for a test by this user");
    cr_assert_eq(system("cd /etc/ssl/certs && openssl rehash . 2>/dev/null"), 0);
    sd = open_with(etcd.also, "cacert", tls_file(&etcd, "stranger.crt"), NULL);
    cr_assert_eq(libsd_lease_grant(sd, 5, &lease, NULL, 0), LIBSD_ETLS);
    libsd_close(sd);
}

Test(tls, expired_server_certificate_is_refused)
{
    struct proxy proxy;

    tls_start(&etcd, "expired", NULL);
    proxy_start(&proxy, etcd.also, NULL);
    is_refused(&proxy, open_with(proxy.url, "cacert", tls_file(&etcd, "ca.crt"), NULL), "expired");
}

Test(tls, certificate_of_another_host_is_refused)
{
    struct proxy proxy;

    tls_start(&etcd, "elsewhere", NULL);
    proxy_start(&proxy, etcd.also, NULL);
    is_refused(&proxy, open_with(proxy.url, "cacert", tls_file(&etcd, "ca.crt"), NULL),
               "target host name");
}

Test(tls, missing_client_certificate_is_refused)
{
    struct proxy proxy;

    tls_start(&etcd, NULL, "ca");
    proxy_start(&proxy, etcd.also, NULL);
    is_refused(&proxy, open_with(proxy.url, "cacert", tls_file(&etcd, "ca.crt"), NULL),
               "certificate");
}

Test(tls, client_certificate_of_a_stranger_is_refused)
{
    struct proxy proxy;

    tls_start(&etcd, NULL, "ca");
    proxy_start(&proxy, etcd.also, NULL);
    is_refused(&proxy,
               open_with(proxy.url, "cacert", tls_file(&etcd, "ca.crt"), "cert",
                         tls_file(&etcd, "impostor.crt"), "key", tls_file(&etcd, "impostor.key"),
                         NULL),
               "certificate");
}

Test(tls, key_of_another_certificate_is_refused)
{
    struct proxy proxy;

    tls_start(&etcd, NULL, "ca");
    proxy_start(&proxy, etcd.also, NULL);
    is_refused(&proxy,
               open_with(proxy.url, "cacert", tls_file(&etcd, "ca.crt"), "cert",
                         tls_file(&etcd, "client.crt"), "key", tls_file(&etcd, "server.key"), NULL),
               "private key");
}

Test(tls, missing_file_is_named)
{
    struct proxy proxy;

    tls_start(&etcd, NULL, NULL);
    proxy_start(&proxy, etcd.also, NULL);
    is_refused(&proxy, open_with(proxy.url, "cacert", "/nowhere/ca.crt", NULL), "/nowhere/ca.crt");
}

/* Also no ETLS, but no hang either: the server does not talk our language. */
Test(tls, http_to_an_https_port_fails_soon)
{
    int64_t lease;
    char url[80];
    libsd *sd;
    int rc;

    tls_start(&etcd, NULL, NULL);
    snprintf(url, sizeof url, "http:%.64s", strstr(etcd.also, "//"));
    sd = open_with(url, "timeout-ms", "2000", NULL);
    rc = libsd_lease_grant(sd, 5, &lease, NULL, 0);
    cr_assert(rc == LIBSD_EPROTOCOL || rc == LIBSD_ETIMEDOUT || rc == LIBSD_EREFUSED, "%d", rc);
    libsd_close(sd);
}

Test(tls, https_to_an_http_port_fails_soon)
{
    int64_t lease;
    char url[80];
    libsd *sd;
    int rc;

    tls_start(&etcd, NULL, NULL);
    snprintf(url, sizeof url, "https:%.64s", strstr(etcd.url, "//"));
    sd = open_with(url, "cacert", tls_file(&etcd, "ca.crt"), "timeout-ms", "2000", NULL);
    rc = libsd_lease_grant(sd, 5, &lease, NULL, 0);
    cr_assert(rc == LIBSD_ETLS || rc == LIBSD_EUNAVAILABLE, "%d", rc);
    libsd_close(sd);
}
