/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A client that talks to all instances of a service, in one thread with poll():
 * an instance that comes online is connected to, one that goes offline is let
 * go, and all are asked again and again.
 *
 *     connect-all user
 *
 * Prints what happens: "online NAME ADDRESS", "answer NAME", "offline NAME".
 */
#include <libsd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINKS    64
#define PAUSE_MS 200

/* A conversation with an instance.  The server ends it with each answer. */
struct link {
    char name[100]; /* empty: free */
    struct sockaddr_storage address;
    socklen_t length;
    int fd; /* -1: between two conversations */
    int asked;
};

static struct link links[LINKS];

static void hang_up(struct link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    link->asked = 0;
}

static struct link *find(const char *name)
{
    for (int i = 0; i < LINKS; i++) {
        if (strcmp(links[i].name, name) == 0)
            return &links[i];
    }
    return NULL;
}

/* In libsd_dispatch(), so on our own thread: no lock is needed. */
static void changed(const libsd_change *change, void *arg)
{
    const libsd_instance *instance = change->instance;
    struct link *link = instance ? find(instance->name) : NULL;
    char text[300];
    int length;

    (void)arg;
    if (!instance)
        return;
    libsd_instance_text(instance, text, sizeof text);
    printf("%s %s %s\n", change->type == LIBSD_OFFLINE ? "offline" : "online", instance->name,
           text);
    if (link) { /* gone, or at another address */
        hang_up(link);
        link->name[0] = '\0';
    }
    link = find("");
    if (change->type == LIBSD_OFFLINE || !link || strlen(instance->name) >= sizeof link->name)
        return;
    length =
        libsd_instance_sockaddr(instance, (struct sockaddr *)&link->address, sizeof link->address);
    if (length < 0)
        return;
    link->length = (socklen_t)length;
    link->fd = -1;
    strcpy(link->name, instance->name);
}

static void call(struct link *link)
{
    link->fd = socket(link->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (link->fd >= 0)
        (void)connect(link->fd, (struct sockaddr *)&link->address, link->length);
}

static void go_on(struct link *link, short events)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    char answer[1000];

    if (!link->asked && (events & POLLOUT)) {
        link->asked = send(link->fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0;
        if (!link->asked)
            hang_up(link);
    } else if (events) {
        if (recv(link->fd, answer, sizeof answer, 0) > 0)
            printf("answer %s\n", link->name);
        hang_up(link);
    }
}

static void turn(libsd *sd)
{
    struct pollfd polled[LINKS + 1] = { { .fd = libsd_fd(sd), .events = POLLIN } };

    for (int i = 0; i < LINKS; i++) {
        polled[i + 1].fd = links[i].name[0] ? links[i].fd : -1;
        polled[i + 1].events = links[i].asked ? POLLIN : POLLOUT;
    }
    if (poll(polled, LINKS + 1, PAUSE_MS) == 0) {
        for (int i = 0; i < LINKS; i++) {
            if (links[i].name[0] && links[i].fd < 0)
                call(&links[i]);
        }
    }
    for (int i = 0; i < LINKS; i++) {
        if (polled[i + 1].fd >= 0)
            go_on(&links[i], polled[i + 1].revents);
    }
    if (polled[0].revents)
        libsd_dispatch(sd, 0);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    libsd_options *options = NULL;
    libsd *sd = NULL;
    int rc;

    if (argc < 2) {
        fprintf(stderr, "usage: %s SERVICE\n", argv[0]);
        return 2;
    }
    rc = libsd_options_new(&options);
    if (rc == 0)
        rc = libsd_options_set(options, "dispatch", "manual");
    if (rc == 0)
        rc = libsd_open(&sd, options);
    if (rc == 0)
        rc = libsd_watch_service(sd, argv[1], changed, NULL, NULL);
    libsd_options_free(options);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], libsd_strerror(rc));
        libsd_close(sd);
        return 1;
    }
    for (;;)
        turn(sd);
}
