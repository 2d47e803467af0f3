/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * gcov's counts are written at exit(3).  Forked children leave by _exit(2), so
 * tests/coverage has this put before each source: what they did counts, too.
 * It includes nothing of libc, which has names that sources may use.
 */
#include <gcov.h>

__attribute__((unused, noreturn)) static void exit_counted(int status)
{
    __gcov_dump();
    __builtin__Exit(status);
}

#define _exit exit_counted
