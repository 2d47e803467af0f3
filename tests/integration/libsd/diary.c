/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the callbacks of watched services told; see diary.h.
 */
#include "diary.h"

#include <stdio.h>
#include <string.h>

static const char *const reasons[] = { "?",     "present", "registered", "updated", "deregistered",
                                       "lease", "deleted", "unreadable", "resync" };

void diary_init(struct diary *diary)
{
    memset(diary, 0, sizeof *diary);
    pthread_mutex_init(&diary->mutex, NULL);
}

void diary_take(const libsd_change *change, void *arg)
{
    struct diary *to = arg;
    const libsd_instance *instance = change->instance;

    pthread_mutex_lock(&to->mutex);
    if (instance)
        to->size += (size_t)snprintf(
            to->text + to->size, sizeof to->text - to->size, "%c%s%s%s:%s ", "?+-~"[change->type],
            strcmp(instance->service, "user") == 0 ? "" : instance->service,
            strcmp(instance->service, "user") == 0 ? "" : "|", instance->name,
            reasons[change->reason]);
    else
        to->size += (size_t)snprintf(to->text + to->size, sizeof to->text - to->size, "%s ",
                                     change->type == LIBSD_SYNCED         ? "synced"
                                     : change->type == LIBSD_OUT_OF_SIGHT ? "blind"
                                                                          : "sight");
    to->counts[change->type]++;
    to->odd |=
        !change->before != (change->type != LIBSD_OFFLINE && change->type != LIBSD_CHANGED) ||
        !change->now != (change->type != LIBSD_ONLINE && change->type != LIBSD_CHANGED) ||
        instance != (change->now ? change->now : change->before) ||
        (change->type == LIBSD_CHANGED && strcmp(change->before->host, change->now->host) == 0);
    if (instance && change->reason != LIBSD_REASON_PRESENT &&
        change->reason != LIBSD_REASON_RESYNC) {
        to->disordered |= change->revision < to->revision;
        to->revision = change->revision;
    }
    pthread_mutex_unlock(&to->mutex);
    if (to->close) {
        libsd_discovery_close(to->close);
        to->close = NULL;
    }
}

bool diary_says(struct diary *in, const char *words)
{
    bool same;

    pthread_mutex_lock(&in->mutex);
    same = strcmp(in->text, words) == 0;
    pthread_mutex_unlock(&in->mutex);
    return same;
}

int diary_count(struct diary *in, int type)
{
    int number;

    pthread_mutex_lock(&in->mutex);
    number = in->counts[type];
    pthread_mutex_unlock(&in->mutex);
    return number;
}

void diary_forget(struct diary *in)
{
    pthread_mutex_lock(&in->mutex);
    in->text[0] = '\0';
    in->size = 0;
    pthread_mutex_unlock(&in->mutex);
}
