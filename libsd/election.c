/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Leader election: the lock's queue with values; see contest.h.
 */
#include <stdlib.h>

#include "ask.h"
#include "contest.h"
#include "internal.h"
#include "kvs.h"
#include "standing.h"

#define VALUE_BYTES_MAX ((size_t)1 << 20)

static bool is_value(libsd_slice value)
{
    return (value.data || value.size == 0) && value.size <= VALUE_BYTES_MAX;
}

static int campaign(libsd *sd, const char *name, libsd_slice value, int ttl_s, int64_t lease,
                    int timeout_ms, libsd_leadership **leadership)
{
    struct libsd_mutex *mutex;
    int rc = handle_check_blocking(sd);

    if (leadership)
        *leadership = NULL;
    if (rc < 0)
        return rc;
    if (!leadership || !lock_is_name(name) || !is_value(value) || ttl_s < 0 || timeout_ms < 0)
        return LIBSD_EINVAL;
    mutex = contest_new(sd, name, value);
    if (!mutex)
        return LIBSD_ENOMEM;
    mutex->borrowed = lease;
    return lock_wait(mutex, ttl_s, timeout_ms, leadership);
}

int libsd_campaign(libsd *sd, const char *name, libsd_slice value, int ttl_s, int timeout_ms,
                   libsd_leadership **leadership)
{
    return campaign(sd, name, value, ttl_s, 0, timeout_ms, leadership);
}

int libsd_campaign_with_lease(libsd *sd, const char *name, libsd_slice value, int64_t lease,
                              int timeout_ms, libsd_leadership **leadership)
{
    return lease > 0 ? campaign(sd, name, value, 0, lease, timeout_ms, leadership) : LIBSD_EINVAL;
}

int libsd_campaign_start(libsd *sd, const char *name, libsd_slice value,
                         const libsd_lock_options *options, libsd_lock_callback *callback,
                         void *arg, libsd_leadership **leadership)
{
    struct libsd_mutex *mutex;
    int rc = handle_check(sd);

    if (rc < 0)
        return rc;
    if (!leadership || !lock_is_name(name) || !is_value(value))
        return LIBSD_EINVAL;
    *leadership = NULL;
    mutex = contest_new(sd, name, value);
    return mutex ? lock_begin(mutex, options, callback, arg, leadership) : LIBSD_ENOMEM;
}

static int not_leader(libsd *sd)
{
    struct failure failure;

    failure_set(&failure, LIBSD_ECONFLICT, "not the leader, or no longer");
    return handle_fail(sd, &failure);
}

int libsd_proclaim(libsd_leadership *leadership, libsd_slice value, int timeout_ms)
{
    struct buffer body = { 0 };
    struct buffer text;
    struct answer answer;
    struct question question = { .path = "/kv/txn", .body = &body, .timeout_ms = timeout_ms };
    int rc;

    if (!leadership || !is_value(value) || timeout_ms < 0)
        return LIBSD_EINVAL;
    rc = handle_check_blocking(leadership->sd);
    if (rc < 0)
        return rc;
    /* Also what lets this thread read the key; see contest.h. */
    if (!libsd_lock_revision(leadership) || !libsd_lock_is_held(leadership))
        return not_leader(leadership->sd);
    standing_proclaim_body(&body, leadership, value);
    rc = ask(leadership->sd, &question, &text, &answer);
    if (rc == LIBSD_ELEASE || (rc == 0 && !answer.succeeded))
        rc = not_leader(leadership->sd);
    records_free(&answer.records);
    buffer_free(&text);
    return rc;
}

int libsd_resign(libsd_leadership *leadership, int timeout_ms)
{
    return libsd_unlock(leadership, timeout_ms);
}

/* Takes records and text over. */
static struct libsd_kvs *kvs_of(struct answer *answer, struct buffer *text)
{
    struct libsd_kvs *kvs = calloc(1, sizeof *kvs);

    if (!kvs)
        return NULL;
    kvs->texts = malloc(sizeof *kvs->texts);
    if (!kvs->texts) {
        free(kvs);
        return NULL;
    }
    kvs->texts[0] = *text;
    kvs->text_count = 1;
    kvs->records = answer->records;
    kvs->revision = answer->header.revision;
    *text = (struct buffer){ 0 };
    answer->records = (struct records){ 0 };
    return kvs;
}

int libsd_leader(libsd *sd, const char *name, libsd_kvs **kvs, int timeout_ms)
{
    struct buffer body = { 0 };
    struct buffer prefix = { 0 };
    struct buffer text;
    struct answer answer;
    struct question question = { .path = "/kv/range", .body = &body, .timeout_ms = timeout_ms };
    int rc = handle_check_blocking(sd);

    if (kvs)
        *kvs = NULL;
    if (rc < 0)
        return rc;
    if (!kvs || !lock_is_name(name) || timeout_ms < 0)
        return LIBSD_EINVAL;
    buffer_format(&prefix, "%s/", name);
    standing_first_body(&body, libsd_bytes(prefix.data, prefix.size), 0);
    body.failed |= prefix.failed;
    buffer_free(&prefix);
    rc = ask(sd, &question, &text, &answer);
    if (rc == 0 && answer.records.count == 0)
        rc = LIBSD_ENOTFOUND;
    if (rc == 0) {
        *kvs = kvs_of(&answer, &text);
        rc = *kvs ? 0 : LIBSD_ENOMEM;
    }
    records_free(&answer.records);
    buffer_free(&text);
    return rc;
}
