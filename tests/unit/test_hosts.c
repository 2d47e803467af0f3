/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The module's entry points for hosts, called as glibc calls them: every
 * status, every size of buffer, every alignment.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../nss/module/answer.h"
#include "../../nss/module/hosts.h"
#include "table_help.h"

static struct table_fixture f;
static _Alignas(16) char buffer[4096];
static struct hostent host;
static int error, h_error;

static void begin(void)
{
    table_begin(&f);
    setenv("ETCDSD_TABLE", f.path, 1);
}

static void end(void)
{
    table_end(&f);
}

TestSuite(hosts, .init = begin, .fini = end);

static void put_and_publish(void)
{
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80 b=10.0.0.2:80 c=10.0.0.3:80");
    table_put(&f, "six.service.etcd", "a=[2001:db8::1]:80 b=[2001:db8::2]:80");
    table_put(&f, "both.service.etcd", "a=10.0.0.9:80 b=[2001:db8::9]:80");
    cr_assert_eq(table_writer_publish(f.writer), 0);
}

static enum nss_status by_name(const char *name, int family, size_t size)
{
    error = h_error = -1;
    memset(&host, 0, sizeof host);
    return _nss_etcdsd_gethostbyname2_r(name, family, &host, buffer, size, &error, &h_error);
}

static enum nss_status tuples(const char *name, struct gaih_addrtuple **pat, size_t size)
{
    int32_t ttl = 77;
    enum nss_status status;

    error = h_error = -1;
    status = _nss_etcdsd_gethostbyname4_r(name, pat, buffer, size, &error, &h_error, &ttl);
    cr_expect_eq(ttl, 0);
    return status;
}

/* The addresses of `host`, in text and sorted, for what rotates. */
static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static const char *addresses(void)
{
    static char result[64 * INET6_ADDRSTRLEN], texts[63][INET6_ADDRSTRLEN];
    size_t count = 0;

    for (; host.h_addr_list[count] != NULL; count++)
        inet_ntop(host.h_addrtype, host.h_addr_list[count], texts[count], sizeof texts[count]);
    qsort(texts, count, sizeof texts[0], compare);
    result[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(result, i ? " " : "");
        strcat(result, texts[i]);
    }
    return result;
}

Test(hosts, found)
{
    put_and_publish();
    cr_assert_eq(by_name("User.service.etcd.", AF_INET, sizeof buffer), NSS_STATUS_SUCCESS);
    cr_expect_eq(h_error, NETDB_SUCCESS);
    cr_expect_str_eq(host.h_name, "user.service.etcd");
    cr_expect_null(host.h_aliases[0]);
    cr_expect_eq(host.h_length, 4);
    cr_expect_str_eq(addresses(), "10.0.0.1 10.0.0.2 10.0.0.3");
    cr_assert_eq(by_name("b.user.service.etcd", AF_INET, sizeof buffer), NSS_STATUS_SUCCESS);
    cr_expect_str_eq(host.h_name, "b.user.service.etcd");
    cr_expect_str_eq(addresses(), "10.0.0.2");
    cr_assert_eq(by_name("six.service.etcd", AF_INET6, sizeof buffer), NSS_STATUS_SUCCESS);
    cr_expect_eq(host.h_length, 16);
    cr_expect_str_eq(addresses(), "2001:db8::1 2001:db8::2");
}

#define expect_status(call, status, e, h) \
    do {                                  \
        cr_expect_eq(call, status);       \
        cr_expect_eq(error, e);           \
        cr_expect_eq(h_error, h);         \
    } while (0)

Test(hosts, each_status_has_its_errno_and_h_errno)
{
    static char long_name[300];
    struct gaih_addrtuple *pat = NULL;

    memset(long_name, 'x', 280);
    strcpy(long_name + 280, ".service.etcd");
    /* No table: ours is a temporary failure, others are not ours. */
    expect_status(by_name("user.service.etcd", AF_INET, sizeof buffer), NSS_STATUS_TRYAGAIN, EAGAIN,
                  TRY_AGAIN);
    expect_status(by_name("www.example.com", AF_INET, sizeof buffer), NSS_STATUS_UNAVAIL, ENOENT,
                  NO_RECOVERY);
    put_and_publish();
    table_file.looked_at = 0; /* as if a second had passed */

    expect_status(by_name("nosuch.service.etcd", AF_INET, sizeof buffer), NSS_STATUS_NOTFOUND,
                  ENOENT, HOST_NOT_FOUND);
    expect_status(by_name("d.user.service.etcd", AF_INET, sizeof buffer), NSS_STATUS_NOTFOUND,
                  ENOENT, HOST_NOT_FOUND);
    expect_status(by_name("service.etcd", AF_INET, sizeof buffer), NSS_STATUS_NOTFOUND, ENOENT,
                  HOST_NOT_FOUND);
    expect_status(by_name(".service.etcd", AF_INET, sizeof buffer), NSS_STATUS_NOTFOUND, ENOENT,
                  HOST_NOT_FOUND);
    expect_status(by_name(long_name, AF_INET, sizeof buffer), NSS_STATUS_NOTFOUND, ENOENT,
                  HOST_NOT_FOUND);
    expect_status(by_name("six.service.etcd", AF_INET, sizeof buffer), NSS_STATUS_NOTFOUND, ENOENT,
                  NO_DATA);
    expect_status(by_name("user.service.etcd", AF_INET6, sizeof buffer), NSS_STATUS_NOTFOUND,
                  ENOENT, NO_DATA);
    expect_status(by_name("a.user.service.etcd", AF_INET6, sizeof buffer), NSS_STATUS_NOTFOUND,
                  ENOENT, NO_DATA);
    expect_status(by_name("user.service.etcd", AF_INET, 10), NSS_STATUS_TRYAGAIN, ERANGE,
                  NETDB_INTERNAL);
    expect_status(by_name("user.service.etcd.example.com", AF_INET, sizeof buffer),
                  NSS_STATUS_UNAVAIL, ENOENT, NO_RECOVERY);
    expect_status(by_name("", AF_INET, sizeof buffer), NSS_STATUS_UNAVAIL, ENOENT, NO_RECOVERY);
    expect_status(by_name(".", AF_INET, sizeof buffer), NSS_STATUS_UNAVAIL, ENOENT, NO_RECOVERY);
    cr_expect_eq(by_name("user.service.etcd", AF_UNSPEC, sizeof buffer), NSS_STATUS_SUCCESS);
    cr_expect_eq(host.h_addrtype, AF_INET);
    cr_expect_eq(by_name("user.service.etcd", AF_UNIX, sizeof buffer), NSS_STATUS_UNAVAIL);
    cr_expect_eq(error, EAFNOSUPPORT);
    expect_status(tuples("www.example.com", &pat, sizeof buffer), NSS_STATUS_UNAVAIL, ENOENT,
                  NO_RECOVERY);
    expect_status(tuples("nosuch.service.etcd", &pat, sizeof buffer), NSS_STATUS_NOTFOUND, ENOENT,
                  HOST_NOT_FOUND);
    expect_status(tuples("user.service.etcd", &pat, 10), NSS_STATUS_TRYAGAIN, ERANGE,
                  NETDB_INTERNAL);
    cr_expect_null(pat);
}

/* The whole buffer is filled with a pattern before each call: nothing outside
 * [at, at + size) may change, and every pointer returned must lie inside. */
static enum nss_status guarded(int which, const char *name, size_t offset, size_t size)
{
    struct gaih_addrtuple *pat = NULL;
    char *at = buffer + 64 + offset;
    enum nss_status status;

    memset(buffer, 0xa5, sizeof buffer);
    if (which == 4)
        status = _nss_etcdsd_gethostbyname4_r(name, &pat, at, size, &error, &h_error, NULL);
    else
        status = _nss_etcdsd_gethostbyname2_r(name, which == 6 ? AF_INET6 : AF_INET, &host, at,
                                              size, &error, &h_error);
    for (size_t i = 0; i < sizeof buffer; i++)
        if (buffer + i < at || buffer + i >= at + size)
            cr_assert_eq((unsigned char)buffer[i], 0xa5, "byte %zd touched, size %zu",
                         buffer + i - at, size);
    if (status == NSS_STATUS_SUCCESS && which == 4)
        for (; pat != NULL; pat = pat->next)
            cr_assert((char *)pat >= at && (char *)(pat + 1) <= at + size &&
                      pat->name + strlen(pat->name) < at + size &&
                      (uintptr_t)pat % _Alignof(struct gaih_addrtuple) == 0);
    else if (status == NSS_STATUS_SUCCESS)
        for (char **p = host.h_addr_list; *p != NULL; p++)
            cr_assert(*p >= at && *p + host.h_length <= at + size &&
                      (uintptr_t)p % sizeof(char *) == 0);
    return status;
}

Test(hosts, the_smallest_buffer_that_works_works_and_no_byte_outside_is_touched)
{
    static const struct {
        int which;
        const char *name;
    } calls[] = { { 2, "user.service.etcd" },   { 6, "six.service.etcd" },
                  { 2, "b.user.service.etcd" }, { 4, "user.service.etcd" },
                  { 4, "six.service.etcd" },    { 4, "both.service.etcd" } };

    put_and_publish();
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
        for (size_t offset = 0; offset < 16; offset++) {
            size_t works = 0;

            for (size_t size = 0; size < 400; size++) {
                enum nss_status status = guarded(calls[c].which, calls[c].name, offset, size);

                if (status == NSS_STATUS_SUCCESS) {
                    works = works ? works : size;
                    continue;
                }
                cr_assert_eq(works, 0, "%zu works, %zu does not", works, size);
                cr_assert_eq(status, NSS_STATUS_TRYAGAIN);
                cr_assert_eq(error, ERANGE);
                cr_assert_eq(h_error, NETDB_INTERNAL);
            }
            cr_expect(works > 0 && works < 250, "%zu", works);
        }
}

Test(hosts, a_missing_buffer_is_too_small_a_buffer)
{
    put_and_publish();
    cr_expect_eq(_nss_etcdsd_gethostbyname2_r("user.service.etcd", AF_INET, &host, NULL, 0, &error,
                                              &h_error),
                 NSS_STATUS_TRYAGAIN);
    cr_expect_eq(error, ERANGE);
}

Test(hosts, tuples_of_both_families_and_a_lent_first_one)
{
    struct gaih_addrtuple lent, *pat = NULL;
    int v4 = 0, v6 = 0;

    put_and_publish();
    cr_assert_eq(tuples("both.service.etcd", &pat, sizeof buffer), NSS_STATUS_SUCCESS);
    for (struct gaih_addrtuple *t = pat; t != NULL; t = t->next) {
        cr_expect_str_eq(t->name, "both.service.etcd");
        cr_expect_eq(t->scopeid, 0);
        v4 += t->family == AF_INET && t->addr[0] == inet_addr("10.0.0.9");
        v6 += t->family == AF_INET6;
    }
    cr_expect_eq(v4, 1);
    cr_expect_eq(v6, 1);

    memset(&lent, 0xff, sizeof lent);
    pat = &lent;
    cr_assert_eq(tuples("both.service.etcd", &pat, sizeof buffer), NSS_STATUS_SUCCESS);
    cr_expect_eq(pat, &lent);
    cr_expect_not_null(lent.next);
    cr_expect_null(lent.next->next);
    pat = &lent;
    cr_expect_eq(tuples("nosuch.service.etcd", &pat, sizeof buffer), NSS_STATUS_NOTFOUND);
    cr_expect_eq(pat, &lent, "what the caller lent stays");
}

Test(hosts, the_canonical_name_is_the_name_in_the_buffer)
{
    char *canonical = NULL;
    int32_t ttl = 9;

    put_and_publish();
    cr_assert_eq(_nss_etcdsd_gethostbyname3_r("USER.SERVICE.ETCD", AF_INET, &host, buffer,
                                              sizeof buffer, &error, &h_error, &ttl, &canonical),
                 NSS_STATUS_SUCCESS);
    cr_expect_str_eq(canonical, "user.service.etcd");
    cr_expect(canonical >= buffer && canonical < buffer + sizeof buffer);
    cr_expect_eq(ttl, 0);
}

/* First addresses of `calls` answers: how often each of 10.0.0.1 to .3. */
static void count_first(int calls, size_t small_first, int hits[4])
{
    for (int i = 0; i < calls; i++) {
        if (small_first)
            by_name("user.service.etcd", AF_INET, small_first);
        cr_assert_eq(by_name("user.service.etcd", AF_INET, sizeof buffer), NSS_STATUS_SUCCESS);
        hits[(unsigned char)host.h_addr_list[0][3] & 3]++;
    }
}

Test(hosts, answers_rotate_evenly_and_on_success_only)
{
    int hits[4] = { 0 }, with_retries[4] = { 0 };

    put_and_publish();
    count_first(3000, 0, hits);
    count_first(3000, 8, with_retries); /* glibc's second try after ERANGE */
    for (int i = 1; i <= 3; i++) {
        cr_expect(hits[i] > 980 && hits[i] < 1020, "%d: %d", i, hits[i]);
        cr_expect(with_retries[i] > 980 && with_retries[i] < 1020, "%d: %d", i, with_retries[i]);
    }
}

Test(hosts, no_more_addresses_than_the_record_allows)
{
    struct table_instance instances[20] = { 0 };
    struct table_service service = {
        .name = "many.service.etcd", .name_length = 17, .instances = instances, .count = 20
    };

    for (int i = 0; i < 20; i++) {
        instances[i].family = 4;
        instances[i].address[0] = 10;
        instances[i].address[3] = (uint8_t)i;
    }
    table_writer_put(f.writer, &service);
    table_writer_publish(f.writer);
    by_name("many.service.etcd", AF_INET, sizeof buffer);
    cr_expect_null(host.h_addr_list[8]);
    cr_expect_not_null(host.h_addr_list[7]);
    service.limit4 = 1;
    table_writer_put(f.writer, &service);
    by_name("many.service.etcd", AF_INET, sizeof buffer);
    cr_expect_null(host.h_addr_list[1]);
    service.limit4 = 255;
    table_writer_put(f.writer, &service);
    by_name("many.service.etcd", AF_INET, sizeof buffer);
    cr_expect_null(host.h_addr_list[20]);
    cr_expect_not_null(host.h_addr_list[19]);
}

Test(hosts, by_address)
{
    struct in6_addr v6;
    struct in_addr v4;

    put_and_publish();
    inet_pton(AF_INET, "10.0.0.2", &v4);
    inet_pton(AF_INET6, "2001:db8::2", &v6);
    cr_assert_eq(_nss_etcdsd_gethostbyaddr_r(&v4, 4, AF_INET, &host, buffer, sizeof buffer, &error,
                                             &h_error),
                 NSS_STATUS_SUCCESS);
    cr_expect_str_eq(host.h_name, "b.user.service.etcd");
    cr_expect_str_eq(addresses(), "10.0.0.2");
    cr_assert_eq(_nss_etcdsd_gethostbyaddr2_r(&v6, 16, AF_INET6, &host, buffer, sizeof buffer,
                                              &error, &h_error, NULL),
                 NSS_STATUS_SUCCESS);
    cr_expect_str_eq(host.h_name, "b.six.service.etcd");
    inet_pton(AF_INET, "10.0.0.77", &v4);
    expect_status(_nss_etcdsd_gethostbyaddr_r(&v4, 4, AF_INET, &host, buffer, sizeof buffer, &error,
                                              &h_error),
                  NSS_STATUS_UNAVAIL, ENOENT, NO_RECOVERY);
    cr_expect_eq(_nss_etcdsd_gethostbyaddr_r(&v4, 3, AF_INET, &host, buffer, sizeof buffer, &error,
                                             &h_error),
                 NSS_STATUS_UNAVAIL);
}

Test(hosts, rule_5_an_address_goes_over_to_the_service_that_keeps_it)
{
    struct in_addr v4 = { inet_addr("10.7.7.7") };
    static const char *const states[][3] = {
        /* service a, service b, name of 10.7.7.7 */
        { "i=10.7.7.7", "i=10.7.7.7", "i.a.service.etcd" },
        { "i=10.7.7.8", "i=10.7.7.7", "i.b.service.etcd" },
        { "i=10.7.7.7", "i=10.7.7.7", "i.b.service.etcd" },
        { "i=10.7.7.7", "i=10.7.7.9", "i.a.service.etcd" },
        { "i=10.7.7.1", "i=10.7.7.9", NULL },
        { "i=10.7.7.1", "x=10.7.7.7", "x.b.service.etcd" },
    };

    table_writer_publish(f.writer);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        enum nss_status status;

        table_put(&f, "a.service.etcd", states[i][0]);
        table_put(&f, "b.service.etcd", states[i][1]);
        status = _nss_etcdsd_gethostbyaddr_r(&v4, 4, AF_INET, &host, buffer, sizeof buffer, &error,
                                             &h_error);
        if (states[i][2] == NULL) {
            cr_expect_eq(status, NSS_STATUS_UNAVAIL);
        } else {
            cr_assert_eq(status, NSS_STATUS_SUCCESS, "%zu", i);
            cr_expect_str_eq(host.h_name, states[i][2]);
        }
    }
}

Test(hosts, enumeration_lists_each_instance_once)
{
    int entries = 0, aliased = 0;

    put_and_publish();
    cr_expect_eq(_nss_etcdsd_sethostent(0), NSS_STATUS_SUCCESS);
    for (;;) {
        enum nss_status status =
            _nss_etcdsd_gethostent_r(&host, buffer, 3, &error, &h_error); /* too small */

        if (status != NSS_STATUS_TRYAGAIN) {
            cr_expect_eq(status, NSS_STATUS_NOTFOUND);
            break;
        }
        cr_assert_eq(error, ERANGE);
        cr_assert_eq(_nss_etcdsd_gethostent_r(&host, buffer, sizeof buffer, &error, &h_error),
                     NSS_STATUS_SUCCESS);
        entries++;
        aliased += host.h_aliases[0] != NULL && strstr(host.h_name, host.h_aliases[0]) != NULL;
    }
    cr_expect_eq(entries, 7);
    cr_expect_eq(aliased, 7);
    cr_expect_eq(_nss_etcdsd_endhostent(), NSS_STATUS_SUCCESS);
    cr_expect_eq(_nss_etcdsd_gethostent_r(&host, buffer, sizeof buffer, &error, &h_error),
                 NSS_STATUS_SUCCESS, "begins anew");
}

Test(hosts, a_forked_worker_rotates_on_its_own)
{
    struct table_local *local;

    put_and_publish();
    by_name("user.service.etcd", AF_INET, sizeof buffer);
    local = atomic_load(&table_file.local);
    cr_assert_not_null(local);
    local->claims[3] = 1; /* as if another thread were just mapping a file */
    if (fork() == 0) {
        int positions = 0;

        for (int i = 0; i < TABLE_LANES; i++)
            positions += table_load(&local->lanes[i].position) != 0;
        _exit(positions == 0 && local->claims[3] == 0 ? 0 : 1);
    }
    {
        int status = -1;

        wait(&status);
        cr_expect_eq(status, 0, "what is private to the parent is wiped in the child");
    }
}
