/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The model: what etcd holds under one zone's prefix, as far as the table
 * needs it.
 *
 *   services   open-addressing hash, by owner name
 *       |
 *       +-- service -- instances in key order -- key, address, port, weight
 *       +-- service ...
 *   nameless   a service without a name: keys that have no place in the zone
 *
 * A key's service follows from the key alone, so finding an instance is one
 * probe for the service and a binary search in it; there is no second hash
 * over all keys, which would cost 20 bytes for each of them.
 *
 * Rules:
 *  M1 An instance is in the model if and only if its key was put and not
 *     deleted since, its value readable or not; only readable ones count.
 *  M2 A service that differs from what the table was last given is in the
 *     dirty queue or in the failed one, once; no other service is.
 *  M3 A service goes only through model_release(), so a service whose last
 *     instance went stays until the table knows.
 *  M4 One event costs O(instances of its service).
 */
#ifndef ETCDSD_WATCHER_MODEL_H
#define ETCDSD_WATCHER_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

/* What a value says; family 0: it can't be read. */
struct model_value {
    uint8_t family; /* 0, 4 or 6 */
    uint8_t address[16];
    uint16_t port;
    uint16_t weight;
};

struct model_instance {
    uint32_t key_length;
    uint16_t port;
    uint16_t weight;
    uint8_t family;
    uint8_t round : 6;      /* the model's when it was last seen */
    uint8_t is_exact : 1;   /* as in struct zone_place */
    uint8_t is_unnamed : 1; /* its label was found taken or empty, and that was logged */
    uint8_t address[16];
    char key[]; /* what follows the zone's prefix; not terminated */
};

enum model_queue {
    MODEL_CLEAN,
    MODEL_DIRTY,
    MODEL_FAILED
};

struct model_service {
    struct model_service *next; /* in its queue */
    union {
        struct model_instance *only;  /* capacity 0: there is one at most */
        struct model_instance **list; /* in key order */
    };
    uint32_t count;
    uint32_t capacity; /* of the list */
    uint32_t readable;
    uint32_t inexact; /* instances that are not is_exact */
    uint32_t hash;
    uint8_t queue;        /* enum model_queue */
    uint8_t is_elsewhere; /* the name is another zone's, which was logged */
    uint8_t name_length;
    char name[]; /* terminated */
};

/* The instances, in key order; most services have one, which needs no list. */
static inline struct model_instance **model_instances(const struct model_service *service)
{
    return service->capacity == 0 ? (struct model_instance **)(uintptr_t)&service->only
                                  : service->list;
}

struct model_list {
    struct model_service *head, *tail;
};

struct model {
    struct model_service **slots;
    uint32_t slot_count; /* a power of two, or 0 */
    uint32_t service_count;
    uint64_t instance_count; /* unreadable and nameless ones included */
    uint64_t unreadable;     /* not in the table: unreadable or nameless */
    uint64_t seed;
    uint8_t round : 6; /* counts model_mark()s */
    struct model_service *nameless;
    struct model_list dirty, failed;
};

/* How a put changed the model. */
enum model_change {
    MODEL_SAME = 0,      /* the value was the same */
    MODEL_CHANGED = 1,   /* new, or another value */
    MODEL_UNREADABLE = 2 /* now unreadable, and was not so before */
};

/* seed: random, so that whoever registers names can't aim them at one chain.
 * Returns 0 or -ENOMEM. */
int model_init(struct model *model, uint64_t seed);
void model_free(struct model *model);

/* Puts a key.  name: of its service, "" if it has no place in the zone (its
 * value counts as unreadable then).  Returns enum model_change or -ENOMEM, upon
 * which the model is what it was. */
int model_put(struct model *model, const char *name, uint8_t name_length, const char *key,
              size_t key_length, bool is_exact, const struct model_value *value);

/* Leaves a key as it is, if it is there and readable; it was seen.  Returns
 * whether it was so. */
bool model_keep(struct model *model, const char *name, uint8_t name_length, const char *key,
                size_t key_length);

/* Takes a key out.  Returns 1, or 0 if it was not there. */
int model_delete(struct model *model, const char *name, uint8_t name_length, const char *key,
                 size_t key_length);

/* Before a list: forgets which instances were seen (in O(1); what was
 * seen 64 marks ago, with no sweep since, counts as seen once more).  After it: takes out those
 * that were not.  Returns how many went. */
void model_mark(struct model *model);
uint64_t model_unseen(const struct model *model); /* how many would go */
uint64_t model_sweep(struct model *model);

/* The service, or NULL. */
struct model_service *model_find(const struct model *model, const char *name, size_t length);

/* Makes each service dirty. */
void model_touch_all(struct model *model);

/* The dirty service that waits longest, now clean; or NULL. */
struct model_service *model_take_dirty(struct model *model);

/* The table has the service as it is now.  Frees it if no instance is left. */
void model_release(struct model *model, struct model_service *service);

/* The table could not take it: waits for model_retry(), which makes all that
 * failed dirty. */
void model_fail(struct model *model, struct model_service *service);
void model_retry(struct model *model);

#endif
