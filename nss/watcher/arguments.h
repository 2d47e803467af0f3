/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the daemon is told on its command line.
 */
#ifndef ETCDSD_WATCHER_ARGUMENTS_H
#define ETCDSD_WATCHER_ARGUMENTS_H

#include <stdint.h>

#include "layout.h"

/* All strings are the structure's own.  NULL: not given, so that libsd looks
 * into the environment and then takes its default. */
struct arguments {
    char *endpoints;
    char *cacert, *cert, *key;
    char *user, *password;
    char *prefix; /* ends with '/' */
    char *table;
    char domain[TABLE_MAX_NAME + 1]; /* normalized */
    uint8_t max_answers;             /* 0: auto */
    uint32_t max_stale_s;            /* 0: for ever */
    int log_level;                   /* enum log_level */
};

/* What the daemon does after reading its options. */
enum arguments_result {
    ARGUMENTS_RUN = 1,
    ARGUMENTS_DONE = 0,  /* --help or --version: printed */
    ARGUMENTS_USAGE = -2 /* not acceptable: told on standard error */
};

/* Reads the command line.  The bytes of passwords in argv are overwritten, so
 * that /proc/PID/cmdline does not go on showing them.  Returns enum
 * arguments_result; arguments_free() must follow in each case. */
int arguments_parse(struct arguments *arguments, int argc, char **argv);

void arguments_free(struct arguments *arguments);

/* Finds the first endpoint of a comma-separated list whose host lies in the
 * domain: to resolve it, the daemon would have to ask itself.  Returns its
 * length and sets *endpoint, or 0 if there is none. */
int arguments_endpoint_inside(const char *endpoints, const char *domain, const char **endpoint);

#endif
