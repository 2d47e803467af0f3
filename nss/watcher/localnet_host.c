/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The host's addresses as the kernel tells them: getifaddrs(3) for all of
 * them, rtnetlink(7) for the news that they changed.
 */
#include "localnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint8_t mask_length(const uint8_t *mask, size_t size)
{
    uint8_t length = 0;

    for (size_t i = 0; i < size; i++)
        length = (uint8_t)(length + __builtin_popcount(mask[i]));
    return length;
}

static void add_interface(struct localnet *net, const struct ifaddrs *interface)
{
    if (interface->ifa_addr == NULL || interface->ifa_netmask == NULL ||
        !(interface->ifa_flags & IFF_UP))
        return;
    if (interface->ifa_addr->sa_family == AF_INET) {
        struct sockaddr_in address, mask;

        memcpy(&address, interface->ifa_addr, sizeof address);
        memcpy(&mask, interface->ifa_netmask, sizeof mask);
        localnet_add(net, 4, (const uint8_t *)&address.sin_addr,
                     mask_length((const uint8_t *)&mask.sin_addr, 4));
    } else if (interface->ifa_addr->sa_family == AF_INET6) {
        struct sockaddr_in6 address, mask;

        memcpy(&address, interface->ifa_addr, sizeof address);
        memcpy(&mask, interface->ifa_netmask, sizeof mask);
        localnet_add(net, 6, address.sin6_addr.s6_addr, mask_length(mask.sin6_addr.s6_addr, 16));
    }
}

int localnet_read(struct localnet *net)
{
    struct ifaddrs *interfaces;

    if (getifaddrs(&interfaces) < 0)
        return -errno;
    memset(net, 0, sizeof *net);
    for (const struct ifaddrs *i = interfaces; i != NULL; i = i->ifa_next)
        add_interface(net, i);
    freeifaddrs(interfaces);
    localnet_seal(net);
    return 0;
}

int localnet_monitor_open(void)
{
    struct sockaddr_nl groups = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_LINK,
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&groups, sizeof groups) < 0) {
        int error = errno;

        close(fd);
        return -error;
    }
    return fd;
}

bool localnet_monitor_drain(int fd)
{
    char message[8192];
    bool any = false;

    for (;;) {
        ssize_t size = recv(fd, message, sizeof message, MSG_DONTWAIT);

        if (size < 0 && errno != ENOBUFS && errno != EINTR)
            return any;
        any = true;
    }
}
