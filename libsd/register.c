/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Registering: one instance or many, waiting for the outcome or not.
 */
#include <stdlib.h>

#include "group.h"
#include "internal.h"
#include "pending.h"

/* ---- arguments ---------------------------------------------------------- */

#define NAME_BYTES_MAX 1024
#define WEIGHT_MAX     65535

/* Segments separated by '/', none empty; one only if so wanted. */
static bool is_name(const char *name, bool one_segment)
{
    size_t size = strlen(name);

    return size > 0 && size <= NAME_BYTES_MAX && name[0] != '/' && name[size - 1] != '/' &&
           !strstr(name, one_segment ? "/" : "//");
}

static int check_instance(const libsd_registration *one, struct failure *failure)
{
    if (!one->service || !is_name(one->service, false))
        return failure_set(failure, LIBSD_EINVAL, "'%.60s' is no name of a service",
                           one->service ? one->service : "");
    if (one->instance && !is_name(one->instance, true))
        return failure_set(failure, LIBSD_EINVAL, "'%.60s' is no name of an instance",
                           one->instance);
    if (!one->address)
        return failure_set(failure, LIBSD_EINVAL, "%.60s: there is no address", one->service);
    return value_check_address(one->address, failure);
}

int register_options_read(libsd_register_options *to, const libsd_register_options *from,
                          struct failure *failure)
{
    *to = (libsd_register_options){ 0 };
    if (!from)
        return 0;
    if (from->size < sizeof from->size)
        return failure_set(failure, LIBSD_EINVAL, "options: size is not set");
    memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
    if (to->weight > WEIGHT_MAX)
        return failure_set(failure, LIBSD_EINVAL, "weight %u is above %d", to->weight, WEIGHT_MAX);
    if (to->takeover < LIBSD_TAKEOVER_DEFAULT || to->takeover > LIBSD_TAKEOVER_FAIL)
        return failure_set(failure, LIBSD_EINVAL, "takeover: %d is none", to->takeover);
    if (to->timeout_ms < 0)
        return failure_set(failure, LIBSD_EINVAL, "timeout_ms is negative");
    return to->metadata ? value_check_metadata(to->metadata, failure) : 0;
}

/* ---- on the I/O thread -------------------------------------------------- */

/* One that was registered before under this name makes way; its key is still
 * under a lease of ours and so is taken over in place. */
static int add(struct pending *pending, struct registration *registration)
{
    struct libsd *sd = pending->sd;
    struct registration *old = registry_find(sd, registration->name);
    struct group *group;

    if (!registry_add(registration))
        return LIBSD_ENOMEM;
    group = group_get(sd, registration->ttl_s);
    if (!group && old)
        registry_add(old); /* its place is there: that can't fail */
    else if (!group)
        registry_remove(registration);
    if (!group)
        return LIBSD_ENOMEM;
    if (old && registration->withheld)
        registration_yield(old);
    else if (old)
        registration_retire(old);
    group_join(group, registration);
    pending_join(pending, registration, 0);
    if (registration->check)
        check_start(registration->check, registration);
    if (registration->withheld)
        registration_hidden(registration, 0);
    else
        claim_queue(registration, STEP_CLAIM);
    return 0;
}

static void register_task(struct task *task)
{
    struct pending *pending = container_of(task, struct pending, task);
    struct registration *registration;

    while ((registration = TAILQ_FIRST(&pending->added))) {
        TAILQ_REMOVE(&pending->added, registration, link);
        if (add(pending, registration) < 0) {
            failure_set(&pending->failure, LIBSD_ENOMEM, "out of memory");
            owner_drop(&registration->owner);
        }
    }
    pending_wait(pending);
}

/* ---- calls -------------------------------------------------------------- */

/* Makes one, with its check, for pending. */
static int make(struct pending *pending, const libsd_registration *one, int ttl_s,
                const libsd_register_options *options, struct failure *failure)
{
    struct libsd *sd = pending->sd;
    libsd_registration named = *one;
    struct registration *registration = registration_new(
        sd, one->service, one->instance, one->address, ttl_s ? ttl_s : sd->options.ttl_s, options);
    int rc;

    if (!registration)
        return failure_set(failure, LIBSD_ENOMEM, "out of memory");
    registration->async = pending->detached;
    TAILQ_INSERT_TAIL(&pending->added, registration, link);
    if (!options->check)
        return 0;
    named.instance = registration->instance;
    rc = check_new(sd, options->check, &named, &registration->check, failure);
    if (rc == 0 && !registration->check->passing)
        registration->withheld = WITHHELD_UNHEALTHY;
    return rc;
}

static int register_all(libsd *sd, const libsd_registration *list, size_t count, int ttl_s,
                        const libsd_register_options *options, bool detached)
{
    libsd_register_options given;
    struct failure failure = { 0 };
    struct pending *pending;
    int rc = register_options_read(&given, options, &failure);

    if (rc == 0 && (ttl_s < 0 || ttl_s > LIBSD_TTL_MAX))
        rc =
            failure_set(&failure, LIBSD_EINVAL, "ttl %d is not from 0 to %d", ttl_s, LIBSD_TTL_MAX);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = check_instance(&list[i], &failure);
    if (rc < 0)
        return handle_fail(sd, &failure);
    if (!given.takeover)
        given.takeover = sd->options.takeover;
    pending = pending_new(sd, given.timeout_ms, register_task);
    if (!pending)
        return LIBSD_ENOMEM;
    pending->adds = true;
    pending->detached = detached;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = make(pending, &list[i], ttl_s, &given, &failure);
    if (rc == 0)
        return pending_run(pending);
    waiter_drop(&pending->waiter);
    waiter_drop(&pending->waiter);
    return handle_fail(sd, &failure);
}

int libsd_register(libsd *sd, const char *service, const char *instance, const char *address,
                   int ttl_s, const libsd_register_options *options)
{
    libsd_registration one = { service, instance, address };
    int rc = handle_check_blocking(sd);

    return rc < 0 ? rc : register_all(sd, &one, 1, ttl_s, options, false);
}

int libsd_register_async(libsd *sd, const char *service, const char *instance, const char *address,
                         int ttl_s, const libsd_register_options *options)
{
    libsd_registration one = { service, instance, address };
    int rc = handle_check(sd);

    return rc < 0 ? rc : register_all(sd, &one, 1, ttl_s, options, true);
}

int libsd_register_many(libsd *sd, const libsd_registration *list, size_t count, int ttl_s,
                        const libsd_register_options *options)
{
    int rc = handle_check_blocking(sd);

    if (rc == 0 && count && !list)
        rc = LIBSD_EINVAL;
    return rc < 0 ? rc : register_all(sd, list, count, ttl_s, options, false);
}
