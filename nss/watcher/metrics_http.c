/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * As much of HTTP/1.1 (RFC 9112) as a scraper needs: one request for each
 * connection, read up to its empty line; the answer ends with the connection.
 *
 *   accepted --request complete--> answering --all sent--> gone
 *       |                              |
 *       +--- too long, too late, hung up: gone
 */
#include "metrics_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "metrics.h"

#define HEAD_SIZE 256

static int64_t monotonic_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* ---- address ----------------------------------------------------------- */

static bool port_parse(const char *text, in_port_t *port)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    *port = htons((in_port_t)number);
    return *text >= '0' && *text <= '9' && *end == '\0' && number <= UINT16_MAX;
}

socklen_t metrics_http_parse(const char *text, struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;

    memset(address, 0, sizeof *address);
    if (length == 0 || length >= sizeof host)
        return 0;
    memcpy(host, text, length);
    host[length] = '\0';
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        return port_parse(colon + 1, &v4->sin_port) && ntohl(v4->sin_addr.s_addr) >> 24 == 127
                   ? sizeof *v4
                   : 0;
    }
    if (host[0] != '[' || host[length - 1] != ']')
        return 0;
    host[length - 1] = '\0';
    if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1 ||
        !IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) || !port_parse(colon + 1, &v6->sin6_port))
        return 0;
    v6->sin6_family = AF_INET6;
    return sizeof *v6;
}

/* ---- clients ----------------------------------------------------------- */

static void client_end(struct metrics_client *client)
{
    if (client->fd >= 0)
        close(client->fd); /* which takes it out of the epoll set */
    free(client->answer);
    client->fd = -1;
    client->answer = NULL;
}

static bool is_request(const struct metrics_client *client, const char *start)
{
    size_t length = strlen(start);

    return client->received > length && memcmp(client->request, start, length) == 0 &&
           strchr(" ?", client->request[length]) != NULL;
}

/* head and body in one block: what the client sends is never given back. */
static void answer_make(const struct metrics_http *http, struct metrics_client *client)
{
    static const char type[] = "Content-Type: text/plain; version=0.0.4; charset=utf-8";
    char *body = malloc(METRICS_SIZE + HEAD_SIZE);
    const char *status = "200 OK";
    size_t length = 0;
    char head[HEAD_SIZE];
    int head_length;

    if (body == NULL)
        return;
    if (is_request(client, "GET /metrics"))
        length = http->text(http->arg, body, METRICS_SIZE);
    else
        status =
            memcmp(client->request, "GET ", 4) == 0 ? "404 Not Found" : "405 Method Not Allowed";
    head_length = snprintf(head, sizeof head,
                           "HTTP/1.1 %s\r\n%s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                           status, type, length);
    memmove(body + head_length, body, length);
    memcpy(body, head, (size_t)head_length);
    client->answer = body;
    client->sent = 0;
    client->length = (size_t)head_length + length;
}

/* Returns whether there is a reason to wait for more. */
static bool client_receive(const struct metrics_http *http, struct metrics_client *client)
{
    ssize_t size = recv(client->fd, client->request + client->received,
                        sizeof client->request - client->received, MSG_DONTWAIT);

    if (size < 0)
        return errno == EAGAIN || errno == EINTR;
    client->received += (size_t)size;
    if (memmem(client->request, client->received, "\r\n\r\n", 4) != NULL) {
        answer_make(http, client);
        return client->answer != NULL;
    }
    return size > 0 && client->received < sizeof client->request;
}

static bool client_send(struct metrics_client *client)
{
    ssize_t size = send(client->fd, client->answer + client->sent, client->length - client->sent,
                        MSG_DONTWAIT | MSG_NOSIGNAL);

    if (size < 0)
        return errno == EAGAIN || errno == EINTR;
    client->sent += (size_t)size;
    return client->sent < client->length;
}

static bool client_step(struct metrics_http *http, struct metrics_client *client)
{
    struct epoll_event event = { .events = EPOLLOUT, .data.ptr = client };

    if (client->answer == NULL && !client_receive(http, client))
        return false;
    if (client->answer == NULL)
        return true;
    if (!client_send(client))
        return false;
    return epoll_ctl(http->fd, EPOLL_CTL_MOD, client->fd, &event) == 0;
}

/* ---- server ------------------------------------------------------------ */

static struct metrics_client *client_free(struct metrics_http *http)
{
    for (int i = 0; i < METRICS_HTTP_CLIENTS; i++)
        if (http->clients[i].fd < 0)
            return &http->clients[i];
    return NULL;
}

/* Where all places are taken, whoever comes is sent away: connections that
 * wait for one would keep the loop awake. */
static void client_accept(struct metrics_http *http)
{
    struct metrics_client *client = client_free(http);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
    int fd = accept4(http->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (client == NULL || epoll_ctl(http->fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        close(fd);
        return;
    }
    client->fd = fd;
    client->since_s = monotonic_s();
    client->received = 0;
}

void metrics_http_serve(struct metrics_http *http)
{
    struct epoll_event events[METRICS_HTTP_CLIENTS + 1];
    int count = epoll_wait(http->fd, events, METRICS_HTTP_CLIENTS + 1, 0);

    for (int i = 0; i < count; i++) {
        struct metrics_client *client = events[i].data.ptr;

        if (client == NULL)
            client_accept(http);
        else if (!client_step(http, client))
            client_end(client);
    }
}

void metrics_http_tick(struct metrics_http *http)
{
    for (int i = 0; http->clients != NULL && i < METRICS_HTTP_CLIENTS; i++)
        if (http->clients[i].fd >= 0 && monotonic_s() - http->clients[i].since_s > METRICS_HTTP_S)
            client_end(&http->clients[i]);
}

int metrics_http_open(struct metrics_http *http, const struct sockaddr_storage *address,
                      socklen_t size, metrics_http_text *text, void *arg)
{
    struct epoll_event event = { .events = EPOLLIN };
    const int yes = 1;

    *http = (struct metrics_http){ .fd = -1, .listener = -1, .text = text, .arg = arg };
    http->clients = calloc(METRICS_HTTP_CLIENTS, sizeof *http->clients);
    if (http->clients == NULL)
        return -ENOMEM;
    for (int i = 0; i < METRICS_HTTP_CLIENTS; i++)
        http->clients[i].fd = -1;
    http->fd = epoll_create1(EPOLL_CLOEXEC);
    http->listener = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (http->fd < 0 || http->listener < 0 ||
        setsockopt(http->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(http->listener, (const struct sockaddr *)address, size) != 0 ||
        listen(http->listener, METRICS_HTTP_CLIENTS) != 0 ||
        epoll_ctl(http->fd, EPOLL_CTL_ADD, http->listener, &event) != 0)
        return -errno;
    return 0;
}

void metrics_http_close(struct metrics_http *http)
{
    for (int i = 0; http->clients != NULL && i < METRICS_HTTP_CLIENTS; i++)
        client_end(&http->clients[i]);
    if (http->listener >= 0)
        close(http->listener);
    if (http->fd >= 0)
        close(http->fd);
    free(http->clients);
    *http = (struct metrics_http){ .fd = -1, .listener = -1 };
}
