/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Minor versions of the table, both ways: an older watcher's file under this
 * reader and this writer, a newer one's under both.  And what minor version 1
 * brought: zones that are not ready.
 *
 * tests/fixtures/tables/minor-0 was written by the last release before there
 * was another one, on a little-endian host.
 */
#include "../../libsd/table/writer.c"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "../../nss/module/answer.h"
#include "attack_help.h"
#include "table_help.h"

#define OLD_TABLE "tests/fixtures/tables/minor-0"

static const char *const domains[] = { "service.etcd", "in.example", NULL };
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

TestSuite(version, .init = begin, .fini = end, .timeout = 30);

static int ask(const char *name)
{
    table_file.looked_at = 0;
    return ask_through(_nss_etcdsd_gethostbyname2_r, name);
}

/* Puts bytes where the table is, as another watcher would have. */
static void place(const void *bytes, size_t size)
{
    int fd;

    table_writer_close(f.writer);
    f.writer = NULL;
    unlink(f.path);
    fd = open(f.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    cr_assert_eq(fchmod(fd, 0644), 0);
    close(fd);
}

static size_t load(const char *path, uint64_t *words, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, words, size) : -1;

    cr_assert_gt(length, TABLE_HEADER_BYTES, "%s", path);
    close(fd);
    return (size_t)length;
}

static bool is_foreign_host(void)
{
    return __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__;
}

static void place_old(void)
{
    static uint64_t words[1 << 13];
    size_t size = load(OLD_TABLE, words, sizeof words);

    cr_assert_eq(table_layout_minor(words[TABLE_H_LAYOUT]), 0);
    place(words, size);
}

static void expect_old_content(void)
{
    const int first = ask("user.service.etcd");

    cr_expect(first == 1 || first == 2);
    cr_expect_eq(ask("b.user.service.etcd"), 2);
    cr_expect_eq(ask("cart.shop.in.example"), 9);
    cr_expect_eq(ask("nosuch.service.etcd"), ASK_UNKNOWN);
    cr_expect_eq(ask("nosuch.in.example"), ASK_UNKNOWN);
    cr_expect_eq(ask("www.example.com"), ASK_FOREIGN);
}

Test(version, reader_reads_an_older_minor_version)
{
    if (is_foreign_host())
        skip(table_reopen(&f, NULL, 0), "the table is of a little-endian host");
    place_old();
    expect_old_content();
}

Test(version, writer_adopts_an_older_minor_version_and_makes_it_its_own)
{
    if (is_foreign_host())
        skip(table_reopen(&f, NULL, 0), "the table is of a little-endian host");
    place_old();
    expect_old_content();
    table_reopen(&f, domains, 0);
    cr_assert(table_writer_is_published(f.writer), "not adopted");
    cr_expect_eq(table_layout_minor(word_get(header(f.writer) + TABLE_H_LAYOUT)), TABLE_MINOR);
    cr_expect_eq(word_get(header(f.writer) + TABLE_H_REVISION), 1234);
    cr_expect_eq(table_writer_unready(f.writer), 0);
    expect_old_content();
    table_put(&f, "user.service.etcd", "a=10.0.0.5:80");
    cr_expect_eq(ask("user.service.etcd"), 5, "in the file that was mapped before");
}

/* A table as a later minor version may have it: all bits set that have no meaning. */
static void place_newer(void)
{
    static uint64_t words[1 << 13];
    size_t size;

    table_put(&f, "user.service.etcd", "a=10.0.0.1:80");
    cr_assert_eq(table_writer_publish(f.writer), 0);
    size = load(f.path, words, sizeof words);
    words[TABLE_H_LAYOUT] += UINT64_C(7) << 48;
    for (int i = TABLE_H_WORDS; i < TABLE_H_TAILS; i++)
        words[i] = UINT64_MAX;
    for (int i = TABLE_H_TAILS + TABLE_MAX_ZONES; i < TABLE_ZONES_AT / 8; i++)
        words[i] = UINT64_MAX;
    place(words, size);
}

Test(version, reader_reads_a_newer_minor_version)
{
    place_newer();
    cr_expect_eq(ask("user.service.etcd"), 1);
    cr_expect_eq(ask("nosuch.service.etcd"), ASK_UNKNOWN);
    cr_expect_eq(ask("www.example.com"), ASK_FOREIGN);
}

Test(version, writer_leaves_a_newer_minor_version_alone_until_it_has_its_own)
{
    place_newer();
    cr_expect_eq(ask("user.service.etcd"), 1);
    table_reopen(&f, NULL, 0);
    cr_expect_not(table_writer_is_published(f.writer), "adopted, though it can't know all of it");
    cr_expect_eq(ask("user.service.etcd"), 1);
    table_put(&f, "user.service.etcd", "a=10.0.0.6:80");
    cr_expect_eq(ask("user.service.etcd"), 1);
    cr_assert_eq(table_writer_publish(f.writer), 0);
    memset(&table_file, 0, sizeof table_file);
    cr_expect_eq(ask("user.service.etcd"), 6);
}

/* ---- zones that are not ready ------------------------------------------ */

static void publish_two(void)
{
    table_writer_close(f.writer);
    table_reopen(&f, domains, 0);
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80");
    cr_assert_eq(table_writer_set_zones(f.writer, domains, 2, 2), 1);
    cr_assert_eq(table_writer_publish(f.writer), 0);
}

Test(version, R7_names_of_a_zone_that_is_not_ready_are_neither_answered_nor_denied)
{
    publish_two();
    cr_expect_eq(ask("user.service.etcd"), 1);
    cr_expect_eq(ask("nosuch.service.etcd"), ASK_UNKNOWN);
    cr_expect_eq(ask("nosuch.in.example"), ASK_AGAIN);
    cr_expect_eq(ask("in.example"), ASK_AGAIN);
    cr_expect_eq(ask("www.example.com"), ASK_FOREIGN);
    table_put(&f, "cart.in.example", "a=10.0.0.9:80");
    cr_expect_eq(ask("cart.in.example"), ASK_AGAIN);
    cr_expect_eq(table_writer_set_zones(f.writer, domains, 2, 0), 1);
    cr_expect_eq(ask("cart.in.example"), 9);
    cr_expect_eq(ask("nosuch.in.example"), ASK_UNKNOWN);
}

/* Whoever missed before must not find the zone ready afterwards. */
Test(version, R7_a_zone_gets_ready_in_a_new_file_only)
{
    static struct table_source source;
    struct table_view view;

    source.path = f.path;
    publish_two();
    cr_assert(table_source_view(&source, &view));
    cr_expect_eq(table_writer_set_zones(f.writer, domains, 2, 3), 1);
    cr_expect(table_view_holds(&view), "to be unready needs no file");
    cr_expect_not(table_is_ready(&view, "user.service.etcd", 17));
    cr_expect_eq(table_writer_set_zones(f.writer, domains, 2, 3), 0, "it is so already");
    cr_expect_eq(table_writer_set_zones(f.writer, domains, 2, 2), 1);
    cr_expect_not(table_view_holds(&view));
    cr_expect_not(table_is_ready(&view, "user.service.etcd", 17), "the old file says what it said");
}

Test(version, R7_the_next_writer_and_the_next_file_know_it_too)
{
    publish_two();
    cr_assert_eq(unlink(f.path), 0);
    cr_assert_eq(table_writer_heartbeat(f.writer), 1);
    memset(&table_file, 0, sizeof table_file);
    cr_expect_eq(ask("nosuch.in.example"), ASK_AGAIN);
    table_writer_close(f.writer);
    table_reopen(&f, domains, 60);
    cr_assert(table_writer_is_published(f.writer));
    cr_expect_eq(table_writer_unready(f.writer), 2);
    cr_expect_eq(ask("nosuch.in.example"), ASK_AGAIN);
    table_writer_set_limits(f.writer, 30, 0);
    cr_expect_eq(ask("nosuch.in.example"), ASK_AGAIN);
    cr_expect_eq((uint32_t)word_get(header(f.writer) + TABLE_H_MAX_STALE), 30);
}

Test(version, R7_max_stale_holds_for_the_zones_that_are_ready)
{
    publish_two();
    table_writer_set_limits(f.writer, 60, 0);
    cr_expect_eq(ask("user.service.etcd"), 1);
    table_writer_set_state(f.writer, TABLE_DISCONNECTED);
    word_put(header(f.writer) + TABLE_H_TRUE_AT, (uint64_t)(header_now() - 100));
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN);
    table_writer_set_limits(f.writer, 0, 0);
    cr_expect_eq(ask("user.service.etcd"), 1, "for ever");
    cr_expect_eq(ask("nosuch.in.example"), ASK_AGAIN);
}
