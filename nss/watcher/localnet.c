/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How many addresses an answer may have: pure functions of the host's
 * prefixes and a service's addresses.  The reasons are in localnet.h.
 */
#include "localnet.h"

#include <stdlib.h>
#include <string.h>

static bool is_loopback(uint8_t family, const uint8_t *address)
{
    static const uint8_t loopback6[16] = { [15] = 1 };

    return family == 4 ? address[0] == 127 : memcmp(address, loopback6, 16) == 0;
}

static bool is_link_local(uint8_t family, const uint8_t *address)
{
    return family == 4 ? address[0] == 169 && address[1] == 254
                       : address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

/* Leading bits in common. */
static uint8_t common_bits(uint8_t family, const uint8_t *a, const uint8_t *b)
{
    uint8_t size = family == 4 ? 4 : 16, i = 0;

    while (i < size && a[i] == b[i])
        i++;
    if (i == size)
        return (uint8_t)(8 * size);
    return (uint8_t)(8 * i + __builtin_clz((unsigned)(a[i] ^ b[i])) - 24);
}

void localnet_add(struct localnet *net, uint8_t family, const uint8_t *address, uint8_t length)
{
    struct localnet_prefix prefix = { .family = family, .length = length };

    if (is_loopback(family, address))
        return;
    if (family == 6)
        net->has_ipv6 = true;
    if (!is_link_local(family, address)) {
        net->reaches4 = net->reaches4 || family == 4;
        net->reaches6 = net->reaches6 || family == 6;
    }
    memcpy(prefix.address, address, family == 4 ? 4 : 16);
    for (uint32_t i = 0; i < net->count; i++)
        if (memcmp(&net->prefixes[i], &prefix, sizeof prefix) == 0)
            return;
    if (net->count < LOCALNET_MAX)
        net->prefixes[net->count++] = prefix;
}

static int prefix_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct localnet_prefix));
}

void localnet_seal(struct localnet *net)
{
    qsort(net->prefixes, net->count, sizeof net->prefixes[0], prefix_compare);
}

bool localnet_is_same(const struct localnet *a, const struct localnet *b)
{
    return a->has_ipv6 == b->has_ipv6 && a->reaches4 == b->reaches4 && a->reaches6 == b->reaches6 &&
           a->count == b->count &&
           memcmp(a->prefixes, b->prefixes, a->count * sizeof a->prefixes[0]) == 0;
}

/* Whether the host has the address itself, or a subnet that it lies in. */
static bool is_near(const struct localnet *net, uint8_t family, const uint8_t *address)
{
    for (uint32_t i = 0; i < net->count; i++) {
        const struct localnet_prefix *prefix = &net->prefixes[i];
        uint8_t common, needed = prefix->length;

        if (prefix->family != family)
            continue;
        /* check_pf.c: without IPv6 glibc knows no lengths, but still puts the
         * host's own address first, as 32 bits in common with its source. */
        if (needed == 0 || (family == 4 && !net->has_ipv6))
            needed = family == 4 ? 32 : 128;
        common = common_bits(family, prefix->address, address);
        if (common >= needed)
            return true;
    }
    return false;
}

static bool any_is_near(const struct localnet *net, uint8_t family,
                        const struct table_instance *instances, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (instances[i].family == family && !is_loopback(family, instances[i].address) &&
            is_near(net, family, instances[i].address))
            return true;
    return false;
}

/* Whether rule 9 tells IPv6 addresses apart for one source address. */
static bool is_sorted_by_source(const uint8_t *source, const struct table_instance *instances,
                                uint32_t count)
{
    const uint8_t *first = NULL;
    uint8_t bits = 0;

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *address = instances[i].address;

        if (instances[i].family != 6 || is_loopback(6, address))
            continue;
        if (first == NULL)
            bits = common_bits(6, source, address);
        else if (common_bits(6, source, address) != bits)
            return true;
        first = address;
    }
    return false;
}

static bool is_sorted6(const struct localnet *net, const struct table_instance *instances,
                       uint32_t count)
{
    for (uint32_t i = 0; i < net->count; i++) {
        const struct localnet_prefix *prefix = &net->prefixes[i];

        if (prefix->family == 6 && !is_link_local(6, prefix->address) &&
            is_sorted_by_source(prefix->address, instances, count))
            return true;
    }
    return any_is_near(net, 6, instances, count);
}

/* Enough that an answer which is any run of the addresses in a circle holds
 * one that the host reaches. */
static uint8_t limit_past(uint8_t limit, uint32_t unreachable)
{
    return unreachable >= 255u - limit ? 255 : (uint8_t)(limit + unreachable);
}

struct localnet_limits localnet_limits(const struct localnet *net,
                                       const struct table_instance *instances, uint32_t count)
{
    const uint8_t several = TABLE_DEFAULT_ANSWERS;
    struct localnet_limits limits = { several, several, several };
    uint32_t count4 = 0, count6;

    for (uint32_t i = 0; i < count; i++)
        count4 += instances[i].family == 4;
    count6 = count - count4;
    if (count4 > 1 && any_is_near(net, 4, instances, count))
        limits.limit4 = 1;
    if (count6 > 1 && is_sorted6(net, instances, count))
        limits.limit6 = 1;
    if (count6 == 0)
        limits.limit_any = limits.limit4;
    else if (count4 == 0)
        limits.limit_any = limits.limit6;
    else if (net->reaches4 && net->reaches6)
        limits.limit_any = 1;
    else if (net->reaches4)
        limits.limit_any = limit_past(limits.limit4, count6);
    else if (net->reaches6)
        limits.limit_any = limit_past(limits.limit6, count4);
    return limits;
}
