/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writing the table: what layout.h promises to readers is kept here.
 *
 * One writer object owns one path.  It holds a lock file beside it (two
 * writers on one path are impossible), adopts a file that an earlier writer
 * left, so that readers keep their mapping, and makes a new file when the
 * content outgrows the old one.  Not thread-safe: one thread writes.
 *
 * Life:  open -> [put, remove ...] -> publish -> [put, remove, set ...] -> close
 *                                        |
 *   Before publish a new file is invisible.  An adopted file is visible from
 *   the start; puts show at once, so put complete services only.
 */
#ifndef ETCDSD_TABLE_WRITER_H
#define ETCDSD_TABLE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "layout.h"

struct table_writer;

/* An instance as the table keeps it.  label: a DNS label in lower case, or
 * empty (label_length 0) if the instance has no owner name of its own. */
struct table_instance {
    const char *label;
    uint8_t label_length;
    uint8_t family;      /* 4 or 6 */
    uint16_t port;       /* 0: unknown */
    uint32_t weight;     /* 0: unweighted, counts as 1 beside weighted ones */
    uint8_t address[16]; /* network order; the first 4 bytes if family is 4 */
};

/* A whole service.  Instances may be in any order; several may share an
 * address; labels must be unique unless empty (the first in the array keeps a
 * repeated one, the others go without). */
struct table_service {
    const char *name; /* owner name with its domain, lower case, no trailing dot */
    size_t name_length;
    const struct table_instance *instances;
    uint32_t count;
    /* Most addresses in an answer: of IPv4, of IPv6, of both together; 0: the
     * default, TABLE_DEFAULT_ANSWERS. */
    uint8_t limit4, limit6, limit_any;
};

struct table_writer_options {
    const char *path;           /* of the table; its directory must exist */
    const char *const *domains; /* zones: lower case, no dots at the ends */
    size_t domain_count;        /* at most TABLE_MAX_ZONES */
    uint32_t max_stale_s;       /* 0: for ever */
    uint64_t max_bytes;         /* the file does not grow beyond it; 0: no limit */
};

/* All functions return 0 or more, or a negative errno. */

/* Locks the path and adopts or makes the file.
 * writer: receives the object.
 * why, why_size: on failure receives one line that says what is wrong.
 * -EBUSY: another writer has it (why names its process id).  -ENOSPC: no room.
 * Returns 1 if a file was adopted (its content is kept), else 0. */
int table_writer_open(struct table_writer **writer, const struct table_writer_options *options,
                      char *why, size_t why_size);

/* Sets a service, all of it.  Returns 1 if that changed the table, 0 if it was
 * so already.  -EINVAL: the name or an instance breaks the rules above.
 * -ENOSPC, -ENOMEM, -EFBIG (max_bytes): could not grow; the table still is what
 * it was. */
int table_writer_put(struct table_writer *writer, const struct table_service *service);

/* Takes a service out.  Returns 1, or 0 if it was not there. */
int table_writer_remove(struct table_writer *writer, const char *name, size_t length);

/* Takes out each service that `keep` answers 0 for.  Returns how many. */
typedef int table_writer_keep(const char *name, size_t length, void *arg);
int table_writer_sweep(struct table_writer *writer, table_writer_keep *keep, void *arg);

/* Shows a new file to the world, and sets the state to LIVE. */
int table_writer_publish(struct table_writer *writer);

/* Shows a new file whose content was etcd's age_s seconds ago: DISCONNECTED.
 * TABLE_AGELESS: nobody knows how long ago.  Does nothing to one that is
 * published. */
#define TABLE_AGELESS INT64_MIN
int table_writer_publish_old(struct table_writer *writer, int64_t age_s);
int table_writer_is_published(const struct table_writer *writer);

/* Other zones: in a new file that has the same services.  What lies in none of
 * them can't be found by name any more.  unready: bit n says that nobody knows
 * what is in zone n, so that its names are neither answered nor denied; in a
 * file that was adopted it is what it was before.  Returns 1, or 0 if all is the
 * same; upon an error the old ones stay. */
int table_writer_set_zones(struct table_writer *writer, const char *const *domains, size_t count,
                           uint32_t unready);

/* The zones that are not ready; see above. */
uint32_t table_writer_unready(const struct table_writer *writer);

/* As in the options. */
void table_writer_set_limits(struct table_writer *writer, uint32_t max_stale_s, uint64_t max_bytes);

/* Header words that change by the way.  state: enum table_state, LIVE or
 * DISCONNECTED; `since` is the present unless the state is the same already. */
void table_writer_set_state(struct table_writer *writer, int state);
void table_writer_set_revision(struct table_writer *writer, uint64_t cluster, int64_t revision);
void table_writer_set_dropped(struct table_writer *writer, uint64_t dropped);
void table_writer_set_held(struct table_writer *writer, uint64_t held);

/* What whoever asks for the watcher's status wants to know; see layout.h. */
struct table_counters {
    uint64_t started, events, event_at, lists, outages, held, unnamed, refused, snapshot;
};
void table_writer_set_counters(struct table_writer *writer, const struct table_counters *counters);

/* Once a second, whatever the state.  Also notices that the file is gone from
 * its path (deleted, replaced) and puts a new one there: returns 1 then. */
int table_writer_heartbeat(struct table_writer *writer);

/* What is in the table now. */
struct table_writer_stats {
    uint64_t services, instances, changes, file_bytes, heap_used, files_made;
    int64_t age_s; /* since the content was etcd's, or TABLE_AGELESS */
};
void table_writer_stats(const struct table_writer *writer, struct table_writer_stats *stats);

/* Marks the table STOPPED, unmaps it, unlocks, frees.  The file stays.  NULL
 * is allowed. */
void table_writer_close(struct table_writer *writer);

#endif
