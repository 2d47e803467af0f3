/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the value of a registration says, whoever wrote it.
 *
 * Values come from other programs.  One pass with a bounded cursor, no
 * recursion, nothing allocated but a copy of JSON (its strings are decoded in
 * place); what is not understood is refused with the place, so that one bad
 * value costs one instance and can be found.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "libsd.h"

#define VALUE_MAX       ((size_t)64 << 10)
#define WEIGHT_MAX      65535
#define HOST_NAME_BYTES 253 /* RFC 1035 names without the trailing dot */
#define LABEL_MAX       63

/* Where reading stands, and where complaints go. */
struct reading {
    libsd_instance *instance;
    libsd_slice scheme; /* of the endpoint wanted; empty: any */
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int bad(struct reading *reading, const char *format,
                                                     ...)
{
    va_list args;

    if (reading->why && reading->why_size) {
        va_start(args, format);
        vsnprintf(reading->why, reading->why_size, format, args);
        va_end(args);
        for (char *c = reading->why; *c; c++) {
            if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
                *c = '?';
        }
    }
    return LIBSD_EINVAL;
}

/* For messages: as much of a text as one wants to see. */
#define SHOWN(slice) ((slice).size < 40 ? (int)(slice).size : 40), (const char *)(slice).data

static libsd_slice part(libsd_slice text, size_t from, size_t to)
{
    return libsd_bytes((const char *)text.data + from, to - from);
}

static size_t find(libsd_slice text, char c)
{
    const char *found = text.size ? memchr(text.data, c, text.size) : NULL;

    return found ? (size_t)(found - (const char *)text.data) : text.size;
}

static libsd_slice trim(libsd_slice text)
{
    const char *data = text.data;
    size_t from = 0;
    size_t to = text.size;

    while (from < to && isspace((unsigned char)data[from]))
        from++;
    while (to > from && isspace((unsigned char)data[to - 1]))
        to--;
    return part(text, from, to);
}

/* ---- hosts and ports ---------------------------------------------------- */

static int read_port(struct reading *reading, libsd_slice text)
{
    const char *digit = text.data;
    unsigned port = 0;

    for (size_t i = 0; i < text.size; i++) {
        if (!isdigit((unsigned char)digit[i]) || text.size > 5)
            return bad(reading, "port '%.*s' is not a number from 1 to 65535", SHOWN(text));
        port = port * 10 + (unsigned)(digit[i] - '0');
    }
    if (port == 0 || port > 65535)
        return bad(reading, "port '%.*s' is not a number from 1 to 65535", SHOWN(text));
    reading->instance->port = (uint16_t)port;
    return 0;
}

static bool read_ip(struct reading *reading, libsd_slice text, int family)
{
    libsd_instance *instance = reading->instance;
    char copy[INET6_ADDRSTRLEN];

    if (text.size >= sizeof copy || memchr(text.data, '\0', text.size))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (inet_pton(family, copy, instance->address) != 1)
        return false;
    instance->family = family == AF_INET ? 4 : 6;
    return inet_ntop(family, instance->address, instance->host, sizeof instance->host) != NULL;
}

static int read_ipv6(struct reading *reading, libsd_slice text)
{
    /* A zone id names an interface of the host that wrote it. */
    if (find(text, '%') < text.size)
        return bad(reading, "'%.*s' has a zone id", SHOWN(text));
    if (!read_ip(reading, text, AF_INET6))
        return bad(reading, "'%.*s' is not an IPv6 address", SHOWN(text));
    return 0;
}

static bool is_host_name(libsd_slice text)
{
    const char *c = text.data;
    size_t label = 0;
    bool number = true; /* of the last label */

    if (text.size && c[text.size - 1] == '.')
        text.size--;
    if (text.size == 0 || text.size > HOST_NAME_BYTES)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (c[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
            number = true;
            continue;
        }
        if (!isalnum((unsigned char)c[i]) && c[i] != '-' && c[i] != '_')
            return false;
        number = number && isdigit((unsigned char)c[i]);
        if (++label > LABEL_MAX)
            return false;
    }
    /* No top-level domain is a number: that was meant to be an address. */
    return label > 0 && !number;
}

/* An IPv4 address or a name. */
static int read_host(struct reading *reading, libsd_slice text)
{
    libsd_instance *instance = reading->instance;

    if (text.size == 0)
        return bad(reading, "there is no host");
    if (read_ip(reading, text, AF_INET))
        return 0;
    if (!is_host_name(text))
        return bad(reading, "'%.*s' is neither an address nor a host name", SHOWN(text));
    memcpy(instance->host, text.data, text.size);
    instance->host[text.size] = '\0';
    return 0;
}

/* host, host:port, [v6], [v6]:port or a bare v6. */
static int read_address(struct reading *reading, libsd_slice text)
{
    const char *data = text.data;
    size_t colon = find(text, ':');
    int rc;

    if (text.size && data[0] == '[') {
        size_t close = find(text, ']');

        if (close == text.size)
            return bad(reading, "'[' without ']'");
        rc = read_ipv6(reading, part(text, 1, close));
        if (rc < 0 || close + 1 == text.size)
            return rc;
        if (data[close + 1] != ':')
            return bad(reading, "'%.*s' behind ']'", SHOWN(part(text, close + 1, text.size)));
        return read_port(reading, part(text, close + 2, text.size));
    }
    if (colon == text.size)
        return read_host(reading, text);
    if (memchr(data + colon + 1, ':', text.size - colon - 1))
        return read_ipv6(reading, text);
    rc = read_host(reading, part(text, 0, colon));
    return rc < 0 ? rc : read_port(reading, part(text, colon + 1, text.size));
}

/* ---- plain -------------------------------------------------------------- */

static bool is_scheme(libsd_slice text)
{
    const char *c = text.data;

    if (text.size == 0 || !isalpha((unsigned char)c[0]))
        return false;
    for (size_t i = 1; i < text.size; i++) {
        if (!isalnum((unsigned char)c[i]) && c[i] != '+' && c[i] != '-' && c[i] != '.')
            return false;
    }
    return true;
}

static int read_plain(struct reading *reading, libsd_slice text)
{
    const char *mark = memmem(text.data, text.size, "://", 3);
    libsd_instance *instance = reading->instance;
    int rc;

    if (mark) {
        size_t at = (size_t)(mark - (const char *)text.data);
        size_t end;

        if (!is_scheme(part(text, 0, at)))
            return bad(reading, "'%.*s' is not a scheme", SHOWN(part(text, 0, at)));
        text = part(text, at + 3, text.size);
        end = find(text, '/');
        end = find(part(text, 0, end), '?') < end ? find(part(text, 0, end), '?') : end;
        end = find(part(text, 0, end), '#') < end ? find(part(text, 0, end), '#') : end;
        text = part(text, 0, end);
    }
    rc = read_address(reading, text);
    /* A word alone is more often another program's value than a host. */
    if (rc == 0 && instance->family == 0 && instance->port == 0)
        return bad(reading, "'%.*s' is a name without a port", SHOWN(text));
    return rc;
}

/* ---- JSON --------------------------------------------------------------- */

/* Any JSON number or a string holding one, cut to a whole one, at most limit.
 * Weights are advice: a fraction or a giant is no reason to drop an instance. */
static uint32_t read_number(struct json *json, uint32_t limit)
{
    char text[32];
    libsd_slice slice = { "", 0 };
    double number;
    char *end;

    if (json_peek(json) == '"') {
        slice = json_string(json);
    } else {
        const char *start;

        json_peek(json);
        start = json->at;
        json_skip(json);
        slice = libsd_bytes(start, (size_t)(json->at - start));
    }
    if (slice.size == 0 || slice.size >= sizeof text ||
        !(isdigit(*(const unsigned char *)slice.data) || *(const char *)slice.data == '-')) {
        json_fail(json, "number expected");
        return 0;
    }
    memcpy(text, slice.data, slice.size);
    text[slice.size] = '\0';
    number = strtod(text, &end);
    if (*end || number < 0) {
        json_fail(json, "number expected");
        return 0;
    }
    return number < limit ? (uint32_t)number : limit;
}

/* What an object says: which member names the address depends on who wrote it. */
struct object {
    libsd_slice address;
    bool has_address;
    libsd_slice endpoint; /* the one to take of a list */
    bool has_endpoints;
    bool is_delete;
    bool has_port;
    uint32_t port;
};

static bool has_scheme(libsd_slice url, libsd_slice scheme)
{
    return url.size >= scheme.size + 3 && strncasecmp(url.data, scheme.data, scheme.size) == 0 &&
           memcmp((const char *)url.data + scheme.size, "://", 3) == 0;
}

/* A list of URLs, as kratos writes it. */
static void read_endpoints(struct reading *reading, struct json *json, struct object *object)
{
    object->has_endpoints = true;
    json_array(json);
    while (json_element(json)) {
        libsd_slice url;

        if (json_peek(json) != '"') {
            json_skip(json);
            continue;
        }
        url = json_string(json);
        if (!object->endpoint.size && (!reading->scheme.size || has_scheme(url, reading->scheme)))
            object->endpoint = url;
    }
}

static void read_member(struct reading *reading, struct json *json, libsd_slice name,
                        struct object *object)
{
    bool text = json_peek(json) == '"';
    bool null = json_peek(json) == 'n';

    if (slice_is(name, "addr") || slice_is(name, "Addr") || slice_is(name, "address") ||
        slice_is(name, "host")) {
        if (text && !object->has_address) {
            object->address = json_string(json);
            object->has_address = true;
            return;
        }
    } else if (slice_is(name, "endpoints") && json_peek(json) == '[') {
        read_endpoints(reading, json, object);
        return;
    } else if (slice_is(name, "Op") && isdigit((unsigned char)json_peek(json))) {
        object->is_delete = read_number(json, UINT32_MAX) == 1;
        return;
    } else if (!null && slice_is(name, "port")) {
        object->port = read_number(json, UINT32_MAX);
        object->has_port = true;
        return;
    } else if (!null && slice_is(name, "weight")) {
        reading->instance->weight = read_number(json, WEIGHT_MAX);
        return;
    } else if (!null && slice_is(name, "priority")) {
        reading->instance->priority = read_number(json, UINT32_MAX);
        return;
    }
    json_skip(json);
}

static int use_object(struct reading *reading, const struct object *object)
{
    libsd_instance *instance = reading->instance;
    int rc;

    /* etcd's naming/endpoints/internal/update.go: 0 adds, 1 deletes. */
    if (object->is_delete)
        return bad(reading, "it says that the address is deleted");
    if (!object->has_address && object->has_endpoints) {
        if (!object->endpoint.size)
            return bad(reading, "there is no endpoint%s%.*s", reading->scheme.size ? " of " : "",
                       SHOWN(reading->scheme));
        return read_plain(reading, object->endpoint);
    }
    if (!object->has_address)
        return bad(reading, "there is no member addr, Addr, address, host or endpoints");
    if (memmem(object->address.data, object->address.size, "://", 3))
        rc = read_plain(reading, object->address);
    else
        rc = read_address(reading, trim(object->address));
    if (rc < 0 || instance->port || !object->has_port)
        return rc;
    /* SkyDNS leaves ports at 0 that it does not know. */
    if (object->port > 65535)
        return bad(reading, "port %u is above 65535", object->port);
    instance->port = (uint16_t)object->port;
    return 0;
}

static int read_json(struct reading *reading, libsd_slice text)
{
    struct object object = { 0 };
    char *copy = malloc(text.size + 1);
    struct json json;
    libsd_slice name;
    int rc;

    if (!copy)
        return LIBSD_ENOMEM;
    memcpy(copy, text.data, text.size);
    json_init(&json, copy, text.size);
    json_object(&json);
    while (json_member(&json, &name))
        read_member(reading, &json, name, &object);
    json_end(&json);
    if (json_failed(&json))
        rc = bad(reading, "%s at byte %zu", json.why, (size_t)(json.at - json.start));
    else
        rc = use_object(reading, &object);
    free(copy);
    return rc;
}

enum kind {
    KIND_AUTO,
    KIND_PLAIN,
    KIND_JSON,
    KIND_UNKNOWN
};

/* "json", "json:grpc" ... */
static enum kind read_format(const char *format, libsd_slice *scheme)
{
    libsd_slice kind = libsd_str(format ? format : "auto");
    size_t colon = find(kind, ':');

    *scheme = libsd_str("");
    if (colon < kind.size) {
        *scheme = part(kind, colon + 1, kind.size);
        kind.size = colon;
        if (!is_scheme(*scheme))
            return KIND_UNKNOWN;
    }
    return slice_is(kind, "auto")    ? KIND_AUTO
           : slice_is(kind, "plain") ? KIND_PLAIN
           : slice_is(kind, "json")  ? KIND_JSON
                                     : KIND_UNKNOWN;
}

int libsd_instance_parse(const char *format, libsd_slice value, libsd_instance *instance,
                         size_t instance_size, char *why, size_t why_size)
{
    struct reading reading = { .instance = instance, .why = why, .why_size = why_size };
    enum kind kind = read_format(format, &reading.scheme);
    libsd_slice text;

    if (why && why_size)
        *why = '\0';
    if (!instance || instance_size < sizeof *instance || (!value.data && value.size))
        return bad(&reading, "argument missing");
    if (kind == KIND_UNKNOWN)
        return bad(&reading, "unknown format '%.20s'", format);
    memset(instance, 0, instance_size);
    if (value.size > VALUE_MAX)
        return bad(&reading, "%zu bytes are too many", value.size);
    text = trim(value);
    if (text.size == 0)
        return bad(&reading, "the value is empty");
    if (kind == KIND_AUTO)
        kind = *(const char *)text.data == '{' ? KIND_JSON : KIND_PLAIN;
    return kind == KIND_JSON ? read_json(&reading, text) : read_plain(&reading, text);
}
