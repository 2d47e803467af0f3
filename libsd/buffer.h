/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A growing run of bytes.  Appending never reports: a failed allocation is
 * remembered in .failed and looked at once, when the text is complete.
 */
#ifndef LIBSD_BUFFER_H
#define LIBSD_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "libsd.h"

struct buffer {
    char *data;
    size_t size;
    size_t capacity;
    bool failed;
};

/* Makes room for more bytes behind size.  Returns false when out of memory. */
bool buffer_reserve(struct buffer *buffer, size_t more);

void buffer_add(struct buffer *buffer, const void *data, size_t size);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes: "..." */
void buffer_json_string(struct buffer *buffer, const char *text);
void buffer_json_text(struct buffer *buffer, libsd_slice text);

/* A JSON string holding standard base64, as etcd's gateway wants bytes. */
void buffer_base64(struct buffer *buffer, libsd_slice bytes);

void buffer_free(struct buffer *buffer);

#endif
