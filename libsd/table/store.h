/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The content of one table file, as its writer changes it: the protocol and
 * the rules of layout.h are carried out here and nowhere else.
 */
#ifndef ETCDSD_TABLE_STORE_H
#define ETCDSD_TABLE_STORE_H

#include "file.h"
#include "heap.h"
#include "ports.h"
#include "waiters.h"

struct store {
    struct table_file file;
    struct heap heap;
    struct waiters waiters;
    struct ports ports;
    uint32_t *homes;                /* slot in keys -> low half of its key's hash */
    uint32_t names_used, keys_used; /* slots that are not EMPTY */
    uint64_t sequence;              /* the last one given to a record */
    uint64_t services, instances;
    bool cramped; /* the keys index is not as it should be: a new file is needed */
};

/* All return 0 or more, or a negative errno. */

int store_create(struct store *store, const char *path, unsigned number,
                 const struct table_size *size);

/* Takes over a file with all it holds.  -EINVAL: not sound, nothing was
 * changed. */
int store_adopt(struct store *store, const char *path);

/* Sets the service that `words` describe (encode.h); the words of sequence and
 * home are filled in.  Returns 1, or 0 if it is so already; -ENOSPC: the file
 * is too small, nothing was changed. */
int store_put(struct store *store, uint64_t *words, uint32_t length);

/* A service of this name will be put or taken out soon: what that will touch is
 * fetched meanwhile. */
void store_expect(const struct store *store, const struct table_name *name);

/* Takes a service out.  Returns 1, or 0 if it was not there. */
int store_remove(struct store *store, const struct table_name *name);

/* Puts all that is in `from`. */
int store_copy(struct store *store, const struct store *from);

/* The record in a slot of names, or NULL; its length in words. */
const table_word *store_record(const struct store *store, uint32_t slot, uint32_t *length);

/* ---- parts that adopt.c shares ----------------------------------------- */

#define WORDS_PER_GRANULE (TABLE_GRANULE / sizeof(table_word))

static inline uint32_t store_granules(uint32_t words)
{
    return (uint32_t)((words + WORDS_PER_GRANULE - 1) / WORDS_PER_GRANULE);
}

/* The writer is the only one to change records: it reads its own plainly. */
static inline const uint64_t *store_plain(const table_word *words)
{
    return (const uint64_t *)(uintptr_t)words;
}

/* Makes the private book-keeping of a file.  Returns 0 or -ENOMEM. */
int store_prepare(struct store *store);

/* Writes the header's counters. */
void store_publish_counters(struct store *store);

/* ------------------------------------------------------------------------ */

/* Forgets the store; the file itself is left as it is. */
void store_free(struct store *store);

#endif
