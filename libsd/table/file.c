/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Making and adopting table files.  See file.h.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* An unpublished file is replaced by a larger one while it is copied. */
enum {
    TEMPORARY_NAMES = 2
};

static int path_with(char *result, const char *path, const char *suffix)
{
    int length = snprintf(result, PATH_MAX, "%s%s", path, suffix);

    return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int temporary_path(char *result, const char *path, unsigned number)
{
    return path_with(result, path, number % TEMPORARY_NAMES ? ".new1" : ".new0");
}

int lock_take(const char *path, pid_t *holder)
{
    char lock[PATH_MAX], text[32] = "";
    int fd, rc = path_with(lock, path, ".lock");

    *holder = 0;
    if (rc < 0)
        return rc;
    /* 0600: flock needs no write permission, so whoever may read it may lock. */
    fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
        if (rc == -EBUSY && read(fd, text, sizeof text - 1) > 0)
            *holder = (pid_t)strtol(text, NULL, 10);
        close(fd);
        return rc;
    }
    snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || write(fd, text, strlen(text)) < 0) {
        /* The number only makes another watcher's message nicer. */
    }
    return fd;
}

/* ---- geometry ---------------------------------------------------------- */

static uint64_t geometry_word(size_t at, uint32_t slots)
{
    return (uint64_t)(at / TABLE_GRANULE) << 32 | (uint32_t)__builtin_ctz(slots);
}

static void file_point(struct table_file *file)
{
    uint64_t keys = word_get(file->words + TABLE_H_KEYS);

    file->names = file->words + TABLE_HEADER_BYTES / sizeof(table_word);
    file->keys = file->words + (keys >> 32) * TABLE_GRANULE / sizeof(table_word);
    file->names_count = (uint32_t)word_get(file->words + TABLE_H_NAMES) + 1;
    file->keys_count = UINT32_C(1) << (uint32_t)keys;
    file->heap_at = (size_t)word_get(file->words + TABLE_H_HEAP);
    file->seed = word_get(file->words + TABLE_H_SEED);
}

/* Where the names end; 0: they don't fit. */
static uint64_t names_end(uint64_t mask, uint64_t bytes)
{
    if (mask > UINT32_MAX >> 1 || (mask & (mask + 1)) != 0 ||
        (mask + 1) * sizeof(table_word) > bytes - TABLE_HEADER_BYTES)
        return 0;
    return TABLE_HEADER_BYTES + (mask + 1) * sizeof(table_word);
}

/* Where the keys, which begin at `from` or later, end; 0: they don't fit. */
static uint64_t keys_end(uint64_t geometry, uint64_t from, uint64_t bytes)
{
    uint64_t at = (geometry >> 32) * TABLE_GRANULE;

    if ((uint32_t)geometry > 31 || at < from || at > bytes ||
        (UINT64_C(8) << (uint32_t)geometry) > bytes - at)
        return 0;
    return at + (UINT64_C(8) << (uint32_t)geometry);
}

static bool header_is_good(const table_word *words, size_t bytes)
{
    uint64_t heap = word_get(words + TABLE_H_HEAP), layout = word_get(words + TABLE_H_LAYOUT);
    uint64_t names = names_end(word_get(words + TABLE_H_NAMES), bytes);
    uint64_t keys = keys_end(word_get(words + TABLE_H_KEYS), names, bytes);

    return word_get(words + TABLE_H_MAGIC) == TABLE_MAGIC &&
           table_layout_minor(layout) <= TABLE_MINOR && layout << 16 == TABLE_LAYOUT_WORD << 16 &&
           word_get(words + TABLE_H_GENERATION) != 0 && word_get(words + TABLE_H_SIZE) == bytes &&
           (word_get(words + TABLE_H_STATE) & 0xff) != TABLE_SUPERSEDED && names != 0 &&
           keys != 0 && heap >= keys && heap <= bytes && heap % TABLE_GRANULE == 0;
}

/* ---- making ------------------------------------------------------------ */

static int file_map(struct table_file *file)
{
    void *at = mmap(NULL, file->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);

    if (at == MAP_FAILED)
        return -errno;
    file->words = at;
    return 0;
}

static int remember_identity(struct table_file *file)
{
    struct stat status;

    if (fstat(file->fd, &status) != 0)
        return -errno;
    file->device = status.st_dev;
    file->inode = status.st_ino;
    file->bytes = (size_t)status.st_size;
    return 0;
}

static void header_init(struct table_file *file, const struct table_size *size,
                        const uint64_t random[2])
{
    size_t at = TABLE_HEADER_BYTES;

    word_put(file->words + TABLE_H_MAGIC, TABLE_MAGIC);
    word_put(file->words + TABLE_H_GENERATION, random[0] | 1);
    word_put(file->words + TABLE_H_SEED, size->seed != 0 ? size->seed : random[1]);
    word_put(file->words + TABLE_H_SIZE, file->bytes);
    word_put(file->words + TABLE_H_NAMES, size->names_count - 1);
    at += sizeof(table_word) * size->names_count;
    word_put(file->words + TABLE_H_KEYS, geometry_word(at, size->keys_count));
    at += sizeof(table_word) * size->keys_count;
    word_put(file->words + TABLE_H_HEAP, at);
}

int file_create(struct table_file *file, const char *path, unsigned number,
                const struct table_size *size)
{
    char temporary[PATH_MAX];
    uint64_t random[2];
    size_t bytes = table_size_bytes(size);
    int rc = temporary_path(temporary, path, number);

    memset(file, 0, sizeof *file);
    file->fd = -1;
    file->number = number;
    if (rc < 0)
        return rc;
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return -EIO;
    /* Ours by the lock; a killed writer may have left one. */
    if (unlink(temporary) != 0 && errno != ENOENT)
        return -errno;
    file->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->fd < 0)
        return -errno;
    /* R3: allocated now, or a store to it could be a SIGBUS later.  Where the
     * file system can't, glibc's posix_fallocate writes zeros. */
    rc = -posix_fallocate(file->fd, 0, (off_t)bytes);
    if (rc == 0)
        rc = remember_identity(file);
    if (rc == 0)
        rc = file_map(file);
    if (rc < 0) {
        file_discard(file, path);
        return rc;
    }
    header_init(file, size, random);
    file_point(file);
    return 0;
}

int file_publish(const struct table_file *file, const char *path)
{
    char temporary[PATH_MAX];
    int rc = temporary_path(temporary, path, file->number);

    if (rc < 0)
        return rc;
    word_publish(file->words + TABLE_H_LAYOUT, TABLE_LAYOUT_WORD);
    /* fchmod: whatever the umask, every process must be able to read it. */
    if (fchmod(file->fd, 0644) != 0 || rename(temporary, path) != 0)
        return -errno;
    table_store_hook();
    return 0;
}

/* ---- adopting ---------------------------------------------------------- */

int file_adopt(struct table_file *file, const char *path)
{
    struct stat status;
    int rc;

    memset(file, 0, sizeof *file);
    file->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (file->fd < 0)
        return -errno;
    rc = -EINVAL;
    if (fstat(file->fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        (status.st_mode & 07777) != 0644 || status.st_size < TABLE_HEADER_BYTES ||
        status.st_size % (off_t)sizeof(table_word) != 0)
        goto out;
    rc = remember_identity(file);
    if (rc == 0)
        rc = file_map(file);
    if (rc == 0 && !header_is_good(file->words, file->bytes))
        rc = -EINVAL;
    if (rc == 0) {
        file_point(file);
        return 0;
    }
out:
    file_unmap(file);
    close(file->fd);
    return rc;
}

bool file_is_at(const struct table_file *file, const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 && status.st_dev == file->device &&
           status.st_ino == file->inode;
}

void file_unmap(struct table_file *file)
{
    if (file->words != NULL)
        munmap(file->words, file->bytes);
    file->words = NULL;
}

void file_discard(struct table_file *file, const char *path)
{
    char temporary[PATH_MAX];

    file_unmap(file);
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    if (temporary_path(temporary, path, file->number) == 0)
        unlink(temporary);
}

void file_clean(const char *path)
{
    char temporary[PATH_MAX];

    for (unsigned number = 0; number < TEMPORARY_NAMES; number++)
        if (temporary_path(temporary, path, number) == 0)
            unlink(temporary);
}
