/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Servers that are no etcd, or a broken one: whatever they answer, libsd
 * reports it, keeps what it has, uses bounded memory and does not storm.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "etcd.h"

#define H \
    "\"header\":{\"cluster_id\":\"1\",\"member_id\":\"2\",\"revision\":\"5\",\"raft_term\":\"2\"}"

/* Answers every request on every connection with the same bytes. */
static struct {
    int fd;
    char url[64];
    const char *head;
    const char *body;
    bool endless; /* the body again and again */
    int requests;
    pthread_t thread;
} server;

static bool write_all(int fd, const char *data)
{
    size_t left = strlen(data);

    while (left) {
        ssize_t sent = send(fd, data, left, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        data += sent;
        left -= (size_t)sent;
    }
    return true;
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char request[65536];
    char length[64];

    if (recv(fd, request, sizeof request, 0) > 0 && server.head) {
        __atomic_fetch_add(&server.requests, 1, __ATOMIC_SEQ_CST);
        snprintf(length, sizeof length, "Content-Length: %zu\r\n\r\n", strlen(server.body));
        if (write_all(fd, server.head) && write_all(fd, server.endless ? "\r\n" : length)) {
            while (write_all(fd, server.body) && server.endless)
                continue;
        }
    } else {
        __atomic_fetch_add(&server.requests, 1, __ATOMIC_SEQ_CST);
    }
    close(fd);
    return NULL;
}

static void *serve(void *arg)
{
    for (;;) {
        int fd = accept(server.fd, NULL, NULL);
        pthread_t thread;

        if (fd < 0)
            return arg;
        if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
}

static libsd *open_on(const char *head, const char *body)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    struct etcd etcd;

    server.head = head;
    server.body = body;
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert(server.fd >= 0 && bind(server.fd, (struct sockaddr *)&address, size) == 0 &&
              listen(server.fd, 100) == 0 &&
              getsockname(server.fd, (struct sockaddr *)&address, &size) == 0);
    snprintf(etcd.url, sizeof etcd.url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    cr_assert_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
    return etcd_open(&etcd, NULL);
}

static struct notes notes;

/* Everything the library does, for three seconds. */
static void endure(const char *head, const char *body)
{
    libsd *sd = open_on(head, body);
    libsd_register_options options = { .size = sizeof options, .timeout_ms = 500 };
    libsd_watch *follow;
    libsd_watch *plain;
    libsd_kvs *kvs = NULL;
    double begin = seconds();
    int rc;

    notes_init(&notes);
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0,
                                  notes_take, &notes, &follow),
                 0);
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/w"), 0, 0, notes_take, &notes, &plain), 0);
    rc = libsd_get(sd, libsd_str("/a"), &kvs, 500);
    cr_expect(rc < 0, "get: %s", libsd_strerror(rc));
    rc = libsd_register(sd, "s", "i", "10.0.0.1:1", 3, &options);
    cr_expect(rc < 0, "register: %s", libsd_strerror(rc));
    cr_expect(seconds() - begin < 4, "%g s for two calls of half a second", seconds() - begin);
    UNTIL(seconds() - begin > 3, 4);
    cr_expect_eq(notes_count(&notes, LIBSD_EVENT_LIST_END), 0);
    cr_expect_eq(notes_count(&notes, LIBSD_EVENT_PUT), 0);
    cr_expect(__atomic_load_n(&server.requests, __ATOMIC_SEQ_CST) < 100, "%d requests",
              server.requests);
    begin = seconds();
    libsd_close(sd);
    cr_expect(seconds() - begin < 2.1, "close took %g s", seconds() - begin);
}

TestSuite(hostile, .timeout = 60);

#define OK "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"

Test(hostile, closes_without_an_answer)
{
    endure(NULL, NULL);
    cr_assert(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) > 0);
}

Test(hostile, answers_html)
{
    endure(OK, "<html>It works!</html>");
    cr_assert(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) > 0);
}

Test(hostile, answers_nothing)
{
    endure(OK, "");
}

Test(hostile, answers_an_empty_object)
{
    endure(OK, "{}");
}

Test(hostile, answers_another_programs_json)
{
    endure(OK, "{\"status\":\"ok\",\"kvs\":[1,2,3]}");
}

Test(hostile, answers_200_with_an_error_inside)
{
    endure(
        OK,
        "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no leader\"}}");
}

Test(hostile, answers_an_error_of_gateway_2)
{
    endure("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n",
           "{\"code\":14,\"message\":\"etcdserver: no leader\",\"details\":[]}");
}

Test(hostile, knows_no_path)
{
    endure("HTTP/1.1 404 Not Found\r\nConnection: close\r\n", "404 page not found");
}

Test(hostile, redirects)
{
    endure("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n", "");
}

Test(hostile, claims_more_pages_and_gives_none)
{
    endure(OK, "{" H ",\"more\":true}");
}

Test(hostile, gives_keys_that_nobody_asked_for)
{
    /* "/a", which the get accepts: only the list must not. */
    libsd *sd =
        open_on(OK, "{" H ",\"kvs\":[{\"key\":\"L2E=\",\"mod_revision\":\"3\"}],\"count\":\"1\"}");
    libsd_watch *watch;

    notes_init(&notes);
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0,
                                  notes_take, &notes, &watch),
                 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) == 1, 5);
    cr_assert_eq(notes.last_error, LIBSD_EPROTOCOL);
    cr_assert_eq(notes_count(&notes, LIBSD_EVENT_LIST_BEGIN), 0);
    libsd_close(sd);
}

Test(hostile, cuts_its_answer)
{
    endure("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\nX-",
           "{" H ",\"kvs\":[{");
}

Test(hostile, sends_a_line_without_end)
{
    static char block[1 << 20];
    struct rusage before;
    struct rusage after;

    memset(block, 'x', sizeof block - 1);
    block[0] = '{';
    server.endless = true;
    getrusage(RUSAGE_SELF, &before);
    endure("HTTP/1.1 200 OK\r\nConnection: close\r\n", block);
    getrusage(RUSAGE_SELF, &after);
    /* Two buffers of 64 MiB at most, and while they grow their halves. */
    cr_assert(after.ru_maxrss - before.ru_maxrss < 500 << 10, "%ld KiB",
              after.ru_maxrss - before.ru_maxrss);
}

Test(hostile, creates_every_watch_and_ends_at_once)
{
    endure(OK, "{\"result\":{" H ",\"watch_id\":\"1\",\"created\":true}}\n");
}

Test(hostile, nobody_listens)
{
    libsd *sd;
    struct etcd etcd = { .url = "http://127.0.0.1:1" };
    libsd_watch *watch;
    double begin = seconds();

    sd = etcd_open(&etcd, NULL);
    notes_init(&notes);
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0,
                                  notes_take, &notes, &watch),
                 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) == 1, 5);
    begin = seconds();
    libsd_close(sd);
    cr_assert(seconds() - begin < 0.5);
}
