/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A program that is run for somebody: in a process group of its own, so that
 * signals reach its children, too; with every descriptor that etcdsd was
 * started with, and the signal mask.
 *
 * If etcdsd is in the foreground of a terminal, the program's group is, as long
 * as it runs: it may read from it, and ^C goes to it.  ^Z stops etcdsd as well,
 * as its shell has to see that; so does reading in the background.  fg brings
 * both back.
 */
#ifndef ETCDSD_CLI_PROGRAM_H
#define ETCDSD_CLI_PROGRAM_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct cli_program {
    pid_t pid; /* 0: does not run */
};

/* Whether there is such a program.  Returns 0, CLI_NOT_FOUND or
 * CLI_NOT_RUNNABLE: told. */
int cli_program_find(const char *name);

/* Starts it.  mask: of its signals.  Returns the same. */
int cli_program_start(struct cli_program *program, char *const *words, const sigset_t *mask);

/* Looks whether it has ended, without waiting.  *status: as a shell tells it. */
bool cli_program_ended(struct cli_program *program, int *status);

void cli_program_signal(const struct cli_program *program, int number);

#endif
