/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The process id, kept in a page that forks don't copy (MADV_WIPEONFORK, Linux
 * 4.14).  glibc keeps it no longer since 2.25, because what pthread_atfork()
 * knows of is not every fork; the kernel's page does.
 */
#include "process.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

_Atomic(atomic_int *) process_page;

static void make_page(void)
{
    atomic_int *page =
        mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return;
    if (madvise(page, sizeof *page, MADV_WIPEONFORK) == 0)
        atomic_store_explicit(&process_page, page, memory_order_release);
    else
        munmap(page, sizeof *page);
}

pid_t process_find(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pid_t id = getpid();
    atomic_int *page;

    pthread_once(&once, make_page);
    page = atomic_load_explicit(&process_page, memory_order_acquire);
    if (page)
        atomic_store_explicit(page, id, memory_order_relaxed);
    return id;
}
