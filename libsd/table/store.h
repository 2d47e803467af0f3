/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The content of one table file, as its writer changes it: the protocol and
 * the rules of layout.h are carried out here and nowhere else.
 */
#ifndef ETCDSD_TABLE_STORE_H
#define ETCDSD_TABLE_STORE_H

#include "file.h"
#include "heap.h"
#include "keys.h"

struct store {
    struct table_file file;
    struct heap heap;
    struct keys keys;
    uint32_t *owner_at;             /* slot in keys -> number of its owner */
    uint32_t names_used, keys_used; /* slots that are not EMPTY */
    uint64_t sequence;              /* the last one given to a record */
    uint64_t services, instances, live_keys;
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

/* What a record has keys for: distinct addresses in order, and a port. */
struct key_list {
    const uint64_t *words; /* NULL: an empty list */
    struct table_shape shape;
    uint32_t count;
};
struct key_list key_list(const uint64_t *words);
struct key key_at(const struct key_list *list, uint32_t i);

/* Names a key's first owner in the index.  -ENOSPC: no place for it. */
int key_publish(struct store *store, struct key_owner *first);

/* Takes an entry out of the index: R5. */
void key_unpublish(struct store *store, uint32_t place);

/* Makes the private book-keeping of a file.  Returns 0 or -ENOMEM. */
int store_prepare(struct store *store);

/* Writes the header's counters. */
void store_publish_counters(struct store *store);

/* ------------------------------------------------------------------------ */

/* Forgets the store; the file itself is left as it is. */
void store_free(struct store *store);

#endif
