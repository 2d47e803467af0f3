/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * HTTP by libcurl.
 *
 * HTTP/1.1 is pinned, on https as well: on http etcd's port speaks gRPC, not
 * JSON, over HTTP/2, and on https one connection per stream keeps a busy
 * stream from starving the others.  A duplex request needs "Connection:
 * close": Go's server drains the request body before it answers on a
 * connection that is to be kept.
 */
#include "http.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 1000
#define RECEIVE_SIZE       (256L << 10)

/* Sockets must not leak into programs that ours starts. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)arg;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Remembers what a stream has open; one too many makes transfer_is_over() blind,
 * no more. */
static void socket_replace(struct transfer *transfer, curl_socket_t old, curl_socket_t new)
{
    for (int i = 0; i < TRANSFER_SOCKETS; i++)
        if (transfer->sockets[i] == old) {
            transfer->sockets[i] = new;
            return;
        }
}

static curl_socket_t open_stream_socket(void *arg, curlsocktype purpose,
                                        struct curl_sockaddr *address)
{
    curl_socket_t fd = open_socket(NULL, purpose, address);

    if (fd != CURL_SOCKET_BAD)
        socket_replace(arg, CURL_SOCKET_BAD, fd);
    return fd;
}

static int close_stream_socket(void *arg, curl_socket_t fd)
{
    socket_replace(arg, fd, CURL_SOCKET_BAD);
    return close(fd);
}

/* With KEEPIDLE 5 and KEEPINTVL 2 a peer that vanished without a FIN is noticed
 * after 7 s idle (KEEPCNT alone: 11 s; the kernel's defaults: 2 hours), and 5 s
 * after something was sent that it did not acknowledge, though its own packets
 * may still arrive. */
static int tune_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    unsigned user_timeout_ms = 5000;
    int probes = 3;

    (void)arg;
    (void)purpose;
    /* Not on Unix sockets, and no reason to fail anywhere. */
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    return CURL_SOCKOPT_OK;
}

static size_t gather(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;

    size *= count;
    if (size > HTTP_ANSWER_MAX - transfer->answer.size) {
        transfer->too_big = true;
        return 0;
    }
    if (transfer->answer.size == 0) {
        curl_off_t length = 0;

        /* One allocation for a page of keys instead of a dozen. */
        curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        if (length > (curl_off_t)HTTP_ANSWER_MAX) {
            transfer->too_big = true;
            return 0;
        }
        if (length > 0)
            buffer_reserve(&transfer->answer, (size_t)length);
    }
    buffer_add(&transfer->answer, data, size);
    return transfer->answer.failed ? 0 : size;
}

static int add_header(struct transfer *transfer, const char *header)
{
    struct curl_slist *headers = curl_slist_append(transfer->headers, header);

    if (!headers)
        return LIBSD_ENOMEM;
    transfer->headers = headers;
    return 0;
}

static int set_headers(struct transfer *transfer, const struct http_request *request)
{
    int rc = add_header(transfer, "Content-Type: application/json");

    /* Empty: no round trip for "100 Continue" before bodies above 1 MiB. */
    if (rc == 0)
        rc = add_header(transfer, "Expect:");
    if (rc == 0 && request->needs_leader)
        rc = add_header(transfer, "Grpc-Metadata-hasleader: true");
    if (rc == 0 && request->token) {
        struct buffer header = { 0 };

        buffer_text(&header, "Authorization: ");
        buffer_add(&header, request->token, strlen(request->token) + 1);
        rc = header.failed ? LIBSD_ENOMEM : add_header(transfer, header.data);
        buffer_free(&header);
    }
    return rc;
}

/* Without memory for its text an option would silently be another one. */
static void set_text(CURL *easy, CURLoption option, const char *text, int *rc)
{
    if (curl_easy_setopt(easy, option, text) == CURLE_OUT_OF_MEMORY)
        *rc = LIBSD_ENOMEM;
}

static void set_tls(CURL *easy, const struct libsd_options *options, int *rc)
{
    if (*options->cacert) {
        set_text(easy, CURLOPT_CAINFO, options->cacert, rc);
        /* libcurl would go on to trust the system's folder as well, and read it
         * for each connection. */
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (*options->cert)
        set_text(easy, CURLOPT_SSLCERT, options->cert, rc);
    if (*options->key)
        set_text(easy, CURLOPT_SSLKEY, options->key, rc);
}

/* The name that the certificate is for stands in the URL, and the endpoint's
 * "host:port" beside it. */
static int set_server_name(struct transfer *transfer, const char *place)
{
    struct buffer entry = { 0 };

    buffer_format(&entry, "::%s", place);
    buffer_add(&entry, "", 1);
    if (!entry.failed)
        transfer->connect_to = curl_slist_append(NULL, entry.data);
    buffer_free(&entry);
    if (!transfer->connect_to)
        return LIBSD_ENOMEM;
    curl_easy_setopt(transfer->easy, CURLOPT_CONNECT_TO, transfer->connect_to);
    return 0;
}

static int set_url(struct transfer *transfer, const struct http_request *request)
{
    static const char https[] = "https://";
    const char *name = request->options->server_name;
    const char *place = request->url + strlen(https);
    CURL *easy = transfer->easy;
    struct buffer url = { 0 };
    int rc = LIBSD_ENOMEM;

    if (*name && strncmp(request->url, https, strlen(https)) == 0) {
        if (set_server_name(transfer, place) < 0)
            return LIBSD_ENOMEM;
        buffer_format(&url, "%s%s%s", https, name, strrchr(place, ':'));
    } else {
        buffer_text(&url, request->url);
    }
    buffer_text(&url, request->api);
    buffer_add(&url, request->path, strlen(request->path) + 1);
    if (!url.failed && curl_easy_setopt(easy, CURLOPT_URL, url.data) == CURLE_OK)
        rc = 0;
    buffer_free(&url);
    return rc;
}

/* Everything that all our requests share. */
static int prepare(struct loop *loop, struct transfer *transfer, const struct http_request *request)
{
    CURL *easy = curl_easy_init();
    int rc;

    if (!easy)
        return LIBSD_ENOMEM;
    transfer->easy = easy;
    transfer->multi = loop->multi;
    transfer->headers = transfer->connect_to = NULL;
    transfer->too_big = false;
    transfer->error[0] = '\0';
    buffer_free(&transfer->answer);
    rc = set_headers(transfer, request);
    if (rc == 0)
        rc = set_url(transfer, request);
    if (rc < 0)
        return rc;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https", &rc);
    /* A proxy for the web is no way to the cluster. */
    set_text(easy, CURLOPT_PROXY, "", &rc);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    /* Do not wait for a hanging name server when a request is given up. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 5L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 2L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, tune_socket);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_SIZE);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    set_tls(easy, request->options, &rc);
    return rc;
}

/* curl sends a POST again when a connection that it used before ends without an
 * answer, even if the server has read it all.  A body that it can't wind back
 * keeps it from that: CURLE_SEND_FAIL_REWIND. */
static size_t read_once(char *to, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;

    size *= count;
    if (size > transfer->unsent_size)
        size = transfer->unsent_size;
    memcpy(to, transfer->unsent, size);
    transfer->unsent += size;
    transfer->unsent_size -= size;
    return size;
}

static int refuse_rewind(void *arg, curl_off_t offset, int origin)
{
    (void)arg;
    (void)offset;
    (void)origin;
    return CURL_SEEKFUNC_FAIL;
}

static void set_body(struct transfer *transfer, const struct http_request *request)
{
    CURL *easy = transfer->easy;

    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
    transfer->unsent_size = 0;
    if (!request->once) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
        return;
    }
    transfer->unsent = request->body;
    transfer->unsent_size = request->body_size;
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_once);
    curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, refuse_rewind);
}

static int begin(struct transfer *transfer, int rc)
{
    if (rc == 0) {
        curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
        if (curl_multi_add_handle(transfer->multi, transfer->easy) == CURLM_OK)
            return 0;
        rc = LIBSD_ENOMEM;
    }
    transfer_stop(transfer);
    return rc;
}

int transfer_start(struct loop *loop, struct transfer *transfer, const struct http_request *request)
{
    int rc = prepare(loop, transfer, request);

    if (rc == 0) {
        CURL *easy = transfer->easy;

        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, gather);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
        set_body(transfer, request);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
        if (request->idle_ms) {
            curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
            curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(request->idle_ms / 1000));
        }
    }
    return begin(transfer, rc);
}

int transfer_start_stream(struct loop *loop, struct transfer *transfer,
                          const struct http_request *request, curl_read_callback read_body,
                          curl_write_callback write_answer, void *arg)
{
    int rc = prepare(loop, transfer, request);

    if (rc == 0)
        rc = add_header(transfer, "Connection: close");
    if (rc == 0)
        rc = add_header(transfer, "Transfer-Encoding: chunked");
    for (int i = 0; i < TRANSFER_SOCKETS; i++)
        transfer->sockets[i] = CURL_SOCKET_BAD;
    if (rc == 0) {
        /* Its own connection, so that the sockets opened are all it has. */
        curl_easy_setopt(transfer->easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(transfer->easy, CURLOPT_OPENSOCKETFUNCTION, open_stream_socket);
        curl_easy_setopt(transfer->easy, CURLOPT_OPENSOCKETDATA, transfer);
        curl_easy_setopt(transfer->easy, CURLOPT_CLOSESOCKETFUNCTION, close_stream_socket);
        curl_easy_setopt(transfer->easy, CURLOPT_CLOSESOCKETDATA, transfer);
        curl_easy_setopt(transfer->easy, CURLOPT_READFUNCTION, read_body);
        curl_easy_setopt(transfer->easy, CURLOPT_READDATA, arg);
        curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, write_answer);
        curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, arg);
    }
    return begin(transfer, rc);
}

bool transfer_is_over(const struct transfer *transfer)
{
    curl_socket_t only = CURL_SOCKET_BAD;
    char byte;

    for (int i = 0; i < TRANSFER_SOCKETS; i++)
        if (transfer->sockets[i] != CURL_SOCKET_BAD) {
            if (only != CURL_SOCKET_BAD)
                return false;
            only = transfer->sockets[i];
        }
    return only != CURL_SOCKET_BAD && recv(only, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void transfer_stop(struct transfer *transfer)
{
    if (!transfer->easy)
        return;
    curl_multi_remove_handle(transfer->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->connect_to);
    transfer->easy = NULL;
    transfer->headers = transfer->connect_to = NULL;
    buffer_free(&transfer->answer);
}

void http_reap(struct loop *loop)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(loop->multi, &left))) {
        CURLcode result = message->data.result;
        CURL *easy = message->easy_handle;
        struct transfer *transfer = NULL;
        struct buffer answer;
        char *private = NULL;
        long status = 0;

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        transfer = (struct transfer *)(void *)private;
        answer = transfer->answer;
        transfer->answer = (struct buffer){ 0 };
        transfer_stop(transfer);
        transfer->answer = answer;
        transfer->done(transfer, result, status);
    }
}

/* In TLS 1.3 the handshake is over when the server looks at our certificate, so
 * its refusal comes as an error of reading or writing. */
static bool is_certificate_alert(const char *text)
{
    return strstr(text, "alert") && (strstr(text, "certificate") || strstr(text, "unknown ca"));
}

enum http_outcome http_outcome(CURLcode result, struct failure *failure, const char *url,
                               const char *text)
{
    enum http_outcome outcome = HTTP_UNKNOWN;
    int code = LIBSD_ETIMEDOUT;

    if (!text || !*text)
        text = curl_easy_strerror(result);
    if (is_certificate_alert(text))
        result = CURLE_SSL_CERTPROBLEM;
    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
        outcome = HTTP_NOT_SENT;
        code = LIBSD_EUNAVAILABLE;
        break;
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
        outcome = HTTP_CONFIG;
        code = LIBSD_ETLS;
        break;
    case CURLE_OUT_OF_MEMORY:
        code = LIBSD_ENOMEM;
        break;
    default:
        break;
    }
    failure_set(failure, code, "%s: %s", url, text);
    return outcome;
}

void http_refusal(struct failure *failure, const char *url, const char *api, const char *path,
                  long status, libsd_slice text)
{
    int code = status == 200 || status == 404 ? LIBSD_EPROTOCOL : LIBSD_EREFUSED;

    if (text.size == 0)
        text = libsd_str("empty answer");
    if (status >= 500 || status == 408 || status == 429)
        code = LIBSD_EUNAVAILABLE;
    failure_set(failure, code, "%s%s%s: HTTP %ld: %.*s", url, api, path, status,
                text.size < 120 ? (int)text.size : 120, (const char *)text.data);
}
