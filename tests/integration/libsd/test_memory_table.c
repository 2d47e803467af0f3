/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The table's writer without any one of its allocations: opening, filling over
 * several files, taking out, adopting.  What fails left the table as it was, and
 * works when it is done again.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../../unit/table_help.h"
#include "scarce.h"

enum {
    SERVICES = 400,
    INSTANCES = 8,
    SHARED = 50 /* addresses, which services have in common */
};

static struct table_fixture f;
static long failures;

TestSuite(memory_table, .timeout = 300);

/* Once more if there was no memory. */
#define AGAIN(call)               \
    __extension__({               \
        int rc_;                  \
                                  \
        in_libsd = true;          \
        rc_ = call;               \
        in_libsd = false;         \
        if (rc_ == -ENOMEM) {     \
            failures++;           \
            table_is_as_it_was(); \
            in_libsd = true;      \
            rc_ = call;           \
            in_libsd = false;     \
        }                         \
        rc_;                      \
    })

static int put_so_far;

static size_t name_it(char name[40], int number)
{
    return (size_t)snprintf(name, 40, "s%d.service.etcd", number);
}

/* Asks as a process does that starts now: for services up to `count`, of which
 * each `gone`-th was taken out (0: none was). */
static bool is_whole(int count, int gone)
{
    struct table_source source = { .path = f.path };
    struct table_view view;
    bool there = table_source_view(&source, &view), right = true;
    char name[40];

    for (int i = 0; there && i < count; i++) {
        const char *answer;

        name_it(name, i);
        answer = table_ask(&view, name);
        if (gone != 0 && i % gone == 0 ? strcmp(answer, "miss") != 0
                                       : strncmp(answer, "10.", 3) != 0)
            right = false;
    }
    for (int i = 0; i < TABLE_WINDOWS; i++)
        if (source.windows[i].at != 0)
            munmap((void *)source.windows[i].at, source.windows[i].bytes);
    if (source.local != NULL)
        munmap(source.local, sizeof *source.local);
    return right && (there || count == 0);
}

/* What is at the path is whole, whatever the writer lacked. */
static void table_is_as_it_was(void)
{
    long rest = atomic_exchange(&left, 0);

    cr_assert(is_whole(put_so_far, 0), "%d services", put_so_far);
    left = rest;
}

static int service_put(int number)
{
    struct table_instance list[INSTANCES];
    char name[40], labels[INSTANCES][8];
    const struct table_service service = {
        .name = name,
        .name_length = name_it(name, number),
        .instances = list,
        .count = INSTANCES,
    };

    memset(list, 0, sizeof list);
    for (int i = 0; i < INSTANCES; i++) {
        int shared = (number * 3 + i) % SHARED;

        list[i].label = labels[i];
        list[i].label_length = (uint8_t)snprintf(labels[i], sizeof labels[i], "i%d", i);
        list[i].family = i % 2 ? 4 : 6;
        list[i].port = (uint16_t)(1 + i);
        list[i].address[0] = 10;
        list[i].address[1] = (unsigned char)shared;
        list[i].address[2] = i < 4 ? (unsigned char)(number >> 8) : 0;
        list[i].address[3] = i < 4 ? (unsigned char)number : 0;
    }
    return table_writer_put(f.writer, &service);
}

static int reopen(void)
{
    static const char *const domains[] = { "service.etcd" };
    const struct table_writer_options options = { .path = f.path,
                                                  .domains = domains,
                                                  .domain_count = 1 };
    char why[200] = "";
    int rc = table_writer_open(&f.writer, &options, why, sizeof why);

    if (rc < 0)
        cr_assert_not_null(strstr(why, strerror(ENOMEM)), "%s", why);
    return rc;
}

/* The table and its lock: no temporary file stays. */
static void nothing_else_is_left(void)
{
    DIR *directory = opendir(f.directory);
    int count = 0;

    cr_assert_not_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    cr_assert_eq(count, 2 + 2);
}

/* Returns how many allocations more it would have taken. */
static long live(long n)
{
    char name[40];
    long rest;

    put_so_far = 0;
    cr_assert_eq(AGAIN(reopen()), 0);
    cr_assert_eq(AGAIN(service_put(0)), 1);
    cr_assert_eq(AGAIN(table_writer_publish(f.writer)), 0);
    for (put_so_far = 1; put_so_far < SERVICES; put_so_far++)
        cr_assert_eq(AGAIN(service_put(put_so_far)), 1, "%d", put_so_far);
    table_writer_close(f.writer);
    cr_assert_eq(AGAIN(reopen()), 1);
    cr_assert_eq(AGAIN(table_writer_publish(f.writer)), 0);
    put_so_far = 0;
    for (int i = 0; i < SERVICES; i += 5) {
        name_it(name, i);
        cr_assert_eq(AGAIN(table_writer_remove(f.writer, name, strlen(name))), 1, "%s", name);
    }
    rest = atomic_exchange(&left, 0);
    cr_assert(is_whole(SERVICES, 5), "allocation %ld", n);
    nothing_else_is_left();
    return rest;
}

Test(memory_table, every_allocation_may_fail_once)
{
    long n = 1, rest;

    do {
        table_begin(&f);
        table_writer_close(f.writer);
        remove(f.path);
        left = n;
        rest = live(n);
        table_end(&f);
        n++;
    } while (rest <= 0);
    fprintf(stderr, "# %ld allocations, %ld told\n", n, failures);
    cr_expect_gt(failures, 40);
}
