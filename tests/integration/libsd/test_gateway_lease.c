/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Gateways that misbehave: leases and registrations.  See test_gateway.c.
 *
 *   what gateways do (etcd 3.2 to 3.7, proxies)        test
 *   TTL granted: missing, 0, negative, a string        ttl_that_was_not_granted
 *   TTL granted: beyond all times                      ttl_beyond_all_times
 *   keepalive without TTL: the lease is gone           keepalive_without_ttl_is_a_loss
 *   keepalive about another lease, or none             keepalive_of_another_lease_says_nothing
 *   keepalive with an error of each shape, or a page   keepalive_with_an_error
 *   grant of an id that exists already                 grant_that_had_got_through
 *   transactions without answers, or with too many     transaction_that_tells_nothing
 *   an update without an answer, then a bad token      update_that_timed_out_survives_a_refused_token
 *   a key under our lease that never seems to stand    key_that_never_stands
 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "gateway.h"

static libsd *sd;
static atomic_int registered;
static atomic_int lost;

static void setup(void)
{
    gateway_start(NULL);
    sd = etcd_open(&gateway, NULL);
}

static void teardown(void)
{
    libsd_close(sd);
}

TestSuite(gateway_lease, .init = setup, .fini = teardown, .timeout = 60);

static void count(libsd *handle, const char *service, const char *instance, int now, int error,
                  void *arg)
{
    (void)handle;
    (void)service;
    (void)instance;
    (void)error;
    (void)arg;
    if (now == LIBSD_REGISTERED)
        registered++;
    else
        lost++;
}

static int join(const char *instance, int timeout_ms)
{
    const libsd_register_options options = { .size = sizeof options,
                                             .timeout_ms = timeout_ms,
                                             .callback = count };

    return libsd_register(sd, "s", instance, "10.0.0.1:1", 3, &options);
}

/* What is asked at a path is answered with a text; %s is the lease. */
static const char *wrong_path;
static _Atomic(const char *) wrong_status;
static _Atomic(const char *) wrong_body;
static atomic_int wrongs;

static bool is_wrong(struct exchange *exchange)
{
    char id[32];
    char body[600];
    const char *text = wrong_body;
    const char *mark = strstr(text, "%s");

    if (!asks(exchange, wrong_path))
        return false;
    wrongs++;
    member(exchange, "ID", id, sizeof id);
    snprintf(body, sizeof body, "%.*s%s%s", (int)(mark ? mark - text : 0), text, mark ? id : "",
             mark ? mark + 2 : text);
    return answer(exchange, wrong_status, body);
}

static void goes_wrong(const char *path, const char *status, const char *body)
{
    wrong_path = path;
    wrong_status = status;
    wrong_body = body;
    wrongs = 0;
    gateway_set(is_wrong);
}

/* ---- grants ------------------------------------------------------------- */

Test(gateway_lease, ttl_that_was_not_granted)
{
    static const char *const grants[] = {
        "{" H ",\"ID\":\"%s\"}",
        "{" H ",\"ID\":\"%s\",\"TTL\":\"0\"}",
        "{" H ",\"ID\":\"%s\",\"TTL\":\"-5\"}",
        "{" H ",\"TTL\":3,\"ID\":%s}",
    };

    for (size_t i = 0; i < sizeof grants / sizeof *grants; i++) {
        int before;

        goes_wrong("/lease/grant", "200 OK", grants[i]);
        cr_assert_eq(join("i", 2000), 0, "%s", grants[i]);
        cr_assert_eq(wrongs, 1);
        /* What we wanted is what we keep alive: a beat each second. */
        before = gateway_requests();
        UNTIL(gateway_requests() > before, 3);
        if (i == 0)
            gateway_is_left_in_peace();
        libsd_close(sd);
        sd = etcd_open(&gateway, NULL);
    }
    cr_assert_eq(lost, 0);
}

Test(gateway_lease, ttl_beyond_all_times)
{
    static const char *const grants[] = {
        "{" H ",\"ID\":\"%s\",\"TTL\":\"9223372036854775807\"}",
        "{" H ",\"ID\":\"%s\",\"TTL\":\"9000000001\"}",
        "{" H ",\"ID\":\"1\",\"TTL\":\"3\"}",
        "{" H ",\"TTL\":\"3\"}",
        "{}",
    };

    for (size_t i = 0; i < sizeof grants / sizeof *grants; i++) {
        goes_wrong("/lease/grant", "200 OK", grants[i]);
        cr_assert_eq(join("i", 2000), LIBSD_EPROTOCOL, "%s", grants[i]);
        gateway_detail(sd, "/v3/lease/grant: HTTP 200: ");
        if (i == 0)
            gateway_is_left_in_peace();
        libsd_close(sd);
        sd = etcd_open(&gateway, NULL);
    }
    goes_wrong("/lease/grant", "200 OK", "{" H ",\"ID\":\"%s\",\"TTL\":\"9000000000\"}");
    cr_assert_eq(join("i", 2000), 0);
    gateway_is_left_in_peace();
    libsd_close(sd);
    sd = etcd_open(&gateway, NULL);
    gateway_set(NULL);
    cr_assert_eq(join("i", 0), 0);
}

Test(gateway_lease, grant_that_had_got_through)
{
    goes_wrong("/lease/grant", "412 Precondition Failed",
               "{\"error\":\"etcdserver: lease already exists\",\"code\":9}");
    cr_assert_eq(join("i", 2000), 0);
    cr_assert_eq(wrongs, 1);
    gateway_is_left_in_peace();
    cr_assert_eq(lost, 0);
}

/* ---- beats -------------------------------------------------------------- */

Test(gateway_lease, keepalive_without_ttl_is_a_loss)
{
    goes_wrong("/lease/keepalive", "200 OK", "{\"result\":{" H ",\"ID\":\"%s\"}}\n");
    cr_assert_eq(join("i", 0), 0);
    UNTIL(lost >= 2, 10);
    gateway_is_left_in_peace();
    gateway_set(NULL);
    UNTIL(registered == lost + 1, 5);
    cr_assert_eq(libsd_lease_keepalive(sd, 77, NULL, 0), 0);
    goes_wrong("/lease/keepalive", "200 OK", "{\"result\":{" H ",\"ID\":\"%s\"}}\n");
    cr_assert_eq(libsd_lease_keepalive(sd, 77, NULL, 0), LIBSD_ELEASE);
}

Test(gateway_lease, keepalive_of_another_lease_says_nothing)
{
    static const char *const beats[] = {
        "{\"result\":{" H ",\"ID\":\"77\"}}\n",
        "{\"result\":{" H ",\"ID\":\"77\",\"TTL\":\"3\"}}\n",
        "{\"result\":{" H "}}\n",
        "{" H ",\"ID\":\"%s\",\"TTL\":\"3\"}",
        "{\"result\":{" H ",\"ID\":\"%s\",\"TTL\":\"9223372036854775807\"}}\n",
    };

    cr_assert_eq(join("i", 0), 0);
    for (size_t i = 0; i < sizeof beats / sizeof *beats; i++) {
        goes_wrong("/lease/keepalive", "200 OK", beats[i]);
        /* So nobody renews it, as far as we know. */
        UNTIL(lost == (int)i + 1, 6);
        cr_assert_gt(wrongs, 1);
        gateway_detail(sd, "/v3/lease/keepalive: HTTP 200");
        if (i == 0)
            gateway_is_left_in_peace();
        gateway_set(NULL);
        UNTIL(registered == (int)i + 2, 5);
    }
}

Test(gateway_lease, keepalive_with_an_error)
{
    static const char *const errors[] = {
        "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no leader\"}}",
        "{\"error\":{\"code\":14,\"message\":\"etcdserver: request timed out\"}}\n",
        "<html>",
        "",
    };

    int before;

    cr_assert_eq(join("i", 0), 0);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        goes_wrong("/lease/keepalive", i % 2 ? "200 OK" : "503 Service Unavailable", errors[i]);
        UNTIL(wrongs > 2, 10);
        before = gateway_requests();
        gateway_set(NULL);
        UNTIL(gateway_requests() > before + 2, 10); /* renewed */
    }
    cr_assert_eq(lost, 0);
    /* What is gone is said in this way, too. */
    goes_wrong("/lease/keepalive", "404 Not Found",
               "{\"code\":5, \"message\":\"etcdserver: requested lease not found\"}");
    UNTIL(lost > 0, 5);
    gateway_set(NULL);
    UNTIL(registered == lost + 1, 5);
}

/* ---- transactions ------------------------------------------------------- */

Test(gateway_lease, transaction_that_tells_nothing)
{
    static const char *const answers[] = {
        "{" H "}",
        "{" H ",\"responses\":[]}",
        "{" H ",\"responses\":[{\"response_range\":{" H "}}]}",
        "{" H ",\"responses\":[{\"response_put\":{}},{\"response_put\":{}}]}",
        "{}",
        "[]",
        "<html>",
    };

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        goes_wrong("/kv/txn", "200 OK", answers[i]);
        cr_assert_lt(join("i", 300), 0, "%s", answers[i]);
        if (i < 2)
            gateway_is_left_in_peace();
        gateway_set(NULL);
        cr_assert_eq(join("i", 8000), 0);
        libsd_close(sd);
        sd = etcd_open(&gateway, NULL);
    }
}

/* One key in a transaction, then many: of those too few are answered for. */
Test(gateway_lease, transaction_of_many_with_an_answer_for_one)
{
    enum {
        MANY = 8
    };
    char name[16];

    cr_assert_eq(join("i", 0), 0);
    goes_wrong("/kv/txn", "200 OK",
               "{" H
               ",\"succeeded\":true,\"responses\":[{\"response_txn\":{\"succeeded\":true}}]}");
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%d", i);
        join(name, 1);
    }
    gateway_is_left_in_peace();
    gateway_set(NULL);
    cr_assert_eq(join("i", 0), 0);
}

#define NEW_ADDRESS "10.0.0.2:1"
#define NEW_BASE64  "MTAuMC4wLjI6MQ=="

static atomic_bool written;

static bool looks_for_the_new(struct exchange *exchange)
{
    if (asks(exchange, "/kv/txn") && strstr(exchange->body, NEW_BASE64))
        written = true;
    return false;
}

/* The call gave up and said that it will be written.  A member that lags behind
 * does not know a new token yet, which is no reason to forget it. */
Test(gateway_lease, update_that_timed_out_survives_a_refused_token)
{
    const libsd_register_options options = { .size = sizeof options, .timeout_ms = 300 };

    cr_assert_eq(join("i", 0), 0);
    goes_wrong("/kv/txn", "503 Service Unavailable",
               "{\"code\":14, \"message\":\"etcdserver: request timed out\"}");
    cr_assert(libsd_error_is_retriable(libsd_update(sd, "s", "i", NEW_ADDRESS, &options)));
    goes_wrong("/kv/txn", "401 Unauthorized",
               "{\"code\":16, \"message\":\"etcdserver: invalid auth token\"}");
    UNTIL(wrongs > 0, 20);
    gateway_set(looks_for_the_new);
    UNTIL(written, 30);
}

/* The answer says that another one's key is there; the watch says it is gone;
 * and so on. */
static bool never_stands(struct exchange *exchange)
{
    if (asks(exchange, "/kv/txn"))
        return answer_ok(exchange,
                         "{" H ",\"succeeded\":true,\"responses\":[{\"response_put\":{}}]}");
    if (!asks(exchange, "/watch"))
        return false;
    while (stream_read(exchange)) {
        stream_behave(exchange);
        stream_line(exchange, EVENTS(1, 9, DELETE("L3NlcnZpY2Uvcy9p", 6)));
        stream_line(exchange, EVENTS(1, 9, DELETE("L3NlcnZpY2Uvcy9p", 8)));
    }
    return true;
}

Test(gateway_lease, key_that_never_stands)
{
    gateway_set(never_stands);
    cr_assert_eq(join("i", 0), 0);
    UNTIL(lost >= 1, 5);
    gateway_is_left_in_peace();
    gateway_set(NULL);
    gateway_hang_up();
    UNTIL(registered == lost + 1, 10);
}
