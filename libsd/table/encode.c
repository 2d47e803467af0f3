/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Records: see layout.h for the drawing.
 */
#include "encode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- order ------------------------------------------------------------- */

static int compare_bytes(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);

    if (order != 0)
        return order;
    return a_length < b_length ? -1 : a_length > b_length;
}

/* By label; what bears none comes first, by address and port. */
static int compare_labels(const void *a, const void *b)
{
    const struct table_instance *x = a, *y = b;
    int order = compare_bytes(x->label, x->label_length, y->label, y->label_length);

    if (order != 0)
        return order;
    order = memcmp(x->address, y->address, sizeof x->address);
    if (order != 0)
        return order;
    return x->port < y->port ? -1 : x->port > y->port;
}

/* In the order of bytes, which is that of memcmp(). */
static int compare_v4(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    x = ntohl(x);
    y = ntohl(y);
    return x < y ? -1 : x > y;
}

static int compare_v6(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

typedef int comparison(const void *, const void *);

/* qsort() for what mostly comes sorted. */
static void sort(void *items, uint32_t count, size_t size, comparison *compare)
{
    const char *at = items;
    uint32_t i = 1;

    while (i < count && compare(at + (i - 1) * size, at + i * size) <= 0)
        i++;
    if (i < count)
        qsort(items, count, size, compare);
}

/* Sorts `count` items and drops repeated ones; returns how many are left. */
static uint32_t sort_unique(void *items, uint32_t count, size_t size, comparison *compare)
{
    char *at = items;
    uint32_t kept = 0;

    if (count == 0)
        return 0;
    sort(items, count, size, compare);
    for (uint32_t i = 1; i < count; i++)
        if (compare(at + kept * size, at + i * size) != 0 && ++kept != i)
            memcpy(at + kept * size, at + i * size, size);
    return kept + 1;
}

/* ---- checking ---------------------------------------------------------- */

static bool is_label(const char *label, size_t length)
{
    if (length > TABLE_MAX_LABEL)
        return false;
    for (size_t i = 0; i < length; i++)
        if (label[i] == '.' || label[i] == '\0' || (label[i] >= 'A' && label[i] <= 'Z'))
            return false;
    return true;
}

static bool is_name(const char *name, size_t length)
{
    struct table_name folded;

    if (length == 0 || length > TABLE_MAX_NAME || name[0] == '.' || name[length - 1] == '.' ||
        memchr(name, '\0', length) != NULL)
        return false;
    table_name_set(&folded, name, (uint32_t)length);
    return memcmp(folded.words, name, length) == 0;
}

static int service_check(const struct table_service *service)
{
    if (!is_name(service->name, service->name_length) || service->count == 0 ||
        service->count > TABLE_MAX_INSTANCES)
        return -EINVAL;
    for (uint32_t i = 0; i < service->count; i++) {
        const struct table_instance *instance = &service->instances[i];

        if ((instance->family != 4 && instance->family != 6) || instance->weight > 65535 ||
            !is_label(instance->label, instance->label_length))
            return -EINVAL;
    }
    return 0;
}

/* ---- encoding ---------------------------------------------------------- */

static int encoder_reserve(struct encoder *encoder, const struct table_service *service)
{
    /* Header, name, one v6 address, one sum, one instance and one label each:
     * more than any service takes. */
    size_t words = TABLE_R_NAME + service->name_length / 8 + 8 +
                   (size_t)service->count * (2 + 1 + 1 + (1 + TABLE_MAX_LABEL) / 8);

    if (service->count > encoder->instances_room) {
        size_t room = service->count + service->count / 2 + 8;
        struct table_instance *sorted = realloc(encoder->sorted, room * sizeof *sorted);

        if (sorted == NULL)
            return -ENOMEM;
        encoder->sorted = sorted;
        free(encoder->v4);
        free(encoder->v6);
        encoder->v4 = calloc(room, sizeof *encoder->v4);
        encoder->v6 = calloc(room, sizeof *encoder->v6);
        encoder->instances_room = encoder->v4 && encoder->v6 ? room : 0;
        if (encoder->instances_room == 0)
            return -ENOMEM;
    }
    if (words > encoder->words_room) {
        uint64_t *grown = realloc(encoder->words, words * sizeof *grown);

        if (grown == NULL)
            return -ENOMEM;
        encoder->words = grown;
        encoder->words_room = words;
    }
    memset(encoder->words, 0, words * sizeof *encoder->words);
    return 0;
}

/* Instances by label; of those that share one, the first of the input has it. */
static void sort_instances(struct encoder *encoder, const struct table_service *service)
{
    struct table_instance *sorted = encoder->sorted;
    bool repeated = false;

    for (uint32_t i = 0; i < service->count; i++) {
        sorted[i] = service->instances[i];
        if (sorted[i].label_length == 0)
            sorted[i].label = "";
    }
    sort(sorted, service->count, sizeof *sorted, compare_labels);
    for (uint32_t i = 0, next; i < service->count; i = next) {
        for (next = i + 1; next < service->count && sorted[i].label_length > 0 &&
                           sorted[next].label_length == sorted[i].label_length &&
                           memcmp(sorted[next].label, sorted[i].label, sorted[i].label_length) == 0;
             next++)
            repeated = true;
    }
    if (!repeated)
        return;
    /* Rare, so simply: each looks for an earlier bearer in the input. */
    for (uint32_t i = 0; i < service->count; i++) {
        sorted[i] = service->instances[i];
        for (uint32_t j = 0; j < i && sorted[i].label_length > 0; j++)
            if (service->instances[j].label_length == sorted[i].label_length &&
                memcmp(service->instances[j].label, sorted[i].label, sorted[i].label_length) == 0)
                sorted[i].label_length = 0;
        if (sorted[i].label_length == 0)
            sorted[i].label = "";
    }
    sort(sorted, service->count, sizeof *sorted, compare_labels);
}

static void put_half(uint64_t *words, uint32_t i, uint32_t value)
{
    memcpy((char *)words + (size_t)i * 4, &value, 4);
}

/* The number of an instance's address among v4, then v6. */
static uint32_t address_number(const struct encoder *encoder, const struct table_shape *shape,
                               const struct table_instance *instance)
{
    size_t size = instance->family == 4 ? 4 : 16;
    const uint8_t *list = instance->family == 4 ? *encoder->v4 : *encoder->v6;
    uint32_t low = 0, high = instance->family == 4 ? shape->v4 : shape->v6;

    while (low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;

        if (memcmp(instance->address, list + middle * size, size) < 0)
            high = middle;
        else
            low = middle;
    }
    return instance->family == 4 ? low : shape->v4 + low;
}

static void put_addresses(struct encoder *encoder, const struct table_shape *shape)
{
    memcpy(encoder->words + table_v4_at(*shape), encoder->v4, shape->v4 * sizeof *encoder->v4);
    memcpy(encoder->words + table_v6_at(*shape), encoder->v6, shape->v6 * sizeof *encoder->v6);
}

static void put_sums(struct encoder *encoder, const struct table_shape *shape, uint32_t count)
{
    uint64_t *sums = encoder->words + table_sums_at(*shape);
    uint32_t sum = 0, weight;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = address_number(encoder, shape, &encoder->sorted[i]);

        memcpy(&weight, (char *)sums + (size_t)number * 4, 4);
        weight += encoder->sorted[i].weight ? encoder->sorted[i].weight : 1;
        put_half(sums, number, weight);
    }
    for (uint32_t i = 0; i < shape->v4 + shape->v6; i++) {
        memcpy(&weight, (char *)sums + (size_t)i * 4, 4);
        sum += weight;
        put_half(sums, i, sum);
    }
}

/* Returns the record's length in words. */
static uint32_t put_instances(struct encoder *encoder, const struct table_shape *shape)
{
    char *bytes = (char *)encoder->words;
    uint32_t at = table_labels_at(*shape) * 8;

    for (uint32_t i = 0; i < shape->instances; i++) {
        const struct table_instance *instance = &encoder->sorted[i];

        encoder->words[table_instances_at(*shape) + i] = (uint64_t)at << 32 |
                                                         (uint64_t)instance->port << 16 |
                                                         address_number(encoder, shape, instance);
        bytes[at] = (char)instance->label_length;
        memcpy(bytes + at + 1, instance->label, instance->label_length);
        at += 1u + instance->label_length;
    }
    return (at + 7) / 8;
}

static uint16_t common_port(const struct table_service *service)
{
    for (uint32_t i = 1; i < service->count; i++)
        if (service->instances[i].port != service->instances[0].port)
            return 0;
    return service->instances[0].port;
}

static uint8_t limit_of(uint8_t wanted)
{
    return wanted != 0 ? wanted : TABLE_DEFAULT_ANSWERS;
}

int encoder_run(struct encoder *encoder, const struct table_service *service)
{
    struct table_shape shape = { .instances = (uint16_t)service->count,
                                 .name_length = (uint8_t)service->name_length };
    uint32_t v4 = 0, v6 = 0;
    int rc = service_check(service);

    if (rc == 0)
        rc = encoder_reserve(encoder, service);
    if (rc < 0)
        return rc;
    sort_instances(encoder, service);
    for (uint32_t i = 0; i < service->count; i++) {
        const struct table_instance *instance = &encoder->sorted[i];

        if (instance->family == 4)
            memcpy(encoder->v4[v4++], instance->address, 4);
        else
            memcpy(encoder->v6[v6++], instance->address, 16);
        if (instance->weight != 0)
            shape.flags = TABLE_FLAG_WEIGHTED;
    }
    shape.v4 = (uint16_t)sort_unique(encoder->v4, v4, sizeof *encoder->v4, compare_v4);
    shape.v6 = (uint16_t)sort_unique(encoder->v6, v6, sizeof *encoder->v6, compare_v6);

    encoder->words[TABLE_R_SHAPE] = table_shape_word(shape);
    encoder->words[TABLE_R_ANSWER] =
        (uint64_t)limit_of(service->limit_any) << 56 | (uint64_t)limit_of(service->limit6) << 48 |
        (uint64_t)limit_of(service->limit4) << 40 | common_port(service);
    memcpy(encoder->words + TABLE_R_NAME, service->name, service->name_length);
    put_addresses(encoder, &shape);
    if (shape.flags & TABLE_FLAG_WEIGHTED)
        put_sums(encoder, &shape, service->count);
    encoder->length = put_instances(encoder, &shape);
    return 0;
}

/* ---- checking what was read -------------------------------------------- */

/* With zeros behind it: readers compare whole words. */
static bool name_is_padded(const uint64_t *words, uint32_t length)
{
    struct table_name name;

    table_name_set(&name, (const char *)words, length);
    return memcmp(name.words, words, (length / 8 + 1) * sizeof *words) == 0;
}

/* In order and without a repeated one: whoever looks for one relies on it. */
static bool addresses_are_sorted(const uint64_t *words, struct table_shape shape)
{
    const char *v4 = (const char *)(words + table_v4_at(shape));
    const char *v6 = (const char *)(words + table_v6_at(shape));

    for (uint32_t i = 1; i < shape.v4; i++)
        if (memcmp(v4 + (i - 1) * 4, v4 + i * 4, 4) >= 0)
            return false;
    for (uint32_t i = 1; i < shape.v6; i++)
        if (memcmp(v6 + (i - 1) * 16, v6 + i * 16, 16) >= 0)
            return false;
    return true;
}

bool record_is_sound(const uint64_t *words, uint32_t length)
{
    const char *bytes = (const char *)words;
    struct table_shape shape;

    if (length <= TABLE_R_NAME)
        return false;
    shape = table_shape(words[TABLE_R_SHAPE]);
    if (table_labels_at(shape) > length || shape.instances == 0 || shape.name_length == 0 ||
        !is_name(bytes + TABLE_R_NAME * 8, shape.name_length) ||
        !name_is_padded(words + TABLE_R_NAME, shape.name_length) ||
        !addresses_are_sorted(words, shape))
        return false;
    for (uint32_t i = 0; i < shape.instances; i++) {
        uint64_t word = words[table_instances_at(shape) + i];
        uint64_t label_at = word >> 32;

        if ((word & 0xffff) >= shape.v4 + shape.v6 ||
            label_at < table_labels_at(shape) * UINT64_C(8) || label_at >= (uint64_t)length * 8 ||
            label_at + 1 + (unsigned char)bytes[label_at] > (uint64_t)length * 8)
            return false;
    }
    return true;
}

void encoder_free(struct encoder *encoder)
{
    free(encoder->words);
    free(encoder->sorted);
    free(encoder->v4);
    free(encoder->v6);
    memset(encoder, 0, sizeof *encoder);
}
