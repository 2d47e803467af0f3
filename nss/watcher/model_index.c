/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The model's hash of services by owner name: open addressing, linear probing,
 * a keyed hash.  An unsuccessful search ends at an empty slot, so one in four
 * always is.
 */
#include "model_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

static uint32_t name_hash(const struct model *model, const char *name, size_t length)
{
    struct table_name folded;

    table_name_set(&folded, name, (uint32_t)length);
    return (uint32_t)table_hash(folded.words, folded.length, model->seed);
}

/* The slot that holds the name, or the empty one where it belongs. */
static uint32_t slot_find(const struct model *model, const char *name, size_t length, uint32_t hash)
{
    uint32_t mask = model->slot_count - 1, slot = hash & mask;

    for (;; slot = (slot + 1) & mask) {
        const struct model_service *service = model->slots[slot];

        if (service == NULL)
            return slot;
        if (service->hash == hash && service->name_length == length &&
            memcmp(service->name, name, length) == 0)
            return slot;
    }
}

struct model_service *model_find(const struct model *model, const char *name, size_t length)
{
    if (length == 0)
        return model->nameless;
    if (length > TABLE_MAX_NAME)
        return NULL;
    return model->slots[slot_find(model, name, length, name_hash(model, name, length))];
}

int model_index_resize(struct model *model, uint32_t slot_count)
{
    struct model_service **old = model->slots;
    struct model_service **slots = memory_new(slot_count * sizeof(struct model_service *));
    uint32_t mask = slot_count - 1;

    if (slots == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < model->slot_count; i++) {
        uint32_t slot;

        if (old[i] == NULL)
            continue;
        for (slot = old[i]->hash & mask; slots[slot] != NULL;)
            slot = (slot + 1) & mask;
        slots[slot] = old[i];
    }
    free(old);
    model->slots = slots;
    model->slot_count = slot_count;
    return 0;
}

int model_index_add(struct model *model, struct model_service *service)
{
    if (model->service_count >= model->slot_count / 4 * 3 &&
        model_index_resize(model, model->slot_count * 2) < 0)
        return -ENOMEM;
    service->hash = name_hash(model, service->name, service->name_length);
    model->slots[slot_find(model, service->name, service->name_length, service->hash)] = service;
    model->service_count++;
    return 0;
}

/* Linear probing without tombstones: later members of the chain move up
 * (Knuth, The Art of Computer Programming 3, 6.4, algorithm R). */
void model_index_remove(struct model *model, const struct model_service *service)
{
    uint32_t slot = slot_find(model, service->name, service->name_length, service->hash);
    uint32_t mask = model->slot_count - 1, hole = slot;

    for (uint32_t i = (slot + 1) & mask; model->slots[i] != NULL; i = (i + 1) & mask) {
        uint32_t home = model->slots[i]->hash & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            model->slots[hole] = model->slots[i];
            hole = i;
        }
    }
    model->slots[hole] = NULL;
    model->service_count--;
}
