/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Services by the port that their instances share: the writer's private
 * memory.  Thousands of services may have one port, and a service has one at
 * most, so a ring through all that have it needs two numbers for each slot in
 * names and nothing else.  The `keys` index names the first.
 *
 *   first[port] ──▶ slot ⇄ slot ⇄ slot ⇄ (round)
 */
#ifndef ETCDSD_TABLE_PORTS_H
#define ETCDSD_TABLE_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#define PORTS_NONE UINT32_MAX

struct port_link {
    uint32_t previous, next; /* slots in names */
};

/* Zero-initialised. */
struct ports {
    uint32_t *first; /* by port: slot in names + 1; 0: nobody has it */
    struct port_link *links;
};

/* slots: in names.  Returns 0 or -ENOMEM; ports_free() must follow in each
 * case. */
int ports_init(struct ports *ports, uint32_t slots);
void ports_free(struct ports *ports);

/* Whoever is first for a port, or PORTS_NONE. */
uint32_t ports_first(const struct ports *ports, uint32_t port);

/* A service that has no port yet has this one.  It is not the first unless it
 * is alone. */
void ports_join(struct ports *ports, uint32_t port, uint32_t service);

/* The service, which has the port, loses it; another is the first if it was. */
void ports_leave(struct ports *ports, uint32_t port, uint32_t service);

/* The service, which has the port, becomes the first. */
void ports_promote(struct ports *ports, uint32_t port, uint32_t service);

/* That link will be changed soon. */
static inline void ports_prefetch(const struct ports *ports, uint32_t service)
{
    __builtin_prefetch(&ports->links[service], 1);
}

#endif
