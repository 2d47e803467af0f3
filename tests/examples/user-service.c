/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A small, complete service: an HTTP server that answers with its own name,
 * and that is registered in etcd for as long as it runs.
 *
 *     user-service instance-1 127.0.0.2 8080
 *     curl http://user.service.etcd:8080/
 */
#include <arpa/inet.h>
#include <libsd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
    int listener;
    const char *name;
};

static int listen_on(const char *ip, int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (fd < 0 || inet_pton(AF_INET, ip, &address.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

/* HTTP/1.0: one request per connection, and its end is the answer's end. */
static void *serve(void *arg)
{
    const struct server *server = arg;
    char request[4096];

    for (;;) {
        int client = accept(server->listener, NULL, NULL);

        if (client < 0)
            continue;
        if (recv(client, request, sizeof request, 0) > 0)
            dprintf(client, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nI am %s\n",
                    server->name);
        close(client);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct server server;
    char address[64];
    sigset_t stop;
    pthread_t thread;
    /* Asked for "/" each 10 seconds; three bad answers in a row take the service
     * out of the answers, a good one puts it back. */
    libsd_check check = { .size = sizeof check, .type = LIBSD_CHECK_HTTP, .passing = 1 };
    libsd_register_options options = { .size = sizeof options, .check = &check };
    char detail[256];
    libsd *sd;
    int rc, signal_number;

    if (argc < 4) {
        fprintf(stderr, "usage: %s INSTANCE IP PORT [TTL]\n", argv[0]);
        return 2;
    }
    server.name = argv[1];
    server.listener = listen_on(argv[2], atoi(argv[3]));
    snprintf(address, sizeof address, "%s:%s", argv[2], argv[3]);

    /* SIGTERM and SIGINT wait until main() asks for them, below. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);

    if (pthread_create(&thread, NULL, serve, &server) != 0)
        return 1;

    /* The service answers: tell the world.  From here on libsd keeps the key
     * /service/user/INSTANCE there, whatever happens to etcd meanwhile. */
    rc = libsd_open(&sd, NULL);
    if (rc < 0) {
        libsd_error_detail(NULL, detail, sizeof detail);
        fprintf(stderr, "libsd_open: %s: %s\n", libsd_strerror(rc), detail);
        return 1;
    }
    rc = libsd_register(sd, "user", server.name, address, argc > 4 ? atoi(argv[4]) : 0, &options);
    if (rc == 0) {
        printf("registered user/%s = %s\n", server.name, address);
        fflush(stdout);
    } else {
        libsd_error_detail(sd, detail, sizeof detail);
        fprintf(stderr, "%s: %s: %s\n", server.name, libsd_strerror(rc), detail);
        if (!libsd_error_is_retriable(rc)) /* else libsd goes on trying */
            return 1;
    }

    sigwait(&stop, &signal_number);
    libsd_close(sd); /* the key is gone from etcd at once */
    return 0;
}
