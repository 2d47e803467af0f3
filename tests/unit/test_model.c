/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The model: puts, deletes, lists; against a plain reference where the order
 * of things is random; and each request for memory failing once.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../nss/watcher/memory.h"
#include "../../nss/watcher/model.h"

/* In the place of memory.c. */
static int requests_until_failure = -1;

static bool fails_now(void)
{
    return requests_until_failure >= 0 && requests_until_failure-- == 0;
}

void *memory_new(size_t size)
{
    return fails_now() ? NULL : calloc(1, size);
}

void *memory_resize(void *old, size_t count, size_t size)
{
    return fails_now() ? NULL : reallocarray(old, count, size);
}

static struct model model;

static void setup(void)
{
    requests_until_failure = -1;
    cr_assert_eq(model_init(&model, 42), 0);
}

static void teardown(void)
{
    model_free(&model);
}

TestSuite(model, .init = setup, .fini = teardown);

/* last: of an address 10.0.0.last; 0: can't be read. */
static int put(const char *name, const char *key, uint8_t last)
{
    struct model_value value = {
        .family = last != 0 ? 4 : 0,
        .address = { 10, 0, 0, last },
        .port = 80,
    };

    return model_put(&model, name, (uint8_t)strlen(name), key, strlen(key), true, &value);
}

static int del(const char *name, const char *key)
{
    return model_delete(&model, name, (uint8_t)strlen(name), key, strlen(key));
}

static struct model_service *find(const char *name)
{
    return model_find(&model, name, strlen(name));
}

/* The table takes all that is dirty.  Returns how many services that was. */
static int settle(void)
{
    struct model_service *service;
    int count = 0;

    while ((service = model_take_dirty(&model)) != NULL) {
        model_release(&model, service);
        count++;
    }
    return count;
}

Test(model, put_makes_a_service_dirty_once)
{
    cr_expect_eq(put("a.etcd", "a/1", 1), MODEL_CHANGED);
    cr_expect_eq(put("a.etcd", "a/2", 2), MODEL_CHANGED);
    cr_expect_eq(put("a.etcd", "a/1", 3), MODEL_CHANGED);
    cr_expect_eq(settle(), 1);
    cr_expect_eq(settle(), 0);
    cr_expect_eq(model.instance_count, 2);
    cr_expect_eq(find("a.etcd")->readable, 2);
}

Test(model, same_value_changes_nothing)
{
    put("a.etcd", "a/1", 1);
    settle();
    cr_expect_eq(put("a.etcd", "a/1", 1), MODEL_SAME);
    cr_expect_eq(settle(), 0);
}

Test(model, another_port_or_weight_is_a_change)
{
    struct model_value value = { .family = 4, .address = { 10, 0, 0, 1 }, .port = 80 };

    put("a.etcd", "a/1", 1);
    value.port = 81;
    cr_expect_eq(model_put(&model, "a.etcd", 6, "a/1", 3, true, &value), MODEL_CHANGED);
    value.weight = 5;
    cr_expect_eq(model_put(&model, "a.etcd", 6, "a/1", 3, true, &value), MODEL_CHANGED);
    cr_expect_eq(model_put(&model, "a.etcd", 6, "a/1", 3, true, &value), MODEL_SAME);
}

Test(model, M1_unreadable_value_is_kept_but_does_not_count)
{
    put("a.etcd", "a/1", 1);
    cr_expect_eq(put("a.etcd", "a/1", 0), MODEL_UNREADABLE);
    cr_expect_eq(put("a.etcd", "a/1", 0), MODEL_SAME);
    cr_expect_eq(model.unreadable, 1);
    cr_expect_eq(find("a.etcd")->readable, 0);
    cr_expect_eq(put("a.etcd", "a/1", 7), MODEL_CHANGED);
    cr_expect_eq(model.unreadable, 0);
    put("a.etcd", "a/1", 0);
    cr_expect_eq(del("a.etcd", "a/1"), 1);
    cr_expect_eq(model.unreadable, 0);
    cr_expect_eq(model.instance_count, 0);
}

Test(model, nameless_keys_are_counted_and_never_dirty)
{
    cr_expect_eq(put("", "x", 1), MODEL_UNREADABLE);
    cr_expect_eq(put("", "x", 1), MODEL_SAME);
    cr_expect_eq(put("", "y", 0), MODEL_UNREADABLE);
    cr_expect_eq(model.unreadable, 2);
    cr_expect_eq(settle(), 0);
    cr_expect_eq(del("", "x"), 1);
    cr_expect_eq(del("", "x"), 0);
    cr_expect_eq(model.unreadable, 1);
}

Test(model, M3_empty_service_stays_until_it_is_released)
{
    struct model_service *service;

    put("a.etcd", "a/1", 1);
    settle();
    cr_expect_eq(del("a.etcd", "a/1"), 1);
    cr_expect_not_null(find("a.etcd"));
    service = model_take_dirty(&model);
    cr_assert_not_null(service);
    cr_expect_eq(service->count, 0);
    model_release(&model, service);
    cr_expect_null(find("a.etcd"));
    cr_expect_eq(model.service_count, 0);
}

Test(model, deleting_what_is_not_there_is_nothing)
{
    put("a.etcd", "a/1", 1);
    settle();
    cr_expect_eq(del("a.etcd", "a/2"), 0);
    cr_expect_eq(del("b.etcd", "b/1"), 0);
    cr_expect_eq(settle(), 0);
}

Test(model, instances_are_in_key_order)
{
    static const char *const keys[] = { "a/5", "a/1", "a/30", "a/3", "a", "a/31", "a/" };
    const struct model_service *service;

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        put("a.etcd", keys[i], (uint8_t)(i + 1));
    service = find("a.etcd");
    cr_assert_eq(service->count, 7);
    for (uint32_t i = 1; i < service->count; i++) {
        const struct model_instance *a = model_instances(service)[i - 1],
                                    *b = model_instances(service)[i];
        uint32_t common = a->key_length < b->key_length ? a->key_length : b->key_length;
        int order = memcmp(a->key, b->key, common);

        cr_expect(order < 0 || (order == 0 && a->key_length < b->key_length));
    }
}

Test(model, sweep_takes_what_a_list_did_not_name)
{
    put("a.etcd", "a/1", 1);
    put("a.etcd", "a/2", 2);
    put("b.etcd", "b/1", 3);
    put("", "x", 0);
    settle();
    model_mark(&model);
    put("a.etcd", "a/1", 1);
    put("c.etcd", "c/1", 4);
    cr_expect_eq(model_sweep(&model), 3);
    cr_expect_eq(settle(), 3); /* a lost one, b is empty, c is new */
    cr_expect_eq(model.instance_count, 2);
    cr_expect_eq(model.unreadable, 0);
    cr_expect_null(find("b.etcd"));
    cr_expect_eq(find("a.etcd")->count, 1);
}

Test(model, list_that_is_begun_again_forgets_the_half_one)
{
    put("a.etcd", "a/1", 1);
    settle();
    model_mark(&model);
    put("a.etcd", "a/1", 1);
    put("b.etcd", "b/1", 2);
    model_mark(&model);
    put("b.etcd", "b/1", 2);
    cr_expect_eq(model_sweep(&model), 1);
    settle();
    cr_expect_null(find("a.etcd"));
    cr_expect_not_null(find("b.etcd"));
}

Test(model, M2_failed_service_waits_for_the_retry)
{
    struct model_service *service;

    put("a.etcd", "a/1", 1);
    service = model_take_dirty(&model);
    model_fail(&model, service);
    put("a.etcd", "a/1", 2); /* still failed, not dirty as well */
    cr_expect_null(model_take_dirty(&model));
    model_retry(&model);
    cr_expect_eq(model_take_dirty(&model), service);
    cr_expect_null(model_take_dirty(&model));
}

Test(model, touch_all_makes_each_service_dirty_once)
{
    put("a.etcd", "a/1", 1);
    put("b.etcd", "b/1", 1);
    settle();
    put("b.etcd", "b/2", 1);
    model_touch_all(&model);
    cr_expect_eq(settle(), 2);
}

/* A long random story, told to the model and to an array. */
#define STORY_SERVICES  97
#define STORY_INSTANCES 31

Test(model, agrees_with_an_array_over_a_random_story)
{
    static uint8_t truth[STORY_SERVICES][STORY_INSTANCES];
    uint64_t random = 1, count = 0;
    char name[32], key[32];

    for (int step = 0; step < 200000; step++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint32_t s = (uint32_t)(random >> 33) % STORY_SERVICES;
        uint32_t i = (uint32_t)(random >> 43) % STORY_INSTANCES;
        uint8_t value = (uint8_t)(random >> 56) % 3;

        snprintf(name, sizeof name, "s%u.etcd", s);
        snprintf(key, sizeof key, "s%u/%u", s, i);
        if (value == 0)
            cr_assert_eq(del(name, key), truth[s][i] != 0);
        else
            cr_assert_eq(put(name, key, value), truth[s][i] == value ? MODEL_SAME : MODEL_CHANGED);
        count += (value != 0) - (uint64_t)(truth[s][i] != 0);
        truth[s][i] = value;
        if (step % 7 == 0)
            settle();
    }
    cr_expect_eq(model.instance_count, count);
    for (uint32_t s = 0; s < STORY_SERVICES; s++) {
        uint32_t expected = 0;

        for (uint32_t i = 0; i < STORY_INSTANCES; i++)
            expected += truth[s][i] != 0;
        snprintf(name, sizeof name, "s%u.etcd", s);
        cr_expect_eq(find(name) == NULL ? 0 : find(name)->count, expected);
    }
}

Test(model, services_survive_growth_and_holes_of_the_hash)
{
    char name[32];

    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "s%d.etcd", i);
        cr_assert_eq(put(name, name, 1), MODEL_CHANGED);
    }
    settle();
    for (int i = 0; i < 5000; i += 3) {
        snprintf(name, sizeof name, "s%d.etcd", i);
        cr_assert_eq(del(name, name), 1);
    }
    settle();
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "s%d.etcd", i);
        cr_assert_eq(find(name) != NULL, i % 3 != 0, "%s", name);
    }
    cr_expect_eq(model.service_count, 5000 - 1667);
}

Test(model, put_without_memory_changes_nothing)
{
    char name[32];
    int failures = 0;

    for (int i = 0; i < 400; i++) {
        uint64_t instances = model.instance_count;
        uint32_t services = model.service_count;
        int rc, step = 0;

        snprintf(name, sizeof name, "s%d.etcd", i / 7);
        do {
            char key[32];

            snprintf(key, sizeof key, "k%d", i);
            requests_until_failure = step++;
            rc = put(name, key, 1);
            requests_until_failure = -1;
            cr_assert(rc == MODEL_CHANGED || rc == -ENOMEM);
            if (rc == -ENOMEM) {
                failures++;
                cr_assert_eq(model.instance_count, instances);
                cr_assert_eq(model.service_count, services);
            }
        } while (rc == -ENOMEM);
        if (i % 5 == 0)
            settle();
    }
    cr_expect_gt(failures, 400);
    cr_expect_eq(model.unreadable, 0);
}

Test(model, init_without_memory_fails_cleanly)
{
    struct model other;

    for (int step = 0; step < 2; step++) {
        requests_until_failure = step;
        cr_expect_eq(model_init(&other, 1), -ENOMEM);
    }
    requests_until_failure = -1;
}
