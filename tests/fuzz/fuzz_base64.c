/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Base64: what is decoded encodes to itself, in place or not.
 */
#include "base64.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t encoded_size = base64_size(size);
    char *encoded = malloc(encoded_size ? encoded_size : 1), *text = malloc(size ? size : 1);
    uint8_t *decoded = malloc(size ? size : 1);
    ssize_t length;

    /* Any bytes, there and back. */
    require(base64_encode(encoded, data, size) == encoded_size);
    require(base64_decode(decoded, encoded, encoded_size) == (ssize_t)size);
    require(size == 0 || memcmp(decoded, data, size) == 0);

    /* The input as text: apart and in place give the same. */
    if (size > 0)
        memcpy(text, data, size);
    length = base64_decode(decoded, text, size);
    require(length >= -1 && length <= (ssize_t)(size / 4 * 3 + size % 4));
    require(base64_decode(text, text, size) == length);
    require(length <= 0 || memcmp(text, decoded, (size_t)length) == 0);

    /* As many characters as so many bytes need. */
    while (size > 0 && data[size - 1] == '=')
        size--;
    require(length < 0 || ((size_t)length * 4 + 2) / 3 == size);
    free(decoded);
    free(text);
    free(encoded);
    return 0;
}
