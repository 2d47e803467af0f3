/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Lists of keys.
 */
#include "kvs.h"

#include <stdlib.h>

int kvs_take_text(struct libsd_kvs *kvs, struct buffer *text)
{
    struct buffer *texts = reallocarray(kvs->texts, kvs->text_count + 1, sizeof *texts);

    if (!texts)
        return LIBSD_ENOMEM;
    kvs->texts = texts;
    texts[kvs->text_count++] = *text;
    *text = (struct buffer){ 0 };
    return 0;
}

int kvs_append(struct libsd_kvs *kvs, struct records *more)
{
    size_t count = kvs->records.count + more->count;
    struct record *list;

    if (kvs->records.count == 0) {
        records_free(&kvs->records);
        kvs->records = *more;
        *more = (struct records){ 0 };
        return 0;
    }
    if (count > kvs->records.capacity) {
        list = reallocarray(kvs->records.list, count + count / 2, sizeof *list);
        if (!list)
            return LIBSD_ENOMEM;
        kvs->records.list = list;
        kvs->records.capacity = count + count / 2;
    }
    if (more->count)
        memcpy(kvs->records.list + kvs->records.count, more->list,
               more->count * sizeof *more->list);
    kvs->records.count = count;
    records_free(more);
    return 0;
}

void kvs_clear(struct libsd_kvs *kvs)
{
    for (size_t i = 0; i < kvs->text_count; i++)
        buffer_free(&kvs->texts[i]);
    free(kvs->texts);
    records_free(&kvs->records);
    *kvs = (struct libsd_kvs){ 0 };
}

size_t libsd_kvs_count(const libsd_kvs *kvs)
{
    return kvs ? kvs->records.count : 0;
}

const libsd_kv *libsd_kvs_at(const libsd_kvs *kvs, size_t i)
{
    return kvs && i < kvs->records.count ? &kvs->records.list[i].kv : NULL;
}

int64_t libsd_kvs_revision(const libsd_kvs *kvs)
{
    return kvs ? kvs->revision : 0;
}

void libsd_kvs_free(libsd_kvs *kvs)
{
    if (!kvs)
        return;
    kvs_clear(kvs);
    free(kvs);
}
