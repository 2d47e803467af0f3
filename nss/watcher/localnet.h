/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The host's own addresses, and what they mean for answers of several
 * addresses.
 *
 * glibc sorts what a module answers if it is more than one address
 * (sysdeps/posix/getaddrinfo.c, rfc3484_sort).  Where that sorting decides,
 * each client of the host gets the same address first for ever, whatever order
 * we chose.  It decides if (RFC 6724 section 6, as glibc does it):
 *
 *   IPv4  one of the addresses lies in a subnet of the host (rule 9; only if
 *         the host has any IPv6 address but ::1, else glibc throws the prefix
 *         lengths away: check_pf.c), or is the host's own
 *   IPv6  addresses have unequally long prefixes in common with the source
 *         address that the kernel chooses (rule 9, without regard to subnets)
 *   both  the host reaches both families (rule 6); if it reaches one, the
 *         addresses of the other go to the end (rule 1)
 *
 * One address is the only order that can't be undone; so the limit is one
 * there.  127.0.0.0/8 and ::1 are left out of all this: they are for trials on
 * one host, where balance is not what is looked for.
 */
#ifndef ETCDSD_WATCHER_LOCALNET_H
#define ETCDSD_WATCHER_LOCALNET_H

#include <stdbool.h>
#include <stdint.h>

#include "writer.h"

#define LOCALNET_MAX 256 /* prefixes; more are left out of account */

struct localnet_prefix {
    uint8_t family; /* 4 or 6 */
    uint8_t length;
    uint8_t address[16]; /* the host's own, all bits of it */
};

/* Start from zero. */
struct localnet {
    bool has_ipv6; /* any address but ::1, even link-local */
    bool reaches4; /* an address that is neither loopback nor link-local */
    bool reaches6;
    uint32_t count;
    struct localnet_prefix prefixes[LOCALNET_MAX];
};

/* Adds an address of the host; loopback addresses and doubles are skipped. */
void localnet_add(struct localnet *net, uint8_t family, const uint8_t *address, uint8_t length);

/* Puts the prefixes in a fixed order.  To be called after the last add. */
void localnet_seal(struct localnet *net);

/* Whether two that are sealed say the same. */
bool localnet_is_same(const struct localnet *a, const struct localnet *b);

struct localnet_limits {
    uint8_t limit4, limit6, limit_any;
};

/* The most addresses to answer for a service with these instances. */
struct localnet_limits localnet_limits(const struct localnet *net,
                                       const struct table_instance *instances, uint32_t count);

/* Reads the host's addresses (getifaddrs).  Returns 0 or a negative errno. */
int localnet_read(struct localnet *net);

/* A socket that polls readable when addresses come or go (rtnetlink(7)).
 * Returns it or a negative errno. */
int localnet_monitor_open(void);

/* Takes all that waits in it.  What it says does not matter, only that it
 * said something: reading the addresses anew can't miss what a full socket
 * buffer lost.  Returns whether there was anything. */
bool localnet_monitor_drain(int fd);

#endif
