/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Getting at the table file: mapped when first needed, mapped anew when the
 * writer made a newer one, in a process whose threads, forks, limits and
 * sandboxes are not ours to choose.
 *
 *   current ──▶ window 3 ──▶ [ reserved address range ............ ]
 *               window 0     [ file's pages      | zero pages      ]
 *               window 1 ──▶ [ an older file     | zero pages      ]
 *
 * A window is a range of addresses that, once reserved, stays readable for
 * ever.  Looking at the path maps the file over a window that is not current
 * (mmap with MAP_FIXED replaces pages atomically for whoever touches them),
 * then makes that window current by compare-and-swap.  So there is no count
 * of readers, no lock and nothing to wait for: a thread that was stopped in
 * the middle of a lookup wakes up reading either its old file or a newer one
 * in the same place, and the sequence of its record (layout.h) or the
 * generation (rule R4) tells it to begin again.  Windows come in few sizes and
 * are used again, so address space is bounded; no descriptor is kept.
 *
 * Thread-safe, lock-free, fork-safe; not for signal handlers (it may map).
 * errno is left as it was.
 */
#ifndef ETCDSD_TABLE_SOURCE_H
#define ETCDSD_TABLE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "reader.h"

/* Older than this the heartbeat of a living writer never is: it beats each
 * second. */
#define TABLE_FRESH_S 3

/* Off the way of a warm lookup: small rather than fast. */
#define TABLE_COLD    __attribute__((cold))

#define TABLE_WINDOWS 24
#define TABLE_LANES   48

/* What must be private to one process: forgotten by the kernel in a forked
 * child (MADV_WIPEONFORK), so that no claim of a thread that does not exist
 * there stays, and no two workers choose in step.  One page. */
struct table_local {
    struct {
        table_word position; /* see table_source_position() */
        uint64_t unused[7];
    } lanes[TABLE_LANES]; /* a cache line each */
    _Atomic uint32_t claims[TABLE_WINDOWS];
};

/* Most processes map the table once.  Who comes first takes windows[0] without
 * a claim, so that they need no struct table_local.  A child forked while
 * that was being mapped never finds it free. */
enum table_first {
    TABLE_FIRST_FREE,
    TABLE_FIRST_TAKEN,
    TABLE_FIRST_DONE
};

struct table_window {
    _Atomic(uintptr_t) at; /* 0: not reserved yet; constant afterwards */
    _Atomic(size_t) bytes; /* constant once `at` is set */
    table_word device, inode;
};

/* Zero-initialised.  Never moves, never ends. */
struct table_source {
    const char *path; /* NULL: $ETCDSD_TABLE, else TABLE_DEFAULT_PATH */
    _Atomic(struct table_window *) current;
    table_word looked_at;                /* of the last look in vain: monotonic seconds + 1,
                             then a bit: the table was known to be superseded */
    _Atomic(struct table_local *) local; /* made when first needed */
    atomic_int first;                    /* enum table_first */
    table_word boot_id[2];
    struct table_window windows[TABLE_WINDOWS];
    struct table_local fallback;
};

/* CLOCK_MONOTONIC in seconds, as the heartbeat counts.  No system call. */
static inline int64_t table_now(void)
{
    struct timespec now = { 0 };

    /* The vDSO answers; the heartbeat needs no better than its 4 ms. */
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

/* Unsigned: a heartbeat in the future, from before a reboot or from another
 * time namespace, is not fresh either. */
static inline bool table_is_near(uint64_t now, uint64_t then)
{
    return (uint32_t)now - (uint32_t)then + TABLE_FRESH_S <= 2 * TABLE_FRESH_S;
}

static inline bool table_is_fresh(const struct table_view *view, int64_t now)
{
    return table_is_near((uint64_t)now, table_load(view->words + TABLE_H_HEARTBEAT));
}

TABLE_COLD bool table_source_look(struct table_source *source, int64_t now,
                                  struct table_view *view);

/* Takes a view of the newest table if its writer lives, without looking at the
 * path. */
static inline bool table_source_glance(struct table_source *source, struct table_view *view)
{
    struct table_window *window = atomic_load_explicit(&source->current, memory_order_acquire);

    /* A window became current after its header was checked.  If other bytes
     * were mapped over it since, their generation is another one, or 0.
     *
     * time(2) costs half of what other clocks do.  Where it was set since the
     * heartbeat, the monotonic clock is asked. */
    if (window == NULL)
        return false;
    view->words = (const table_word *)atomic_load_explicit(&window->at, memory_order_relaxed);
    view->bytes = atomic_load_explicit(&window->bytes, memory_order_relaxed);
    view->generation = table_load(view->words + TABLE_H_GENERATION);
    return view->generation != 0 &&
           table_is_near((uint64_t)time(NULL), table_load(view->words + TABLE_H_HEARTBEAT) >> 32) &&
           (table_load(view->words + TABLE_H_STATE) & 0xff) != TABLE_SUPERSEDED;
}

/* Takes a view of the newest table.  Looks at the path (a handful of system
 * calls) only if there is no fresh table, and then once a second at most.
 * False: there is no table. */
static inline bool table_source_view(struct table_source *source, struct table_view *view)
{
    if (table_source_glance(source, view))
        return true;
    {
        struct table_view other;
        bool good = table_source_look(source, table_now(), &other);

        *view = other;
        return good;
    }
}

/* Maps the file apart from all windows, for a walk through all of it: what it
 * holds stays the same or follows the writer, but is never replaced by a newer
 * file's bytes.  End it with table_source_unmap(). */
TABLE_COLD bool table_source_map(struct table_source *source, struct table_view *view);
TABLE_COLD void table_source_unmap(struct table_view *view);

/* Whether the content is not older than the writer allows (max-stale). */
TABLE_COLD bool table_source_is_recent(struct table_source *source, const struct table_view *view,
                                       int64_t now);

static inline bool table_source_is_usable(struct table_source *source,
                                          const struct table_view *view)
{
    if (table_load(view->words + TABLE_H_MAX_STALE) == 0)
        return true;
    {
        struct table_view same = *view;

        return table_source_is_recent(source, &same, table_now());
    }
}

/* Whether it may tell of the name, too (R7); text as table_is_ready() has it. */
static inline bool table_source_may_tell(struct table_source *source, const struct table_view *view,
                                         const char *text, size_t length)
{
    if (table_load(view->words + TABLE_H_MAX_STALE) == 0)
        return true;
    {
        struct table_view same = *view;

        return table_is_ready(&same, text, length) &&
               table_source_is_recent(source, &same, table_now());
    }
}

/* A position for table_record_pick().  Successive positions of a thread are a
 * Weyl sequence with the golden ratio, so any regular part of them (every
 * second, say) is spread as evenly as all.  Moves on only when used():
 * glibc asks twice for an answer that did not fit its buffer. */
struct table_position {
    table_word *lane;
    uint64_t value;
};

/* 2^64 divided by the golden ratio. */
#define TABLE_POSITION_STEP UINT64_C(0x9e3779b97f4a7c15)

TABLE_COLD table_word *table_source_lane(struct table_source *source, uint64_t hash);

static inline struct table_position table_source_position(struct table_source *source)
{
    struct table_local *local = atomic_load_explicit(&source->local, memory_order_acquire);
    struct table_position position;
    /* Threads have stacks apart: the address tells them from each other for
     * less than a call of pthread_self(). */
    uint64_t hash = ((uintptr_t)&position >> 14) * TABLE_POSITION_STEP >> 32;

    if (local != NULL) {
        position.lane = &local->lanes[hash * TABLE_LANES >> 32].position;
        position.value = table_load(position.lane);
        if (position.value != 0)
            return position;
    }
    position.lane = table_source_lane(source, hash);
    position.value = table_load(position.lane);
    return position;
}

/* Two threads in one lane may lose a step: no harm. */
static inline void table_source_position_used(struct table_position position)
{
    atomic_store_explicit(position.lane, position.value + TABLE_POSITION_STEP,
                          memory_order_relaxed);
}

#endif
