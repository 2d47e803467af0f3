/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The snapshot: what the model held, in a file that outlives a reboot, so that
 * a host answers before etcd does.
 *
 *   +--------------------------------------------------------------+
 *   | header: SAVED_WORDS words of 64 bits                      |
 *   |   magic, version and zones, size, checksum of what follows   |
 *   |   boot id (two), when it was true (monotonic, time(2)),      |
 *   |   revision, cluster id, instances                            |
 *   +--------------------------------------------------------------+
 *   | zone: prefix length:32 | instances:64 | prefix               |
 *   |   instance: key length:32 | port:16 | weight:16 | family:8 | |
 *   |             address (4 or 16 bytes) | key without the prefix |
 *   |   instance ...                                               |
 *   | zone ...                                                     |
 *   +--------------------------------------------------------------+
 *
 * Numbers are as the host has them and not aligned: a snapshot serves the host
 * that wrote it.  It holds keys and values, not names, so that a zone may get
 * another domain.  Values that can't be read are left out.
 *
 * Reading checks everything before the first instance is handed out: a
 * snapshot is taken whole or not at all.
 */
#ifndef ETCDSD_WATCHER_SAVED_H
#define ETCDSD_WATCHER_SAVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model.h"

#define SAVED_MAGIC   UINT64_C(0x3170616e73647300) /* "\0sdsnap1", little endian */
#define SAVED_VERSION 1
#define SAVED_WORDS   11
#define SAVED_BYTES   (SAVED_WORDS * sizeof(uint64_t))
#define SAVED_MAX     ((size_t)1 << 30) /* a larger file is none of ours */
#define SAVED_FILE    "snapshot.v1"
#define SAVED_AGELESS INT64_MIN /* nobody knows how old it is */

enum saved_word {
    SAVED_W_MAGIC,
    SAVED_W_VERSION, /* zones:32 | version:32 */
    SAVED_W_SIZE,
    SAVED_W_CHECKSUM,
    SAVED_W_BOOT_ID,
    SAVED_W_BOOT_ID_2,
    SAVED_W_MONOTONIC,
    SAVED_W_TIME,
    SAVED_W_REVISION,
    SAVED_W_CLUSTER,
    SAVED_W_INSTANCES
};
_Static_assert(SAVED_W_INSTANCES + 1 == SAVED_WORDS, "each word has a name");

/* What holds of a snapshot as a whole. */
struct saved_head {
    uint64_t boot_id[2];
    int64_t true_monotonic_s; /* when it was etcd's, by the clock of that boot */
    int64_t true_time_s;      /* the same by time(2) */
    int64_t revision;
    uint64_t cluster;
    uint64_t instances;
};

/* A zone to be written. */
struct saved_zone {
    const char *prefix;
    size_t prefix_length;
    const struct model *model;
};

/* An instance that was read.  Pointers lead into the snapshot's bytes. */
struct saved_instance {
    const char *prefix;
    const char *key; /* what follows the prefix; not terminated */
    uint32_t prefix_length, key_length;
    struct model_value value;
};

/* A cursor over a snapshot's bytes. */
struct saved {
    struct saved_head head;
    const uint8_t *at, *end;
    const char *prefix; /* of the zone at hand */
    uint32_t prefix_length;
    uint32_t zones;     /* that follow */
    uint64_t instances; /* that follow in the zone at hand */
};

/* Checks all of it and stands before the first instance.  The bytes must stay
 * as long as the snapshot is used.  Returns NULL, or why it is refused. */
const char *saved_open(struct saved *snapshot, const void *bytes, size_t size);

/* The next instance; false: that was all. */
bool saved_next(struct saved *snapshot, struct saved_instance *instance);

/* How many seconds ago the content was etcd's, or SAVED_AGELESS: it was
 * written before a reboot, and the clock was set back since. */
int64_t saved_age(const struct saved_head *head, const struct saved_head *now);

/* The present as a head: boot id and clocks; the rest is zero. */
void saved_now(struct saved_head *now);

/* Where the bytes that the checksum is made of begin: behind that word. */
#define SAVED_CHECKED_AT ((SAVED_W_CHECKSUM + 1) * sizeof(uint64_t))

/* Takes more bytes into a checksum, which begins as 0; all but the last a
 * multiple of eight. */
uint64_t saved_checksum(uint64_t sum, const void *bytes, size_t size);

/* Writes a snapshot into a directory: a temporary file that takes the old one's
 * place when it is on disk.  Allocates nothing, so a forked child may do it.
 * head: instances is counted here.  Returns 0 or a negative errno. */
int saved_write(const char *directory, const struct saved_head *head,
                const struct saved_zone *zones, uint32_t count);

/* Reads the file of a directory into memory to be freed.  Returns NULL (with
 * *bytes NULL, too, if there is none) or why it is refused. */
const char *saved_load(const char *directory, void **bytes, size_t *size);

#endif
