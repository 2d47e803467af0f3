/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A service as the words of a record.
 *
 * The same service always gives the same words, in whatever order its
 * instances come, so "did anything change" is a comparison of words.
 */
#ifndef ETCDSD_TABLE_ENCODE_H
#define ETCDSD_TABLE_ENCODE_H

#include <stdbool.h>

#include "layout.h"
#include "writer.h"

/* Scratch memory that is kept from call to call.  Zero-initialised. */
struct encoder {
    uint64_t *words; /* the result */
    uint32_t length;
    struct table_instance *sorted;
    uint8_t (*v4)[4];
    uint8_t (*v6)[16];
    size_t words_room, instances_room;
};

/* Fills encoder->words; the words of sequence and home are 0.
 * Returns 0, -EINVAL or -ENOMEM. */
int encoder_run(struct encoder *encoder, const struct table_service *service);

/* Whether `length` words of any content are a record that all parts of it can
 * be read from safely. */
bool record_is_sound(const uint64_t *words, uint32_t length);

void encoder_free(struct encoder *encoder);

#endif
