/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the daemon is told on its command line.
 */
#ifndef ETCDSD_WATCHER_ARGUMENTS_H
#define ETCDSD_WATCHER_ARGUMENTS_H

#include <stdbool.h>

#include "keys.h"

/* Kept as long as the daemon runs: what stands here goes on beating the file
 * when that is read again.  All strings are the structure's own. */
struct arguments {
    char *config; /* NULL: not given */
    bool is_check;
    char *values[KEYS_MAX]; /* as they were written; NULL: not given */
};

/* What the daemon does after reading its options. */
enum arguments_result {
    ARGUMENTS_RUN = 1,
    ARGUMENTS_DONE = 0,  /* --help or --version: printed */
    ARGUMENTS_USAGE = -2 /* not acceptable: told on standard error */
};

/* Reads the command line; what the values mean is config_load()'s to say.  The
 * bytes of passwords in argv are overwritten, so that /proc/PID/cmdline does
 * not go on showing them.  Returns enum arguments_result; arguments_free() must
 * follow in each case. */
int arguments_parse(struct arguments *arguments, int argc, char **argv);

void arguments_free(struct arguments *arguments);

#endif
