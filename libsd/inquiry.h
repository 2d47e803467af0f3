/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Why was a key deleted?  etcd's event does not say.  If its lease is still there,
 * somebody deleted the key; if not, the lease ended and took the key along.  So
 * we ask for the lease, and let the change wait for the answer: half a
 * millisecond as a rule, WAIT_MS at most.
 *
 * On the I/O thread.  A mass of leases that end together is not asked for one by
 * one: beyond ASK_MAX questions on their way, the reason stays
 * LIBSD_REASON_DELETED.
 */
#ifndef LIBSD_INQUIRY_H
#define LIBSD_INQUIRY_H

#include "discovery.h"

/* For a change of reason DELETED: makes it undecided if it can be asked for. */
void inquiry_ask(struct libsd *sd, struct change *change);

/* Ends all; what is undecided stays DELETED. */
void inquiries_end(struct libsd *sd);

#endif
