/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lines out of a stream, however it is cut.
 */
#include <criterion/criterion.h>
#include <libsd.h>
#include <stdlib.h>
#include <string.h>

#include "../../libsd/lines.h"

static struct lines lines;

Test(lines, any_cut_gives_the_same_lines)
{
    static const char stream[] = "one\n\ntwo\nthree";
    static const char *const expected[] = { "one", "", "two" };
    char *line;
    size_t size;

    for (size_t step = 1; step < sizeof stream; step++) {
        size_t count = 0;

        for (size_t at = 0; at < sizeof stream - 1; at += step) {
            size_t left = sizeof stream - 1 - at;

            cr_assert_eq(lines_add(&lines, stream + at, step < left ? step : left), 0);
            while (lines_next(&lines, &line, &size)) {
                cr_assert_lt(count, 3);
                cr_assert_eq(size, strlen(expected[count]));
                cr_assert_arr_eq(line, expected[count], size);
                count++;
            }
        }
        cr_assert_eq(count, 3);
        lines_rest(&lines, &line, &size);
        cr_assert(size == 5 && memcmp(line, "three", 5) == 0);
    }
    lines_free(&lines);
}

Test(lines, buffer_grows_for_a_long_line_and_moves_up)
{
    static char block[100000];
    char *line;
    size_t size;

    memset(block, 'x', sizeof block);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++)
            cr_assert_eq(lines_add(&lines, block, sizeof block), 0);
        cr_assert_not(lines_next(&lines, &line, &size));
        cr_assert_eq(lines_add(&lines, "\nab", 3), 0);
        cr_assert(lines_next(&lines, &line, &size));
        cr_assert_eq(size, 20 * sizeof block + (round ? 2 : 0));
        cr_assert_not(lines_next(&lines, &line, &size));
    }
    cr_assert_lt(lines.capacity, 8 << 20);
    lines_free(&lines);
}

Test(lines, endless_line_is_refused)
{
    static char block[1 << 20];
    int rc = 0;
    int count = 0;

    while (rc == 0 && count < 100) {
        rc = lines_add(&lines, block, sizeof block);
        count++;
    }
    cr_assert_eq(rc, LIBSD_ETOOBIG);
    cr_assert_eq(count, 65);
    lines_free(&lines);
}

Test(lines, empty_stream_has_no_line)
{
    char *line;
    size_t size;

    cr_assert_not(lines_next(&lines, &line, &size));
    lines_rest(&lines, &line, &size);
    cr_assert_eq(size, 0);
}
