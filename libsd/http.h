/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One HTTP exchange with one endpoint, on the I/O thread.
 */
#ifndef LIBSD_HTTP_H
#define LIBSD_HTTP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "libsd.h"
#include "loop.h"
#include "options.h"
#include "util.h"

#define HTTP_ANSWER_MAX  ((size_t)64 << 20)

#define TRANSFER_SOCKETS 4

struct transfer {
    CURL *easy; /* NULL: idle */
    /* Open sockets of a stream: two for a moment, while addresses of both
     * families are tried; unused entries are CURL_SOCKET_BAD. */
    curl_socket_t sockets[TRANSFER_SOCKETS];
    CURLM *multi;
    struct curl_slist *headers;
    struct curl_slist *connect_to; /* NULL: the URL's host */
    char error[CURL_ERROR_SIZE];
    struct buffer answer;
    bool too_big;
    /* A body that is sent once only: the rest of it. */
    const char *unsent;
    size_t unsent_size;
    /* Called on the I/O thread at the end; the transfer is idle again then,
     * its answer the callee's. */
    void (*done)(struct transfer *transfer, CURLcode result, long status);
};

struct http_request {
    const struct libsd_options *options;
    const char *url;   /* of the endpoint */
    const char *api;   /* "/v3" */
    const char *path;  /* "/kv/range" */
    const char *token; /* NULL: none */
    bool needs_leader; /* let a member without a leader refuse at once */
    int timeout_ms;    /* of everything; 0: none */
    int idle_ms;       /* longest time without a byte; 0: no such limit */
    bool once;         /* curl must not send it again by itself */
    const char *body;  /* must live until the end */
    size_t body_size;
};

/* Begins a POST whose answer is gathered in transfer->answer.  done may be
 * called any time after, not before, this returns.  Returns 0 or
 * LIBSD_ENOMEM. */
int transfer_start(struct loop *loop, struct transfer *transfer,
                   const struct http_request *request);

/* Begins a POST in two directions at once: read supplies the body as it comes,
 * write takes the answer as it comes; both as curl's READFUNCTION and
 * WRITEFUNCTION with arg. */
int transfer_start_stream(struct loop *loop, struct transfer *transfer,
                          const struct http_request *request, curl_read_callback read,
                          curl_write_callback write, void *arg);

/* Whether the other side of a stream has closed it and all it sent was read.
 * While its upload is paused, libcurl 7.88 takes a socket that the peer closed
 * out of its poll set, but goes on waiting for the upload: done would come with
 * the next thing that is sent. */
bool transfer_is_over(const struct transfer *transfer);

/* Whether etcd can't have acted on a request that is sent once: its end was not
 * handed to curl. */
static inline bool transfer_is_unsent(const struct transfer *transfer)
{
    return transfer->unsent_size > 0;
}

/* Ends it without a call of done; closes the connection if an answer was on its
 * way.  Idle is allowed. */
void transfer_stop(struct transfer *transfer);

/* Calls done for what has ended. */
void http_reap(struct loop *loop);

/* What a transport error means to us. */
enum http_outcome {
    HTTP_NOT_SENT, /* etcd never saw the request */
    HTTP_UNKNOWN,  /* it may have */
    HTTP_CONFIG    /* certificates and the like: trying again is no use */
};
enum http_outcome http_outcome(CURLcode result, struct failure *failure, const char *url,
                               const char *text);

/* Words an answer that is no etcd's: LIBSD_EUNAVAILABLE from a proxy whose
 * server is away or busy (408, 429, 5xx), LIBSD_EPROTOCOL with 200 and 404,
 * else LIBSD_EREFUSED. */
void http_refusal(struct failure *failure, const char *url, const char *api, const char *path,
                  long status, libsd_slice text);

#endif
