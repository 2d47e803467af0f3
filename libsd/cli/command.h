/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The commands: each does its work, prints it, and returns an exit status; and
 * what several of them need.
 */
#ifndef ETCDSD_CLI_COMMAND_H
#define ETCDSD_CLI_COMMAND_H

#include "arguments.h"
#include "libsd.h"
#include "out.h"

int cli_register(const struct cli_arguments *arguments);
int cli_list(const struct cli_arguments *arguments);
int cli_watch(const struct cli_arguments *arguments);
int cli_resolve(const struct cli_arguments *arguments);
int cli_pick(const struct cli_arguments *arguments);
int cli_status(const struct cli_arguments *arguments);
int cli_dump(const struct cli_arguments *arguments);
int cli_doctor(const struct cli_arguments *arguments);

/* For the shells' completion, before the command line is read: prints what the
 * last of words may become, one "WORD<tab>what it is" a line; or ":files",
 * ":program" for what the shell itself knows best.  Returns an exit status. */
int cli_complete(int count, char **words);

/* Opens a handle as the command line says.  dispatch: as libsd's option.
 * Returns 0, or an exit status: told. */
int cli_open(const struct cli_arguments *arguments, const char *dispatch, libsd **sd);

/* The same; why receives what would have been told. */
int cli_try_open(const struct cli_arguments *arguments, const char *dispatch, libsd **sd, char *why,
                 size_t size);

/* The members of a JSON object that tell an instance. */
void cli_json_instance(struct cli_json *json, const libsd_instance *instance);

/* "service/instance". */
void cli_print_name(const libsd_instance *instance);
void cli_print_address(const libsd_instance *instance);

#endif
