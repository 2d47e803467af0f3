/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See ports.h.
 */
#include "ports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALL_PORTS = 65536
};

/* What is never used of both is never given a page by the kernel. */
int ports_init(struct ports *ports, uint32_t slots)
{
    ports->first = calloc(ALL_PORTS, sizeof *ports->first);
    ports->links = malloc(slots * sizeof *ports->links);
    return ports->first != NULL && ports->links != NULL ? 0 : -ENOMEM;
}

void ports_free(struct ports *ports)
{
    free(ports->first);
    free(ports->links);
    memset(ports, 0, sizeof *ports);
}

uint32_t ports_first(const struct ports *ports, uint32_t port)
{
    return ports->first[port] - 1;
}

void ports_join(struct ports *ports, uint32_t port, uint32_t service)
{
    struct port_link *links = ports->links;
    uint32_t first = ports_first(ports, port);

    if (first == PORTS_NONE) {
        links[service] = (struct port_link){ service, service };
        ports->first[port] = service + 1;
        return;
    }
    links[service] = (struct port_link){ .previous = first, .next = links[first].next };
    links[links[first].next].previous = service;
    links[first].next = service;
}

void ports_leave(struct ports *ports, uint32_t port, uint32_t service)
{
    struct port_link *links = ports->links, link = links[service];

    if (ports_first(ports, port) == service)
        ports->first[port] = link.next == service ? 0 : link.next + 1;
    links[link.previous].next = link.next;
    links[link.next].previous = link.previous;
}

void ports_promote(struct ports *ports, uint32_t port, uint32_t service)
{
    ports->first[port] = service + 1;
}
