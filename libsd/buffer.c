/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A growing run of bytes, and the two ways text gets into a JSON request.
 */
#include "buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base64.h"

bool buffer_reserve(struct buffer *buffer, size_t more)
{
    size_t capacity = buffer->capacity ? buffer->capacity : 256;
    char *data;

    if (buffer->failed || more > SIZE_MAX / 4 - buffer->size)
        goto fail;
    if (buffer->capacity - buffer->size >= more)
        return true;
    while (capacity - buffer->size < more)
        capacity *= 2;
    data = realloc(buffer->data, capacity);
    if (!data)
        goto fail;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
fail:
    buffer->failed = true;
    return false;
}

void buffer_add(struct buffer *buffer, const void *data, size_t size)
{
    if (size && buffer_reserve(buffer, size)) {
        memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
    }
}

void buffer_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
    char text[256];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof text)
        buffer->failed = true;
    else
        buffer_add(buffer, text, (size_t)size);
}

void buffer_json_string(struct buffer *buffer, const char *text)
{
    buffer_json_text(buffer, libsd_str(text));
}

void buffer_json_text(struct buffer *buffer, libsd_slice text)
{
    const char *end = (const char *)text.data + text.size;

    buffer_text(buffer, "\"");
    for (const char *c = text.data; c < end; c++) {
        if (*c == '"' || *c == '\\')
            buffer_text(buffer, "\\");
        if ((unsigned char)*c < ' ')
            buffer_format(buffer, "\\u%04x", *c);
        else
            buffer_add(buffer, c, 1);
    }
    buffer_text(buffer, "\"");
}

void buffer_base64(struct buffer *buffer, libsd_slice bytes)
{
    if (!buffer_reserve(buffer, 2 + base64_size(bytes.size)))
        return;
    buffer->data[buffer->size++] = '"';
    buffer->size += base64_encode(buffer->data + buffer->size, bytes.data, bytes.size);
    buffer->data[buffer->size++] = '"';
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){ 0 };
}
