/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A list of networks, as "10.0.0.0/8, 2001:db8::/32" writes it, and whether an
 * address lies in one of them.
 */
#ifndef ETCDSD_WATCHER_NETWORKS_H
#define ETCDSD_WATCHER_NETWORKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An IPv4 network is that of the mapped addresses (RFC 4291 section
 * 2.5.5.2), so that ::ffff:10.0.0.1 is what 10.0.0.1 is. */
struct network {
    uint8_t address[16];
    uint8_t length; /* bits, of 128 */
};

/* Start from zero, which is no list: every address is in it. */
struct networks {
    struct network *list;
    size_t count;
};

#define NETWORKS_MAX 256

/* Reads networks, or addresses alone, separated by commas or blanks; "any" is
 * no list.  why, why_size: receives one line on -EINVAL.  Returns 0, -EINVAL or
 * -ENOMEM: networks is as it was. */
int networks_parse(struct networks *networks, const char *text, char *why, size_t why_size);

/* family: 4 or 6. */
bool networks_have(const struct networks *networks, uint8_t family, const uint8_t *address);

bool networks_are_same(const struct networks *a, const struct networks *b);

/* Returns 0 or -ENOMEM. */
int networks_copy(struct networks *to, const struct networks *from);

void networks_free(struct networks *networks);

#endif
