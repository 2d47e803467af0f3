/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Watches on the keys of registrations; see keywatch.h.
 *
 * A shared watch may have passed a revision before a registration joins it.
 * Nothing gets lost by that: it tells every registration of the handle whose
 * key it sees, and one whose transaction is under way looks again afterwards.
 */
#include "keywatch.h"

#include <search.h>
#include <stdlib.h>

#include "group.h"
#include "internal.h"

static void on_live(struct subscription *subscription)
{
    (void)subscription;
}

/* The lease's beats say whether we are still registered, and look at the keys
 * as long as they are not watched. */
static void on_down(struct subscription *subscription, const struct failure *failure)
{
    (void)subscription;
    (void)failure;
}

static void init(struct subscription *subscription, const char *key, bool prefix)
{
    subscription->span.key = libsd_str(key);
    subscription->span.prefix = prefix;
    subscription->on_live = on_live;
    subscription->on_down = on_down;
}

/* ---- own ---------------------------------------------------------------- */

static bool own_events(struct subscription *subscription, struct records *records,
                       struct buffer *text, bool complete)
{
    (void)text;
    (void)complete;
    /* Only the last one matters: it is what the key is now. */
    registration_key_changed(container_of(subscription, struct registration, subscription),
                             &records->list[records->count - 1]);
    return true;
}

static void own_lost(struct subscription *subscription, const struct failure *failure)
{
    (void)failure;
    registration_look(container_of(subscription, struct registration, subscription));
}

/* ---- shared ------------------------------------------------------------- */

static bool shared_events(struct subscription *subscription, struct records *records,
                          struct buffer *text, bool complete)
{
    struct service_watch *service = container_of(subscription, struct service_watch, subscription);

    (void)text;
    (void)complete;
    for (size_t i = 0; i < records->count; i++) {
        struct registration *registration = registry_find(service->sd, records->list[i].kv.key);

        if (registration)
            registration_key_changed(registration, &records->list[i]);
    }
    return true;
}

static void shared_lost(struct subscription *subscription, const struct failure *failure)
{
    struct service_watch *service = container_of(subscription, struct service_watch, subscription);
    struct group *group;
    struct registration *registration;

    (void)failure;
    LIST_FOREACH(group, &service->sd->groups, link)
    {
        TAILQ_FOREACH(registration, &group->registrations, link)
        {
            if (registration->service_watch == service)
                registration_look(registration);
        }
    }
}

static int by_prefix(const void *a, const void *b)
{
    return strcmp(((const struct service_watch *)a)->prefix,
                  ((const struct service_watch *)b)->prefix);
}

static void service_free(struct service_watch *service)
{
    free(service->prefix);
    free(service);
}

/* NULL when out of memory. */
static struct service_watch *service_get(struct registration *registration)
{
    struct libsd *sd = registration->sd;
    size_t size = strlen(registration->key) - strlen(registration->instance);
    struct service_watch *made = calloc(1, sizeof *made);
    struct service_watch **found = NULL;

    if (!made)
        return NULL;
    made->sd = sd;
    made->prefix = strndup(registration->key, size);
    if (made->prefix)
        found = tsearch(made, &sd->services, by_prefix);
    if (!found || *found != made) {
        service_free(made);
        return found ? *found : NULL;
    }
    init(&made->subscription, made->prefix, true);
    made->subscription.on_events = shared_events;
    made->subscription.on_lost = shared_lost;
    return made;
}

/* ---- registrations ------------------------------------------------------ */

static void watch_from(struct libsd *sd, struct subscription *subscription, int64_t revision)
{
    if (subscription->state != SUBSCRIPTION_NONE)
        return;
    subscription->next = revision;
    stream_subscribe(sd, subscription);
}

static void join(struct registration *registration)
{
    struct service_watch *service;

    if (registration->subscription.state != SUBSCRIPTION_NONE)
        return; /* there was no memory for the service the first time */
    service = service_get(registration);
    init(&registration->subscription, registration->key, false);
    registration->subscription.on_events = own_events;
    registration->subscription.on_lost = own_lost;
    registration->service_watch = service;
    registration->shares_watch = service && service->members >= OWN_MAX;
    if (service)
        service->members++;
}

/* The subscription that tells of the registration's key. */
static struct subscription *subscription_of(struct registration *registration)
{
    struct service_watch *service = registration->service_watch;

    return service && registration->shares_watch ? &service->subscription
                                                 : &registration->subscription;
}

void keywatch_start(struct registration *registration, int64_t store_revision)
{
    if (!registration->service_watch)
        join(registration);
    watch_from(registration->sd, subscription_of(registration), store_revision + 1);
}

void keywatch_stop(struct registration *registration)
{
    struct libsd *sd = registration->sd;
    struct service_watch *service = registration->service_watch;

    stream_unsubscribe(sd, &registration->subscription);
    registration->service_watch = NULL;
    registration->shares_watch = false;
    if (!service || --service->members)
        return;
    stream_unsubscribe(sd, &service->subscription);
    tdelete(service, &sd->services, by_prefix);
    service_free(service);
}

bool keywatch_is_live(struct registration *registration)
{
    return subscription_of(registration)->state == SUBSCRIPTION_LIVE;
}
