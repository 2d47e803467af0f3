/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the lease calls and the registrations' leases share.
 */
#ifndef LIBSD_LEASE_H
#define LIBSD_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "message.h"

/* An own random number makes a repeated grant harmless: etcd answers that the
 * lease exists already. */
int64_t lease_new_id(void);
bool lease_exists_already(const struct grpc_error *error);

/* Request bodies. */
void lease_grant_body(struct buffer *body, int64_t id, int64_t ttl_s);
void lease_id_body(struct buffer *body, int64_t id);

#endif
