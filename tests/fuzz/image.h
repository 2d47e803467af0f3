/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Table images out of a fuzzer's input.
 */
#ifndef ETCDSD_TESTS_FUZZ_IMAGE_H
#define ETCDSD_TESTS_FUZZ_IMAGE_H

#include "fuzz.h"

struct image {
    uint64_t *words; /* free() it */
    size_t bytes;
};

/* The first byte tells of which kind the image is: the bytes as they are; with
 * a good header and slots that lead to records of any content; or a good table
 * of which some words are changed.  Takes what it needs of the input. */
void image_make(struct image *image, struct input *input);

#endif
