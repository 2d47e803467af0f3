/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lists of networks: what they hold, bit for bit, and what is no list.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "../../nss/watcher/networks.h"

static struct networks networks;
static char why[400];

static void parse(const char *text)
{
    cr_assert_eq(networks_parse(&networks, text, why, sizeof why), 0, "%s: %s", text, why);
}

static bool have(const char *text)
{
    uint8_t family = strchr(text, ':') != NULL ? 6 : 4, address[16];

    cr_assert_eq(inet_pton(family == 4 ? AF_INET : AF_INET6, text, address), 1);
    return networks_have(&networks, family, address);
}

static void teardown(void)
{
    networks_free(&networks);
}

TestSuite(networks, .fini = teardown);

Test(networks, no_list_has_every_address)
{
    cr_expect(have("192.0.2.1") && have("2001:db8::1"));
    parse("10.0.0.0/8");
    cr_expect_not(have("192.0.2.1"));
    parse("any");
    cr_expect(have("192.0.2.1") && have("2001:db8::1"));
}

Test(networks, lengths_count_bits)
{
    parse("10.16.0.0/12, 192.0.2.128/25\t198.51.100.7");
    cr_expect(have("10.16.0.0") && have("10.31.255.255"));
    cr_expect_not(have("10.15.255.255") || have("10.32.0.0"));
    cr_expect(have("192.0.2.128") && !have("192.0.2.127"));
    cr_expect(have("198.51.100.7") && !have("198.51.100.6"));
    cr_expect_not(have("2001:db8::1"));
}

Test(networks, families_are_apart)
{
    parse("0.0.0.0/0");
    cr_expect(have("203.0.113.9") && !have("2001:db8::1"));
    parse("2001:db8::/33");
    cr_expect(have("2001:db8:7fff::1") && !have("2001:db8:8000::1") && !have("32.1.13.184"));
}

Test(networks, mapped_address_is_the_one_it_maps)
{
    parse("10.0.0.0/8");
    cr_expect(have("::ffff:10.0.0.1") && !have("::ffff:11.0.0.1"));
}

Test(networks, what_is_no_network_is_named)
{
    static const char *const wrong[] = { "10.0.0.0/33",   "10.0.0/8",    "::/129",
                                         "10.0.0.0/",     "10.0.0.0/-1", "10.0.0.0/x",
                                         "fe80::%1",      "10.0.0.5/8",  "2001:db8::1/32",
                                         "10.0.0.0/0008", "host" };

    parse("10.0.0.0/8");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_eq(networks_parse(&networks, wrong[i], why, sizeof why), -EINVAL, "%s", wrong[i]);
        cr_expect_not_null(strstr(why, wrong[i]), "%s", why);
    }
    cr_expect_eq(networks_parse(&networks,
                                "2001:0db8:0000:0000:0000:0000:0000:0000/"
                                "000000000000000000000000",
                                why, sizeof why),
                 -EINVAL, "64 bytes");
    cr_expect_eq(networks_parse(&networks, " , ", why, sizeof why), -EINVAL);
    cr_expect_eq(networks_parse(&networks, "", why, sizeof why), -EINVAL);
    cr_expect(have("10.1.1.1") && !have("11.1.1.1"), "the list is as it was");
}

Test(networks, list_has_a_limit)
{
    static char text[(NETWORKS_MAX + 1) * 4 + 1];

    for (int i = 0; i < NETWORKS_MAX; i++)
        strcat(text, "::1 ");
    parse(text);
    strcat(text, "::1");
    cr_expect_eq(networks_parse(&networks, text, why, sizeof why), -EINVAL);
}
