/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A table file in a directory of its own, which goes when the process ends.
 */
#ifndef ETCDSD_TESTS_FUZZ_SCRATCH_H
#define ETCDSD_TESTS_FUZZ_SCRATCH_H

#include "image.h"

/* Path of the file. */
const char *scratch_path(void);

/* Puts an image there, as a new file of the mode that tables have. */
void scratch_write(const struct image *image);

#endif
