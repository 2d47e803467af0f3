/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * etcdsd: service names from etcd, for people and for programs that can't be
 * changed.
 *
 *     arguments ──▶ register ──▶ supervise                    libsd.h
 *                   list, watch, pick ──▶ connect, out        libsd.h
 *                   resolve, status, dump ──▶ table           table/reader.h
 *                   doctor ──▶ all of these, and the host
 *
 * Relies on libsd's public API, and on the reader of the shared table.
 */
#include <stdlib.h>
#include <string.h>

#include "command.h"

static int (*const run[CLI_COMMANDS])(const struct cli_arguments *arguments) = {
    [CLI_REGISTER] = cli_register, [CLI_LIST] = cli_list,     [CLI_WATCH] = cli_watch,
    [CLI_RESOLVE] = cli_resolve,   [CLI_PICK] = cli_pick,     [CLI_STATUS] = cli_status,
    [CLI_DUMP] = cli_dump,         [CLI_DOCTOR] = cli_doctor,
};

static int help(const struct cli_arguments *arguments)
{
    enum cli_command_id command =
        arguments->word_count ? cli_command_find(arguments->words[0]) : CLI_HELP;

    if (command == CLI_COMMANDS)
        return cli_unknown_command(arguments->words[0]);
    cli_help(command);
    return CLI_GOOD;
}

int main(int argc, char **argv)
{
    struct cli_arguments arguments;
    int status;

    if (argc > 1 && strcmp(argv[1], "__complete") == 0)
        return cli_complete(argc - 2, argv + 2);
    status = cli_arguments_parse(&arguments, argc, argv);
    if (status == CLI_RUN) {
        if (arguments.values[CLI_TABLE]) /* libsd reads the table, too */
            setenv("ETCDSD_TABLE", arguments.values[CLI_TABLE], 1);
        status =
            arguments.command == CLI_HELP ? help(&arguments) : run[arguments.command](&arguments);
    }
    /* A program's status is the program's. */
    if (arguments.command != CLI_REGISTER)
        status = cli_flush(status);
    cli_arguments_free(&arguments);
    return status;
}
