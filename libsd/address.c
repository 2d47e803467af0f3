/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Addresses of instances, as text and for connect(2).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>

#include "libsd.h"

/* What instances and picked ones have in common. */
struct address {
    uint8_t family;
    uint16_t port;
    const uint8_t *bytes;
    const char *host; /* family 0 */
};

static size_t to_text(const struct address *address, char *buffer, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    const char *text = address->host;
    bool brackets = address->family == 6 && address->port;
    int length;

    if (address->family)
        text =
            inet_ntop(address->family == 4 ? AF_INET : AF_INET6, address->bytes, host, sizeof host);
    length = snprintf(buffer, buffer ? size : 0, address->port ? "%s%s%s:%u" : "%s%s%s",
                      brackets ? "[" : "", text, brackets ? "]" : "", address->port);
    return length > 0 ? (size_t)length : 0;
}

static int to_sockaddr(const struct address *address, struct sockaddr *to, size_t size)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(address->port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(address->port) };

    if (!to || (address->family != 4 && address->family != 6) ||
        size < (address->family == 4 ? sizeof v4 : sizeof v6))
        return LIBSD_EINVAL;
    if (address->family == 4) {
        memcpy(&v4.sin_addr, address->bytes, 4);
        memcpy(to, &v4, sizeof v4);
        return sizeof v4;
    }
    memcpy(&v6.sin6_addr, address->bytes, 16);
    memcpy(to, &v6, sizeof v6);
    return sizeof v6;
}

static struct address of_instance(const libsd_instance *instance)
{
    return (struct address){ instance->family, instance->port, instance->address, instance->host };
}

static struct address of_picked(const libsd_picked *picked)
{
    return (struct address){ picked->family, picked->port, picked->address, picked->host };
}

size_t libsd_instance_text(const libsd_instance *instance, char *buffer, size_t size)
{
    const struct address address = of_instance(instance);

    return to_text(&address, buffer, size);
}

size_t libsd_picked_text(const libsd_picked *picked, char *buffer, size_t size)
{
    const struct address address = of_picked(picked);

    return to_text(&address, buffer, size);
}

int libsd_instance_sockaddr(const libsd_instance *instance, struct sockaddr *to, size_t size)
{
    const struct address address = of_instance(instance);

    return to_sockaddr(&address, to, size);
}

int libsd_picked_sockaddr(const libsd_picked *picked, struct sockaddr *to, size_t size)
{
    const struct address address = of_picked(picked);

    return to_sockaddr(&address, to, size);
}
