/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd_register() and libsd_deregister(), and the handle's registry of what
 * they were asked for.
 */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "group.h"
#include "internal.h"

#define NAME_BYTES_MAX 1024

/* ---- registry ----------------------------------------------------------- */

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

void registry_remove(struct registration *registration)
{
    if (registry_find(registration->sd, registration->name) == registration)
        tdelete(&registration->name, &registration->sd->registry, by_key);
}

/* ---- making a registration ---------------------------------------------- */

static void registration_deliver(struct owner *owner, const struct record *record)
{
    struct registration *registration = container_of(owner, struct registration, owner);

    registration->callback(registration->sd, registration->service, registration->instance,
                           record->type, record->error, registration->callback_arg);
}

static void registration_free(struct owner *owner)
{
    struct registration *registration = container_of(owner, struct registration, owner);

    free(registration->service);
    free(registration->instance);
    free(registration->key);
    free(registration->value);
    free(registration);
}

/* Segments separated by '/', none empty; one only if so wanted. */
static bool is_name(const char *name, bool one_segment)
{
    size_t size = strlen(name);

    return size > 0 && size <= NAME_BYTES_MAX && name[0] != '/' && name[size - 1] != '/' &&
           !strstr(name, one_segment ? "/" : "//");
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

/* The plain address, or an object around it when there is more to say.  What
 * libsd_instance_parse() takes for an address needs no escapes in JSON. */
static char *make_value(const char *address, uint32_t weight)
{
    char *value = NULL;

    if (!weight)
        return strdup(address);
    if (asprintf(&value, "{\"addr\":\"%s\",\"weight\":%u}", address, weight) < 0)
        return NULL;
    return value;
}

/* Options as the caller's version of the header knows them. */
static int read_options(libsd_register_options *to, const libsd_register_options *from)
{
    *to = (libsd_register_options){ 0 };
    if (!from)
        return 0;
    if (from->size < sizeof from->size)
        return LIBSD_EINVAL;
    memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
    if (to->weight > 65535 || to->takeover < LIBSD_TAKEOVER_DEFAULT ||
        to->takeover > LIBSD_TAKEOVER_FAIL || to->timeout_ms < 0)
        return LIBSD_EINVAL;
    return 0;
}

/* NULL when out of memory. */
static struct registration *registration_new(struct libsd *sd, const char *service,
                                             const char *instance, const char *address,
                                             const libsd_register_options *options)
{
    struct registration *registration = calloc(1, sizeof *registration);

    if (!registration)
        return NULL;
    owner_init(&registration->owner, registration_deliver, registration_free);
    registration->sd = sd;
    registration->takeover = options->takeover ? options->takeover : sd->options.takeover;
    registration->callback = options->callback;
    registration->callback_arg = options->callback_arg;
    registration->service = strdup(service);
    registration->instance = instance ? strdup(instance) : unique_instance();
    registration->value = make_value(address, options->weight);
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

static int check_address(const char *address, libsd_instance *instance)
{
    int rc;

    if (strstr(address, "://") || strpbrk(address, " \t\r\n\"\\"))
        return LIBSD_EINVAL;
    rc = libsd_instance_parse("plain", libsd_str(address), instance, sizeof *instance, NULL, 0);
    if (rc == 0 && instance->port == 0)
        rc = LIBSD_EINVAL;
    return rc;
}

/* ---- waiting ------------------------------------------------------------ */

static void pending_free(struct waiter *waiter)
{
    struct pending *pending = container_of(waiter, struct pending, waiter);

    free(pending->service);
    free(pending->instance);
    free(pending);
}

static struct pending *pending_new(struct libsd *sd, int timeout_ms, void (*run)(struct task *))
{
    struct pending *pending = calloc(1, sizeof *pending);

    if (!pending)
        return NULL;
    waiter_init(&pending->waiter, pending_free);
    pending->sd = sd;
    pending->task.run = run;
    pending->deadline_ns = now_ns() + (timeout_ms ? timeout_ms : sd->options.timeout_ms) * MS;
    return pending;
}

static void pending_end(struct pending *pending, const struct failure *failure)
{
    timer_stop(&pending->timer);
    waiter_finish(&pending->waiter, failure);
    waiter_drop(&pending->waiter);
}

/* Posts it and waits for its end. */
static int pending_run(struct pending *pending)
{
    struct libsd *sd = pending->sd;
    struct failure failure = { 0 };

    if (!loop_post(&sd->loop, &pending->task)) {
        failure_set(&failure, LIBSD_ECLOSED, "the handle is being closed");
        if (pending->registration)
            owner_drop(&pending->registration->owner);
        waiter_drop(&pending->waiter);
    } else if (waiter_wait(&pending->waiter, pending->deadline_ns + WAIT_GRACE_NS)) {
        failure = pending->waiter.failure;
    } else {
        failure_set(&failure, LIBSD_ETIMEDOUT, "the I/O thread does not answer");
    }
    waiter_drop(&pending->waiter);
    return failure.code < 0 ? handle_fail(sd, &failure) : 0;
}

/* What stands in the way, as far as is known. */
static void time_is_up(const struct group *group, struct failure *failure)
{
    failure_set(failure, LIBSD_ETIMEDOUT, "not done in time");
    if (group->txn.active && libsd_error_is_retriable(group->txn.failure.code))
        *failure = group->txn.failure;
    else if (group->call.active && libsd_error_is_retriable(group->call.failure.code))
        *failure = group->call.failure;
    else if (libsd_error_is_retriable(group->failure.code))
        *failure = group->failure;
}

/* ---- register ----------------------------------------------------------- */

static void register_timeout(struct timer *timer)
{
    struct pending *pending = container_of(timer, struct pending, timer);
    struct registration *registration = pending->registration;
    struct failure failure;

    if (registration->state == LIBSD_CONFLICTED) {
        failure = pending->conflict; /* pending may be gone after the answer */
        registration_answer(registration, &failure);
        registration_retire(registration);
        return;
    }
    time_is_up(registration->group, &failure);
    registration_answer(registration, &failure);
}

/* One that was registered before under this name makes way; its key is still
 * under a lease of ours and so is taken over in place. */
static int add(struct libsd *sd, struct registration *registration)
{
    struct registration *old = registry_find(sd, registration->name);
    struct group *group = group_get(sd, registration->ttl_s);

    if (!group)
        return LIBSD_ENOMEM;
    if (old)
        registration_retire(old);
    if (!tsearch(&registration->name, &sd->registry, by_key))
        return LIBSD_ENOMEM;
    group_join(group, registration);
    claim_queue(registration, STEP_CLAIM);
    return 0;
}

static void register_task(struct task *task)
{
    struct pending *pending = container_of(task, struct pending, task);
    struct registration *registration = pending->registration;
    struct libsd *sd = pending->sd;
    struct failure failure;

    if (add(sd, registration) < 0) {
        owner_drop(&registration->owner);
        failure_set(&failure, LIBSD_ENOMEM, "out of memory");
        pending_end(pending, &failure);
        return;
    }
    registration->pending = pending;
    pending->left = 1;
    pending->timer.fire = register_timeout;
    timer_start(&sd->loop, &pending->timer, pending->deadline_ns - now_ns());
}

int libsd_register(libsd *sd, const char *service, const char *instance, const char *address,
                   int ttl_s, const libsd_register_options *options)
{
    libsd_register_options given = { 0 };
    libsd_instance parsed = { 0 };
    struct registration *registration;
    struct pending *pending;
    int rc = handle_check_blocking(sd);

    if (rc == 0)
        rc = read_options(&given, options);
    if (rc < 0)
        return rc;
    if (!service || !address || ttl_s < 0 || ttl_s > LIBSD_TTL_MAX || !is_name(service, false) ||
        (instance && !is_name(instance, true)))
        return LIBSD_EINVAL;
    rc = check_address(address, &parsed);
    if (rc < 0)
        return rc;
    registration = registration_new(sd, service, instance, address, &given);
    if (!registration)
        return LIBSD_ENOMEM;
    registration->address = parsed;
    registration->ttl_s = ttl_s ? ttl_s : sd->options.ttl_s;
    pending = pending_new(sd, given.timeout_ms, register_task);
    if (!pending) {
        owner_drop(&registration->owner);
        return LIBSD_ENOMEM;
    }
    pending->registration = registration;
    return pending_run(pending);
}

/* ---- deregister --------------------------------------------------------- */

static bool is_meant(const struct registration *registration, const struct pending *pending)
{
    return strcmp(registration->service, pending->service) == 0 &&
           (!pending->instance || strcmp(registration->instance, pending->instance) == 0) &&
           registration->step != STEP_DROP;
}

/* The keys are still being deleted; nobody waits for that any more. */
static void deregister_timeout(struct timer *timer)
{
    struct pending *pending = container_of(timer, struct pending, timer);
    struct failure failure;
    struct group *group;
    struct registration *registration;

    failure_set(&failure, LIBSD_ETIMEDOUT, "not done in time");
    LIST_FOREACH(group, &pending->sd->groups, link)
    {
        TAILQ_FOREACH(registration, &group->registrations, link)
        {
            if (registration->pending == pending) {
                registration->pending = NULL;
                time_is_up(group, &failure);
            }
        }
    }
    pending_end(pending, &failure);
}

static void drop(struct registration *registration, struct pending *pending)
{
    struct failure superseded;

    failure_set(&superseded, LIBSD_ENOTFOUND, "deregistered meanwhile");
    registration_answer(registration, &superseded);
    atomic_store_explicit(&registration->owner.closed, true, memory_order_release);
    keywatch_stop(registration);
    registration->pending = pending;
    pending->left++;
    claim_queue(registration, STEP_DROP);
}

static void deregister_task(struct task *task)
{
    struct pending *pending = container_of(task, struct pending, task);
    struct libsd *sd = pending->sd;
    struct failure failure;
    struct group *group;
    struct registration *registration;

    LIST_FOREACH(group, &sd->groups, link)
    {
        TAILQ_FOREACH(registration, &group->registrations, link)
        {
            if (is_meant(registration, pending))
                drop(registration, pending);
        }
    }
    if (pending->left) {
        pending->timer.fire = deregister_timeout;
        timer_start(&sd->loop, &pending->timer, pending->deadline_ns - now_ns());
        return;
    }
    failure_set(&failure, LIBSD_ENOTFOUND, "%s is not registered here", pending->service);
    pending_end(pending, &failure);
}

int libsd_deregister(libsd *sd, const char *service, const char *instance, int timeout_ms)
{
    struct pending *pending;
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (!service || timeout_ms < 0)
        return LIBSD_EINVAL;
    pending = pending_new(sd, timeout_ms, deregister_task);
    if (!pending)
        return LIBSD_ENOMEM;
    pending->service = strdup(service);
    pending->instance = instance ? strdup(instance) : NULL;
    if (!pending->service || (instance && !pending->instance)) {
        waiter_drop(&pending->waiter);
        waiter_drop(&pending->waiter);
        return LIBSD_ENOMEM;
    }
    rc = pending_run(pending);
    queue_settle(sd);
    return rc;
}
