/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * doctor: whether etcd's clock and ours agree.  Leases need none, but logs,
 * certificates and the age of a snapshot do.
 *
 * Each answer of etcd's HTTP server tells its time (RFC 9110, section 6.6.1).
 * It is asked without TLS only; there a clock that is far off shows by itself,
 * as certificates that are not valid.
 */
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "doctor.h"

#define WAIT_MS 1000
#define OFF_S   5 /* a difference that is none: the answer's way, whole seconds */

/* "http://host:port", host perhaps in brackets.  False: another scheme. */
static bool split_url(const char *url, char host[300], char port[10])
{
    const char *at = strstr(url, "://");
    size_t size;

    if (at && strncmp(url, "http://", 7) != 0)
        return false;
    at = at ? at + 3 : url;
    size = *at == '[' ? strcspn(at, "]") : strcspn(at, ":/");
    snprintf(host, 300, "%.*s", (int)(*at == '[' ? size - 1 : size), *at == '[' ? at + 1 : at);
    at += size + (at[size] == ']');
    snprintf(port, 10, "%.*s", (int)strcspn(*at == ':' ? at + 1 : "2379", "/"),
             *at == ':' ? at + 1 : "2379");
    return *host != '\0';
}

static bool is_ready(int fd, short events)
{
    struct pollfd ready = { .fd = fd, .events = events };

    return poll(&ready, 1, WAIT_MS) == 1;
}

/* Returns a descriptor, or -1. */
static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    int fd = -1;

    if (getaddrinfo(host, port, &hints, &list) != 0)
        return -1;
    for (const struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        int error = 0;
        socklen_t size = sizeof error;

        fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        (void)connect(fd, at->ai_addr, at->ai_addrlen); /* its outcome is the socket's error */
        if (is_ready(fd, POLLOUT) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
            error == 0)
            continue;
        close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

/* The time that the head of an answer tells; -1: none. */
static time_t date_of(const char *head)
{
    const char *date = strcasestr(head, "\r\nDate:");
    struct tm tm = { 0 };

    if (!date || !strptime(date + 7, " %a, %d %b %Y %H:%M:%S GMT", &tm))
        return -1;
    return timegm(&tm);
}

static time_t ask(int fd, const char *host)
{
    char text[4096];
    size_t size = 0;
    ssize_t got = 1;
    int length = snprintf(text, sizeof text,
                          "HEAD /version HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);

    if (send(fd, text, (size_t)length, MSG_NOSIGNAL) != length)
        return -1;
    while (got > 0 && size < sizeof text - 1 && is_ready(fd, POLLIN)) {
        got = recv(fd, text + size, sizeof text - 1 - size, 0);
        size += got > 0 ? (size_t)got : 0;
        text[size] = '\0';
        if (strstr(text, "\r\n\r\n"))
            break;
    }
    text[size] = '\0';
    return date_of(text);
}

void doctor_clock(struct doctor *doctor, const char *endpoint)
{
    char host[300], port[10];
    int fd = split_url(endpoint, host, port) ? connect_to(host, port) : -1;
    time_t theirs = fd < 0 ? -1 : ask(fd, host);
    long long ahead = (long long)theirs - (long long)time(NULL);

    if (fd >= 0)
        close(fd);
    if (theirs < 0)
        return;
    if (ahead >= -OFF_S && ahead <= OFF_S) {
        doctor_say(doctor, DOCTOR_OK, "clock", "%s has the same time", endpoint);
        return;
    }
    doctor_mend(doctor, "on both hosts: timedatectl set-ntp true");
    doctor_say(doctor, DOCTOR_WARN, "clock", "the clock of %s is %lld s %s ours", endpoint,
               ahead < 0 ? -ahead : ahead, ahead < 0 ? "behind" : "ahead of");
}
