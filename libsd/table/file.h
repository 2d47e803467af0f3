/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One table file in the hands of its writer: made, adopted, published,
 * superseded.  What is in it is writer.c's business.
 */
#ifndef ETCDSD_TABLE_FILE_H
#define ETCDSD_TABLE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "layout.h"

/* Every store to the shared words goes through here, so that a test can stop
 * a writer after any one of them. */
#ifdef TABLE_STORE_HOOK
void table_store_hook(void);
#else
static inline void table_store_hook(void)
{
}
#endif

static inline void word_put(table_word *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
    table_store_hook();
}

static inline void word_publish(table_word *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
    table_store_hook();
}

static inline uint64_t word_get(const table_word *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

struct table_file {
    int fd;
    unsigned number; /* tells the name beside the path until published */
    table_word *words;
    size_t bytes;
    dev_t device;
    ino_t inode;
    /* Where the parts are; as the header says. */
    table_word *names, *keys;
    uint32_t names_count, keys_count;
    size_t heap_at;
    uint64_t seed;
};

/* What a new file is to have: slots of both indices, powers of two, and a heap of
 * whole granules.  seed: of the hash; 0: a new one. */
struct table_size {
    uint32_t names_count, keys_count;
    size_t heap_bytes;
    uint64_t seed;
};

static inline size_t table_size_bytes(const struct table_size *size)
{
    size_t slots = (size_t)size->names_count + size->keys_count;

    return TABLE_HEADER_BYTES + slots * sizeof(table_word) + size->heap_bytes;
}

/* All return 0 or a negative errno. */

/* Locks `path`.lock; the descriptor holds the lock.  -EBUSY: holder receives
 * the process id of who has it, 0 if unknown. */
int lock_take(const char *path, pid_t *holder);

/* Makes an invisible file beside `path`, fully allocated, with a good header:
 * geometry, seed, generation, and everything else zero.  number: not that of
 * another unpublished file of this writer. */
int file_create(struct table_file *file, const char *path, unsigned number,
                const struct table_size *size);

/* Opens the file at `path` if it is a whole table of this layout that this
 * user may write.  -ENOENT: there is none; -EINVAL: it is not. */
int file_adopt(struct table_file *file, const char *path);

/* Shows a created file at `path`. */
int file_publish(const struct table_file *file, const char *path);

/* Whether the file still is the one at `path`. */
bool file_is_at(const struct table_file *file, const char *path);

/* Removes what killed writers may have left unpublished beside `path`. */
void file_clean(const char *path);

/* Removes a created file that was not published. */
void file_discard(struct table_file *file, const char *path);

/* Unmaps; the file and `fd` stay. */
void file_unmap(struct table_file *file);

#endif
