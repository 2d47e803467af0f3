/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Options, the environment, endpoints, and the texts of errors.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../../libsd/endpoint.h"
#include "../../libsd/options.h"

static libsd_options *options;

static void setup(void)
{
    static const char *const names[] = { "ETCDCTL_ENDPOINTS", "ETCDCTL_USER", "ETCDCTL_PASSWORD",
                                         "ETCDCTL_CACERT",    "ETCDCTL_CERT", "ETCDCTL_KEY" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
    cr_assert_eq(libsd_options_new(&options), 0);
}

static void teardown(void)
{
    libsd_options_free(options);
}

TestSuite(options, .init = setup, .fini = teardown);

Test(options, defaults_are_those_of_the_header)
{
    struct libsd_options resolved;

    cr_assert_eq(options_resolve(&resolved, NULL), 0);
    cr_expect_str_eq(resolved.endpoints, "http://127.0.0.1:2379");
    cr_expect_str_eq(resolved.prefix, "/service/");
    cr_expect_str_eq(resolved.user, "");
    cr_expect_eq(resolved.timeout_ms, 5000);
    cr_expect_not(resolved.manual_dispatch);
    options_clear(&resolved);
}

Test(options, code_beats_environment_beats_default)
{
    struct libsd_options resolved;

    setenv("ETCDCTL_ENDPOINTS", "http://a:1", 1);
    setenv("ETCDCTL_USER", "alice:secret:word", 1);
    cr_assert_eq(options_resolve(&resolved, options), 0);
    cr_expect_str_eq(resolved.endpoints, "http://a:1");
    cr_expect_str_eq(resolved.user, "alice");
    cr_expect_str_eq(resolved.password, "secret:word");
    options_clear(&resolved);
    libsd_options_set(options, "endpoints", "http://b:2");
    libsd_options_set(options, "user", "bob");
    libsd_options_set(options, "prefix", "/x");
    cr_assert_eq(options_resolve(&resolved, options), 0);
    cr_expect_str_eq(resolved.endpoints, "http://b:2");
    cr_expect_str_eq(resolved.user, "bob");
    cr_expect_str_eq(resolved.password, "");
    cr_expect_str_eq(resolved.prefix, "/x/");
    options_clear(&resolved);
}

Test(options, unacceptable_values_are_refused)
{
    libsd *sd;

    cr_expect_eq(libsd_options_set(options, "endpoint", "http://a:1"), LIBSD_EINVAL);
    cr_expect_eq(libsd_options_set(options, "timeout-ms", "0"), LIBSD_EINVAL);
    cr_expect_eq(libsd_options_set(options, "timeout-ms", "600001"), LIBSD_EINVAL);
    cr_expect_eq(libsd_options_set(options, "timeout-ms", "5s"), LIBSD_EINVAL);
    cr_expect_eq(libsd_options_set(options, "dispatch", "maybe"), LIBSD_EINVAL);
    cr_expect_eq(libsd_options_set(options, "user", NULL), LIBSD_EINVAL);
    cr_expect_eq(libsd_options_set(NULL, "user", "x"), LIBSD_EINVAL);
    cr_assert_eq(libsd_options_set(options, "cert", "/c.pem"), 0);
    cr_expect_eq(libsd_open(&sd, options), LIBSD_EINVAL, "a certificate without its key");
    setenv("ETCDCTL_ENDPOINTS", "ftp://a", 1);
    cr_expect_eq(libsd_open(&sd, NULL), LIBSD_EINVAL);
    cr_expect_null(sd);
}

static const char *first_url(const char *text)
{
    static struct endpoints endpoints; /* the result lives until the next call */

    endpoints_free(&endpoints);
    if (endpoints_init(&endpoints, text) < 0)
        return "";
    return endpoints.urls[0];
}

Test(options, endpoints_are_made_whole)
{
    cr_expect_str_eq(first_url("http://a:1"), "http://a:1");
    cr_expect_str_eq(first_url("https://a:1/"), "https://a:1");
    cr_expect_str_eq(first_url("a:1"), "http://a:1");
    cr_expect_str_eq(first_url("10.0.0.1:2379"), "http://10.0.0.1:2379");
    cr_expect_str_eq(first_url("ftp.example.com:1"), "http://ftp.example.com:1");
    cr_expect_str_eq(first_url("a"), "http://a:2379");
    cr_expect_str_eq(first_url("[::1]:1"), "http://[::1]:1");
    cr_expect_str_eq(first_url("http://a:1, http://b:2,"), "http://a:1");
    cr_expect_str_eq(first_url(""), "");
    cr_expect_str_eq(first_url(","), "");
    cr_expect_str_eq(first_url("unix:///run/etcd"), "");
    cr_expect_str_eq(first_url("http://user:pw@a:1"), "");
    cr_expect_str_eq(first_url("http://a:1/path"), "");
    cr_expect_str_eq(first_url("http://a:99999"), "");
    cr_expect_str_eq(first_url("http://a:1?x"), "");
    cr_expect_str_eq(first_url("a b:1"), "");
}

Test(options, older_paths_are_tried_in_turn)
{
    struct endpoints endpoints;

    cr_assert_eq(endpoints_init(&endpoints, "a,b"), 0);
    endpoints.current = 0;
    endpoints_failed(&endpoints, 0);
    cr_expect_eq(endpoints.current, 1);
    endpoints_failed(&endpoints, 0);
    cr_expect_eq(endpoints.current, 1, "one failure moves once");
    endpoints_failed(&endpoints, 1);
    cr_expect_eq(endpoints.current, 0);
    cr_expect_str_eq(endpoints.api, "/v3");
    cr_expect_eq(endpoints_next_api(&endpoints, endpoints.api), 0);
    cr_expect_str_eq(endpoints.api, "/v3beta");
    cr_expect_eq(endpoints_next_api(&endpoints, endpoints.api), 0);
    cr_expect_str_eq(endpoints.api, "/v3alpha");
    cr_expect_eq(endpoints_next_api(&endpoints, endpoints.api), -1);
    cr_expect_str_eq(endpoints.api, "/v3");
    endpoints_free(&endpoints);
}

Test(options, every_error_has_a_text_of_its_own)
{
    for (int code = 0; code >= LIBSD_EDEADLOCK; code--) {
        cr_expect_str_neq(libsd_strerror(code), "unknown error");
        for (int other = 0; other > code; other--)
            cr_expect_str_neq(libsd_strerror(code), libsd_strerror(other));
    }
    cr_expect_str_eq(libsd_strerror(1), "unknown error");
    cr_expect_str_eq(libsd_strerror(LIBSD_EDEADLOCK - 1), "unknown error");
    cr_expect(libsd_error_is_retriable(LIBSD_ETIMEDOUT));
    cr_expect_not(libsd_error_is_retriable(LIBSD_EAUTH));
    cr_expect_not(libsd_error_is_retriable(0));
}
