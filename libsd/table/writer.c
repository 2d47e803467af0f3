/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The life of a table: its lock, its files one after the other, its header.
 * See writer.h for what callers may rely on.
 *
 *     (no file) --publish--> file 1 --outgrown--> file 2 --> ...
 *                              |                    |
 *   state:        LIVE <-> DISCONNECTED         SUPERSEDED (file 1)
 *                    \________/                     |
 *                      close: STOPPED            after a while: its bytes are
 *                                                given back to the file system
 */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "encode.h"
#include "store.h"

/* A process that looks anything up in this time has found the newer file; one
 * that sleeps longer finds zeros, which no lookup takes for an answer. */
#define RETIRE_AFTER_S 10

#define SMALLEST_LOG2  8
#define SMALLEST_HEAP  (8 * 1024)

/* Each time the same content does not fit, a larger file is tried. */
#define GROW_TRIES     8

struct retired {
    struct retired *next;
    int fd;
    size_t bytes;
    int64_t since;
};

/* The zones as each file of this writer says them. */
struct zones {
    char names[TABLE_ZONES_BYTES]; /* as in the header */
    uint64_t tails[TABLE_MAX_ZONES];
    size_t bytes; /* of the names in use */
    uint32_t count;
    uint32_t unready; /* bit n: zone n is not ready */
};

struct table_writer {
    char *path;
    int lock;
    struct store store;
    struct encoder encoder;
    struct retired *retired;
    struct table_file displaced; /* adopted file of other zones, still serving */
    struct zones zones;
    uint32_t max_stale_s;
    uint64_t max_bytes;
    bool is_published;
    uint64_t changes, files_made;
};

static int64_t monotonic_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static table_word *header(const struct table_writer *writer, enum table_header_word word)
{
    return writer->store.file.words + word;
}

/* ---- header ------------------------------------------------------------ */

static void boot_id_put(const struct table_writer *writer)
{
    char text[40];
    uint64_t id[2];
    int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text) : 0;

    if (fd >= 0)
        close(fd);
    boot_id_parse(text, length > 0 ? (size_t)length : 0, id);
    word_put(header(writer, TABLE_H_BOOT_ID), id[0]);
    word_put(header(writer, TABLE_H_BOOT_ID_2), id[1]);
}

static bool is_of_this_boot(const struct table_writer *writer)
{
    uint64_t before[2] = { word_get(header(writer, TABLE_H_BOOT_ID)),
                           word_get(header(writer, TABLE_H_BOOT_ID_2)) };

    boot_id_put(writer);
    return before[0] == word_get(header(writer, TABLE_H_BOOT_ID)) &&
           before[1] == word_get(header(writer, TABLE_H_BOOT_ID_2));
}

static int state_of(const struct table_writer *writer)
{
    return (int)(word_get(header(writer, TABLE_H_STATE)) & 0xff);
}

static void state_put(const struct table_writer *writer, int state)
{
    if (state_of(writer) != state)
        word_publish(header(writer, TABLE_H_STATE),
                     (uint64_t)monotonic_seconds() << 8 | (uint64_t)state);
}

/* Far in the past stands for unknown: older than any max-stale, and no
 * difference to it overflows. */
#define TRUE_NEVER (INT64_MIN / 2)

static void true_at_put(const struct table_writer *writer, int64_t age_s)
{
    bool is_known = age_s >= 0 && age_s < INT64_MAX / 2;

    word_put(header(writer, TABLE_H_TRUE_AT),
             (uint64_t)(is_known ? monotonic_seconds() - age_s : TRUE_NEVER));
}

static int64_t age(const struct table_writer *writer)
{
    int64_t true_at = (int64_t)word_get(header(writer, TABLE_H_TRUE_AT));

    return true_at <= TRUE_NEVER ? TABLE_AGELESS : monotonic_seconds() - true_at;
}

static void beat(const struct table_writer *writer)
{
    uint64_t now = (uint64_t)monotonic_seconds();

    if (state_of(writer) == TABLE_LIVE)
        word_put(header(writer, TABLE_H_TRUE_AT), now);
    word_put(header(writer, TABLE_H_HEARTBEAT), (uint64_t)time(NULL) << 32 | (uint32_t)now);
}

static uint64_t stale_word(const struct table_writer *writer)
{
    return (uint64_t)writer->zones.unready << 32 | writer->max_stale_s;
}

/* What is the same in each file that this writer makes. */
static void header_fill(const struct table_writer *writer, struct store *store)
{
    table_word *words = store->file.words;
    const char *zones = writer->zones.names;

    for (size_t i = 0; i < writer->zones.bytes; i += sizeof *words) /* the rest is zero */
        word_put(words + (TABLE_ZONES_AT + i) / sizeof *words, table_load8(zones + i));
    for (uint32_t i = 0; i < writer->zones.count; i++)
        word_put(words + TABLE_H_TAILS + i, writer->zones.tails[i]);
    word_put(words + TABLE_H_ZONES, writer->zones.count);
    word_put(words + TABLE_H_MAX_STALE, stale_word(writer));
    word_put(words + TABLE_H_WRITER, (uint64_t)getpid());
}

/* What a newer file has from the one before. */
static void header_inherit(const struct table_writer *writer, struct store *store)
{
    static const enum table_header_word inherited[] = {
        TABLE_H_STATE,    TABLE_H_HEARTBEAT, TABLE_H_BOOT_ID,  TABLE_H_BOOT_ID_2, TABLE_H_TRUE_AT,
        TABLE_H_REVISION, TABLE_H_CLUSTER,   TABLE_H_CHANGES,  TABLE_H_DROPPED,   TABLE_H_STARTED,
        TABLE_H_EVENTS,   TABLE_H_EVENT_AT,  TABLE_H_LISTS,    TABLE_H_OUTAGES,   TABLE_H_HELD,
        TABLE_H_UNNAMED,  TABLE_H_REFUSED,   TABLE_H_SNAPSHOT,
    };

    for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++)
        word_put(store->file.words + inherited[i], word_get(header(writer, inherited[i])));
}

static int zones_set(struct zones *zones, const char *const *domains, size_t count)
{
    size_t at = 0;

    if (count == 0 || count > TABLE_MAX_ZONES)
        return -EINVAL;
    memset(zones->names, 0, sizeof zones->names);
    for (size_t i = 0; i < count; i++) {
        const char *domain = domains[i];
        size_t length = strlen(domain);
        struct table_name folded;

        if (length == 0 || length > TABLE_MAX_NAME || domain[0] == '.' ||
            domain[length - 1] == '.' || at + 1 + length > sizeof zones->names)
            return -EINVAL;
        table_name_set(&folded, domain, (uint32_t)length);
        if (memcmp(folded.words, domain, length) != 0)
            return -EINVAL;
        zones->names[at] = (char)length;
        memcpy(zones->names + at + 1, domain, length);
        at += 1 + length;
        zones->tails[i] = length >= 8 ? table_load8(domain + length - 8) : 0;
    }
    zones->count = (uint32_t)count;
    zones->bytes = at;
    return 0;
}

static bool zones_are(const struct table_writer *writer)
{
    return word_get(header(writer, TABLE_H_ZONES)) == writer->zones.count &&
           memcmp(store_plain(writer->store.file.words) + TABLE_ZONES_AT / sizeof(table_word),
                  writer->zones.names, sizeof writer->zones.names) == 0 &&
           memcmp(store_plain(writer->store.file.words) + TABLE_H_TAILS, writer->zones.tails,
                  writer->zones.count * sizeof *writer->zones.tails) == 0;
}

/* ---- files ------------------------------------------------------------- */

static uint32_t log2_for(uint64_t entries)
{
    uint32_t log2 = SMALLEST_LOG2;

    /* At most half full, R6, and not so at once. */
    while (log2 < 31 && (UINT64_C(1) << log2) < 2 * (entries + entries / 8 + 8))
        log2++;
    return log2;
}

/* Room for the present content and `words` more, and half as much to grow. */
static struct table_size size_for(const struct store *store, uint32_t words, int tries)
{
    uint64_t heap =
        store->heap.used * TABLE_GRANULE + (uint64_t)store_granules(words) * TABLE_GRANULE;
    uint64_t keys = store->live_keys + words; /* an instance takes more than a word */
    struct table_size size = {
        .names_log2 = log2_for(store->services + 1) + (uint32_t)tries,
        .keys_log2 = log2_for(keys) + (uint32_t)tries,
        .heap_bytes = (size_t)(heap + heap / 2 + SMALLEST_HEAP) & ~(size_t)4095,
    };

    return size;
}

static void retire(struct table_writer *writer, struct store *store)
{
    struct retired *retired = malloc(sizeof *retired);

    if (retired != NULL) {
        *retired = (struct retired){ .next = writer->retired,
                                     .fd = store->file.fd,
                                     .bytes = store->file.bytes,
                                     .since = monotonic_seconds() };
        writer->retired = retired;
        store->file.fd = -1; /* kept, to free the bytes later */
    }
    store_free(store);
}

/* Readers that sleep keep the old files mapped: their pages go back all the
 * same, but for the header's, which says SUPERSEDED.  At the end, what is too
 * young is left to the file system, which frees it with its last mapping. */
static void retired_reap(struct table_writer *writer, bool is_end)
{
    struct retired **link = &writer->retired, *retired;
    int64_t now = monotonic_seconds();

    while ((retired = *link) != NULL) {
        bool is_old = now - retired->since >= RETIRE_AFTER_S;

        if (!is_old && !is_end) {
            link = &retired->next;
            continue;
        }
        if (is_old)
            (void)fallocate(retired->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            TABLE_HEADER_BYTES, (off_t)(retired->bytes - TABLE_HEADER_BYTES));
        close(retired->fd);
        *link = retired->next;
        free(retired);
    }
}

/* R2: everything into a new file, the path to it, and only then the old one's
 * state.  `words`: what must fit besides. */
static int replace_file(struct table_writer *writer, uint32_t words)
{
    struct store fresh;
    int rc = -ENOSPC;

    for (int tries = 0; tries < GROW_TRIES && rc == -ENOSPC; tries++) {
        struct table_size size = size_for(&writer->store, words, tries);

        rc = store_create(&fresh, writer->path, (unsigned)writer->files_made, &size);
        if (rc < 0)
            return rc; /* the file system has no room: a larger file has less */
        rc = store_copy(&fresh, &writer->store);
        if (rc < 0) {
            file_discard(&fresh.file, writer->path);
            store_free(&fresh);
        }
    }
    if (rc < 0)
        return rc;
    header_fill(writer, &fresh);
    header_inherit(writer, &fresh);
    if (writer->is_published)
        rc = file_publish(&fresh.file, writer->path);
    if (rc < 0) {
        file_discard(&fresh.file, writer->path);
        store_free(&fresh);
        return rc;
    }
    if (writer->is_published) {
        state_put(writer, TABLE_SUPERSEDED);
        retire(writer, &writer->store);
    } else {
        file_discard(&writer->store.file, writer->path);
        store_free(&writer->store);
    }
    writer->store = fresh;
    writer->files_made++;
    return 0;
}

static void displaced_end(struct table_writer *writer)
{
    if (writer->displaced.words == NULL)
        return;
    word_publish(writer->displaced.words + TABLE_H_STATE,
                 (uint64_t)monotonic_seconds() << 8 | TABLE_SUPERSEDED);
    file_unmap(&writer->displaced);
    close(writer->displaced.fd);
}

static int first_file(struct table_writer *writer)
{
    struct table_size size = { SMALLEST_LOG2, SMALLEST_LOG2, SMALLEST_HEAP };
    int rc = store_create(&writer->store, writer->path, 0, &size);

    if (rc < 0)
        return rc;
    header_fill(writer, &writer->store);
    boot_id_put(writer);
    writer->files_made++;
    return 0;
}

/* Adopted content is as old as its last writer said, and of unknown age if
 * that was before a reboot. */
static void adopted(struct table_writer *writer)
{
    int state = state_of(writer);

    if (!is_of_this_boot(writer))
        true_at_put(writer, TABLE_AGELESS);
    if (state != TABLE_DISCONNECTED)
        state_put(writer, TABLE_DISCONNECTED);
    writer->zones.unready = (uint32_t)(word_get(header(writer, TABLE_H_MAX_STALE)) >> 32);
    word_put(header(writer, TABLE_H_MAX_STALE), stale_word(writer));
    word_put(header(writer, TABLE_H_LAYOUT), TABLE_LAYOUT_WORD);
    word_put(header(writer, TABLE_H_WRITER), (uint64_t)getpid());
    word_put(header(writer, TABLE_H_CHANGES), 0);
    beat(writer);
    writer->is_published = true;
}

/* ---- the life ---------------------------------------------------------- */

static int open_store(struct table_writer *writer)
{
    int rc = store_adopt(&writer->store, writer->path);

    if (rc == 0 && !zones_are(writer)) {
        /* It goes on answering for the old zones until the new one is full. */
        writer->displaced = writer->store.file;
        writer->store.file = (struct table_file){ .fd = -1 };
        store_free(&writer->store);
        rc = -EINVAL;
    }
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0)
        return first_file(writer);
    adopted(writer);
    if (writer->store.cramped)
        rc = replace_file(writer, 0);
    return rc < 0 ? rc : 1;
}

int table_writer_open(struct table_writer **result, const struct table_writer_options *options,
                      char *why, size_t why_size)
{
    struct table_writer *writer = calloc(1, sizeof *writer);
    pid_t holder = 0;
    int rc = -ENOMEM;

    *result = NULL;
    if (writer == NULL)
        goto out;
    writer->lock = writer->store.file.fd = -1;
    writer->max_stale_s = options->max_stale_s;
    writer->max_bytes = options->max_bytes;
    writer->path = strdup(options->path);
    if (writer->path == NULL)
        goto out;
    rc = zones_set(&writer->zones, options->domains, options->domain_count);
    if (rc < 0)
        goto out;
    rc = writer->lock = lock_take(writer->path, &holder);
    if (rc < 0)
        goto out;
    file_clean(writer->path);
    rc = open_store(writer);
    if (rc >= 0) {
        *result = writer;
        return rc;
    }
out:
    if (rc == -EBUSY)
        snprintf(why, why_size, "%s: in use by process %ld", options->path, (long)holder);
    else if (rc == -EINVAL)
        snprintf(why, why_size, "a domain is not acceptable");
    else
        snprintf(why, why_size, "%s: %s", options->path, strerror(-rc));
    table_writer_close(writer);
    return rc;
}

/* Whether the next file would be.  One that has no room left was at most half
 * as large. */
static bool is_too_large(const struct table_writer *writer, uint32_t words)
{
    struct table_size size = size_for(&writer->store, words, 0);
    uint64_t slots = (UINT64_C(1) << size.names_log2) + (UINT64_C(1) << size.keys_log2);

    return writer->max_bytes != 0 &&
           TABLE_HEADER_BYTES + slots * sizeof(table_word) + size.heap_bytes > writer->max_bytes;
}

int table_writer_put(struct table_writer *writer, const struct table_service *service)
{
    int rc = encoder_run(&writer->encoder, service);

    if (rc < 0)
        return rc;
    rc = store_put(&writer->store, writer->encoder.words, writer->encoder.length);
    if (rc == -ENOSPC || (rc == 1 && writer->store.cramped)) {
        int grown = is_too_large(writer, writer->encoder.length)
                        ? -EFBIG
                        : replace_file(writer, writer->encoder.length);

        if (grown < 0)
            return rc == 1 ? rc : grown;
        if (rc == -ENOSPC)
            rc = store_put(&writer->store, writer->encoder.words, writer->encoder.length);
    }
    if (rc == 1)
        word_put(header(writer, TABLE_H_CHANGES), ++writer->changes);
    return rc;
}

int table_writer_remove(struct table_writer *writer, const char *name, size_t length)
{
    struct table_name folded;
    int rc;

    if (length == 0 || length > TABLE_MAX_NAME)
        return 0;
    table_name_set(&folded, name, (uint32_t)length);
    rc = store_remove(&writer->store, &folded);
    if (rc == 1)
        word_put(header(writer, TABLE_H_CHANGES), ++writer->changes);
    return rc;
}

int table_writer_sweep(struct table_writer *writer, table_writer_keep *keep, void *arg)
{
    uint64_t slots = UINT64_C(1) << writer->store.file.names_log2;
    int removed = 0;

    for (uint64_t slot = 0; slot < slots; slot++) {
        uint32_t length;
        const table_word *record = store_record(&writer->store, (uint32_t)slot, &length);
        const char *name;
        uint32_t name_length;

        if (record == NULL)
            continue;
        name = (const char *)(store_plain(record) + TABLE_R_NAME);
        name_length = table_shape(word_get(record + TABLE_R_SHAPE)).name_length;
        if (!keep(name, name_length, arg))
            removed += table_writer_remove(writer, name, name_length);
    }
    return removed;
}

/* Shows the file in a state. */
static int show(struct table_writer *writer, int state)
{
    struct table_size size = size_for(&writer->store, 0, 0);
    int rc;

    /* Filling it made it larger than it need be: once more, to measure. */
    if (writer->store.file.bytes - writer->store.file.heap_at > size.heap_bytes * 5 / 4)
        (void)replace_file(writer, 0);
    state_put(writer, state);
    beat(writer);
    rc = file_publish(&writer->store.file, writer->path);
    writer->is_published = rc == 0;
    if (rc == 0)
        displaced_end(writer);
    return rc;
}

int table_writer_publish(struct table_writer *writer)
{
    int rc = writer->is_published ? 0 : show(writer, TABLE_LIVE);

    if (rc == 0)
        table_writer_set_state(writer, TABLE_LIVE);
    return rc;
}

/* R7: a new file unless all that changes is that zones are no longer ready. */
int table_writer_set_zones(struct table_writer *writer, const char *const *domains, size_t count,
                           uint32_t unready)
{
    struct zones before = writer->zones;
    int rc = zones_set(&writer->zones, domains, count);
    bool is_same = rc == 0 && writer->zones.count == before.count &&
                   memcmp(writer->zones.names, before.names, sizeof before.names) == 0;

    writer->zones.unready = unready;
    if (is_same && unready == before.unready)
        return 0;
    if (is_same && (before.unready & ~unready) == 0)
        word_put(header(writer, TABLE_H_MAX_STALE), stale_word(writer));
    else if (rc == 0)
        rc = replace_file(writer, 0);
    if (rc < 0)
        writer->zones = before;
    return rc < 0 ? rc : 1;
}

uint32_t table_writer_unready(const struct table_writer *writer)
{
    return writer->zones.unready;
}

void table_writer_set_limits(struct table_writer *writer, uint32_t max_stale_s, uint64_t max_bytes)
{
    writer->max_stale_s = max_stale_s;
    writer->max_bytes = max_bytes;
    word_put(header(writer, TABLE_H_MAX_STALE), stale_word(writer));
}

int table_writer_publish_old(struct table_writer *writer, int64_t age_s)
{
    if (writer->is_published)
        return 0;
    true_at_put(writer, age_s);
    return show(writer, TABLE_DISCONNECTED);
}

int table_writer_is_published(const struct table_writer *writer)
{
    return writer->is_published;
}

void table_writer_set_state(struct table_writer *writer, int state)
{
    state_put(writer, state);
    beat(writer);
}

void table_writer_set_revision(struct table_writer *writer, uint64_t cluster, int64_t revision)
{
    word_put(header(writer, TABLE_H_CLUSTER), cluster);
    word_put(header(writer, TABLE_H_REVISION), (uint64_t)revision);
}

void table_writer_set_dropped(struct table_writer *writer, uint64_t dropped)
{
    word_put(header(writer, TABLE_H_DROPPED), dropped);
}

void table_writer_set_counters(struct table_writer *writer, const struct table_counters *counters)
{
    word_put(header(writer, TABLE_H_STARTED), counters->started);
    word_put(header(writer, TABLE_H_EVENTS), counters->events);
    word_put(header(writer, TABLE_H_EVENT_AT), counters->event_at);
    word_put(header(writer, TABLE_H_LISTS), counters->lists);
    word_put(header(writer, TABLE_H_OUTAGES), counters->outages);
    word_put(header(writer, TABLE_H_HELD), counters->held);
    word_put(header(writer, TABLE_H_UNNAMED), counters->unnamed);
    word_put(header(writer, TABLE_H_REFUSED), counters->refused);
    word_put(header(writer, TABLE_H_SNAPSHOT), counters->snapshot);
}

int table_writer_heartbeat(struct table_writer *writer)
{
    int rc;

    beat(writer);
    retired_reap(writer, false);
    if (!writer->is_published || file_is_at(&writer->store.file, writer->path))
        return 0;
    rc = replace_file(writer, 0);
    return rc < 0 ? rc : 1;
}

void table_writer_stats(const struct table_writer *writer, struct table_writer_stats *stats)
{
    stats->services = writer->store.services;
    stats->instances = writer->store.instances;
    stats->changes = writer->changes;
    stats->file_bytes = writer->store.file.bytes;
    stats->heap_used = writer->store.heap.used * TABLE_GRANULE;
    stats->files_made = writer->files_made;
    stats->age_s = age(writer);
}

void table_writer_close(struct table_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->is_published)
        state_put(writer, TABLE_STOPPED);
    else if (writer->store.file.words != NULL)
        file_discard(&writer->store.file, writer->path);
    store_free(&writer->store);
    retired_reap(writer, true);
    if (writer->displaced.words != NULL) {
        file_unmap(&writer->displaced);
        close(writer->displaced.fd);
    }
    encoder_free(&writer->encoder);
    if (writer->lock >= 0)
        close(writer->lock);
    free(writer->path);
    free(writer);
}
