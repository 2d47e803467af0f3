/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What can be done with a registration: ending it, changing what it says,
 * pausing it.
 */
#include <stdlib.h>

#include "group.h"
#include "internal.h"
#include "keywatch.h"
#include "pending.h"

static bool is_meant(const struct registration *registration, const struct pending *pending)
{
    return strcmp(registration->service, pending->service) == 0 &&
           (!pending->instance || strcmp(registration->instance, pending->instance) == 0) &&
           registration->step != STEP_DROP;
}

/* Does something with each that is meant, and waits for their answers. */
static void for_each(struct pending *pending,
                     void (*act)(struct registration *registration, struct pending *pending))
{
    struct group *group;
    bool found = false;

    LIST_FOREACH(group, &pending->sd->groups, link)
    {
        struct registration *registration = TAILQ_FIRST(&group->registrations);

        while (registration) {
            struct registration *following = TAILQ_NEXT(registration, link);

            if (is_meant(registration, pending)) {
                found = true;
                act(registration, pending);
            }
            registration = following;
        }
    }
    if (!found)
        failure_set(&pending->failure, LIBSD_ENOTFOUND, "%s is not registered here",
                    pending->service);
    pending_wait(pending);
}

static int run(libsd *sd, const char *service, const char *instance, int timeout_ms,
               void (*task)(struct task *task))
{
    struct pending *pending;
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (!service || timeout_ms < 0)
        return LIBSD_EINVAL;
    pending = pending_new(sd, timeout_ms, task);
    if (!pending)
        return LIBSD_ENOMEM;
    pending->service = strdup(service);
    pending->instance = instance ? strdup(instance) : NULL;
    if (pending->service && (!instance || pending->instance))
        return pending_run(pending);
    waiter_drop(&pending->waiter);
    waiter_drop(&pending->waiter);
    return LIBSD_ENOMEM;
}

/* ---- deregister --------------------------------------------------------- */

static void drop(struct registration *registration, struct pending *pending)
{
    pending_join(pending, registration, LIBSD_ENOTFOUND);
    atomic_store_explicit(&registration->owner.closed, true, memory_order_release);
    if (registration->check)
        check_stop(registration->check);
    keywatch_stop(registration);
    claim_queue(registration, STEP_DROP);
}

static void deregister_task(struct task *task)
{
    for_each(container_of(task, struct pending, task), drop);
}

int libsd_deregister(libsd *sd, const char *service, const char *instance, int timeout_ms)
{
    int rc = run(sd, service, instance, timeout_ms, deregister_task);

    if (rc != LIBSD_EINVAL && rc != LIBSD_EFORKED && rc != LIBSD_EDEADLOCK) {
        queue_settle(sd);
        checks_settle(sd);
    }
    return rc;
}

/* ---- update ------------------------------------------------------------- */

static void change(struct registration *registration, struct pending *pending)
{
    const struct value *old = registration->value;
    struct value *value = value_new(pending->address ? pending->address : old->address,
                                    pending->changes ? pending->weight : old->weight,
                                    pending->changes ? pending->priority : old->priority,
                                    pending->changes ? pending->metadata : old->metadata);

    if (!value) {
        failure_set(&pending->failure, LIBSD_ENOMEM, "out of memory");
        return;
    }
    pending_join(pending, registration, LIBSD_ECONFLICT);
    registration_change(registration, value);
}

static void update_task(struct task *task)
{
    for_each(container_of(task, struct pending, task), change);
}

int libsd_update(libsd *sd, const char *service, const char *instance, const char *address,
                 const libsd_register_options *options)
{
    libsd_register_options given;
    struct failure failure = { 0 };
    struct pending *pending;
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (!service)
        return LIBSD_EINVAL;
    rc = register_options_read(&given, options, &failure);
    if (rc == 0 && address)
        rc = value_check_address(address, &failure);
    if (rc < 0)
        return handle_fail(sd, &failure);
    pending = pending_new(sd, given.timeout_ms, update_task);
    if (!pending)
        return LIBSD_ENOMEM;
    pending->service = strdup(service);
    pending->instance = instance ? strdup(instance) : NULL;
    pending->address = address ? strdup(address) : NULL;
    pending->changes = options != NULL;
    pending->weight = given.weight;
    pending->priority = given.priority;
    pending->metadata = given.metadata ? strdup(given.metadata) : NULL;
    if (pending->service && (!instance || pending->instance) && (!address || pending->address) &&
        (!given.metadata || pending->metadata))
        return pending_run(pending);
    waiter_drop(&pending->waiter);
    waiter_drop(&pending->waiter);
    return LIBSD_ENOMEM;
}

/* ---- pause -------------------------------------------------------------- */

static void pause_one(struct registration *registration, struct pending *pending)
{
    pending_join(pending, registration, LIBSD_ECONFLICT);
    registration_withhold(registration, WITHHELD_PAUSED, true);
}

static void resume_one(struct registration *registration, struct pending *pending)
{
    pending_join(pending, registration, LIBSD_ECONFLICT);
    registration_withhold(registration, WITHHELD_PAUSED, false);
}

static void pause_task(struct task *task)
{
    for_each(container_of(task, struct pending, task), pause_one);
}

static void resume_task(struct task *task)
{
    for_each(container_of(task, struct pending, task), resume_one);
}

int libsd_pause(libsd *sd, const char *service, const char *instance, int timeout_ms)
{
    return run(sd, service, instance, timeout_ms, pause_task);
}

int libsd_resume(libsd *sd, const char *service, const char *instance, int timeout_ms)
{
    return run(sd, service, instance, timeout_ms, resume_task);
}
