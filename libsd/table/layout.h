/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The table: one file, written by one process, mapped read-only by every
 * other.  This header is the whole contract between writer and readers.
 *
 *   word 0 ..                                        (a word is 64 bits)
 *   +----------------------------------------------------------------+
 *   | header, TABLE_HEADER_BYTES                                     |
 *   |   geometry, seeds, zones: constant in one file                 |
 *   |   state, heartbeat, revision, counters: one word each          |
 *   +----------------------------------------------------------------+ 4096
 *   | names: 2^k slots   owner name of a service -> record           |
 *   |   slot = tag:32 | ref:32      ref = offset of the record / 16  |
 *   +----------------------------------------------------------------+ keys_at
 *   | keys: 2^k slots    address or port -> slot in names            |
 *   |   slot = tag:32 | ref:32      ref = slot number + 2            |
 *   +----------------------------------------------------------------+ heap_at
 *   | heap: records, 16-byte granules                                |
 *   +----------------------------------------------------------------+ size
 *
 *   A record holds all that is known of one service:
 *
 *   word 0  sequence     unique in all files; 0: being rewritten
 *        1  home:32 | words:32            slot in names | length in words
 *        2  struct table_shape: counts, length of the name, flags
 *        3  limit_any:8 | limit6:8 | limit4:8 | 0:8 | 0:16 | port:16
 *           owner name, lower case, zero padded, at least one zero
 *           v4 addresses, two to a word, network order
 *           v6 addresses, two words each, network order
 *           if WEIGHTED: running sums of weights, v4 then v6, two to a word
 *           instances, sorted by label: label_at:32 | port:16 | address:16
 *           labels: each a length byte and its bytes; zero padded
 *
 *   Addresses are distinct, and in the order of their bytes.  `address` counts through v4, then v6.  `label_at`
 *   is a byte offset from the record's start.  An instance whose label is
 *   empty has no owner name of its own.  An instance's owner name is
 *   label "." name-of-service and is found through the service's record.
 *
 * ORDERING.  All words are read and written as relaxed 64-bit atomics unless
 * said otherwise; the protocol is a seqlock per record (H.-J. Boehm, "Can
 * seqlocks get along with programming language memory models?", MSPC 2012),
 * reached through slot words.
 *
 *   Writer, to change a service:          Reader, to look one up:
 *    1 take a free block                   1 slot    = load acquire
 *    2 block.sequence = 0                  2 sequence = load acquire, 0: again
 *    3 release fence                       3 copy what is needed
 *    4 write the block's other words       4 acquire fence
 *    5 block.sequence = new, release       5 sequence changed: again
 *    6 slot = new ref, release             6 home is not this slot: again
 *    7 the old block is free               7 name differs: next slot
 *
 * Step 6 of the reader makes "the name differs" safe: a block that was freed
 * and written anew between the reader's steps 1 and 2 may by now belong to
 * another slot.  If it belongs to this very slot under another name, then the
 * name looked for was not in this slot at that moment.
 *
 * RULES that make a miss as trustworthy as a hit:
 *  R1 names: a used slot becomes EMPTY again only while the slot after it is
 *     EMPTY: then no chain leads through it.  Otherwise a delete leaves a
 *     TOMBSTONE.  An update replaces the slot word in place.
 *  R2 names: a live entry never moves to another slot within one file.  Growth and
 *     compaction are done in a new file; then the old one's state becomes
 *     SUPERSEDED.  Changes go to the new file only after that.
 *  R3 A file is published by rename(2) when it holds everything; until then
 *     nobody maps it.  It is fully allocated and never shrinks.
 *  R4 Before a reader believes a miss it re-reads generation and state: a
 *     changed generation means that other bytes were mapped over the place, a
 *     SUPERSEDED that there is a newer file.
 *  R5 keys: a delete moves later entries of the chain up, so that addresses
 *     may come and go for ever in one file.  Each is copied first, then `moves`
 *     counts up, then its old slot changes; a reader that missed looks whether
 *     `moves` is what it was before it began.
 *     An entry is turned to another service *before* its service loses
 *     the address, and is inserted *after* its service got it.
 *  R6 No chain of used slots that a reader has to walk is longer than
 *     TABLE_MAX_PROBES; a writer that would exceed it makes a new file.
 *
 *  R7 The names of a zone that is not ready are answered with neither a hit nor
 *     a miss.  A zone loses that mark in a new file only: so whoever missed
 *     before the zone was written can't find the mark gone afterwards.
 *
 * A SIGKILL after any single store leaves a table for which all this holds;
 * at worst a block is lost until the next writer adopts the file.
 *
 * VERSIONS.  Another TABLE_LAYOUT is another file, at another path.  A minor
 * version gives a meaning to bits that were 0 up to then, and 0 goes on meaning
 * what it did.  So readers read each minor version; a writer adopts its own and
 * older ones, and makes a new file where it finds a newer one.
 *
 *   minor 0   the first
 *   minor 1   zones that are not ready (TABLE_H_MAX_STALE).  To readers that do
 *             not know of them such zones are empty, and max-stale is 68 years
 */
#ifndef ETCDSD_TABLE_LAYOUT_H
#define ETCDSD_TABLE_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/* A lock inside an "atomic" load would be private to the process, and
 * impossible in a read-only mapping. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit loads and stores must be lock-free");

typedef _Atomic uint64_t table_word;
_Static_assert(sizeof(table_word) == 8, "an atomic word is eight bytes");

#define TABLE_MAGIC             UINT64_C(0x3164736463746500) /* "\0etcdsd1", little endian */
#define TABLE_LAYOUT            1                            /* also in the file's name: table.v1 */
#define TABLE_MINOR             1
#define TABLE_DEFAULT_DIRECTORY "/run/etcdsd"
#define TABLE_DEFAULT_PATH      TABLE_DEFAULT_DIRECTORY "/table.v1"
#define TABLE_DEFAULT_DOMAIN    "service.etcd"
#define TABLE_HEADER_BYTES      4096
#define TABLE_GRANULE           16
#define TABLE_MAX_PROBES        128
#define TABLE_MAX_NAME          253 /* RFC 1035 section 2.3.4, without the root's dot */
#define TABLE_MAX_LABEL         63
#define TABLE_MAX_INSTANCES     65535
#define TABLE_DEFAULT_ANSWERS   8

/* Slots. */
#define TABLE_EMPTY             UINT64_C(0)
#define TABLE_TOMBSTONE         UINT64_C(1)
#define TABLE_KEY_BIAS          2 /* keys: ref - bias = slot number */

/* Words of the header.  The first two cache lines are what a lookup reads. */
enum table_header_word {
    TABLE_H_MAGIC,
    TABLE_H_LAYOUT,     /* minor:16 | header bytes:16 | layout:32; last word written of a
                           new file */
    TABLE_H_GENERATION, /* random, never 0; differs in every file ever made */
    TABLE_H_SIZE,       /* of the file, bytes */
    TABLE_H_NAMES,      /* slots - 1; they begin at TABLE_HEADER_BYTES */
    TABLE_H_KEYS,       /* offset:32 (granules) | log2 of slots:32 */
    TABLE_H_HEAP,       /* offset of the heap, bytes */
    TABLE_H_SEED,       /* of the hash */

    TABLE_H_STATE,     /* since:56 (monotonic seconds) | enum table_state:8 */
    TABLE_H_HEARTBEAT, /* time(2):32 | monotonic seconds:32; each second while a
                          writer lives */
    TABLE_H_MAX_STALE, /* zones that are not ready, bit n: number n:32 | seconds:32, 0: for ever */
    TABLE_H_ZONES,     /* how many zones follow TABLE_ZONES_AT */
    TABLE_H_BOOT_ID,   /* of the host when heartbeat was written; two words */
    TABLE_H_BOOT_ID_2,
    TABLE_H_TRUE_AT, /* monotonic seconds when the content last was etcd's; see table_age() */
    TABLE_H_WRITER,  /* process id of the writer */

    TABLE_H_REVISION, /* etcd's, up to which the table is true */
    TABLE_H_CLUSTER,  /* etcd's cluster id */
    TABLE_H_MOVES,    /* of entries of keys: R5 */
    TABLE_H_SERVICES, /* counters from here on */
    TABLE_H_INSTANCES,
    TABLE_H_CHANGES, /* records written since the writer started */
    TABLE_H_DROPPED, /* instances that are not in the table: unreadable values */
    TABLE_H_HEAP_USED,
    TABLE_H_STARTED,  /* time(2) when the writer started; what follows counts from there */
    TABLE_H_EVENTS,   /* puts and deletes that etcd told */
    TABLE_H_EVENT_AT, /* time(2) of the last one; 0: none */
    TABLE_H_LISTS,    /* complete lists of etcd's content */
    TABLE_H_OUTAGES,  /* etcd went out of sight so often */
    TABLE_H_HELD,     /* instances that the last list lacked: kept until another one does */
    TABLE_H_UNNAMED,  /* instances were met without an owner name of their own so often */
    TABLE_H_REFUSED,  /* services were refused so often: too many instances */
    TABLE_H_SNAPSHOT, /* time(2) of the last snapshot; 0: none */
    TABLE_H_WORDS,
    TABLE_H_TAILS = 64 /* of each zone the last eight bytes; 0 of a shorter one */
};

enum table_state {
    TABLE_LIVE = 1,         /* follows etcd */
    TABLE_DISCONNECTED = 2, /* etcd out of sight since then */
    TABLE_STOPPED = 3,      /* the writer went cleanly */
    TABLE_SUPERSEDED = 4    /* a newer file is at the path */
};

/* Zones: in the header page, each a length byte and the domain in lower case
 * ("service.etcd"), one after the other. */
#define TABLE_ZONES_AT    1024
#define TABLE_ZONES_BYTES (TABLE_HEADER_BYTES - TABLE_ZONES_AT)
#define TABLE_MAX_ZONES   32

#define TABLE_LAYOUT_WORD \
    ((uint64_t)TABLE_MINOR << 48 | (uint64_t)TABLE_HEADER_BYTES << 32 | TABLE_LAYOUT)

static inline uint32_t table_layout_minor(uint64_t word)
{
    return (uint32_t)(word >> 48);
}

/* Words of a record. */
enum table_record_word {
    TABLE_R_SEQUENCE,
    TABLE_R_HOME,
    TABLE_R_SHAPE,
    TABLE_R_ANSWER,
    TABLE_R_NAME
};

#define TABLE_FLAG_WEIGHTED 1u

/* Word 2 of a record as it lies in memory, and what follows from it: where the
 * parts of the record are, in words. */
struct table_shape {
    uint16_t v4, v6, instances;
    uint8_t name_length;
    uint8_t flags;
};
_Static_assert(sizeof(struct table_shape) == 8, "a shape is a word");

static inline struct table_shape table_shape(uint64_t word)
{
    struct table_shape shape;

    memcpy(&shape, &word, sizeof shape);
    return shape;
}

static inline uint64_t table_shape_word(struct table_shape shape)
{
    uint64_t word;

    memcpy(&word, &shape, sizeof word);
    return word;
}

static inline uint32_t table_v4_at(struct table_shape shape)
{
    return TABLE_R_NAME + shape.name_length / 8u + 1;
}

static inline uint32_t table_v6_at(struct table_shape shape)
{
    return table_v4_at(shape) + (shape.v4 + 1u) / 2;
}

static inline uint32_t table_sums_at(struct table_shape shape)
{
    return table_v6_at(shape) + 2u * shape.v6;
}

static inline uint32_t table_instances_at(struct table_shape shape)
{
    uint32_t sums = shape.flags & TABLE_FLAG_WEIGHTED ? (shape.v4 + shape.v6 + 1u) / 2 : 0;

    return table_sums_at(shape) + sums;
}

static inline uint32_t table_labels_at(struct table_shape shape)
{
    return table_instances_at(shape) + shape.instances;
}

/* ---- hashing ----------------------------------------------------------- */

/* An owner name, folded to lower case without a trailing dot, in words.
 * Words beyond the last used one are not set. */
struct table_name {
    uint64_t words[TABLE_MAX_NAME / 8 + 1];
    uint32_t length;
};

static inline uint64_t table_load8(const void *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

/* Lower case, digits, '-' and '.' have this bit, upper case has not: nearly every
 * name is as it should be, and one look says so. */
#define TABLE_LOWER_BITS UINT64_C(0x2020202020202020)

/* ASCII upper case to lower case, eight bytes at a time; other bytes, those
 * above 0x7f included, stay (RFC 4343: DNS compares ASCII letters only). */
static inline uint64_t table_fold8(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);

    if ((word & TABLE_LOWER_BITS) == TABLE_LOWER_BITS)
        return word;

    uint64_t low7 = word & ones * 0x7f;
    uint64_t above_z = low7 + ones * (0x7f - 'Z');
    uint64_t from_a = low7 + ones * (0x80 - 'A');
    uint64_t upper = ~word & (from_a ^ above_z) & ones * 0x80;

    return word | upper >> 2;
}

/* The last `count` (0 to 7) of eight bytes, in the places where the first bytes of
 * a word are; zeros behind them. */
static inline uint64_t table_last_bytes(uint64_t word, uint32_t count)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return word >> 8 >> (56 - 8 * count);
#else
    return word << 8 << (56 - 8 * count);
#endif
}

/* Folds text of `length` (1 to TABLE_MAX_NAME) bytes. */
static inline void table_name_set(struct table_name *name, const char *text, uint32_t length)
{
    uint32_t whole = length / 8, rest = length % 8;

    for (uint32_t i = 0; i < whole; i++)
        name->words[i] = table_fold8(table_load8(text + 8 * i));
    if (whole > 0) {
        name->words[whole] = table_fold8(table_last_bytes(table_load8(text + length - 8), rest));
    } else {
        uint64_t word = 0;
        memcpy(&word, text, rest);
        name->words[0] = table_fold8(word);
    }
    name->length = length;
}

/* Appends "." and a domain in lower case; the whole must not exceed
 * TABLE_MAX_NAME. */
static inline void table_name_append(struct table_name *name, const char *domain, uint32_t length)
{
    char *text = (char *)name->words;
    uint32_t whole = name->length + 1 + length;

    text[name->length] = '.';
    memcpy(text + name->length + 1, domain, length);
    memset(text + whole, 0, 8 - whole % 8);
    name->length = whole;
}

/* 64 x 64 -> 128 bit product, folded: the mixing step of wyhash. */
static inline uint64_t table_mix(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t ll = al * bl, lh = al * bh, hl = ah * bl, hh = ah * bh;
    uint64_t middle = (ll >> 32) + (uint32_t)lh + (uint32_t)hl;

    return (middle << 32 | (uint32_t)ll) ^ (hh + (lh >> 32) + (hl >> 32) + (middle >> 32));
#endif
}

#define TABLE_HASH_KEY UINT64_C(0xe7037ed1a0b428db)

/* Two words for each product, as wyhash has it.  Keyed: the seed is random, so
 * that whoever may register names can't aim them at one chain; a file has that of
 * the one before, unless a chain became too long there (R6). */
static inline uint64_t table_hash(const uint64_t *words, uint32_t length, uint64_t seed)
{
    uint64_t hash = seed + length;
    uint32_t count = length / 8 + 1, i = 0;

    seed ^= TABLE_HASH_KEY;
    for (; i + 1 < count; i += 2)
        hash = table_mix(words[i] ^ hash, words[i + 1] ^ seed);
    if (i < count)
        hash = table_mix(words[i] ^ hash, seed);
    return hash;
}

/* What keys are made of: kind (4, 6: an address; 'p': a port) and value. */
static inline uint64_t table_hash_key(uint32_t kind, uint64_t high, uint64_t low, uint64_t seed)
{
    uint64_t hash = table_mix(high ^ seed, UINT64_C(0xe7037ed1a0b428db) ^ kind);

    return table_mix(low ^ hash, UINT64_C(0x8ebc6af09c88c6e3) ^ seed);
}

/* The tag takes the high half of the hash, the place in the index the low. */
static inline uint32_t table_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static inline uint64_t table_slot(uint64_t hash, uint32_t ref)
{
    return (hash & UINT64_C(0xffffffff00000000)) | ref;
}

#endif
