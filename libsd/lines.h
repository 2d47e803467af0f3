/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Cuts a stream of bytes into lines.
 */
#ifndef LIBSD_LINES_H
#define LIBSD_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* [0, taken) was handed out, [taken, size) waits, [taken, scanned) holds no
 * newline. */
struct lines {
    char *data;
    size_t size;
    size_t capacity;
    size_t taken;
    size_t scanned;
};

/* Appends bytes.  Returns 0, LIBSD_ETOOBIG (a line would pass LINES_MAX) or
 * LIBSD_ENOMEM. */
int lines_add(struct lines *lines, const char *data, size_t size);

/* The next whole line, without its newline, writable and valid until the next
 * call of lines_add().  Returns false if there is none. */
bool lines_next(struct lines *lines, char **line, size_t *size);

/* What is left behind the last newline; an etcd stream ends with an error
 * object that has none. */
void lines_rest(struct lines *lines, char **line, size_t *size);

void lines_free(struct lines *lines);

#define LINES_FIRST ((size_t)64 << 10)
#define LINES_MAX   ((size_t)64 << 20)

#endif
