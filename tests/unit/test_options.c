/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Options, the environment, files, endpoints, and the texts of errors.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../libsd/endpoint.h"
#include "../../libsd/options.h"

static libsd_options *options;
static char path[] = "/tmp/test_options.XXXXXX";

static void setup(void)
{
    static const char *const names[] = { "ETCDCTL_ENDPOINTS", "ETCDCTL_USER", "ETCDCTL_PASSWORD",
                                         "ETCDCTL_CACERT",    "ETCDCTL_CERT", "ETCDCTL_KEY",
                                         "ETCDSD_PREFIX",     "ETCDSD_TTL",   "ETCDSD_TIMEOUT_MS",
                                         "ETCDSD_TAKEOVER" };
    int fd = mkstemp(path);

    cr_assert(fd >= 0);
    close(fd);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
    setenv("ETCDSD_CONF", "", 1); /* not this machine's */
    cr_assert_eq(libsd_options_new(&options), 0);
}

static void teardown(void)
{
    libsd_options_free(options);
    unlink(path);
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    cr_assert(fputs(text, file) >= 0 && fclose(file) == 0);
}

/* What the last failed call without a handle met. */
static const char *detail(void)
{
    static char text[300];

    libsd_error_detail(NULL, text, sizeof text);
    return text;
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
    cr_expect_eq(resolved.ttl_s, 10);
    cr_expect_eq(resolved.takeover, LIBSD_TAKEOVER_WAIT);
    cr_expect_eq(resolved.dispatch, DISPATCH_THREAD);
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

Test(options, every_source_beats_the_ones_before)
{
    struct libsd_options resolved;

    write_file("endpoints = http://file:1\nprefix = /file\nttl = 5\ntimeout-ms = 100\n"
               "takeover = fail\ndomain = other.program\n[zone z]\nprefix = /z/\nnonsense = 1\n"
               "[etcd]\nuser = file:one # word\n");
    setenv("ETCDSD_CONF", path, 1);
    setenv("ETCDCTL_ENDPOINTS", "http://environment:1", 1);
    setenv("ETCDSD_TTL", "6", 1);
    setenv("ETCDSD_TAKEOVER", "", 1);
    libsd_options_set(options, "ttl", "7");
    cr_assert_eq(options_resolve(&resolved, options), 0, "%s", detail());
    cr_expect_str_eq(resolved.prefix, "/file/");
    cr_expect_str_eq(resolved.endpoints, "http://environment:1");
    cr_expect_eq(resolved.ttl_s, 7);
    cr_expect_eq(resolved.timeout_ms, 100);
    cr_expect_eq(resolved.takeover, LIBSD_TAKEOVER_FAIL);
    cr_expect_str_eq(resolved.user, "file");
    cr_expect_str_eq(resolved.password, "one");
    options_clear(&resolved);
    /* Loaded by the program, it takes the place of the other file. */
    setenv("ETCDSD_CONF", "/nonexistent", 1);
    cr_assert_eq(libsd_options_load(options, path), 0);
    cr_assert_eq(options_resolve(&resolved, options), 0);
    cr_expect_str_eq(resolved.prefix, "/file/");
    options_clear(&resolved);
    cr_assert_eq(libsd_options_load(options, ""), 0);
    cr_assert_eq(options_resolve(&resolved, options), 0);
    cr_expect_str_eq(resolved.prefix, "/service/");
    options_clear(&resolved);
}

Test(options, a_user_comes_without_the_password_of_another)
{
    struct libsd_options resolved;

    write_file("user = alice\npassword = wonderland\n");
    cr_assert_eq(libsd_options_load(options, path), 0);
    cr_assert_eq(options_resolve(&resolved, options), 0);
    cr_expect_str_eq(resolved.password, "wonderland");
    options_clear(&resolved);
    setenv("ETCDCTL_PASSWORD", "new", 1);
    cr_assert_eq(options_resolve(&resolved, options), 0);
    cr_expect_str_eq(resolved.user, "alice");
    cr_expect_str_eq(resolved.password, "new");
    options_clear(&resolved);
    unsetenv("ETCDCTL_PASSWORD");
    setenv("ETCDCTL_USER", "bob", 1);
    cr_assert_eq(options_resolve(&resolved, options), 0);
    cr_expect_str_eq(resolved.user, "bob");
    cr_expect_str_eq(resolved.password, "");
    options_clear(&resolved);
    libsd_options_set(options, "user", "carol:x:y");
    cr_assert_eq(options_resolve(&resolved, options), 0);
    cr_expect_str_eq(resolved.user, "carol");
    cr_expect_str_eq(resolved.password, "x:y");
    options_clear(&resolved);
}

/* The file with that text is refused, and the detail names path, line and why. */
static void refused(const char *text, unsigned line, const char *why)
{
    char place[100];
    libsd *sd = NULL;

    write_file(text);
    cr_expect_eq(libsd_options_load(options, path), LIBSD_EINVAL, "%s", text);
    snprintf(place, sizeof place, "%s:%u: ", path, line);
    cr_expect(strncmp(detail(), place, strlen(place)) == 0, "%s", detail());
    cr_expect(strstr(detail(), why) != NULL, "'%s' is not in: %s", why, detail());
    setenv("ETCDSD_CONF", path, 1);
    cr_expect_eq(libsd_open(&sd, NULL), LIBSD_EINVAL);
    cr_expect(strstr(detail(), why) != NULL, "%s", detail());
}

Test(options, bad_line_of_a_file_is_named)
{
    refused("\nendpont = http://a:1\n", 2, "did you mean 'endpoints'?");
    refused("# x\n\nttll = 5", 3, "did you mean 'ttl'?");
    refused("[etcd]\ncolour = red\n", 2, "unknown key 'colour'");
    refused("ttl = 10s\n", 1, "ttl: '10s' is not a number from 1 to 86400");
    refused("takeover = perhaps\n", 1, "none of: wait, force, fail");
    refused("dispatch = manual\n", 1, "only the program");
    refused("endpoints = ftp://a\n", 1, "'ftp://a' is not a list");
    refused("[etcd\n", 1, "[section]");
    refused("[zone a]\nx = 1\njust words\n", 3, "key = value");
    refused("user = \"a\n", 1, "closing quote");
}

Test(options, other_programs_keys_before_the_first_section_are_theirs)
{
    write_file("table = /run/x\ndomain = a\nmax-answers = 3\nmax-stale = 0\nlog-level = info\n"
               "allow = 10.0.0.0/8\nmetrics = x\nzone = y\n");
    cr_expect_eq(libsd_options_load(options, path), 0, "%s", detail());
}

Test(options, environment_names_the_file_that_is_read_by_default)
{
    struct libsd_options resolved;

    write_file("prefix = /of-the-file/\n");
    setenv("ETCDSD_CONF", path, 1);
    cr_assert_eq(libsd_options_load(options, NULL), 0);
    setenv("ETCDSD_CONF", "", 1); /* none, and what was read is kept */
    cr_assert_eq(options_resolve(&resolved, options), 0);
    cr_expect_str_eq(resolved.prefix, "/of-the-file/");
    options_clear(&resolved);
    cr_assert_eq(libsd_options_load(options, NULL), 0);
    cr_assert_eq(options_resolve(&resolved, options), 0);
    cr_expect_str_eq(resolved.prefix, "/service/");
    options_clear(&resolved);
}

Test(options, file_that_cannot_be_read_is_named)
{
    libsd *sd = NULL;

    cr_expect_eq(libsd_options_load(options, "/nonexistent/x.conf"), LIBSD_ENOTFOUND);
    cr_expect(strstr(detail(), "/nonexistent/x.conf: No such file") != NULL, "%s", detail());
    cr_expect_eq(libsd_options_load(options, "/"), LIBSD_EINVAL);
    cr_expect_eq(libsd_options_load(options, "/dev/zero"), LIBSD_EINVAL, "no endless file");
    setenv("ETCDSD_CONF", "/nonexistent", 1);
    cr_expect_eq(libsd_open(&sd, NULL), LIBSD_ENOTFOUND);
    if (geteuid() != 0) {
        chmod(path, 0);
        cr_expect_eq(libsd_options_load(options, path), LIBSD_EDENIED);
    }
}

Test(options, wrong_environment_is_named)
{
    libsd *sd = NULL;

    setenv("ETCDSD_TTL", "soon", 1);
    cr_expect_eq(libsd_open(&sd, NULL), LIBSD_EINVAL);
    cr_expect_str_eq(detail(), "$ETCDSD_TTL: ttl: 'soon' is not a number from 1 to 86400");
}

Test(options, no_secret_gets_into_a_message)
{
    cr_expect_eq(libsd_options_set(options, "endpoints", "http://u:secret@a:1"), LIBSD_EINVAL);
    cr_expect(strstr(detail(), "secret") == NULL, "%s", detail());
    write_file("[etcd]\npassword secret\n");
    cr_expect_eq(libsd_options_load(options, path), LIBSD_EINVAL);
    cr_expect(strstr(detail(), "secret") == NULL, "%s", detail());
}

Test(options, unacceptable_values_are_refused)
{
    libsd *sd;

    cr_expect_eq(libsd_options_set(options, "endpoint", "http://a:1"), LIBSD_EINVAL);
    cr_expect_str_eq(detail(), "unknown key 'endpoint'; did you mean 'endpoints'?");
    cr_expect_eq(libsd_options_set(options, "ttl", "86401"), LIBSD_EINVAL);
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
    for (int code = 0; code >= LIBSD_EUNKNOWN; code--) {
        cr_expect_str_neq(libsd_strerror(code), "unknown error");
        cr_expect_str_neq(libsd_error_name(code), "unknown");
        for (int other = 0; other > code; other--) {
            cr_expect_str_neq(libsd_strerror(code), libsd_strerror(other));
            cr_expect_str_neq(libsd_error_name(code), libsd_error_name(other));
        }
    }
    cr_expect_str_eq(libsd_error_name(LIBSD_EINVAL), "LIBSD_EINVAL");
    cr_expect_str_eq(libsd_error_name(LIBSD_EUNKNOWN), "LIBSD_EUNKNOWN");
    cr_expect_str_eq(libsd_error_name(1), "unknown");
    cr_expect_str_eq(libsd_error_name(LIBSD_EUNKNOWN - 1), "unknown");
    cr_expect(libsd_error_is_fatal(LIBSD_ECLOSED) && libsd_error_is_fatal(LIBSD_EFORKED));
    cr_expect_not(libsd_error_is_fatal(LIBSD_ETIMEDOUT));
    cr_expect_str_eq(libsd_strerror(1), "unknown error");
    cr_expect_str_eq(libsd_strerror(LIBSD_EUNKNOWN - 1), "unknown error");
    cr_expect(libsd_error_is_retriable(LIBSD_ETIMEDOUT));
    cr_expect_not(libsd_error_is_retriable(LIBSD_EAUTH));
    cr_expect_not(libsd_error_is_retriable(0));
}
