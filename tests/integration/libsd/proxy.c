/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A way to an etcd that can be cut; see proxy.h.
 */
#include "proxy.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "etcd.h"

#define LINKS 200

/* The process' own. */
static struct {
    int listener;
    int control;
    struct sockaddr_in to;
    const char *api;
    int taken;
    bool frozen;
    /* Each connection and its continuation, one behind the other. */
    struct pollfd fds[2 + 2 * LINKS];
    nfds_t count;
} self;

static void send_all(int fd, const char *data, ssize_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, (size_t)size, MSG_NOSIGNAL);

        if (sent <= 0)
            return; /* the next recv() says so, too */
        data += sent;
        size -= sent;
    }
}

static void hang_up(nfds_t first)
{
    close(self.fds[first].fd);
    close(self.fds[first + 1].fd);
    self.count -= 2;
    self.fds[first] = self.fds[self.count];
    self.fds[first + 1] = self.fds[self.count + 1];
}

static void take(void)
{
    int from = accept(self.listener, NULL, NULL);
    int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    self.taken++;
    if (self.count + 2 > 2 + 2 * LINKS ||
        connect(to, (struct sockaddr *)&self.to, sizeof self.to) < 0) {
        close(from);
        close(to);
        return;
    }
    self.fds[self.count++] = (struct pollfd){ .fd = from, .events = POLLIN };
    self.fds[self.count++] = (struct pollfd){ .fd = to, .events = POLLIN };
}

/* Puts the path that our etcd has in the place of the old one.  Returns the new
 * size, -1 if an old etcd would not have known it. */
static ssize_t translate(char *data, ssize_t size)
{
    size_t length = strlen(self.api);

    if (size < 20 || strncmp(data, "POST ", 5) != 0)
        return size;
    if (strncmp(data + 5, self.api, length) != 0 || data[5 + length] != '/')
        return -1;
    memcpy(data + 5, "/v3", 3);
    memmove(data + 8, data + 5 + length, (size_t)size - 5 - length);
    return size - (ssize_t)length + 3;
}

/* Whether the connection goes on. */
static bool pass(nfds_t i, nfds_t first)
{
    static const char unknown[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nNot Found";
    static char data[1 << 16];
    ssize_t size = recv(self.fds[i].fd, data, sizeof data, 0);

    if (size <= 0)
        return false;
    if (self.api && i == first)
        size = translate(data, size);
    if (size < 0)
        send_all(self.fds[first].fd, unknown, sizeof unknown - 1);
    else
        send_all(self.fds[i == first ? first + 1 : first].fd, data, size);
    return true;
}

static void obey(void)
{
    char order;

    if (read(self.control, &order, 1) != 1)
        _exit(0);
    if (order == 'f' || order == 't')
        self.frozen = order == 'f';
    while (order == 'c' && self.count > 2)
        hang_up(self.count - 2);
    if (write(self.control, &self.taken, sizeof self.taken) != sizeof self.taken)
        _exit(1);
}

static void serve(void)
{
    self.fds[0] = (struct pollfd){ .fd = self.control, .events = POLLIN };
    self.fds[1] = (struct pollfd){ .fd = self.listener, .events = POLLIN };
    self.count = 2;
    for (;;) {
        poll(self.fds, self.frozen ? 1 : self.count, -1);
        if (self.fds[0].revents) {
            obey();
            continue;
        }
        if (self.frozen)
            continue;
        for (nfds_t i = 2; i < self.count; i++) {
            nfds_t first = i & ~(nfds_t)1;

            if (self.fds[i].revents && !pass(i, first)) {
                hang_up(first);
                i = first - 1;
            }
        }
        if (self.fds[1].revents)
            take();
    }
}

void proxy_start(struct proxy *proxy, const char *to_url, const char *api)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof address;
    int ends[2];

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    self.to = address;
    self.to.sin_port = htons((uint16_t)atoi(strrchr(to_url, ':') + 1));
    self.api = api;
    self.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(self.listener, (struct sockaddr *)&address, length) == 0 &&
              listen(self.listener, 100) == 0 &&
              getsockname(self.listener, (struct sockaddr *)&address, &length) == 0 &&
              socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    snprintf(proxy->url, sizeof proxy->url, "%.*s:%d", (int)(strrchr(to_url, ':') - to_url), to_url,
             ntohs(address.sin_port));
    self.control = ends[1];
    proxy->control = ends[0];
    proxy->pid = fork();
    cr_assert(proxy->pid >= 0);
    if (proxy->pid == 0) {
        /* It must not outlive the test, even if workers of that hold the other
         * end of control; nor may it hold what others wait for the end of. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        self.listener = dup2(self.listener, 0);
        self.control = dup2(self.control, 1);
        closefrom(3);
        serve();
    }
    close(ends[1]);
    close(self.listener);
}

static int order(struct proxy *proxy, char what)
{
    int taken = 0;

    cr_assert(write(proxy->control, &what, 1) == 1 &&
              read(proxy->control, &taken, sizeof taken) == sizeof taken);
    return taken;
}

void proxy_cut(struct proxy *proxy)
{
    order(proxy, 'c');
}

int proxy_count(struct proxy *proxy)
{
    return order(proxy, '?');
}

void proxy_freeze(struct proxy *proxy)
{
    order(proxy, 'f');
}

void proxy_thaw(struct proxy *proxy)
{
    order(proxy, 't');
}

void proxy_end(struct proxy *proxy)
{
    close(proxy->control);
    kill(proxy->pid, SIGKILL);
    waitpid(proxy->pid, NULL, 0);
}
