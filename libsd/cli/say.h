/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What etcdsd says on standard error: one line each, "etcdsd: what: why (hint)".
 * Control characters, which keys and servers may hold, become '?'.
 */
#ifndef ETCDSD_CLI_SAY_H
#define ETCDSD_CLI_SAY_H

#include "libsd.h"

void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An error.  hint: NULL, or what to do about it, in which one %s stands for
 * hint_word.  Returns status. */
int cli_fail(int status, const char *hint, const char *hint_word, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same of what a libsd function returned: why and what to do are known.
 * sd: whose detail is told; NULL: that of the thread. */
int cli_fail_libsd(int status, libsd *sd, int error, const char *what);

/* What to do about an error of libsd; NULL: nobody knows. */
const char *cli_hint(int error);

#endif
