/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Configuration files: what lines mean, and where slips are.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../libsd/conf.h"

/* All entries as "section|key|value;", then "!line why" if that ends them.  The
 * text lies in memory of just its size and one. */
static const char *read_all(const char *text, size_t size)
{
    static char said[1000];
    char *copy = malloc(size + 1);
    struct conf conf;
    struct conf_entry entry;
    size_t used = 0;

    cr_assert_not_null(copy);
    memcpy(copy, text, size);
    conf_init(&conf, copy, size);
    said[0] = '\0';
    while (conf_next(&conf, &entry))
        used += (size_t)snprintf(said + used, sizeof said - used, "%s|%s|%s;", conf.section,
                                 entry.key, entry.value);
    if (conf.why)
        snprintf(said + used, sizeof said - used, "!%u %s", conf.line, conf.why);
    free(copy);
    return said;
}

static const char *says(const char *text)
{
    return read_all(text, strlen(text));
}

Test(conf, lines_are_keys_with_values)
{
    cr_expect_str_eq(says(""), "");
    cr_expect_str_eq(says("\n\n"), "");
    cr_expect_str_eq(says("a=1"), "|a|1;");
    cr_expect_str_eq(says("  a\t =  one two \t\r\nb=\n"), "|a|one two;|b|;");
    cr_expect_str_eq(says("a = b = c"), "|a|b = c;");
    cr_expect_str_eq(says("\xef\xbb\xbf"
                          "a=1"),
                     "|a|1;");
}

Test(conf, comments_begin_lines_or_follow_blanks)
{
    cr_expect_str_eq(says("# a=1\n  # b=2\na=1#2\nb=1 #2\nc=#\nd = # x"), "|a|1#2;|b|1;|c|;|d|;");
}

Test(conf, quotes_keep_what_they_hold)
{
    cr_expect_str_eq(says("a = \" x # y \" # z"), "|a| x # y ;");
    cr_expect_str_eq(says("a = \"say \\\"hi\\\" \\\\ \\n\""), "|a|say \"hi\" \\ \\n;");
    cr_expect_str_eq(says("a = \"\""), "|a|;");
    cr_expect_str_eq(says("a = x \"y\""), "|a|x \"y\";");
}

Test(conf, sections_hold_what_follows)
{
    cr_expect_str_eq(says("a=1\n[etcd]\nb=2\n [ zone in ] # x\nc=3\n[etcd]\nd=4"),
                     "|a|1;etcd|b|2;zone in|c|3;etcd|d|4;");
}

Test(conf, what_is_no_line_is_named_with_its_number)
{
    cr_expect_str_eq(says("a=1\n\nwords"), "|a|1;!3 is not 'key = value'");
    cr_expect_str_eq(says("=1"), "!1 has no key before '='");
    cr_expect_str_eq(says("[a"), "!1 is not '[section]'");
    cr_expect_str_eq(says("[a] b"), "!1 is not '[section]'");
    cr_expect_str_eq(says("[ ]"), "!1 names no section");
    cr_expect_str_eq(says("a=\"b"), "!1 has no closing quote");
    cr_expect_str_eq(says("a=\"b\\"), "!1 has no closing quote");
    cr_expect_str_eq(says("a=\"b\\\""), "!1 has no closing quote");
    cr_expect_str_eq(says("a=\"b\"c"), "!1 goes on behind the closing quote");
    cr_expect_str_eq(read_all("a=1\nb\0=2\n", 9), "|a|1;!2 holds a NUL byte");
}

Test(conf, slips_are_recognised)
{
    static const char *const words[] = { "endpoints", "key", "ttl", "timeout-ms", "user" };

#define NEAREST(slip) conf_nearest(slip, words, sizeof words / sizeof words[0])
    cr_expect_str_eq(NEAREST("endpoint"), "endpoints");
    cr_expect_str_eq(NEAREST("ednpoints"), "endpoints");
    cr_expect_str_eq(NEAREST("timeout_ms"), "timeout-ms");
    cr_expect_str_eq(NEAREST("ky"), "key");
    cr_expect_str_eq(NEAREST("usre"), "user");
    cr_expect_str_eq(NEAREST("tlt"), "ttl");
    cr_expect_null(NEAREST("table"));
    cr_expect_null(NEAREST("domain"));
    cr_expect_null(NEAREST(""));
    cr_expect_null(NEAREST("a-word-that-is-longer-than-any-option-there-is"));
}

Test(conf, files_are_read_whole_and_have_a_limit)
{
    char path[] = "/tmp/test_conf.XXXXXX";
    int fd = mkstemp(path);
    char *text = NULL;
    size_t size = 0;

    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, "a=1\n", 4), 4);
    cr_expect_eq(conf_load(path, &text, &size), 0);
    cr_expect_eq(size, 4);
    cr_expect_eq(memcmp(text, "a=1\n", 4), 0);
    free(text);
    cr_assert_eq(ftruncate(fd, (off_t)CONF_MAX), 0);
    cr_expect_eq(conf_load(path, &text, &size), 0);
    cr_expect_eq(size, CONF_MAX);
    free(text);
    cr_assert_eq(ftruncate(fd, (off_t)CONF_MAX + 1), 0);
    cr_expect_eq(conf_load(path, &text, &size), EFBIG);
    cr_expect_null(text);
    cr_expect_eq(conf_load("/", &text, &size), EISDIR);
    cr_expect_eq(conf_load("/dev/zero", &text, &size), EINVAL);
    cr_expect_eq(conf_load("/nonexistent", &text, &size), ENOENT);
    close(fd);
    unlink(path);
}
