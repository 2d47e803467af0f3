/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keys and values as programs know them from etcd-cpp-apiv3: what the tests of
 * that library assert, asserted of libsd.  libsd/PARITY.md names the tests.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "etcd.h"

static struct etcd etcd;
static libsd *sd;
static libsd_kvs *kvs;
static libsd_reply *reply;

static void setup(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
}

static void teardown(void)
{
    libsd_kvs_free(kvs);
    libsd_reply_free(reply);
    libsd_close(sd);
    etcd_end(&etcd);
}

TestSuite(parity_kv, .init = setup, .fini = teardown, .timeout = 60);

static bool is(libsd_slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

/* Keys of a list, each followed by a blank. */
static bool lists(const libsd_kvs *list, const char *keys)
{
    char text[300] = "";
    size_t size = 0;

    for (size_t i = 0; i < libsd_kvs_count(list); i++) {
        libsd_slice key = libsd_kvs_at(list, i)->key;

        size += (size_t)snprintf(text + size, sizeof text - size, "%.*s ", (int)key.size,
                                 (const char *)key.data);
        cr_assert(size < sizeof text);
    }
    return strcmp(text, keys) == 0;
}

static int execute(libsd_op op)
{
    libsd_reply_free(reply);
    return libsd_execute(sd, &op, 0, &reply);
}

/* /d/1 to /d/4, a neighbour on each side, one that only begins alike. */
static void put_directory(void)
{
    put(sd, "/c", "before");
    for (int i = 1; i <= 4; i++) {
        char key[10];

        snprintf(key, sizeof key, "/d/%d", i);
        put(sd, key, key + 3);
    }
    put(sd, "/d1", "beside");
    put(sd, "/e", "behind");
}

Test(parity_kv, add_makes_a_new_key_only)
{
    int64_t revision = 0;

    cr_assert_eq(libsd_create(sd, libsd_str("/k"), libsd_str("42"), 0, &revision, 0), 0);
    cr_assert_eq(libsd_get(sd, libsd_str("/k"), &kvs, 0), 0);
    cr_assert(is(libsd_kvs_at(kvs, 0)->value, "42"));
    cr_assert_eq(libsd_kvs_at(kvs, 0)->version, 1);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->create_revision, revision);
    cr_assert_eq(libsd_create(sd, libsd_str("/k"), libsd_str("43"), 0, NULL, 0), LIBSD_ECONFLICT);
    /* The operation tells what is in the way. */
    cr_assert_eq(execute(libsd_op_create(libsd_str("/k"), libsd_str("43"), 0)), LIBSD_ECONFLICT);
    cr_assert(!reply->succeeded && is(libsd_kvs_at(reply->kvs, 0)->value, "42"));
}

Test(parity_kv, get_reads_value_and_indices)
{
    int64_t created = put(sd, "/k", "42");
    int64_t modified = put(sd, "/k", "43");

    cr_assert_eq(libsd_get(sd, libsd_str("/k"), &kvs, 0), 0);
    cr_assert(is(libsd_kvs_at(kvs, 0)->key, "/k") && is(libsd_kvs_at(kvs, 0)->value, "43"));
    cr_assert_eq(libsd_kvs_at(kvs, 0)->create_revision, created);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->mod_revision, modified);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->version, 2);
    cr_assert_eq(libsd_kvs_revision(kvs), modified);
}

Test(parity_kv, get_of_a_missing_key_is_not_found)
{
    libsd_kvs *none = (libsd_kvs *)&none;

    cr_assert_eq(libsd_get(sd, libsd_str("/none"), &none, 0), LIBSD_ENOTFOUND);
    cr_assert_null(none);
    cr_assert_str_eq(libsd_error_name(LIBSD_ENOTFOUND), "LIBSD_ENOTFOUND");
}

Test(parity_kv, get_at_a_revision_reads_the_past)
{
    int64_t first = put(sd, "/k", "42");
    libsd_op op = libsd_op_get(libsd_str("/k"));

    put(sd, "/k", "43");
    op.revision = first;
    cr_assert_eq(execute(op), 0);
    cr_assert(is(libsd_kvs_at(reply->kvs, 0)->value, "42"));
}

Test(parity_kv, set_tells_the_value_before)
{
    libsd_op op = libsd_op_put(libsd_str("/k"), libsd_str("43"), 0, LIBSD_PREV_KV);

    cr_assert_eq(execute(op), 0); /* none before */
    cr_assert_eq(libsd_kvs_count(reply->kvs), 0);
    op.value = libsd_str("44");
    cr_assert_eq(execute(op), 0);
    cr_assert(is(libsd_kvs_at(reply->kvs, 0)->value, "43"));
    cr_assert(has(sd, "/k", "44"));
}

Test(parity_kv, put_makes_and_overwrites)
{
    int64_t first = put(sd, "/k", "42");

    cr_assert(has(sd, "/k", "42"));
    cr_assert_eq(put(sd, "/k", "43"), first + 1);
    cr_assert(has(sd, "/k", "43"));
}

Test(parity_kv, modify_wants_an_existing_key)
{
    cr_assert_eq(libsd_replace(sd, libsd_str("/k"), libsd_str("1"), 0, NULL, 0), LIBSD_ENOTFOUND);
    cr_assert(absent(sd, "/k"));
    put(sd, "/k", "42");
    cr_assert_eq(libsd_replace(sd, libsd_str("/k"), libsd_str("43"), 0, NULL, 0), 0);
    cr_assert(has(sd, "/k", "43"));
}

static int swap(const char *expected, const char *value)
{
    return libsd_compare_and_swap(sd, libsd_str("/k"), libsd_str(expected), libsd_str(value), 0,
                                  NULL, 0);
}

Test(parity_kv, modify_if_compares_the_value)
{
    cr_assert_eq(swap("42", "43"), LIBSD_ENOTFOUND);
    put(sd, "/k", "42");
    cr_assert_eq(swap("42", "43"), 0);
    cr_assert_eq(swap("42", "44"), LIBSD_ECONFLICT);
    cr_assert(has(sd, "/k", "43"));
}

Test(parity_kv, modify_if_compares_the_index)
{
    int64_t before = put(sd, "/k", "42");
    int64_t now = 0;

    cr_assert_eq(
        libsd_compare_and_swap_revision(sd, libsd_str("/k"), before, libsd_str("43"), 0, &now, 0),
        0);
    cr_assert_eq(
        libsd_compare_and_swap_revision(sd, libsd_str("/k"), before, libsd_str("44"), 0, NULL, 0),
        LIBSD_ECONFLICT);
    cr_assert_eq(
        libsd_compare_and_swap_revision(sd, libsd_str("/k"), now, libsd_str("44"), 0, NULL, 0), 0);
    cr_assert(has(sd, "/k", "44"));
}

static int winners;

static void *try_to_win(void *value)
{
    if (swap("free", value) == 0)
        __atomic_fetch_add(&winners, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

Test(parity_kv, modify_if_lets_one_of_two_writers_win)
{
    static char names[2][4] = { "a", "b" };
    pthread_t threads[2];

    for (int round = 0; round < 50; round++) {
        put(sd, "/k", "free");
        winners = 0;
        for (int i = 0; i < 2; i++)
            cr_assert_eq(pthread_create(&threads[i], NULL, try_to_win, names[i]), 0);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        cr_assert_eq(winners, 1);
        cr_assert(!has(sd, "/k", "free"));
    }
}

Test(parity_kv, rm_tells_what_it_deleted)
{
    int64_t modified = put(sd, "/k", "42");

    cr_assert_eq(execute(libsd_op_delete(libsd_str("/k"), LIBSD_PREV_KV)), 0);
    cr_assert_eq(reply->count, 1);
    cr_assert(is(libsd_kvs_at(reply->kvs, 0)->value, "42"));
    cr_assert_eq(libsd_kvs_at(reply->kvs, 0)->mod_revision, modified);
    cr_assert_eq(reply->revision, modified + 1);
    cr_assert(absent(sd, "/k"));
    cr_assert_eq(libsd_delete(sd, libsd_str("/k"), 0), 0); /* none is no error */
}

Test(parity_kv, rm_if_compares_the_value)
{
    put(sd, "/k", "42");
    cr_assert_eq(libsd_compare_and_delete(sd, libsd_str("/k"), libsd_str("43"), 0),
                 LIBSD_ECONFLICT);
    cr_assert(has(sd, "/k", "42"));
    cr_assert_eq(libsd_compare_and_delete(sd, libsd_str("/k"), libsd_str("42"), 0), 0);
    cr_assert(absent(sd, "/k"));
}

Test(parity_kv, rm_if_compares_the_index)
{
    int64_t revision = put(sd, "/k", "42");

    cr_assert_eq(libsd_compare_and_delete_revision(sd, libsd_str("/k"), revision + 1, 0),
                 LIBSD_ECONFLICT);
    cr_assert(has(sd, "/k", "42"));
    cr_assert_eq(libsd_compare_and_delete_revision(sd, libsd_str("/k"), revision, 0), 0);
    cr_assert(absent(sd, "/k"));
}

Test(parity_kv, rmdir_deletes_a_directory_and_no_neighbour)
{
    int64_t deleted = 0;

    put_directory();
    cr_assert_eq(libsd_delete(sd, libsd_str("/d/"), 0), 0); /* not recursive */
    cr_assert(has(sd, "/d/1", "1"));
    cr_assert_eq(libsd_delete_prefix(sd, libsd_str("/d/"), &deleted, 0), 0);
    cr_assert_eq(deleted, 4);
    cr_assert_eq(libsd_keys(sd, libsd_str(""), &kvs, 0), 0);
    cr_assert(lists(kvs, "/c /d1 /e "));
}

Test(parity_kv, rmdir_of_everything_deletes_all_keys)
{
    put_directory();
    cr_assert_eq(execute(libsd_op_delete_range(libsd_bytes("", 1), libsd_bytes("", 0), 0)), 0);
    cr_assert_eq(reply->count, 7);
    cr_assert_eq(libsd_list(sd, libsd_str(""), 0, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 0);
}

Test(parity_kv, rmdir_of_a_range_stops_before_its_end)
{
    put_directory();
    cr_assert_eq(execute(libsd_op_delete_range(libsd_str("/d/1"), libsd_str("/d/3"), 0)), 0);
    cr_assert_eq(reply->count, 2);
    cr_assert_eq(libsd_keys(sd, libsd_str("/d/"), &kvs, 0), 0);
    cr_assert(lists(kvs, "/d/3 /d/4 "));
}

Test(parity_kv, ls_lists_a_directory_in_order)
{
    put_directory();
    cr_assert_eq(libsd_list(sd, libsd_str("/d/"), 0, &kvs, 0), 0);
    cr_assert(lists(kvs, "/d/1 /d/2 /d/3 /d/4 "));
    cr_assert(is(libsd_kvs_at(kvs, 3)->value, "4"));
    libsd_kvs_free(kvs);
    cr_assert_eq(libsd_list(sd, libsd_str("/none/"), 0, &kvs, 0), 0); /* no error */
    cr_assert_eq(libsd_kvs_count(kvs), 0);
}

Test(parity_kv, ls_of_everything_lists_all_keys)
{
    put_directory();
    cr_assert_eq(libsd_list(sd, libsd_str(""), 0, &kvs, 0), 0);
    cr_assert(lists(kvs, "/c /d/1 /d/2 /d/3 /d/4 /d1 /e "));
}

Test(parity_kv, ls_with_a_limit_says_that_there_is_more)
{
    libsd_op op = libsd_op_list(libsd_str("/d/"), 0);

    put_directory();
    op.limit = 3;
    cr_assert_eq(execute(op), 0);
    cr_assert(lists(reply->kvs, "/d/1 /d/2 /d/3 ") && reply->more && reply->count == 4);
    op.limit = 4;
    cr_assert_eq(execute(op), 0);
    cr_assert(libsd_kvs_count(reply->kvs) == 4 && !reply->more);
}

Test(parity_kv, ls_of_a_range_stops_before_its_end)
{
    put_directory();
    cr_assert_eq(execute(libsd_op_range(libsd_str("/d/2"), libsd_str("/d/4"), 0)), 0);
    cr_assert(lists(reply->kvs, "/d/2 /d/3 "));
}

Test(parity_kv, ls_at_a_revision_lists_the_past)
{
    libsd_op op = libsd_op_list(libsd_str("/d/"), 0);

    op.revision = put(sd, "/d/1", "1");
    put(sd, "/d/2", "2");
    cr_assert_eq(execute(op), 0);
    cr_assert(lists(reply->kvs, "/d/1 "));
}

Test(parity_kv, keys_come_without_values)
{
    libsd_op op = libsd_op_range(libsd_str("/d/2"), libsd_str("/d/4"), LIBSD_KEYS_ONLY);

    put_directory();
    cr_assert_eq(libsd_keys(sd, libsd_str("/d/"), &kvs, 0), 0);
    cr_assert(lists(kvs, "/d/1 /d/2 /d/3 /d/4 "));
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(libsd_kvs_at(kvs, i)->value.size, 0);
    cr_assert_eq(execute(op), 0);
    cr_assert(lists(reply->kvs, "/d/2 /d/3 ") && libsd_kvs_at(reply->kvs, 0)->value.size == 0);
}

Test(parity_kv, keys_and_values_keep_their_zeros)
{
    libsd_slice key = libsd_bytes("/\0k", 3);
    libsd_slice value = libsd_bytes("a\0b\0", 4);

    cr_assert_eq(libsd_put(sd, key, value, 0, NULL, 0), 0);
    cr_assert(absent(sd, "/"));
    cr_assert_eq(libsd_get(sd, key, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->key.size, 3);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->value.size, 4);
    cr_assert_arr_eq(libsd_kvs_at(kvs, 0)->key.data, "/\0k", 3);
    cr_assert_arr_eq(libsd_kvs_at(kvs, 0)->value.data, "a\0b\0", 4);
}
