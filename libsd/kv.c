/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keys and values, one blocking call each: the common uses of operations.
 */
#include "internal.h"
#include "reply.h"

/* Executes a write; revision NULL or receives the store's. */
static int write_key(libsd *sd, const libsd_op *op, int64_t *revision, int timeout_ms)
{
    libsd_reply *reply;
    int rc = libsd_execute(sd, op, timeout_ms, &reply);

    if (rc == 0 && revision)
        *revision = reply->revision;
    libsd_reply_free(reply);
    return rc;
}

int libsd_put(libsd *sd, libsd_slice key, libsd_slice value, int64_t lease, int64_t *revision,
              int timeout_ms)
{
    const libsd_op op = libsd_op_put(key, value, lease, 0);

    return write_key(sd, &op, revision, timeout_ms);
}

int libsd_create(libsd *sd, libsd_slice key, libsd_slice value, int64_t lease, int64_t *revision,
                 int timeout_ms)
{
    const libsd_op op = libsd_op_create(key, value, lease);

    return write_key(sd, &op, revision, timeout_ms);
}

int libsd_replace(libsd *sd, libsd_slice key, libsd_slice value, int64_t lease, int64_t *revision,
                  int timeout_ms)
{
    const libsd_op op = libsd_op_replace(key, value, lease);

    return write_key(sd, &op, revision, timeout_ms);
}

int libsd_compare_and_swap(libsd *sd, libsd_slice key, libsd_slice expected, libsd_slice value,
                           int64_t lease, int64_t *revision, int timeout_ms)
{
    const libsd_op op = libsd_op_swap(key, expected, value, lease);

    return write_key(sd, &op, revision, timeout_ms);
}

/* A mod_revision of 0 would mean "by value" in an operation. */
int libsd_compare_and_swap_revision(libsd *sd, libsd_slice key, int64_t mod_revision,
                                    libsd_slice value, int64_t lease, int64_t *revision,
                                    int timeout_ms)
{
    const libsd_op op = libsd_op_swap_revision(key, mod_revision, value, lease);

    return mod_revision > 0 ? write_key(sd, &op, revision, timeout_ms) : LIBSD_EINVAL;
}

int libsd_compare_and_delete(libsd *sd, libsd_slice key, libsd_slice expected, int timeout_ms)
{
    const libsd_op op = libsd_op_remove(key, expected);

    return write_key(sd, &op, NULL, timeout_ms);
}

int libsd_compare_and_delete_revision(libsd *sd, libsd_slice key, int64_t mod_revision,
                                      int timeout_ms)
{
    const libsd_op op = libsd_op_remove_revision(key, mod_revision);

    return mod_revision > 0 ? write_key(sd, &op, NULL, timeout_ms) : LIBSD_EINVAL;
}

/* ---- reading ------------------------------------------------------------ */

static int read_keys(libsd *sd, const libsd_op *op, libsd_kvs **kvs, int timeout_ms)
{
    libsd_reply *reply;
    int rc;

    if (!kvs)
        return LIBSD_EINVAL;
    *kvs = NULL;
    rc = libsd_execute(sd, op, timeout_ms, &reply);
    if (rc == 0) {
        *kvs = reply_take_kvs(container_of(reply, struct reply, public));
        rc = *kvs ? 0 : LIBSD_ENOMEM;
    }
    libsd_reply_free(reply);
    return rc;
}

int libsd_get(libsd *sd, libsd_slice key, libsd_kvs **kvs, int timeout_ms)
{
    const libsd_op op = libsd_op_get(key);

    return read_keys(sd, &op, kvs, timeout_ms);
}

int libsd_list(libsd *sd, libsd_slice prefix, int flags, libsd_kvs **kvs, int timeout_ms)
{
    const libsd_op op = libsd_op_list(prefix, flags);

    if (flags & ~(LIBSD_KEYS_ONLY | LIBSD_SERIALIZABLE))
        return LIBSD_EINVAL;
    return read_keys(sd, &op, kvs, timeout_ms);
}

int libsd_keys(libsd *sd, libsd_slice prefix, libsd_kvs **kvs, int timeout_ms)
{
    return libsd_list(sd, prefix, LIBSD_KEYS_ONLY, kvs, timeout_ms);
}

/* ---- deleting ----------------------------------------------------------- */

static int delete_keys(libsd *sd, const libsd_op *op, int64_t *deleted, int timeout_ms)
{
    libsd_reply *reply;
    int rc = libsd_execute(sd, op, timeout_ms, &reply);

    if (rc == 0 && deleted)
        *deleted = reply->count;
    libsd_reply_free(reply);
    return rc;
}

int libsd_delete(libsd *sd, libsd_slice key, int timeout_ms)
{
    const libsd_op op = libsd_op_delete(key, 0);
    int64_t deleted = 0;
    int rc = delete_keys(sd, &op, &deleted, timeout_ms);

    return rc < 0 ? rc : deleted > 0;
}

int libsd_delete_prefix(libsd *sd, libsd_slice prefix, int64_t *deleted, int timeout_ms)
{
    const libsd_op op = libsd_op_delete_prefix(prefix, 0);

    return delete_keys(sd, &op, deleted, timeout_ms);
}

/* ---- the cluster -------------------------------------------------------- */

/* A reply that the application gets if there was no error. */
static int ask_for(libsd *sd, const libsd_op *op, libsd_reply **reply, int timeout_ms)
{
    int rc;

    if (!reply)
        return LIBSD_EINVAL;
    rc = libsd_execute(sd, op, timeout_ms, reply);
    if (rc < 0) {
        libsd_reply_free(*reply);
        *reply = NULL;
    }
    return rc;
}

int libsd_leases(libsd *sd, libsd_reply **reply, int timeout_ms)
{
    const libsd_op op = libsd_op_leases();

    return ask_for(sd, &op, reply, timeout_ms);
}

int libsd_members(libsd *sd, libsd_reply **reply, int timeout_ms)
{
    const libsd_op op = libsd_op_members();

    return ask_for(sd, &op, reply, timeout_ms);
}

int libsd_member_add(libsd *sd, const char *peer_urls, int learner, libsd_reply **reply,
                     int timeout_ms)
{
    const libsd_op op = libsd_op_member_add(peer_urls, learner ? LIBSD_LEARNER : 0);

    return reply ? ask_for(sd, &op, reply, timeout_ms) : libsd_execute(sd, &op, timeout_ms, NULL);
}

int libsd_member_remove(libsd *sd, uint64_t member, int timeout_ms)
{
    const libsd_op op = libsd_op_member_remove(member);

    return libsd_execute(sd, &op, timeout_ms, NULL);
}

int libsd_status(libsd *sd, const char *endpoint, libsd_reply **reply, int timeout_ms)
{
    const libsd_op op = libsd_op_status(endpoint);

    return ask_for(sd, &op, reply, timeout_ms);
}
