/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * etcd's messages in the JSON of its gateway: reading answers and writing the
 * parts that requests share.
 *
 * The gateway writes 64-bit numbers as strings and leaves out every field
 * whose value is zero, so a missing field reads as zero here.  Fields nobody
 * knows are skipped: later etcd versions add some.
 */
#ifndef LIBSD_MESSAGE_H
#define LIBSD_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "libsd.h"
#include "util.h"

/* A key with what became of it.  type is an enum libsd_event_type; queues add
 * events without a key, whose revision is in kv.mod_revision, whose detail is in
 * kv.value, and whose cluster id is in kv.lease. */
struct record {
    libsd_kv kv;
    int type; /* enum libsd_event_type, or RECORD_PREVIOUS */
    int error;
};

/* What the key of the event right behind it was before. */
#define RECORD_PREVIOUS (-1)

struct records {
    struct record *list;
    size_t count;
    size_t capacity;
};

/* Appends a zeroed record; NULL when out of memory. */
struct record *records_add(struct records *records);
void records_free(struct records *records);

struct header {
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t raft_term;
    int64_t revision;
};

/* An error as the gateway words it: a gRPC code and a text.  code 0: none. */
struct grpc_error {
    int code;
    char text[160];
};

enum grpc_code {
    GRPC_CANCELED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16
};

#define TXN_MAX 128 /* etcd's default --max-txn-ops */

/* What one operation of a transaction did. */
struct txn_result {
    bool found; /* it read a key: records.list[record] */
    size_t record;
};

/* The fields of all unary answers we ask for, in one. */
struct answer {
    struct header header;
    struct records records; /* kvs, at the top or in txn responses */
    bool more;
    bool succeeded;
    int64_t count;
    int64_t deleted;
    int64_t id;
    int64_t ttl;
    libsd_slice token;
    struct txn_result results[TXN_MAX];
    size_t result_count;
};

/* For readers of other answers: the parts that many of them have. */
struct json;
void message_header(struct json *json, struct header *header);
void message_kv(struct json *json, libsd_kv *kv);
void message_kvs(struct json *json, struct records *records);

/* For json_fail(): not the text's fault. */
extern const char message_no_memory[];
/* Words a failure of reading; failure's text names the place that the text is
 * from, if that is known.  Returns LIBSD_EPROTOCOL or LIBSD_ENOMEM. */
int message_unreadable(const struct json *json, const char *what, struct failure *failure);

/* Reads an answer; what it says lies in text, which is decoded in place.
 * failure's text names the place the answer is from, as call.h leaves it, or is
 * empty.  Returns 0 or LIBSD_EPROTOCOL or LIBSD_ENOMEM, filling failure.  Free
 * the answer's records in any case. */
int answer_read(struct buffer *text, struct answer *answer, struct failure *failure);

/* The same for a keepalive, whose answer is a stream of one {"result":...}. */
int keepalive_read(struct buffer *text, struct answer *answer, struct failure *failure);

/* A range of keys. */
struct span {
    libsd_slice key; /* the first one, */
    bool prefix;     /*   and all that begin with it; */
    bool until;      /*   or all up to end, which is not one of them; empty: to the last */
    libsd_slice end;
};

/* Whether an answer is a page of the keys from `from` on: all of them asked
 * for, in order, each once, and none left out without a word.  failure is as
 * above.  Returns 0 or LIBSD_EPROTOCOL. */
int page_check(const struct answer *answer, libsd_slice from, const struct span *span,
               struct failure *failure);

/* One line of a watch stream. */
struct watch_message {
    struct header header;
    int64_t watch_id;
    bool created;
    bool canceled;
    bool fragment;
    int64_t compact_revision;
    libsd_slice cancel_reason;
    struct records records;
    struct grpc_error error;
};

int watch_message_read(char *line, size_t size, struct watch_message *message,
                       struct failure *failure);

/* Whether text is an error in any of the gateway's three shapes: the code is
 * in code, error.grpc_code or error.code.  Leaves text as it is. */
bool grpc_error_read(const char *text, size_t size, struct grpc_error *error);

/* The LIBSD_E* for an error, filling failure with etcd's words. */
int grpc_error_classify(const struct grpc_error *error, struct failure *failure);

/* Whether raft refused to begin it: nothing was done, another try may help. */
bool grpc_error_is_dropped(const struct grpc_error *error);

/* Whether another try, elsewhere or later, may help. */
bool grpc_error_is_transient(const struct grpc_error *error);

/* Whether it says, in gateway 2's way, that there is no such path. */
bool grpc_error_is_no_path(const struct grpc_error *error, long status);

/* Whether a new token helps. */
bool grpc_error_wants_token(const struct grpc_error *error);

/* Appends "key":"from" and, for more than one key, ,"range_end":"...".  from is
 * the span's key on a first page.  An empty prefix stands for every key. */
void message_span(struct buffer *body, libsd_slice from, const struct span *span);
/* The same for one key or a prefix from its start. */
void message_key(struct buffer *body, libsd_slice key, bool prefix);

/* Appends ,"name":number if that is not 0, which is what a missing one means. */
void message_number(struct buffer *body, const char *name, int64_t number);

#endif
