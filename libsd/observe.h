/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One who follows an election.
 */
#ifndef LIBSD_OBSERVE_H
#define LIBSD_OBSERVE_H

struct libsd;

/* On the I/O thread: ends all that are left. */
void observers_end(struct libsd *sd);

#endif
