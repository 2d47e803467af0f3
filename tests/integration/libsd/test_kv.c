/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keys, values and leases against a real etcd; errors, threads and forks.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "etcd.h"

static struct etcd etcd;
static libsd *sd;

static void setup(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
}

static void teardown(void)
{
    libsd_close(sd);
    etcd_end(&etcd);
}

TestSuite(kv, .init = setup, .fini = teardown, .timeout = 60);

Test(kv, what_was_put_is_got)
{
    libsd_kvs *kvs;
    const libsd_kv *kv;
    int64_t revision = put(sd, "/a", "hello");

    cr_assert_eq(libsd_get(sd, libsd_str("/a"), &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 1);
    kv = libsd_kvs_at(kvs, 0);
    cr_assert(kv->value.size == 5 && memcmp(kv->value.data, "hello", 5) == 0);
    cr_assert_eq(kv->mod_revision, revision);
    cr_assert_eq(kv->create_revision, revision);
    cr_assert_eq(kv->version, 1);
    cr_assert_eq(kv->lease, 0);
    cr_assert_null(libsd_kvs_at(kvs, 1));
    libsd_kvs_free(kvs);
}

Test(kv, keys_and_values_may_hold_any_byte)
{
    unsigned char all[256];
    unsigned char key[] = { '/', 0, 0xff, 0xfe, '\n', 0 };
    libsd_kvs *kvs;

    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    for (size_t size = 250; size <= sizeof all; size++) {
        cr_assert_eq(
            libsd_put(sd, libsd_bytes(key, sizeof key), libsd_bytes(all, size), 0, NULL, 0), 0);
        cr_assert_eq(libsd_get(sd, libsd_bytes(key, sizeof key), &kvs, 0), 0);
        cr_assert_eq(libsd_kvs_at(kvs, 0)->value.size, size);
        cr_assert_arr_eq(libsd_kvs_at(kvs, 0)->value.data, all, size);
        cr_assert_eq(libsd_kvs_at(kvs, 0)->key.size, sizeof key);
        cr_assert_arr_eq(libsd_kvs_at(kvs, 0)->key.data, key, sizeof key);
        libsd_kvs_free(kvs);
    }
}

Test(kv, empty_value_is_not_absent)
{
    libsd_kvs *kvs;

    put(sd, "/empty", "");
    cr_assert_eq(libsd_get(sd, libsd_str("/empty"), &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->value.size, 0);
    libsd_kvs_free(kvs);
    cr_assert_eq(libsd_get(sd, libsd_str("/none"), &kvs, 0), LIBSD_ENOTFOUND);
    cr_assert_null(kvs);
}

Test(kv, prefix_of_ff_bytes_lists_its_keys_only)
{
    libsd_kvs *kvs;

    put(sd, "\xff\xff", "1");
    put(sd, "\xff\xff/x", "2");
    put(sd, "\xfe", "3");
    cr_assert_eq(libsd_list(sd, libsd_str("\xff\xff"), 0, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 2);
    libsd_kvs_free(kvs);
    cr_assert_eq(libsd_list(sd, libsd_str(""), LIBSD_KEYS_ONLY, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 3);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->value.size, 0);
    libsd_kvs_free(kvs);
}

Test(kv, list_of_several_pages_is_whole_and_ordered)
{
    char expected[20];
    libsd_kvs *kvs;

    put_many(&etcd, "/p/", 12000);
    put(sd, "/q", "not in it");
    cr_assert_eq(libsd_list(sd, libsd_str("/p/"), 0, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 12000);
    for (size_t i = 0; i < 12000; i++) {
        const libsd_kv *kv = libsd_kvs_at(kvs, i);

        snprintf(expected, sizeof expected, "/p/%05zu", i);
        cr_assert(kv->key.size == 8 && memcmp(kv->key.data, expected, 8) == 0);
        cr_assert(kv->value.size == 8 && memcmp(kv->value.data, expected, 8) == 0);
    }
    libsd_kvs_free(kvs);
    cr_assert_eq(libsd_list(sd, libsd_str("/p/"), LIBSD_SERIALIZABLE, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 12000);
    libsd_kvs_free(kvs);
}

Test(kv, delete_tells_what_it_deleted)
{
    int64_t deleted = 0;

    put(sd, "/d/1", "x");
    put(sd, "/d/2", "x");
    put(sd, "/d/3", "x");
    cr_assert_eq(libsd_delete(sd, libsd_str("/d/1"), 0), 1);
    cr_assert_eq(libsd_delete(sd, libsd_str("/d/1"), 0), 0);
    cr_assert_eq(libsd_delete_prefix(sd, libsd_str("/d/"), &deleted, 0), 0);
    cr_assert_eq(deleted, 2);
    cr_assert_eq(libsd_delete_prefix(sd, libsd_str(""), &deleted, 0), LIBSD_EINVAL);
}

Test(kv, too_big_values_are_refused)
{
    static char big[3 << 20];
    char detail[300];

    memset(big, 'x', sizeof big);
    cr_assert_eq(libsd_put(sd, libsd_str("/big"), libsd_bytes(big, sizeof big), 0, NULL, 0),
                 LIBSD_ETOOBIG);
    cr_assert_eq(libsd_put(sd, libsd_str("/big"), libsd_bytes(big, 1600000), 0, NULL, 0),
                 LIBSD_ETOOBIG);
    cr_assert(libsd_error_detail(sd, detail, sizeof detail) > 0);
    cr_assert(strstr(detail, "too large") && strstr(detail, etcd.url), "%s", detail);
    cr_assert_eq(libsd_put(sd, libsd_str("/big"), libsd_bytes(big, 1500000), 0, NULL, 0), 0);
}

Test(kv, nonsense_is_refused_before_it_is_sent)
{
    libsd_kvs *kvs;

    cr_assert_eq(libsd_put(sd, libsd_str(""), libsd_str("x"), 0, NULL, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_put(sd, libsd_str("/a"), libsd_bytes(NULL, 3), 0, NULL, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_get(sd, libsd_str("/a"), NULL, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_get(sd, libsd_str("/a"), &kvs, -1), LIBSD_EINVAL);
    cr_assert_eq(libsd_list(sd, libsd_str("/a"), 64, &kvs, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_get(NULL, libsd_str("/a"), &kvs, 0), LIBSD_EINVAL);
    libsd_close(NULL);
    libsd_kvs_free(NULL);
    libsd_watch_close(NULL);
}

/* ---- leases ------------------------------------------------------------- */

Test(kv, lease_takes_its_keys_with_it)
{
    int64_t lease = 0;
    int64_t ttl = 0;

    cr_assert_eq(libsd_lease_grant(sd, 60, &lease, &ttl, 0), 0);
    cr_assert(lease > 0 && ttl == 60);
    cr_assert_eq(libsd_put(sd, libsd_str("/leased"), libsd_str("x"), lease, NULL, 0), 0);
    cr_assert_eq(libsd_lease_keepalive(sd, lease, &ttl, 0), 0);
    cr_assert_eq(ttl, 60);
    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), 0);
    cr_assert(absent(sd, "/leased"));
    cr_assert_eq(libsd_lease_keepalive(sd, lease, &ttl, 0), LIBSD_ELEASE);
    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), LIBSD_ELEASE);
    cr_assert_eq(libsd_put(sd, libsd_str("/leased"), libsd_str("x"), lease, NULL, 0), LIBSD_ELEASE);
}

Test(kv, granted_ttl_is_etcds_not_ours)
{
    int64_t lease = 0;
    int64_t ttl = 0;

    cr_assert_eq(libsd_lease_grant(sd, 1, &lease, &ttl, 0), 0);
    cr_assert_eq(ttl, 2);
    cr_assert_eq(libsd_lease_grant(sd, 0, &lease, &ttl, 0), LIBSD_EINVAL);
}

Test(kv, lease_that_nobody_renews_ends)
{
    int64_t lease = 0;

    cr_assert_eq(libsd_lease_grant(sd, 2, &lease, NULL, 0), 0);
    cr_assert_eq(libsd_put(sd, libsd_str("/leased"), libsd_str("x"), lease, NULL, 0), 0);
    UNTIL(absent(sd, "/leased"), 5);
}

/* ---- when etcd is away -------------------------------------------------- */

Test(kv, call_without_server_ends_with_its_timeout)
{
    double begin;
    libsd_kvs *kvs;
    char detail[300];

    etcd_kill(&etcd);
    begin = seconds();
    cr_assert_eq(libsd_get(sd, libsd_str("/a"), &kvs, 700), LIBSD_EUNAVAILABLE);
    cr_assert(seconds() - begin < 1.2);
    cr_assert(libsd_error_detail(sd, detail, sizeof detail) > 0);
    cr_assert(strstr(detail, etcd.url) != NULL, "%s", detail);
    cr_assert_gt(libsd_error_detail(sd, detail, 4), 3);
    cr_assert_eq(strlen(detail), 3);
}

Test(kv, call_to_frozen_server_ends_with_its_timeout)
{
    double begin;
    libsd_kvs *kvs;

    put(sd, "/a", "x");
    etcd_freeze(&etcd);
    begin = seconds();
    cr_assert_eq(libsd_get(sd, libsd_str("/a"), &kvs, 700), LIBSD_ETIMEDOUT);
    cr_assert(seconds() - begin < 1.2);
}

Test(kv, call_outlives_a_restart_of_etcd)
{
    libsd_kvs *kvs;

    put(sd, "/a", "x");
    etcd_kill(&etcd);
    etcd_restart(&etcd);
    cr_assert_eq(libsd_get(sd, libsd_str("/a"), &kvs, 5000), 0);
    libsd_kvs_free(kvs);
}

Test(kv, dead_endpoint_is_passed_over)
{
    libsd_options *options;
    libsd *other;
    char endpoints[200];

    snprintf(endpoints, sizeof endpoints, "http://127.0.0.1:1,%s,http://127.0.0.1:1", etcd.url);
    libsd_options_new(&options);
    cr_assert_eq(libsd_options_set(options, "endpoints", endpoints), 0);
    /* Where a handle begins is chance. */
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(libsd_open(&other, options), 0);
        cr_assert_eq(put(other, "/a", "x") > 0, 1);
        libsd_close(other);
    }
    libsd_options_free(options);
}

Test(kv, close_with_a_frozen_server_takes_two_seconds_at_most)
{
    libsd *other = etcd_open(&etcd, NULL);
    double begin;

    cr_assert_eq(libsd_register(other, "s", "i", "10.0.0.1:1", 10, NULL), 0);
    etcd_freeze(&etcd);
    begin = seconds();
    libsd_close(other);
    cr_assert(seconds() - begin < 2.0, "%g", seconds() - begin);
    etcd_thaw(&etcd);
}

/* ---- threads and processes ---------------------------------------------- */

static char failure[] = "failed";

static void *put_and_get(void *arg)
{
    char key[40];

    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "/t/%ld/%d", (long)arg, i);
        if (libsd_put(sd, libsd_str(key), libsd_str(key), 0, NULL, 0) != 0 || !has(sd, key, key))
            return failure;
    }
    return NULL;
}

Test(kv, many_threads_share_a_handle)
{
    pthread_t threads[8];
    void *failed;

    for (long i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, put_and_get, (void *)i), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &failed);
        cr_assert_null(failed);
    }
}

/* Returns 0 if a child finds every call refused. */
static int try_everything(void)
{
    libsd_kvs *kvs;
    libsd_watch *watch;

    if (libsd_get(sd, libsd_str("/a"), &kvs, 0) != LIBSD_EFORKED ||
        libsd_put(sd, libsd_str("/a"), libsd_str("b"), 0, NULL, 0) != LIBSD_EFORKED ||
        libsd_register(sd, "s", "i", "10.0.0.1:1", 3, NULL) != LIBSD_EFORKED ||
        libsd_deregister(sd, "s", NULL, 0) != LIBSD_EFORKED || libsd_fd(sd) != LIBSD_EFORKED ||
        libsd_dispatch(sd, 0) != LIBSD_EFORKED ||
        libsd_watch_open(sd, libsd_str("/a"), 0, 0, notes_take, NULL, &watch) != LIBSD_EFORKED)
        return 1;
    libsd_close(sd);
    return 0;
}

Test(kv, forked_child_is_refused_and_harms_nobody)
{
    int status = -1;
    pid_t child;

    cr_assert_eq(libsd_register(sd, "s", "i", "10.0.0.1:1", 3, NULL), 0);
    child = fork();
    if (child == 0)
        _exit(try_everything());
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert(has(sd, "/service/s/i", "10.0.0.1:1"));
    cr_assert(put(sd, "/a", "still works") > 0);
}
