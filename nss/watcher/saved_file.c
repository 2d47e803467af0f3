/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Snapshots as files.  Writing runs in a forked child of a process that has
 * threads: nothing here but system calls and memory on the stack.
 */
#include "saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_FILE SAVED_FILE ".new"

/* ---- writing ----------------------------------------------------------- */

/* The file's body on its way out.  size of buffer: a multiple of the eight bytes
 * that the checksum takes at a time. */
struct sink {
    int fd;
    int error;
    uint64_t sum;
    uint64_t bytes; /* before the buffer */
    size_t used;
    uint8_t buffer[1 << 15];
};

static void sink_flush(struct sink *sink)
{
    size_t done = 0;

    while (done < sink->used && sink->error == 0) {
        ssize_t size = write(sink->fd, sink->buffer + done, sink->used - done);

        if (size < 0 && errno != EINTR)
            sink->error = -errno;
        done += size > 0 ? (size_t)size : 0;
    }
    sink->sum = saved_checksum(sink->sum, sink->buffer, sink->used);
    sink->bytes += sink->used;
    sink->used = 0;
}

static void sink_put(struct sink *sink, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size > 0 && sink->error == 0) {
        size_t room = sizeof sink->buffer - sink->used, some = size < room ? size : room;

        memcpy(sink->buffer + sink->used, at, some);
        sink->used += some;
        at += some;
        size -= some;
        if (sink->used == sizeof sink->buffer)
            sink_flush(sink);
    }
}

static void instance_put(struct sink *sink, const struct model_instance *instance)
{
    sink_put(sink, &instance->key_length, sizeof instance->key_length);
    sink_put(sink, &instance->port, sizeof instance->port);
    sink_put(sink, &instance->weight, sizeof instance->weight);
    sink_put(sink, &instance->family, sizeof instance->family);
    sink_put(sink, instance->address, instance->family == 4 ? 4 : 16);
    sink_put(sink, instance->key, instance->key_length);
}

static uint64_t readable_count(const struct model *model)
{
    return model->instance_count - model->unreadable;
}

static void zone_put(struct sink *sink, const struct saved_zone *zone)
{
    uint32_t prefix_length = (uint32_t)zone->prefix_length;
    uint64_t instances = readable_count(zone->model);

    sink_put(sink, &prefix_length, sizeof prefix_length);
    sink_put(sink, &instances, sizeof instances);
    sink_put(sink, zone->prefix, zone->prefix_length);
    for (uint32_t slot = 0; slot < zone->model->slot_count; slot++) {
        const struct model_service *service = zone->model->slots[slot];

        for (uint32_t i = 0; service != NULL && i < service->count; i++)
            if (model_instances(service)[i]->family != 0)
                instance_put(sink, model_instances(service)[i]);
    }
}

/* All but the first words, which are known at the end. */
static int body_write(struct sink *sink, const uint64_t words[SAVED_WORDS],
                      const struct saved_zone *zones, uint32_t count)
{
    if (lseek(sink->fd, SAVED_CHECKED_AT, SEEK_SET) < 0)
        return -errno;
    sink_put(sink, words + SAVED_W_CHECKSUM + 1, SAVED_BYTES - SAVED_CHECKED_AT);
    for (uint32_t i = 0; i < count; i++)
        zone_put(sink, &zones[i]);
    sink_flush(sink);
    return sink->error;
}

static int file_write(int fd, const struct saved_head *head, const struct saved_zone *zones,
                      uint32_t count)
{
    struct sink sink = { .fd = fd };
    uint64_t words[SAVED_WORDS] = {
        [SAVED_W_MAGIC] = SAVED_MAGIC,
        [SAVED_W_VERSION] = (uint64_t)count << 32 | SAVED_VERSION,
        [SAVED_W_BOOT_ID] = head->boot_id[0],
        [SAVED_W_BOOT_ID_2] = head->boot_id[1],
        [SAVED_W_MONOTONIC] = (uint64_t)head->true_monotonic_s,
        [SAVED_W_TIME] = (uint64_t)head->true_time_s,
        [SAVED_W_REVISION] = (uint64_t)head->revision,
        [SAVED_W_CLUSTER] = head->cluster,
    };
    int rc;

    for (uint32_t i = 0; i < count; i++)
        words[SAVED_W_INSTANCES] += readable_count(zones[i].model);
    rc = body_write(&sink, words, zones, count);
    if (rc < 0)
        return rc;
    words[SAVED_W_SIZE] = SAVED_CHECKED_AT + sink.bytes;
    words[SAVED_W_CHECKSUM] = sink.sum;
    if (pwrite(fd, words, SAVED_CHECKED_AT, 0) != SAVED_CHECKED_AT || fsync(fd) != 0)
        return errno != 0 ? -errno : -EIO;
    return 0;
}

/* The file first, then its name, then the directory that has the name: after a
 * power failure one of the two snapshots is there, whole. */
static int file_replace(int at, const struct saved_head *head, const struct saved_zone *zones,
                        uint32_t count)
{
    int fd, rc;

    if (unlinkat(at, TEMPORARY_FILE, 0) != 0 && errno != ENOENT)
        return -errno;
    fd = openat(at, TEMPORARY_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    rc = file_write(fd, head, zones, count);
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && renameat(at, TEMPORARY_FILE, at, SAVED_FILE) != 0)
        rc = -errno;
    if (rc == 0 && fsync(at) != 0)
        rc = -errno;
    if (rc < 0)
        unlinkat(at, TEMPORARY_FILE, 0);
    return rc;
}

int saved_write(const char *directory, const struct saved_head *head,
                const struct saved_zone *zones, uint32_t count)
{
    int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    if (at < 0)
        return -errno;
    rc = file_replace(at, head, zones, count);
    close(at);
    return rc;
}

/* ---- reading ----------------------------------------------------------- */

static const char *file_check(int fd, size_t *size)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return strerror(errno);
    if (!S_ISREG(status.st_mode))
        return "it is not a regular file";
    if (status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return "others may have written it";
    if (status.st_size < (off_t)SAVED_BYTES || status.st_size > (off_t)SAVED_MAX)
        return status.st_size < (off_t)SAVED_BYTES ? "it is too short" : "it is too large";
    *size = (size_t)status.st_size;
    return NULL;
}

static const char *file_read(int fd, void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t some = read(fd, (char *)bytes + done, size - done);

        if (some == 0)
            return "it became shorter";
        if (some < 0 && errno != EINTR)
            return strerror(errno);
        done += some > 0 ? (size_t)some : 0;
    }
    return NULL;
}

/* Into memory rather than mapped: a disk that can't be read is an error then,
 * not a signal. */
const char *saved_load(const char *directory, void **bytes, size_t *size)
{
    int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd =
        at < 0 ? -1
               : openat(at, SAVED_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    const char *why = fd < 0 && errno != ENOENT ? strerror(errno) : NULL;

    *bytes = NULL;
    if (at >= 0)
        close(at);
    if (fd < 0)
        return why;
    why = file_check(fd, size);
    if (why == NULL) {
        *bytes = malloc(*size);
        why = *bytes == NULL ? strerror(ENOMEM) : file_read(fd, *bytes, *size);
    }
    if (why != NULL) {
        free(*bytes);
        *bytes = NULL;
    }
    close(fd);
    return why;
}
