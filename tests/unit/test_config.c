/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon's configuration: which layer beats which, what a section says to
 * whom, and that a slip is named with file, line and the likely word.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../nss/watcher/config.h"
#include "../../nss/watcher/log.h"
#include "layout.h"

static struct arguments arguments;
static struct config config;
static struct config_error error;
static char path[] = "/tmp/test_config.XXXXXX";

static void setup(void)
{
    static const char *const variables[] = { "ETCDCTL_ENDPOINTS", "ETCDSD_CONF", "ETCDSD_TABLE" };

    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    close(mkstemp(path));
    arguments.config = strdup(path);
}

static void teardown(void)
{
    config_free(&config);
    arguments_free(&arguments);
    unlink(path);
}

TestSuite(config, .init = setup, .fini = teardown);

static int load(const char *text)
{
    FILE *file = fopen(path, "w");

    fputs(text, file);
    fclose(file);
    config_free(&config);
    error.text[0] = '\0';
    return config_load(&config, &arguments, &error);
}

/* The error begins with file and line, and goes on with `why`. */
static void expect_error(const char *text, unsigned line, const char *why)
{
    char begin[600];

    snprintf(begin, sizeof begin, "%s:%u: %s", path, line, why);
    cr_expect_eq(load(text), -EINVAL, "%s", text);
    cr_expect_eq(strncmp(error.text, begin, strlen(begin)), 0, "%s\nis not\n%s", error.text, begin);
    cr_expect_null(strchr(error.text, '\n'));
}

static void expect_fine(const char *text)
{
    cr_assert_eq(load(text), 0, "%s", error.text);
}

static void give(const char *key, const char *value)
{
    arguments.values[key_find(key)] = strdup(value);
}

Test(config, empty_file_says_what_no_file_says)
{
    expect_fine("");
    cr_assert_eq(config.zone_count, 1);
    cr_expect_str_eq(config.zones[0].says.prefix, "/service/");
    cr_expect_str_eq(config.zones[0].says.domain, "service.etcd");
    cr_expect_str_eq(config.top.table, TABLE_DEFAULT_PATH);
}

Test(config, keys_stand_at_the_top_or_in_the_section_watcher)
{
    expect_fine("max-stale = 1h # a comment\n[watcher]\nlog-level = debug\n[other]\nx = 1\n");
    cr_expect_eq(config.top.max_stale_s, 3600);
    cr_expect_eq(config.top.log_level, LOG_LEVEL_DEBUG);
}

Test(config, command_line_beats_environment_beats_file)
{
    static const char text[] = "max-answers = 2\nmax-stale = 2\nlog-level = error\n";

    setenv("ETCDSD_MAX_ANSWERS", "3", 1);
    setenv("ETCDSD_MAX_STALE", "3", 1);
    setenv("ETCDSD_LOG_LEVEL", "", 1);
    give("max-answers", "4");
    expect_fine(text);
    cr_expect_eq(config.top.max_answers, 4);
    cr_expect_eq(config.top.max_stale_s, 3);
    cr_expect_eq(config.top.log_level, LOG_LEVEL_ERROR, "an empty variable counts as none");
    setenv("ETCDSD_MAX_STALE", "soon", 1);
    cr_expect_eq(load(text), -EINVAL);
    cr_expect_eq(strncmp(error.text, "$ETCDSD_MAX_STALE: 'soon' is not", 32), 0, "%s", error.text);
}

Test(config, zones_say_only_what_differs)
{
    expect_fine("allow = 10.0.0.0/8\nformat = plain\nmax-answers = 2\n"
                "[zone b]\nprefix = /b\ndomain = B.example.\nmax-answers = auto\n"
                "[zone a]\n");
    cr_assert_eq(config.zone_count, 2);
    cr_expect_str_eq(config.zones[0].name, "b");
    cr_expect_str_eq(config.zones[0].says.prefix, "/b/");
    cr_expect_str_eq(config.zones[0].says.domain, "b.example");
    cr_expect_str_eq(config.zones[0].says.format, "plain");
    cr_expect_eq(config.zones[0].says.max_answers, 0);
    cr_expect_eq(config.zones[0].says.allow.count, 1);
    cr_expect_str_eq(config.zones[1].says.prefix, "/service/", "an empty section is a zone");
    cr_expect_str_eq(config.zones[1].says.domain, "service.etcd");
    cr_expect_eq(config.zones[1].says.max_answers, 2);
}

Test(config, section_that_comes_again_goes_on)
{
    expect_fine(
        "[zone a]\nprefix = /a/\nmax-answers = 2\n[service x.service.etcd]\nmax-answers = 5\n"
        "[zone a]\nmax-answers = 3\n[service X.service.etcd.]\nweights = no\n");
    cr_assert_eq(config.zone_count, 1);
    cr_expect_str_eq(config.zones[0].says.prefix, "/a/");
    cr_expect_eq(config.zones[0].says.max_answers, 3, "the later line counts");
    cr_assert_eq(config.service_count, 1);
    cr_expect_eq(config.services[0].says.max_answers, 5);
    cr_expect_eq(config.services[0].says.weights, 0);
}

Test(config, services_have_the_rest_from_their_zone)
{
    expect_fine("max-answers = 2\n[zone x]\ndomain = x.example\nprefix = /x/\n"
                "max-answers = 3\nweights = no\n[zone y]\n"
                "[service User.x.example.]\nmax-answers = 4\n"
                "[service a.shop.service.etcd]\nweights = no\n");
    const struct settings *zone = &config.zones[0].says;
    const struct settings *user = config_service(&config, "user.x.example", zone);
    const struct settings *shop = config_service(&config, "a.shop.service.etcd", zone);
    cr_expect_eq(user->max_answers, 4);
    cr_expect_eq(user->weights, 0);
    cr_expect_eq(shop->max_answers, 2);
    cr_expect_eq(shop->weights, 0);
    cr_expect_eq(config_service(&config, "other.x.example", zone), zone);
}

Test(config, name_belongs_to_the_zone_with_the_longest_domain)
{
    expect_fine("[zone a]\n[zone b]\ndomain = x.service.etcd\n[zone c]\ndomain = etcd\n");
    cr_expect_str_eq(config_zone_of(&config, "user.service.etcd")->name, "a");
    cr_expect_str_eq(config_zone_of(&config, "user.x.service.etcd")->name, "b");
    cr_expect_str_eq(config_zone_of(&config, "user.xx.service.etcd")->name, "a");
    cr_expect_str_eq(config_zone_of(&config, "user.myservice.etcd")->name, "c");
    cr_expect_null(config_zone_of(&config, "etcdx"));
}

Test(config, slips_are_named_with_the_likely_word)
{
    expect_error("\nmax-answer = 1\n", 2, "unknown key 'max-answer'; did you mean 'max-answers'?");
    expect_error("endpoint = x\n", 1, "unknown key 'endpoint'; did you mean 'endpoints'?");
    expect_error("nothing-like-it = x\n", 1, "unknown key 'nothing-like-it'");
    expect_error("[zone a]\ndomian = x\n", 2, "unknown key 'domian'; did you mean 'domain'?");
    expect_error("[zones a]\n", 1, "unknown section [zones a]; did you mean [zone a]?");
    expect_error("[wacher]\n", 1, "unknown section [wacher]; did you mean [watcher]?");
    expect_error("[service x.service.etcd]\nweight = no\n", 2,
                 "unknown key 'weight'; did you mean 'weights'?");
    expect_error("[etcd]\nmax-stale = 1\n", 2, "unknown key 'max-stale'");
}

Test(config, keys_are_refused_where_they_mean_nothing)
{
    expect_error("[zone a]\ntable = /x\n", 2, "table: does not belong into this section");
    expect_error("[zone a]\nendpoints = x\n", 2, "endpoints: does not belong into this section");
    expect_error("[watcher]\nendpoints = x\n", 2, "endpoints: belongs into [etcd]");
    expect_error("[watcher]\nttl = 3\n", 2, "unknown key 'ttl'");
    expect_error("[service a.service.etcd]\nallow = any\n", 2,
                 "allow: does not belong into this section");
}

Test(config, sections_need_names_that_make_sense)
{
    expect_error("[zone]\n", 1, "[zone] has no name");
    expect_error("[service]\n", 1, "[service] has no name");
    expect_error("[service a..b]\n", 1, "[service a..b] is no owner name");
    expect_error("\n[service user.example]\n", 2,
                 "[service user.example] lies in no zone's domain");
    expect_error("[service service.etcd]\n", 1, "[service service.etcd] lies in no zone's domain");
}

Test(config, values_are_checked_where_they_stand)
{
    expect_error("a\n", 1, "is not 'key = value'");
    expect_error("\n\nmax-answers = 0\n", 3, "max-answers: '0' is neither auto nor a number");
    expect_error("[zone x]\nweights = perhaps\n", 2, "weights: 'perhaps' is not yes or no");
    expect_error("allow = 10.0.0.0/33\n", 1, "allow: '10.0.0.0/33' is not a network");
    expect_error("ttl = 0\n", 1, "ttl: '0' is not a number");
    expect_error("[etcd]\nendpoints = nonsense://x\n", 2, "endpoints: 'nonsense://x'");
}

Test(config, one_domain_is_one_zones)
{
    expect_error("[zone a]\nprefix=/a/\n[zone b]\nprefix=/b/\n", 3,
                 "[zone b]: the domain service.etcd is that of [zone a] already");
}

Test(config, zones_have_a_limit)
{
    char text[4000] = "";

    for (int i = 0; i <= TABLE_MAX_ZONES; i++) {
        if (i == TABLE_MAX_ZONES)
            expect_fine(text);
        sprintf(text + strlen(text), "[zone z%d]\ndomain = z%d.example\n", i, i);
    }
    expect_error(text, 2 * TABLE_MAX_ZONES + 1, "[zone z32] is one zone too many");
}

Test(config, services_have_a_limit)
{
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);

    for (int i = 0; i <= CONFIG_MAX_SERVICES; i++)
        fprintf(to, "[service s%d.service.etcd]\n", i);
    fclose(to);
    expect_error(text, CONFIG_MAX_SERVICES + 1,
                 "[service s4096.service.etcd] is one service too many (4096 is the most)");
    *strstr(text, "[service s4096.") = '\0';
    expect_fine(text);
    free(text);
}

Test(config, domains_have_to_find_room_in_the_table)
{
    char text[9000] = "";

    for (int i = 0; i < 13; i++)
        sprintf(text + strlen(text), "[zone z%d]\ndomain = z%02d.%0*d.%0*d.%0*d.%0*d.example\n", i,
                i, 58, 0, 58, 0, 58, 0, 50, 0);
    expect_error(text, 25, "[zone z12]: the domains are too long");
}

Test(config, libsds_keys_are_its_own_business)
{
    expect_fine("endpoints = http://a:1\nttl = 5\nprefix = /x\ntimeout-ms = 100\n"
                "[etcd]\nuser = app\npassword = \"a # b\"\n");
    cr_expect_str_eq(config.endpoints, "http://a:1");
    cr_expect_str_eq(config.zones[0].says.prefix, "/x/", "a key of both");
    cr_expect_str_eq(config.etcd_text,
                     "endpoints=http://a:1\nttl=5\ntimeout-ms=100\nuser=app\npassword=a # b\n");
}

Test(config, endpoints_of_any_source_must_not_need_the_daemon)
{
    static const char text[] = "endpoints = http://etcd.x.example:2379\n"
                               "[zone a]\n[zone x]\ndomain = x.example\n";

    cr_expect_eq(load(text), -EINVAL);
    cr_expect_not_null(
        strstr(error.text, "http://etcd.x.example:2379 lies in the domain x.example"));
    setenv("ETCDCTL_ENDPOINTS", "http://127.0.0.1:1", 1);
    expect_fine(text);
}

Test(config, file_that_was_named_must_exist)
{
    unlink(path);
    cr_expect_eq(config_load(&config, &arguments, &error), -EINVAL);
    cr_expect_not_null(strstr(error.text, path));
    cr_expect_not_null(strstr(error.text, "No such file"));
}

Test(config, environment_names_the_file_unless_the_command_line_does)
{
    free(arguments.config);
    arguments.config = NULL;
    setenv("ETCDSD_CONF", path, 1);
    expect_fine("max-answers = 7\n");
    cr_expect_eq(config.top.max_answers, 7);
    arguments.config = strdup("/nonexistent/x");
    cr_expect_eq(load(""), -EINVAL);
}

/* libsd refuses what looks like a slip of one of its keys before the first
 * section; so no key here may look like one. */
Test(config, no_key_looks_like_a_slip_of_libsds)
{
    char text[4000] = "";

    for (size_t i = 0; i < key_count; i++)
        if (!(keys[i].places & KEY_ETCD) && keys[i].fallback != NULL)
            sprintf(text + strlen(text), "%s = %s\n", keys[i].name, keys[i].fallback);
    expect_fine(text);
}

Test(config, each_key_is_told_of_and_its_default_is_a_value)
{
    struct settings settings = { 0 };
    char why[KEY_WHY_SIZE];

    for (size_t i = 0; i < key_count; i++) {
        cr_expect_eq(key_find(keys[i].name), (int)i);
        cr_expect(*keys[i].text != '\0' && *keys[i].argument != '\0');
        cr_expect(keys[i].fallback == NULL || key_set(&settings, i, keys[i].fallback, why) == 0,
                  "%s", keys[i].name);
    }
    settings_free(&settings);
}

Test(config, settings_that_differ_are_told_apart)
{
    expect_fine("[zone a]\n");
    struct config before = config;
    config = (struct config){ 0 };
    expect_fine("[zone a]\n");
    cr_expect(settings_are_same(&before.zones[0].says, &config.zones[0].says, KEY_ZONE));
    static const char *const changes[] = { "prefix = /x",      "domain = x",        "format = json",
                                           "allow = 10.1.1.1", "max-answers = 3",   "weights = no",
                                           "max-instances=1",  "max-value-size = 3" };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char text[100];

        snprintf(text, sizeof text, "[zone a]\n%s\n", changes[i]);
        expect_fine(text);
        cr_expect_not(settings_are_same(&before.zones[0].says, &config.zones[0].says, KEY_ZONE),
                      "%s", changes[i]);
    }
    config_free(&before);
}
