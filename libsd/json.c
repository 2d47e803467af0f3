/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A cursor over JSON text (RFC 8259), bounded by [at, end) and by MAX_DEPTH,
 * without recursion.  It is strict about structure and lenient about what it
 * skips: numbers and literals that nobody reads are not checked letter by
 * letter.
 */
#include "json.h"

#include <ctype.h>

#include "base64.h"

#define MAX_DEPTH 64

void json_init(struct json *json, char *text, size_t size)
{
    *json = (struct json){ .at = text, .end = text + size, .start = text, .first = true };
}

void json_fail(struct json *json, const char *why)
{
    if (!json->why)
        json->why = why;
    json->end = json->at;
}

char json_peek(struct json *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\t' || *json->at == '\r'))
        json->at++;
    return json->at < json->end ? *json->at : '\0';
}

static bool expect(struct json *json, char c, const char *why)
{
    if (json_peek(json) != c) {
        json_fail(json, why);
        return false;
    }
    json->at++;
    return true;
}

/* Whether another item follows in the object or array that close ends. */
static bool next(struct json *json, char close)
{
    char c = json_peek(json);

    if (json->why)
        return false;
    if (c == close) {
        json->at++;
        json->first = false;
        return false;
    }
    if (!json->first && !expect(json, ',', "',' expected"))
        return false;
    json->first = false;
    return true;
}

void json_object(struct json *json)
{
    json->first = expect(json, '{', "object expected");
}

bool json_member(struct json *json, libsd_slice *name)
{
    if (!next(json, '}'))
        return false;
    *name = json_string(json);
    return expect(json, ':', "':' expected");
}

void json_array(struct json *json)
{
    json->first = expect(json, '[', "array expected");
}

bool json_element(struct json *json)
{
    return next(json, ']');
}

static int hex4(const char *text)
{
    int value = 0;

    for (int i = 0; i < 4; i++) {
        int c = (unsigned char)text[i];

        if (!isxdigit(c))
            return -1;
        value = value * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return value;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 63));
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    }
    return out;
}

/* Decodes one \uXXXX, or a pair of surrogates, at *in; never grows.  A lone
 * surrogate becomes U+FFFD, as most readers have it. */
static char *unescape_unicode(const char **in, const char *end, char *out)
{
    int high = end - *in >= 4 ? hex4(*in) : -1;
    int low;

    if (high < 0)
        return NULL;
    *in += 4;
    if (high < 0xd800 || high > 0xdfff)
        return put_utf8(out, (uint32_t)high);
    if (high < 0xdc00 && end - *in >= 6 && (*in)[0] == '\\' && (*in)[1] == 'u') {
        low = hex4(*in + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            *in += 6;
            return put_utf8(out, 0x10000 + ((uint32_t)(high & 0x3ff) << 10) + (low & 0x3ff));
        }
    }
    return put_utf8(out, 0xfffd);
}

/* Decodes escapes in [text, text + size) in place.  Returns the new size, or
 * -1. */
static ssize_t unescape(char *text, size_t size)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *in = text;
    const char *end = text + size;
    char *out = text;

    while (in < end) {
        const char *found;

        if (*in != '\\') {
            *out++ = *in++;
            continue;
        }
        if (++in == end)
            return -1;
        if (*in == 'u') {
            in++;
            out = unescape_unicode(&in, end, out);
            if (!out)
                return -1;
            continue;
        }
        found = *in ? strchr(from, *in) : NULL;
        if (!found)
            return -1;
        *out++ = to[found - from];
        in++;
    }
    return out - text;
}

libsd_slice json_string(struct json *json)
{
    libsd_slice string = { "", 0 };
    bool escaped = false;
    char *start;
    char *at;

    if (!expect(json, '"', "string expected"))
        return string;
    start = at = json->at;
    while (at < json->end && *at != '"') {
        if ((unsigned char)*at < ' ') {
            json->at = at;
            json_fail(json, "control character in a string");
            return string;
        }
        if (*at == '\\') {
            escaped = true;
            at++;
        }
        at++;
    }
    if (at >= json->end) {
        json_fail(json, "string without end");
        return string;
    }
    string.data = start;
    string.size = (size_t)(at - start);
    if (escaped) {
        ssize_t size = unescape(start, string.size);

        if (size < 0) {
            json_fail(json, "bad escape in a string");
            return (libsd_slice){ "", 0 };
        }
        string.size = (size_t)size;
    }
    json->at = at + 1;
    return string;
}

libsd_slice json_bytes(struct json *json)
{
    libsd_slice bytes = json_string(json);
    ssize_t size;

    if (json->why || bytes.size == 0)
        return bytes;
    /* The slice lies inside our own writable text. */
    char *text = json->start + ((const char *)bytes.data - json->start);

    size = base64_decode(text, text, bytes.size);
    if (size < 0) {
        json_fail(json, "bad base64");
        size = 0;
    }
    bytes.size = (size_t)size;
    return bytes;
}

static bool is_plain(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '+' || c == '.';
}

/* A number or literal, as the characters it is made of. */
static libsd_slice word(struct json *json)
{
    libsd_slice slice = { "", 0 };

    if (json_peek(json) == '\0') {
        json_fail(json, "value expected");
        return slice;
    }
    slice.data = json->at;
    while (json->at < json->end && is_plain(*json->at))
        json->at++;
    slice.size = (size_t)(json->at - (const char *)slice.data);
    if (slice.size == 0)
        json_fail(json, "value expected");
    return slice;
}

bool json_bool(struct json *json)
{
    libsd_slice slice = word(json);

    if (slice_is(slice, "true"))
        return true;
    if (!slice_is(slice, "false"))
        json_fail(json, "true or false expected");
    return false;
}

/* Decimal digits up to limit, after an optional minus. */
static uint64_t integer(struct json *json, bool *negative, uint64_t limit)
{
    libsd_slice slice = json_peek(json) == '"' ? json_string(json) : word(json);
    const char *digit = slice.data;
    const char *end = digit + slice.size;
    uint64_t value = 0;

    *negative = digit < end && *digit == '-';
    digit += *negative;
    if (digit == end)
        json_fail(json, "number expected");
    for (; digit < end; digit++) {
        unsigned n = (unsigned)(*digit - '0');

        if (n > 9 || value > limit / 10 || value * 10 > limit - n) {
            json_fail(json, "whole number expected");
            return 0;
        }
        value = value * 10 + n;
    }
    return value;
}

int64_t json_int64(struct json *json)
{
    bool negative;
    uint64_t value = integer(json, &negative, INT64_MAX);

    return negative ? -(int64_t)value : (int64_t)value;
}

uint64_t json_uint64(struct json *json)
{
    bool negative;
    uint64_t value = integer(json, &negative, UINT64_MAX);

    if (negative)
        json_fail(json, "number is negative");
    return value;
}

void json_skip(struct json *json)
{
    char open[MAX_DEPTH]; /* the bracket that ends each level */
    unsigned depth = 0;

    do {
        char c = json_peek(json);

        if (depth && (c == ',' || c == ':')) {
            json->at++;
            continue;
        }
        if (c == '{' || c == '[') {
            if (depth == MAX_DEPTH) {
                json_fail(json, "nested too deeply");
                return;
            }
            open[depth++] = c == '{' ? '}' : ']';
            json->at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0 || open[--depth] != c) {
                json_fail(json, "value expected");
                return;
            }
            json->at++;
        } else if (c == '"') {
            json_string(json);
        } else {
            word(json);
        }
    } while (!json->why && depth);
    json->first = false;
}

void json_end(struct json *json)
{
    if (json_peek(json) != '\0' || json->at < json->end)
        json_fail(json, "text after the end");
}
