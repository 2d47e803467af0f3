/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The values of our own registrations: what they look like, what they may hold.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../libsd/value.h"

static const char *text_of(const char *address, uint32_t weight, uint32_t priority,
                           const char *metadata)
{
    static char text[1000];
    struct value *value = value_new(address, weight, priority, metadata);

    snprintf(text, sizeof text, "%s", value ? value->text : "none");
    value_free(value);
    return text;
}

Test(value, is_plain_until_there_is_more_to_say)
{
    cr_expect_str_eq(text_of("10.0.0.5:1", 0, 0, NULL), "10.0.0.5:1");
    cr_expect_str_eq(text_of("[::1]:1", 7, 0, NULL), "{\"addr\":\"[::1]:1\",\"weight\":7}");
    cr_expect_str_eq(text_of("a.b:1", 0, 2, NULL), "{\"addr\":\"a.b:1\",\"priority\":2}");
    cr_expect_str_eq(text_of("a.b:1", 0, 0, "{}"), "{\"addr\":\"a.b:1\",\"metadata\":{}}");
    cr_expect_str_eq(text_of("a.b:1", 1, 2, "{\"z\":[1]}"),
                     "{\"addr\":\"a.b:1\",\"weight\":1,\"priority\":2,\"metadata\":{\"z\":[1]}}");
}

Test(value, is_read_back_as_it_was_said)
{
    char host[254];
    char address[300];
    libsd_instance instance;
    struct value *value;

    /* The longest name there is, and the buffers' ends. */
    for (int i = 0; i < 253; i++)
        host[i] = i % 50 == 49 ? '.' : 'a';
    host[253] = '\0';
    snprintf(address, sizeof address, "%s:65535", host);
    value = value_new(address, 65535, 4000000000U, "{\"a\":{\"weight\":1}}");
    cr_assert_not_null(value);
    cr_assert_eq(
        libsd_instance_parse(NULL, libsd_str(value->text), &instance, sizeof instance, NULL, 0), 0);
    cr_expect_str_eq(instance.host, host);
    cr_expect_eq(instance.port, 65535);
    cr_expect_eq(instance.weight, 65535);
    cr_expect_eq(instance.priority, 4000000000U);
    value_free(value);
}

static bool takes(const char *metadata)
{
    struct failure failure = { 0 };
    int rc = value_check_metadata(metadata, &failure);

    cr_expect_eq(rc < 0, failure.text[0] != '\0');
    return rc == 0;
}

Test(value, metadata_is_an_object_that_any_parser_reads)
{
    cr_expect(takes("{}"));
    cr_expect(takes(" {\"a\": [1, -2.5e+3, 0, 1E5, true, false, null, \"\\u00e9\", {}, []]}\n"));
    cr_expect(takes("{\"\":\"\"}"));
    static const char *const wrong[] = { "",
                                         "x",
                                         "[1]",
                                         "\"a\"",
                                         "{",
                                         "{}}",
                                         "{} {}",
                                         "{\"a\":}",
                                         "{\"a\"}",
                                         "{\"a\":1,}",
                                         "{a:1}",
                                         "{\"a\":[1,]}",
                                         "{\"a\":[1 2]}",
                                         "{\"a\":tru}",
                                         "{\"a\":01}",
                                         "{\"a\":1.}",
                                         "{\"a\":.5}",
                                         "{\"a\":-}",
                                         "{\"a\":1e}",
                                         "{\"a\":1e+}",
                                         "{\"a\":+1}",
                                         "{\"a\":NaN}",
                                         "{\"a\":\"}",
                                         "{\"a\":[}]" };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_not(takes(wrong[i]), "%s", wrong[i]);
}

Test(value, metadata_has_limits)
{
    char *deep = calloc(1, 100000);

    strcpy(deep, "{\"a\":");
    memset(deep + 5, '[', 14);
    memset(deep + 19, ']', 14);
    strcpy(deep + 33, "}");
    cr_expect(takes(deep));
    memset(deep + 5, '[', 40000);
    cr_expect_not(takes(deep));
    deep[5 + 2000] = '\0';
    cr_expect_not(takes(deep), "no deep recursion");
    free(deep);
}

static bool takes_address(const char *address)
{
    struct failure failure;

    return value_check_address(address, &failure) == 0;
}

Test(value, address_has_host_and_port_and_nothing_else)
{
    cr_expect(takes_address("10.0.0.5:1"));
    cr_expect(takes_address("[fe80::1]:1"));
    cr_expect(takes_address("host.example:65535"));
    cr_expect_not(takes_address("10.0.0.5"));
    cr_expect_not(takes_address("10.0.0.5:0"));
    cr_expect_not(takes_address("http://10.0.0.5:1"));
    cr_expect_not(takes_address("10.0.0.5:1 "));
    cr_expect_not(takes_address("a\"b:1"));
    cr_expect_not(takes_address("::1"));
    cr_expect_not(takes_address(""));
}
