/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How many addresses an answer may have on which host.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../../nss/watcher/localnet.h"

#define MANY TABLE_DEFAULT_ANSWERS

static uint8_t parse(const char *text, uint8_t address[16])
{
    uint8_t family = strchr(text, ':') != NULL ? 6 : 4;

    memset(address, 0, 16);
    cr_assert_eq(inet_pton(family == 6 ? AF_INET6 : AF_INET, text, address), 1, "%s", text);
    return family;
}

/* prefixes: "10.0.0.1/24 fe80::1/64". */
static struct localnet host(const char *prefixes)
{
    struct localnet net = { 0 };
    char *copy = strdup(prefixes), *rest = copy, *word;

    while ((word = strsep(&rest, " ")) != NULL) {
        uint8_t address[16];
        char *slash = strchr(word, '/');

        if (slash == NULL)
            continue;
        *slash = '\0';
        uint8_t family = parse(word, address);
        localnet_add(&net, family, address, (uint8_t)atoi(slash + 1));
    }
    free(copy);
    localnet_seal(&net);
    return net;
}

static void expect(const char *prefixes, const char *addresses, int limit4, int limit6,
                   int limit_any)
{
    struct localnet net = host(prefixes);
    struct table_instance instances[32] = { 0 };
    char *copy = strdup(addresses), *rest = copy, *word;
    uint32_t count = 0;

    while ((word = strsep(&rest, " ")) != NULL) {
        instances[count].family = parse(word, instances[count].address);
        count++;
    }
    free(copy);
    struct localnet_limits limits = localnet_limits(&net, instances, count);
    cr_expect_eq(limits.limit4, limit4, "[%s] on [%s]: IPv4 %d", addresses, prefixes,
                 limits.limit4);
    cr_expect_eq(limits.limit6, limit6, "[%s] on [%s]: IPv6 %d", addresses, prefixes,
                 limits.limit6);
    cr_expect_eq(limits.limit_any, limit_any, "[%s] on [%s]: any %d", addresses, prefixes,
                 limits.limit_any);
}

static const char four_only[] = "127.0.0.1/8 10.0.0.1/24";
static const char link_local6[] = "127.0.0.1/8 ::1/128 10.0.0.1/24 fe80::1/64";
static const char both[] = "10.0.0.1/24 2001:db8:1::1/64 fe80::1/64";
static const char six_only[] = "2001:db8:1::1/64 fe80::1/64";

Test(localnet, one_address_is_not_sorted)
{
    expect(both, "10.0.0.5", MANY, MANY, MANY);
    expect(both, "2001:db8:1::5", MANY, MANY, MANY);
}

Test(localnet, ipv4_in_the_subnet_is_sorted_if_the_host_has_any_ipv6)
{
    expect(link_local6, "10.0.0.5 10.0.0.6", 1, MANY, 1);
    expect(both, "10.0.0.5 10.0.0.6", 1, MANY, 1);
    expect(four_only, "10.0.0.5 10.0.0.6", MANY, MANY, MANY);
}

Test(localnet, ipv4_inside_goes_before_ipv4_outside)
{
    expect(link_local6, "10.0.0.5 10.9.0.6", 1, MANY, 1);
}

Test(localnet, ipv4_outside_is_not_sorted)
{
    expect(link_local6, "10.0.1.5 10.0.2.6", MANY, MANY, MANY);
}

Test(localnet, own_address_goes_first_even_without_ipv6)
{
    expect(four_only, "10.0.0.1 10.9.0.6", 1, MANY, 1);
}

Test(localnet, loopback_addresses_are_for_trials)
{
    expect(both, "127.0.0.1 127.0.0.2 127.0.0.3", MANY, MANY, MANY);
    expect(link_local6, "127.0.0.2 127.0.0.3", MANY, MANY, MANY);
}

Test(localnet, every_subnet_of_the_host_counts)
{
    expect("10.0.0.1/24 172.16.9.1/12 fe80::1/64", "172.17.0.1 172.18.0.1", 1, MANY, 1);
    expect("10.0.0.1/32 fe80::1/64", "10.0.0.2 10.0.0.3", MANY, MANY, MANY);
    expect("10.0.0.1/31 fe80::1/64", "10.0.0.0 10.0.1.3", 1, MANY, 1);
}

Test(localnet, ipv6_on_link_is_sorted)
{
    expect(six_only, "2001:db8:1::5 2001:db8:1::6", MANY, 1, 1);
    expect(both, "2001:db8:1::5 2001:db8:9::6", MANY, 1, 1);
}

Test(localnet, ipv6_off_link_is_sorted_by_what_it_has_in_common_with_the_source)
{
    expect(six_only, "2001:db8:2::5 2001:db8:3::6", MANY, MANY, MANY); /* 46 bits both */
    expect(six_only, "2001:db8:2::5 2001:db8:4::6", MANY, 1, 1);       /* 46 and 45 */
}

Test(localnet, ipv6_that_is_out_of_reach_is_not_sorted)
{
    expect(link_local6, "2001:db8:2::5 2001:db8:4::6", MANY, MANY, MANY);
    expect(four_only, "2001:db8:2::5 2001:db8:4::6", MANY, MANY, MANY);
}

Test(localnet, both_families_are_sorted_where_both_are_in_reach)
{
    expect(both, "10.9.0.5 2001:db8:9::5", MANY, MANY, 1);
}

/* Every run of the answer has to hold an address in reach. */
Test(localnet, answer_of_both_families_holds_one_that_is_in_reach)
{
    expect(four_only, "10.9.0.5 2001:db8:9::5 2001:db8:9::6", MANY, MANY, MANY + 2);
    expect(link_local6, "10.0.0.5 10.0.0.6 2001:db8:9::5 2001:db8:9::6", 1, MANY, 3);
    expect(six_only, "10.9.0.5 2001:db8:1::6 2001:db8:1::7", MANY, 1, 2);
}

Test(localnet, host_without_addresses_keeps_the_default)
{
    expect("", "10.9.0.5 10.9.0.6 2001:db8:9::5", MANY, MANY, MANY);
    expect("127.0.0.1/8 ::1/128", "10.9.0.5 10.9.0.6 2001:db8:9::5", MANY, MANY, MANY);
}

Test(localnet, limit_is_at_most_255)
{
    struct localnet net = host(four_only);
    static struct table_instance instances[1000];

    for (uint32_t i = 0; i < 1000; i++) {
        instances[i].family = i == 0 ? 4 : 6;
        instances[i].address[0] = 0x20;
        instances[i].address[15] = (uint8_t)i;
    }
    cr_expect_eq(localnet_limits(&net, instances, 1000).limit_any, 255);
}

Test(localnet, order_and_doubles_do_not_matter)
{
    struct localnet a = host("10.0.0.1/24 fe80::1/64 10.0.0.1/24"),
                    b = host("fe80::1/64 10.0.0.1/24");
    struct localnet c = host("fe80::1/64 10.0.0.1/25");

    cr_expect(localnet_is_same(&a, &b));
    cr_expect_not(localnet_is_same(&a, &c));
}

Test(localnet, prefixes_beyond_the_room_are_left_out)
{
    struct localnet net = { 0 };

    for (int i = 0; i < 2 * LOCALNET_MAX; i++) {
        uint8_t address[16] = { 10, (uint8_t)(i >> 8), (uint8_t)i, 1 };
        localnet_add(&net, 4, address, 24);
    }
    cr_expect_eq(net.count, LOCALNET_MAX);
}

Test(localnet, addresses_of_this_host_can_be_read)
{
    struct localnet a, b;

    cr_assert_eq(localnet_read(&a), 0);
    cr_assert_eq(localnet_read(&b), 0);
    cr_expect(localnet_is_same(&a, &b));
}
