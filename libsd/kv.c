/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keys and values: etcd's KV service, one blocking call each.
 */
#include <stdlib.h>

#include "ask.h"
#include "internal.h"
#include "kvs.h"

/* etcd refuses keys and values above 1.5 MiB; refusing what is far above here
 * spares the encoding. */
#define BYTES_MAX ((size_t)8 << 20)

static bool is_slice(libsd_slice slice)
{
    return (slice.data || slice.size == 0) && slice.size <= BYTES_MAX;
}

static bool is_key(libsd_slice key)
{
    return is_slice(key) && key.size > 0;
}

int libsd_put(libsd *sd, libsd_slice key, libsd_slice value, int64_t lease, int64_t *revision,
              int timeout_ms)
{
    struct buffer body = { 0 };
    struct buffer text;
    struct answer answer;
    struct question question = {
        .path = "/kv/put",
        .body = &body,
        .flags = CALL_WRITE,
        .timeout_ms = timeout_ms,
    };
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (!is_key(key) || !is_slice(value) || timeout_ms < 0)
        return LIBSD_EINVAL;
    buffer_text(&body, "{");
    message_key(&body, key, false);
    buffer_text(&body, ",\"value\":");
    buffer_base64(&body, value);
    if (lease)
        buffer_format(&body, ",\"lease\":\"%lld\"", (long long)lease);
    buffer_text(&body, "}");
    rc = ask(sd, &question, &text, &answer, NULL);
    if (rc == 0 && revision)
        *revision = answer.header.revision;
    records_free(&answer.records);
    buffer_free(&text);
    return rc;
}

/* ---- lists -------------------------------------------------------------- */

/* Takes a page's records and text over.  The answer is untouched on failure. */
static int kvs_append(struct libsd_kvs *kvs, struct answer *answer, struct buffer *text)
{
    struct buffer *texts = reallocarray(kvs->texts, kvs->text_count + 1, sizeof *texts);
    size_t count = kvs->records.count + answer->records.count;
    struct record *list;

    if (!texts)
        return LIBSD_ENOMEM;
    kvs->texts = texts;
    if (kvs->records.count == 0) {
        records_free(&kvs->records);
        kvs->records = answer->records;
        answer->records = (struct records){ 0 };
    } else if (answer->records.count) {
        if (count > kvs->records.capacity) {
            list = reallocarray(kvs->records.list, count + count / 2, sizeof *list);
            if (!list)
                return LIBSD_ENOMEM;
            kvs->records.list = list;
            kvs->records.capacity = count + count / 2;
        }
        memcpy(kvs->records.list + kvs->records.count, answer->records.list,
               answer->records.count * sizeof *answer->records.list);
        kvs->records.count = count;
    }
    texts[kvs->text_count++] = *text;
    *text = (struct buffer){ 0 };
    return 0;
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
    for (size_t i = 0; i < kvs->text_count; i++)
        buffer_free(&kvs->texts[i]);
    free(kvs->texts);
    records_free(&kvs->records);
    free(kvs);
}

/* One page of a list. */
struct page {
    libsd_slice prefix;
    bool is_prefix;
    int flags;
    int timeout_ms;
    unsigned limit;
    int64_t revision; /* 0: the newest */
    struct buffer *from;
};

static int ask_page(libsd *sd, const struct page *page, struct buffer *text, struct answer *answer)
{
    struct buffer body = { 0 };
    struct failure failure = { 0 };
    struct question question = {
        .path = "/kv/range",
        .body = &body,
        .flags = page->flags & LIBSD_SERIALIZABLE ? CALL_SERIALIZABLE : 0,
        .timeout_ms = page->timeout_ms,
        .big_answer = page->is_prefix,
        .place = &failure,
    };
    int rc;

    buffer_text(&body, "{");
    message_range(&body, libsd_bytes(page->from->data, page->from->size), page->prefix,
                  page->is_prefix);
    if (page->limit)
        buffer_format(&body, ",\"limit\":\"%u\"", page->limit);
    if (page->revision)
        buffer_format(&body, ",\"revision\":\"%lld\"", (long long)page->revision);
    if (page->flags & LIBSD_KEYS_ONLY)
        buffer_text(&body, ",\"keys_only\":true");
    if (page->flags & LIBSD_SERIALIZABLE)
        buffer_text(&body, ",\"serializable\":true");
    buffer_text(&body, "}");
    body.failed |= page->from->failed;
    rc = ask(sd, &question, text, answer, NULL);
    if (rc == 0 && page_check(answer, libsd_bytes(page->from->data, page->from->size), page->prefix,
                              page->is_prefix, &failure) < 0)
        rc = handle_fail(sd, &failure);
    return rc;
}

/* Reads pages into kvs until there are no more. */
static int read_pages(libsd *sd, struct page *page, struct libsd_kvs *kvs)
{
    bool more = true;
    int rc = 0;

    while (rc == 0 && more) {
        struct buffer text;
        struct answer answer;

        rc = ask_page(sd, page, &text, &answer);
        if (rc == LIBSD_ETOOBIG && page->limit > 1) {
            page->limit /= 2;
            rc = 0;
            records_free(&answer.records);
            buffer_free(&text);
            continue;
        }
        if (rc == 0) {
            more = answer.more;
            if (!page->revision)
                page->revision = kvs->revision = answer.header.revision;
            rc = kvs_append(kvs, &answer, &text);
        }
        records_free(&answer.records);
        buffer_free(&text);
        if (rc == 0 && more) {
            libsd_slice last = kvs->records.list[kvs->records.count - 1].kv.key;

            page->from->size = 0;
            buffer_add(page->from, last.data, last.size);
            buffer_add(page->from, "", 1);
        }
    }
    return rc;
}

/* A long list may be overtaken by a compaction; it is begun anew so often. */
#define LIST_TRIES 3

static int read_list(libsd *sd, const struct page *wanted, libsd_kvs **kvs)
{
    int rc = LIBSD_ECOMPACTED;

    *kvs = NULL;
    for (int i = 0; i < LIST_TRIES && rc == LIBSD_ECOMPACTED; i++) {
        struct libsd_kvs *list = calloc(1, sizeof *list);
        struct buffer from = { 0 };
        struct page page = *wanted;

        if (!list)
            return LIBSD_ENOMEM;
        page.from = &from;
        buffer_add(&from, page.prefix.data, page.prefix.size);
        rc = read_pages(sd, &page, list);
        buffer_free(&from);
        if (rc == 0)
            *kvs = list;
        else
            libsd_kvs_free(list);
    }
    return rc;
}

int libsd_get(libsd *sd, libsd_slice key, libsd_kvs **kvs, int timeout_ms)
{
    struct page page = { .prefix = key, .timeout_ms = timeout_ms };
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (!is_key(key) || !kvs || timeout_ms < 0)
        return LIBSD_EINVAL;
    rc = read_list(sd, &page, kvs);
    if (rc == 0 && libsd_kvs_count(*kvs) == 0) {
        libsd_kvs_free(*kvs);
        *kvs = NULL;
        rc = LIBSD_ENOTFOUND;
    }
    return rc;
}

int libsd_list(libsd *sd, libsd_slice prefix, int flags, libsd_kvs **kvs, int timeout_ms)
{
    struct page page = {
        .prefix = prefix,
        .is_prefix = true,
        .flags = flags,
        .timeout_ms = timeout_ms,
    };
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (!is_slice(prefix) || !kvs || (flags & ~(LIBSD_KEYS_ONLY | LIBSD_SERIALIZABLE)) ||
        timeout_ms < 0)
        return LIBSD_EINVAL;
    page.limit = sd->page_limit;
    return read_list(sd, &page, kvs);
}

/* ---- deleting ----------------------------------------------------------- */

static int delete_range(libsd *sd, libsd_slice key, bool prefix, int64_t *deleted, int timeout_ms)
{
    struct buffer body = { 0 };
    struct buffer text;
    struct answer answer;
    struct question question = {
        .path = "/kv/deleterange",
        .body = &body,
        .flags = CALL_WRITE,
        .timeout_ms = timeout_ms,
    };
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (!is_key(key) || timeout_ms < 0)
        return LIBSD_EINVAL;
    buffer_text(&body, "{");
    message_key(&body, key, prefix);
    buffer_text(&body, "}");
    rc = ask(sd, &question, &text, &answer, NULL);
    if (rc == 0)
        *deleted = answer.deleted;
    records_free(&answer.records);
    buffer_free(&text);
    return rc;
}

int libsd_delete(libsd *sd, libsd_slice key, int timeout_ms)
{
    int64_t deleted = 0;
    int rc = delete_range(sd, key, false, &deleted, timeout_ms);

    return rc < 0 ? rc : deleted > 0;
}

int libsd_delete_prefix(libsd *sd, libsd_slice prefix, int64_t *deleted, int timeout_ms)
{
    int64_t count = 0;
    int rc = delete_range(sd, prefix, true, &count, timeout_ms);

    if (rc == 0 && deleted)
        *deleted = count;
    return rc;
}
