/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The JSON cursor, base64, and etcd's messages read with them.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../libsd/base64.h"
#include "../../libsd/buffer.h"
#include "../../libsd/json.h"
#include "../../libsd/message.h"
#include "../../libsd/op.h"

static char text[4096];

static struct json on(const char *source)
{
    struct json json;

    strcpy(text, source);
    json_init(&json, text, strlen(text));
    return json;
}

Test(json, object_is_read_member_by_member)
{
    struct json json = on("{\"a\": 1, \"b\" :\"2\",\"c\":[true,false] ,\"d\":{\"x\":[]}}");
    libsd_slice name;
    int members = 0;

    json_object(&json);
    while (json_member(&json, &name)) {
        members++;
        if (slice_is(name, "a"))
            cr_assert_eq(json_int64(&json), 1);
        else if (slice_is(name, "b"))
            cr_assert_eq(json_int64(&json), 2);
        else if (slice_is(name, "c")) {
            json_array(&json);
            cr_assert(json_element(&json));
            cr_assert(json_bool(&json));
            cr_assert(json_element(&json));
            cr_assert_not(json_bool(&json));
            cr_assert_not(json_element(&json));
        } else {
            json_skip(&json);
        }
    }
    json_end(&json);
    cr_assert_not(json_failed(&json), "%s", json.why);
    cr_assert_eq(members, 4);
}

Test(json, strings_are_decoded_in_place)
{
    struct json json = on("\"a\\n\\\"\\\\\\/\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\ud800x\"");
    libsd_slice slice = json_string(&json);

    cr_assert_not(json_failed(&json));
    cr_assert(slice_is(slice, "a\n\"\\/A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbdx"));
}

static bool fails(const char *source)
{
    struct json json = on(source);

    json_skip(&json);
    json_end(&json);
    return json_failed(&json);
}

Test(json, broken_text_is_refused)
{
    static const char *const broken[] = { "",         "{",       "[1",  "\"a",   "\"\\u12\"",
                                          "\"\\x\"",  "{\"a\"]", "[1}", "{} {}", "1 2",
                                          "\"a\nb\"", "}",       "]",   ",",     "\"\\" };

    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        cr_expect(fails(broken[i]), "%s", broken[i]);
    cr_expect_not(fails("{\"a\":[{},[],\"\",null,-1.5e3]}"));
}

static bool number_fails(const char *source)
{
    struct json json = on(source);

    json_int64(&json);
    return json_failed(&json);
}

Test(json, numbers_keep_all_64_bits)
{
    struct json json = on("\"9223372036854775807\"");

    cr_assert_eq(json_int64(&json), INT64_MAX);
    json = on("-9223372036854775807");
    cr_assert_eq(json_int64(&json), -INT64_MAX);
    json = on("\"16659501710092026879\"");
    cr_assert_eq(json_uint64(&json), UINT64_C(16659501710092026879));
    cr_assert(number_fails("\"9223372036854775808\""));
    cr_assert(number_fails("\"99999999999999999999999\""));
    cr_assert(number_fails("\"\""));
    cr_assert(number_fails("\"-\""));
    cr_assert(number_fails("1.5"));
    cr_assert(number_fails("\"1x\""));
    cr_assert(number_fails("null"));
}

Test(json, cut_text_is_never_overrun)
{
    static const char whole[] = "{\"a\":[\"\\u0041\\ud83d\\ude00\",{\"b\":-12}],\"c\":true}";

    for (size_t size = 0; size < sizeof whole - 1; size++) {
        char *copy = malloc(size ? size : 1);
        struct json json;

        memcpy(copy, whole, size);
        json_init(&json, copy, size);
        json_skip(&json);
        cr_assert(json_failed(&json) || size == 0, "%zu", size);
        free(copy);
    }
}

/* ---- writing ------------------------------------------------------------ */

Test(json, texts_are_written_as_they_can_be_read)
{
    static const char all[] = "a\"b\\c\x01\n\x1f\x7f\xc3\xa4/";
    struct buffer buffer = { 0 };
    struct json json;

    buffer_json_text(&buffer, libsd_str(all));
    cr_assert_not(buffer.failed);
    for (size_t i = 0; i < buffer.size; i++)
        cr_expect_geq((unsigned char)buffer.data[i], ' ');
    json_init(&json, buffer.data, buffer.size);
    libsd_slice read = json_string(&json);
    json_end(&json);
    cr_expect_not(json_failed(&json));
    cr_expect_eq(read.size, sizeof all - 1);
    cr_expect_eq(memcmp(read.data, all, read.size), 0);
    buffer_free(&buffer);
}

Test(json, urls_of_a_new_member_are_a_list)
{
    const libsd_op op = libsd_op_member_add("http://a:1, http://b:2", LIBSD_LEARNER);
    struct buffer buffer = { 0 };

    op_body(&buffer, &op);
    cr_expect_eq(buffer.size, strlen("{\"peerURLs\":[\"http://a:1\",\"http://b:2\"],"
                                     "\"isLearner\":true}"));
    cr_expect_eq(memcmp(buffer.data,
                        "{\"peerURLs\":[\"http://a:1\",\"http://b:2\"],\"isLearner\":true}",
                        buffer.size),
                 0);
    buffer_free(&buffer);
}

/* ---- base64 ------------------------------------------------------------- */

Test(base64, every_length_survives_a_round_trip)
{
    unsigned char bytes[256];
    char encoded[400];
    unsigned char decoded[400];

    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)(i * 37);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        size_t length = base64_encode(encoded, bytes, size);

        cr_assert_eq(length, base64_size(size));
        cr_assert_eq(base64_decode(decoded, encoded, length), (ssize_t)size);
        cr_assert_arr_eq(decoded, bytes, size);
        /* In place, and without its padding. */
        while (length && encoded[length - 1] == '=')
            length--;
        cr_assert_eq(base64_decode(encoded, encoded, length), (ssize_t)size);
        cr_assert_arr_eq(encoded, bytes, size);
    }
}

Test(base64, other_text_is_refused)
{
    unsigned char out[100];

    cr_assert_eq(base64_decode(out, "A", 1), -1);
    cr_assert_eq(base64_decode(out, "AAAAA", 5), -1);
    cr_assert_eq(base64_decode(out, "AA A", 4), -1);
    cr_assert_eq(base64_decode(out, "AA\0A", 4), -1);
    cr_assert_eq(base64_decode(out, "A===", 4), -1);
    cr_assert_eq(base64_decode(out, "====", 4), -1);
    cr_assert_eq(base64_decode(out, "-_-_", 4), 3);
    cr_assert_eq(base64_decode(out, "", 0), 0);
}

/* ---- messages ----------------------------------------------------------- */

#define H "{\"cluster_id\":\"14841639068965178418\",\"revision\":\"7\",\"raft_term\":\"2\"}"

static struct answer answer;
static struct failure failure;

static int read_answer(const char *source)
{
    struct buffer buffer = { .data = text, .size = strlen(source) };

    strcpy(text, source);
    return answer_read(&buffer, &answer, &failure);
}

static int read_keepalive(const char *source)
{
    struct buffer buffer = { .data = text, .size = strlen(source) };

    strcpy(text, source);
    return keepalive_read(&buffer, &answer, &failure);
}

Test(message, range_answer_is_read)
{
    cr_assert_eq(
        read_answer("{\"header\":" H ",\"kvs\":[{\"key\":\"YQ==\",\"create_revision\":\"2\","
                    "\"mod_revision\":\"3\",\"version\":\"2\",\"value\":\"YmM=\",\"lease\":"
                    "\"7587862094871\",\"new\":{}},{\"key\":\"Yg==\",\"mod_revision\":\"4\"}],"
                    "\"more\":true,\"count\":\"9\"}"),
        0);
    cr_assert_eq(answer.records.count, 2);
    cr_assert(slice_is(answer.records.list[0].kv.key, "a"));
    cr_assert(slice_is(answer.records.list[0].kv.value, "bc"));
    cr_assert_eq(answer.records.list[0].kv.lease, INT64_C(7587862094871));
    cr_assert_eq(answer.records.list[1].kv.value.size, 0);
    cr_assert(answer.more);
    cr_assert_eq(answer.count, 9);
    cr_assert_eq(answer.header.revision, 7);
    records_free(&answer.records);
}

Test(message, missing_fields_are_zero)
{
    cr_assert_eq(read_answer("{\"header\":" H "}"), 0);
    cr_assert(answer.records.count == 0 && !answer.more && !answer.succeeded && answer.ttl == 0);
}

Test(message, keepalive_is_read_inside_its_result)
{
    cr_assert_eq(read_keepalive("{\"result\":{\"header\":" H ",\"ID\":\"75\",\"TTL\":\"60\"}}"), 0);
    cr_assert(answer.id == 75 && answer.ttl == 60);
    cr_assert_eq(read_keepalive("{\"result\":{\"header\":" H ",\"ID\":\"75\"}}"), 0);
    cr_assert_eq(answer.ttl, 0);
}

Test(message, transactions_are_read_operation_by_operation)
{
    cr_assert_eq(
        read_answer("{\"header\":" H ",\"responses\":[{\"response_range\":{\"header\":{}}},"
                    "{\"response_range\":{\"kvs\":[{\"key\":\"YQ==\",\"mod_revision\":\"3\"}],"
                    "\"count\":\"1\"}},{\"response_put\":{\"header\":{}}},{}]}"),
        0);
    cr_assert(!answer.succeeded && answer.result_count == 4);
    cr_assert(!answer.results[0].found && !answer.results[2].found && !answer.results[3].found);
    cr_assert(answer.results[1].found && answer.results[1].record == 0);
    cr_assert_eq(answer.records.list[0].kv.mod_revision, 3);
    records_free(&answer.records);
}

Test(message, what_is_not_etcds_is_refused)
{
    static const char *const others[] = {
        "{}",
        "[]",
        "<html>",
        "{\"header\":" H,
        "{\"header\":" H ",\"kvs\":[{\"key\":\"?\",\"mod_revision\":\"1\"}]}",
        "{\"header\":" H ",\"kvs\":[{}]}",
        "{\"header\":" H ",\"kvs\":{}}",
        "{\"header\":" H "}}",
        "{\"result\":{\"header\":" H "}}",
        "{\"status\":\"ok\"}",
    };

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        cr_expect_eq(read_answer(others[i]), LIBSD_EPROTOCOL, "%s", others[i]);
        records_free(&answer.records);
    }
}

static struct watch_message message;

static int read_message(const char *source)
{
    strcpy(text, source);
    return watch_message_read(text, strlen(text), &message, &failure);
}

Test(message, watch_messages_are_read)
{
    cr_assert_eq(
        read_message("{\"result\":{\"header\":" H ",\"watch_id\":\"42\",\"created\":true}}"), 0);
    cr_assert(message.created && message.watch_id == 42 && message.header.revision == 7);
    cr_assert_eq(
        read_message("{\"result\":{\"header\":" H ",\"watch_id\":\"1\",\"fragment\":true,"
                     "\"events\":[{\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"5\"}},"
                     "{\"type\":\"DELETE\",\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"6\"}}]}}"),
        0);
    cr_assert(message.fragment);
    cr_assert_eq(message.records.list[0].type, LIBSD_EVENT_PUT);
    cr_assert_eq(message.records.list[1].type, LIBSD_EVENT_DELETE);
    records_free(&message.records);
    cr_assert_eq(
        read_message("{\"result\":{\"header\":{},\"canceled\":true,\"compact_revision\":\"37\"}}"),
        0);
    cr_assert(message.canceled && message.compact_revision == 37);
}

Test(message, broken_watch_messages_are_refused)
{
    static const char *const broken[] = {
        "{}",
        "{\"result\":{\"events\":[{}]}}",
        ("{\"result\":{\"events\":[{\"type\":\"MERGE\",\"kv\":{\"key\":\"YQ==\",\"mod_revision\":"
         "\"1\"}}]}}"),
        "{\"result\":{\"watch_id\":true}}",
        "{\"result\":{}",
        "x",
    };

    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        cr_expect_eq(read_message(broken[i]), LIBSD_EPROTOCOL, "%s", broken[i]);
        records_free(&message.records);
    }
}

static int classify(const char *source)
{
    struct grpc_error error;

    if (!grpc_error_read(source, strlen(source), &error))
        return 0;
    return grpc_error_classify(&error, &failure);
}

Test(message, errors_of_all_shapes_are_classified)
{
    cr_expect_eq(classify("{\"error\":\"etcdserver: requested lease not found\",\"message\":"
                          "\"etcdserver: requested lease not found\",\"code\":5}"),
                 LIBSD_ELEASE);
    cr_expect_eq(classify("{\"code\":7,\"message\":\"etcdserver: permission denied\"}"),
                 LIBSD_EDENIED);
    cr_expect_eq(
        classify("{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: "
                 "no leader\",\"http_status\":\"Service Unavailable\"}}"),
        LIBSD_EUNAVAILABLE);
    cr_expect_eq(classify("{ \"error\" : { \"code\" : 14, \"message\" : \"x\" } }\n"),
                 LIBSD_EUNAVAILABLE);
    cr_expect_eq(classify("{\"code\":8,\"message\":\"etcdserver: mvcc: database space exceeded\"}"),
                 LIBSD_ENOSPACE);
    cr_expect_eq(classify("{\"code\":8,\"message\":\"grpc: received message larger than max\"}"),
                 LIBSD_ETOOBIG);
    cr_expect_eq(classify("{\"code\":3,\"message\":\"etcdserver: request is too large\"}"),
                 LIBSD_ETOOBIG);
    cr_expect_eq(classify("{\"code\":11,\"message\":\"etcdserver: mvcc: required revision has been "
                          "compacted\"}"),
                 LIBSD_ECOMPACTED);
    cr_expect_eq(
        classify("{\"code\":3,\"message\":\"etcdserver: authentication failed, invalid user "
                 "ID or password\"}"),
        LIBSD_EAUTH);
    cr_expect_eq(classify("{\"code\":16,\"message\":\"etcdserver: invalid auth token\"}"),
                 LIBSD_EAUTH);
    cr_expect_eq(classify("{\"code\":2,\"message\":\"context deadline exceeded\"}"),
                 LIBSD_EUNAVAILABLE);
    cr_expect_eq(classify("{\"code\":2,\"message\":\"anything\"}"), LIBSD_EREFUSED);
    cr_expect_eq(classify("{\"error\":\"just a text\"}"), LIBSD_EREFUSED);
    cr_expect_eq(classify("{\"header\":" H "}"), 0);
    cr_expect_eq(classify("{\"error\":"), 0);
    cr_expect_eq(classify(""), 0);
}

static const char *key_json(const char *key, size_t size, bool prefix)
{
    static struct buffer body;

    body.size = 0;
    message_key(&body, libsd_bytes(key, size), prefix);
    buffer_add(&body, "", 1);
    return body.data;
}

Test(message, prefixes_end_behind_their_last_key)
{
    cr_assert_str_eq(key_json("/r/", 3, true), "\"key\":\"L3Iv\",\"range_end\":\"L3Iw\"");
    cr_assert_str_eq(key_json("a\xff", 2, true), "\"key\":\"Yf8=\",\"range_end\":\"Yg==\"");
    cr_assert_str_eq(key_json("\xff", 1, true), "\"key\":\"/w==\",\"range_end\":\"AA==\"");
    cr_assert_str_eq(key_json("", 0, true), "\"key\":\"AA==\",\"range_end\":\"AA==\"");
    cr_assert_str_eq(key_json("/a", 2, false), "\"key\":\"L2E=\"");
}
