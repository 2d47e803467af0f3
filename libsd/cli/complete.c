/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the shells' completions ask: `etcdsd __complete WORD...`, the words that
 * were typed after "etcdsd", the last one perhaps not yet whole.
 *
 * So the scripts in packaging/completions hold no list of anything.  Services
 * come from the host's table, without a connection; where there is none, from
 * etcd, if it is quick.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "table.h"
#include "table/reverse.h"

#define PATIENCE_MS "500"
#define TRIES       100

/* What was typed up to the last word. */
struct typed {
    enum cli_command_id command;
    int words;                 /* of the command */
    enum cli_option_id option; /* whose value the last word is; else CLI_OPTIONS */
    int after_dashes;          /* words behind "--"; -1: none yet */
    int before;                /* bytes of "--option=" that last begins with */
    const char *last;          /* what follows them */
};

static void offer(const struct typed *typed, const char *word, const char *about)
{
    if (strncmp(word, typed->last, strlen(typed->last)) == 0)
        printf("%.*s%s\t%.*s\n", typed->before, typed->last - typed->before, word,
               (int)strcspn(about, "\n"), about);
}

/* ---- services ----------------------------------------------------------- */

/* Other bytes would need quotes, each shell's own. */
static bool is_plain(const char *word)
{
    return word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "-_./")] == '\0';
}

/* A dot is typed in owner names only. */
static void offer_record(const struct table_view *view, const struct cli_record *copy,
                         const struct typed *typed)
{
    char name[TABLE_MAX_NAME + 9], service[TABLE_MAX_NAME + 1], about[60];

    cli_record_name(copy, name);
    cli_service_of(name, table_domain_of(view, name, strlen(name)), service);
    snprintf(about, sizeof about, "%u instance%s", copy->record.shape.instances,
             copy->record.shape.instances == 1 ? "" : "s");
    offer(typed, service, about);
    if (typed->command == CLI_RESOLVE && strchr(typed->last, '.'))
        offer(typed, name, about);
}

static bool offer_from_table(const struct typed *typed)
{
    char why[CLI_TABLE_LINE], mend[CLI_TABLE_LINE];
    struct cli_record copy = { 0 };
    struct table_record record;
    struct table_view view;
    uint64_t next = 0;

    if (!cli_table_map(&view, why, mend))
        return false;
    while (table_next(&view, &next, &record) == TABLE_FOUND) {
        if (cli_record_copy(&copy, &record)) /* what changes right now is left out */
            offer_record(&view, &copy, typed);
    }
    cli_record_free(&copy);
    cli_table_unmap(&view);
    return true;
}

static void offer_from_etcd(const struct typed *typed)
{
    struct cli_arguments arguments = { .command = CLI_LIST };
    libsd_snapshot *snapshot = NULL;
    const char *before = "";
    char why[600];
    libsd *sd;

    arguments.values[CLI_TIMEOUT_MS] = PATIENCE_MS;
    if (cli_try_open(&arguments, "manual", &sd, why, sizeof why) != 0)
        return;
    if (libsd_discover(sd, NULL, &snapshot, 0) >= 0) {
        for (size_t i = 0; i < libsd_snapshot_count(snapshot); i++) {
            const char *service = libsd_snapshot_at(snapshot, i)->service;

            if (strcmp(service, before) != 0 && is_plain(service))
                offer(typed, service, "");
            before = service;
        }
    }
    libsd_snapshot_unref(snapshot);
    libsd_close(sd);
}

/* ---- options, commands -------------------------------------------------- */

static void offer_options(const struct typed *typed)
{
    char name[60];

    for (int i = 0; i < CLI_OPTIONS; i++) {
        struct cli_option_about about = cli_option_about((enum cli_option_id)i, typed->command);

        snprintf(name, sizeof name, "--%s", about.name);
        if (about.fits)
            offer(typed, name, about.help);
    }
}

static void offer_commands(const struct typed *typed)
{
    for (int i = 0; i < CLI_COMMANDS; i++) {
        const char *summary;
        const char *name = cli_command_name((enum cli_command_id)i, &summary);

        offer(typed, name, summary);
    }
}

/* NULL at the end. */
static void offer_words(const struct typed *typed, const char *const *words)
{
    for (; *words; words++)
        offer(typed, *words, "");
}

static void offer_values(const struct typed *typed)
{
    static const char *const takeovers[] = { "wait", "force", "fail", NULL };
    static const char *const sources[] = { "auto", "table", "etcd", NULL };
    static const char *const colours[] = { "auto", "always", "never", NULL };
    static const char *const checks[] = { "tcp", "tcp=", "http=", "cmd=", NULL };
    struct cli_option_about about = cli_option_about(typed->option, typed->command);

    if (typed->option == CLI_TAKEOVER)
        offer_words(typed, takeovers);
    else if (typed->option == CLI_SOURCE)
        offer_words(typed, sources);
    else if (typed->option == CLI_COLOR)
        offer_words(typed, colours);
    else if (typed->option == CLI_CHECK)
        offer_words(typed, checks);
    else if (strcmp(about.value, "FILE") == 0)
        puts(":files");
}

/* ---- what was typed ----------------------------------------------------- */

/* Of "--option" and of "--option=value". */
static enum cli_option_id option_of(const char *word)
{
    size_t size = strcspn(word, "=");

    for (int i = 0; i < CLI_OPTIONS && strncmp(word, "--", 2) == 0; i++) {
        const char *name = cli_option_about((enum cli_option_id)i, CLI_COMMANDS).name;

        if (size == strlen(name) + 2 && strncmp(word + 2, name, size - 2) == 0)
            return (enum cli_option_id)i;
    }
    return CLI_OPTIONS;
}

static void take_value(enum cli_option_id option, const char *value)
{
    if (option == CLI_TABLE)
        setenv("ETCDSD_TABLE", value, 1);
}

static void take_word(struct typed *typed, const char *word)
{
    if (typed->command == CLI_COMMANDS)
        typed->command = cli_command_find(word);
    else
        typed->words++;
}

static void take(struct typed *typed, const char *word)
{
    enum cli_option_id option = option_of(word);
    bool has_value = option != CLI_OPTIONS && cli_option_about(option, CLI_COMMANDS).value;

    if (typed->after_dashes >= 0) {
        typed->after_dashes++;
    } else if (typed->option != CLI_OPTIONS) {
        take_value(typed->option, word);
        typed->option = CLI_OPTIONS;
    } else if (strcmp(word, "--") == 0) {
        typed->after_dashes = 0;
    } else if (has_value && strchr(word, '=')) {
        take_value(option, strchr(word, '=') + 1);
    } else if (has_value) {
        typed->option = option;
    } else if (*word != '-') {
        take_word(typed, word);
    }
}

/* The last word, if that is an option and (a part of) its value. */
static void split_last(struct typed *typed)
{
    const char *equals = strchr(typed->last, '=');
    enum cli_option_id option = option_of(typed->last);

    if (typed->after_dashes >= 0 || typed->option != CLI_OPTIONS || !equals ||
        option == CLI_OPTIONS || !cli_option_about(option, CLI_COMMANDS).value)
        return;
    typed->option = option;
    typed->before = (int)(equals + 1 - typed->last);
    typed->last = equals + 1;
}

/* As getopt_long(3) reads them, but for errors. */
static void read_typed(struct typed *typed, int count, char **words)
{
    *typed = (struct typed){ .command = CLI_COMMANDS, .option = CLI_OPTIONS, .after_dashes = -1 };
    typed->last = count ? words[count - 1] : "";
    for (int i = 0; i + 1 < count; i++)
        take(typed, words[i]);
    split_last(typed);
}

int cli_complete(int count, char **words)
{
    struct typed typed;

    read_typed(&typed, count, words);
    if (typed.after_dashes >= 0)
        puts(typed.after_dashes ? ":files" : ":program");
    else if (typed.option != CLI_OPTIONS)
        offer_values(&typed);
    else if (*typed.last == '-')
        offer_options(&typed);
    else if (typed.command == CLI_COMMANDS || (typed.command == CLI_HELP && typed.words == 0))
        offer_commands(&typed);
    else if (typed.words == 0 && typed.command != CLI_STATUS && typed.command != CLI_DUMP &&
             typed.command != CLI_DOCTOR && !offer_from_table(&typed))
        offer_from_etcd(&typed);
    return cli_flush(CLI_GOOD);
}
