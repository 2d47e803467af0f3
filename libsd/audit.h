/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The audit of a LIBSD_WATCH_LIST: now and then all keys are read again, beside
 * the watch, which goes on.  It is for servers before 3.4.31 and 3.5.13, which
 * can lose events around a compaction.
 *
 *            time,            page           the watch is as far,
 *            AUDIT_BEGIN      came           AUDIT_KEY ...
 *   RESTING ───────────▶ ASKED ───▶ HELD ──┬───────────────────▶ PAUSED
 *     ▲ ▲                  ▲               │ it was the last        │
 *     │ │                  └───────────────┼────────────────────────┘
 *     │ └──── AUDIT_END ──── SETTLING ◀────┘
 *     └ from each: put off, if it could not be made; nothing is told of that but
 *       another AUDIT_BEGIN
 *
 * Pages and events cross on their way.  Rules:
 *  A1 Of a page no key is told that events changed since the page was asked for:
 *     they may be newer.
 *  A2 A page waits until the watch has told of all that it shows.  What it shows
 *     and a living watch does not bring was lost: all is listed anew.
 *  A3 The end waits for a sign of life on the watch, so that a deletion on its
 *     way comes before it.
 * So of each key the application is told in the order of revisions, and who takes
 * out at AUDIT_END what was not seen since AUDIT_BEGIN takes out nothing that is
 * there.
 */
#ifndef LIBSD_AUDIT_H
#define LIBSD_AUDIT_H

#include <stdint.h>

#include "buffer.h"
#include "message.h"

struct libsd_watch;

struct audit {
    enum {
        AUDIT_RESTING,
        AUDIT_ASKED,
        AUDIT_HELD,
        AUDIT_PAUSED,
        AUDIT_SETTLING
    } state;
    int64_t asked_ns;
    int64_t came_ns;
    struct item *page;     /* HELD */
    int64_t newest;        /* revision in it */
    bool more;             /* keys behind it */
    struct buffer touched; /* keys of events since asked_ns: each its size_t, its bytes */
    size_t touched_count;
};

/* Arms the next one, unless one is armed or runs. */
void audit_later(struct libsd_watch *watch);
/* Ends the one that runs, and arms no other. */
void audit_stop(struct libsd_watch *watch);

/* These events are about to be told. */
void audit_touch(struct libsd_watch *watch, const struct records *records);

#endif
