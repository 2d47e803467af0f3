/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A gateway of etcd that misbehaves when it is told to.
 *
 * It speaks HTTP/1.1 on a port of its own and answers what libsd asks as etcd
 * 3.4 does, from a store that never changes: "/a" and "/f/a", both "1".  A quirk
 * sees each request first and may answer it in its own way.
 */
#ifndef TESTS_GATEWAY_H
#define TESTS_GATEWAY_H

#include <libsd.h>
#include <stdbool.h>
#include <stddef.h>

#include "etcd.h"

/* A header at revision 5, and at another one. */
#define HEADER(revision)                                                                    \
    "\"header\":{\"cluster_id\":\"14841639068965178418\",\"member_id\":\"2\",\"revision\":" \
    "\"" #revision "\",\"raft_term\":\"2\"}"
#define H     HEADER(5)
#define KEY_A "L2E="
#define KEY_F "L2YvYQ==" /* "/f/a" */
#define ONE   "MQ=="
/* A key as etcd shows it; revision and key are literals. */
#define KV(key, revision) \
    "{\"key\":\"" key "\",\"mod_revision\":\"" #revision "\",\"value\":\"" ONE "\"}"
#define PUT(key, revision) "{\"kv\":" KV(key, revision) "}"
#define DELETE(key, revision) \
    "{\"type\":\"DELETE\",\"kv\":{\"key\":\"" key "\",\"mod_revision\":\"" #revision "\"}}"
/* A line of events. */
#define EVENTS(id, revision, list) \
    "{\"result\":{" HEADER(revision) ",\"watch_id\":\"" #id "\",\"events\":[" list "]}}"
#define CREATED(id) "{\"result\":{" H ",\"watch_id\":\"" #id "\",\"created\":true}}"

struct exchange {
    int fd;
    char head[8192];
    char api[16];  /* "/v3" */
    char path[64]; /* "/kv/range" */
    char body[16384];
    /* What was read and not used: the connection's. */
    char *unread;
    size_t unread_size;
    size_t chunk; /* bytes left of the request's chunk */
    bool streams; /* the answer's head was sent */
    int number;   /* of the request, from 1 on */
    int hang_ups; /* before the request */
};

/* Returns whether it has answered.  Runs on the connection's thread; many may
 * at once. */
typedef bool gateway_quirk(struct exchange *exchange);

extern struct etcd gateway; /* url only */

void gateway_start(gateway_quirk *quirk);
void gateway_set(gateway_quirk *quirk); /* NULL: behave */

/* Requests so far, unary ones and those over streams. */
int gateway_requests(void);
/* The start_revision of the last watch that was asked for; 0: from now. */
int64_t gateway_start_revision(void);
/* Ends the streams that are open; quirks wait for it in stream_wait(). */
void gateway_hang_up(void);

/* Asks for /a and returns what libsd_get() does; fails the test where what was
 * last wrong does not name the gateway and these words; where all is not well
 * when the gateway is. */
int gateway_get(libsd *sd, int timeout_ms);
void gateway_detail(libsd *sd, const char *words);
void gateway_behaves_again(libsd *sd);

/* Fails the test if there are so many requests that somebody must be spinning:
 * looks for a second. */
void gateway_is_left_in_peace(void);

/* For quirks.  An answer with Content-Length on a connection that stays; bytes
 * as they are; how the connection ends. */
bool answer(struct exchange *exchange, const char *status, const char *body);
bool answer_ok(struct exchange *exchange, const char *body);
bool send_bytes(struct exchange *exchange, const void *data, size_t size);
bool send_text(struct exchange *exchange, const char *text);
void end_now(struct exchange *exchange);   /* FIN */
void reset_now(struct exchange *exchange); /* RST */
bool asks(const struct exchange *exchange, const char *path);
/* A string member of the request's body, as "ID"; "" if there is none. */
const char *member(const struct exchange *exchange, const char *name, char *value, size_t size);

/* For quirks of the watch: the next request on the stream (false at its end), a
 * line to answer with, in a chunk; and what etcd does with the request. */
bool stream_read(struct exchange *exchange);
bool stream_line(struct exchange *exchange, const char *line);
void stream_behave(struct exchange *exchange);
/* Answers the first request, says some lines and waits for gateway_hang_up(). */
bool stream_script(struct exchange *exchange, const char *const *lines, size_t count);
void stream_wait(struct exchange *exchange);

#endif
