/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Base64 as etcd's JSON gateway speaks it (RFC 4648, section 4).
 */
#ifndef LIBSD_BASE64_H
#define LIBSD_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* Characters that size bytes become. */
size_t base64_size(size_t size);

/* Encodes with padding, without terminator.  Returns the characters written. */
size_t base64_encode(char *out, const void *data, size_t size);

/* Decodes; out may be the text itself, as it never grows.  Takes the standard
 * and the url-safe alphabet (etcd 3.6's protojson may choose), with padding or
 * without.  Returns the bytes written, or -1 if the text is not base64. */
ssize_t base64_decode(void *out, const char *text, size_t size);

#endif
