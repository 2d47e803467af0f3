/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the fuzz targets share.  A target defines LLVMFuzzerTestOneInput();
 * libFuzzer (make fuzz) or replay.c (make check, AFL++) calls it.
 */
#ifndef ETCDSD_TESTS_FUZZ_H
#define ETCDSD_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What else than a sanitizer's report is a failure. */
#define require(condition)                                                                 \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

/* The part of an input that was not used yet. */
struct input {
    const uint8_t *data;
    size_t size;
};

/* The next bytes as a number, little endian; zeros behind the end. */
static inline uint64_t take(struct input *input, unsigned bytes)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < bytes && input->size > 0; i++, input->data++, input->size--)
        number |= (uint64_t)*input->data << 8 * i;
    return number;
}

/* The next `size` bytes, or as many as there are, in memory of just that size
 * and a terminator; free() it. */
static inline char *take_text(struct input *input, size_t size)
{
    char *text;

    if (size > input->size)
        size = input->size;
    text = malloc(size + 1);
    require(text != NULL);
    if (size > 0)
        memcpy(text, input->data, size);
    text[size] = '\0';
    input->data += size;
    input->size -= size;
    return text;
}

#endif
