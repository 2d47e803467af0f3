/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The misbehaving gateway; see gateway.h.  A thread per connection: quirks may
 * block.
 */
#include "gateway.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct etcd gateway;

#define STREAMS 64

static struct {
    int fd;
    _Atomic(gateway_quirk *) quirk;
    atomic_int requests;
    atomic_int hang_ups;
    _Atomic int64_t start_revision;
    pthread_mutex_t mutex;
    int streams[STREAMS]; /* open ones; 0: free */
} state = { .mutex = PTHREAD_MUTEX_INITIALIZER };

int gateway_requests(void)
{
    return state.requests;
}

int64_t gateway_start_revision(void)
{
    return state.start_revision;
}

static void replace_stream(int old, int new)
{
    bool done = false;

    pthread_mutex_lock(&state.mutex);
    for (int i = 0; i < STREAMS && !done; i++) {
        done = state.streams[i] == old;
        if (done)
            state.streams[i] = new;
    }
    pthread_mutex_unlock(&state.mutex);
}

void gateway_hang_up(void)
{
    pthread_mutex_lock(&state.mutex);
    state.hang_ups++;
    for (int i = 0; i < STREAMS; i++) {
        if (state.streams[i])
            shutdown(state.streams[i], SHUT_RDWR);
    }
    pthread_mutex_unlock(&state.mutex);
}

void gateway_set(gateway_quirk *quirk)
{
    state.quirk = quirk;
}

void gateway_is_left_in_peace(void)
{
    double end = seconds() + 1;
    int before = state.requests;

    /* Back-off begins at 25 ms and doubles; three who do that at once, and each
     * /v3 that is not found asked for under three names. */
    UNTIL(seconds() > end, 10);
    cr_assert_leq(state.requests - before, 45, "%d requests in a second", state.requests - before);
}

/* ---- sending ------------------------------------------------------------ */

bool send_bytes(struct exchange *exchange, const void *data, size_t size)
{
    const char *at = data;

    while (size) {
        ssize_t sent = send(exchange->fd, at, size, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool send_text(struct exchange *exchange, const char *text)
{
    return send_bytes(exchange, text, strlen(text));
}

bool answer(struct exchange *exchange, const char *status, const char *body)
{
    char head[200];

    snprintf(head, sizeof head,
             "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", status,
             strlen(body));
    return send_text(exchange, head) && send_text(exchange, body);
}

bool answer_ok(struct exchange *exchange, const char *body)
{
    return answer(exchange, "200 OK", body);
}

void end_now(struct exchange *exchange)
{
    shutdown(exchange->fd, SHUT_RDWR);
}

void reset_now(struct exchange *exchange)
{
    struct linger linger = { .l_onoff = 1 };

    setsockopt(exchange->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(exchange->fd);
    exchange->fd = -1;
}

/* ---- receiving ---------------------------------------------------------- */

#define UNREAD_MAX 65536

/* Reads until the text is there; returns its place, or NULL at the end. */
static char *read_until(struct exchange *exchange, const char *text)
{
    char *found;

    while (!(found = memmem(exchange->unread, exchange->unread_size, text, strlen(text)))) {
        ssize_t size = exchange->unread_size < UNREAD_MAX
                           ? recv(exchange->fd, exchange->unread + exchange->unread_size,
                                  UNREAD_MAX - exchange->unread_size, 0)
                           : -1;

        if (size <= 0)
            return NULL;
        exchange->unread_size += (size_t)size;
    }
    return found;
}

/* Moves bytes from what is unread, or to nowhere. */
static void take(struct exchange *exchange, char *to, size_t size)
{
    if (to)
        memcpy(to, exchange->unread, size);
    exchange->unread_size -= size;
    memmove(exchange->unread, exchange->unread + size, exchange->unread_size);
}

static bool read_body(struct exchange *exchange)
{
    const char *length = strcasestr(exchange->head, "\r\nContent-Length:");
    size_t size = length ? (size_t)atol(length + 17) : 0;

    if (size >= sizeof exchange->body)
        return false;
    while (exchange->unread_size < size) {
        ssize_t got = recv(exchange->fd, exchange->unread + exchange->unread_size,
                           size - exchange->unread_size, 0);

        if (got <= 0)
            return false;
        exchange->unread_size += (size_t)got;
    }
    take(exchange, exchange->body, size);
    exchange->body[size] = '\0';
    return true;
}

static bool read_request(struct exchange *exchange)
{
    char *end = read_until(exchange, "\r\n\r\n");
    size_t size;

    if (!end)
        return false;
    size = (size_t)(end - exchange->unread) + 4;
    if (size >= sizeof exchange->head)
        return false;
    take(exchange, exchange->head, size);
    exchange->head[size] = '\0';
    exchange->streams = false;
    exchange->chunk = 0;
    *exchange->body = '\0';
    exchange->api[0] = '/';
    if (sscanf(exchange->head, "POST /%14[^/ ]%63[^ ]", exchange->api + 1, exchange->path) != 2)
        return false;
    exchange->hang_ups = state.hang_ups;
    exchange->number = ++state.requests;
    /* The watch's come one by one. */
    return strcasestr(exchange->head, "\r\nTransfer-Encoding: chunked") || read_body(exchange);
}

bool asks(const struct exchange *exchange, const char *path)
{
    return strcmp(exchange->path, path) == 0;
}

const char *member(const struct exchange *exchange, const char *name, char *value, size_t size)
{
    char pattern[64];
    const char *found;
    size_t length = 0;

    snprintf(pattern, sizeof pattern, "\"%s\":\"", name);
    found = strstr(exchange->body, pattern);
    if (found) {
        found += strlen(pattern);
        length = strcspn(found, "\"");
    }
    snprintf(value, size, "%.*s", (int)length, found ? found : "");
    return value;
}

/* ---- the watch ---------------------------------------------------------- */

/* The chunk's head, if one is due. */
static bool read_chunk_head(struct exchange *exchange)
{
    char *end;

    if (exchange->chunk)
        return true;
    end = read_until(exchange, "\r\n");
    if (end == exchange->unread && end) { /* the end of the last one */
        take(exchange, NULL, 2);
        end = read_until(exchange, "\r\n");
    }
    if (!end)
        return false;
    exchange->chunk = strtoul(exchange->unread, NULL, 16);
    take(exchange, NULL, (size_t)(end - exchange->unread) + 2);
    return exchange->chunk > 0;
}

bool stream_read(struct exchange *exchange)
{
    size_t size = 0;
    char start[32];

    do {
        if (!read_chunk_head(exchange))
            return false;
        if (exchange->unread_size == 0) {
            ssize_t got = recv(exchange->fd, exchange->unread, UNREAD_MAX, 0);

            if (got <= 0)
                return false;
            exchange->unread_size = (size_t)got;
        }
        take(exchange, &exchange->body[size], 1);
        exchange->chunk--;
    } while (exchange->body[size++] != '\n' && size < sizeof exchange->body);
    exchange->body[size - 1] = '\0';
    state.requests++;
    if (strstr(exchange->body, "create_request") && strstr(exchange->body, "watch_id"))
        state.start_revision = atoll(member(exchange, "start_revision", start, sizeof start));
    return true;
}

bool stream_line(struct exchange *exchange, const char *line)
{
    char head[32];

    if (!exchange->streams &&
        !send_text(exchange, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"))
        return false;
    exchange->streams = true;
    snprintf(head, sizeof head, "%zx\r\n", strlen(line) + 1);
    return send_text(exchange, head) && send_text(exchange, line) && send_text(exchange, "\n\r\n");
}

void stream_behave(struct exchange *exchange)
{
    char id[32];
    char line[400];
    const char *rest = "";

    member(exchange, "watch_id", id, sizeof id);
    if (strstr(exchange->body, "progress_request"))
        rest = "\"-1\"";
    else if (strstr(exchange->body, "cancel_request"))
        rest = "\"%s\",\"canceled\":true";
    else if (*id)
        rest = "\"%s\",\"created\":true";
    else
        rest = "\"-1\",\"created\":true,\"canceled\":true,\"cancel_reason\":\"mvcc: watcher range "
               "is empty\"";
    snprintf(line, sizeof line, "{\"result\":{" H ",\"watch_id\":");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line + strlen(line), sizeof line - strlen(line), rest, id);
#pragma GCC diagnostic pop
    strcat(line, "}}");
    stream_line(exchange, line);
}

void stream_wait(struct exchange *exchange)
{
    while (state.hang_ups == exchange->hang_ups)
        nap();
}

bool stream_script(struct exchange *exchange, const char *const *lines, size_t count)
{
    if (!stream_read(exchange))
        return true;
    stream_behave(exchange);
    for (size_t i = 0; i < count; i++)
        stream_line(exchange, lines[i]);
    stream_wait(exchange);
    return true;
}

/* ---- behaving ----------------------------------------------------------- */

static void behave_lease(struct exchange *exchange)
{
    char id[32];
    char ttl[32];
    char body[300];
    bool keepalive = asks(exchange, "/lease/keepalive");

    member(exchange, "ID", id, sizeof id);
    member(exchange, "TTL", ttl, sizeof ttl);
    snprintf(body, sizeof body, "%s{" H ",\"ID\":\"%s\",\"TTL\":\"%s\"}%s",
             keepalive ? "{\"result\":" : "", id, *ttl ? ttl : "3", keepalive ? "}\n" : "");
    answer_ok(exchange, body);
}

/* A key at a revision in the past: what was told of it is still there. */
static void behave_landmark(struct exchange *exchange)
{
    char key[64];
    char revision[32];
    char body[400];

    member(exchange, "key", key, sizeof key);
    member(exchange, "revision", revision, sizeof revision);
    snprintf(body, sizeof body,
             "{" H ",\"kvs\":[{\"key\":\"%s\",\"mod_revision\":\"%s\"}],\"count\":\"1\"}", key,
             revision);
    answer_ok(exchange, body);
}

static void behave_range(struct exchange *exchange)
{
    if (strstr(exchange->body, "\"revision\"") && !strstr(exchange->body, "range_end"))
        behave_landmark(exchange);
    else if (strstr(exchange->body, "\"key\":\"" KEY_A))
        answer_ok(exchange, "{" H ",\"kvs\":[" KV(KEY_A, 3) "],\"count\":\"1\"}");
    else if (strstr(exchange->body, "\"key\":\"L2Yv\"") || /* "/f/" */
             strstr(exchange->body, "\"key\":\"" KEY_F "\""))
        answer_ok(exchange, "{" H ",\"kvs\":[" KV(KEY_F, 4) "],\"count\":\"1\"}");
    else
        answer_ok(exchange, "{" H "}");
}

/* All compares hold, and each writing is done. */
static void behave_txn(struct exchange *exchange)
{
    static const char part[] = "{\"response_put\":{}}";
    char body[8192] = "{" H ",\"succeeded\":true,\"responses\":[";
    const char *at = exchange->body;
    int count = 0;

    while ((at = strstr(at, "{\"request_")) && strlen(body) + sizeof part + 8 < sizeof body) {
        if (strncmp(at, "{\"request_range", 15) != 0) {
            strcat(body, count++ ? "," : "");
            strcat(body, part);
        }
        at++;
    }
    strcat(body, count ? "]}" : "{\"response_put\":{}}]}");
    answer_ok(exchange, body);
}

static void behave(struct exchange *exchange)
{
    if (strcmp(exchange->api, "/v3") != 0) {
        answer(exchange, "404 Not Found", "404 page not found\n");
    } else if (asks(exchange, "/watch")) {
        while (stream_read(exchange))
            stream_behave(exchange);
    } else if (asks(exchange, "/kv/range")) {
        behave_range(exchange);
    } else if (asks(exchange, "/kv/txn")) {
        behave_txn(exchange);
    } else if (asks(exchange, "/auth/authenticate")) {
        answer_ok(exchange, "{" H ",\"token\":\"the-token\"}");
    } else if (strncmp(exchange->path, "/lease/", 7) == 0 && !asks(exchange, "/lease/revoke")) {
        behave_lease(exchange);
    } else {
        answer_ok(exchange, "{" H "}");
    }
}

static void *serve(void *arg)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);

    exchange->unread = malloc(UNREAD_MAX);
    exchange->fd = (int)(intptr_t)arg;
    while (exchange->fd >= 0 && !asks(exchange, "/watch") && read_request(exchange)) {
        gateway_quirk *quirk = state.quirk;

        if (asks(exchange, "/watch"))
            replace_stream(0, exchange->fd);
        if (!quirk || !quirk(exchange))
            behave(exchange);
    }
    if (exchange->fd >= 0) {
        replace_stream(exchange->fd, 0);
        close(exchange->fd);
    }
    free(exchange->unread);
    free(exchange);
    return NULL;
}

static void *accept_all(void *arg)
{
    pthread_t thread;
    int fd;

    while ((fd = accept4(state.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
    return arg;
}

void gateway_start(gateway_quirk *quirk)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    pthread_t thread;

    state.quirk = quirk;
    state.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert(state.fd >= 0 && bind(state.fd, (struct sockaddr *)&address, size) == 0 &&
              listen(state.fd, 100) == 0 &&
              getsockname(state.fd, (struct sockaddr *)&address, &size) == 0);
    snprintf(gateway.url, sizeof gateway.url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    cr_assert_eq(pthread_create(&thread, NULL, accept_all, NULL), 0);
    pthread_detach(thread);
}

int gateway_get(libsd *sd, int timeout_ms)
{
    libsd_kvs *kvs = NULL;
    int rc = libsd_get(sd, libsd_str("/a"), &kvs, timeout_ms);

    cr_assert((rc == 0) == (kvs != NULL));
    libsd_kvs_free(kvs);
    return rc;
}

void gateway_detail(libsd *sd, const char *words)
{
    char detail[400] = "";

    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, gateway.url) && strstr(detail, words), "no '%s' in '%s'", words,
              detail);
}

void gateway_behaves_again(libsd *sd)
{
    gateway_set(NULL);
    cr_assert_eq(gateway_get(sd, 0), 0);
}
