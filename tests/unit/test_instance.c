/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What libsd_instance_parse() makes of values, and what it refuses.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <libsd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static libsd_instance instance;
static char why[200];

static int parse_as(const char *format, const char *value)
{
    return libsd_instance_parse(format, libsd_str(value), &instance, sizeof instance, why,
                                sizeof why);
}

static int parse(const char *value)
{
    return parse_as(NULL, value);
}

static bool is(int family, const char *host, unsigned port)
{
    return instance.family == family && strcmp(instance.host, host) == 0 && instance.port == port;
}

#define READS(value, ...)                                                           \
    cr_expect(parse(value) == 0 && is(__VA_ARGS__), "%s: %s: %d %s %d", value, why, \
              instance.family, instance.host, instance.port)

Test(instance, plain_addresses_are_read)
{
    READS("10.0.0.5:9090", 4, "10.0.0.5", 9090);
    READS("10.0.0.5", 4, "10.0.0.5", 0);
    READS(" 10.0.0.5:9090\n", 4, "10.0.0.5", 9090);
    READS("[2001:db8::1]:80", 6, "2001:db8::1", 80);
    READS("[2001:DB8:0::1]", 6, "2001:db8::1", 0);
    READS("2001:db8::1", 6, "2001:db8::1", 0);
    READS("::", 6, "::", 0);
    READS("db.example.com:5432", 0, "db.example.com", 5432);
    READS("db_1:5432", 0, "db_1", 5432);
    READS("localhost.:1", 0, "localhost.", 1);
    READS("http://10.0.0.5:80/path?q#f", 4, "10.0.0.5", 80);
    READS("grpc+tls://[::1]:443", 6, "::1", 443);
    READS("tcp://10.0.0.5:1?weight=10", 4, "10.0.0.5", 1);
    READS("http://10.0.0.5", 4, "10.0.0.5", 0);
    READS("255.255.255.255:65535", 4, "255.255.255.255", 65535);
}

Test(instance, address_is_in_network_order)
{
    struct in_addr four;

    cr_assert_eq(parse("1.2.3.4:5"), 0);
    inet_pton(AF_INET, "1.2.3.4", &four);
    cr_assert_arr_eq(instance.address, &four, 4);
    cr_assert_eq(instance.weight, 0);
    cr_assert_eq(instance.priority, 0);
}

#define REFUSES(value)                                                                    \
    cr_expect(parse(value) == LIBSD_EINVAL && why[0], "'%s' was read as %d %s %d", value, \
              instance.family, instance.host, instance.port)

Test(instance, junk_is_refused_with_a_reason)
{
    REFUSES("");
    REFUSES("  \n");
    REFUSES("999.1.1.1");
    REFUSES("999.1.1.1:80");
    REFUSES("1.2.3:80");
    REFUSES("1.2.3.4.5:80");
    REFUSES("01.2.3.4:80");
    REFUSES("10.0.0.5:");
    REFUSES("10.0.0.5:0");
    REFUSES("10.0.0.5:65536");
    REFUSES("10.0.0.5:99999999999999999999");
    REFUSES("10.0.0.5:-1");
    REFUSES("10.0.0.5: 80");
    REFUSES("10.0.0.5:80x");
    REFUSES("10.0.0.5:80,10.0.0.6:80");
    REFUSES(":80");
    REFUSES("[]:80");
    REFUSES("[::1");
    REFUSES("[::1]80");
    REFUSES("[10.0.0.5]:80");
    REFUSES("[fe80::1%eth0]:80");
    REFUSES("fe80::1%eth0");
    REFUSES("1:2:3");
    REFUSES("hello");
    REFUSES("hello world:80");
    REFUSES("-:80 ;");
    REFUSES("a..b:80");
    REFUSES(".:80");
    REFUSES("://10.0.0.5:80");
    REFUSES("1x://10.0.0.5:80");
    REFUSES("http://");
    REFUSES("http:///path");
    REFUSES("\xff\xfe:80");
}

Test(instance, bytes_and_lengths_are_bounded)
{
    static char value[100000];
    const char nul[] = "10.0.0.5\0:80";

    cr_assert_eq(libsd_instance_parse(NULL, libsd_bytes(nul, sizeof nul - 1), &instance,
                                      sizeof instance, NULL, 0),
                 LIBSD_EINVAL);
    memset(value, 'a', sizeof value);
    for (size_t size = 250; size < 260; size++)
        cr_assert_eq(libsd_instance_parse(NULL, libsd_bytes(value, size), &instance,
                                          sizeof instance, why, sizeof why),
                     LIBSD_EINVAL);
    cr_assert_eq(libsd_instance_parse(NULL, libsd_bytes(value, sizeof value), &instance,
                                      sizeof instance, why, sizeof why),
                 LIBSD_EINVAL);
    cr_assert_eq(libsd_instance_parse(NULL, libsd_bytes(NULL, 0), &instance, sizeof instance, why,
                                      sizeof why),
                 LIBSD_EINVAL);
    cr_assert_eq(libsd_instance_parse(NULL, libsd_str("1.2.3.4"), &instance, 4, why, sizeof why),
                 LIBSD_EINVAL);
}

Test(instance, longest_name_fits)
{
    char value[300] = "";

    for (int i = 0; i < 3; i++)
        strcat(value, "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg.");
    strcat(value, "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg:80");
    cr_assert_eq(parse(value), 0, "%s", why);
    cr_assert_eq(strlen(instance.host), 253);
    memmove(value + 1, value, strlen(value) + 1);
    cr_assert_eq(parse(value), LIBSD_EINVAL);
}

Test(instance, json_of_all_kinds_is_read)
{
    READS("{\"addr\":\"10.0.0.5:9090\",\"weight\":10}", 4, "10.0.0.5", 9090);
    cr_expect_eq(instance.weight, 10);
    READS("{\"Op\":0,\"Addr\":\"1.2.3.4:8080\",\"Metadata\":null}", 4, "1.2.3.4", 8080);
    READS("{\"Op\":0,\"Addr\":\"1.2.3.4:8080\",\"Metadata\":{\"a\":[1,{\"b\":\"}\"}]}}", 4,
          "1.2.3.4", 8080);
    READS("{\"network\":\"tcp\",\"address\":\"10.0.0.1:8888\",\"weight\":10,\"tags\":null}", 4,
          "10.0.0.1", 8888);
    READS("{\"host\":\"10.1.1.1\",\"port\":8080,\"priority\":20,\"weight\":\"30\",\"ttl\":60}", 4,
          "10.1.1.1", 8080);
    cr_expect_eq(instance.priority, 20);
    cr_expect_eq(instance.weight, 30);
    READS("{\"host\":\"::1\",\"port\":\"80\"}", 6, "::1", 80);
    READS("{\"host\":\"db.example.com\"}", 0, "db.example.com", 0);
    READS("{\"host\":\"10.1.1.1\",\"port\":0}", 4, "10.1.1.1", 0);
    READS("{\"addr\":\"10.0.0.5:1\",\"port\":2}", 4, "10.0.0.5", 1);
    READS("\t{ \"addr\" : \"\\u0031\\u0030.0.0.5:1\" }\n", 4, "10.0.0.5", 1);
    READS("{\"addr\":\"tcp://10.0.0.5:1\"}", 4, "10.0.0.5", 1);
    READS("{\"addr\":null,\"host\":\"10.0.0.5\"}", 4, "10.0.0.5", 0);
    READS("{\"addr\":\"10.0.0.5:1\",\"weight\":1e9}", 4, "10.0.0.5", 1);
    cr_expect_eq(instance.weight, 65535);
}

Test(instance, bad_json_is_refused_with_its_place)
{
    REFUSES("{");
    REFUSES("{}");
    REFUSES("{\"addr\":\"10.0.0.5:1\"");
    REFUSES("{\"addr\":\"10.0.0.5:1\"}x");
    REFUSES("{\"addr\":\"10.0.0.5:1\",}");
    REFUSES("{\"addr\":\"\"}");
    REFUSES("{\"addr\":5}");
    REFUSES("{\"addr\":\"999.1.1.1:1\"}");
    REFUSES("{\"addr\":\"10.0.0.5:70000\"}");
    REFUSES("{\"host\":\"10.0.0.5\",\"port\":70000}");
    REFUSES("{\"host\":\"10.0.0.5\",\"port\":-1}");
    REFUSES("{\"host\":\"10.0.0.5\",\"port\":\"x\"}");
    REFUSES("{\"host\":\"10.0.0.5\",\"port\":[]}");
    REFUSES("{\"addr\":\"10.0.0.5:1\",\"weight\":-5}");
    REFUSES("{\"addr\":\"10.0.0.5:1\",\"weight\":true}");
    REFUSES("{\"addr\":\"10.0.0.5:1\",\"x\":\"\\q\"}");
    REFUSES("{\"addr\":\"a\\u0000b:1\"}");
    REFUSES("{\"addr");
    cr_assert_eq(parse("{\"addr\":}"), LIBSD_EINVAL);
    cr_assert(strstr(why, "byte 8") != NULL, "%s", why);
}

Test(instance, depth_is_bounded)
{
    static char value[60000];

    strcpy(value, "{\"x\":");
    memset(value + 5, '[', sizeof value - 6);
    cr_assert_eq(parse(value), LIBSD_EINVAL);
    cr_assert(strstr(why, "deep") != NULL, "%s", why);
}

Test(instance, format_can_be_pinned)
{
    cr_expect_eq(parse_as("json", "10.0.0.5:1"), LIBSD_EINVAL);
    cr_expect_eq(parse_as("plain", "{\"addr\":\"10.0.0.5:1\"}"), LIBSD_EINVAL);
    cr_expect_eq(parse_as("auto", "10.0.0.5:1"), 0);
    cr_expect_eq(parse_as("plain", "10.0.0.5:1"), 0);
    cr_expect_eq(parse_as("xml", "10.0.0.5:1"), LIBSD_EINVAL);
}

/* ---- what others write -------------------------------------------------- */

/* Values as the programs named write them: tests/fixtures/values/NAME. */
static const struct {
    const char *name;
    const char *format;
    int family; /* -1: refused */
    const char *host;
    unsigned port, weight, priority;
} written[] = {
    { "libsd-plain", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "libsd-json", NULL, 4, "10.0.0.5", 9090, 10, 0 },
    { "etcdctl-plain", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "registrator", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "go-zero", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "go-kit", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "dubbo", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "etcd-naming", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "etcd-naming-without-op", NULL, 4, "10.0.0.5", 0, 0, 0 },
    { "etcd-naming-metadata", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "etcd-naming-delete", NULL, -1, "", 0, 0, 0 },
    { "skydns", NULL, 4, "10.0.0.5", 9090, 100, 10 },
    { "skydns-name", NULL, 0, "server1.example.com", 9090, 0, 20 },
    { "coredns-v6", NULL, 6, "2001:db8::5", 0, 0, 0 },
    { "registrator-skydns2", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "kitex", NULL, 4, "10.0.0.5", 9090, 10, 0 },
    { "curator", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "kratos", NULL, 4, "10.0.0.5", 9090, 0, 0 },
    { "kratos", "json:grpc", 4, "10.0.0.5", 9090, 0, 0 },
    { "kratos", "auto:HTTP", 4, "10.0.0.5", 8000, 0, 0 },
    { "kratos", "json:https", -1, "", 0, 0, 0 },
    { "kitex", "json:https", 4, "10.0.0.5", 9090, 10, 0 },
};

Test(instance, values_of_all_writers_are_read)
{
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        char path[100], value[1000];
        FILE *file;
        size_t size;
        int rc;

        snprintf(path, sizeof path, "tests/fixtures/values/%s", written[i].name);
        file = fopen(path, "r");
        cr_assert(file != NULL, "%s", path);
        size = fread(value, 1, sizeof value, file);
        fclose(file);
        rc = libsd_instance_parse(written[i].format, libsd_bytes(value, size), &instance,
                                  sizeof instance, why, sizeof why);
        if (written[i].family < 0) {
            cr_expect_eq(rc, LIBSD_EINVAL, "%s was read", written[i].name);
            continue;
        }
        cr_expect(rc == 0 && is(written[i].family, written[i].host, written[i].port) &&
                      instance.weight == written[i].weight &&
                      instance.priority == written[i].priority,
                  "%s: %s: %d %s %d", written[i].name, why, instance.family, instance.host,
                  instance.port);
    }
}

Test(instance, endpoints_are_chosen_by_scheme)
{
    READS("{\"endpoints\":[\"http://10.0.0.1:1\",\"grpc://10.0.0.2:2\"]}", 4, "10.0.0.1", 1);
    READS("{\"endpoints\":[5,null,{\"x\":[]},\"grpc://[::1]:2\"]}", 6, "::1", 2);
    READS("{\"endpoints\":[],\"addr\":\"10.0.0.1:1\"}", 4, "10.0.0.1", 1);
    READS("{\"endpoints\":null,\"addr\":\"10.0.0.1:1\"}", 4, "10.0.0.1", 1);
    READS("{\"Op\":\"x\",\"Addr\":\"10.0.0.1:1\"}", 4, "10.0.0.1", 1);
    REFUSES("{\"endpoints\":[]}");
    REFUSES("{\"endpoints\":\"http://10.0.0.1:1\"}");
    REFUSES("{\"endpoints\":[\"http://\"]}");
    REFUSES("{\"endpoints\":[\"http://10.0.0.1:1\"");
    cr_expect_eq(parse_as("json:grpc", "{\"endpoints\":[\"grpcs://1.1.1.1:1\"]}"), LIBSD_EINVAL);
    cr_expect_eq(parse_as("json:grpc", "{\"endpoints\":[\"grpc\"]}"), LIBSD_EINVAL);
    cr_expect_eq(parse_as("json:", "{\"addr\":\"10.0.0.5:1\"}"), LIBSD_EINVAL);
    cr_expect_eq(parse_as("json:a b", "{\"addr\":\"10.0.0.5:1\"}"), LIBSD_EINVAL);
}

Test(instance, reasons_are_one_printable_line)
{
    char small[8];

    cr_assert_eq(parse("a\nb\x01:80"), LIBSD_EINVAL);
    for (const char *c = why; *c; c++)
        cr_assert(*c >= ' ' && *c <= '~');
    cr_assert_eq(libsd_instance_parse(NULL, libsd_str("hello"), &instance, sizeof instance, small,
                                      sizeof small),
                 LIBSD_EINVAL);
    cr_assert_lt(strlen(small), sizeof small);
}

/* Every prefix and every changed byte of good values: bounded, whatever comes. */
Test(instance, damaged_values_do_no_harm)
{
    static const char *const values[] = {
        "[2001:db8::1]:80",
        "http://10.0.0.5:80/path",
        "{\"addr\":\"\\u00e9\\ud83d\\ude00\",\"weight\":10,\"m\":[{\"a\":null}],\"port\":\"1\"}",
    };

    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
        size_t size = strlen(values[v]);

        for (size_t cut = 0; cut <= size; cut++) {
            char *copy = malloc(cut ? cut : 1); /* exact, for the address sanitizer */

            memcpy(copy, values[v], cut);
            libsd_instance_parse(NULL, libsd_bytes(copy, cut), &instance, sizeof instance, why,
                                 sizeof why);
            for (size_t i = 0; i < cut; i++) {
                char old = copy[i];

                for (int byte = 0; byte < 256; byte++) {
                    copy[i] = (char)byte;
                    libsd_instance_parse(NULL, libsd_bytes(copy, cut), &instance, sizeof instance,
                                         why, sizeof why);
                }
                copy[i] = old;
            }
            free(copy);
        }
    }
}
