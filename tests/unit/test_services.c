/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The services database: names and ports.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../nss/module/hosts.h"
#include "table_help.h"

static struct table_fixture f;
static _Alignas(16) char buffer[1024];
static struct servent service;
static int error;

static void begin(void)
{
    table_begin(&f);
    setenv("ETCDSD_TABLE", f.path, 1);
    table_put(&f, "user.service.etcd", "a=10.0.0.1:8080 b=10.0.0.2:8080");
    table_put(&f, "user.shop.service.etcd", "a=10.0.0.3:9090");
    table_put(&f, "mixed.service.etcd", "a=10.0.0.1:1 b=10.0.0.2:2");
    table_put(&f, "none.service.etcd", "a=10.0.0.1");
    table_writer_publish(f.writer);
}

static void end(void)
{
    table_end(&f);
}

TestSuite(services, .init = begin, .fini = end);

static enum nss_status by_name(const char *name, const char *protocol, size_t size)
{
    error = 0;
    return _nss_etcdsd_getservbyname_r(name, protocol, &service, buffer, size, &error);
}

Test(services, a_service_with_one_port_has_it)
{
    cr_assert_eq(by_name("user", "tcp", sizeof buffer), NSS_STATUS_SUCCESS);
    cr_expect_str_eq(service.s_name, "user");
    cr_expect_str_eq(service.s_aliases[0], "user.service.etcd");
    cr_expect_null(service.s_aliases[1]);
    cr_expect_str_eq(service.s_proto, "tcp");
    cr_expect_eq(ntohs((uint16_t)service.s_port), 8080);
    cr_expect_eq(by_name("User", NULL, sizeof buffer), NSS_STATUS_SUCCESS);
    cr_expect_eq(by_name("user.service.etcd", NULL, sizeof buffer), NSS_STATUS_SUCCESS);
    cr_expect_eq(by_name("user.shop", NULL, sizeof buffer), NSS_STATUS_SUCCESS);
    cr_expect_eq(ntohs((uint16_t)service.s_port), 9090);
}

Test(services, what_has_no_single_port_is_not_found)
{
    static const char *const names[] = { "mixed", "none", "nosuch", "", "shop", "http" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cr_expect_eq(by_name(names[i], NULL, sizeof buffer), NSS_STATUS_NOTFOUND, "%s", names[i]);
        cr_expect_eq(error, ENOENT);
    }
    cr_expect_eq(by_name("user", "udp", sizeof buffer), NSS_STATUS_NOTFOUND);
}

Test(services, by_port)
{
    cr_assert_eq(
        _nss_etcdsd_getservbyport_r(htons(9090), "tcp", &service, buffer, sizeof buffer, &error),
        NSS_STATUS_SUCCESS);
    cr_expect_str_eq(service.s_name, "user.shop");
    cr_expect_eq(
        _nss_etcdsd_getservbyport_r(htons(2), NULL, &service, buffer, sizeof buffer, &error),
        NSS_STATUS_NOTFOUND);
    cr_expect_eq(
        _nss_etcdsd_getservbyport_r(htons(9090), "udp", &service, buffer, sizeof buffer, &error),
        NSS_STATUS_NOTFOUND);
    cr_expect_eq(_nss_etcdsd_getservbyport_r(0, NULL, &service, buffer, sizeof buffer, &error),
                 NSS_STATUS_NOTFOUND);
}

Test(services, every_size_of_buffer)
{
    size_t works = 0;

    for (size_t size = 0; size < 200; size++) {
        enum nss_status status = by_name("user", NULL, size);

        if (status == NSS_STATUS_SUCCESS) {
            works = works ? works : size;
            continue;
        }
        cr_assert_eq(works, 0);
        cr_assert_eq(status, NSS_STATUS_TRYAGAIN);
        cr_assert_eq(error, ERANGE);
    }
    cr_expect_gt(works, 0);
}

Test(services, enumeration_lists_those_with_a_port)
{
    int entries = 0;

    _nss_etcdsd_setservent(0);
    while (_nss_etcdsd_getservent_r(&service, buffer, sizeof buffer, &error) == NSS_STATUS_SUCCESS)
        entries++;
    cr_expect_eq(entries, 2);
    cr_expect_eq(error, ENOENT);
    _nss_etcdsd_endservent();
}

Test(services, without_a_table_others_are_asked)
{
    setenv("ETCDSD_TABLE", "/nonexistent/table.v1", 1);
    cr_expect_eq(by_name("user", NULL, sizeof buffer), NSS_STATUS_UNAVAIL);
}
