/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The end of a handle, for those who must bring it about.
 */
#ifndef LIBSD_HANDLE_H
#define LIBSD_HANDLE_H

#include "libsd.h"

/* Ends the handle and frees it; not from one of its callbacks. */
void handle_end(libsd *sd);

#endif
