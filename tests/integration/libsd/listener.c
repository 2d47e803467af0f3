/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A port of this machine; see listener.h.
 */
#include "listener.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

void listener_open_again(struct listener *listener)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)listener->port) };
    socklen_t size = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    cr_assert(bind(listener->fd, (struct sockaddr *)&address, size) == 0 &&
              listen(listener->fd, 64) == 0 &&
              getsockname(listener->fd, (struct sockaddr *)&address, &size) == 0);
    listener->port = ntohs(address.sin_port);
    snprintf(listener->address, sizeof listener->address, "127.0.0.1:%d", listener->port);
}

void listener_open(struct listener *listener)
{
    listener->port = 0;
    listener_open_again(listener);
}

void listener_close(struct listener *listener)
{
    close(listener->fd);
}
