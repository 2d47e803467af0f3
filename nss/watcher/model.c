/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The model's operations.  Relies on nothing but libc and the table's keyed
 * hash; upholds the rules in model.h.
 */
#include "model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "model_index.h"

#define FIRST_SLOTS     64u
#define FIRST_INSTANCES 3u /* what malloc's smallest block holds on 64-bit hosts */

/* ---- queues ------------------------------------------------------------ */

static void list_append(struct model_list *list, struct model_service *service, uint8_t queue)
{
    service->queue = queue;
    service->next = NULL;
    if (list->tail != NULL)
        list->tail->next = service;
    else
        list->head = service;
    list->tail = service;
}

static struct model_service *list_take(struct model_list *list)
{
    struct model_service *service = list->head;

    if (service == NULL)
        return NULL;
    list->head = service->next;
    if (list->head == NULL)
        list->tail = NULL;
    service->queue = MODEL_CLEAN;
    service->next = NULL;
    return service;
}

/* The nameless service has nothing to show. */
static void touch(struct model *model, struct model_service *service) /* M2 */
{
    if (service->queue == MODEL_CLEAN && service != model->nameless)
        list_append(&model->dirty, service, MODEL_DIRTY);
}

struct model_service *model_take_dirty(struct model *model)
{
    return list_take(&model->dirty);
}

void model_fail(struct model *model, struct model_service *service)
{
    list_append(&model->failed, service, MODEL_FAILED);
}

void model_retry(struct model *model)
{
    struct model_service *service;

    while ((service = list_take(&model->failed)) != NULL)
        list_append(&model->dirty, service, MODEL_DIRTY);
}

/* ---- services ---------------------------------------------------------- */

static struct model_service *service_new(const char *name, uint8_t name_length)
{
    struct model_service *service = memory_new(sizeof *service + name_length + 1u);

    if (service == NULL)
        return NULL;
    service->name_length = name_length;
    memcpy(service->name, name, name_length);
    return service;
}

/* Returns the service, made if need be, or NULL: no memory. */
static struct model_service *service_get(struct model *model, const char *name, uint8_t name_length)
{
    struct model_service *service = model_find(model, name, name_length);

    if (service != NULL)
        return service;
    service = service_new(name, name_length);
    if (service != NULL && model_index_add(model, service) < 0) {
        free(service);
        return NULL;
    }
    return service;
}

static void service_free(struct model_service *service)
{
    for (uint32_t i = 0; i < service->count; i++)
        free(model_instances(service)[i]);
    if (service->capacity > 0)
        free(service->list);
    free(service);
}

void model_release(struct model *model, struct model_service *service) /* M3 */
{
    if (service->count > 0 || service->queue != MODEL_CLEAN || service == model->nameless)
        return;
    model_index_remove(model, service);
    service_free(service);
}

int model_init(struct model *model, uint64_t seed)
{
    *model = (struct model){ .seed = seed };
    model->nameless = service_new("", 0);
    if (model->nameless == NULL || model_index_resize(model, FIRST_SLOTS) < 0) {
        free(model->nameless);
        return -ENOMEM;
    }
    return 0;
}

void model_free(struct model *model)
{
    for (uint32_t i = 0; i < model->slot_count; i++)
        if (model->slots[i] != NULL)
            service_free(model->slots[i]);
    free(model->slots);
    service_free(model->nameless);
}

/* ---- instances --------------------------------------------------------- */

static int key_compare(const struct model_instance *instance, const char *key, size_t length)
{
    size_t common = instance->key_length < length ? instance->key_length : length;
    int order = memcmp(instance->key, key, common);

    if (order != 0)
        return order;
    return (instance->key_length > length) - (instance->key_length < length);
}

/* Where the key is, or where it belongs.  A list comes in key order, so the
 * end is looked at first. */
static uint32_t instance_index(const struct model_service *service, const char *key, size_t length,
                               bool *is_there)
{
    uint32_t low = 0, high = service->count;

    *is_there = false;
    if (high == 0 || key_compare(model_instances(service)[high - 1], key, length) < 0)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = key_compare(model_instances(service)[middle], key, length);

        if (order == 0) {
            *is_there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int instances_reserve(struct model_service *service)
{
    bool is_one = service->capacity == 0;
    struct model_instance **grown;
    uint32_t capacity = is_one ? FIRST_INSTANCES : service->capacity + service->capacity / 2 + 2;

    if (service->count < (is_one ? 1 : service->capacity))
        return 0;
    if (capacity <= service->capacity)
        return -ENOMEM;
    grown = memory_resize(is_one ? NULL : service->list, capacity, sizeof(struct model_instance *));
    if (grown == NULL)
        return -ENOMEM;
    if (is_one)
        grown[0] = service->only;
    service->list = grown;
    service->capacity = capacity;
    return 0;
}

static void instances_shrink(struct model_service *service)
{
    struct model_instance **shrunk;
    uint32_t capacity = service->capacity / 2;

    if (capacity < 2 * FIRST_INSTANCES || service->count > service->capacity / 4)
        return;
    shrunk = memory_resize(service->list, capacity, sizeof(struct model_instance *));
    if (shrunk == NULL)
        return;
    service->list = shrunk;
    service->capacity = capacity;
}

static void count_value(struct model *model, struct model_service *service, uint8_t family, int by)
{
    if (family == 0)
        model->unreadable += (uint64_t)by;
    else
        service->readable += (uint32_t)by;
}

static struct model_instance *instance_new(const char *key, size_t key_length, bool is_exact)
{
    struct model_instance *instance;

    if (key_length > UINT32_MAX)
        return NULL;
    instance = memory_new(sizeof *instance + key_length);
    if (instance == NULL)
        return NULL;
    instance->key_length = (uint32_t)key_length;
    instance->is_exact = is_exact;
    memcpy(instance->key, key, key_length);
    return instance;
}

/* Returns the instance, unreadable as yet, or NULL. */
static struct model_instance *instance_insert(struct model *model, struct model_service *service,
                                              uint32_t index, const char *key, size_t key_length,
                                              bool is_exact)
{
    struct model_instance *instance;

    if (instances_reserve(service) < 0)
        return NULL;
    instance = instance_new(key, key_length, is_exact);
    if (instance == NULL)
        return NULL;
    memmove(model_instances(service) + index + 1, model_instances(service) + index,
            (service->count - index) * sizeof(struct model_instance *));
    model_instances(service)[index] = instance;
    service->count++;
    service->inexact += !is_exact;
    model->instance_count++;
    count_value(model, service, 0, 1);
    return instance;
}

static void instance_forget(struct model *model, struct model_service *service,
                            struct model_instance *instance)
{
    count_value(model, service, instance->family, -1);
    service->inexact -= !instance->is_exact;
    model->instance_count--;
    free(instance);
}

static bool is_same_value(const struct model_instance *instance, const struct model_value *value)
{
    return instance->family == value->family &&
           (value->family == 0 ||
            (instance->port == value->port && instance->weight == value->weight &&
             memcmp(instance->address, value->address, sizeof value->address) == 0));
}

int model_put(struct model *model, const char *name, uint8_t name_length, const char *key,
              size_t key_length, bool is_exact, const struct model_value *value)
{
    struct model_service *service = service_get(model, name, name_length);
    static const struct model_value unreadable = { 0 };
    struct model_instance *instance;
    bool is_there;
    uint32_t index;

    if (service == NULL)
        return -ENOMEM;
    if (service == model->nameless)
        value = &unreadable;
    index = instance_index(service, key, key_length, &is_there);
    instance = is_there ? model_instances(service)[index]
                        : instance_insert(model, service, index, key, key_length, is_exact);
    if (instance == NULL) {
        model_release(model, service);
        return -ENOMEM;
    }
    instance->round = model->round;
    if (is_there && is_same_value(instance, value))
        return MODEL_SAME;
    count_value(model, service, instance->family, -1);
    instance->family = value->family;
    instance->port = value->port;
    instance->weight = value->weight;
    memcpy(instance->address, value->address, sizeof instance->address);
    count_value(model, service, instance->family, 1);
    touch(model, service);
    return value->family == 0 ? MODEL_UNREADABLE : MODEL_CHANGED;
}

bool model_keep(struct model *model, const char *name, uint8_t name_length, const char *key,
                size_t key_length)
{
    struct model_service *service = model_find(model, name, name_length);
    bool is_there = false;
    uint32_t index = service == NULL ? 0 : instance_index(service, key, key_length, &is_there);

    if (!is_there || model_instances(service)[index]->family == 0)
        return false;
    model_instances(service)[index]->round = model->round;
    return true;
}

int model_delete(struct model *model, const char *name, uint8_t name_length, const char *key,
                 size_t key_length)
{
    struct model_service *service = model_find(model, name, name_length);
    bool is_there;
    uint32_t index;

    if (service == NULL)
        return 0;
    index = instance_index(service, key, key_length, &is_there);
    if (!is_there)
        return 0;
    instance_forget(model, service, model_instances(service)[index]);
    service->count--;
    memmove(model_instances(service) + index, model_instances(service) + index + 1,
            (service->count - index) * sizeof(struct model_instance *));
    instances_shrink(service);
    touch(model, service);
    return 1;
}

/* ---- the whole --------------------------------------------------------- */

static uint64_t service_unseen(const struct model *model, const struct model_service *service)
{
    uint64_t unseen = 0;

    for (uint32_t i = 0; i < service->count; i++)
        unseen += model_instances(service)[i]->round != model->round;
    return unseen;
}

static uint64_t service_sweep(struct model *model, struct model_service *service)
{
    uint32_t kept = 0, swept;

    for (uint32_t i = 0; i < service->count; i++) {
        struct model_instance *instance = model_instances(service)[i];

        if (instance->round == model->round)
            model_instances(service)[kept++] = instance;
        else
            instance_forget(model, service, instance);
    }
    swept = service->count - kept;
    service->count = kept;
    if (swept > 0) {
        instances_shrink(service);
        touch(model, service);
    }
    return swept;
}

void model_mark(struct model *model)
{
    model->round++;
}

uint64_t model_unseen(const struct model *model)
{
    uint64_t unseen = service_unseen(model, model->nameless);

    for (uint32_t i = 0; i < model->slot_count; i++)
        if (model->slots[i] != NULL)
            unseen += service_unseen(model, model->slots[i]);
    return unseen;
}

uint64_t model_sweep(struct model *model)
{
    uint64_t swept = service_sweep(model, model->nameless);

    for (uint32_t i = 0; i < model->slot_count; i++)
        if (model->slots[i] != NULL)
            swept += service_sweep(model, model->slots[i]);
    return swept;
}

void model_touch_all(struct model *model)
{
    for (uint32_t i = 0; i < model->slot_count; i++)
        if (model->slots[i] != NULL)
            touch(model, model->slots[i]);
}
