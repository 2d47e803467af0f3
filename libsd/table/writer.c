/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The life of a table: its lock, and its files one after the other.
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
#include <unistd.h>

#include "encode.h"
#include "header.h"
#include "index.h"
#include "store.h"

/* A process that looks anything up in this time has found the newer file; one
 * that sleeps longer finds zeros, which no lookup takes for an answer. */
#define RETIRE_AFTER_S 10

/* Of a table that grows fast many such might be kept.  While they are small they
 * are: whoever is kept from the processor in the middle of a lookup, while files
 * follow each other, still gets his answer from the one that he has. */
#define RETIRED_FEW    2
#define RETIRED_MANY   64
#define RETIRED_BYTES  (32u << 20)

#define SMALLEST_SLOTS 256u
#define SMALLEST_HEAP  (8 * 1024)

/* What a file has room for besides its content: one part in so many.  Until it is
 * published its memory is nobody's but ours for a moment, and the less often it is
 * copied the better. */
#define SPARE_SHARE    16
#define FILLING_SHARE  1

/* Each time the same content does not fit, a larger file is tried. */
#define GROW_TRIES     8

struct retired {
    struct retired *next;
    int fd;
    size_t bytes;
    int64_t since;
};

struct table_writer {
    char *path;
    int lock;
    struct store store;
    struct encoder encoder;
    struct retired *retired;
    struct table_file displaced; /* adopted file of other zones, still serving */
    struct header_zones zones;
    uint32_t max_stale_s;
    uint64_t max_bytes;
    unsigned share; /* of the next file's content that it has room for besides */
    bool is_published;
    uint64_t changes, files_made;
};

static table_word *header(const struct table_writer *writer)
{
    return writer->store.file.words;
}

/* ---- files ------------------------------------------------------------- */

/* At most half full, R6, and not so at once; twice as many leave much room. */
static uint32_t slots_for(uint64_t entries, unsigned share, int tries)
{
    uint32_t slots = SMALLEST_SLOTS;

    while (slots < INDEX_MAX_SLOTS && slots < 2 * (entries + entries / share / 4 + 8) << tries)
        slots *= 2;
    return slots;
}

/* Room for the present content, `words` more, and a share of it to grow.  Slots
 * stay in the order they are in unless that is why a chain became too long. */
static struct table_size size_for(const struct store *store, uint32_t words, unsigned share,
                                  int tries)
{
    uint64_t heap = (store->heap.used + store_granules(words)) * TABLE_GRANULE;
    struct table_size size = {
        .names_count = slots_for(store->services + 1, share, tries),
        /* An instance takes more than a word. */
        .keys_count = slots_for((uint64_t)store->keys_used + words, share, tries),
        .heap_bytes = (size_t)(heap + heap / share + SMALLEST_HEAP) & ~(size_t)4095,
        .seed = tries == 0 ? store->file.seed : 0,
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
                                     .since = header_now() };
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
    int64_t now = header_now();
    uint64_t bytes = 0;
    int kept = 0;

    while ((retired = *link) != NULL) {
        bool is_old = now - retired->since >= RETIRE_AFTER_S;

        bytes += retired->bytes;
        if (kept >= RETIRED_FEW && (kept >= RETIRED_MANY || bytes > RETIRED_BYTES))
            is_old = true;
        if (!is_old && !is_end) {
            link = &retired->next;
            kept++;
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
        struct table_size size = size_for(&writer->store, words, writer->share, tries);

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
    header_fill(fresh.file.words, &writer->zones, writer->max_stale_s);
    header_inherit(fresh.file.words, header(writer));
    if (writer->is_published)
        rc = file_publish(&fresh.file, writer->path);
    if (rc < 0) {
        file_discard(&fresh.file, writer->path);
        store_free(&fresh);
        return rc;
    }
    if (writer->is_published) {
        header_set_state(header(writer), TABLE_SUPERSEDED);
        retire(writer, &writer->store);
        retired_reap(writer, false);
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
                 (uint64_t)header_now() << 8 | TABLE_SUPERSEDED);
    file_unmap(&writer->displaced);
    close(writer->displaced.fd);
}

static int first_file(struct table_writer *writer)
{
    struct table_size size = { .names_count = SMALLEST_SLOTS,
                               .keys_count = SMALLEST_SLOTS,
                               .heap_bytes = SMALLEST_HEAP };
    int rc = store_create(&writer->store, writer->path, 0, &size);

    if (rc < 0)
        return rc;
    header_fill(header(writer), &writer->zones, writer->max_stale_s);
    header_boot_changed(header(writer));
    writer->files_made++;
    return 0;
}

/* Adopted content is as old as its last writer said, and of unknown age if
 * that was before a reboot. */
static void adopted(struct table_writer *writer)
{
    int state = header_state(header(writer));

    if (header_boot_changed(header(writer)))
        header_set_age(header(writer), TABLE_AGELESS);
    if (state != TABLE_DISCONNECTED)
        header_set_state(header(writer), TABLE_DISCONNECTED);
    writer->zones.unready = header_unready(header(writer));
    header_set_stale(header(writer), &writer->zones, writer->max_stale_s);
    word_put(header(writer) + TABLE_H_LAYOUT, TABLE_LAYOUT_WORD);
    word_put(header(writer) + TABLE_H_WRITER, (uint64_t)getpid());
    word_put(header(writer) + TABLE_H_CHANGES, 0);
    header_beat(header(writer));
    writer->share = SPARE_SHARE;
    writer->is_published = true;
}

/* ---- the life ---------------------------------------------------------- */

static int open_store(struct table_writer *writer)
{
    int rc = store_adopt(&writer->store, writer->path);

    if (rc == 0 && !header_has_zones(header(writer), &writer->zones)) {
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
    writer->share = FILLING_SHARE;
    writer->path = strdup(options->path);
    if (writer->path == NULL)
        goto out;
    rc = header_zones_set(&writer->zones, options->domains, options->domain_count);
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

/* Whether the next file would be, as small as it may be made. */
static bool is_too_large(const struct table_writer *writer, uint32_t words)
{
    struct table_size size = size_for(&writer->store, words, SPARE_SHARE, 0);

    return writer->max_bytes != 0 && table_size_bytes(&size) > writer->max_bytes;
}

/* While the service is made a record, the memory that it will go to is fetched. */
static void expect(const struct table_writer *writer, const struct table_service *service)
{
    struct table_name name;

    if (service->name_length == 0 || service->name_length > TABLE_MAX_NAME)
        return;
    table_name_set(&name, service->name, (uint32_t)service->name_length);
    store_expect(&writer->store, &name);
}

int table_writer_put(struct table_writer *writer, const struct table_service *service)
{
    int rc;

    expect(writer, service);
    rc = encoder_run(&writer->encoder, service);

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
        word_put(header(writer) + TABLE_H_CHANGES, ++writer->changes);
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
        word_put(header(writer) + TABLE_H_CHANGES, ++writer->changes);
    return rc;
}

int table_writer_sweep(struct table_writer *writer, table_writer_keep *keep, void *arg)
{
    int removed = 0;

    for (uint32_t slot = 0; slot < writer->store.file.names_count; slot++) {
        uint32_t length;
        const table_word *record = store_record(&writer->store, slot, &length);
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
    struct table_size size = size_for(&writer->store, 0, SPARE_SHARE, 0);
    int rc;

    /* Filling it made it larger than it need be: once more, to measure. */
    writer->share = SPARE_SHARE;
    if (writer->store.file.bytes > table_size_bytes(&size) / 64 * 65)
        (void)replace_file(writer, 0);
    header_set_state(header(writer), state);
    header_beat(header(writer));
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
    struct header_zones before = writer->zones;
    int rc = header_zones_set(&writer->zones, domains, count);
    bool is_same = rc == 0 && writer->zones.count == before.count &&
                   memcmp(writer->zones.names, before.names, sizeof before.names) == 0;

    writer->zones.unready = unready;
    if (is_same && unready == before.unready)
        return 0;
    if (is_same && (before.unready & ~unready) == 0)
        header_set_stale(header(writer), &writer->zones, writer->max_stale_s);
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
    header_set_stale(header(writer), &writer->zones, max_stale_s);
}

int table_writer_publish_old(struct table_writer *writer, int64_t age_s)
{
    if (writer->is_published)
        return 0;
    header_set_age(header(writer), age_s);
    return show(writer, TABLE_DISCONNECTED);
}

int table_writer_is_published(const struct table_writer *writer)
{
    return writer->is_published;
}

void table_writer_set_state(struct table_writer *writer, int state)
{
    header_set_state(header(writer), state);
    header_beat(header(writer));
}

void table_writer_set_revision(struct table_writer *writer, uint64_t cluster, int64_t revision)
{
    word_put(header(writer) + TABLE_H_CLUSTER, cluster);
    word_put(header(writer) + TABLE_H_REVISION, (uint64_t)revision);
}

void table_writer_set_dropped(struct table_writer *writer, uint64_t dropped)
{
    word_put(header(writer) + TABLE_H_DROPPED, dropped);
}

void table_writer_set_held(struct table_writer *writer, uint64_t held)
{
    word_put(header(writer) + TABLE_H_HELD, held);
}

void table_writer_set_counters(struct table_writer *writer, const struct table_counters *counters)
{
    word_put(header(writer) + TABLE_H_STARTED, counters->started);
    word_put(header(writer) + TABLE_H_EVENTS, counters->events);
    word_put(header(writer) + TABLE_H_EVENT_AT, counters->event_at);
    word_put(header(writer) + TABLE_H_LISTS, counters->lists);
    word_put(header(writer) + TABLE_H_OUTAGES, counters->outages);
    table_writer_set_held(writer, counters->held);
    word_put(header(writer) + TABLE_H_UNNAMED, counters->unnamed);
    word_put(header(writer) + TABLE_H_REFUSED, counters->refused);
    word_put(header(writer) + TABLE_H_SNAPSHOT, counters->snapshot);
}

int table_writer_heartbeat(struct table_writer *writer)
{
    int rc;

    header_beat(header(writer));
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
    stats->age_s = header_age(header(writer));
}

void table_writer_close(struct table_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->is_published)
        header_set_state(header(writer), TABLE_STOPPED);
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
