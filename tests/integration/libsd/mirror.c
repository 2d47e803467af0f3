/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a follower makes of its events; see mirror.h.
 */
#include "mirror.h"

#include <stdio.h>
#include <string.h>

void mirror_init(struct mirror *mirror)
{
    memset(mirror, 0, sizeof *mirror);
    pthread_mutex_init(&mirror->mutex, NULL);
}

static void object(struct mirror *mirror, const char *what, const libsd_kv *kv)
{
    if (!*mirror->wrong)
        snprintf(mirror->wrong, sizeof mirror->wrong, "%s: %.*s at %lld", what, (int)kv->key.size,
                 (const char *)kv->key.data, (long long)kv->mod_revision);
}

static struct mirrored *find(struct mirror *mirror, libsd_slice key)
{
    for (int i = 0; i < mirror->count; i++)
        if (strlen(mirror->keys[i].key) == key.size &&
            memcmp(mirror->keys[i].key, key.data, key.size) == 0)
            return &mirror->keys[i];
    return NULL;
}

static void forget(struct mirror *mirror, struct mirrored *one)
{
    *one = mirror->keys[--mirror->count];
}

static void sweep(struct mirror *mirror)
{
    for (int i = mirror->count - 1; i >= 0; i--)
        if (mirror->keys[i].mark != mirror->mark)
            forget(mirror, &mirror->keys[i]);
}

/* A change must be the next one of its key. */
static void check_change(struct mirror *mirror, const struct mirrored *known, const libsd_kv *kv)
{
    if (kv->mod_revision < mirror->revision)
        object(mirror, "out of order", kv);
    if (known && kv->mod_revision <= known->modified)
        object(mirror, "told twice", kv);
    else if (known && (kv->create_revision != known->created || kv->version != known->version + 1))
        object(mirror, "something before it was lost", kv);
    else if (!known && kv->version != 1)
        object(mirror, "its creation was lost", kv);
}

static void take_put(struct mirror *mirror, const libsd_kv *kv)
{
    struct mirrored *one = find(mirror, kv->key);

    if (!mirror->listing)
        check_change(mirror, one, kv);
    if (!one && mirror->count == MIRROR_KEYS) {
        object(mirror, "one too many for the mirror", kv);
        return;
    }
    if (!one)
        one = &mirror->keys[mirror->count++];
    snprintf(one->key, sizeof one->key, "%.*s", (int)kv->key.size, (const char *)kv->key.data);
    snprintf(one->value, sizeof one->value, "%.*s", (int)kv->value.size,
             (const char *)kv->value.data);
    one->created = kv->create_revision;
    one->modified = kv->mod_revision;
    one->version = kv->version;
    one->mark = mirror->mark;
}

static void take_delete(struct mirror *mirror, const libsd_kv *kv)
{
    struct mirrored *one = find(mirror, kv->key);

    if (kv->mod_revision < mirror->revision)
        object(mirror, "out of order", kv);
    if (one)
        forget(mirror, one);
    else
        object(mirror, "the end of what is not there", kv);
}

/* Nothing was lost, so an audit shows what was told. */
static void take_audit_key(struct mirror *mirror, const libsd_kv *kv)
{
    struct mirrored *one = find(mirror, kv->key);

    if (!one)
        object(mirror, "audit shows what is not there", kv);
    else if (one->modified != kv->mod_revision)
        object(mirror, "audit shows another revision", kv);
    else
        one->mark = mirror->mark;
}

static void end_audit(struct mirror *mirror)
{
    int before = mirror->count;

    sweep(mirror);
    if (mirror->count != before && !*mirror->wrong)
        snprintf(mirror->wrong, sizeof mirror->wrong, "audit lacks %d keys",
                 before - mirror->count);
    mirror->audits++;
}

void mirror_take(const libsd_event *event, void *arg)
{
    struct mirror *mirror = arg;

    pthread_mutex_lock(&mirror->mutex);
    switch (event->type) {
    case LIBSD_EVENT_LIST_BEGIN:
        mirror->mark++;
        mirror->listing = true;
        break;
    case LIBSD_EVENT_LIST_END:
        sweep(mirror);
        mirror->listing = false;
        mirror->lists++;
        mirror->revision = event->revision;
        break;
    case LIBSD_EVENT_PUT:
        take_put(mirror, event->kv);
        break;
    case LIBSD_EVENT_DELETE:
        take_delete(mirror, event->kv);
        break;
    case LIBSD_EVENT_AUDIT_BEGIN:
        mirror->mark++;
        break;
    case LIBSD_EVENT_AUDIT_KEY:
        take_audit_key(mirror, event->kv);
        break;
    case LIBSD_EVENT_AUDIT_END:
        end_audit(mirror);
        break;
    case LIBSD_EVENT_COMMIT:
        mirror->revision = event->revision;
        break;
    case LIBSD_EVENT_CONNECTED:
        mirror->ups++;
        break;
    case LIBSD_EVENT_DISCONNECTED:
        mirror->downs++;
        mirror->error = event->error;
        break;
    default:
        snprintf(mirror->wrong, sizeof mirror->wrong, "event of type %d", event->type);
        break;
    }
    pthread_mutex_unlock(&mirror->mutex);
}

static bool is_in(struct mirror *mirror, const libsd_kv *kv)
{
    const struct mirrored *one = find(mirror, kv->key);

    return one && one->modified == kv->mod_revision && one->created == kv->create_revision &&
           strlen(one->value) == kv->value.size &&
           memcmp(one->value, kv->value.data, kv->value.size) == 0;
}

bool mirror_is_current(struct mirror *mirror, libsd *sd, const char *prefix)
{
    libsd_kvs *kvs = NULL;
    bool same = libsd_list(sd, libsd_str(prefix), 0, &kvs, 1000) == 0;

    pthread_mutex_lock(&mirror->mutex);
    same = same && libsd_kvs_count(kvs) == (size_t)mirror->count && !mirror->listing;
    for (size_t i = 0; same && i < libsd_kvs_count(kvs); i++)
        same = is_in(mirror, libsd_kvs_at(kvs, i));
    pthread_mutex_unlock(&mirror->mutex);
    libsd_kvs_free(kvs);
    return same;
}

static int number(struct mirror *mirror, const int *which)
{
    int value;

    pthread_mutex_lock(&mirror->mutex);
    value = *which;
    pthread_mutex_unlock(&mirror->mutex);
    return value;
}

int mirror_lists(struct mirror *mirror)
{
    return number(mirror, &mirror->lists);
}

int mirror_audits(struct mirror *mirror)
{
    int audits;

    pthread_mutex_lock(&mirror->mutex);
    audits = mirror->audits;
    pthread_mutex_unlock(&mirror->mutex);
    return audits;
}

int mirror_ups(struct mirror *mirror)
{
    return number(mirror, &mirror->ups);
}

int mirror_downs(struct mirror *mirror)
{
    return number(mirror, &mirror->downs);
}
