/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Which process this is, for less than a system call: every function that is
 * given a handle wants to know whether a fork came in between.
 */
#ifndef LIBSD_PROCESS_H
#define LIBSD_PROCESS_H

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

/* A page that the kernel zeroes in a forked child; NULL: there is none yet. */
extern _Atomic(atomic_int *) process_page;

pid_t process_find(void);

static inline pid_t process_id(void)
{
    atomic_int *page = atomic_load_explicit(&process_page, memory_order_acquire);
    pid_t id = page ? atomic_load_explicit(page, memory_order_relaxed) : 0;

    return id ? id : process_find();
}

#endif
