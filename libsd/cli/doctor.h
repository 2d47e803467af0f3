/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * doctor: looks at one thing after the other, and says a line of each.
 *
 *     hosts, nscd ─▶ module ─▶ table, watcher ─▶ config ─▶ etcd ─▶ a name
 *                                                                  as programs
 *     what they need of each other is kept in struct doctor        resolve it
 *
 * Everything is looked at as it is on this host; nothing is changed.  What only
 * root may see is left out for others.
 */
#ifndef ETCDSD_CLI_DOCTOR_H
#define ETCDSD_CLI_DOCTOR_H

#include "command.h"
#include "table.h"

#define DOCTOR_LINE 600

enum doctor_result {
    DOCTOR_OK,
    DOCTOR_WARN,
    DOCTOR_FAIL
};

struct doctor {
    const struct cli_arguments *arguments;
    struct cli_json *json; /* NULL: lines */
    enum doctor_result worst;
    char mend[DOCTOR_LINE]; /* for the next line */
    /* Found out so far. */
    bool has_way;                  /* nsswitch.conf leads to etcdsd */
    bool has_module;               /* glibc loads it */
    uint64_t cluster;              /* that the table is of; 0: unknown */
    char name[TABLE_MAX_NAME + 9]; /* one of the table's services; "": none */
};

/* How to mend what is said next. */
void doctor_mend(struct doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One line. */
void doctor_say(struct doctor *doctor, enum doctor_result result, const char *check,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Runs work in a child, for at most 10 s: what it loads, spoils or waits for is
 * gone with it.  text: receives what it writes to its descriptor.  False: it
 * wrote nothing. */
bool doctor_apart(void (*work)(int to, void *arg), void *arg, char text[DOCTOR_LINE]);

/* The file of libsd and the watcher; "": none. */
const char *doctor_config_path(const struct doctor *doctor);

/* What that file says of a key before the first section or in the one named.
 * False: nothing, or it can't be read. */
bool doctor_config_value(const struct doctor *doctor, const char *section, const char *key,
                         char value[DOCTOR_LINE]);

void doctor_hosts(struct doctor *doctor);
void doctor_nscd(struct doctor *doctor);
void doctor_module(struct doctor *doctor);
void doctor_table(struct doctor *doctor);
void doctor_config(struct doctor *doctor);
void doctor_etcd(struct doctor *doctor);
void doctor_clock(struct doctor *doctor, const char *endpoint);
void doctor_lookup(struct doctor *doctor);

#endif
