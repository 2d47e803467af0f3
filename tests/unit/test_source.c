/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What may be at the table's path, and what may become of a table that is
 * mapped: never a wrong answer, never a miss of what is there.
 *
 * The writer's sources are compiled in, to make new files at will and to set
 * single words of the header.
 */
#include "../../libsd/table/writer.c"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "../../nss/module/answer.h"
#include "attack_help.h"
#include "source.h"
#include "table_help.h"

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

TestSuite(source, .init = begin, .fini = end, .timeout = 30);

static int ask(const char *name)
{
    return ask_through(_nss_etcdsd_gethostbyname2_r, name);
}

static void publish_user(void)
{
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80");
    cr_assert_eq(table_writer_publish(f.writer), 0);
}

static void header_set(enum table_header_word word, int64_t value)
{
    word_put(header(f.writer) + word, (uint64_t)value);
}

/* As if the writer were silent for long, and the last look a second ago. */
static void look_again(void)
{
    header_set(TABLE_H_HEARTBEAT, table_now() - 100);
    table_file.looked_at = 0;
}

/* ---- the path ---------------------------------------------------------- */

static char good[1 << 20]; /* the bytes of a good table */
static size_t good_size;

static void good_read(void)
{
    int fd = open(f.path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, good, sizeof good);

    close(fd);
    cr_assert(size > TABLE_HEADER_BYTES && (size_t)size < sizeof good);
    good_size = (size_t)size;
}

/* Puts a file there that was complete before it had the name. */
static void place(const void *bytes, size_t size, mode_t mode)
{
    char temporary[96];
    int fd;

    snprintf(temporary, sizeof temporary, "%s.test", f.path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    fchmod(fd, mode);
    close(fd);
    cr_assert_eq(rename(temporary, f.path), 0);
}

/* A good table but for one word of its header. */
static void place_with(enum table_header_word word, uint64_t value)
{
    static _Alignas(8) char bytes[sizeof good];

    memcpy(bytes, good, good_size);
    memcpy(bytes + word * sizeof value, &value, sizeof value);
    place(bytes, good_size, 0644);
}

static char beside[96]; /* another name in the same directory */

static void missing(void)
{
}

static void fifo(void)
{
    cr_assert_eq(mkfifo(f.path, 0644), 0);
}

static void directory(void)
{
    cr_assert_eq(mkdir(f.path, 0755), 0);
}

static void symlink_to_a_good_table(void)
{
    place(good, good_size, 0644);
    cr_assert_eq(rename(f.path, beside), 0);
    cr_assert_eq(symlink(beside, f.path), 0);
}

static void dangling_symlink(void)
{
    cr_assert_eq(symlink("/nonexistent/table.v1", f.path), 0);
}

static void unix_socket(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, f.path, sizeof f.path);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void empty(void)
{
    place("", 0, 0644);
}

static void shorter_than_a_header(void)
{
    place(good, TABLE_HEADER_BYTES - 1, 0644);
}

static void nothing_but_a_header(void)
{
    place(good, TABLE_HEADER_BYTES, 0644);
}

static void shorter_than_it_says(void)
{
    place(good, good_size - 8, 0644);
}

static void foreign_magic(void)
{
    place_with(TABLE_H_MAGIC, TABLE_MAGIC + 1);
}

static void another_layout(void)
{
    place_with(TABLE_H_LAYOUT, (uint64_t)TABLE_HEADER_BYTES << 32 | (TABLE_LAYOUT + 1));
}

static void unfinished(void)
{
    place_with(TABLE_H_LAYOUT, 0);
}

static void no_generation(void)
{
    place_with(TABLE_H_GENERATION, 0);
}

static void writable_by_the_world(void)
{
    place(good, good_size, 0666);
}

static void writable_by_a_group(void)
{
    place(good, good_size, 0664);
}

static void random_from(size_t first)
{
    static char bytes[sizeof good];

    memcpy(bytes, good, good_size);
    for (size_t at = first; at < good_size; at += 256)
        cr_assert_gt(getrandom(bytes + at, good_size - at < 256 ? good_size - at : 256, 0), 0);
    place(bytes, good_size, 0644);
}

static void random_bytes(void)
{
    random_from(0);
}

static const struct bad {
    const char *what;
    void (*make)(void);
} bads[] = {
    { "missing", missing },
    { "FIFO", fifo },
    { "directory", directory },
    { "symlink to a good table", symlink_to_a_good_table },
    { "dangling symlink", dangling_symlink },
    { "socket", unix_socket },
    { "empty", empty },
    { "shorter than a header", shorter_than_a_header },
    { "nothing but a header", nothing_but_a_header },
    { "shorter than it says", shorter_than_it_says },
    { "foreign magic", foreign_magic },
    { "another layout", another_layout },
    { "unfinished", unfinished },
    { "no generation", no_generation },
    { "writable by the world", writable_by_the_world },
    { "writable by a group", writable_by_a_group },
    { "random bytes", random_bytes },
};

#define BADS (sizeof bads / sizeof *bads)

static void make_bad(const struct bad *bad)
{
    snprintf(beside, sizeof beside, "%s/beside", f.directory);
    if (remove(f.path) != 0)
        cr_assert_eq(errno, ENOENT);
    bad->make();
}

Test(source, what_is_no_table_is_a_temporary_failure_and_a_good_one_mends_it)
{
    int open_before = descriptors();

    publish_user();
    open_before++; /* the writer's */
    good_read();
    for (size_t i = 0; i < BADS; i++) {
        struct table_source source = { .path = f.path };
        struct table_view view;

        make_bad(&bads[i]);
        table_file.looked_at = 0;
        cr_expect_not(table_source_view(&source, &view), "%s", bads[i].what);
        cr_expect_not(table_source_map(&source, &view), "%s", bads[i].what);
        cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN, "%s", bads[i].what);
        cr_expect_eq(ask("www.example.com"), ASK_FOREIGN, "%s", bads[i].what);
    }
    remove(beside);
    place(good, good_size, 0644);
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN, "it looks once a second");
    table_file.looked_at = 0;
    cr_expect_eq(ask("user.service.etcd"), 1);
    cr_expect_leq(descriptors(), open_before);
}

Test(source, what_is_no_table_leaves_the_old_answers)
{
    publish_user();
    good_read();
    cr_assert_eq(ask("user.service.etcd"), 1);
    for (size_t i = 0; i < BADS; i++) {
        make_bad(&bads[i]);
        look_again();
        cr_expect_eq(ask("user.service.etcd"), 1, "%s", bads[i].what);
        cr_expect_eq(ask("nosuch.service.etcd"), ASK_UNKNOWN, "%s", bads[i].what);
        cr_expect_eq(ask("www.example.com"), ASK_FOREIGN, "%s", bads[i].what);
    }
    remove(beside);
}

Test(source, a_good_header_before_random_bytes_gives_no_answer)
{
    publish_user();
    good_read();
    for (int i = 0; i < 50; i++) {
        random_from(TABLE_HEADER_BYTES);
        look_again();
        memset(&table_file, 0, sizeof table_file);
        cr_assert_eq(ask("user.service.etcd"), ASK_AGAIN);
        cr_assert_eq(ask("a.user.service.etcd"), ASK_AGAIN);
        cr_assert_eq(ask("www.example.com"), ASK_FOREIGN);
    }
}

/* ---- files that follow each other -------------------------------------- */

Test(source, removed_and_recreated)
{
    publish_user();
    cr_assert_eq(ask("user.service.etcd"), 1);
    unlink(f.path);
    look_again();
    cr_expect_eq(ask("user.service.etcd"), 1);
    cr_assert_eq(table_writer_heartbeat(f.writer), 1, "the writer did not put it back");
    table_put(&f, "user.service.etcd", "a=10.0.0.2:80");
    cr_expect_eq(ask("user.service.etcd"), 2);
}

Test(source, replaced_by_another_writers_table)
{
    struct table_fixture other;

    publish_user();
    cr_assert_eq(ask("user.service.etcd"), 1);
    table_begin(&other);
    table_put(&other, "user.service.etcd", "a=10.0.0.2:80");
    table_writer_publish(other.writer);
    cr_assert_eq(rename(other.path, f.path), 0);
    cr_expect_eq(ask("user.service.etcd"), 1, "the old one's writer lives");
    look_again();
    cr_expect_eq(ask("user.service.etcd"), 2);
    cr_expect_eq(ask("nosuch.service.etcd"), ASK_UNKNOWN);
    table_end(&other);
}

/* As if the superseded files were old. */
static void punch(void)
{
    for (struct retired *retired = f.writer->retired; retired != NULL; retired = retired->next)
        retired->since -= 2 * RETIRE_AFTER_S;
    retired_reap(f.writer, false);
}

/* A process that can't reach the newer file (its root is another one now, it
 * may open nothing any more) knows that its table is outdated. */
static void supersede_out_of_reach(bool is_punched)
{
    publish_user();
    cr_assert_eq(ask("user.service.etcd"), 1);
    cr_assert_eq(replace_file(f.writer, 0), 0);
    table_put(&f, "new.service.etcd", "a=10.0.0.3:80");
    unlink(f.path);
    if (is_punched)
        punch();
}

Test(source, superseded_and_out_of_reach_still_answers_but_denies_nothing)
{
    supersede_out_of_reach(false);
    cr_expect_eq(ask("user.service.etcd"), 1);
    cr_expect_eq(ask("new.service.etcd"), ASK_AGAIN);
}

Test(source, a_punched_file_gives_no_answer_of_ours)
{
    supersede_out_of_reach(true);
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN);
    cr_expect_eq(ask("a.user.service.etcd"), ASK_AGAIN);
    cr_expect_eq(ask("new.service.etcd"), ASK_AGAIN);
    table_writer_heartbeat(f.writer);
    cr_expect_eq(ask("user.service.etcd"), ASK_AGAIN, "it looks once a second");
    table_file.looked_at = 0;
    cr_expect_eq(ask("user.service.etcd"), 1);
    cr_expect_eq(ask("new.service.etcd"), 3);
}

/* Else the process is cut off from DNS for the rest of its life. */
Test(source, superseded_and_out_of_reach_does_not_keep_foreign_questions)
{
    struct in_addr address = { htonl(0x08080808) };
    struct hostent host;
    struct servent service;
    char buffer[512];
    int error, h_error;

    supersede_out_of_reach(false);
    cr_expect_eq(ask("www.example.com"), ASK_FOREIGN);
    cr_expect_eq(_nss_etcdsd_gethostbyaddr_r(&address, 4, AF_INET, &host, buffer, sizeof buffer,
                                             &error, &h_error),
                 NSS_STATUS_UNAVAIL);
    cr_expect_neq(
        _nss_etcdsd_getservbyname_r("http", "tcp", &service, buffer, sizeof buffer, &error),
        NSS_STATUS_TRYAGAIN);
}

Test(source, an_enumeration_is_whole_or_fails)
{
    enum nss_status status = NSS_STATUS_SUCCESS;
    struct hostent host;
    char buffer[512], name[32];
    int error, h_error, seen = 0;

    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "s%d.service.etcd", i);
        table_put(&f, name, "a=10.0.0.1:80");
    }
    table_writer_publish(f.writer);
    _nss_etcdsd_sethostent(0);
    while (status == NSS_STATUS_SUCCESS) {
        status = _nss_etcdsd_gethostent_r(&host, buffer, sizeof buffer, &error, &h_error);
        seen += status == NSS_STATUS_SUCCESS;
        if (seen == 20) { /* the table grows, and the watcher ends */
            replace_file(f.writer, 0);
            retired_reap(f.writer, true);
        }
    }
    _nss_etcdsd_endhostent();
    cr_expect(status == NSS_STATUS_TRYAGAIN || seen == 40, "it ended well after %d of 40", seen);
}

/* ---- a reader stopped in the middle ------------------------------------ */

/* Makes new files and looks, until a newer one is where `words` is. */
static void reuse_window(struct table_source *source, const table_word *words)
{
    struct table_view view;

    for (int i = 0; i < 2 * TABLE_WINDOWS; i++) {
        cr_assert_eq(replace_file(f.writer, 0), 0);
        cr_assert(table_source_view(source, &view));
        if (view.words == words)
            return;
    }
    cr_assert_fail("no window is used again");
}

Test(source, a_miss_in_a_window_that_was_used_again_is_not_believed)
{
    static struct table_source source;
    struct table_view view;

    source.path = f.path;
    publish_user();
    cr_assert(table_source_view(&source, &view));
    cr_expect(table_view_holds(&view));
    table_writer_remove(f.writer, "user.service.etcd", 17);
    reuse_window(&source, view.words);
    cr_expect_str_eq(table_ask(&view, "user.service.etcd"), "miss");
    cr_expect_not(table_view_holds(&view));
}

/* Half of an answer copied from each of two files: the sequence has to tell,
 * so it must not begin anew in each file. */
Test(source, a_record_in_a_window_that_was_used_again_is_not_whole)
{
    static struct table_source source;
    struct table_record record;
    struct table_view view;
    struct table_name name;
    uint32_t before, after;

    source.path = f.path;
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80 b=10.0.0.2:80");
    table_writer_publish(f.writer);
    cr_assert(table_source_view(&source, &view));
    table_name_set(&name, "user.service.etcd", 17);
    cr_assert_eq(table_find(&view, &name, &record), TABLE_FOUND);
    before = table_record_v4(&record, 0);

    table_put(&f, "user.service.etcd", "c=10.0.0.3:80 d=10.0.0.4:80");
    reuse_window(&source, view.words);
    after = table_record_v4(&record, 1);
    cr_expect_not(table_record_is_whole(&record),
                  "10.0.0.%u and 10.0.0.%u are taken for one answer", ntohl(before) & 255,
                  ntohl(after) & 255);
}

/* In a forked child the thread that took the first window does not exist. */
Test(source, a_child_forked_during_the_first_mapping_maps_for_itself)
{
    static struct table_source source = { .first = TABLE_FIRST_TAKEN };
    struct table_view view;

    source.path = f.path;
    publish_user();
    cr_assert(table_source_view(&source, &view));
    cr_expect_str_eq(table_ask(&view, "user.service.etcd"), "10.0.0.1");
    cr_expect_neq(atomic_load(&source.current), &source.windows[0]);
}
