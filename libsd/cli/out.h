/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What etcdsd prints: bytes from etcd as text that is safe on a terminal, and
 * JSON (RFC 8259).
 *
 * JSON is UTF-8, and keys and values of etcd are any bytes.  A member whose
 * bytes are no UTF-8 is written under NAME_base64 in base64 instead of NAME, so
 * that nothing is lost or altered.
 */
#ifndef ETCDSD_CLI_OUT_H
#define ETCDSD_CLI_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The length of the well-formed character (RFC 3629) that begins there, 1 to 4;
 * 0: it is none. */
size_t cli_utf8(const unsigned char *bytes, size_t size);

/* Prints text; what is no printable character is escaped as \xNN. */
void cli_print(FILE *to, const void *bytes, size_t size);
void cli_print_text(FILE *to, const char *text);

/* A writer of JSON.  name: of the member; NULL in an array and at the top. */
#define CLI_JSON_DEPTH 8
struct cli_json {
    FILE *to;
    unsigned depth;
    bool comma[CLI_JSON_DEPTH + 1];
};

void cli_json_object(struct cli_json *json, const char *name);
void cli_json_object_end(struct cli_json *json);
void cli_json_array(struct cli_json *json, const char *name);
void cli_json_array_end(struct cli_json *json);
void cli_json_bytes(struct cli_json *json, const char *name, const void *bytes, size_t size);
void cli_json_text(struct cli_json *json, const char *name, const char *text);
void cli_json_number(struct cli_json *json, const char *name, int64_t number);
void cli_json_bool(struct cli_json *json, const char *name, bool yes);
/* Ids of etcd use all 64 bits, which most readers of JSON can't hold: a string
 * of hexadecimal digits, as etcdctl prints them. */
void cli_json_id(struct cli_json *json, const char *name, uint64_t id);

/* Ends the output of a command: whatever was printed must have arrived.
 * Returns status, or CLI_TROUBLE if it has not: told. */
int cli_flush(int status);

#endif
