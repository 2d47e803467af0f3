/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The command line of etcdsd, read by two tables: one row for each command, one
 * for each option.  Help texts and what is refused come from the same rows.
 *
 *     etcdsd [OPTION...] COMMAND [OPTION...] [WORD...] [-- PROGRAM [WORD...]]
 */
#ifndef ETCDSD_CLI_ARGUMENTS_H
#define ETCDSD_CLI_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses.  As with grep, 1 is a plain "no" and 2 means that nobody can
 * tell; status and doctor use them as 1: impaired, 2: broken.  Wrong usage is
 * EX_USAGE of sysexits.h, which is neither. */
enum cli_exit {
    CLI_GOOD = 0,
    CLI_NO = 1,
    CLI_TROUBLE = 2,
    CLI_USAGE = 64,
    /* register ... -- PROGRAM, like timeout(1) and env(1); else the program's own. */
    CLI_OWN_FAILURE = 125,
    CLI_NOT_RUNNABLE = 126,
    CLI_NOT_FOUND = 127,
    CLI_BY_SIGNAL = 128 /* and the signal's number */
};

enum cli_command_id {
    CLI_REGISTER,
    CLI_LIST,
    CLI_WATCH,
    CLI_RESOLVE,
    CLI_PICK,
    CLI_STATUS,
    CLI_DUMP,
    CLI_DOCTOR,
    CLI_HELP,
    CLI_COMMANDS
};

enum cli_option_id {
    CLI_INSTANCE,
    CLI_TTL,
    CLI_WEIGHT,
    CLI_PRIORITY,
    CLI_METADATA,
    CLI_TAKEOVER,
    CLI_CHECK,
    CLI_CHECK_INTERVAL,
    CLI_DRAIN,
    CLI_JSON,
    CLI_COLOR,
    CLI_SOURCE,
    CLI_ENDPOINTS,
    CLI_CACERT,
    CLI_CERT,
    CLI_KEY,
    CLI_USER,
    CLI_PASSWORD,
    CLI_PREFIX,
    CLI_DOMAIN,
    CLI_TIMEOUT_MS,
    CLI_CONFIG,
    CLI_TABLE,
    CLI_VERBOSE,
    CLI_VERSION,
    CLI_SHOW_HELP,
    CLI_OPTIONS
};

#define CLI_WORDS 2 /* the most that a command takes */

/* What was given; all strings lie in argv, but for the two secrets. */
struct cli_arguments {
    enum cli_command_id command;
    const char *values[CLI_OPTIONS]; /* NULL: not given; "" if it takes no value */
    int numbers[CLI_OPTIONS];        /* of options that are numbers */
    const char *words[CLI_WORDS];    /* of the command */
    int word_count;
    char **program; /* what follows "--", NULL at the end; NULL: nothing */
    char *secrets[2];
};

/* What main() does after reading the command line. */
enum cli_parsed {
    CLI_RUN = -1, /* else an exit status: told, or printed, already */
};

/* Reads the command line.  The bytes of passwords in argv are overwritten, so
 * that /proc/PID/cmdline does not go on showing them.  Returns CLI_RUN or an
 * exit status; cli_arguments_free() must follow in each case. */
int cli_arguments_parse(struct cli_arguments *arguments, int argc, char **argv);

void cli_arguments_free(struct cli_arguments *arguments);

/* Prints the help of one command; of all with CLI_HELP. */
void cli_help(enum cli_command_id command);

/* The command of that name, CLI_COMMANDS if there is none. */
enum cli_command_id cli_command_find(const char *name);

/* The name of a command; *summary: what it does, in a line. */
const char *cli_command_name(enum cli_command_id command, const char **summary);

/* What is known of an option. */
struct cli_option_about {
    const char *name;
    const char *value; /* what it takes; NULL: nothing */
    const char *help;  /* a line or two */
    bool fits;         /* it is one of the command's */
};

/* command CLI_COMMANDS: only options that all have fit. */
struct cli_option_about cli_option_about(enum cli_option_id option, enum cli_command_id command);

/* Says that there is none, and which one was meant.  Returns CLI_USAGE. */
int cli_unknown_command(const char *word);

/* The key of libsd_options_set() that an option stands for; NULL: none. */
const char *cli_option_key(enum cli_option_id option);

#endif
