/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory that is not there: the n-th allocation of libsd fails, or of libcurl
 * on its behalf, once; n goes through all that a life of a handle makes.
 *
 * A call may then return LIBSD_ENOMEM, and works when it is made again; what
 * goes on in the background is made up for.  In the end everything is as if
 * nothing had failed: the key is there, events were told, nothing leaks.
 *
 * Only in programs named test_memory_*, which the Makefile links for it.
 */
#ifndef TESTS_SCARCE_H
#define TESTS_SCARCE_H

#include <stdatomic.h>

#include "etcd.h"

extern atomic_long left;            /* allocations until the one that fails; 0: none will */
extern _Thread_local bool in_libsd; /* of the test's threads: only inside its calls */
extern libsd *witness;

/* The result of a call of libsd; without memory it is made once more.  So it is
 * if nobody knows what became of a write, as when its answer could not be kept:
 * those of these tests may be made twice. */
#define CALL(call)                                        \
    __extension__({                                       \
        int rc_;                                          \
        in_libsd = true;                                  \
        rc_ = call;                                       \
        if (rc_ == LIBSD_ENOMEM || rc_ == LIBSD_EUNKNOWN) \
            rc_ = call;                                   \
        in_libsd = false;                                 \
        rc_;                                              \
    })

/* What is seen from outside; its memory is there. */
#define SEEN(call)                              \
    __extension__({                             \
        long left_ = atomic_exchange(&left, 0); \
        __typeof__(call) seen_ = call;          \
        left = left_;                           \
        seen_;                                  \
    })

/* Lives once for each allocation of it; the handle's beginning and end count. */
void every_allocation(void (*live)(libsd *sd));

/* For TestSuite(). */
void scarce_setup(void);
void scarce_teardown(void);

#endif
