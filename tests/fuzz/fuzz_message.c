/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Answers of etcd's gateway, or of whatever is in its place.
 */
#include "fuzz.h"
#include "json.h"
#include "message.h"

static const char *text_at;
static size_t text_size;

/* What is read points into the text. */
static void check_slice(libsd_slice slice)
{
    const char *at = slice.data;

    require(slice.size == 0 || (at >= text_at && at + slice.size <= text_at + text_size));
}

static void check_records(const struct records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        check_slice(records->list[i].kv.key);
        check_slice(records->list[i].kv.value);
    }
}

static void read_answer(const char *text, size_t size)
{
    struct buffer buffer = { 0 };
    struct answer answer = { 0 };
    struct failure failure = { 0 };
    int rc;

    buffer_add(&buffer, text, size);
    text_at = buffer.data;
    text_size = buffer.size;
    rc = answer_read(&buffer, &answer, &failure);
    require(rc == 0 || (rc == LIBSD_EPROTOCOL && failure.code == rc));
    if (rc == 0) {
        check_records(&answer.records);
        check_slice(answer.token);
        require(answer.result_count <= TXN_MAX);
        for (size_t i = 0; i < answer.result_count; i++)
            require(!answer.results[i].found || answer.results[i].record < answer.records.count);
    }
    records_free(&answer.records);
    buffer_free(&buffer);
}

/* A keepalive's answer, and pages of keys. */
static void read_others(const char *text, size_t size, bool keepalive)
{
    struct buffer buffer = { 0 };
    struct answer answer = { 0 };
    struct failure failure = { 0 };
    const struct records *records = &answer.records;
    const struct span every_key = { .key = libsd_str(""), .prefix = true };
    libsd_slice from = libsd_str("a");

    buffer_add(&buffer, text, size);
    if (keepalive) {
        keepalive_read(&buffer, &answer, &failure);
    } else if (answer_read(&buffer, &answer, &failure) == 0 &&
               page_check(&answer, from, &every_key, &failure) == 0) {
        require(records->count > 0 || !answer.more);
        for (size_t i = 0; i < records->count; i++) {
            require(slice_compare(from, records->list[i].kv.key) < (i == 0 ? 1 : 0));
            from = records->list[i].kv.key;
        }
    }
    require(failure.code <= 0 && memchr(failure.text, '\0', sizeof failure.text));
    records_free(&answer.records);
    buffer_free(&buffer);
}

static void read_watch(char *line, size_t size)
{
    struct watch_message message = { 0 };
    struct failure failure = { 0 };

    text_at = line;
    text_size = size;
    if (watch_message_read(line, size, &message, &failure) == 0) {
        check_records(&message.records);
        check_slice(message.cancel_reason);
    }
    records_free(&message.records);
}

static void write_range(libsd_slice key, bool prefix)
{
    const struct span span = { .key = key, .until = true, .end = key };
    struct buffer body = { 0 };

    message_key(&body, key, prefix);
    message_span(&body, key, &span);
    require(!body.failed && body.size > 0);
    buffer_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    unsigned what = (unsigned)take(&input, 1) % 6;
    struct grpc_error error = { 0 };
    struct failure failure = { 0 };
    size_t length = input.size;
    char *text;

    if (what == 0)
        write_range(libsd_bytes(input.data, input.size), size % 2);
    text = take_text(&input, input.size);
    if (what == 1) {
        read_answer(text, length);
    } else if (what == 2) {
        read_watch(text, length);
    } else if (what > 3) {
        read_others(text, length, what == 4);
    } else if (grpc_error_read(text, length, &error)) {
        require(memchr(error.text, '\0', sizeof error.text) != NULL);
        require(grpc_error_classify(&error, &failure) < 0);
        grpc_error_is_transient(&error);
        grpc_error_wants_token(&error);
    }
    free(text);
    return 0;
}
