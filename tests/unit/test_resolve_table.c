/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd_resolve() from a table, with no handle: names in, instances out.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../libsd/libsd-discovery.h"
#include "table_help.h"

static struct table_fixture f;
static char list[600];

static void begin(void)
{
    table_begin(&f);
    table_put(&f, "user.service.etcd", "i1=10.0.0.1:81 i2=10.0.0.2:82 i3=[2001:db8::3]:83");
    table_put(&f, "user.shop.service.etcd", "x=10.0.1.1:90*3 y=10.0.1.2:90*5");
    table_put(&f, "shared.service.etcd", "a=10.0.2.1:1*2 b=10.0.2.1:2*4 c=10.0.2.2:3*6");
    cr_assert_eq(table_writer_publish(f.writer), 0);
    setenv("ETCDSD_TABLE", f.path, 1);
}

static void end(void)
{
    table_end(&f);
}

TestSuite(resolve_table, .init = begin, .fini = end);

/* "service/name address:port*weight, ...", or what libsd_resolve() returned. */
static const char *resolve(const char *name)
{
    libsd_snapshot *snapshot;
    int rc = libsd_resolve(NULL, name, &snapshot, 0);

    list[0] = '\0';
    if (rc < 0) {
        cr_expect_null(snapshot);
        snprintf(list, sizeof list, "%s",
                 rc == LIBSD_ENOTFOUND      ? "not found"
                 : rc == LIBSD_EUNAVAILABLE ? "unavailable"
                                            : libsd_strerror(rc));
        return list;
    }
    cr_expect_eq((size_t)rc, libsd_snapshot_count(snapshot));
    for (size_t i = 0; i < libsd_snapshot_count(snapshot); i++) {
        const libsd_instance *instance = libsd_snapshot_at(snapshot, i);
        char address[64];

        libsd_instance_text(instance, address, sizeof address);
        sprintf(list + strlen(list), "%s%s/%s %s*%u", i > 0 ? ", " : "", instance->service,
                instance->name, address, (unsigned)instance->weight);
    }
    libsd_snapshot_unref(snapshot);
    return list;
}

Test(resolve_table, service_is_all_its_instances)
{
    const char *all = "user/i1 10.0.0.1:81*0, user/i2 10.0.0.2:82*0, user/i3 [2001:db8::3]:83*0";

    cr_expect_str_eq(resolve("user"), all);
    cr_expect_str_eq(resolve("User.Service.ETCD."), all, "%s", list);
}

Test(resolve_table, segments_are_labels_the_other_way_round)
{
    const char *all = "shop/user/x 10.0.1.1:90*3, shop/user/y 10.0.1.2:90*5";

    cr_expect_str_eq(resolve("shop/user"), all, "%s", list);
    cr_expect_str_eq(resolve("user.shop.service.etcd"), all, "%s", list);
}

Test(resolve_table, instance_is_it_alone)
{
    cr_expect_str_eq(resolve("i2.user.service.etcd"), "user/i2 10.0.0.2:82*0", "%s", list);
    cr_expect_str_eq(resolve("y.user.shop.service.etcd"), "shop/user/y 10.0.1.2:90*5", "%s", list);
}

/* The table's sums are those of addresses: who has which part is not there. */
Test(resolve_table, weights_of_instances_that_share_an_address_are_not_told)
{
    cr_expect_str_eq(resolve("shared"),
                     "shared/a 10.0.2.1:1*0, shared/b 10.0.2.1:2*0, shared/c 10.0.2.2:3*6", "%s",
                     list);
}

Test(resolve_table, what_is_not_there_is_not_found)
{
    cr_expect_str_eq(resolve("none"), "not found");
    cr_expect_str_eq(resolve("i9.user.service.etcd"), "not found");
    cr_expect_str_eq(resolve("shop"), "not found");
}

/* Such segments have no labels that lead back to them. */
Test(resolve_table, service_that_has_no_owner_name_is_not_the_tables)
{
    cr_expect_str_eq(resolve("two words"), "unavailable", "%s", list);
    cr_expect_str_eq(resolve("-user"), "unavailable", "%s", list);
}

Test(resolve_table, without_a_table_nothing_is_known)
{
    setenv("ETCDSD_TABLE", "/nonexistent/table.v1", 1);
    cr_expect_str_eq(resolve("user"), "unavailable", "%s", list);
}

/* There is no other source: the last known is better than nothing. */
Test(resolve_table, table_of_a_watcher_that_has_ended_still_tells)
{
    table_writer_close(f.writer);
    f.writer = NULL;
    cr_expect_str_eq(resolve("i1.user.service.etcd"), "user/i1 10.0.0.1:81*0", "%s", list);
    cr_expect_str_eq(resolve("none"), "not found", "%s", list);
}

Test(resolve_table, addresses_are_what_sockets_take)
{
    libsd_snapshot *snapshot;
    struct sockaddr_storage to;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr *any = (struct sockaddr *)&to;
    char text[INET6_ADDRSTRLEN];
    libsd_instance named = { .host = "db.example", .port = 80 };

    cr_assert_eq(libsd_resolve(NULL, "user", &snapshot, 0), 3);
    cr_assert_eq(libsd_instance_sockaddr(libsd_snapshot_at(snapshot, 1), any, sizeof to),
                 sizeof v4);
    memcpy(&v4, &to, sizeof v4);
    cr_expect_eq(v4.sin_family, AF_INET);
    cr_expect_eq(ntohs(v4.sin_port), 82);
    cr_expect_str_eq(inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text), "10.0.0.2");
    cr_assert_eq(libsd_instance_sockaddr(libsd_snapshot_at(snapshot, 2), any, sizeof to),
                 sizeof v6);
    memcpy(&v6, &to, sizeof v6);
    cr_expect_eq(v6.sin6_family, AF_INET6);
    cr_expect_eq(ntohs(v6.sin6_port), 83);
    cr_expect_str_eq(inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text), "2001:db8::3");

    cr_expect_eq(libsd_instance_sockaddr(libsd_snapshot_at(snapshot, 2), any, sizeof v6 - 1),
                 LIBSD_EINVAL);
    cr_expect_eq(libsd_instance_sockaddr(libsd_snapshot_at(snapshot, 1), NULL, sizeof to),
                 LIBSD_EINVAL);
    cr_expect_eq(libsd_instance_sockaddr(&named, any, sizeof to), LIBSD_EINVAL);
    libsd_snapshot_unref(snapshot);
}

/* A table that is behind gives way to etcd, and answers when that is not there. */
Test(resolve_table, what_was_known_last_is_told_when_etcd_is_out_of_sight)
{
    libsd_options *options;
    libsd_snapshot *snapshot;
    libsd *sd;

    setenv("ETCDCTL_ENDPOINTS", "http://127.0.0.1:1", 1);
    cr_assert_eq(libsd_options_new(&options), 0);
    cr_assert_eq(libsd_options_load(options, ""), 0);
    cr_assert_eq(libsd_open(&sd, options), 0);
    libsd_options_free(options);
    table_writer_set_state(f.writer, TABLE_DISCONNECTED);
    cr_assert_eq(libsd_resolve(sd, "user", &snapshot, 200), 3);
    cr_expect_str_eq(libsd_snapshot_at(snapshot, 0)->host, "10.0.0.1");
    libsd_snapshot_unref(snapshot);
    cr_expect(libsd_error_is_retriable(libsd_resolve(sd, "nobody", &snapshot, 200)),
              "of what is not there, etcd has to be asked");
    cr_expect_null(snapshot);
    libsd_close(sd);
}
