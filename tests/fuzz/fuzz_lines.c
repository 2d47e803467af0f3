/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A stream that comes in pieces: its lines, joined, are the stream.
 */
#include "fuzz.h"
#include "lines.h"

static char *joined;
static size_t used;

static void join(const char *text, size_t size, const char *end)
{
    if (size > 0)
        memcpy(joined + used, text, size);
    used += size;
    memcpy(joined + used, end, strlen(end));
    used += strlen(end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    size_t step = 1 + take(&input, 1) * take(&input, 1), reads = take(&input, 1) % 3;
    const char *text = (const char *)input.data;
    size_t length = input.size, line_size;
    struct lines lines = { 0 };
    char *line;

    joined = malloc(length + 1);
    used = 0;
    for (size_t at = 0, some; at < length; at += some) {
        some = length - at < step ? length - at : step;
        require(lines_add(&lines, text + at, some) == 0);
        /* A reader may leave lines for later. */
        for (size_t i = 0; i < reads && lines_next(&lines, &line, &line_size); i++) {
            require(memchr(line, '\n', line_size) == NULL);
            memset(line + line_size, 'x', 1); /* writable, its newline included */
            join(line, line_size, "\n");
        }
    }
    while (lines_next(&lines, &line, &line_size))
        join(line, line_size, "\n");
    lines_rest(&lines, &line, &line_size);
    join(line, line_size, "");
    require(used == length && memcmp(joined, text, length) == 0);
    require(!lines_next(&lines, &line, &line_size));
    lines_free(&lines);
    free(joined);
    return 0;
}
