/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon's numbers over HTTP, for a Prometheus on this host: GET /metrics on
 * a loopback address and nothing else.
 *
 * Served from the main loop, so nothing here waits: few connections, each with
 * one bounded request and one answer, and an end after METRICS_HTTP_S seconds.
 */
#ifndef ETCDSD_WATCHER_METRICS_HTTP_H
#define ETCDSD_WATCHER_METRICS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define METRICS_HTTP_CLIENTS 8
#define METRICS_HTTP_REQUEST 4096 /* bytes that a request may have */
#define METRICS_HTTP_S       5    /* that a connection may last */

struct metrics_client {
    int fd; /* -1: free */
    int64_t since_s;
    size_t received;
    size_t sent, length; /* of the answer */
    char *answer;        /* NULL: the request is not complete */
    char request[METRICS_HTTP_REQUEST];
};

/* Writes what there is to tell; as metrics_render(). */
typedef size_t metrics_http_text(void *arg, char *text, size_t size);

struct metrics_http {
    int fd; /* polls readable when there is something to do; -1: not open */
    int listener;
    metrics_http_text *text;
    void *arg;
    struct metrics_client *clients;
};

/* "127.0.0.1:9117" or "[::1]:9117"; port 0 lets the kernel choose.  Returns the
 * address's size, or 0 if it is none or not loopback. */
socklen_t metrics_http_parse(const char *text, struct sockaddr_storage *address);

/* Returns 0 or a negative errno; metrics_http_close() must follow in each case. */
int metrics_http_open(struct metrics_http *http, const struct sockaddr_storage *address,
                      socklen_t size, metrics_http_text *text, void *arg);

/* When fd polls readable. */
void metrics_http_serve(struct metrics_http *http);

/* Once a second: ends connections that last too long. */
void metrics_http_tick(struct metrics_http *http);

void metrics_http_close(struct metrics_http *http);

#endif
