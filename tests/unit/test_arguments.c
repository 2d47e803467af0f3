/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon's command line: what is taken, what is refused and in which
 * words, and that passwords do not stay in argv.  Files and sections have
 * test_config.c.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../nss/watcher/arguments.h"
#include "../../nss/watcher/config.h"
#include "../../nss/watcher/log.h"
#include "layout.h"

static struct arguments arguments;
static struct config config;
static char *argv[64];
static int argc;

/* words: separated by spaces.  argv is writable, as main's is.  What they mean
 * is found out, too, without a file, and complained of as main() does. */
static int parse(const char *words)
{
    struct config_error error;
    int rc;

    char *rest = strdup(words), *word;

    argc = 0;
    argv[argc++] = strdup("etcdsd-watcher");
    while ((word = strsep(&rest, " ")) != NULL)
        if (*word != '\0')
            argv[argc++] = word;
    argv[argc] = NULL;
    rc = arguments_parse(&arguments, argc, argv);
    if (rc == ARGUMENTS_RUN && config_load(&config, &arguments, &error) < 0) {
        fprintf(stderr, "etcdsd-watcher: %s\n", error.text);
        return ARGUMENTS_USAGE;
    }
    return rc;
}

static void forget(void)
{
    config_free(&config);
    arguments_free(&arguments);
}

static bool argv_holds(const char *text)
{
    for (int i = 0; i < argc; i++)
        if (strstr(argv[i], text) != NULL)
            return true;
    return false;
}

static void setup(void)
{
    unsetenv("ETCDCTL_ENDPOINTS");
    setenv("ETCDSD_CONF", "", 1);
    cr_redirect_stderr();
    cr_redirect_stdout();
}

static void teardown(void)
{
    forget();
}

TestSuite(arguments, .init = setup, .fini = teardown);

static void expect_usage(const char *words, const char *message)
{
    char text[600] = "";

    cr_expect_eq(parse(words), ARGUMENTS_USAGE, "%s", words);
    forget();
    fflush(stderr);
    size_t size = fread(text, 1, sizeof text - 1, cr_get_redirected_stderr());
    text[size] = '\0';
    cr_expect_eq(strncmp(text, "etcdsd-watcher: ", 16), 0, "%s", text);
    cr_expect_not_null(strstr(text, message), "%s: %s", words, text);
    cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1, "one line: %s", text);
}

Test(arguments, defaults_just_work)
{
    cr_assert_eq(parse(""), ARGUMENTS_RUN);
    cr_expect_null(config.top.endpoints);
    cr_assert_eq(config.zone_count, 1);
    cr_expect_str_eq(config.zones[0].says.prefix, "/service/");
    cr_expect_str_eq(config.zones[0].says.domain, "service.etcd");
    cr_expect_str_eq(config.zones[0].says.format, "auto");
    cr_expect_eq(config.zones[0].says.allow.count, 0);
    cr_expect_eq(config.zones[0].says.max_answers, 0);
    cr_expect_eq(config.zones[0].says.weights, 1);
    cr_expect_eq(config.zones[0].says.max_instances, TABLE_MAX_INSTANCES);
    cr_expect_eq(config.zones[0].says.max_value_bytes, 65536);
    cr_expect_str_eq(config.top.table, "/run/etcdsd/table.v1");
    cr_expect_eq(config.top.max_table_bytes, 1 << 30);
    cr_expect_eq(config.top.max_stale_s, 0);
    cr_expect_eq(config.top.log_level, LOG_LEVEL_INFO);
}

Test(arguments, all_of_them)
{
    cr_assert_eq(parse("--endpoints https://a:1,https://b:2 --cacert c --cert d --key e --user u "
                       "--prefix /x --domain X.Example. --table=/tmp/t --max-answers 3 "
                       "--max-stale 2m --log-level debug --foreground --format json:grpc "
                       "--allow 10.0.0.0/8,::1 --weights no --max-instances 9 "
                       "--max-value-size 1K --max-table-size 3M"),
                 ARGUMENTS_RUN);
    const struct settings *zone = &config.zones[0].says;
    cr_expect_str_eq(config.top.endpoints, "https://a:1,https://b:2");
    cr_expect_str_eq(config.top.cacert, "c");
    cr_expect_str_eq(config.top.cert, "d");
    cr_expect_str_eq(config.top.key, "e");
    cr_expect_str_eq(config.top.user, "u");
    cr_expect_str_eq(zone->prefix, "/x/");
    cr_expect_str_eq(zone->domain, "x.example");
    cr_expect_str_eq(zone->format, "json:grpc");
    cr_expect_eq(zone->allow.count, 2);
    cr_expect_eq(zone->weights, 0);
    cr_expect_eq(zone->max_instances, 9);
    cr_expect_eq(zone->max_value_bytes, 1024);
    cr_expect_eq(zone->max_answers, 3);
    cr_expect_str_eq(config.top.table, "/tmp/t");
    cr_expect_eq(config.top.max_table_bytes, 3 << 20);
    cr_expect_eq(config.top.max_stale_s, 120);
    cr_expect_eq(config.top.log_level, LOG_LEVEL_DEBUG);
}

Test(arguments, last_one_counts)
{
    cr_assert_eq(parse("--max-answers 3 --max-answers auto --prefix /a/ --prefix /b/"),
                 ARGUMENTS_RUN);
    cr_expect_eq(config.top.max_answers, 0);
    cr_expect_str_eq(config.top.prefix, "/b/");
}

Test(arguments, passwords_do_not_stay_in_argv)
{
    cr_assert_eq(parse("--user app:secret1 --password secret2 --password=secret3"), ARGUMENTS_RUN);
    cr_expect_str_eq(config.top.user, "app:secret1");
    cr_expect_str_eq(config.top.password, "secret3");
    cr_expect_not(argv_holds("secret"));
    cr_expect(argv_holds("app:xxxxxxx"));
}

Test(arguments, passwords_do_not_stay_in_argv_after_an_error)
{
    cr_assert_eq(parse("--password secret1 --max-stale x"), ARGUMENTS_USAGE);
    cr_expect_not(argv_holds("secret"));
}

Test(arguments, unknown_option)
{
    expect_usage("--tabel x", "--tabel: is not an option; did you mean --table?");
    expect_usage("--everything x", "--everything: is not an option (see --help)");
    expect_usage("--foreground=1", "--foreground=1: takes no value");
}

Test(arguments, stray_word)
{
    expect_usage("start", "start: is not an option");
}

Test(arguments, missing_value)
{
    expect_usage("--table", "--table: needs a value");
}

Test(arguments, number_out_of_range)
{
    expect_usage("--max-answers 0", "--max-answers: '0' is neither auto nor a number");
}

Test(arguments, numbers_are_digits_only)
{
    static const char *const wrong[] = { "256", "-1", "+1", "1x", "0x1", "99999999999999999999" };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char words[64];

        snprintf(words, sizeof words, "--max-answers %s", wrong[i]);
        cr_expect_eq(parse(words), ARGUMENTS_USAGE, "%s", words);
        forget();
    }
    cr_expect_eq(parse("--max-stale 4294967295"), ARGUMENTS_RUN);
    forget();
    cr_expect_eq(parse("--max-stale 4294967296"), ARGUMENTS_USAGE);
}

Test(arguments, numbers_have_units)
{
    cr_assert_eq(parse("--max-stale 7d --max-table-size 64G"), ARGUMENTS_RUN);
    cr_expect_eq(config.top.max_stale_s, 7 * 86400);
    cr_expect_eq(config.top.max_table_bytes, UINT64_C(64) << 30);
    forget();
    expect_usage("--max-stale 1K", "--max-stale: '1K' is not a number of seconds from 0 to");
    expect_usage("--max-stale 1hh", "--max-stale: '1hh'");
    expect_usage("--max-stale h", "--max-stale: 'h'");
    expect_usage("--max-stale 49711d", "--max-stale: '49711d'");
    expect_usage("--max-answers 5K", "--max-answers: '5K'");
    expect_usage("--max-table-size 65G", "--max-table-size: '65G'");
    expect_usage("--max-table-size 99999999999999999999G", "--max-table-size: ");
}

Test(arguments, format_that_does_not_exist)
{
    expect_usage("--format xml", "--format: 'xml' is not auto, plain or json");
    expect_usage("--format jsonjsonjson", "--format: 'jsonjsonjson' is not");
    expect_usage("--format json:", "--format: 'json:' does not end in a scheme");
    expect_usage("--format json:G/", "--format: 'json:G/' does not end in a scheme");
}

Test(arguments, endpoints_that_are_none)
{
    expect_usage("--endpoints nonsense://x", "--endpoints: 'nonsense://x' is not a list");
}

Test(arguments, level_that_does_not_exist)
{
    expect_usage("--log-level loud", "--log-level: 'loud' is not error, warning, info or debug");
}

Test(arguments, domain_that_is_none)
{
    expect_usage("--domain a..b", "--domain: 'a..b' is not a domain name");
}

Test(arguments, table_that_is_a_directory)
{
    expect_usage("--table /run/", "--table: '/run/' is not the path of a file");
}

Test(arguments, endpoint_inside_the_served_domain)
{
    expect_usage("--endpoints http://10.0.0.1:2379,https://db.service.etcd:2379",
                 "https://db.service.etcd:2379 lies in the domain service.etcd");
}

Test(arguments, endpoint_of_the_environment_inside_the_served_domain)
{
    setenv("ETCDCTL_ENDPOINTS", "etcd.x.example:2379", 1);
    expect_usage("--domain x.example", "etcd.x.example:2379 lies in the domain x.example");
}

Test(arguments, help_and_version_end_well)
{
    cr_expect_eq(parse("--help"), ARGUMENTS_DONE);
    forget();
    cr_expect_eq(parse("--version"), ARGUMENTS_DONE);
}

static void expect_inside(const char *endpoints, const char *expected)
{
    const char *found = NULL;
    int length = config_endpoint_inside(endpoints, "service.etcd", &found);

    cr_expect_eq((size_t)length, strlen(expected), "%s", endpoints);
    cr_expect(length == 0 || memcmp(found, expected, (size_t)length) == 0, "%s", endpoints);
}

Test(arguments, host_of_an_endpoint_is_found)
{
    expect_inside("service.etcd", "service.etcd");
    expect_inside("a.service.etcd:1", "a.service.etcd:1");
    expect_inside("http://A.Service.ETCD.:1/x", "http://A.Service.ETCD.:1/x");
    expect_inside("http://u:p@a.service.etcd", "http://u:p@a.service.etcd");
    expect_inside("http://b:1, http://a.service.etcd:1 ,c", "http://a.service.etcd:1");
    expect_inside("http://aservice.etcd:1", "");
    expect_inside("http://service.etcd.example:1", "");
    expect_inside("http://b/service.etcd", "");
    expect_inside("http://b?x=.service.etcd", "");
    expect_inside("http://[::1]:1,http://127.0.0.1:1,,", "");
    expect_inside("", "");
}
