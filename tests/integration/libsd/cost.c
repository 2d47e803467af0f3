/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What libsd costs this process; see cost.h.
 */
#include "cost.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

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

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    cr_assert(dir != NULL);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2; /* "." and ".." */
}

int open_descriptors(void)
{
    return count_entries("/proc/self/fd") - 1; /* the folder itself */
}

size_t heap_in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* ---- over many cycles --------------------------------------------------- */

/* Slack: a connection, or a buffer, that happens to be in use at the end, but
 * not at the start; pages that malloc() has broken. */
#define SLACK_DESCRIPTORS 2
#define SLACK_THREADS     0.5
#define SLACK_HEAP        (100 << 10)
#define SLACK_RESIDENT    (2 << 20)

static double resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;

    cr_assert(file != NULL);
    cr_assert_eq(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int quarter(const struct holdings *holdings)
{
    return (holdings->cycles + 3) / 4;
}

static void add(struct holding *holding)
{
    holding->descriptors += open_descriptors();
    holding->threads += count_entries("/proc/self/task");
    holding->heap += (double)heap_in_use();
    holding->resident += resident_bytes();
}

void holdings_note(struct holdings *holdings, int cycle)
{
    if (cycle < quarter(holdings))
        add(&holdings->first);
    if (cycle >= holdings->cycles - quarter(holdings))
        add(&holdings->last);
}

static void check_one(const struct holdings *holdings, const char *what, double first, double last,
                      double slack)
{
    first /= quarter(holdings);
    last /= quarter(holdings);
    fprintf(stderr, "# %d cycles: %s %.0f, in the end %.0f\n", holdings->cycles, what, first, last);
    cr_assert(last <= first + slack, "%s: %g in the first cycles, %g in the last", what, first,
              last);
}

void holdings_check(const struct holdings *holdings)
{
    const struct holding *first = &holdings->first;
    const struct holding *last = &holdings->last;

    check_one(holdings, "descriptors", first->descriptors, last->descriptors, SLACK_DESCRIPTORS);
    check_one(holdings, "threads", first->threads, last->threads, SLACK_THREADS);
    check_one(holdings, "bytes of heap", first->heap, last->heap, SLACK_HEAP);
    if (heap_in_use() > 0) /* sanitizers keep what was freed for a while */
        check_one(holdings, "bytes resident", first->resident, last->resident, SLACK_RESIDENT);
}
