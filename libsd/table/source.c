/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Mapping the table file.  See source.h for the idea.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"

/* Windows are reserved in these sizes only, each four times the one before,
 * so that a process that sees a table grow for years needs few of them. */
#define WINDOW_SMALLEST ((size_t)256 * 1024)

/* ---- what is private to the process ------------------------------------ */

static struct table_local *local_make(struct table_source *source)
{
    struct table_local *expected = NULL, *local;
    int saved_errno = errno;
    void *page =
        mmap(NULL, sizeof *local, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    /* No room (RLIMIT_AS): do without wiping.  Kernels before 4.14 can't. */
    local = page == MAP_FAILED ? &source->fallback : page;
    if (page != MAP_FAILED)
        (void)madvise(page, sizeof *local, MADV_WIPEONFORK);
    if (!atomic_compare_exchange_strong(&source->local, &expected, local)) {
        if (page != MAP_FAILED)
            munmap(page, sizeof *local);
        local = expected;
    }
    errno = saved_errno;
    return local;
}

static inline struct table_local *local_of(struct table_source *source)
{
    struct table_local *local = atomic_load_explicit(&source->local, memory_order_acquire);

    return local != NULL ? local : local_make(source);
}

/* ---- positions --------------------------------------------------------- */

/* Short-lived processes and forked workers must differ from each other:
 * the kernel's random bytes do for the first, the clock for the second. */
static uint64_t position_seed(const table_word *lane)
{
    const void *random = (const void *)getauxval(AT_RANDOM);
    struct timespec now = { 0 };
    uint64_t seed[2] = { 0 };

    if (random != NULL)
        memcpy(seed, random, sizeof seed);
    clock_gettime(CLOCK_MONOTONIC, &now);
    seed[0] ^= (uint64_t)now.tv_nsec * TABLE_POSITION_STEP ^ (uint64_t)now.tv_sec;
    seed[1] ^= (uint64_t)(uintptr_t)lane;
    return table_mix(seed[0] ^ UINT64_C(0xa0761d6478bd642f), seed[1] ^ TABLE_POSITION_STEP) | 1;
}

/* The lane for a thread, begun if it was not. */
table_word *table_source_lane(struct table_source *source, uint64_t hash)
{
    table_word *lane = &local_of(source)->lanes[hash * TABLE_LANES >> 32].position;

    if (table_load(lane) == 0)
        atomic_store_explicit(lane, position_seed(lane), memory_order_relaxed);
    return lane;
}

/* ---- opening the file -------------------------------------------------- */

/* open and close are cancellation points in libc; a thread cancelled here
 * would leave a descriptor and a claim behind, so they are called directly. */
static int open_file(const char *path)
{
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

#if O_LARGEFILE != 0
    flags |= O_LARGEFILE; /* the C library's openat() would add it by itself */
#endif
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

static void close_file(int fd)
{
    (void)syscall(SYS_close, fd);
}

/* secure_getenv: a setuid program reads no table that its caller names. */
static const char *path_of(const struct table_source *source)
{
    const char *path = source->path != NULL ? source->path : secure_getenv("ETCDSD_TABLE");

    return path != NULL ? path : TABLE_DEFAULT_PATH;
}

/* A regular file that nobody but its owner may write; at the default path, of
 * root or of the directory's owner.  Another path is the user's own choice. */
static bool is_trusted(const char *path, const struct stat *file)
{
    struct stat directory;

    if (!S_ISREG(file->st_mode) || (file->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return false;
    if (file->st_uid == 0 || strcmp(path, TABLE_DEFAULT_PATH) != 0)
        return true;
    return stat(TABLE_DEFAULT_DIRECTORY, &directory) == 0 && directory.st_uid == file->st_uid;
}

/* ---- windows ----------------------------------------------------------- */

static bool window_reserve(struct table_window *window, size_t bytes)
{
    size_t size = WINDOW_SMALLEST, page = 4096;
    void *at;

    while (size < bytes && size <= SIZE_MAX / 4)
        size *= 4;
    at = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        /* RLIMIT_AS or RLIMIT_MEMLOCK: just what is needed may still fit. */
        size = (bytes + page - 1) / page * page;
        at = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED)
            return false;
    }
    atomic_store_explicit(&window->bytes, size, memory_order_relaxed);
    atomic_store_explicit(&window->at, (uintptr_t)at, memory_order_release);
    return true;
}

/* Claims a window that is not current and can hold `bytes`.  fresh: receives
 * whether it was just reserved. */
static struct table_window *window_claim(struct table_source *source, size_t bytes, bool *fresh)
{
    struct table_local *local = local_of(source);

    *fresh = false;
    for (int i = atomic_load(&source->first) == TABLE_FIRST_DONE ? 0 : 1; i < TABLE_WINDOWS; i++) {
        struct table_window *window = &source->windows[i];
        uint32_t unclaimed = 0;

        if (window == atomic_load(&source->current) ||
            !atomic_compare_exchange_strong(&local->claims[i], &unclaimed, 1))
            continue;
        /* It may have become current before it was claimed. */
        if (window != atomic_load(&source->current)) {
            if (atomic_load(&window->at) != 0) {
                if (atomic_load(&window->bytes) >= bytes)
                    return window;
            } else if (window_reserve(window, bytes)) {
                *fresh = true;
                return window;
            }
        }
        atomic_store(&local->claims[i], 0);
    }
    return NULL;
}

static void window_release(struct table_source *source, const struct table_window *window)
{
    atomic_store(&local_of(source)->claims[window - source->windows], 0);
}

/* Maps the file over the window's beginning, zero pages over the rest unless
 * they are there already. */
static bool window_map(struct table_window *window, int fd, const struct stat *file, bool fresh)
{
    void *at = (void *)atomic_load(&window->at);
    size_t bytes = atomic_load(&window->bytes);

    if (!fresh &&
        mmap(at, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED)
        return false;
    if (mmap(at, (size_t)file->st_size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        return false;
    atomic_store_explicit(&window->device, file->st_dev, memory_order_relaxed);
    atomic_store_explicit(&window->inode, file->st_ino, memory_order_relaxed);
    return true;
}

static bool window_view(const struct table_window *window, struct table_view *view)
{
    uintptr_t at = atomic_load_explicit(&window->at, memory_order_acquire);

    return table_view_init(view, (const void *)at,
                           atomic_load_explicit(&window->bytes, memory_order_relaxed));
}

/* ---- looking at the path ----------------------------------------------- */

/* Opens the file at the path if it may be a table.  Returns a descriptor, or
 * -1. */
static int open_table(const struct table_source *source, struct stat *file)
{
    const char *path = path_of(source);
    int fd = open_file(path);

    if (fd >= 0 && (fstat(fd, file) != 0 || !is_trusted(path, file) ||
                    file->st_size < TABLE_HEADER_BYTES || (uint64_t)file->st_size > SIZE_MAX / 8)) {
        close_file(fd);
        fd = -1;
    }
    return fd;
}

enum look {
    LOOK_NOTHING, /* nothing new at the path, or nothing good */
    LOOK_FOUND,
    LOOK_BUSY /* all windows are being mapped: other threads are about to find it */
};

/* Maps the file into a window that is ours alone, and makes it current. */
static enum look take(struct table_source *source, struct table_window *window, bool fresh, int fd,
                      const struct stat *file, struct table_window *seen)
{
    struct table_view view;

    if (!window_map(window, fd, file, fresh) || !window_view(window, &view) ||
        table_load(view.words + TABLE_H_SIZE) > (uint64_t)file->st_size)
        return LOOK_NOTHING;
    /* Somebody else may have been faster: then theirs is as good. */
    (void)atomic_compare_exchange_strong(&source->current, &seen, window);
    return LOOK_FOUND;
}

static enum look take_first(struct table_source *source, int fd, const struct stat *file)
{
    struct table_window *window = &source->windows[0];
    enum look found = LOOK_NOTHING;

    if (window_reserve(window, (size_t)file->st_size))
        found = take(source, window, true, fd, file, NULL);
    atomic_store(&source->first, TABLE_FIRST_DONE);
    return found;
}

/* Maps the file at the path and makes it current, unless it is the current one
 * already or no good. */
static enum look look(struct table_source *source, struct table_window *seen)
{
    struct table_window *window;
    enum look found = LOOK_NOTHING;
    int first = TABLE_FIRST_FREE;
    struct stat file;
    bool fresh;
    int fd = open_table(source, &file);

    if (fd < 0)
        return LOOK_NOTHING;
    if (seen != NULL && table_load(&seen->device) == file.st_dev &&
        table_load(&seen->inode) == file.st_ino)
        goto out;
    if (atomic_compare_exchange_strong(&source->first, &first, TABLE_FIRST_TAKEN)) {
        found = take_first(source, fd, &file);
        goto out;
    }
    window = window_claim(source, (size_t)file.st_size, &fresh);
    if (window == NULL) {
        found = LOOK_BUSY;
        goto out;
    }
    found = take(source, window, fresh, fd, &file, seen);
    window_release(source, window);
out:
    close_file(fd);
    return found;
}

/* `superseded`: there is a newer file, so an earlier look that only asked
 * whether a silent writer was replaced does not count.  Nor does a look that
 * found something: while a table grows fast, the next file may be there. */
static enum look look_once_a_second(struct table_source *source, int64_t now,
                                    struct table_window *window, bool superseded)
{
    uint64_t stamp = ((uint64_t)now + 1) << 1 | superseded;
    int saved_errno = errno;
    enum look found;

    if (table_load(&source->looked_at) >= stamp &&
        table_load(&source->looked_at) >> 1 == stamp >> 1)
        return LOOK_NOTHING;
    found = look(source, window);
    if (found == LOOK_NOTHING)
        atomic_store_explicit(&source->looked_at, stamp, memory_order_relaxed);
    errno = saved_errno;
    return found;
}

/* Threads whose first lookup this is may be more than there are windows.  Each
 * of those who have one would do, so that only a fork without MADV_WIPEONFORK
 * could make this wait in vain; hence the bound. */
#define BUSY_TRIES 10000

bool table_source_look(struct table_source *source, int64_t now, struct table_view *view)
{
    for (int tries = 0, busy = 0; tries < TABLE_WINDOWS && busy < BUSY_TRIES; tries++) {
        struct table_window *window = atomic_load_explicit(&source->current, memory_order_acquire);
        bool good = window != NULL && window_view(window, view);
        bool superseded =
            good && (table_load(view->words + TABLE_H_STATE) & 0xff) == TABLE_SUPERSEDED;
        enum look found;

        if (good && !superseded && table_is_fresh(view, now))
            return true;
        found = look_once_a_second(source, now, window, superseded);
        if (found == LOOK_FOUND ||
            window != atomic_load_explicit(&source->current, memory_order_acquire))
            continue;
        if (found == LOOK_NOTHING || good)
            return good;
        sched_yield();
        tries--;
        busy++;
    }
    return false;
}

bool table_source_map(struct table_source *source, struct table_view *view)
{
    int saved_errno = errno;
    struct stat file;
    int fd = open_table(source, &file);
    void *at = MAP_FAILED;
    bool good = false;

    if (fd >= 0) {
        at = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED, fd, 0);
        close_file(fd);
    }
    if (at != MAP_FAILED) {
        good = table_view_init(view, at, (size_t)file.st_size);
        if (!good)
            munmap(at, (size_t)file.st_size);
    }
    errno = saved_errno;
    return good;
}

void table_source_unmap(struct table_view *view)
{
    int saved_errno = errno;

    munmap((void *)(uintptr_t)view->words, view->bytes);
    view->words = NULL;
    errno = saved_errno;
}

/* ---- staleness --------------------------------------------------------- */

static bool boot_id_read(uint64_t id[2])
{
    char text[37];
    int fd = open_file(BOOT_ID_FILE);
    long length;

    if (fd < 0)
        return false;
    length = syscall(SYS_read, fd, text, sizeof text);
    close_file(fd);
    boot_id_parse(text, length > 0 ? (size_t)length : 0, id);
    return id[0] != 0 || id[1] != 0;
}

static bool is_of_this_boot(struct table_source *source, const struct table_view *view)
{
    uint64_t id[2] = { table_load(&source->boot_id[0]), table_load(&source->boot_id[1]) };

    if (id[0] == 0 && id[1] == 0) { /* read once: it outlasts any process */
        int saved_errno = errno;
        bool known = boot_id_read(id);

        errno = saved_errno;
        if (!known)
            return false;
        atomic_store_explicit(&source->boot_id[0], id[0], memory_order_relaxed);
        atomic_store_explicit(&source->boot_id[1], id[1], memory_order_relaxed);
    }
    return id[0] == table_load(view->words + TABLE_H_BOOT_ID) &&
           id[1] == table_load(view->words + TABLE_H_BOOT_ID_2);
}

bool table_source_is_recent(struct table_source *source, const struct table_view *view, int64_t now)
{
    uint32_t max_stale = (uint32_t)table_load(view->words + TABLE_H_MAX_STALE);
    int64_t true_at = (int64_t)table_load(view->words + TABLE_H_TRUE_AT);

    if (max_stale == 0)
        return true;
    /* Seconds of another boot say nothing about age. */
    if (!table_is_fresh(view, now) && !is_of_this_boot(source, view))
        return false;
    return now - true_at <= (int64_t)(max_stale > INT32_MAX ? INT32_MAX : max_stale);
}
