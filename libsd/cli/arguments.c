/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See arguments.h.
 */
#include "arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "libsd.h"
#include "say.h"

#define BIT(command) (1u << (command))
#define ALL          (BIT(CLI_COMMANDS) - 1)
#define READING                                                                            \
    (BIT(CLI_LIST) | BIT(CLI_WATCH) | BIT(CLI_RESOLVE) | BIT(CLI_PICK) | BIT(CLI_STATUS) | \
     BIT(CLI_DUMP) | BIT(CLI_DOCTOR))

static const struct command {
    const char *name;
    const char *synopsis;
    int least, most; /* words */
    const char *summary;
    const char *text;
} commands[CLI_COMMANDS] = {
    [CLI_REGISTER] = { "register", "SERVICE ADDRESS [-- PROGRAM [WORD...]]", 2, 2,
                       "keep an instance of a service registered",
                       "Registers ADDRESS (ip:port) as an instance of SERVICE for as long as it "
                       "runs.\n"
                       "With PROGRAM, runs it, and registers for as long as that runs.  Signals "
                       "go\n"
                       "to the program's process group; SIGTERM, SIGINT and SIGQUIT only after "
                       "the\n"
                       "instance is deregistered and --drain has passed (a second one ends the "
                       "wait).\n"
                       "\n"
                       "Exit status: that of PROGRAM, or 128 and the signal that ended it; 125 if\n"
                       "etcdsd failed, 126 if PROGRAM can't be run, 127 if there is none.\n"
                       "Without PROGRAM: 0 stopped by a signal, 1 the name is taken, 2 failed.\n" },
    [CLI_LIST] = { "list", "[SERVICE]", 0, 1, "print what is registered in etcd",
                   "Prints the instances of SERVICE, or of all services, as etcd has them now.\n"
                   "\n"
                   "Exit status: 0 printed, 1 SERVICE has no instance, 2 etcd can't be asked.\n" },
    [CLI_WATCH] = { "watch", "[SERVICE]", 0, 1, "print what comes and goes in etcd",
                    "Prints the instances of SERVICE, or of all services, then each change, for\n"
                    "ever: + online, - offline, ~ changed, ! etcd out of sight.  Goes on when "
                    "etcd\n"
                    "is back.  NO_COLOR in the environment: no colours.\n"
                    "\n"
                    "Exit status: 0 stopped by SIGINT or SIGTERM, 2 failed.\n" },
    [CLI_RESOLVE] = { "resolve", "NAME", 1, 1, "print what this host answers for a name, and why",
                      "Looks NAME (user.service.etcd; or a service: user, shop/user) up in the\n"
                      "table that programs on this host get their answers from.  Needs no etcd.\n"
                      "\n"
                      "Exit status: 0 printed, 1 no such name, 2 there is no usable table.\n" },
    [CLI_PICK] = { "pick", "SERVICE", 1, 1, "print the address of one instance",
                   "Prints one host:port of SERVICE, another one each time.\n"
                   "\n"
                   "Exit status: 0 printed, 1 SERVICE has no instance, 2 nobody can tell.\n" },
    [CLI_STATUS] = { "status", "", 0, 0, "print how this host's watcher and table are",
                     "Reads the table's header only; needs no etcd.\n"
                     "\n"
                     "Exit status: 0 it follows etcd, 1 it answers, but does not follow etcd,\n"
                     "2 it can't answer.\n" },
    [CLI_DUMP] = { "dump", "", 0, 0, "print the whole table of this host",
                   "One line for each instance: service, instance, address, owner name; tabs\n"
                   "between them.  Needs no etcd.\n"
                   "\n"
                   "Exit status: 0 printed, 2 there is no usable table.\n" },
    [CLI_DOCTOR] = { "doctor", "", 0, 0, "look for what is wrong on this host, and tell the mend",
                     "Looks at nsswitch.conf, the module, nscd, the table, the watcher, the\n"
                     "configuration and etcd.  One line each: ok, warn or FAIL, what, and how to\n"
                     "mend it.  As root it sees more.\n"
                     "\n"
                     "Exit status: 0 all is ok, 1 there are warnings, 2 something fails.\n" },
    [CLI_HELP] = { "help", "[COMMAND]", 0, 1, "print this, or the help of one command", NULL },
};

static const struct row {
    const char *name;
    const char *value; /* what it takes; NULL: nothing */
    unsigned commands;
    int most; /* a number from least on to this; 0: text */
    int least;
    const char *key; /* of libsd_options_set(); NULL: none */
    const char *help;
} rows[CLI_OPTIONS] = {
    [CLI_INSTANCE] = { "instance", "NAME", BIT(CLI_REGISTER), 0, 0, NULL,
                       "its name [unique: host, process, random]" },
    [CLI_TTL] = { "ttl", "SECONDS", BIT(CLI_REGISTER), 0, 0, "ttl",
                  "of the lease: so long after kill -9 it is gone [10]" },
    [CLI_WEIGHT] = { "weight", "N", BIT(CLI_REGISTER), 65535, 1, NULL,
                     "share among the instances, 1 to 65535" },
    [CLI_PRIORITY] = { "priority", "N", BIT(CLI_REGISTER), 65535, 1, NULL,
                       "lower ones are picked first" },
    [CLI_METADATA] = { "metadata", "JSON", BIT(CLI_REGISTER), 0, 0, NULL,
                       "an object, such as {\"zone\":\"a\"}" },
    [CLI_TAKEOVER] = { "takeover", "HOW", BIT(CLI_REGISTER), 0, 0, "takeover",
                       "if a live owner has the name: wait, force, fail [wait]" },
    [CLI_CHECK] = { "check", "CHECK", BIT(CLI_REGISTER), 0, 0, NULL,
                    "registered only while it passes: tcp, tcp=HOST:PORT, http=URL,\n"
                    "http=/PATH, cmd=SHELL-COMMAND" },
    [CLI_CHECK_INTERVAL] = { "check-interval", "SECONDS", BIT(CLI_REGISTER), 86400, 1, NULL,
                             "between checks; three bad ones in a row take it out [2]" },
    [CLI_DRAIN] = { "drain", "SECONDS", BIT(CLI_REGISTER), 86400, 0, NULL,
                    "from deregistering to telling PROGRAM to stop [0]" },
    [CLI_JSON] = { "json", NULL, READING, 0, 0, NULL, "print JSON; watch: one object per line" },
    [CLI_COLOR] = { "color", "WHEN", BIT(CLI_WATCH), 0, 0, NULL,
                    "auto (on a terminal), always, never [auto]" },
    [CLI_SOURCE] = { "source", "WHERE", BIT(CLI_PICK), 0, 0, "source",
                     "auto, table or etcd [auto]" },
    [CLI_ENDPOINTS] = { "endpoints", "URLS", ALL, 0, 0, "endpoints",
                        "of etcd, commas between them [http://127.0.0.1:2379]" },
    [CLI_CACERT] = { "cacert", "FILE", ALL, 0, 0, "cacert", "certificate of the CA, for https" },
    [CLI_CERT] = { "cert", "FILE", ALL, 0, 0, "cert", "our certificate" },
    [CLI_KEY] = { "key", "FILE", ALL, 0, 0, "key", "and its key" },
    [CLI_USER] = { "user", "NAME[:PASSWORD]", ALL, 0, 0, "user", "etcd user" },
    [CLI_PASSWORD] = { "password", "PASSWORD", ALL, 0, 0, "password", "and their password" },
    [CLI_PREFIX] = { "prefix", "PREFIX", ALL, 0, 0, "prefix", "of keys in etcd [/service/]" },
    [CLI_DOMAIN] = { "domain", "DOMAIN", ALL, 0, 0, "domain",
                     "of names on this host [service.etcd]" },
    [CLI_TIMEOUT_MS] = { "timeout-ms", "N", ALL, 0, 0, "timeout-ms",
                         "the longest wait for etcd [5000]" },
    [CLI_CONFIG] = { "config", "FILE", ALL, 0, 0, NULL,
                     "instead of /etc/etcdsd/etcdsd.conf; \"\": none" },
    [CLI_TABLE] = { "table", "FILE", ALL, 0, 0, NULL,
                    "instead of $ETCDSD_TABLE or /run/etcdsd/table.v1" },
    [CLI_VERBOSE] = { "verbose", NULL, ALL, 0, 0, NULL, "print the messages of libsd, too" },
    [CLI_VERSION] = { "version", NULL, ALL, 0, 0, NULL, "print the version" },
    [CLI_SHOW_HELP] = { "help", NULL, ALL, 0, 0, NULL, "print this, or the help of the command" },
};

/* ---- help --------------------------------------------------------------- */

static void print_option(const struct row *row)
{
    char left[40];
    const char *text = row->help;

    snprintf(left, sizeof left, "--%s%s%s", row->name, row->value ? " " : "",
             row->value ? row->value : "");
    while (*text) {
        size_t size = strcspn(text, "\n");

        printf("  %-24s  %.*s\n", left, (int)size, text);
        left[0] = '\0';
        text += size + (text[size] == '\n');
    }
}

/* The options of some commands, but for those of all. */
static void print_options(unsigned of, bool common)
{
    for (int i = 0; i < CLI_OPTIONS; i++) {
        if ((rows[i].commands == ALL) == common && (rows[i].commands & of))
            print_option(&rows[i]);
    }
}

static void help_for_all(void)
{
    puts("Usage: etcdsd [OPTION...] COMMAND [OPTION...] [WORD...]\n"
         "Service names from etcd: registers, lists, watches, resolves.\n");
    for (int i = 0; i < CLI_COMMANDS; i++)
        printf("  %-9s %-10s %s\n", commands[i].name, i == CLI_REGISTER ? "" : commands[i].synopsis,
               commands[i].summary);
    puts("\nOptions of all commands (`etcdsd COMMAND --help` tells the others):");
    print_options(ALL, true);
    puts("\nThe variables ETCDCTL_ENDPOINTS, ETCDCTL_CACERT, ... mean what they mean to etcdctl.\n"
         "Exit status: 0 yes, 1 no (or impaired), 2 nobody can tell (or broken), 64 wrong usage.");
}

void cli_help(enum cli_command_id command)
{
    const struct command *row = &commands[command];

    if (command == CLI_HELP) {
        help_for_all();
        return;
    }
    printf("Usage: etcdsd %s [OPTION...]%s%s\n\n%s\nOptions:\n", row->name,
           *row->synopsis ? " " : "", row->synopsis, row->text);
    print_options(1u << command, false);
    puts("\nand those of all commands (see `etcdsd --help`).");
}

/* ---- reading ------------------------------------------------------------ */

enum cli_command_id cli_command_find(const char *name)
{
    int i = 0;

    while (i < CLI_COMMANDS && strcmp(name, commands[i].name) != 0)
        i++;
    return (enum cli_command_id)i;
}

const char *cli_option_key(enum cli_option_id option)
{
    return rows[option].key;
}

const char *cli_command_name(enum cli_command_id command, const char **summary)
{
    *summary = commands[command].summary;
    return commands[command].name;
}

struct cli_option_about cli_option_about(enum cli_option_id option, enum cli_command_id command)
{
    const struct row *row = &rows[option];
    bool fits = command == CLI_COMMANDS ? row->commands == ALL : row->commands & BIT(command);

    return (struct cli_option_about){ row->name, row->value, row->help, fits };
}

int cli_unknown_command(const char *word)
{
    const char *names[CLI_COMMANDS];
    const char *nearest;

    for (int i = 0; i < CLI_COMMANDS; i++)
        names[i] = commands[i].name;
    nearest = conf_nearest(word, names, CLI_COMMANDS);
    return cli_fail(CLI_USAGE, nearest ? "did you mean %s?" : "see etcdsd --help", nearest,
                    "%s: is no command", word);
}

static int unknown_option(const char *word)
{
    const char *names[CLI_OPTIONS];
    const char *nearest;
    char name[40];

    for (int i = 0; i < CLI_OPTIONS; i++)
        names[i] = rows[i].name;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + strspn(word, "-"), "="),
             word + strspn(word, "-"));
    nearest = conf_nearest(name, names, CLI_OPTIONS);
    if (nearest && strcmp(nearest, name) == 0)
        return cli_fail(CLI_USAGE, "see etcdsd --help", NULL, "--%s: takes no value", name);
    return cli_fail(CLI_USAGE, nearest ? "did you mean --%s?" : "see etcdsd --help", nearest,
                    "%s: is no option", word);
}

/* Decimal digits only: strtol(3) takes signs and blanks. */
static int set_number(struct cli_arguments *arguments, int id, const char *text)
{
    int value = *text ? 0 : -1;

    for (const char *c = text; *c && value >= 0; c++) {
        value = *c < '0' || *c > '9' ? -1 : value * 10 + (*c - '0');
        if (value > rows[id].most)
            value = -1;
    }
    if (value < rows[id].least)
        return cli_fail(CLI_USAGE, NULL, NULL, "--%s: '%s' is not a number from %d to %d",
                        rows[id].name, text, rows[id].least, rows[id].most);
    arguments->numbers[id] = value;
    return CLI_RUN;
}

/* Keeps a copy, and wipes the original from `secret` on. */
static int set_secret(struct cli_arguments *arguments, int id, char *text, char *secret)
{
    char **copy = &arguments->secrets[id == CLI_PASSWORD];

    free(*copy);
    *copy = strdup(text);
    if (!*copy)
        return cli_fail(CLI_TROUBLE, NULL, NULL, "out of memory");
    if (secret)
        memset(secret, 'x', strlen(secret));
    arguments->values[id] = *copy;
    return CLI_RUN;
}

static int set_option(struct cli_arguments *arguments, int id, char *text)
{
    char *colon;

    arguments->values[id] = text ? text : "";
    if (!text)
        return CLI_RUN;
    if (rows[id].most)
        return set_number(arguments, id, text);
    if (id == CLI_PASSWORD)
        return set_secret(arguments, id, text, text);
    if (id == CLI_USER) {
        colon = strchr(text, ':');
        return set_secret(arguments, id, text, colon ? colon + 1 : NULL);
    }
    if (id == CLI_COLOR && strcmp(text, "auto") != 0 && strcmp(text, "always") != 0 &&
        strcmp(text, "never") != 0)
        return cli_fail(CLI_USAGE, NULL, NULL, "--color: '%s' is none of auto, always, never",
                        text);
    if (id == CLI_TABLE && !*text)
        return cli_fail(CLI_USAGE, NULL, NULL, "--table: is empty");
    return CLI_RUN;
}

static int set_word(struct cli_arguments *arguments, const char *word)
{
    const struct command *command;

    if (arguments->command == CLI_COMMANDS) {
        arguments->command = cli_command_find(word);
        return arguments->command == CLI_COMMANDS ? cli_unknown_command(word) : CLI_RUN;
    }
    command = &commands[arguments->command];
    if (arguments->word_count == command->most)
        return cli_fail(
            CLI_USAGE, arguments->command == CLI_REGISTER ? "a program goes after --" : NULL, NULL,
            "%s: is one word too many for %s %s", word, command->name, command->synopsis);
    arguments->words[arguments->word_count++] = word;
    return CLI_RUN;
}

/* What can only be said when all of it is read. */
static int check(const struct cli_arguments *arguments)
{
    const struct command *command = &commands[arguments->command];

    for (int i = 0; i < CLI_OPTIONS; i++) {
        if (arguments->values[i] && !(rows[i].commands & BIT(arguments->command)))
            return cli_fail(CLI_USAGE, "see etcdsd %s --help", command->name,
                            "--%s: is no option of %s", rows[i].name, command->name);
    }
    if (arguments->word_count < command->least)
        return cli_fail(CLI_USAGE, "see etcdsd %s --help", command->name, "%s: needs %s",
                        command->name, command->synopsis);
    for (int i = 0; i < arguments->word_count; i++) {
        if (!*arguments->words[i])
            return cli_fail(CLI_USAGE, "see etcdsd %s --help", command->name,
                            "%s: a word is empty; it takes %s", command->name, command->synopsis);
    }
    if (arguments->program && arguments->command != CLI_REGISTER)
        return cli_fail(CLI_USAGE, NULL, NULL, "--: %s runs no program", command->name);
    if (arguments->values[CLI_DRAIN] && !arguments->program)
        return cli_fail(CLI_USAGE, "register SERVICE ADDRESS --drain SECONDS -- PROGRAM", NULL,
                        "--drain: is for a program that is run");
    if (arguments->values[CLI_CHECK_INTERVAL] && !arguments->values[CLI_CHECK])
        return cli_fail(CLI_USAGE, NULL, NULL, "--check-interval: there is no --check");
    return CLI_RUN;
}

static int finish(struct cli_arguments *arguments, int argc, char **argv)
{
    if (arguments->values[CLI_VERSION]) {
        puts("etcdsd " LIBSD_VERSION);
        return CLI_GOOD;
    }
    if (arguments->values[CLI_SHOW_HELP]) {
        cli_help(arguments->command == CLI_COMMANDS ? CLI_HELP : arguments->command);
        return CLI_GOOD;
    }
    if (arguments->command == CLI_COMMANDS)
        return cli_fail(CLI_USAGE, "see etcdsd --help", NULL, "which command?");
    if (strcmp(argv[optind - 1], "--") == 0 && optind < argc)
        arguments->program = argv + optind;
    else if (strcmp(argv[optind - 1], "--") == 0 && arguments->command == CLI_REGISTER)
        return cli_fail(CLI_USAGE, "see etcdsd register --help", NULL, "--: no program follows");
    return check(arguments);
}

int cli_arguments_parse(struct cli_arguments *arguments, int argc, char **argv)
{
    struct option options[CLI_OPTIONS + 1] = { { 0 } };
    int rc = CLI_RUN;
    int id;

    *arguments = (struct cli_arguments){ .command = CLI_COMMANDS };
    for (int i = 0; i < CLI_OPTIONS; i++)
        options[i] = (struct option){ rows[i].name, rows[i].value ? required_argument : no_argument,
                                      NULL, 256 + i };
    optind = 0; /* GNU: start anew, with another argv perhaps */
    opterr = 0;
    /* "-": words come in order, so that what follows "--" stays apart. */
    while (rc == CLI_RUN && (id = getopt_long(argc, argv, "-:", options, NULL)) != -1) {
        if (id == 1)
            rc = set_word(arguments, optarg);
        else if (id == ':')
            rc = cli_fail(CLI_USAGE, "see etcdsd --help", NULL, "%s: needs a value",
                          argv[optind - 1]);
        else if (id == '?')
            rc = unknown_option(argv[optind - 1]);
        else
            rc = set_option(arguments, id - 256, optarg);
    }
    return rc == CLI_RUN ? finish(arguments, argc, argv) : rc;
}

void cli_arguments_free(struct cli_arguments *arguments)
{
    for (int i = 0; i < 2; i++) {
        if (arguments->secrets[i])
            explicit_bzero(arguments->secrets[i], strlen(arguments->secrets[i]));
        free(arguments->secrets[i]);
        arguments->secrets[i] = NULL;
    }
}
