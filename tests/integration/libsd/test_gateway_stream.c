/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Gateways that misbehave: how the streams of watches end.  See test_gateway.c.
 *
 *   what gateways do (etcd 3.2 to 3.7, proxies)        test
 *   errors of both shapes, with newline or not, first
 *     or after events; proxies' pages                  stream_that_ends_with_an_error
 *   an error on a connection that stays                error_is_the_end_though_the_connection_stays
 *   headers and no answer; no headers; a drip          watch_without_an_answer
 *   a line of 60 MB; one above the limit               line_of_60_megabytes
 *   a line that takes for ever (LONG=1)                line_that_does_not_end
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "watch_scene.h"

TestSuite(gateway_stream, .init = watch_scene_begin, .fini = watch_scene_end, .timeout = 100);

/* ---- how streams end ---------------------------------------------------- */

static const char *last_words; /* the whole answer, its head included */

static bool ends(struct exchange *exchange)
{
    if (!asks(exchange, "/watch") || !stream_read(exchange))
        return false;
    send_text(exchange, last_words);
    end_now(exchange);
    return true;
}

#define CLOSED(status) "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n"
#define OK             CLOSED("200 OK")

Test(gateway_stream, stream_that_ends_with_an_error)
{
    static const struct {
        const char *text;
        int error;
        const char *words;
    } endings[] = {
        { CLOSED("503 Service Unavailable") "{\"error\":{\"grpc_code\":14,\"http_code\":503,"
                                            "\"message\":\"etcdserver: no leader\"}}",
          LIBSD_EUNAVAILABLE, "HTTP 503: etcdserver: no leader" },
        { OK CREATED(1) "\n{\"error\":{\"grpc_code\":14,\"http_code\":503,"
                        "\"message\":\"transport is closing\"}}",
          LIBSD_EUNAVAILABLE, "HTTP 200: transport is closing" },
        { OK CREATED(1) "\n{\"error\":{\"code\":14, \"message\":\"etcdserver: no leader\"}}\n",
          LIBSD_EUNAVAILABLE, "HTTP 200: etcdserver: no leader" },
        { OK CREATED(1) "\n{\"error\":{\"code\":1, \"message\":\"context canceled\"}}\n",
          LIBSD_EUNAVAILABLE, "context canceled" },
        { OK CREATED(1) "\n{\"error\":{\"grpc_code\":16,\"message\":\"invalid auth token\"}}",
          LIBSD_EAUTH, "invalid auth token" },
        { OK CREATED(1) "\n", LIBSD_EUNAVAILABLE, "closed" },
        { OK CREATED(1) "\n{\"result\":{" H ",\"watch_", LIBSD_EUNAVAILABLE, "" },
        { CLOSED("502 Bad Gateway") "<html>\n<h1>502</h1>\n</html>\n", LIBSD_EUNAVAILABLE,
          "/v3/watch: HTTP 502: <html> <h1>502" },
        { CLOSED("429 Too Many Requests") "{}\n{}\n", LIBSD_EUNAVAILABLE, "HTTP 429" },
        { CLOSED("503 Service Unavailable"), LIBSD_EUNAVAILABLE, "HTTP 503" },
        { CLOSED("421 Misdirected Request") "Misdirected Request\n", LIBSD_EREFUSED,
          "HTTP 421: Misdirected" },
        { CLOSED("404 Not Found") "404 page not found\n", LIBSD_EPROTOCOL, "HTTP 404" },
        { CLOSED("500 Internal Server Error") "{\"error\":\"illegal base64 data at input byte 0\","
                                              "\"code\":2}",
          LIBSD_EREFUSED, "illegal base64" },
        { OK "<html>\n", LIBSD_EPROTOCOL, "HTTP 200: not a watch answer" },
    };

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        libsd *own = etcd_open(&gateway, NULL);
        libsd_watch *made;

        last_words = endings[i].text;
        gateway_set(ends);
        notes_reset(&seen.notes);
        cr_assert_eq(libsd_watch_open(own, libsd_str("/f/"), LIBSD_WATCH_PREFIX, 0, notes_take,
                                      &seen.notes, &made),
                     0);
        UNTIL(notes_count(&seen.notes, LIBSD_EVENT_DISCONNECTED) >= 1, 5);
        cr_assert_eq(seen.notes.last_error, endings[i].error, "%d: %s: %s", seen.notes.last_error,
                     endings[i].text, seen.notes.detail);
        cr_assert(strstr(seen.notes.detail, gateway.url) &&
                      strstr(seen.notes.detail, endings[i].words),
                  "no '%s' in '%s'", endings[i].words, seen.notes.detail);
        if (i % 5 == 0)
            gateway_is_left_in_peace();
        notes_forget(&seen.notes);
        gateway_set(NULL);
        UNTIL(notes_say(&seen.notes, "up "), 10);
        libsd_close(own);
    }
}

static atomic_bool was_asked;

static bool ends_and_stays(struct exchange *exchange)
{
    if (!asks(exchange, "/watch") || !stream_read(exchange))
        return false;
    send_text(exchange, OK CREATED(1) "\n{\"error\":{\"grpc_code\":14,\"http_code\":503,"
                                      "\"message\":\"etcdserver: no leader\"}}");
    if (stream_read(exchange))
        was_asked = true;
    return true;
}

/* As etcd does it under TLS: the error is all there is to see. */
Test(gateway_stream, error_is_the_end_though_the_connection_stays)
{
    gateway_set(ends_and_stays);
    watch_scene_open(0, 0);
    UNTIL(notes_count(&seen.notes, LIBSD_EVENT_DISCONNECTED) >= 1, 30);
    cr_assert(strstr(seen.notes.detail, "no leader") != NULL, "%s", seen.notes.detail);
    cr_assert(!was_asked, "noticed only when a sign of life was asked for");
}

static const char *only; /* all that is ever sent, but for spaces in drips */
static atomic_bool dripping;

static bool says_only(struct exchange *exchange)
{
    if (!asks(exchange, "/watch") || !stream_read(exchange))
        return false;
    send_text(exchange, only);
    while (dripping && send_text(exchange, " "))
        poll(NULL, 0, 50);
    if (!dripping)
        stream_wait(exchange);
    return true;
}

Test(gateway_stream, watch_without_an_answer)
{
    static const char *const texts[] = { "", OK, OK "{\"result\":",
                                         CLOSED("503 Service Unavailable") "<html>" };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        libsd_watch *made;
        int before = gateway_requests();

        only = texts[i];
        dripping = i > 1;
        notes_reset(&seen.notes);
        gateway_set(says_only);
        made = watch_scene_open(0, 0);
        UNTIL(notes_count(&seen.notes, LIBSD_EVENT_DISCONNECTED) == 1, 10);
        cr_assert_eq(seen.notes.last_error, LIBSD_ETIMEDOUT, "%s", seen.notes.detail);
        cr_assert(strstr(seen.notes.detail, gateway.url) && strstr(seen.notes.detail, "no answer"),
                  "%s", seen.notes.detail);
        cr_assert_leq(gateway_requests() - before, 8);
        dripping = false;
        watch_scene_behaves_again();
        libsd_watch_close(made);
    }
}

Test(gateway_stream, line_that_does_not_end, .timeout = 150)
{
    if (!getenv("LONG"))
        return;
    only = OK CREATED(1) "\n{\"result\":";
    dripping = true;
    gateway_set(says_only);
    watch_scene_open(0, 0);
    UNTIL(notes_count(&seen.notes, LIBSD_EVENT_DISCONNECTED) == 1, 90);
    cr_assert_eq(seen.notes.last_error, LIBSD_ETIMEDOUT);
    cr_assert_not_null(strstr(seen.notes.detail, "does not end"));
    dripping = false;
    watch_scene_behaves_again();
}

/* ---- giants ------------------------------------------------------------- */

static atomic_size_t megabytes;

/* One event with a value of that size, in base64. */
static bool says_a_giant(struct exchange *exchange)
{
    static char block[1 << 20];

    if (!asks(exchange, "/watch") || !stream_read(exchange))
        return false;
    memset(block, 'A', sizeof block);
    send_text(exchange,
              OK CREATED(1) "\n{\"result\":{" HEADER(9) ",\"watch_id\":\"1\",\"events\":[{"
                                                        "\"kv\":{\"key\":\"" KEY_F
                                                        "\",\"mod_revision\":\"6\","
                                                        "\"value\":\"");
    for (size_t i = 0; i < megabytes && send_bytes(exchange, block, sizeof block); i++)
        continue;
    send_text(exchange, "\"}}]}}\n");
    stream_wait(exchange);
    return true;
}

static atomic_size_t value_size;

static void take_size(const libsd_event *event, void *arg)
{
    if (event->type == LIBSD_EVENT_PUT)
        value_size = event->kv->value.size;
    else
        notes_take(event, arg);
}

Test(gateway_stream, line_of_60_megabytes)
{
    libsd_watch *made;
    struct rusage before;
    struct rusage after;

    getrusage(RUSAGE_SELF, &before);
    megabytes = 60;
    gateway_set(says_a_giant);
    cr_assert_eq(libsd_watch_open(seen.sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX, 0, take_size,
                                  &seen.notes, &made),
                 0);
    UNTIL(value_size == (size_t)45 << 20, 20);
    libsd_watch_close(made);
    gateway_hang_up();
    megabytes = 70;
    cr_assert_eq(libsd_watch_open(seen.sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX, 0, take_size,
                                  &seen.notes, &made),
                 0);
    UNTIL(notes_count(&seen.notes, LIBSD_EVENT_DISCONNECTED) >= 1 &&
              seen.notes.last_error == LIBSD_ETOOBIG,
          20);
    libsd_watch_close(made);
    watch_scene_behaves_again();
    getrusage(RUSAGE_SELF, &after);
    cr_assert_lt(after.ru_maxrss - before.ru_maxrss, 500 << 10, "%ld KiB",
                 after.ru_maxrss - before.ru_maxrss);
}
