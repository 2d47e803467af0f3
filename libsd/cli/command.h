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

/* Opens a handle as the command line says.  dispatch: as libsd's option.
 * Returns 0, or an exit status: told. */
int cli_open(const struct cli_arguments *arguments, const char *dispatch, libsd **sd);

/* The members of a JSON object that tell an instance. */
void cli_json_instance(struct cli_json *json, const libsd_instance *instance);

/* "service/instance". */
void cli_print_name(const libsd_instance *instance);
void cli_print_address(const libsd_instance *instance);

#endif
