/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * etcd's errors.  What to do is decided by the gRPC code in the body: the same
 * error has different HTTP states in different versions of the gateway.  Texts
 * only tell apart what shares a code; they are matched by their etcd part,
 * since the prefix in front of it varies.
 */
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "message.h"

static void take_text(struct grpc_error *error, libsd_slice text)
{
    snprintf(error->text, sizeof error->text, "%.*s", (int)(text.size < 1000 ? text.size : 1000),
             (const char *)text.data);
}

/* The members of an error object, which are at the top of a unary answer
 * ("error" is a text there or missing) and inside "error" in a stream. */
static void read_error(struct json *json, struct grpc_error *error, bool *found, int depth)
{
    libsd_slice name;

    json_object(json);
    while (json_member(json, &name)) {
        if (slice_is(name, "code") || slice_is(name, "grpc_code")) {
            error->code = (int)json_int64(json);
            *found = true;
        } else if (slice_is(name, "message")) {
            take_text(error, json_string(json));
        } else if (slice_is(name, "error") && json_peek(json) == '{' && depth == 0) {
            read_error(json, error, found, 1);
        } else if (slice_is(name, "error") && json_peek(json) == '"') {
            libsd_slice text = json_string(json);

            if (!error->text[0])
                take_text(error, text);
            *found = true;
        } else {
            json_skip(json);
        }
    }
}

/* Errors are short; a page of keys need not be looked through for one. */
#define ERROR_MAX 4096

bool grpc_error_read(const char *text, size_t size, struct grpc_error *error)
{
    char copy[ERROR_MAX];
    struct json json;
    bool found = false;

    *error = (struct grpc_error){ 0 };
    if (size == 0 || size > sizeof copy ||
        (!memmem(text, size, "code\"", 5) && !memmem(text, size, "\"error\"", 7)))
        return false;
    memcpy(copy, text, size);
    json_init(&json, copy, size);
    read_error(&json, error, &found, 0);
    if (json_failed(&json) || !found)
        return false;
    if (error->code == 0)
        error->code = GRPC_UNKNOWN;
    return true;
}

static bool says(const struct grpc_error *error, const char *text)
{
    return strstr(error->text, text) != NULL;
}

/* Raft's ErrProposalDropped: there is no leader, or the leadership is just being
 * handed over; nothing was done. */
bool grpc_error_is_dropped(const struct grpc_error *error)
{
    return says(error, "proposal dropped");
}

bool grpc_error_is_transient(const struct grpc_error *error)
{
    switch (error->code) {
    case GRPC_UNAVAILABLE:
    case GRPC_INTERNAL:
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_CANCELED:
    case GRPC_ABORTED:
        return true;
    case GRPC_UNKNOWN:
        /* A put without a leader, and a keepalive during a change of leader. */
        return says(error, "deadline") || says(error, "not a primary lessor") ||
               says(error, "leader") || grpc_error_is_dropped(error);
    case GRPC_RESOURCE_EXHAUSTED:
        return says(error, "too many requests");
    default:
        return false;
    }
}

bool grpc_error_is_no_path(const struct grpc_error *error, long status)
{
    return status == 404 && strcmp(error->text, "Not Found") == 0;
}

bool grpc_error_wants_token(const struct grpc_error *error)
{
    return error->code == GRPC_UNAUTHENTICATED || says(error, "invalid auth token") ||
           says(error, "revision of auth store is old") || says(error, "user name is empty");
}

static int classify_exhausted(const struct grpc_error *error)
{
    if (says(error, "space exceeded"))
        return LIBSD_ENOSPACE;
    return says(error, "larger than max") ? LIBSD_ETOOBIG : LIBSD_EREFUSED;
}

static int classify(const struct grpc_error *error)
{
    if (grpc_error_is_transient(error))
        return LIBSD_EUNAVAILABLE;
    if (grpc_error_wants_token(error))
        return LIBSD_EAUTH;
    switch (error->code) {
    case GRPC_INVALID_ARGUMENT:
        if (says(error, "authentication failed"))
            return LIBSD_EAUTH;
        return says(error, "too large") ? LIBSD_ETOOBIG : LIBSD_EREFUSED;
    case GRPC_NOT_FOUND:
        if (says(error, "member not found"))
            return LIBSD_ENOTFOUND;
        return says(error, "lease not found") ? LIBSD_ELEASE : LIBSD_EREFUSED;
    case GRPC_PERMISSION_DENIED:
        return LIBSD_EDENIED;
    case GRPC_RESOURCE_EXHAUSTED:
        return classify_exhausted(error);
    case GRPC_OUT_OF_RANGE:
        /* A revision from the future belongs to a store that was wiped since:
         * like a compacted one it can only be answered by a new list. */
        return says(error, "revision") ? LIBSD_ECOMPACTED : LIBSD_EREFUSED;
    default:
        return LIBSD_EREFUSED;
    }
}

int grpc_error_classify(const struct grpc_error *error, struct failure *failure)
{
    return failure_set(failure, classify(error), "%s (code %d)",
                       error->text[0] ? error->text : "error without text", error->code);
}
