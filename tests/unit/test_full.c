/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A file system without room: the table that is there goes on answering, what
 * does not fit is refused, and when there is room all is as it should be.
 * And the one path at which it matters whose the table is.
 *
 * Nearly all of it needs a file system of the test's own, so a mount namespace.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../nss/module/answer.h"
#include "attack_help.h"
#include "table_help.h"

enum {
    ROOM_KB = 128
};

static struct table_fixture f;

/* Criterion's processes have threads, so a user namespace would not do. */
static bool own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static bool mount_tmpfs(const char *at, int kb, unsigned long flags)
{
    char options[40];

    snprintf(options, sizeof options, "mode=0755,size=%dk", kb);
    return mount("tmpfs", at, "tmpfs", flags | MS_NOSUID | MS_NODEV, options) == 0;
}

/* The fixture's directory, with a small file system over it. */
static void begin(void)
{
    if (!own_mounts())
        skip((void)0, "no mount namespace: %s", strerror(errno));
    table_begin(&f);
    table_writer_close(f.writer);
    f.writer = NULL;
    cr_assert(mount_tmpfs(f.directory, ROOM_KB, 0), "%s", strerror(errno));
    table_reopen(&f, NULL, 0);
    setenv("ETCDSD_TABLE", f.path, 1);
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80");
    cr_assert_eq(table_writer_publish(f.writer), 0);
}

static void end(void)
{
    table_writer_close(f.writer);
    f.writer = NULL;
    cr_expect_eq(umount2(f.directory, MNT_DETACH), 0);
    table_end(&f);
}

static int ask(const char *name)
{
    return ask_through(_nss_etcdsd_gethostbyname2_r, name);
}

static int put_numbered(int i)
{
    char name[32], instances[32];

    snprintf(name, sizeof name, "s%d.service.etcd", i);
    snprintf(instances, sizeof instances, "a=10.0.0.%d:80", i % 256);
    return table_put(&f, name, instances);
}

static void expect_numbered(int count)
{
    char name[32];

    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "s%d.service.etcd", i);
        cr_assert_eq(ask(name), i % 256, "%s", name);
    }
    snprintf(name, sizeof name, "s%d.service.etcd", count);
    cr_assert_eq(ask(name), ASK_UNKNOWN);
    cr_assert_eq(ask("user.service.etcd"), 1);
}

/* Puts until one is refused.  Returns how many went in. */
static int fill(void)
{
    int i = 0, rc;

    while ((rc = put_numbered(i)) == 1)
        cr_assert_lt(++i, 100000, "it never is full");
    cr_assert_eq(rc, -ENOSPC, "%s", strerror(-rc));
    return i;
}

/* What is in the directory beside the table and its lock. */
static void expect_nothing_left(void)
{
    char path[96];

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s.new%d", f.path, i);
        cr_expect_neq(access(path, F_OK), 0, "%s is left", path);
    }
}

/* Takes all room there is, as another program's files would. */
static void ballast(const char *path)
{
    static const char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    while (write(fd, block, sizeof block) > 0)
        ;
    cr_assert_eq(errno, ENOSPC);
    close(fd);
}

Test(full, puts_fail_the_old_table_serves_and_with_room_all_is_well)
{
    int count;

    begin();
    count = fill();
    cr_assert_gt(count, 100, "only %d fitted", count);
    for (int tries = 0; tries < 10; tries++) {
        cr_assert_eq(put_numbered(count), -ENOSPC);
        cr_assert_eq(table_writer_heartbeat(f.writer), 0);
        expect_numbered(count);
    }
    expect_nothing_left();
    cr_assert(mount_tmpfs(f.directory, 16 * ROOM_KB, MS_REMOUNT), "%s", strerror(errno));
    for (int i = 0; i < 4; i++, count++)
        cr_assert_eq(put_numbered(count), 1, "no. %d", i);
    expect_numbered(count);
    expect_nothing_left();
    end();
}

Test(full, what_fits_the_file_needs_no_room)
{
    char other[96];

    begin();
    snprintf(other, sizeof other, "%s/ballast", f.directory);
    ballast(other);
    for (int i = 0; i < 5000; i++) {
        cr_assert_eq(table_put(&f, "user.service.etcd", i % 2 ? "a=10.0.0.1:80" : "a=10.0.0.2:80"),
                     1);
        cr_assert_eq(ask("user.service.etcd"), i % 2 ? 1 : 2);
    }
    cr_expect_eq(table_writer_remove(f.writer, "user.service.etcd", 17), 1);
    cr_expect_eq(ask("user.service.etcd"), ASK_UNKNOWN);
    unlink(other);
    end();
}

Test(full, a_file_that_was_taken_away_comes_back_when_there_is_room)
{
    char other[96];

    begin();
    cr_assert_eq(ask("user.service.etcd"), 1);
    snprintf(other, sizeof other, "%s/ballast", f.directory);
    ballast(other);
    unlink(f.path); /* its room is not free while it is mapped */
    cr_expect_eq(table_writer_heartbeat(f.writer), -ENOSPC);
    table_put(&f, "user.service.etcd", "a=10.0.0.2:80");
    cr_expect_eq(ask("user.service.etcd"), 2, "who has it mapped is served");
    expect_nothing_left();
    unlink(other);
    cr_expect_eq(table_writer_heartbeat(f.writer), 1);
    memset(&table_file, 0, sizeof table_file);
    cr_expect_eq(ask("user.service.etcd"), 2);
    end();
}

Test(full, a_writer_that_finds_no_room_says_so)
{
    static const char *const domains[] = { TABLE_DEFAULT_DOMAIN };
    struct table_writer_options options = { .path = f.path, .domains = domains, .domain_count = 1 };
    char other[96], why[200] = "";

    begin();
    table_writer_close(f.writer);
    snprintf(other, sizeof other, "%s/ballast", f.directory);
    unlink(f.path);
    ballast(other);
    cr_expect_eq(table_writer_open(&f.writer, &options, why, sizeof why), -ENOSPC);
    cr_expect_not_null(strstr(why, strerror(ENOSPC)), "'%s'", why);
    expect_nothing_left();
    unlink(other);
    table_reopen(&f, NULL, 0);
    end();
}

/* The same by other means, for those who may not mount. */
Test(full, a_file_that_may_not_grow_is_refused_alike)
{
    struct rlimit limit = { 20 * 1024, RLIM_INFINITY };
    int count = 0, rc;

    table_begin(&f);
    setenv("ETCDSD_TABLE", f.path, 1);
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80");
    cr_assert_eq(table_writer_publish(f.writer), 0);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    while ((rc = put_numbered(count)) == 1)
        cr_assert_lt(++count, 100000, "it grows though it may not");
    cr_expect_eq(rc, -EFBIG, "%s", strerror(-rc));
    expect_numbered(count);
    expect_nothing_left();
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_eq(put_numbered(count), 1);
    expect_numbered(count + 1);
    table_end(&f);
}

/* ---- calls that fail ----------------------------------------------------- */

static const char *failing; /* the call; NULL: none */

static bool fails(const char *name)
{
    if (failing == NULL || strcmp(failing, name) != 0)
        return false;
    errno = EIO;
    return true;
}

/* In place of libc's. */

int fchmod(int fd, mode_t mode)
{
    return fails("fchmod") ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

int fstat(int fd, struct stat *status)
{
    return fails("fstat") ? -1 : fstatat(fd, "", status, AT_EMPTY_PATH);
}

ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    return fails("getrandom") ? -1 : syscall(SYS_getrandom, bytes, size, flags);
}

int rename(const char *from, const char *to)
{
    return fails("rename") ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    return fails("unlink") ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* A larger file can't be made, or not be put in the old one's place. */
static void expect_old_serves(const char *name)
{
    int count = 0, rc;

    table_begin(&f);
    setenv("ETCDSD_TABLE", f.path, 1);
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80");
    cr_assert_eq(table_writer_publish(f.writer), 0);
    failing = name;
    while ((rc = put_numbered(count)) == 1)
        cr_assert_lt(++count, 100000, "%s: it grows nevertheless", name);
    failing = NULL;
    cr_expect_eq(rc, -EIO, "%s: %s", name, strerror(-rc));
    expect_numbered(count);
    expect_nothing_left();
    cr_expect_eq(put_numbered(count), 1, "%s", name);
    expect_numbered(count + 1);
    table_end(&f);
}

#define LEAVES_THE_OLD_TABLE(call)                    \
    Test(full, failing_##call##_leaves_the_old_table) \
    {                                                 \
        expect_old_serves(#call);                     \
    }

LEAVES_THE_OLD_TABLE(fchmod)
LEAVES_THE_OLD_TABLE(fstat)
LEAVES_THE_OLD_TABLE(getrandom)
LEAVES_THE_OLD_TABLE(rename)
LEAVES_THE_OLD_TABLE(unlink)

Test(full, a_first_table_that_cannot_be_renamed_is_published_later)
{
    table_begin(&f);
    setenv("ETCDSD_TABLE", f.path, 1);
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80");
    failing = "rename";
    cr_expect_eq(table_writer_publish(f.writer), -EIO);
    cr_expect_not(table_writer_is_published(f.writer));
    failing = NULL;
    cr_expect_neq(access(f.path, F_OK), 0);
    cr_expect_eq(table_writer_publish(f.writer), 0);
    cr_expect_eq(ask("user.service.etcd"), 1);
    table_end(&f);
}

/* ---- the default path -------------------------------------------------- */

/* A copy of the table at the default path: owned by `owner`, in a directory of
 * `directory`. */
static int ask_at_default_path(const char *bytes, size_t size, uid_t owner, uid_t directory)
{
    int fd;

    unlink(TABLE_DEFAULT_PATH);
    fd = open(TABLE_DEFAULT_PATH, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    cr_assert_eq(fchmod(fd, 0644), 0);
    cr_assert_eq(fchown(fd, owner, owner), 0);
    close(fd);
    cr_assert_eq(chown(TABLE_DEFAULT_DIRECTORY, directory, directory), 0);
    memset(&table_file, 0, sizeof table_file);
    return ask("user.service.etcd");
}

Test(full, at_the_default_path_the_table_is_roots_or_its_directorys_owners)
{
    static char bytes[1 << 20];
    ssize_t size;
    int fd;

    if (geteuid() != 0)
        skip((void)0, "only root can give files away");
    begin();
    fd = open(f.path, O_RDONLY | O_CLOEXEC);
    size = read(fd, bytes, sizeof bytes);
    close(fd);
    cr_assert_gt(size, 0);
    cr_assert(mount_tmpfs("/run", 1024, 0), "%s", strerror(errno));
    cr_assert_eq(mkdir(TABLE_DEFAULT_DIRECTORY, 0755), 0);
    unsetenv("ETCDSD_TABLE");
    cr_expect_eq(ask_at_default_path(bytes, (size_t)size, 0, 0), 1);
    cr_expect_eq(ask_at_default_path(bytes, (size_t)size, 0, 1000), 1);
    cr_expect_eq(ask_at_default_path(bytes, (size_t)size, 1000, 1000), 1);
    cr_expect_eq(ask_at_default_path(bytes, (size_t)size, 1000, 0), ASK_AGAIN);
    cr_expect_eq(ask_at_default_path(bytes, (size_t)size, 1000, 1001), ASK_AGAIN);
    end();
}
