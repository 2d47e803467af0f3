/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Leases: etcd's Lease service, one blocking call each.
 */
#include "lease.h"
#include "ask.h"
#include "internal.h"

int64_t lease_new_id(void)
{
    int64_t id = (int64_t)(random_u64() >> 1);

    return id ? id : 1;
}

void lease_grant_body(struct buffer *body, int64_t id, int64_t ttl_s)
{
    buffer_format(body, "{\"ID\":\"%lld\",\"TTL\":\"%lld\"}", (long long)id, (long long)ttl_s);
}

void lease_id_body(struct buffer *body, int64_t id)
{
    buffer_format(body, "{\"ID\":\"%lld\"}", (long long)id);
}

bool lease_exists_already(const struct grpc_error *error)
{
    return error->code == GRPC_FAILED_PRECONDITION && strstr(error->text, "already exists");
}

/* Asks about one lease, and frees all but the numbers of the answer. */
static int ask_lease(libsd *sd, const char *path, struct buffer *body, int timeout_ms,
                     struct answer *answer, struct grpc_error *error)
{
    struct question question = {
        .path = path,
        .body = body,
        .timeout_ms = timeout_ms,
        .keepalive = strcmp(path, "/lease/keepalive") == 0,
    };
    struct buffer text;
    int rc = ask(sd, &question, &text, answer, error);

    records_free(&answer->records);
    buffer_free(&text);
    return rc;
}

int libsd_lease_grant(libsd *sd, int64_t ttl_s, int64_t *lease, int64_t *granted_ttl_s,
                      int timeout_ms)
{
    struct buffer body = { 0 };
    struct answer answer;
    struct grpc_error error;
    int64_t id = lease_new_id();
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (ttl_s < 1 || !lease || timeout_ms < 0)
        return LIBSD_EINVAL;
    lease_grant_body(&body, id, ttl_s);
    rc = ask_lease(sd, "/lease/grant", &body, timeout_ms, &answer, &error);
    if (rc < 0 && lease_exists_already(&error)) {
        /* A first try got through, only its answer did not: the number is
         * random.  A renewal tells what was granted. */
        lease_id_body(&body, id);
        rc = ask_lease(sd, "/lease/keepalive", &body, timeout_ms, &answer, &error);
    }
    if (rc < 0)
        return rc;
    *lease = id;
    if (granted_ttl_s)
        *granted_ttl_s = answer.ttl;
    return 0;
}

int libsd_lease_keepalive(libsd *sd, int64_t lease, int64_t *ttl_s, int timeout_ms)
{
    struct buffer body = { 0 };
    struct answer answer;
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (timeout_ms < 0)
        return LIBSD_EINVAL;
    lease_id_body(&body, lease);
    rc = ask_lease(sd, "/lease/keepalive", &body, timeout_ms, &answer, NULL);
    if (rc < 0)
        return rc;
    if (answer.ttl <= 0)
        return LIBSD_ELEASE; /* etcd has no other way to say so here */
    if (ttl_s)
        *ttl_s = answer.ttl;
    return 0;
}

int libsd_lease_revoke(libsd *sd, int64_t lease, int timeout_ms)
{
    struct buffer body = { 0 };
    struct answer answer;
    int rc = handle_check_blocking(sd);

    if (rc < 0)
        return rc;
    if (timeout_ms < 0)
        return LIBSD_EINVAL;
    lease_id_body(&body, lease);
    return ask_lease(sd, "/lease/revoke", &body, timeout_ms, &answer, NULL);
}
