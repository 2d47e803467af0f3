/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory for the model and what is written from it.  A file of its own so that
 * tests can put another in its place and see each request fail once.
 */
#ifndef ETCDSD_WATCHER_MEMORY_H
#define ETCDSD_WATCHER_MEMORY_H

#include <stddef.h>

/* Zeroed; NULL if there is none.  free(3) gives it back. */
void *memory_new(size_t size);

/* An array of count elements that begins with what was in the old one, as
 * much as fits; NULL if there is no memory, and the old one stays. */
void *memory_resize(void *old, size_t count, size_t size);

#endif
