/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory as libc gives it.
 */
#include "memory.h"

#include <stdlib.h>

void *memory_new(size_t size)
{
    return calloc(1, size);
}

void *memory_resize(void *old, size_t count, size_t size)
{
    return reallocarray(old, count, size);
}
