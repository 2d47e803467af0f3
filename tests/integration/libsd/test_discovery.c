/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Watching services: each appearance, change and disappearance is told once,
 * with its reason; and listing and resolving them.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outlook.h"

TestSuite(discovery, .init = outlook_begin, .fini = outlook_end, .timeout = 90);

/* ---- a list ------------------------------------------------------------- */

Test(discovery, discover_lists_exactly_the_service)
{
    libsd_snapshot *snapshot;
    const libsd_instance *instance;

    put(outlook.sd, "/service/user/b", "10.0.0.2:80");
    put(outlook.sd, "/service/user/a",
        "{\"addr\":\"10.0.0.1:80\",\"weight\":5,\"metadata\":{\"zone\":\"x\"}}");
    put(outlook.sd, "/service/user/bad", "rubbish");
    put(outlook.sd, "/service/user/eu/c", "10.0.0.3:80");
    put(outlook.sd, "/service/user2/d", "10.0.0.4:80");
    put(outlook.sd, "/service/user", "10.0.0.5:80");
    put(outlook.sd, "/service/user/", "10.0.0.6:80");
    cr_assert_eq(libsd_discover(outlook.sd, "user", &snapshot, 0), 2);
    cr_assert_eq(libsd_snapshot_count(snapshot), 2);
    cr_assert_eq(libsd_snapshot_unreadable(snapshot), 1);
    cr_assert(libsd_snapshot_revision(snapshot) >= 8);
    instance = libsd_snapshot_at(snapshot, 0);
    cr_assert_str_eq(instance->service, "user");
    cr_assert_str_eq(instance->name, "a");
    cr_assert_str_eq(instance->host, "10.0.0.1");
    cr_assert_eq(instance->port, 80);
    cr_assert_eq(instance->weight, 5);
    cr_assert_eq(instance->create_revision, instance->mod_revision);
    cr_assert(memmem(instance->value.data, instance->value.size, "\"zone\":\"x\"", 10) != NULL);
    cr_assert_str_eq(libsd_snapshot_at(snapshot, 1)->name, "b");
    cr_assert_null(libsd_snapshot_at(snapshot, 2));
    cr_assert_eq(libsd_snapshot_find(snapshot, "user", "b"), libsd_snapshot_at(snapshot, 1));
    cr_assert_null(libsd_snapshot_find(snapshot, "user", "c"));
    libsd_snapshot_unref(snapshot);

    cr_assert_eq(libsd_discover(outlook.sd, "nobody", &snapshot, 0), 0);
    cr_assert_eq(libsd_snapshot_count(snapshot), 0);
    libsd_snapshot_unref(snapshot);

    cr_assert_eq(libsd_discover(outlook.sd, NULL, &snapshot, 0), 4);
    cr_assert_str_eq(libsd_snapshot_at(snapshot, 2)->service, "user/eu");
    cr_assert_str_eq(libsd_snapshot_at(snapshot, 3)->service, "user2");
    libsd_snapshot_unref(snapshot);
}

Test(discovery, bad_arguments_are_refused)
{
    libsd_snapshot *snapshot;
    libsd_discovery *made;

    cr_assert_eq(libsd_discover(outlook.sd, "", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_null(snapshot);
    cr_assert_eq(libsd_discover(outlook.sd, "/user", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_discover(outlook.sd, "user/", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_discover(outlook.sd, "a//b", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_discover(outlook.sd, "user", NULL, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_discover(outlook.sd, "user", &snapshot, -1), LIBSD_EINVAL);
    cr_assert_eq(libsd_watch_service(outlook.sd, "user", NULL, NULL, &made), LIBSD_EINVAL);
    cr_assert_eq(libsd_watch_service(outlook.sd, "", diary_take, &outlook.diary, &made),
                 LIBSD_EINVAL);
    cr_assert_eq(libsd_watch_service(NULL, "user", diary_take, &outlook.diary, &made),
                 LIBSD_EINVAL);
    libsd_discovery_close(NULL);
    libsd_snapshot_unref(NULL);
    cr_assert_eq(libsd_snapshot_count(NULL), 0);
}

Test(discovery, names_are_resolved_from_etcd)
{
    libsd_options *options;
    libsd_snapshot *snapshot;

    put(outlook.sd, "/service/user/i1", "10.0.0.1:80");
    put(outlook.sd, "/service/user/i2", "10.0.0.2:80");
    put(outlook.sd, "/service/shop/user/i3", "10.0.0.3:80");
    cr_assert_eq(libsd_resolve(outlook.sd, "user", &snapshot, 0), 2);
    libsd_snapshot_unref(snapshot);
    cr_assert_eq(libsd_resolve(outlook.sd, "shop/user", &snapshot, 0), 1);
    libsd_snapshot_unref(snapshot);
    cr_assert_eq(libsd_resolve(outlook.sd, "User.Service.etcd.", &snapshot, 0), 2);
    libsd_snapshot_unref(snapshot);
    cr_assert_eq(libsd_resolve(outlook.sd, "user.shop.service.etcd", &snapshot, 0), 1);
    libsd_snapshot_unref(snapshot);
    cr_assert_eq(libsd_resolve(outlook.sd, "i2.user.service.etcd", &snapshot, 0), 1);
    cr_assert_str_eq(libsd_snapshot_at(snapshot, 0)->host, "10.0.0.2");
    libsd_snapshot_unref(snapshot);
    cr_assert_eq(libsd_resolve(outlook.sd, "i3.user.service.etcd", &snapshot, 0), LIBSD_ENOTFOUND);
    cr_assert_null(snapshot);
    cr_assert_eq(libsd_resolve(outlook.sd, "user.shop", &snapshot, 0), LIBSD_ENOTFOUND);
    cr_assert_eq(libsd_resolve(outlook.sd, ".service.etcd", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_resolve(outlook.sd, "a..b.service.etcd", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_resolve(outlook.sd, "", &snapshot, 0), LIBSD_EINVAL);

    libsd_options_new(&options);
    libsd_options_load(options, "");
    libsd_options_set(options, "endpoints", outlook.etcd.url);
    libsd_options_set(options, "domain", ".Other.Example.");
    libsd_close(outlook.other);
    cr_assert_eq(libsd_open(&outlook.other, options), 0);
    libsd_options_free(options);
    cr_assert_eq(libsd_resolve(outlook.other, "user.other.example", &snapshot, 0), 2);
    libsd_snapshot_unref(snapshot);
}

/* ---- what is told ------------------------------------------------------- */

Test(discovery, life_of_instances_is_told_with_reasons)
{
    libsd_discovery *watched;

    outlook_enter("i1", "10.0.0.1:80");
    watched = outlook_watch("user", &outlook.diary);
    TOLD("+i1:present synced ", 5);
    diary_forget(&outlook.diary);
    outlook_enter("i2", "10.0.0.2:80");
    TOLD("+i2:registered ", 5);
    outlook_enter("i2", "10.0.0.3:80");
    TOLD("+i2:registered ~i2:updated ", 5);
    cr_assert_eq(libsd_deregister(outlook.other, "user", "i2", 0), 0);
    TOLD("+i2:registered ~i2:updated -i2:deregistered ", 5);
    put(outlook.sd, "/service/user2/x", "10.0.0.9:80");
    put(outlook.sd, "/service/user/eu/x", "10.0.0.9:80");
    put(outlook.sd, "/service/user/p", "10.0.0.4:80");
    TOLD("+i2:registered ~i2:updated -i2:deregistered +p:registered ", 5);
    diary_forget(&outlook.diary);
    libsd_delete(outlook.sd, libsd_str("/service/user/p"), 0);
    TOLD("-p:deregistered ", 5);
    libsd_close(outlook.other);
    TOLD("-p:deregistered -i1:lease ", 5);
    outlook.other = etcd_open(&outlook.etcd, NULL);
    cr_assert_not(outlook.diary.disordered);
    libsd_discovery_close(watched);
    outlook_enter("i3", "10.0.0.1:80");
    cr_assert(diary_says(&outlook.diary, "-p:deregistered -i1:lease "));
}

Test(discovery, expired_lease_is_told_as_such)
{
    int64_t lease;

    outlook_watch("user", &outlook.diary);
    TOLD("synced ", 5);
    /* Nobody keeps it alive, as when a service was killed. */
    cr_assert_eq(libsd_lease_grant(outlook.other, 1, &lease, NULL, 0), 0);
    cr_assert_eq(libsd_put(outlook.other, libsd_str("/service/user/i1"), libsd_str("10.0.0.1:80"),
                           lease, NULL, 0),
                 0);
    TOLD("synced +i1:registered -i1:lease ", 12);
}

Test(discovery, same_value_again_is_no_change)
{
    outlook_watch("user", &outlook.diary);
    TOLD("synced ", 5);
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    TOLD("synced +a:registered ", 5);
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    put(outlook.sd, "/service/user/a", "10.0.0.2:80");
    TOLD("synced +a:registered ~a:updated ", 5);
}

Test(discovery, bad_value_costs_one_instance)
{
    libsd_discovery *watched = outlook_watch("user", &outlook.diary);
    libsd_snapshot *snapshot;

    TOLD("synced ", 5);
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    put(outlook.sd, "/service/user/b", "no address");
    put(outlook.sd, "/service/user/c", "10.0.0.3:80");
    TOLD("synced +a:registered +c:registered ", 5);
    put(outlook.sd, "/service/user/a", "{");
    put(outlook.sd, "/service/user/b", "10.0.0.2:80");
    TOLD("synced +a:registered +c:registered -a:unreadable +b:updated ", 5);
    snapshot = libsd_discovery_snapshot(watched);
    cr_assert_eq(libsd_snapshot_count(snapshot), 2);
    cr_assert_eq(libsd_snapshot_unreadable(snapshot), 1);
    libsd_snapshot_unref(snapshot);
    libsd_delete(outlook.sd, libsd_str("/service/user/a"), 0);
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    TOLD("synced +a:registered +c:registered -a:unreadable +b:updated +a:registered ", 5);
}

Test(discovery, all_services_are_watched_at_once)
{
    put(outlook.sd, "/service/shop/cart/a", "10.0.0.1:80");
    put(outlook.sd, "/service/stray", "10.0.0.1:80");
    outlook_watch(NULL, &outlook.diary);
    TOLD("+shop/cart|a:present synced ", 5);
    put(outlook.sd, "/service/user/b", "10.0.0.2:80");
    put(outlook.sd, "/service/shop/c", "10.0.0.2:80");
    put(outlook.sd, "/elsewhere/shop/c", "10.0.0.2:80");
    libsd_delete(outlook.sd, libsd_str("/service/shop/cart/a"), 0);
    TOLD("+shop/cart|a:present synced +b:registered +shop|c:registered "
         "-shop/cart|a:deregistered ",
         5);
}

/* ---- numbers ------------------------------------------------------------ */

enum {
    MANY = 10000
};

/* Instances from (first) on, in transactions of 100. */
static void enter_many(int first, int instances)
{
    static char body[1 << 16];
    char text[100];

    for (int i = first; i < first + instances; i += 100) {
        strcpy(body, "{\"success\":[");
        for (int n = i; n < i + 100; n++) {
            strcat(body, n > i ? ",{\"request_put\":{\"key\":\"" : "{\"request_put\":{\"key\":\"");
            snprintf(text, sizeof text, "/service/user/i%05d", n);
            add_base64(body, text);
            strcat(body, "\",\"value\":\"");
            snprintf(text, sizeof text, "10.%d.%d.%d:80", n >> 16, n >> 8 & 255, n & 255);
            add_base64(body, text);
            strcat(body, "\"}}");
        }
        strcat(body, "]}");
        cr_assert_eq(etcd_post(&outlook.etcd, "/v3/kv/txn", body), 200);
    }
}

Test(discovery, ten_thousand_instances_come_and_go)
{
    libsd_discovery *watched;
    libsd_snapshot *snapshot;
    char name[20];

    enter_many(0, MANY / 2);
    watched = outlook_watch("user", &outlook.diary);
    UNTIL(diary_count(&outlook.diary, LIBSD_SYNCED) == 1, 10);
    cr_assert_eq(diary_count(&outlook.diary, LIBSD_ONLINE), MANY / 2);
    enter_many(MANY / 2, MANY / 2);
    UNTIL(diary_count(&outlook.diary, LIBSD_ONLINE) == MANY, 10);
    snapshot = libsd_discovery_snapshot(watched);
    cr_assert_eq(libsd_snapshot_count(snapshot), MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "i%05d", i);
        cr_assert_str_eq(libsd_snapshot_at(snapshot, (size_t)i)->name, name);
    }
    libsd_delete_prefix(outlook.other, libsd_str("/service/user/"), NULL, 0);
    UNTIL(diary_count(&outlook.diary, LIBSD_OFFLINE) == MANY, 10);
    cr_assert_not(outlook.diary.disordered);
    /* Ours is as it was. */
    cr_assert_str_eq(libsd_snapshot_at(snapshot, MANY - 1)->host, "10.0.39.15");
    libsd_snapshot_unref(snapshot);
    snapshot = libsd_discovery_snapshot(watched);
    cr_assert_eq(libsd_snapshot_count(snapshot), 0);
    libsd_snapshot_unref(snapshot);
}
