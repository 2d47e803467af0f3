/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a table writer of paper remembers; see paper_writer.h.
 */
#ifndef ETCDSD_TESTS_PAPER_H
#define ETCDSD_TESTS_PAPER_H

#include "writer.h"

#define PAPER_SERVICES  64
#define PAPER_INSTANCES 16

struct paper_service {
    char name[TABLE_MAX_NAME + 1];
    char labels[PAPER_INSTANCES][TABLE_MAX_LABEL + 1];
    struct table_instance instances[PAPER_INSTANCES];
    uint32_t count;
    uint8_t limit4, limit6, limit_any;
};

struct table_writer {
    struct paper_service services[PAPER_SERVICES]; /* name empty: free */
    char failing[TABLE_MAX_NAME + 1];              /* puts of this service fail, "*": all */
    int error;
    int puts, removes, state, published;
    int put_state; /* the state at the last put */
    uint64_t held;
    int64_t revision;
    uint64_t dropped;
    char zones[600]; /* "a.example b.example " */
    uint32_t unready;
    int64_t age_s;
};

extern struct table_writer paper;

/* NULL: the table does not have it. */
struct paper_service *paper_find(const char *name, size_t length);

#endif
