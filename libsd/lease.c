/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Leases: etcd's Lease service, one blocking call each.
 */
#include "lease.h"
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

/* Executes an operation on one lease; the numbers are NULL or receive what etcd
 * said. */
static int ask_lease(libsd *sd, const libsd_op *op, int64_t *ttl_s, int64_t *granted_ttl_s,
                     int timeout_ms)
{
    libsd_reply *reply;
    int rc = libsd_execute(sd, op, timeout_ms, &reply);

    if (rc == 0 && ttl_s)
        *ttl_s = reply->ttl_s;
    if (rc == 0 && granted_ttl_s)
        *granted_ttl_s = reply->granted_ttl_s;
    libsd_reply_free(reply);
    return rc;
}

int libsd_lease_grant(libsd *sd, int64_t ttl_s, int64_t *lease, int64_t *granted_ttl_s,
                      int timeout_ms)
{
    const libsd_op op = libsd_op_lease_grant(0, ttl_s);
    libsd_reply *reply;
    int rc;

    if (!lease)
        return LIBSD_EINVAL;
    rc = libsd_execute(sd, &op, timeout_ms, &reply);
    if (rc == 0)
        *lease = reply->lease;
    if (rc == 0 && granted_ttl_s)
        *granted_ttl_s = reply->granted_ttl_s;
    libsd_reply_free(reply);
    return rc;
}

int libsd_lease_keepalive(libsd *sd, int64_t lease, int64_t *ttl_s, int timeout_ms)
{
    const libsd_op op = libsd_op_lease_keepalive(lease);

    return ask_lease(sd, &op, ttl_s, NULL, timeout_ms);
}

int libsd_lease_revoke(libsd *sd, int64_t lease, int timeout_ms)
{
    const libsd_op op = libsd_op_lease_revoke(lease);

    return ask_lease(sd, &op, NULL, NULL, timeout_ms);
}

int libsd_lease_ttl(libsd *sd, int64_t lease, int64_t *ttl_s, int64_t *granted_ttl_s,
                    int timeout_ms)
{
    const libsd_op op = libsd_op_lease_ttl(lease, 0);

    return ask_lease(sd, &op, ttl_s, granted_ttl_s, timeout_ms);
}
