/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the table's tests share: a writer in a directory of its own, and
 * services written as text.
 */
#ifndef ETCDSD_TESTS_TABLE_HELP_H
#define ETCDSD_TESTS_TABLE_HELP_H

#include "source.h"
#include "writer.h"

/* A writer on <directory>/table.v1; the directory goes with table_end(). */
struct table_fixture {
    struct table_writer *writer;
    char directory[64];
    char path[80];
};

/* domains: NULL for service.etcd alone; else ends with NULL. */
void table_begin(struct table_fixture *fixture);
void table_reopen(struct table_fixture *fixture, const char *const *domains, uint32_t max_stale_s);
void table_end(struct table_fixture *fixture);

/* "label=address:port*weight ..." (port and weight may be missing, v6 in
 * brackets): puts them as service `name`; returns table_writer_put(). */
int table_put(struct table_fixture *fixture, const char *name, const char *instances);

/* Looks an owner name up: "address address ..." in the record's order, or
 * "miss", "again", "foreign". The result lives until the next call. */
const char *table_ask(const struct table_view *view, const char *name);

/* The same in the file that is at the path now. */
const char *table_ask_path(const struct table_fixture *fixture, const char *name);

#endif
