/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Cuts a stream of bytes into lines.  Starts at 64 KiB and doubles up to
 * 64 MiB: with fragments on, etcd cuts a message at 2 MiB of protobuf, which
 * was measured to become up to 10.3 MB of JSON.  Each byte is looked at once.
 */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#include "libsd.h"

static int make_room(struct lines *lines, size_t more)
{
    size_t waiting = lines->size - lines->taken;
    size_t capacity = lines->capacity ? lines->capacity : LINES_FIRST;
    char *data;

    if (more > LINES_MAX - waiting)
        return LIBSD_ETOOBIG;
    if (lines->taken) {
        memmove(lines->data, lines->data + lines->taken, waiting);
        lines->scanned -= lines->taken;
        lines->size = waiting;
        lines->taken = 0;
    }
    while (capacity - waiting < more)
        capacity *= 2;
    if (capacity == lines->capacity)
        return 0;
    data = realloc(lines->data, capacity);
    if (!data)
        return LIBSD_ENOMEM;
    lines->data = data;
    lines->capacity = capacity;
    return 0;
}

int lines_add(struct lines *lines, const char *data, size_t size)
{
    if (lines->capacity - lines->size < size) {
        int rc = make_room(lines, size);

        if (rc < 0)
            return rc;
    }
    if (size)
        memcpy(lines->data + lines->size, data, size);
    lines->size += size;
    return 0;
}

bool lines_next(struct lines *lines, char **line, size_t *size)
{
    char *newline = NULL;

    if (lines->size > lines->scanned)
        newline = memchr(lines->data + lines->scanned, '\n', lines->size - lines->scanned);
    if (!newline) {
        lines->scanned = lines->size;
        return false;
    }
    *line = lines->data + lines->taken;
    *size = (size_t)(newline - *line);
    lines->taken = lines->scanned = (size_t)(newline - lines->data) + 1;
    if (lines->taken == lines->size)
        lines->taken = lines->scanned = lines->size = 0;
    return true;
}

void lines_rest(struct lines *lines, char **line, size_t *size)
{
    *line = lines->data ? lines->data + lines->taken : NULL;
    *size = lines->size - lines->taken;
    lines->taken = lines->scanned = lines->size = 0;
}

void lines_free(struct lines *lines)
{
    free(lines->data);
    *lines = (struct lines){ 0 };
}
