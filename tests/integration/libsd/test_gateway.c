/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Gateways that misbehave: questions and answers.  test_gateway_http.c,
 * test_gateway_watch.c, test_gateway_stream.c and test_gateway_lease.c have the
 * rest.  In each case the call returns the right code, its detail names endpoint,
 * HTTP status and what was wrong, nobody spins, and all is well when the gateway
 * is.
 *
 *   what gateways do (etcd 3.2 to 3.7, proxies)        test
 *   errors of gateway 1, "error" and "code"            every_error_in_every_shape
 *   errors of streams, {"error":{"grpc_code":...}}     every_error_in_every_shape
 *   errors of gateway 2, without "error"               every_error_in_every_shape
 *   text/plain and HTML: 400, 404, 405, 421, 429, 502  answers_without_json
 *   empty, cut, foreign or wrong JSON, bad base64      answers_that_make_no_sense
 *   zero fields left out, 64 bits as strings or not,
 *     unknown fields, any spacing, any order           answers_in_any_wording
 *   /v3beta of etcd 3.3, /v3alpha of 3.2               older_paths_are_found
 *   pages: more without keys, count, order, doubles    pages_that_can_not_be
 *   one page above 64 MiB                              page_above_the_limit_is_asked_for_in_halves
 *   a new token refused, as by a member that lags      member_that_does_not_know_a_token_yet
 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

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

TestSuite(gateway, .init = setup, .fini = teardown, .timeout = 60);

/* ---- what is said ------------------------------------------------------- */

/* One answer for all. */
static struct {
    const char *status;
    const char *body;
} said;

static bool say(struct exchange *exchange)
{
    return answer(exchange, said.status, said.body);
}

static void fails(const char *status, const char *body, int code, const char *words)
{
    char http[32];
    int rc;

    said.status = status;
    said.body = body;
    gateway_set(say);
    rc = gateway_get(sd, libsd_error_is_retriable(code) ? 100 : 2000);
    cr_assert_eq(rc, code, "%s instead of %s after %s: %s", libsd_strerror(rc),
                 libsd_strerror(code), status, body);
    snprintf(http, sizeof http, "/v3/kv/range: HTTP %.3s: ", status);
    if (strstr(status, "404") && !strstr(body, "code"))
        strcpy(http, "/v3alpha/kv/range: HTTP 404: "); /* the last one tried */
    gateway_detail(sd, http);
    gateway_detail(sd, words);
    gateway_behaves_again(sd);
}

static const struct {
    int code;
    const char *status;
    const char *text;
    int error;
} errors[] = {
    { 1, "408 Request Timeout", "context canceled", LIBSD_EUNAVAILABLE },
    { 2, "500 Internal Server Error", "context deadline exceeded", LIBSD_EUNAVAILABLE },
    { 2, "500 Internal Server Error", "election: no leader", LIBSD_EUNAVAILABLE },
    { 2, "500 Internal Server Error", "illegal base64 data at input byte 0", LIBSD_EREFUSED },
    { 3, "400 Bad Request", "etcdserver: key is not provided", LIBSD_EREFUSED },
    { 3, "400 Bad Request", "etcdserver: request is too large", LIBSD_ETOOBIG },
    { 3, "400 Bad Request", "etcdserver: too many operations in txn request", LIBSD_EREFUSED },
    { 3, "400 Bad Request", "etcdserver: authentication failed, invalid user ID or password",
      LIBSD_EAUTH },
    { 3, "400 Bad Request", "etcdserver: user name is empty", LIBSD_EAUTH },
    { 3, "400 Bad Request", "etcdserver: revision of auth store is old", LIBSD_EAUTH },
    { 4, "504 Gateway Timeout", "context deadline exceeded", LIBSD_EUNAVAILABLE },
    { 2, "500 Internal Server Error", "raft proposal dropped", LIBSD_EUNAVAILABLE },
    { 5, "404 Not Found", "etcdserver: requested lease not found", LIBSD_ELEASE },
    { 7, "403 Forbidden", "etcdserver: permission denied", LIBSD_EDENIED },
    { 8, "429 Too Many Requests", "etcdserver: mvcc: database space exceeded", LIBSD_ENOSPACE },
    { 8, "429 Too Many Requests", "grpc: received message larger than max (2500013 vs. 2097152)",
      LIBSD_ETOOBIG },
    { 8, "429 Too Many Requests", "etcdserver: too many requests", LIBSD_EUNAVAILABLE },
    { 9, "412 Precondition Failed", "etcdserver: lease already exists", LIBSD_EREFUSED },
    { 9, "400 Bad Request", "etcdserver: authentication is not enabled", LIBSD_EREFUSED },
    { 11, "400 Bad Request", "etcdserver: mvcc: required revision has been compacted",
      LIBSD_ECOMPACTED },
    { 11, "400 Bad Request", "etcdserver: mvcc: required revision is a future revision",
      LIBSD_ECOMPACTED },
    { 11, "400 Bad Request", "etcdserver: too large lease TTL", LIBSD_EREFUSED },
    { 12, "501 Not Implemented", "unknown method", LIBSD_EREFUSED },
    { 13, "500 Internal Server Error", "server closed the stream without sending trailers",
      LIBSD_EUNAVAILABLE },
    { 14, "503 Service Unavailable",
      "etcdserver: request timed out, possibly due to previous leader failure",
      LIBSD_EUNAVAILABLE },
    { 14, "503 Service Unavailable", "etcdserver: no leader", LIBSD_EUNAVAILABLE },
    { 16, "401 Unauthorized", "etcdserver: invalid auth token", LIBSD_EAUTH },
};

Test(gateway, every_error_in_every_shape)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        const char *text = errors[i].text;
        int code = errors[i].code;
        char bodies[4][400];

        snprintf(bodies[0], sizeof bodies[0],
                 "{\"error\":\"%s\",\"message\":\"%s\",\"code\":%d,\"details\":[]}", text, text,
                 code);
        snprintf(bodies[1], sizeof bodies[1],
                 "{\"error\":{\"grpc_code\":%d,\"http_code\":%.3s,\"message\":\"%s\","
                 "\"http_status\":\"Any\"}}",
                 code, errors[i].status, text);
        snprintf(bodies[2], sizeof bodies[2],
                 "{ \"code\":%d,  \"message\" : \"%s\", \"details\":[]}\n", code, text);
        snprintf(bodies[3], sizeof bodies[3], "{\"error\":{\"message\":\"%s\",\"code\":\"%d\"}}",
                 text, code);
        for (int n = 0; n < 4; n++) {
            fails(errors[i].status, bodies[n], errors[i].error, text);
            /* An error is one with any status. */
            if (n == 1)
                fails("200 OK", bodies[n], errors[i].error, text);
        }
    }
}

Test(gateway, answers_without_json)
{
    fails("400 Bad Request",
          "CommonName of client sending a request against gateway will be ignored and not used as "
          "expected",
          LIBSD_EREFUSED, "CommonName");
    fails("404 Not Found", "404 page not found\n", LIBSD_EPROTOCOL, "page not found");
    fails("405 Method Not Allowed", "Method Not Allowed", LIBSD_EREFUSED, "Not Allowed");
    fails("408 Request Timeout", "", LIBSD_EUNAVAILABLE, "empty answer");
    fails("421 Misdirected Request", "Misdirected Request\n", LIBSD_EREFUSED, "Misdirected");
    fails("429 Too Many Requests", "<html>slow down</html>", LIBSD_EUNAVAILABLE, "slow down");
    fails("502 Bad Gateway", "<html>\n<h1>502</h1>\n</html>", LIBSD_EUNAVAILABLE, "<h1>502");
    fails("503 Service Unavailable", "", LIBSD_EUNAVAILABLE, "empty answer");
}

Test(gateway, answers_that_make_no_sense)
{
    static const struct {
        const char *body;
        const char *words;
    } answers[] = {
        { "", "empty answer" },
        { "<html>It works!</html>", "It works" },
        { "[]", "[]" },
        { "{}", "no header" },
        { "{\"status\":\"ok\"}", "no header" },
        { "{" H, "',' expected at byte" },
        { "{" H ",\"kvs\":[{\"key\":\"L2E", "string without end" },
        { "{" H ",\"kvs\":[{\"key\":\"L2E!\",\"mod_revision\":\"3\"}]}", "bad base64" },
        { "{" H ",\"kvs\":[{\"key\":\"L\",\"mod_revision\":\"3\"}]}", "bad base64" },
        { "{" H ",\"kvs\":[{\"value\":\"MQ==\",\"mod_revision\":\"3\"}]}", "key without name" },
        { "{" H ",\"kvs\":[{\"key\":\"L2E=\"}]}", "revision" },
        { "{" H ",\"kvs\":{}}", "array expected" },
        { "{" H ",\"kvs\":[1,2,3]}", "object expected" },
        { "{" H ",\"count\":\"many\"}", "whole number expected" },
        { "{" H ",\"count\":1e3}", "whole number expected" },
        { "{" H ",\"more\":\"true\"}", "value expected" },
        { "{" HEADER(9223372036854775807) "}", "impossible revision" },
        { "{" HEADER(-1) "}", "impossible revision" },
        { "{" HEADER(99999999999999999999) "}", "whole number" },
        { "{" H "}{" H "}", "text after the end" },
        { "{" H ",\"x\":\"\\ud8\"}", "bad escape" },
    };

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        fails("200 OK", answers[i].body, LIBSD_EPROTOCOL, answers[i].words);
}

static void reads(const char *body, const char *value, size_t size)
{
    libsd_kvs *kvs = NULL;
    const libsd_kv *kv;

    said.status = "200 OK";
    said.body = body;
    gateway_set(say);
    cr_assert_eq(libsd_get(sd, libsd_str("/a"), &kvs, 0), 0, "%s", body);
    kv = libsd_kvs_at(kvs, 0);
    cr_assert_eq(kv->value.size, size);
    cr_assert_arr_eq(kv->value.data, value, size);
    cr_assert_eq(kv->mod_revision, 3);
    cr_assert_eq(libsd_kvs_revision(kvs), 5);
    libsd_kvs_free(kvs);
}

Test(gateway, answers_in_any_wording)
{
    reads("{" H ",\"kvs\":[" KV(KEY_A, 3) "],\"count\":\"1\"}", "1", 1);
    reads("{\"count\":1,\"kvs\":[{\"value\":\"MQ==\",\"lease\":\"0\",\"mod_revision\":3,"
          "\"key\":\"L2E=\"}],\"header\":{\"revision\":5,\"cluster_id\":14841639068965178418}}",
          "1", 1);
    reads(" {\r\n\t\"new\" : {\"a\":[1,-2.5e9,{\"b\":null}],\"c\":true}, " H
          " ,\n\"kvs\" : [ { \"key\" : \"L2E=\" , \"more\":[[]], \"mod_revision\" : \"3\" } ] }\n",
          "", 0);
    reads("{" H ",\"kvs\":[{\"key\":\"L2E\",\"mod_revision\":\"3\",\"value\":\"-_8\"}]}",
          "\xfb\xff", 2);
    reads("{" H ",\"kvs\":[{\"\\u006bey\":\"L\\u0032E=\",\"mod_revision\":\"3\"}]}", "", 0);
}

static _Atomic(const char *) old_api;

static bool has_old_path(struct exchange *exchange)
{
    if (strcmp(exchange->api, old_api) != 0)
        return answer(exchange, "404 Not Found", "{\"code\":5, \"message\":\"Not Found\"}");
    strcpy(exchange->api, "/v3");
    return false;
}

Test(gateway, older_paths_are_found)
{
    static const char *const apis[] = { "/v3", "/v3beta", "/v3alpha" };
    static struct notes notes[3];

    for (int i = 0; i < 3; i++) {
        libsd *other = etcd_open(&gateway, NULL);
        libsd_watch *watch;

        old_api = apis[i];
        gateway_set(has_old_path);
        notes_init(&notes[i]);
        cr_assert_eq(libsd_watch_open(other, libsd_str("/f/"), LIBSD_WATCH_PREFIX, 0, notes_take,
                                      &notes[i], &watch),
                     0);
        UNTIL(notes_count(&notes[i], LIBSD_EVENT_CONNECTED) == 1, 5);
        cr_assert(has(other, "/a", "1"), "%s", apis[i]);
        libsd_close(other);
    }
}

static void pages_fail(const char *body, const char *words)
{
    libsd_kvs *kvs = NULL;

    said.status = "200 OK";
    said.body = body;
    gateway_set(say);
    cr_assert_eq(libsd_list(sd, libsd_str("/f/"), 0, &kvs, 0), LIBSD_EPROTOCOL, "%s", body);
    cr_assert_null(kvs);
    gateway_detail(sd, "/v3/kv/range: HTTP 200: ");
    gateway_detail(sd, words);
    gateway_behaves_again(sd);
}

#define KEY_G "L2YvYg==" /* "/f/b" */

Test(gateway, pages_that_can_not_be)
{
    int before = gateway_requests();

    pages_fail("{" H ",\"more\":true}", "no keys, but more");
    pages_fail("{" H ",\"more\":true,\"count\":\"7\",\"kvs\":[]}", "no keys, but more");
    pages_fail("{" H ",\"kvs\":[" KV(KEY_F, 4) "],\"count\":\"2\"}", "fewer keys");
    pages_fail("{" H ",\"count\":\"1\"}", "fewer keys");
    pages_fail("{" H ",\"kvs\":[" KV(KEY_F, 4) "," KV(KEY_F, 4) "],\"count\":\"2\"}", "order");
    pages_fail("{" H ",\"kvs\":[" KV(KEY_G, 4) "," KV(KEY_F, 4) "],\"count\":\"2\"}", "order");
    pages_fail("{" H ",\"kvs\":[" KV(KEY_A, 3) "],\"count\":\"1\"}", "not asked for");
    /* The same page again, when the next one was asked for. */
    pages_fail("{" H ",\"more\":true,\"kvs\":[" KV(KEY_F, 4) "],\"count\":\"9\"}", "not asked for");
    pages_fail("{\"header\":{\"cluster_id\":\"1\"},\"kvs\":[" KV(KEY_F, 4) "]}", "no revision");
    cr_assert_leq(gateway_requests() - before, 2 * 9 + 1);
}

static bool big_unless_halved(struct exchange *exchange)
{
    char limit[16];
    char *block = calloc(1, 1 << 20);

    member(exchange, "limit", limit, sizeof limit);
    if (atoi(limit) < 2000 || !block) {
        free(block);
        return false;
    }
    send_text(exchange, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"x\":\"");
    memset(block, 'x', 1 << 20);
    for (int i = 0; i < 65 && send_bytes(exchange, block, 1 << 20); i++)
        continue;
    free(block);
    end_now(exchange);
    return true;
}

Test(gateway, page_above_the_limit_is_asked_for_in_halves)
{
    libsd_kvs *kvs = NULL;
    struct rusage before;
    struct rusage after;

    getrusage(RUSAGE_SELF, &before);
    gateway_set(big_unless_halved);
    cr_assert_eq(libsd_list(sd, libsd_str("/f/"), 0, &kvs, 10000), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 1);
    libsd_kvs_free(kvs);
    getrusage(RUSAGE_SELF, &after);
    /* A sanitizer keeps what is freed. */
    cr_assert_lt(after.ru_maxrss - before.ru_maxrss, 600 << 10);
}

/* ---- tokens ------------------------------------------------------------- */

static atomic_int refusals_left;

static bool refuses_tokens(struct exchange *exchange)
{
    if (!asks(exchange, "/kv/range") || refusals_left-- <= 0)
        return false;
    return answer(exchange, "401 Unauthorized",
                  "{\"code\":16, \"message\":\"etcdserver: invalid auth token\"}");
}

/* A simple token comes to a member through the log: one that lags refuses it at
 * first, though it is as new as can be. */
Test(gateway, member_that_does_not_know_a_token_yet)
{
    libsd_options *options;
    libsd_kvs *kvs = NULL;
    libsd *own;

    cr_assert_eq(libsd_options_new(&options), 0);
    libsd_options_set(options, "endpoints", gateway.url);
    libsd_options_set(options, "user", "app:secret");
    cr_assert_eq(libsd_open(&own, options), 0);
    libsd_options_free(options);
    refusals_left = 4;
    gateway_set(refuses_tokens);
    cr_assert_eq(libsd_get(own, libsd_str("/a"), &kvs, 0), 0);
    libsd_kvs_free(kvs);
    libsd_close(own);
}
