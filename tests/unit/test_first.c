/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The very first lookup, by many threads at once: none may fail only because
 * others are not done mapping the table.
 *
 * table/source.c is compiled in with an mmap() that a thread does not leave
 * before as many as can be are in it, as if each were stopped there.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

static void *slow_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
#define mmap slow_mmap
#include "../../libsd/table/source.c"
#undef mmap

#include <criterion/criterion.h>

#include "table_help.h"

enum {
    THREADS = 64,
    ROUNDS = 20,
    YIELDS = 500
};

static struct table_fixture f;
static struct table_source sources[ROUNDS];
static pthread_barrier_t barrier;
static _Atomic int inside, failures;

static void *slow_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (flags & MAP_SHARED) {
        int yields = 0;

        inside++;
        while (inside % TABLE_WINDOWS != 0 && yields++ < YIELDS)
            sched_yield();
        for (yields = 0; yields < THREADS; yields++)
            sched_yield(); /* the others have time to find no window */
    }
    return mmap(at, size, protection, flags, fd, offset);
}

static void *look_up(void *arg)
{
    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        struct table_record record;
        struct table_name name;
        struct table_view view;

        table_name_set(&name, "user.service.etcd", 17);
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            inside = 0;
        pthread_barrier_wait(&barrier);
        if (!table_source_view(&sources[round], &view) ||
            table_find(&view, &name, &record) != TABLE_FOUND)
            failures++;
    }
    return NULL;
}

Test(first, none_of_many_threads_fails_in_the_very_first_lookup, .timeout = 60)
{
    pthread_t threads[THREADS];

    table_begin(&f);
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80");
    cr_assert_eq(table_writer_publish(f.writer), 0);
    for (int i = 0; i < ROUNDS; i++)
        sources[i].path = f.path;
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, look_up, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(failures, 0, "%d of %d", failures, THREADS * ROUNDS);
    table_end(&f);
}
