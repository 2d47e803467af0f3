/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Leases that are the application's, kept alive for it.
 */
#ifndef LIBSD_KEEPALIVE_H
#define LIBSD_KEEPALIVE_H

struct libsd;

/* I/O thread: lets go of all that are left. */
void keepalives_end(struct libsd *sd);

#endif
