/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Messages: levels, limits, safe keys, and a reader that does not read.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../nss/watcher/log.h"

static int ends[2];

static void setup(void)
{
    unsetenv("JOURNAL_STREAM");
    cr_assert_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
}

TestSuite(log, .init = setup);

/* All that is in the pipe. */
static const char *output(void)
{
    static char text[1 << 17];
    ssize_t size = read(ends[0], text, sizeof text - 1);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;

    for (; (text = strchr(text, '\n')) != NULL; text++)
        count++;
    return count;
}

Test(log, line_says_who_and_how_grave)
{
    log_open(ends[1], LOG_LEVEL_INFO);
    log_line(LOG_LEVEL_WARNING, "%s is %d", "x", 7);
    cr_expect_str_eq(output(), "etcdsd-watcher: warning: x is 7\n");
}

Test(log, line_for_the_journal_begins_with_its_level)
{
    struct stat st;
    char stream[64];

    cr_assert_eq(fstat(ends[1], &st), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_open(ends[1], LOG_LEVEL_INFO);
    log_line(LOG_LEVEL_ERROR, "x");
    cr_expect_str_eq(output(), "<3>x\n");
}

Test(log, journal_stream_of_somebody_else_does_not_count)
{
    setenv("JOURNAL_STREAM", "1:2", 1);
    log_open(ends[1], LOG_LEVEL_INFO);
    log_line(LOG_LEVEL_ERROR, "x");
    cr_expect_str_eq(output(), "etcdsd-watcher: error: x\n");
}

Test(log, less_important_lines_are_left_out)
{
    log_open(ends[1], LOG_LEVEL_WARNING);
    log_line(LOG_LEVEL_INFO, "x");
    log_line(LOG_LEVEL_DEBUG, "x");
    cr_expect_str_eq(output(), "");
    log_line(LOG_LEVEL_ERROR, "y");
    cr_expect_str_eq(output(), "etcdsd-watcher: error: y\n");
}

Test(log, budget_is_of_one_second)
{
    struct log_budget budget = { 0 };

    for (int i = 0; i < LOG_BURST; i++)
        cr_expect(log_budget_take(&budget, 5));
    cr_expect_not(log_budget_take(&budget, 5));
    cr_expect_not(log_budget_take(&budget, 5));
    cr_expect_eq(log_budget_reap(&budget, 5), 0, "the second is not over");
    cr_expect(log_budget_take(&budget, 6));
    cr_expect_eq(log_budget_reap(&budget, 7), 2);
    cr_expect_eq(log_budget_reap(&budget, 8), 0);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

Test(log, flood_is_cut_and_then_counted, .timeout = 20)
{
    double deadline = now() + 10;
    const char *text = "";

    log_open(ends[1], LOG_LEVEL_INFO);
    for (int i = 0; i < 1000; i++)
        log_line(LOG_LEVEL_WARNING, "flood");
    /* The thousand may have met the turn of a second. */
    cr_expect_leq(count_lines(output()), 2 * LOG_BURST + 1);
    log_line(LOG_LEVEL_ERROR, "something else");
    cr_expect_not_null(strstr(output(), "something else"));
    while (strstr(text, "suppressed") == NULL && now() < deadline) {
        log_tick();
        text = output();
    }
    cr_expect_not_null(strstr(text, "messages of level warning"), "%s", text);
}

Test(log, reader_that_stopped_reading_does_not_stop_us, .timeout = 10)
{
    struct stat st;

    log_open(ends[1], LOG_LEVEL_INFO);
    cr_assert_eq(fcntl(ends[1], F_SETFL, 0), 0); /* a blocking pipe, as stderr is */
    cr_assert_gt(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
    for (int i = 0; i < LOG_BURST; i++)
        log_line(LOG_LEVEL_WARNING, "%0500d", i);
    cr_expect_eq(fstat(ends[1], &st), 0);
    cr_expect_lt(count_lines(output()), LOG_BURST);
}

Test(log, key_is_one_safe_line)
{
    char buffer[LOG_QUOTE_SIZE], longest[LOG_QUOTE_BYTES + 1];

    cr_expect_str_eq(log_quote(buffer, "/service/a b", 12), "\"/service/a b\"");
    cr_expect_str_eq(log_quote(buffer, "a\n\x1b[\0\"\\\xff", 8),
                     "\"a\\x0a\\x1b[\\x00\\x22\\x5c\\xff\"");
    cr_expect_str_eq(log_quote(buffer, "", 0), "\"\"");
    memset(longest, '\n', sizeof longest);
    log_quote(buffer, longest, sizeof longest);
    cr_expect_eq(strlen(buffer), LOG_QUOTE_SIZE - 1);
    cr_expect_str_eq(buffer + strlen(buffer) - 4, "\"...");
    log_quote(buffer, longest, sizeof longest - 1);
    cr_expect_eq(strlen(buffer), LOG_QUOTE_SIZE - 4);
}

Test(log, levels_have_names)
{
    cr_expect_eq(log_level_parse("error"), 3);
    cr_expect_eq(log_level_parse("warning"), 4);
    cr_expect_eq(log_level_parse("info"), 6);
    cr_expect_eq(log_level_parse("debug"), 7);
    cr_expect_eq(log_level_parse("loud"), -1);
}
