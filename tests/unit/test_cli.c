/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * etcdsd's command line: what is taken, what is refused and in which words; and
 * its output, whatever bytes etcd holds.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>
#include <string.h>

#include "../../libsd/cli/arguments.h"
#include "../../libsd/cli/out.h"
#include "../../libsd/cli/say.h"
#include "../../libsd/cli/table.h"

static struct cli_arguments arguments;
static char *argv[32];
static int argc;

/* words: separated by spaces.  argv is writable, as main's is. */
static int parse(const char *words)
{
    static char name[] = "etcdsd", *copy;
    char *rest, *word;

    free(copy);
    rest = copy = strdup(words);
    argc = 0;
    argv[argc++] = name;
    while ((word = strsep(&rest, " ")) != NULL)
        if (*word != '\0')
            argv[argc++] = word;
    argv[argc] = NULL;
    return cli_arguments_parse(&arguments, argc, argv);
}

static void setup(void)
{
    cr_redirect_stderr();
    cr_redirect_stdout();
}

static void teardown(void)
{
    cli_arguments_free(&arguments);
}

TestSuite(cli, .init = setup, .fini = teardown);

static void expect_refused(const char *words, const char *line)
{
    cr_expect_eq(parse(words), CLI_USAGE, "%s", words);
    fflush(stderr);
    cr_expect_stderr_eq_str(line, "%s", words);
}

Test(cli, words_and_options_come_in_any_order)
{
    cr_assert_eq(parse("--endpoints http://a list --json user --timeout-ms=300"), CLI_RUN);
    cr_expect_eq(arguments.command, CLI_LIST);
    cr_expect_eq(arguments.word_count, 1);
    cr_expect_str_eq(arguments.words[0], "user");
    cr_expect_str_eq(arguments.values[CLI_ENDPOINTS], "http://a");
    cr_expect_str_eq(arguments.values[CLI_TIMEOUT_MS], "300");
    cr_expect_not_null(arguments.values[CLI_JSON]);
    cr_expect_null(arguments.program);
}

Test(cli, what_follows_two_dashes_is_the_program)
{
    cr_assert_eq(parse("register user 10.0.0.5:80 --drain 3 -- prog --ttl -- x"), CLI_RUN);
    cr_expect_eq(arguments.numbers[CLI_DRAIN], 3);
    cr_expect_null(arguments.values[CLI_TTL]);
    cr_expect_str_eq(arguments.program[0], "prog");
    cr_expect_str_eq(arguments.program[2], "--");
    cr_expect_str_eq(arguments.program[3], "x");
    cr_expect_null(arguments.program[4]);
}

Test(cli, passwords_leave_argv)
{
    cr_assert_eq(parse("list --user app:sesame1 --password sesame2"), CLI_RUN);
    cr_expect_str_eq(arguments.values[CLI_USER], "app:sesame1");
    cr_expect_str_eq(arguments.values[CLI_PASSWORD], "sesame2");
    for (int i = 0; i < argc; i++)
        cr_expect_null(strstr(argv[i], "sesame"), "%s", argv[i]);
}

#define REFUSED(name, words, line)                   \
    Test(cli, refuses_##name)                        \
    {                                                \
        expect_refused(words, "etcdsd: " line "\n"); \
    }

REFUSED(no_command, "", "which command? (see etcdsd --help)")
REFUSED(slip_of_command, "regsiter a b", "regsiter: is no command (did you mean register?)")
REFUSED(strange_command, "frobnicate", "frobnicate: is no command (see etcdsd --help)")
REFUSED(slip_of_option, "list --jsn", "--jsn: is no option (did you mean --json?)")
REFUSED(other_commands_option, "list --ttl 4",
        "--ttl: is no option of list (see etcdsd list --help)")
REFUSED(value_of_flag, "list --json=yes", "--json: takes no value (see etcdsd --help)")
REFUSED(missing_value, "list --endpoints", "--endpoints: needs a value (see etcdsd --help)")
REFUSED(too_many_words, "list a b", "b: is one word too many for list [SERVICE]")
REFUSED(program_without_dashes, "register a b sleep",
        "sleep: is one word too many for register SERVICE ADDRESS [-- PROGRAM [WORD...]] "
        "(a program goes after --)")
REFUSED(too_few_words, "pick", "pick: needs SERVICE (see etcdsd pick --help)")
REFUSED(dashes_without_program, "register a b --",
        "--: no program follows (see etcdsd register --help)")
REFUSED(program_of_list, "list -- true", "--: list runs no program")
REFUSED(zero_weight, "register a b --weight 0", "--weight: '0' is not a number from 1 to 65535")
REFUSED(large_weight, "register a b --weight 99999999999",
        "--weight: '99999999999' is not a number from 1 to 65535")
REFUSED(signed_drain, "register a b --drain +1 -- true",
        "--drain: '+1' is not a number from 0 to 86400")
REFUSED(drain_of_nothing, "register a b --drain 1",
        "--drain: is for a program that is run (register SERVICE ADDRESS --drain SECONDS -- "
        "PROGRAM)")
REFUSED(interval_of_nothing, "register a b --check-interval 1",
        "--check-interval: there is no --check")
REFUSED(empty_table, "list --table=", "--table: is empty")
REFUSED(controls, "l\033[31mst", "l?[31mst: is no command (see etcdsd --help)")

Test(cli, refuses_empty_words)
{
    char name[] = "etcdsd", command[] = "list", empty[] = "";
    char *words[] = { name, command, empty, NULL };

    cr_expect_eq(cli_arguments_parse(&arguments, 3, words), CLI_USAGE);
    fflush(stderr);
    cr_expect_stderr_eq_str(
        "etcdsd: list: a word is empty; it takes [SERVICE] (see etcdsd list --help)\n");
}

Test(cli, help_and_version_end_well)
{
    cr_expect_eq(parse("--help"), CLI_GOOD);
    cr_expect_eq(parse("register --help"), CLI_GOOD);
    cr_expect_eq(parse("--version list"), CLI_GOOD);
}

/* ---- output ------------------------------------------------------------- */

static void expect_json(const void *bytes, size_t size, const char *wanted)
{
    char *text = NULL;
    size_t length;
    struct cli_json json = { .to = open_memstream(&text, &length) };

    cli_json_object(&json, NULL);
    cli_json_bytes(&json, "v", bytes, size);
    cli_json_number(&json, "n", INT64_MIN);
    cli_json_object_end(&json);
    fclose(json.to);
    cr_expect_str_eq(text, wanted);
    free(text);
}

Test(cli, json_escapes_what_it_must)
{
    expect_json("a\"b\\c\n\x01\x7f", 8,
                "{\"v\":\"a\\\"b\\\\c\\n\\u0001\\u007f\",\"n\":-9223372036854775808}\n");
    expect_json("a\tb", 3, "{\"v\":\"a\\tb\",\"n\":-9223372036854775808}\n");
    expect_json("\0z", 2, "{\"v\":\"\\u0000z\",\"n\":-9223372036854775808}\n");
    expect_json("\xc3\xa4\xf0\x9f\x98\x80", 6,
                "{\"v\":\"\xc3\xa4\xf0\x9f\x98\x80\",\"n\":-9223372036854775808}\n");
}

Test(cli, json_has_bytes_that_are_no_text_in_base64)
{
    expect_json("\xff", 1, "{\"v_base64\":\"/w==\",\"n\":-9223372036854775808}\n");
    expect_json("a\xc3", 2, "{\"v_base64\":\"YcM=\",\"n\":-9223372036854775808}\n");
    expect_json("\xc3z", 2, "{\"v_base64\":\"w3o=\",\"n\":-9223372036854775808}\n");
    expect_json("\xed\xa0\x80", 3, "{\"v_base64\":\"7aCA\",\"n\":-9223372036854775808}\n");
    expect_json("\xc0\xaf", 2, "{\"v_base64\":\"wK8=\",\"n\":-9223372036854775808}\n");
}

Test(cli, json_puts_commas_between)
{
    char *text = NULL;
    size_t length;
    struct cli_json json = { .to = open_memstream(&text, &length) };

    cli_json_object(&json, NULL);
    cli_json_array(&json, "a");
    cli_json_object(&json, NULL);
    cli_json_object_end(&json);
    cli_json_text(&json, NULL, "x");
    cli_json_array_end(&json);
    cli_json_bool(&json, "b", true);
    cli_json_id(&json, "c", UINT64_MAX);
    cli_json_object_end(&json);
    cli_json_array(&json, NULL);
    cli_json_array_end(&json);
    fclose(json.to);
    cr_expect_str_eq(text, "{\"a\":[{},\"x\"],\"b\":true,\"c\":\"ffffffffffffffff\"}\n[]\n");
    free(text);
}

Test(cli, text_gives_a_terminal_no_orders)
{
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);

    cli_print(to, "a\033[2J\n\xc2\x9b\xc3\xa4\xff", 11);
    fclose(to);
    cr_expect_str_eq(text, "a\\x1b[2J\\x0a\\xc2\\x9b\xc3\xa4\\xff");
    free(text);
}

Test(cli, output_that_nobody_can_have_is_an_error)
{
    cr_assert_not_null(freopen("/dev/full", "w", stdout));
    fputs("something", stdout);
    cr_expect_eq(cli_flush(CLI_GOOD), CLI_TROUBLE);
    fflush(stderr);
    cr_expect_stderr_eq_str("etcdsd: standard output: No space left on device\n");
}

Test(cli, errors_that_have_a_remedy_name_it)
{
    static const struct {
        int error;
        const char *word;
    } hints[] = {
        { LIBSD_EUNAVAILABLE, "--endpoints" },
        { LIBSD_ETIMEDOUT, "--endpoints" },
        { LIBSD_EAUTH, "--password" },
        { LIBSD_EDENIED, "grant-permission" },
        { LIBSD_ETLS, "--cacert" },
        { LIBSD_EPROTOCOL, "client port" },
        { LIBSD_ENOSPACE, "defragment" },
    };

    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        cr_expect_not_null(strstr(cli_hint(hints[i].error), hints[i].word), "%s", hints[i].word);
    cr_expect_null(cli_hint(LIBSD_ENOMEM));
}

/* ---- names -------------------------------------------------------------- */

Test(cli, services_and_owner_names_lead_to_each_other)
{
    char name[TABLE_MAX_NAME + 1], service[TABLE_MAX_NAME + 1], longest[300];

    cr_assert(cli_owner_name("shop/cart/x", "service.etcd", name));
    cr_expect_str_eq(name, "x.cart.shop.service.etcd");
    cli_service_of(name, 12, service);
    cr_expect_str_eq(service, "shop/cart/x");
    cli_service_of("service.etcd", 12, service);
    cr_expect_str_eq(service, "");
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    cr_expect_not(cli_owner_name(longest, "service.etcd", name));
    longest[TABLE_MAX_NAME - 13] = '\0';
    cr_expect(cli_owner_name(longest, "service.etcd", name));
    cr_expect_eq(strlen(name), TABLE_MAX_NAME);
}
