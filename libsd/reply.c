/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading replies.
 */
#include "reply.h"

#include <stdlib.h>

#include "json.h"

static void init(struct reply *reply, int type)
{
    *reply = (struct reply){ .public.type = type };
    reply->public.detail = reply->detail;
    if (type == LIBSD_OP_RANGE)
        reply->public.kvs = &reply->kvs;
}

struct reply *reply_new(int type)
{
    struct reply *reply = malloc(sizeof *reply);

    if (reply)
        init(reply, type);
    return reply;
}

static void clear(struct reply *reply)
{
    for (size_t i = 0; i < reply->part_count; i++)
        reply_free(reply->parts[i]);
    free(reply->parts);
    for (size_t i = 0; i < reply->public.member_count; i++)
        free(reply->members[i]);
    free(reply->members);
    free(reply->member);
    free(reply->leases);
    free(reply->keys);
    kvs_clear(&reply->kvs);
}

void reply_free(struct reply *reply)
{
    if (reply)
        clear(reply);
    free(reply);
}

void libsd_reply_free(libsd_reply *reply)
{
    if (reply)
        reply_free((struct reply *)(void *)reply); /* public is its first member */
}

void reply_fail(struct reply *reply, const struct failure *failure)
{
    reply->public.error = failure->code;
    if (reply->begun_ns)
        reply->public.duration_us = (now_ns() - reply->begun_ns) / 1000;
    memcpy(reply->detail, failure->text, sizeof reply->detail);
}

libsd_kvs *reply_take_kvs(struct reply *reply)
{
    libsd_kvs *kvs = malloc(sizeof *kvs);

    if (!kvs)
        return NULL;
    *kvs = reply->kvs;
    reply->kvs = (struct libsd_kvs){ 0 };
    return kvs;
}

/* ---- lists -------------------------------------------------------------- */

/* Makes room for element number count in a list that doubles.  Returns it, or
 * the old one and a failed json. */
static void *grow(struct json *json, void *list, size_t count, size_t size)
{
    void *more = list;

    if ((count & (count - 1)) == 0)
        more = reallocarray(list, count ? count * 2 : 1, size);
    if (more)
        return more;
    json_fail(json, message_no_memory);
    return list;
}

/* A text, ended by a zero where its quote or what was escaped stood. */
static const char *read_text(struct json *json)
{
    libsd_slice string = json_string(json);
    char *text;

    if (json_failed(json))
        return "";
    text = json->start + ((const char *)string.data - json->start);
    text[string.size] = '\0';
    return text;
}

static void read_texts(struct json *json, struct texts *texts)
{
    json_array(json);
    while (json_element(json)) {
        if (texts->count == TEXTS_MAX) {
            json_fail(json, "too many texts");
            return;
        }
        texts->list[texts->count++] = read_text(json);
    }
}

static void read_previous(struct json *json, struct reply *reply)
{
    struct record *record = records_add(&reply->kvs.records);

    if (!record) {
        json_fail(json, message_no_memory);
        return;
    }
    record->type = LIBSD_EVENT_PUT;
    message_kv(json, &record->kv);
}

/* ---- readers of one operation's answer ---------------------------------- */

static void read_header(struct json *json, struct reply *reply)
{
    struct header header = { 0 };

    message_header(json, &header);
    reply->public.cluster_id = header.cluster_id;
    reply->public.member_id = header.member_id;
    reply->public.raft_term = header.raft_term;
    reply->public.revision = header.revision;
}

static void read_keys(struct json *json, struct reply *reply)
{
    json_array(json);
    while (json_element(json)) {
        reply->keys = grow(json, reply->keys, reply->public.key_count, sizeof *reply->keys);
        if (json_failed(json))
            return;
        reply->keys[reply->public.key_count++] = json_bytes(json);
    }
}

static int64_t read_lease_id(struct json *json)
{
    int64_t id = 0;
    libsd_slice name;

    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "ID"))
            id = json_int64(json);
        else
            json_skip(json);
    }
    return id;
}

static void read_leases(struct json *json, struct reply *reply)
{
    json_array(json);
    while (json_element(json)) {
        reply->leases = grow(json, reply->leases, reply->public.lease_count, sizeof *reply->leases);
        if (json_failed(json))
            return;
        reply->leases[reply->public.lease_count++] = read_lease_id(json);
    }
}

static void read_member(struct json *json, struct member *member)
{
    libsd_slice name;

    member->public.name = "";
    member->public.peer_urls = member->peer_urls.list;
    member->public.client_urls = member->client_urls.list;
    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "ID"))
            member->public.id = json_uint64(json);
        else if (slice_is(name, "name"))
            member->public.name = read_text(json);
        else if (slice_is(name, "peerURLs"))
            read_texts(json, &member->peer_urls);
        else if (slice_is(name, "clientURLs"))
            read_texts(json, &member->client_urls);
        else if (slice_is(name, "isLearner"))
            member->public.is_learner = json_bool(json);
        else
            json_skip(json);
    }
}

/* A member on the heap; NULL when out of memory. */
static struct member *read_new_member(struct json *json)
{
    struct member *member = calloc(1, sizeof *member);

    if (member)
        read_member(json, member);
    else
        json_fail(json, message_no_memory);
    return member;
}

static void read_members(struct json *json, struct reply *reply)
{
    size_t *count = &reply->public.member_count;

    json_array(json);
    while (json_element(json)) {
        if (*count == MEMBERS_MAX) {
            json_fail(json, "too many members");
            return;
        }
        reply->members = grow(json, reply->members, *count, sizeof *reply->members);
        if (json_failed(json))
            return;
        reply->members[*count] = read_new_member(json);
        if (!reply->members[*count])
            return;
        ++*count;
    }
}

/* Whether a member named so is one of a status, which is read then. */
static bool read_status(struct json *json, libsd_slice name, struct reply *reply)
{
    libsd_member_status *status = &reply->status;

    if (slice_is(name, "version"))
        status->version = read_text(json);
    else if (slice_is(name, "leader"))
        status->leader = json_uint64(json);
    else if (slice_is(name, "raftTerm"))
        status->raft_term = json_uint64(json);
    else if (slice_is(name, "raftIndex"))
        status->raft_index = json_uint64(json);
    else if (slice_is(name, "raftAppliedIndex"))
        status->raft_applied_index = json_uint64(json);
    else if (slice_is(name, "dbSize"))
        status->db_size = json_int64(json);
    else if (slice_is(name, "dbSizeInUse"))
        status->db_size_in_use = json_int64(json);
    else if (slice_is(name, "isLearner"))
        status->is_learner = json_bool(json);
    else if (slice_is(name, "errors"))
        read_texts(json, &reply->errors);
    else
        return false;
    return true;
}

static bool read_other(struct json *json, libsd_slice name, struct reply *reply)
{
    libsd_reply *said = &reply->public;

    if (slice_is(name, "ID"))
        said->lease = json_int64(json);
    else if (slice_is(name, "TTL"))
        said->ttl_s = json_int64(json);
    else if (slice_is(name, "grantedTTL"))
        said->granted_ttl_s = json_int64(json);
    else if (slice_is(name, "keys"))
        read_keys(json, reply);
    else if (slice_is(name, "leases"))
        read_leases(json, reply);
    else if (slice_is(name, "members"))
        read_members(json, reply);
    else if (slice_is(name, "member") && !reply->member)
        reply->member = read_new_member(json);
    else
        return false;
    return true;
}

static bool read_kv(struct json *json, libsd_slice name, struct reply *reply)
{
    libsd_reply *said = &reply->public;

    if (slice_is(name, "kvs") || slice_is(name, "prev_kvs"))
        message_kvs(json, &reply->kvs.records);
    else if (slice_is(name, "prev_kv"))
        read_previous(json, reply);
    else if (slice_is(name, "more"))
        said->more = json_bool(json);
    else if (slice_is(name, "count") || slice_is(name, "deleted"))
        said->count = json_int64(json);
    else
        return false;
    return true;
}

/* ---- transactions ------------------------------------------------------- */

static void read_fields(struct json *json, struct reply *reply, size_t *budget);

static int part_type(libsd_slice name)
{
    if (slice_is(name, "response_put"))
        return LIBSD_OP_PUT;
    if (slice_is(name, "response_range"))
        return LIBSD_OP_RANGE;
    if (slice_is(name, "response_delete_range"))
        return LIBSD_OP_DELETE;
    return slice_is(name, "response_txn") ? LIBSD_OP_TXN : 0;
}

static void read_part(struct json *json, struct reply *reply, size_t *budget)
{
    libsd_slice name;

    json_object(json);
    while (json_member(json, &name)) {
        reply->public.type = part_type(name);
        if (reply->public.type == LIBSD_OP_RANGE)
            reply->public.kvs = &reply->kvs;
        if (reply->public.type)
            read_fields(json, reply, budget);
        else
            json_skip(json);
    }
}

/* budget: how many parts there may be.  Their kinds are compared with those
 * asked for when all is read, since which branch was taken may come last. */
static void read_parts(struct json *json, struct reply *reply, size_t *budget)
{
    size_t *count = &reply->part_count;

    json_array(json);
    while (json_element(json)) {
        if (*budget == 0) {
            json_fail(json, "more parts than were asked for");
            return;
        }
        --*budget;
        reply->parts = grow(json, reply->parts, *count, sizeof *reply->parts);
        if (json_failed(json))
            return;
        reply->parts[*count] = reply_new(0);
        if (!reply->parts[*count]) {
            json_fail(json, message_no_memory);
            return;
        }
        read_part(json, reply->parts[(*count)++], budget);
    }
}

static void read_fields(struct json *json, struct reply *reply, size_t *budget)
{
    libsd_slice name;
    int type = reply->public.type;

    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "header"))
            read_header(json, reply);
        else if (slice_is(name, "succeeded"))
            reply->public.succeeded = json_bool(json);
        else if (slice_is(name, "responses") && type == LIBSD_OP_TXN)
            read_parts(json, reply, budget);
        else if (!(type == LIBSD_OP_STATUS && read_status(json, name, reply)) &&
                 !(type >= LIBSD_OP_LEASE_GRANT && read_other(json, name, reply)) &&
                 !(type <= LIBSD_OP_DELETE && read_kv(json, name, reply)))
            json_skip(json);
    }
}

/* A stream of one answer. */
static void read_stream(struct json *json, struct reply *reply)
{
    size_t budget = 0;
    libsd_slice name;

    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "result"))
            read_fields(json, reply, &budget);
        else
            json_skip(json);
    }
}

/* Whether a reply is one to this part; sets what can only be set when all of it
 * is read. */
static bool fits(struct reply *reply, const struct part *part)
{
    libsd_reply *said = &reply->public;
    const struct part *inner = part + 1;
    size_t count = said->succeeded ? part->then_count : part->else_count;

    reply->kvs.revision = said->revision;
    if (said->type != part->type || (part->type == LIBSD_OP_TXN && reply->part_count != count))
        return false;
    if (reply->kvs.records.count)
        said->kvs = &reply->kvs;
    if (!said->succeeded)
        inner += part->then_size;
    for (size_t i = 0; i < reply->part_count; i++) {
        if (!fits(reply->parts[i], inner))
            return false;
        inner += inner->size;
    }
    /* libsd_reply is the first member of what the list points to. */
    said->replies = (const libsd_reply *const *)(const void *)reply->parts;
    said->reply_count = reply->part_count;
    return true;
}

static void publish(struct reply *reply)
{
    libsd_reply *said = &reply->public;

    said->keys = reply->keys;
    said->leases = reply->leases;
    said->members = (const libsd_member *const *)(const void *)reply->members;
    said->member = reply->member ? &reply->member->public : NULL;
    if (said->type == LIBSD_OP_STATUS) {
        reply->status.errors = reply->errors.list;
        if (!reply->status.version)
            reply->status.version = "";
        said->status = &reply->status;
    }
}

int reply_read(struct reply *reply, struct buffer *text, const struct parts *parts,
               struct failure *failure)
{
    struct json json;
    size_t budget = parts->count - 1;
    int type = reply->public.type;

    json_init(&json, text->data ? text->data : (char[]){ "" }, text->size);
    if (reply->public.type == LIBSD_OP_LEASE_KEEPALIVE)
        read_stream(&json, reply);
    else
        read_fields(&json, reply, &budget);
    json_end(&json);
    /* All of etcd's answers carry a header; another server's JSON does not. */
    if (!json_failed(&json) && reply->public.cluster_id == 0)
        json_fail(&json, "no header");
    if (!json_failed(&json) && !fits(reply, parts->list))
        json_fail(&json, "other parts than were asked for");
    if (!json_failed(&json) && kvs_take_text(&reply->kvs, text) < 0)
        json_fail(&json, message_no_memory);
    if (!json_failed(&json)) {
        publish(reply);
        return 0;
    }
    /* The text stays the caller's: nothing may go on pointing there. */
    clear(reply);
    init(reply, type);
    return message_unreadable(&json, "not etcd's JSON", failure);
}
