/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The transactions of a contender.  All can be repeated when their outcome is
 * unknown: they are guarded by the create_revision of our key.
 */
#include "standing.h"

#include "contest.h"
#include "internal.h"

static void add_key(struct buffer *body, const char *key)
{
    message_key(body, libsd_str(key), false);
}

static void add_prefix(struct buffer *body, const char *prefix)
{
    message_key(body, libsd_str(prefix), true);
}

static void add_put(struct buffer *body, const struct libsd_mutex *mutex, libsd_slice value)
{
    buffer_text(body, "{\"request_put\":{");
    add_key(body, mutex->key);
    buffer_text(body, ",\"value\":");
    buffer_base64(body, value);
    buffer_format(body, ",\"lease\":\"%lld\"}}", (long long)mutex->lease);
}

/* If our key is as we made it ... */
static void add_guard(struct buffer *body, const struct libsd_mutex *mutex)
{
    buffer_text(body, "{\"compare\":[{\"target\":\"CREATE\",");
    add_key(body, mutex->key);
    buffer_format(body, ",\"create_revision\":\"%lld\"}],\"success\":[",
                  (long long)mutex->create_revision);
}

/* The two newest of the queue, our own maybe one of them; up to a revision
 * unless that is 0. */
static void add_newest(struct buffer *body, const struct libsd_mutex *mutex, int64_t most_revision)
{
    buffer_text(body, "{\"request_range\":{");
    add_prefix(body, mutex->prefix);
    if (most_revision)
        buffer_format(body, ",\"max_create_revision\":\"%lld\"", (long long)most_revision);
    buffer_text(body, ",\"sort_order\":\"DESCEND\",\"sort_target\":\"CREATE\",\"limit\":\"2\","
                      "\"keys_only\":true}}");
}

void standing_join_body(struct buffer *body, const struct libsd_mutex *mutex)
{
    buffer_text(body, "{\"compare\":[{\"target\":\"CREATE\",\"create_revision\":\"0\",");
    /* Of a range without keys etcd compares a key of zeros. */
    if (mutex->try_only)
        add_prefix(body, mutex->prefix);
    else
        add_key(body, mutex->key);
    buffer_text(body, "}],\"success\":[");
    add_put(body, mutex, libsd_bytes(mutex->value, mutex->value_size));
    buffer_text(body, ",");
    add_newest(body, mutex, 0);
    buffer_text(body, "],\"failure\":[{\"request_range\":{");
    add_key(body, mutex->key);
    buffer_text(body, "}}]}");
}

static bool is_key(libsd_slice slice, const char *key)
{
    return slice.size == strlen(key) && memcmp(slice.data, key, slice.size) == 0;
}

/* The newest key that is not ours. */
static const libsd_kv *newest_other(const struct libsd_mutex *mutex, const struct answer *answer)
{
    for (size_t i = 0; i < answer->records.count; i++) {
        if (!is_key(answer->records.list[i].kv.key, mutex->key))
            return &answer->records.list[i].kv;
    }
    return NULL;
}

void standing_read_join(struct standing *standing, const struct libsd_mutex *mutex,
                        const struct answer *answer)
{
    *standing = (struct standing){ 0 };
    if (answer->succeeded) {
        standing->ours = standing->known = true;
        standing->create_revision = answer->header.revision;
        standing->before = newest_other(mutex, answer);
    } else if (answer->records.count) {
        /* A try before got through, unless somebody has overwritten it since. */
        standing->ours = answer->records.list[0].kv.lease == mutex->lease;
        standing->create_revision = answer->records.list[0].kv.create_revision;
    }
}

void standing_look_body(struct buffer *body, const struct libsd_mutex *mutex)
{
    add_guard(body, mutex);
    add_newest(body, mutex, mutex->create_revision - 1);
    buffer_text(body, "]}");
}

void standing_read_look(struct standing *standing, const struct libsd_mutex *mutex,
                        const struct answer *answer)
{
    *standing = (struct standing){
        .ours = answer->succeeded,
        .known = answer->succeeded,
        .create_revision = mutex->create_revision,
        .before = newest_other(mutex, answer),
    };
}

void standing_clean_body(struct buffer *body, const struct libsd_mutex *mutex)
{
    if (mutex->overwritten) {
        add_guard(body, mutex);
    } else {
        /* Also what we never learned to be written. */
        buffer_text(body, "{\"compare\":[{\"target\":\"LEASE\",");
        add_key(body, mutex->key);
        buffer_format(body, ",\"lease\":\"%lld\"}],\"success\":[", (long long)mutex->lease);
    }
    buffer_text(body, "{\"request_delete_range\":{");
    add_key(body, mutex->key);
    buffer_text(body, "}}]}");
}

void standing_proclaim_body(struct buffer *body, const struct libsd_mutex *mutex, libsd_slice value)
{
    add_guard(body, mutex);
    add_put(body, mutex, value);
    buffer_text(body, "]}");
}

void standing_first_body(struct buffer *body, libsd_slice prefix, int64_t revision)
{
    buffer_text(body, "{");
    message_key(body, prefix, true);
    if (revision)
        buffer_format(body, ",\"revision\":\"%lld\"", (long long)revision);
    buffer_text(body, ",\"sort_order\":\"ASCEND\",\"sort_target\":\"CREATE\",\"limit\":\"1\"}");
}
