/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The registrations of a handle by their keys, and how one is made.
 */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"
#include "registration.h"

/* ---- by key ------------------------------------------------------------- */

/* Lengths first: the order is nobody's business, and that is the quickest. */
static int by_key(const void *a, const void *b)
{
    const libsd_slice *one = a;
    const libsd_slice *other = b;

    if (one->size != other->size)
        return one->size < other->size ? -1 : 1;
    return memcmp(one->data, other->data, one->size);
}

struct registration *registry_find(struct libsd *sd, libsd_slice key)
{
    void *found = tfind(&key, &sd->registry, by_key);

    return found ? container_of(*(libsd_slice **)found, struct registration, name) : NULL;
}

bool registry_add(struct registration *registration)
{
    void *place = tsearch(&registration->name, &registration->sd->registry, by_key);

    if (!place)
        return false;
    *(libsd_slice **)place = &registration->name;
    return true;
}

void registry_remove(struct registration *registration)
{
    if (registry_find(registration->sd, registration->name) == registration)
        tdelete(&registration->name, &registration->sd->registry, by_key);
}

/* ---- making ------------------------------------------------------------- */

static void registration_deliver(struct owner *owner, const struct record *record)
{
    struct registration *registration = container_of(owner, struct registration, owner);

    handle_told(registration->sd, record->error, record->kv.value.data);
    registration->callback(registration->sd, registration->service, registration->instance,
                           record->type, record->error, registration->callback_arg);
}

static void registration_free(struct owner *owner)
{
    struct registration *registration = container_of(owner, struct registration, owner);

    free(registration->service);
    free(registration->instance);
    free(registration->key);
    value_free(registration->value);
    value_free(registration->previous);
    if (registration->check)
        check_drop(registration->check);
    free(registration);
}

static char *unique_instance(void)
{
    char host[65] = "host";
    char *name = NULL;

    if (gethostname(host, sizeof host - 1) < 0)
        host[0] = '\0';
    host[sizeof host - 1] = '\0';
    for (char *c = host; *c; c++) {
        if (*c == '/')
            *c = '-';
    }
    if (asprintf(&name, "%s-%d-%08x", host, (int)getpid(), (unsigned)random_u64()) < 0)
        return NULL;
    return name;
}

struct registration *registration_new(struct libsd *sd, const char *service, const char *instance,
                                      const char *address, int ttl_s,
                                      const libsd_register_options *options)
{
    struct registration *registration = calloc(1, sizeof *registration);

    if (!registration)
        return NULL;
    owner_init(&registration->owner, registration_deliver, registration_free);
    registration->sd = sd;
    registration->ttl_s = ttl_s;
    registration->fresh = true;
    registration->hidden = true;
    registration->takeover = options->takeover;
    registration->callback = options->callback;
    registration->callback_arg = options->callback_arg;
    registration->service = strdup(service);
    registration->instance = instance ? strdup(instance) : unique_instance();
    registration->value = value_new(address, options->weight, options->priority, options->metadata);
    if (!registration->service || !registration->instance || !registration->value ||
        asprintf(&registration->key, "%s%s/%s", sd->options.prefix, service,
                 registration->instance) < 0) {
        registration->key = NULL;
        owner_drop(&registration->owner);
        return NULL;
    }
    registration->name = libsd_str(registration->key);
    return registration;
}
