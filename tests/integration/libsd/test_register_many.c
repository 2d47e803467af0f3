/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Many registrations of one process.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "enlist.h"
#include "proxy.h"
#include "scene.h"
#include "users.h"

TestSuite(many, .init = enlist_setup, .fini = enlist_teardown, .timeout = 90);

static void *enlist_some(void *arg)
{
    char instance[20];
    int failed = 0;

    for (int i = 0; i < 50; i++) {
        snprintf(instance, sizeof instance, "%ld-%d", (long)arg, i);
        failed += libsd_register(sd, "many", instance, ADDRESS, 10, NULL) != 0;
    }
    for (int i = 0; i < 50; i += 2) {
        snprintf(instance, sizeof instance, "%ld-%d", (long)arg, i);
        failed += libsd_deregister(sd, "many", instance, 0) != 0;
    }
    return failed ? arg : NULL;
}

Test(many, threads_register_together_and_all_comes_back_after_a_loss)
{
    pthread_t threads[8];
    void *failed;

    for (long i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, enlist_some, (void *)(i + 1)), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &failed);
        cr_assert_null(failed);
    }
    cr_assert_eq(many(), 200);
    cr_assert_eq(libsd_lease_revoke(judge, lease_of("/service/many/1-1"), 0), 0);
    UNTIL(many() == 200, 2);
}

/* Beyond the first few, registrations of one service share a watch. */
Test(many, shared_watch_notices_each_loss)
{
    char instance[20];
    char key[40];

    for (int i = 0; i < 40; i++) {
        snprintf(instance, sizeof instance, "n%02d", i);
        cr_assert_eq(libsd_register(sd, "many", instance, ADDRESS, 10, NULL), 0);
    }
    for (int i = 0; i < 40; i += 3) {
        snprintf(key, sizeof key, "/service/many/n%02d", i);
        cr_assert_eq(libsd_delete(judge, libsd_str(key), 0), 1);
        UNTIL(has(judge, key, ADDRESS), 2);
    }
    put(judge, "/service/many/foreign", OTHER);
    put(judge, "/service/many/n39", OTHER);
    UNTIL(has(judge, "/service/many/n39", ADDRESS), 2);
    cr_assert(has(judge, "/service/many/foreign", OTHER));
    /* Over a lost connection as well. */
    etcd_kill(&etcd);
    etcd_restart(&etcd);
    cr_assert_eq(libsd_delete(judge, libsd_str("/service/many/n38"), 0), 1);
    UNTIL(has(judge, "/service/many/n38", ADDRESS), 4);
    cr_assert_eq(libsd_deregister(sd, "many", NULL, 0), 0);
    cr_assert_eq(many(), 1);
}

/* What it would have told is compacted: each key is looked at again, long before
 * the next beat would do so. */
Test(many, shared_watch_makes_up_for_losses_that_are_compacted)
{
    struct proxy proxy;
    struct etcd through = etcd;
    libsd *far;
    char instance[20];

    proxy_start(&proxy, etcd.url, NULL);
    memcpy(through.url, proxy.url, sizeof through.url);
    far = etcd_open(&through, NULL);
    for (int i = 0; i < 40; i++) {
        snprintf(instance, sizeof instance, "n%02d", i);
        cr_assert_eq(libsd_register(far, "many", instance, ADDRESS, 60, NULL), 0);
    }
    proxy_freeze(&proxy);
    for (int i = 30; i < 40; i += 3) {
        char key[40];

        snprintf(key, sizeof key, "/service/many/n%02d", i);
        cr_assert_eq(libsd_delete(judge, libsd_str(key), 0), 1);
    }
    put(judge, "/elsewhere", "x");
    etcd_compact(&etcd, put(judge, "/elsewhere", "y"));
    cr_assert_eq(many(), 36);
    proxy_thaw(&proxy);
    proxy_cut(&proxy);
    UNTIL(many() == 40, 15);
    libsd_close(far);
    proxy_end(&proxy);
}

/* ---- in one call -------------------------------------------------------- */

#define THOUSANDS 10000

static libsd_registration *make_list(size_t count)
{
    libsd_registration *list = calloc(count, sizeof *list);
    char *instance;

    cr_assert_not_null(list);
    for (size_t i = 0; i < count; i++) {
        cr_assert(asprintf(&instance, "n%05zu", i) > 0);
        list[i] = (libsd_registration){ "many", instance, ADDRESS };
    }
    return list;
}

static void free_list(libsd_registration *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)list[i].instance);
    free(list);
}

/* What the figures promise is 2 s, and 50 ms for the close; a machine that does
 * other things meanwhile gets more. */
Test(many, ten_thousand_come_in_one_call_and_go_in_one)
{
    libsd_registration *list = make_list(THOUSANDS);
    double begin = seconds();

    cr_assert_eq(libsd_register_many(sd, list, THOUSANDS, 10, NULL), 0);
    cr_log_info("registered in %.0f ms", (seconds() - begin) * 1e3);
    cr_assert(seconds() - begin < 8, "%g s", seconds() - begin);
    cr_assert_eq(many(), THOUSANDS);
    cr_assert_eq(lease_of("/service/many/n00000"), lease_of("/service/many/n09999"));
    begin = seconds();
    libsd_close(sd);
    cr_log_info("closed in %.0f ms", (seconds() - begin) * 1e3);
    cr_assert(seconds() - begin < 1, "%g s", seconds() - begin);
    cr_assert_eq(many(), 0);
    sd = etcd_open(&etcd, NULL);
    free_list(list, THOUSANDS);
}

static uint64_t requests(libsd *handle)
{
    libsd_statistics stats = { .size = sizeof stats };

    cr_assert_eq(libsd_stats(handle, &stats), 0);
    return stats.requests;
}

/* Two thousand in 16 transactions, beside the grant, the login and watches. */
Test(many, users_register_in_batches_too)
{
    libsd_registration *list = make_list(2000);
    libsd **handles[] = { &sd, &judge };

    users_start(&etcd);
    for (int i = 0; i < 2; i++) {
        libsd_close(*handles[i]);
        *handles[i] = open_with(etcd.url, "user", "app", "password", APP_PASSWORD, NULL);
    }
    cr_assert_eq(libsd_register_many(sd, list, 2000, 10, NULL), 0);
    cr_assert_lt(requests(sd), 60);
    cr_assert_eq(many(), 2000);
    free_list(list, 2000);
}

/* As few as etcd takes, but not one by one. */
Test(many, store_that_takes_less_at_once_gets_less)
{
    libsd_registration *list = make_list(1000);

    etcd_kill(&etcd);
    etcd.flags[0] = "--max-txn-ops=20";
    etcd_restart(&etcd);
    cr_assert_eq(libsd_register_many(sd, list, 1000, 10, NULL), 0);
    cr_assert_eq(many(), 1000);
    cr_assert_lt(requests(sd), 300);
    free_list(list, 1000);
}

Test(many, restarted_process_takes_all_of_its_keys_over)
{
    libsd_registration *list = make_list(300);
    int64_t lease;

    cr_assert_eq(libsd_register_many(judge, list, 300, 60, NULL), 0);
    lease = lease_of("/service/many/n00299");
    cr_assert_eq(libsd_register_many(sd, list, 300, 10, NULL), 0);
    cr_assert_neq(lease_of("/service/many/n00000"), lease);
    cr_assert_neq(lease_of("/service/many/n00299"), lease);
    /* What was taken from it is not deleted by it. */
    cr_assert_eq(libsd_deregister(judge, "many", NULL, 0), 0);
    cr_assert_eq(many(), 300);
    free_list(list, 300);
}

Test(many, one_conflict_does_not_keep_the_others_out)
{
    libsd_registration *list = make_list(300);
    libsd_register_options options = { .size = sizeof options, .takeover = LIBSD_TAKEOVER_FAIL };
    char detail[300];

    cr_assert_eq(libsd_register(judge, "many", "n00150", OTHER, 10, NULL), 0);
    cr_assert_eq(libsd_register_many(sd, list, 300, 10, &options), LIBSD_ECONFLICT);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, "/service/many/n00150 is held by " OTHER) != NULL, "%s", detail);
    cr_assert_eq(many(), 300);
    cr_assert(has(judge, "/service/many/n00150", OTHER));
    options.takeover = LIBSD_TAKEOVER_WAIT;
    options.timeout_ms = 500;
    cr_assert_eq(libsd_register_many(sd, list, 300, 10, &options), LIBSD_ECONFLICT, "again");
    cr_assert_eq(libsd_pause(sd, "many", NULL, 0), 0);
    cr_assert_eq(many(), 1);
    cr_assert_eq(libsd_resume(sd, "many", NULL, 0), 0);
    cr_assert_eq(many(), 300);
    list[7].address = "nonsense";
    cr_assert_eq(libsd_register_many(sd, list, 300, 10, &options), LIBSD_EINVAL);
    free_list(list, 300);
}

Test(many, the_same_name_twice_is_one)
{
    libsd_registration list[] = { { "many", "a", ADDRESS }, { "many", "a", OTHER } };

    cr_assert_eq(libsd_register_many(sd, list, 0, 10, NULL), 0);
    libsd_register_many(sd, list, 2, 10, NULL);
    UNTIL(has(judge, "/service/many/a", OTHER), 2);
    cr_assert_eq(many(), 1);
}

/* ---- handles ------------------------------------------------------------ */

static int entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;

    cr_assert_not_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

#define HANDLES 100

Test(many, hundred_handles_leave_no_thread_and_no_descriptor)
{
    libsd *handles[HANDLES];
    char instance[20];
    int threads = entries("/proc/self/task");
    int descriptors = entries("/proc/self/fd");

    for (int i = 0; i < HANDLES; i++) {
        handles[i] = etcd_open(&etcd, NULL);
        snprintf(instance, sizeof instance, "n%d", i);
        cr_assert_eq(libsd_register(handles[i], "many", instance, ADDRESS, 10, NULL), 0);
    }
    cr_assert_eq(many(), HANDLES);
    cr_assert_leq(entries("/proc/self/task") - threads, HANDLES, "one thread for each");
    cr_assert_leq(entries("/proc/self/fd") - descriptors, 6 * HANDLES);
    for (int i = 0; i < HANDLES; i++)
        libsd_close(handles[i]);
    cr_assert_eq(many(), 0);
    cr_assert_eq(entries("/proc/self/fd"), descriptors + 1, "the judge's connection");
    /* A thread that was joined may stay in /proc for a moment. */
    UNTIL(entries("/proc/self/task") == threads, 5);
}
