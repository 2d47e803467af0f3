/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A cursor over JSON text.  It builds nothing: strings and base64 are decoded
 * where they stand, so the text must be writable and what is read points into
 * it.  That makes a page of 5,000 keys one allocation instead of 70,000.
 *
 * Errors stick: after the first one every reader returns zero and loops end,
 * so callers look at json_failed() once.  Reading an object:
 *
 *     json_object(&json);
 *     while (json_member(&json, &name)) {
 *         if (slice_is(name, "revision"))
 *             revision = json_int64(&json);
 *         else
 *             json_skip(&json);
 *     }
 */
#ifndef LIBSD_JSON_H
#define LIBSD_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "libsd.h"

struct json {
    char *at;
    char *end;
    char *start;
    const char *why; /* the first error; NULL: none */
    bool first;      /* nothing was read yet in the innermost object or array */
};

void json_init(struct json *json, char *text, size_t size);

/* First character of the next value ('{', '[', '"', '-', '0'..'9', 't', 'f',
 * 'n'), or 0. */
char json_peek(struct json *json);

void json_object(struct json *json);
/* The next member's name; false behind the last one. */
bool json_member(struct json *json, libsd_slice *name);

void json_array(struct json *json);
/* Whether another element follows; it must be read then. */
bool json_element(struct json *json);

libsd_slice json_string(struct json *json);
/* A string holding base64, decoded. */
libsd_slice json_bytes(struct json *json);
bool json_bool(struct json *json);
/* A number, or a string holding one, as the gateway writes 64-bit numbers. */
int64_t json_int64(struct json *json);
uint64_t json_uint64(struct json *json);
void json_skip(struct json *json);
/* Nothing but space may follow. */
void json_end(struct json *json);

void json_fail(struct json *json, const char *why);
static inline bool json_failed(const struct json *json)
{
    return json->why != NULL;
}

static inline bool slice_is(libsd_slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

/* In the order of etcd's keys: of two the one that ends first is the smaller. */
static inline int slice_compare(libsd_slice a, libsd_slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;

    if (order || a.size == b.size)
        return order;
    return a.size < b.size ? -1 : 1;
}

#endif
