/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Gateways that misbehave, below what they say: see test_gateway.c.
 *
 *   what gateways and proxies do                       test
 *   no answer at all, FIN or RST half way              connection_that_ends_early
 *   a write whose answer is lost                       lost_answer_does_not_repeat_a_write
 *   a byte now and then                                drip_ends_with_the_timeout
 *   redirects                                          redirects_are_not_followed
 *   chunks of any size, trailers, 100 Continue,
 *     Connection: close                                any_http_1_1_will_do
 *   Content-Length too long or too short               content_length_that_lies
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway.h"

static libsd *sd;

static void setup(void)
{
    gateway_start(NULL);
    sd = etcd_open(&gateway, NULL);
}

static void teardown(void)
{
    libsd_close(sd);
}

TestSuite(gateway_http, .init = setup, .fini = teardown, .timeout = 60);

/* ---- how it is said ----------------------------------------------------- */

static bool closes(struct exchange *exchange)
{
    end_now(exchange);
    return true;
}

static bool half(struct exchange *exchange)
{
    return send_text(exchange, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{" H ",\"kvs\":[");
}

static bool closes_half_way(struct exchange *exchange)
{
    half(exchange);
    end_now(exchange);
    return true;
}

static bool resets_half_way(struct exchange *exchange)
{
    half(exchange);
    poll(NULL, 0, 20); /* what was sent is gone with a reset, if it comes too early */
    reset_now(exchange);
    return true;
}

static bool no_http(struct exchange *exchange)
{
    send_text(exchange, "\x15\x03\x01\x02\x02\r\n\r\n");
    end_now(exchange);
    return true;
}

static gateway_quirk *once_quirk;
static atomic_bool once_done;

static bool once(struct exchange *exchange)
{
    return !atomic_exchange(&once_done, true) && once_quirk(exchange);
}

static gateway_quirk *const endings[] = { closes, closes_half_way, resets_half_way, no_http };

Test(gateway_http, connection_that_ends_early)
{
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        int before = gateway_requests();

        gateway_set(endings[i]);
        cr_assert_eq(gateway_get(sd, 400), LIBSD_ETIMEDOUT, "%zu", i);
        cr_assert_leq(gateway_requests() - before, 12);
        gateway_detail(sd, ": ");
        gateway_behaves_again(sd);
        /* A question is asked again. */
        once_quirk = endings[i];
        once_done = false;
        gateway_set(once);
        cr_assert_eq(gateway_get(sd, 0), 0, "%zu", i);
    }
}

static atomic_int puts_seen;

static bool loses_puts(struct exchange *exchange)
{
    if (!asks(exchange, "/kv/put"))
        return false;
    puts_seen++;
    return resets_half_way(exchange);
}

Test(gateway_http, lost_answer_does_not_repeat_a_write)
{
    gateway_set(loses_puts);
    cr_assert_eq(libsd_put(sd, libsd_str("/a"), libsd_str("2"), 0, NULL, 0), LIBSD_EUNKNOWN);
    cr_assert_eq(puts_seen, 1);
    gateway_detail(sd, ": ");
    gateway_behaves_again(sd);
}

static bool drips(struct exchange *exchange)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{" H;

    for (size_t i = 0; i < sizeof text - 1 && send_bytes(exchange, &text[i], 1); i++)
        poll(NULL, 0, 20);
    while (send_text(exchange, " "))
        poll(NULL, 0, 20);
    return true;
}

Test(gateway_http, drip_ends_with_the_timeout)
{
    libsd_kvs *kvs = NULL;
    double begin = seconds();

    gateway_set(drips);
    cr_assert_eq(gateway_get(sd, 500), LIBSD_ETIMEDOUT);
    cr_assert_eq(libsd_list(sd, libsd_str("/f/"), 0, &kvs, 500), LIBSD_ETIMEDOUT);
    gateway_detail(sd, "timed out");
    cr_assert_lt(seconds() - begin, 10);
    gateway_behaves_again(sd);
}

/* ---- redirects ---------------------------------------------------------- */

static const char *moved_status;
static char elsewhere[64];
static atomic_int with_token;

static bool redirects(struct exchange *exchange)
{
    char text[300];

    if (asks(exchange, "/auth/authenticate"))
        return false;
    with_token += strstr(exchange->head, "\r\nAuthorization: the-token\r\n") != NULL;
    snprintf(text, sizeof text, "HTTP/1.1 %s\r\nLocation: %s%s%s\r\nContent-Length: 0\r\n\r\n",
             moved_status, elsewhere, exchange->api, exchange->path);
    send_text(exchange, text);
    end_now(exchange);
    return true;
}

static int listen_elsewhere(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 9) == 0 &&
              getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    snprintf(elsewhere, sizeof elsewhere, "http://127.0.0.1:%d", ntohs(address.sin_port));
    return fd;
}

Test(gateway_http, redirects_are_not_followed)
{
    static const char *const status[] = { "301 Moved Permanently", "302 Found", "303 See Other",
                                          "307 Temporary Redirect", "308 Permanent Redirect" };
    int fd = listen_elsewhere();
    libsd_options *options;
    libsd_watch *watch;
    static struct notes notes;

    cr_assert_eq(libsd_options_new(&options), 0);
    cr_assert_eq(libsd_options_set(options, "endpoints", gateway.url), 0);
    cr_assert_eq(libsd_options_set(options, "user", "me"), 0);
    cr_assert_eq(libsd_options_set(options, "password", "secret"), 0);
    libsd_close(sd);
    cr_assert_eq(libsd_open(&sd, options), 0);
    libsd_options_free(options);
    moved_status = status[0];
    gateway_set(redirects);
    notes_init(&notes);
    cr_assert_eq(
        libsd_watch_open(sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX, 0, notes_take, &notes, &watch),
        0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) == 1, 5);
    cr_assert(strstr(notes.detail, "/v3/watch: HTTP 301"), "%s", notes.detail);
    for (size_t i = 0; i < sizeof status / sizeof *status; i++) {
        moved_status = status[i];
        cr_assert_eq(gateway_get(sd, 0), LIBSD_EREFUSED);
        gateway_detail(sd, "/v3/kv/range: HTTP 30");
    }
    cr_assert_geq(with_token, 6);
    cr_assert_lt(accept(fd, NULL, NULL), 0, "a redirect was followed");
    gateway_is_left_in_peace();
    close(fd);
    gateway_behaves_again(sd);
}

/* ---- HTTP --------------------------------------------------------------- */

#define PAGE "{" H ",\"kvs\":[" KV(KEY_A, 3) "],\"count\":\"1\"}"

static bool odd_chunks(struct exchange *exchange)
{
    static const char page[] = PAGE;
    char chunk[64];
    size_t size = 1;

    send_text(exchange, "HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\nX-Y: \r\n\r\n");
    for (size_t at = 0; at < sizeof page - 1; at += size, size = size % 7 + 1) {
        if (size > sizeof page - 1 - at)
            size = sizeof page - 1 - at;
        snprintf(chunk, sizeof chunk, "%04zX;name=\"value\"\r\n%.*s\r\n", size, (int)size,
                 page + at);
        send_text(exchange, chunk);
    }
    return send_text(exchange, "0\r\nX-Trailer: 1\r\n\r\n");
}

static bool continues(struct exchange *exchange)
{
    send_text(exchange, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n");
    return false;
}

static bool until_eof(struct exchange *exchange)
{
    send_text(exchange, "HTTP/1.0 200 OK\r\n\r\n" PAGE);
    end_now(exchange);
    return true;
}

static bool closes_silently_afterwards(struct exchange *exchange)
{
    answer_ok(exchange, PAGE);
    end_now(exchange);
    return true;
}

Test(gateway_http, any_http_1_1_will_do)
{
    static gateway_quirk *const quirks[] = { odd_chunks, continues, until_eof,
                                             closes_silently_afterwards };

    for (size_t i = 0; i < sizeof quirks / sizeof *quirks; i++) {
        gateway_set(quirks[i]);
        for (int n = 0; n < 20; n++)
            cr_assert(has(sd, "/a", "1"), "%zu", i);
    }
}

static bool too_long(struct exchange *exchange)
{
    send_text(exchange, "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" PAGE);
    end_now(exchange);
    return true;
}

static bool too_short(struct exchange *exchange)
{
    return send_text(exchange, "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n" PAGE);
}

static bool beyond_all(struct exchange *exchange)
{
    send_text(exchange, "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n" PAGE);
    end_now(exchange);
    return true;
}

Test(gateway_http, content_length_that_lies)
{
    gateway_set(too_long);
    cr_assert_eq(gateway_get(sd, 200), LIBSD_ETIMEDOUT);
    gateway_detail(sd, "remaining to read");
    gateway_behaves_again(sd);
    gateway_set(too_short);
    cr_assert_eq(gateway_get(sd, 0), LIBSD_EPROTOCOL);
    gateway_detail(sd, "HTTP 200: not etcd's JSON");
    gateway_behaves_again(sd);
    gateway_set(beyond_all);
    cr_assert_eq(gateway_get(sd, 200), LIBSD_ETOOBIG);
    gateway_behaves_again(sd);
}
