/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How old an answer may be (max-stale), and what a lookup leaves alone: errno.
 */
#include "../../libsd/table/writer.c"

#include <criterion/criterion.h>

#include "../../nss/module/answer.h"
#include "attack_help.h"
#include "source.h"
#include "table_help.h"

enum {
    MAX_STALE = 60
};

static struct table_fixture f;

static void begin(void)
{
    table_begin(&f);
    setenv("ETCDSD_TABLE", f.path, 1);
}

static void end(void)
{
    table_end(&f);
}

TestSuite(stale, .init = begin, .fini = end, .timeout = 30);

static int ask(const char *name)
{
    table_file.looked_at = 0;
    return ask_through(_nss_etcdsd_gethostbyname2_r, name);
}

static void publish_user(uint32_t max_stale)
{
    table_writer_close(f.writer);
    table_reopen(&f, NULL, max_stale);
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80");
    cr_assert_eq(table_writer_publish(f.writer), 0);
    cr_assert_eq(ask("user.service.etcd"), 1);
}

/* Seconds from now on. */
static void set_time(enum table_header_word word, int64_t seconds)
{
    word_put(header(f.writer) + word, (uint64_t)(table_now() + seconds));
}

static void set_boot(uint64_t id)
{
    word_put(header(f.writer) + TABLE_H_BOOT_ID, id);
    word_put(header(f.writer) + TABLE_H_BOOT_ID_2, id);
}

Test(stale, content_older_than_allowed_is_no_answer_and_no_denial)
{
    publish_user(MAX_STALE);
    set_time(TABLE_H_TRUE_AT, -MAX_STALE + 3);
    cr_expect_eq(ask("user.service.etcd"), 1);
    cr_expect_eq(ask("nosuch.service.etcd"), ASK_UNKNOWN);
    set_time(TABLE_H_TRUE_AT, -MAX_STALE - 3);
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN);
    cr_expect_eq(ask("nosuch.service.etcd"), ASK_AGAIN);
    cr_expect_eq(ask("www.example.com"), ASK_FOREIGN);
    table_writer_set_state(f.writer, TABLE_LIVE);
    cr_expect_eq(ask("user.service.etcd"), 1, "etcd is back");
}

Test(stale, a_disconnected_writer_does_not_make_it_younger)
{
    publish_user(MAX_STALE);
    table_writer_set_state(f.writer, TABLE_DISCONNECTED);
    set_time(TABLE_H_TRUE_AT, -MAX_STALE - 3);
    table_writer_heartbeat(f.writer);
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN);
    table_writer_set_state(f.writer, TABLE_LIVE);
    cr_expect_eq(ask("user.service.etcd"), 1);
}

Test(stale, a_writer_that_is_gone_is_the_same_case)
{
    publish_user(MAX_STALE);
    set_time(TABLE_H_HEARTBEAT, -MAX_STALE + 10);
    set_time(TABLE_H_TRUE_AT, -MAX_STALE + 10);
    cr_expect_eq(ask("user.service.etcd"), 1);
    set_time(TABLE_H_HEARTBEAT, -MAX_STALE - 10);
    set_time(TABLE_H_TRUE_AT, -MAX_STALE - 10);
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN);
}

Test(stale, seconds_of_another_boot_say_nothing_about_age)
{
    publish_user(MAX_STALE);
    set_boot(42);
    set_time(TABLE_H_HEARTBEAT, -20); /* by chance; nobody beats any more */
    set_time(TABLE_H_TRUE_AT, -20);
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN);
    set_time(TABLE_H_HEARTBEAT, 1000); /* the host was up for longer then */
    set_time(TABLE_H_TRUE_AT, 1000);
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN);
}

Test(stale, a_heartbeat_in_the_future_is_not_fresh)
{
    static struct table_source source;
    struct table_view view;
    uint64_t looked_at;

    source.path = f.path;
    publish_user(0);
    cr_assert(table_source_view(&source, &view));
    looked_at = source.looked_at;
    cr_assert(table_source_view(&source, &view));
    cr_assert_eq(source.looked_at, looked_at, "it looked, though the table is fresh");
    set_time(TABLE_H_HEARTBEAT, 1000);
    cr_expect(table_source_view(&source, &view));
    cr_expect_neq(source.looked_at, looked_at, "it did not look for a newer file");
    set_time(TABLE_H_HEARTBEAT, INT64_MAX / 2);
    cr_expect_eq(ask("user.service.etcd"), 1);
}

Test(stale, without_a_limit_the_table_answers_for_ever)
{
    publish_user(0);
    set_boot(42);
    set_time(TABLE_H_HEARTBEAT, -1000000);
    word_put(header(f.writer) + TABLE_H_TRUE_AT, (uint64_t)(INT64_MIN / 2));
    cr_expect_eq(ask("user.service.etcd"), 1);
    cr_expect_eq(ask("nosuch.service.etcd"), ASK_UNKNOWN);
}

/* A watcher that starts after a reboot beats, but knows nothing yet. */
Test(stale, adopting_a_table_of_another_boot_does_not_make_it_young)
{
    publish_user(MAX_STALE);
    set_boot(42);
    table_writer_close(f.writer);
    table_reopen(&f, NULL, MAX_STALE);
    cr_assert(table_writer_is_published(f.writer), "not adopted");
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN);
    table_writer_heartbeat(f.writer);
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN);
    table_writer_publish(f.writer);
    cr_expect_eq(ask("user.service.etcd"), 1);
}

/* ---- errno ------------------------------------------------------------- */

static struct in_addr known, unknown;

static void call_all(const char *name, size_t size)
{
    struct gaih_addrtuple *pat = NULL;
    struct hostent host;
    struct servent service;
    char buffer[512], *canonical;
    int error, h_error;
    int32_t ttl;

    _nss_etcdsd_gethostbyname4_r(name, &pat, buffer, size, &error, &h_error, &ttl);
    _nss_etcdsd_gethostbyname3_r(name, AF_INET6, &host, buffer, size, &error, &h_error, &ttl,
                                 &canonical);
    _nss_etcdsd_gethostbyname2_r(name, AF_INET, &host, buffer, size, &error, &h_error);
    _nss_etcdsd_gethostbyname_r(name, &host, buffer, size, &error, &h_error);
    _nss_etcdsd_gethostbyaddr2_r(&known, 4, AF_INET, &host, buffer, size, &error, &h_error, &ttl);
    _nss_etcdsd_gethostbyaddr_r(&unknown, 4, AF_INET, &host, buffer, size, &error, &h_error);
    _nss_etcdsd_getservbyname_r(name, "tcp", &service, buffer, size, &error);
    _nss_etcdsd_getservbyport_r(htons(80), NULL, &service, buffer, size, &error);
    _nss_etcdsd_sethostent(0);
    _nss_etcdsd_gethostent_r(&host, buffer, size, &error, &h_error);
    _nss_etcdsd_endhostent();
    _nss_etcdsd_setservent(0);
    _nss_etcdsd_getservent_r(&service, buffer, size, &error);
    _nss_etcdsd_endservent();
}

static void expect_errno_stays(const char *when)
{
    static const char *const names[] = { "user.service.etcd", "a.user.service.etcd",
                                         "nosuch.service.etcd", "www.example.com", "" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t size = 0; size <= 512; size += 512) {
            table_file.looked_at = 0;
            errno = EXDEV;
            call_all(names[i], size);
            cr_expect_eq(errno, EXDEV, "%s, '%s': errno is %d", when, names[i], errno);
        }
}

Test(stale, errno_is_as_it_was_after_every_call)
{
    known.s_addr = htonl(0x0a000001);
    unknown.s_addr = htonl(0x0a0000ff);
    expect_errno_stays("no table");
    publish_user(MAX_STALE);
    expect_errno_stays("first and warm");
    set_time(TABLE_H_HEARTBEAT, -20);
    expect_errno_stays("not fresh");
    unlink(f.path);
    expect_errno_stays("file gone");
    table_writer_heartbeat(f.writer);
    expect_errno_stays("file replaced");
    set_time(TABLE_H_TRUE_AT, -1000);
    expect_errno_stays("too old");
    set_boot(42);
    set_time(TABLE_H_HEARTBEAT, -20);
    expect_errno_stays("of another boot");
}
