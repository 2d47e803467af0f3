/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A client that picks an instance for each request, and says how it went: one
 * that does not answer is left alone for a while.
 *
 *     pick-client user 10        ten requests, 100 ms apart
 *
 * Prints a line for each: the instance, where libsd knew it from, its answer.
 */
#include <libsd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One HTTP request; 0 if it was answered. */
static int talk(const libsd_picked *picked, char *answer, size_t size)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    struct timeval limit = { .tv_sec = 1 };
    struct sockaddr_storage address;
    int length = libsd_picked_sockaddr(picked, (struct sockaddr *)&address, sizeof address);
    size_t used = 0;
    ssize_t got;
    int fd;

    if (length < 0)
        return -1;
    fd = socket(address.ss_family, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, (socklen_t)length) == 0 &&
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0) {
        while (used + 1 < size && (got = recv(fd, answer + used, size - 1 - used, 0)) > 0)
            used += (size_t)got;
    }
    close(fd);
    answer[used] = '\0';
    return used > 0 ? 0 : -1;
}

static void request(libsd *sd, const char *service)
{
    libsd_picked picked;
    char answer[1000];
    const char *body;
    int rc = libsd_pick(sd, service, NULL, &picked);

    if (rc < 0) {
        printf("%s: %s\n", service, libsd_strerror(rc));
        return;
    }
    rc = talk(&picked, answer, sizeof answer);
    libsd_report(sd, service, &picked, rc == 0);
    body = rc == 0 ? strstr(answer, "\r\n\r\n") : NULL;
    printf("%s from %s: %s", picked.name, picked.source == LIBSD_SOURCE_TABLE ? "table" : "etcd",
           body ? body + 4 : "no answer\n");
}

int main(int argc, char **argv)
{
    libsd *sd;
    int count = argc > 2 ? atoi(argv[2]) : 1;
    int rc;

    if (argc < 2) {
        fprintf(stderr, "usage: %s SERVICE [REQUESTS]\n", argv[0]);
        return 2;
    }
    rc = libsd_open(&sd, NULL);
    if (rc < 0) {
        fprintf(stderr, "libsd_open: %s\n", libsd_strerror(rc));
        return 1;
    }
    for (int i = 0; i < count; i++) {
        request(sd, argv[1]);
        fflush(stdout);
        if (i + 1 < count)
            usleep(100000);
    }
    libsd_close(sd);
    return 0;
}
