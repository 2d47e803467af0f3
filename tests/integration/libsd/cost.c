/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What libsd costs this process; see cost.h.
 */
#include "cost.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <malloc.h>
#include <time.h>

#include "etcd.h"

static double cpu_seconds(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

double cost_of_waiting(double wait_s)
{
    double cpu = cpu_seconds();
    double begin = seconds();
    struct timespec whole = { .tv_sec = (time_t)wait_s,
                              .tv_nsec = (long)((wait_s - (double)(time_t)wait_s) * 1e9) };

    while (nanosleep(&whole, &whole) < 0)
        continue;
    return (cpu_seconds() - cpu) / (seconds() - begin);
}

int open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    cr_assert(dir != NULL);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 3; /* ".", "..", and the folder itself */
}

size_t heap_in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}
