/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See out.h.
 */
#include "out.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "arguments.h"
#include "say.h"

/* ---- text --------------------------------------------------------------- */

static bool continues(const unsigned char *bytes, size_t count)
{
    for (size_t i = 1; i <= count; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return false;
    }
    return true;
}

/* Table 3-7 of the Unicode standard: no overlong forms, no surrogates. */
size_t cli_utf8(const unsigned char *bytes, size_t size)
{
    unsigned char first = bytes[0];
    size_t more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;

    if (first >= 0x80 && (first < 0xc2 || first > 0xf4))
        return 0;
    if (more >= size || !continues(bytes, more))
        return 0;
    if ((first == 0xe0 && bytes[1] < 0xa0) || (first == 0xed && bytes[1] > 0x9f) ||
        (first == 0xf0 && bytes[1] < 0x90) || (first == 0xf4 && bytes[1] > 0x8f))
        return 0;
    return more + 1;
}

/* C0 and C1 controls, which a terminal may take as orders. */
static bool is_control(const unsigned char *bytes, size_t size)
{
    return size == 1 ? bytes[0] < ' ' || bytes[0] == 0x7f
                     : size == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0;
}

void cli_print(FILE *to, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    while (size) {
        size_t length = cli_utf8(at, size);

        if (length == 0 || is_control(at, length)) {
            fprintf(to, "\\x%02x", at[0]);
            length = 1;
        } else {
            fwrite(at, 1, length, to);
        }
        at += length;
        size -= length;
    }
}

void cli_print_text(FILE *to, const char *text)
{
    cli_print(to, text, strlen(text));
}

/* ---- JSON --------------------------------------------------------------- */

static void put_string(struct cli_json *json, const unsigned char *at, size_t size)
{
    fputc('"', json->to);
    for (; size; at++, size--) {
        if (*at == '"' || *at == '\\')
            fprintf(json->to, "\\%c", *at);
        else if (*at == '\n')
            fputs("\\n", json->to);
        else if (*at == '\t')
            fputs("\\t", json->to);
        else if (*at < ' ' || *at == 0x7f)
            fprintf(json->to, "\\u%04x", *at);
        else
            fputc(*at, json->to);
    }
    fputc('"', json->to);
}

static void put_name(struct cli_json *json, const char *name)
{
    if (json->comma[json->depth])
        fputc(',', json->to);
    json->comma[json->depth] = true;
    if (name)
        fprintf(json->to, "\"%s\":", name);
}

static void begin(struct cli_json *json, const char *name, char bracket)
{
    put_name(json, name);
    fputc(bracket, json->to);
    if (json->depth < CLI_JSON_DEPTH)
        json->depth++;
    json->comma[json->depth] = false;
}

static void end(struct cli_json *json, char bracket)
{
    fputc(bracket, json->to);
    json->depth--;
    if (json->depth == 0) { /* the next one is a text of its own */
        fputc('\n', json->to);
        json->comma[0] = false;
    }
}

void cli_json_object(struct cli_json *json, const char *name)
{
    begin(json, name, '{');
}

void cli_json_object_end(struct cli_json *json)
{
    end(json, '}');
}

void cli_json_array(struct cli_json *json, const char *name)
{
    begin(json, name, '[');
}

void cli_json_array_end(struct cli_json *json)
{
    end(json, ']');
}

static void put_base64(struct cli_json *json, const unsigned char *at, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    fputc('"', json->to);
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)at[i] << 16;

        three |= i + 1 < size ? (uint32_t)at[i + 1] << 8 : 0;
        three |= i + 2 < size ? at[i + 2] : 0;
        fputc(digits[three >> 18], json->to);
        fputc(digits[three >> 12 & 63], json->to);
        fputc(i + 1 < size ? digits[three >> 6 & 63] : '=', json->to);
        fputc(i + 2 < size ? digits[three & 63] : '=', json->to);
    }
    fputc('"', json->to);
}

static bool is_utf8(const unsigned char *at, size_t size)
{
    while (size) {
        size_t length = cli_utf8(at, size);

        if (length == 0)
            return false;
        at += length;
        size -= length;
    }
    return true;
}

void cli_json_bytes(struct cli_json *json, const char *name, const void *bytes, size_t size)
{
    char longer[80];

    if (is_utf8(bytes, size)) {
        put_name(json, name);
        put_string(json, bytes, size);
        return;
    }
    snprintf(longer, sizeof longer, "%s_base64", name ? name : "");
    put_name(json, longer);
    put_base64(json, bytes, size);
}

void cli_json_text(struct cli_json *json, const char *name, const char *text)
{
    cli_json_bytes(json, name, text, strlen(text));
}

void cli_json_number(struct cli_json *json, const char *name, int64_t number)
{
    put_name(json, name);
    fprintf(json->to, "%" PRId64, number);
}

void cli_json_bool(struct cli_json *json, const char *name, bool yes)
{
    put_name(json, name);
    fputs(yes ? "true" : "false", json->to);
}

void cli_json_id(struct cli_json *json, const char *name, uint64_t id)
{
    put_name(json, name);
    fprintf(json->to, "\"%" PRIx64 "\"", id);
}

int cli_flush(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return cli_fail(CLI_TROUBLE, NULL, NULL, "standard output: %s", strerror(errno));
}
