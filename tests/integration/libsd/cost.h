/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What libsd costs this process: a thread that spins; a descriptor, a thread or
 * memory that is never given back.
 */
#ifndef TESTS_COST_H
#define TESTS_COST_H

#include <stddef.h>

/* Waits that long, doing nothing, and returns the process' CPU time meanwhile
 * as a part of it: 1 is one thread that spins. */
double cost_of_waiting(double seconds);

int open_descriptors(void);

/* Bytes that malloc() gave out and did not get back; 0 under sanitizers, which
 * bring an allocator of their own. */
size_t heap_in_use(void);

/* What a process holds, noted after each of many equal cycles: the first quarter
 * of them against the last. */
struct holding {
    double descriptors;
    double threads;
    double heap;
    double resident; /* bytes */
};

struct holdings {
    int cycles;
    struct holding first; /* sums over a quarter of the cycles */
    struct holding last;
};

void holdings_note(struct holdings *holdings, int cycle);

/* Fails the test if there is more in the end than in the beginning, and says how
 * much there is. */
void holdings_check(const struct holdings *holdings);

#endif
