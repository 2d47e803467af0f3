/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Making the values of registrations; see value.h.
 */
#include "value.h"

#include <ctype.h>
#include <stdlib.h>

#include "buffer.h"
#include "json.h"

#define DEPTH_MAX 16

static int read_address(const char *address, libsd_instance *instance, struct failure *failure)
{
    char why[120];
    int rc;

    /* The address goes into JSON as it is: what libsd_instance_parse() takes
     * for one, but for these, needs no escapes there. */
    if (strstr(address, "://") || strpbrk(address, " \t\r\n\"\\"))
        return failure_set(failure, LIBSD_EINVAL, "'%.60s' is not host:port", address);
    rc = libsd_instance_parse("plain", libsd_str(address), instance, sizeof *instance, why,
                              sizeof why);
    if (rc < 0)
        return failure_set(failure, rc, "%s", why);
    if (instance->port == 0)
        return failure_set(failure, LIBSD_EINVAL, "'%.60s' has no port", address);
    return 0;
}

int value_check_address(const char *address, struct failure *failure)
{
    libsd_instance instance;

    return read_address(address, &instance, failure);
}

/* A number as RFC 8259 has it. */
static bool is_number(const char *text, size_t size)
{
    size_t at = size && text[0] == '-';
    size_t whole = at;

    while (at < size && isdigit((unsigned char)text[at]))
        at++;
    if (at == whole || (text[whole] == '0' && at > whole + 1))
        return false;
    if (at < size && text[at] == '.') {
        size_t fraction = ++at;

        while (at < size && isdigit((unsigned char)text[at]))
            at++;
        if (at == fraction)
            return false;
    }
    if (at < size && (text[at] == 'e' || text[at] == 'E')) {
        at += at + 1 < size && (text[at + 1] == '+' || text[at + 1] == '-') ? 2 : 1;
        if (at == size)
            return false;
        while (at < size && isdigit((unsigned char)text[at]))
            at++;
    }
    return at == size;
}

/* Reads a value that others shall be able to read: json_skip() overlooks more
 * than other parsers do. */
static void check_json(struct json *json, unsigned depth)
{
    const char *start;
    libsd_slice name;

    switch (json_peek(json)) {
    case '{':
        json_object(json);
        while (depth < DEPTH_MAX && json_member(json, &name))
            check_json(json, depth + 1);
        break;
    case '[':
        json_array(json);
        while (depth < DEPTH_MAX && json_element(json))
            check_json(json, depth + 1);
        break;
    case '"':
        json_string(json);
        break;
    default:
        start = json->at;
        json_skip(json);
        name = libsd_bytes(start, (size_t)(json->at - start));
        if (!slice_is(name, "true") && !slice_is(name, "false") && !slice_is(name, "null") &&
            !is_number(name.data, name.size))
            json_fail(json, "value expected");
    }
    if (depth == DEPTH_MAX)
        json_fail(json, "nested too deeply");
}

int value_check_metadata(const char *metadata, struct failure *failure)
{
    size_t size = strlen(metadata);
    struct json json;
    char *copy;

    if (size > METADATA_MAX)
        return failure_set(failure, LIBSD_EINVAL, "metadata: %zu bytes are too many", size);
    copy = strdup(metadata); /* its strings are decoded in place */
    if (!copy)
        return failure_set(failure, LIBSD_ENOMEM, "out of memory");
    json_init(&json, copy, size);
    if (json_peek(&json) != '{')
        json_fail(&json, "object expected");
    check_json(&json, 0);
    json_end(&json);
    if (json_failed(&json))
        failure_set(failure, LIBSD_EINVAL, "metadata: %s at byte %zu", json.why,
                    (size_t)(json.at - json.start));
    free(copy);
    return json_failed(&json) ? LIBSD_EINVAL : 0;
}

static char *make_text(const struct value *value)
{
    struct buffer text = { 0 };

    if (!value->weight && !value->priority && !value->metadata)
        return strdup(value->address);
    buffer_text(&text, "{\"addr\":\"");
    buffer_text(&text, value->address);
    buffer_text(&text, "\"");
    if (value->weight)
        buffer_format(&text, ",\"weight\":%u", value->weight);
    if (value->priority)
        buffer_format(&text, ",\"priority\":%u", value->priority);
    if (value->metadata) {
        buffer_text(&text, ",\"metadata\":");
        buffer_text(&text, value->metadata);
    }
    buffer_add(&text, "}", 2);
    if (!text.failed)
        return text.data;
    buffer_free(&text);
    return NULL;
}

struct value *value_new(const char *address, uint32_t weight, uint32_t priority,
                        const char *metadata)
{
    struct value *value = calloc(1, sizeof *value);
    struct failure failure;

    if (!value)
        return NULL;
    value->weight = weight;
    value->priority = priority;
    value->address = strdup(address);
    value->metadata = metadata ? strdup(metadata) : NULL;
    if (value->address && (value->metadata || !metadata) &&
        read_address(address, &value->instance, &failure) == 0)
        value->text = make_text(value);
    if (value->text)
        return value;
    value_free(value);
    return NULL;
}

void value_free(struct value *value)
{
    if (!value)
        return;
    free(value->address);
    free(value->metadata);
    free(value->text);
    free(value);
}
