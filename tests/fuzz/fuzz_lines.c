/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A stream that comes in pieces: its lines, joined, are the stream.  The input
 * is repeated, or it would never fill the first buffer.
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

/* Feeds the stream in steps, and takes up to `reads` lines after each: a reader
 * may leave lines for later. */
static void feed(struct lines *lines, const char *text, size_t length, size_t step, size_t reads)
{
    size_t size;
    char *line;

    for (size_t at = 0, some; at < length; at += some) {
        some = length - at < step ? length - at : step;
        require(lines_add(lines, text + at, some) == 0);
        for (size_t i = 0; i < reads && lines_next(lines, &line, &size); i++) {
            require(memchr(line, '\n', size) == NULL);
            line[size] = 'x'; /* writable, its newline included */
            join(line, size, "\n");
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    size_t step = 1 + take(&input, 2), reads = take(&input, 1) % 8;
    size_t repeats = 1 + take(&input, 1) % 64, length = repeats * input.size, line_size;
    char *text = malloc(length + 1), *line;
    struct lines lines = { 0 };

    for (size_t i = 0; i < repeats && input.size > 0; i++)
        memcpy(text + i * input.size, input.data, input.size);
    joined = malloc(length + 1);
    used = 0;
    feed(&lines, text, length, step + length / 256, reads);
    while (lines_next(&lines, &line, &line_size))
        join(line, line_size, "\n");
    lines_rest(&lines, &line, &line_size);
    join(line, line_size, "");
    require(used == length && memcmp(joined, text, length) == 0);
    require(!lines_next(&lines, &line, &line_size));
    lines_free(&lines);
    free(joined);
    free(text);
    return 0;
}
