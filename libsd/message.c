/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * etcd's answers, read with the JSON cursor.
 */
#include "message.h"

#include <stdlib.h>

#include "json.h"

/* Far above any that etcd reaches, and one more can be added to it. */
#define REVISION_MAX (INT64_MAX / 2)
/* etcd's own limit (lease/lessor.go, MaxLeaseTTL): fits into nanoseconds. */
#define TTL_MAX      INT64_C(9000000000)

/* For json_fail(): not the text's fault. */
const char message_no_memory[] = "out of memory";

struct record *records_add(struct records *records)
{
    if (records->count == records->capacity) {
        size_t capacity = records->capacity ? records->capacity * 2 : 4;
        struct record *list = reallocarray(records->list, capacity, sizeof *list);

        if (!list)
            return NULL;
        records->list = list;
        records->capacity = capacity;
    }
    struct record *record = &records->list[records->count++];

    *record = (struct record){ 0 };
    return record;
}

void records_free(struct records *records)
{
    free(records->list);
    *records = (struct records){ 0 };
}

static int64_t read_revision(struct json *json)
{
    int64_t revision = json_int64(json);

    if (revision >= 0 && revision <= REVISION_MAX)
        return revision;
    json_fail(json, "impossible revision");
    return 0;
}

static int64_t read_ttl(struct json *json)
{
    int64_t ttl = json_int64(json);

    if (ttl <= TTL_MAX)
        return ttl;
    json_fail(json, "impossible TTL");
    return 0;
}

void message_header(struct json *json, struct header *header)
{
    libsd_slice name;

    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "revision"))
            header->revision = read_revision(json);
        else if (slice_is(name, "raft_term"))
            header->raft_term = json_uint64(json);
        else if (slice_is(name, "cluster_id"))
            header->cluster_id = json_uint64(json);
        else if (slice_is(name, "member_id"))
            header->member_id = json_uint64(json);
        else
            json_skip(json);
    }
}

void message_kv(struct json *json, libsd_kv *kv)
{
    libsd_slice name;

    kv->key.data = kv->value.data = "";
    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "key"))
            kv->key = json_bytes(json);
        else if (slice_is(name, "value"))
            kv->value = json_bytes(json);
        else if (slice_is(name, "create_revision"))
            kv->create_revision = read_revision(json);
        else if (slice_is(name, "mod_revision"))
            kv->mod_revision = read_revision(json);
        else if (slice_is(name, "version"))
            kv->version = json_int64(json);
        else if (slice_is(name, "lease"))
            kv->lease = json_int64(json);
        else
            json_skip(json);
    }
    /* Never the case in etcd: a key without name or revision means that we
     * misunderstand the answer. */
    if (!json_failed(json) && (kv->key.size == 0 || kv->mod_revision <= 0))
        json_fail(json, "key without name or revision");
}

void message_kvs(struct json *json, struct records *records)
{
    json_array(json);
    while (json_element(json)) {
        struct record *record = records_add(records);

        if (!record) {
            json_fail(json, message_no_memory);
            return;
        }
        record->type = LIBSD_EVENT_PUT;
        message_kv(json, &record->kv);
    }
}

static void read_range(struct json *json, struct answer *answer, struct txn_result *result)
{
    libsd_slice name;

    json_object(json);
    while (json_member(json, &name)) {
        if (!slice_is(name, "kvs")) {
            json_skip(json);
            continue;
        }
        result->record = answer->records.count;
        message_kvs(json, &answer->records);
        result->found = answer->records.count > result->record;
    }
}

static void read_operation(struct json *json, struct answer *answer, struct txn_result *result)
{
    libsd_slice name;

    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "response_range"))
            read_range(json, answer, result);
        else
            json_skip(json);
    }
}

static void read_responses(struct json *json, struct answer *answer)
{
    json_array(json);
    while (json_element(json)) {
        if (answer->result_count == TXN_MAX) {
            json_fail(json, "too many responses");
            return;
        }
        read_operation(json, answer, &answer->results[answer->result_count++]);
    }
}

static void read_answer(struct json *json, struct answer *answer)
{
    libsd_slice name;

    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "header"))
            message_header(json, &answer->header);
        else if (slice_is(name, "kvs"))
            message_kvs(json, &answer->records);
        else if (slice_is(name, "more"))
            answer->more = json_bool(json);
        else if (slice_is(name, "succeeded"))
            answer->succeeded = json_bool(json);
        else if (slice_is(name, "count"))
            answer->count = json_int64(json);
        else if (slice_is(name, "deleted"))
            answer->deleted = json_int64(json);
        else if (slice_is(name, "ID"))
            answer->id = json_int64(json);
        else if (slice_is(name, "TTL"))
            answer->ttl = read_ttl(json);
        else if (slice_is(name, "token"))
            answer->token = json_string(json);
        else if (slice_is(name, "responses"))
            read_responses(json, answer);
        else
            json_skip(json);
    }
}

static void read_result(struct json *json, struct answer *answer)
{
    libsd_slice name;

    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "result"))
            read_answer(json, answer);
        else
            json_skip(json);
    }
}

int message_unreadable(const struct json *json, const char *what, struct failure *failure)
{
    char place[sizeof failure->text];
    int code = json->why == message_no_memory ? LIBSD_ENOMEM : LIBSD_EPROTOCOL;

    memcpy(place, failure->text, sizeof place);
    return failure_set(failure, code, "%s%s%s: %s at byte %zu", place, *place ? ": " : "", what,
                       json->why, (size_t)(json->at - json->start));
}

static int read_whole(struct buffer *text, struct answer *answer, struct failure *failure,
                      void (*read_it)(struct json *, struct answer *))
{
    struct json json;

    *answer = (struct answer){ 0 };
    json_init(&json, text->data ? text->data : (char[]){ "" }, text->size);
    read_it(&json, answer);
    json_end(&json);
    /* All of etcd's answers carry a header; another server's JSON does not. */
    if (!json_failed(&json) && answer->header.cluster_id == 0)
        json_fail(&json, "no header");
    if (!json_failed(&json))
        return 0;
    return message_unreadable(&json, "not etcd's JSON", failure);
}

int answer_read(struct buffer *text, struct answer *answer, struct failure *failure)
{
    return read_whole(text, answer, failure, read_answer);
}

int keepalive_read(struct buffer *text, struct answer *answer, struct failure *failure)
{
    return read_whole(text, answer, failure, read_result);
}

static void read_event(struct json *json, struct record *record, libsd_kv *previous)
{
    libsd_slice name;
    libsd_slice type;

    record->type = LIBSD_EVENT_PUT;
    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "kv")) {
            message_kv(json, &record->kv);
        } else if (slice_is(name, "prev_kv")) {
            message_kv(json, previous);
        } else if (slice_is(name, "type")) {
            type = json_string(json);
            if (slice_is(type, "DELETE"))
                record->type = LIBSD_EVENT_DELETE;
            else if (!slice_is(type, "PUT"))
                json_fail(json, "event of unknown type");
        } else {
            json_skip(json);
        }
    }
    if (!json_failed(json) && record->kv.key.size == 0)
        json_fail(json, "event without key");
    if (previous->key.size && slice_compare(previous->key, record->kv.key) != 0)
        json_fail(json, "another key's prev_kv");
}

static void read_events(struct json *json, struct records *records)
{
    json_array(json);
    while (json_element(json)) {
        struct record event = { 0 };
        struct record previous = { .type = RECORD_PREVIOUS };
        struct record *record = NULL;

        read_event(json, &event, &previous.kv);
        if (previous.kv.key.size && (record = records_add(records)))
            *record = previous;
        if ((record || !previous.kv.key.size) && (record = records_add(records)))
            *record = event;
        if (!record) {
            json_fail(json, message_no_memory);
            return;
        }
    }
}

static void read_watch_result(struct json *json, struct watch_message *message)
{
    libsd_slice name;

    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "header"))
            message_header(json, &message->header);
        else if (slice_is(name, "watch_id"))
            message->watch_id = json_int64(json);
        else if (slice_is(name, "created"))
            message->created = json_bool(json);
        else if (slice_is(name, "canceled"))
            message->canceled = json_bool(json);
        else if (slice_is(name, "fragment"))
            message->fragment = json_bool(json);
        else if (slice_is(name, "compact_revision"))
            message->compact_revision = read_revision(json);
        else if (slice_is(name, "cancel_reason"))
            message->cancel_reason = json_string(json);
        else if (slice_is(name, "events"))
            read_events(json, &message->records);
        else
            json_skip(json);
    }
}

int watch_message_read(char *line, size_t size, struct watch_message *message,
                       struct failure *failure)
{
    struct json json;
    libsd_slice name;
    bool result = false;

    *message = (struct watch_message){ .cancel_reason = { "", 0 } };
    if (grpc_error_read(line, size, &message->error))
        return 0;
    json_init(&json, line, size);
    json_object(&json);
    while (json_member(&json, &name)) {
        if (slice_is(name, "result")) {
            result = true;
            read_watch_result(&json, message);
        } else {
            json_skip(&json);
        }
    }
    json_end(&json);
    if (!json_failed(&json) && !result)
        json_fail(&json, "no result");
    if (!json_failed(&json))
        return 0;
    return message_unreadable(&json, "not a watch answer", failure);
}

/* Whether a key that was found is one of the range that begins at from. */
static bool is_asked_for(libsd_slice found, libsd_slice from, const struct span *span)
{
    libsd_slice key = span->key;

    if (slice_compare(found, from) < 0)
        return false;
    if (span->until)
        return span->end.size == 0 || slice_compare(found, span->end) < 0;
    if (found.size < key.size || (key.size && memcmp(found.data, key.data, key.size) != 0))
        return false;
    return span->prefix || found.size == key.size;
}

int page_check(const struct answer *answer, libsd_slice from, const struct span *span,
               struct failure *failure)
{
    const struct records *records = &answer->records;
    char place[sizeof failure->text];
    const char *why = NULL;

    for (size_t i = 0; i < records->count && !why; i++) {
        libsd_slice found = records->list[i].kv.key;

        if (!is_asked_for(found, from, span))
            why = "keys that were not asked for";
        else if (i && slice_compare(records->list[i - 1].kv.key, found) >= 0)
            why = "keys out of order";
    }
    if (!why && answer->header.revision == 0)
        why = "no revision";
    if (!why && answer->more && records->count == 0)
        why = "no keys, but more of them";
    /* Taken for the whole, it would delete the others from a mirror. */
    if (!why && !answer->more && answer->count > (int64_t)records->count)
        why = "fewer keys than it counts";
    if (!why)
        return 0;
    memcpy(place, failure->text, sizeof place);
    return failure_set(failure, LIBSD_EPROTOCOL, "%s%snot a page of keys: %s", place,
                       *place ? ": " : "", why);
}

/* The smallest key behind all keys with the prefix: its last byte plus one,
 * after dropping bytes 0xff; "\0", which etcd reads as "no end", if none is
 * left. */
static void range_end(struct buffer *body, libsd_slice prefix)
{
    struct buffer end = { 0 };

    buffer_add(&end, prefix.data, prefix.size);
    while (end.size && (unsigned char)end.data[end.size - 1] == 0xff)
        end.size--;
    if (end.size)
        end.data[end.size - 1]++;
    else
        buffer_add(&end, "", 1);
    body->failed |= end.failed;
    if (!end.failed)
        buffer_base64(body, libsd_bytes(end.data, end.size));
    buffer_free(&end);
}

void message_span(struct buffer *body, libsd_slice from, const struct span *span)
{
    buffer_text(body, "\"key\":");
    buffer_base64(body, from.size ? from : libsd_bytes("", 1));
    if (!span->prefix && !span->until)
        return;
    buffer_text(body, ",\"range_end\":");
    if (span->until)
        buffer_base64(body, span->end.size ? span->end : libsd_bytes("", 1));
    else
        range_end(body, span->key);
}

void message_key(struct buffer *body, libsd_slice key, bool prefix)
{
    const struct span span = { .key = key, .prefix = prefix };

    message_span(body, key, &span);
}

void message_number(struct buffer *body, const char *name, int64_t number)
{
    if (number)
        buffer_format(body, ",\"%s\":\"%lld\"", name, (long long)number);
}
