/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See image.h.  Everything is a function of the input, the hash seed, too.
 */
#include "image.h"

#include "encode.h"
#include "reverse.h"

enum kind {
    KIND_RAW,
    KIND_PLAUSIBLE,
    KIND_DAMAGED,
    KINDS
};

enum {
    SEED = 42,
    RECORD_MAX = 4096 /* bytes of a plausible image's heap */
};

static void image_new(struct image *image, size_t bytes)
{
    image->bytes = bytes;
    image->words = calloc(1, bytes ? bytes : 1);
    require(image->words != NULL);
}

static size_t granule_after(size_t at)
{
    return (at + TABLE_GRANULE - 1) / TABLE_GRANULE * TABLE_GRANULE;
}

/* A header with both indices behind it, then the heap. */
static uint64_t *header_make(struct image *image, uint32_t names_log2, uint32_t keys_log2,
                             size_t heap_bytes)
{
    static const char zones[] = "\014service.etcd\004etcd";
    size_t keys_at = granule_after(TABLE_HEADER_BYTES + ((size_t)8 << names_log2));
    size_t heap_at = granule_after(keys_at + ((size_t)8 << keys_log2));
    uint64_t *words;

    image_new(image, heap_at + heap_bytes);
    words = image->words;
    words[TABLE_H_MAGIC] = TABLE_MAGIC;
    words[TABLE_H_LAYOUT] = (uint64_t)TABLE_HEADER_BYTES << 32 | TABLE_LAYOUT;
    words[TABLE_H_GENERATION] = 1;
    words[TABLE_H_SIZE] = image->bytes;
    words[TABLE_H_SEED] = SEED;
    words[TABLE_H_NAMES] = (UINT64_C(1) << names_log2) - 1;
    words[TABLE_H_KEYS] = (uint64_t)keys_at / TABLE_GRANULE << 32 | keys_log2;
    words[TABLE_H_HEAP] = heap_at;
    words[TABLE_H_STATE] = TABLE_LIVE;
    words[TABLE_H_ZONES] = 1 + names_log2 % 2;
    words[TABLE_H_TAILS] = table_load8(zones + 13 - 8);
    memcpy((char *)words + TABLE_ZONES_AT, zones, words[TABLE_H_ZONES] == 1 ? 13 : sizeof zones);
    return words;
}

/* The first EMPTY slot of a hash's chain. */
static uint64_t *slot_for(uint64_t *slots, uint32_t log2, uint64_t hash)
{
    uint32_t mask = (1u << log2) - 1, at = (uint32_t)hash & mask;

    while (slots[at] != TABLE_EMPTY)
        at = (at + 1) & mask;
    return slots + at;
}

/* ---- a good table ------------------------------------------------------ */

enum {
    NAMES_LOG2 = 4,
    KEYS_LOG2 = 7,
    SERVICES = 5
};

static void keys_put(uint64_t *words, const uint64_t *record, uint32_t home)
{
    struct table_shape shape = table_shape(record[TABLE_R_SHAPE]);
    uint64_t *keys = words + (words[TABLE_H_KEYS] >> 32) * 2;

    for (uint32_t i = 0; i <= shape.v4 + shape.v6; i++) {
        const uint64_t *v6 = record + table_v6_at(shape) + 2 * (i - shape.v4);
        uint64_t hash;
        uint32_t v4;

        memcpy(&v4, (const char *)(record + table_v4_at(shape)) + 4 * i, 4);
        if (i == shape.v4 + shape.v6)
            hash = table_hash_key('p', 0, record[TABLE_R_ANSWER] & 0xffff, SEED);
        else
            hash = i < shape.v4 ? table_hash_key(4, 0, v4, SEED)
                                : table_hash_key(6, v6[0], v6[1], SEED);
        *slot_for(keys, KEYS_LOG2, hash) = table_slot(hash, home + 2);
    }
}

static uint64_t service_put(uint64_t *words, struct encoder *encoder, uint32_t number,
                            uint64_t heap)
{
    static const char *const names[SERVICES] = { "user.service.etcd", "six.service.etcd",
                                                 "a.b.service.etcd", "many.service.etcd",
                                                 "x.service.etcd" };
    static const char labels[] = "abcdefghijklmnopqrstuvwxyz";
    struct table_instance instances[20] = { 0 };
    struct table_service service = { .name = names[number],
                                     .name_length = strlen(names[number]),
                                     .instances = instances,
                                     .count = 1 + number * 5 % 20 };
    uint64_t hash, *names_at = words + TABLE_HEADER_BYTES / 8, *slot, *record = words + heap / 8;

    for (uint32_t i = 0; i < service.count; i++)
        instances[i] =
            (struct table_instance){ .label = labels + i,
                                     .label_length = (uint8_t)(i % 3),
                                     .family = (uint8_t)((number + i) % 2 ? 4 : 6),
                                     .port = (uint16_t)(number == 2 ? i : 80 + number),
                                     .weight = number == 3 ? i : 0,
                                     .address = { 10, (uint8_t)number, 0, (uint8_t)(i / 2) } };
    require(encoder_run(encoder, &service) == 0);
    memcpy(record, encoder->words, encoder->length * sizeof *record);
    hash = table_hash(record + TABLE_R_NAME, (uint32_t)service.name_length, SEED);
    slot = slot_for(names_at, NAMES_LOG2, hash);
    *slot = table_slot(hash, (uint32_t)(heap / TABLE_GRANULE));
    record[TABLE_R_SEQUENCE] = number + 1;
    record[TABLE_R_HOME] = (uint64_t)(slot - names_at) << 32 | encoder->length;
    keys_put(words, record, (uint32_t)(slot - names_at));
    return granule_after(heap + encoder->length * 8);
}

static void good_make(struct image *image)
{
    uint64_t *words = header_make(image, NAMES_LOG2, KEYS_LOG2, RECORD_MAX);
    uint64_t heap = words[TABLE_H_HEAP];
    struct encoder encoder = { 0 };

    for (uint32_t i = 0; i < SERVICES; i++)
        heap = service_put(words, &encoder, i, heap);
    require(heap <= image->bytes);
    encoder_free(&encoder);
}

/* Each change: which word, its new value or what to add to it. */
static void damage(struct image *image, struct input *input)
{
    for (unsigned count = take(input, 1) & 31; count > 0 && input->size > 0; count--) {
        uint64_t place = take(input, 2), how = place >> 14, value;
        uint64_t at = (place & 0x3fff) % (image->bytes / 8);

        value = take(input, how == 0 ? 8 : how == 1 ? 1 : 4);
        if (how == 0)
            image->words[at] = value;
        else if (how == 1)
            image->words[at] ^= UINT64_C(1) << (value & 63);
        else
            memcpy((char *)&image->words[at] + (how == 2 ? 0 : 4), &value, 4);
    }
}

/* ---- a plausible table ------------------------------------------------- */

/* Makes the record that a slot of names refers to look like one. */
static void record_fix(struct image *image, uint64_t *slot, uint32_t home, struct input *input)
{
    uint64_t first = image->words[TABLE_H_HEAP] / TABLE_GRANULE;
    uint64_t granules = image->bytes / TABLE_GRANULE - first, ref = take(input, 1), words;
    uint64_t *record = image->words + 2 * (first + (granules ? ref % granules : 0));
    uint32_t length;

    words = (uint64_t)(image->words + image->bytes / 8 - record);
    if (ref == 0xff || words <= TABLE_R_NAME)
        return;
    if (take(input, 1) % 8 == 0)
        words = take(input, 2);
    record[TABLE_R_SEQUENCE] |= 1;
    record[TABLE_R_HOME] = (uint64_t)home << 32 | words;
    length = table_shape(record[TABLE_R_SHAPE]).name_length;
    if (record + TABLE_R_NAME + length / 8 >= image->words + image->bytes / 8)
        length = 0;
    *slot = table_slot(table_hash(record + TABLE_R_NAME, length, SEED),
                       (uint32_t)((char *)record - (char *)image->words) / TABLE_GRANULE);
}

static void plausible_make(struct image *image, struct input *input)
{
    uint32_t names_log2 = take(input, 1) % 4, keys_log2 = take(input, 1) % 4;
    uint8_t slots[16];
    struct input some = { slots, sizeof slots };
    uint64_t *words, *keys, misplaced;
    size_t heap;

    for (unsigned i = 0; i < sizeof slots; i++)
        slots[i] = (uint8_t)take(input, 1);
    misplaced = take(input, 1) == 0xff ? 8 : 0;
    heap = input->size < RECORD_MAX ? input->size : RECORD_MAX;
    words = header_make(image, names_log2, keys_log2, heap);
    if (heap > 0)
        memcpy((char *)words + words[TABLE_H_HEAP], input->data, heap);
    words[TABLE_H_HEAP] += misplaced;
    for (uint32_t i = 0; i < 1u << names_log2; i++)
        record_fix(image, words + TABLE_HEADER_BYTES / 8 + i, i, &some);
    keys = words + (words[TABLE_H_KEYS] >> 32) * 2;
    for (uint32_t i = 0; i < 1u << keys_log2; i++) {
        uint64_t hash = i % 2 ? table_hash_key('p', 0, 80, SEED) : table_hash_key(4, 0, 10, SEED);

        keys[i] = table_slot(hash, i + 2);
    }
}

void image_make(struct image *image, struct input *input)
{
    switch ((enum kind)(take(input, 1) % KINDS)) {
    case KIND_PLAUSIBLE:
        plausible_make(image, input);
        break;
    case KIND_DAMAGED:
        good_make(image);
        damage(image, input);
        break;
    default:
        image_new(image, input->size);
        if (input->size > 0)
            memcpy(image->words, input->data, input->size);
    }
}
