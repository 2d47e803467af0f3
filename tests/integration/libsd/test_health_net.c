/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Health checks over the network: what they ask, where, and what they leave.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cost.h"
#include "enlist.h"
#include "listener.h"

TestSuite(health_net, .init = enlist_setup, .fini = enlist_teardown, .timeout = 60);

/* ---- a server ----------------------------------------------------------- */

static struct listener port;

static struct server {
    pthread_t thread;
    pthread_mutex_t mutex;
    const char *answer;
    char request[1000]; /* the last one */
} server = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void *serve(void *arg)
{
    int client;

    (void)arg;
    while ((client = accept(port.fd, NULL, NULL)) >= 0) {
        char request[1000];
        const char *answer;
        ssize_t size = recv(client, request, sizeof request - 1, 0);

        request[size > 0 ? size : 0] = '\0';
        pthread_mutex_lock(&server.mutex);
        answer = server.answer;
        strcpy(server.request, request);
        pthread_mutex_unlock(&server.mutex);
        if (size > 0 && *answer == '\0')
            recv(client, request, 1, 0); /* hangs until the other side ends */
        else if (size > 0)
            send(client, answer, strlen(answer), MSG_NOSIGNAL);
        close(client);
    }
    return NULL;
}

static void answer_with(const char *answer)
{
    pthread_mutex_lock(&server.mutex);
    server.answer = answer;
    pthread_mutex_unlock(&server.mutex);
}

static bool was_asked(const char *text)
{
    bool found;

    pthread_mutex_lock(&server.mutex);
    found = strstr(server.request, text) != NULL;
    pthread_mutex_unlock(&server.mutex);
    return found;
}

/* ---- over the network --------------------------------------------------- */

Test(health_net, key_comes_and_goes_with_the_port)
{
    libsd_check check = quick(LIBSD_CHECK_TCP);

    listener_open(&port);
    listener_close(&port);
    cr_assert_eq(enlist_checked(port.address, &check), 0);
    UNTIL(told(&story, "U"), 2);
    cr_assert(absent(judge, KEY), "not before it has passed");
    listener_open_again(&port);
    UNTIL(has(judge, KEY, port.address), 5);
    listener_close(&port);
    UNTIL(absent(judge, KEY), 5);
    listener_open_again(&port);
    UNTIL(has(judge, KEY, port.address), 5);
    UNTIL(told(&story, "URUR"), 2);
    listener_close(&port);
}

/* What it says to be checked goes on to be, and what the registration says. */
static void update_to(const struct listener *listener)
{
    cr_assert_eq(libsd_update(sd, "user", "i1", listener->address, NULL), 0);
    cr_assert(has(judge, KEY, listener->address));
}

Test(health_net, check_follows_the_address_that_is_written)
{
    libsd_check check = quick(LIBSD_CHECK_TCP);
    struct listener moved;

    listener_open(&port);
    listener_open(&moved);
    cr_assert_eq(enlist_checked(port.address, &check), 0);
    UNTIL(has(judge, KEY, port.address), 5);
    update_to(&moved);
    listener_close(&moved);
    UNTIL(absent(judge, KEY), 5);
    listener_open_again(&moved);
    UNTIL(has(judge, KEY, moved.address), 5);
    listener_close(&port);
    listener_close(&moved);
}

Test(health_net, path_is_asked_for_at_the_address_that_is_written)
{
    libsd_check check = quick(LIBSD_CHECK_HTTP);
    struct listener moved;
    char host[50];

    check.target = "/alive";
    listener_open(&moved);
    listener_open(&port);
    answer_with("HTTP/1.1 204 No Content\r\n\r\n");
    cr_assert_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
    check.passing = 1;
    cr_assert_eq(enlist_checked(moved.address, &check), 0);
    update_to(&port);
    snprintf(host, sizeof host, "Host: %s\r\n", port.address);
    UNTIL(was_asked("GET /alive ") && was_asked(host), 5);
}

Test(health_net, target_of_its_own_is_checked_whatever_the_address)
{
    libsd_check check = quick(LIBSD_CHECK_TCP);

    listener_open(&port);
    check.target = port.address;
    cr_assert_eq(enlist_checked("10.0.0.5:9090", &check), 0);
    UNTIL(has(judge, KEY, "10.0.0.5:9090"), 5);
    cr_assert_eq(libsd_update(sd, "user", "i1", "10.0.0.6:9090", NULL), 0);
    listener_close(&port);
    UNTIL(absent(judge, KEY), 5);
    listener_open_again(&port);
    UNTIL(has(judge, KEY, "10.0.0.6:9090"), 5);
}

Test(health_net, connections_of_checks_are_closed)
{
    libsd_check check = quick(LIBSD_CHECK_TCP);
    int before;
    double begin;

    check.interval_ms = 5;
    listener_open(&port);
    cr_assert_eq(enlist_checked(port.address, &check), 0);
    UNTIL(told(&story, "UR"), 5);
    before = open_descriptors();
    for (begin = seconds(); seconds() - begin < 0.5; nap()) /* their queue is never emptied */
        cr_assert_leq(open_descriptors(), before + 3);
    listener_close(&port);
}

Test(health_net, http_status_decides)
{
    libsd_check check = quick(LIBSD_CHECK_HTTP);

    check.target = "/health?x=1";
    check.host = "user.example";
    listener_open(&port);
    answer_with("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    cr_assert_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
    cr_assert_eq(enlist_checked(port.address, &check), 0);
    for (double begin = seconds(); seconds() - begin < 0.5; nap())
        cr_assert(absent(judge, KEY));
    answer_with("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    UNTIL(has(judge, KEY, port.address), 5);
    cr_assert(was_asked("GET /health?x=1 HTTP/1.1\r\n"));
    cr_assert(was_asked("\r\nHost: user.example\r\n"));
    answer_with("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    UNTIL(absent(judge, KEY), 5);
    answer_with("HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\n\r\n");
    UNTIL(has(judge, KEY, port.address), 5);
    answer_with("nonsense\r\n\r\n");
    UNTIL(absent(judge, KEY), 5);
    answer_with("HTTP/1.1 204 Fine\r\n\r\n");
    UNTIL(has(judge, KEY, port.address), 5);
}

Test(health_net, answer_that_does_not_come_is_bad_and_costs_no_beat)
{
    libsd_check check = quick(LIBSD_CHECK_HTTP);
    double begin;
    char detail[300];

    check.timeout_ms = 300;
    listener_open(&port);
    answer_with("HTTP/1.1 200 OK\r\n\r\n");
    cr_assert_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
    cr_assert_eq(libsd_register(sd, "user", "i2", OTHER, 2, NULL), 0);
    cr_assert_eq(enlist_checked(port.address, &check), 0);
    UNTIL(has(judge, KEY, port.address), 5);
    answer_with("");
    UNTIL(absent(judge, KEY), 5);
    for (begin = seconds(); seconds() - begin < 4; nap())
        cr_assert(has(judge, "/service/user/i2", OTHER), "its lease is kept");
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, "check of user/i1 failed: ") != NULL, "%s", detail);
}
