/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The command line: getopt_long(3) with an option for each row of the table of
 * keys, and --help out of the same table.
 */
#include "arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "config.h"
#include "libsd.h"

/* ---- help -------------------------------------------------------------- */

#define HELP_COLUMN 26
#define HELP_WIDTH  80

static const char help_begin[] =
    "Usage: etcdsd-watcher [OPTION]...\n"
    "Follow the services that are registered in etcd and show them to every\n"
    "program of this host: user.service.etcd then resolves like any host name.\n"
    "\n";

static const char help_end[] =
    "\n"
    "The file holds lines of \"key = value\": the options above without their dashes.\n"
    "Sections: [zone NAME] for another prefix and domain, [service OWNER-NAME] for\n"
    "one service.  An option beats the environment, which beats the file.\n"
    "Signals: SIGHUP            read the file again; a bad one changes nothing\n"
    "         SIGTERM, SIGINT   stop cleanly; the table stays and goes on answering\n"
    "Exit status: 0 stopped cleanly, 1 failed at run time, 2 wrong usage\n";

/* Prints text from the column on, broken at blanks. */
static void print_wrapped(const char *text, size_t column)
{
    while (*text != '\0') {
        size_t length = strcspn(text, " ");

        if (column > HELP_COLUMN && column + 1 + length > HELP_WIDTH) {
            printf("\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)length, text);
        column += length;
        text += length + strspn(text + length, " ");
    }
    putchar('\n');
}

static void print_option(const char *name, const char *argument, const char *text)
{
    int length = printf("  --%s %s", name, argument);

    if (length > HELP_COLUMN - 1)
        printf("\n%*s", HELP_COLUMN, "");
    else
        printf("%*s", HELP_COLUMN - length, "");
    print_wrapped(text, HELP_COLUMN);
}

static void print_key(const struct key *key)
{
    char text[400];
    const char *dollar = key->variable != NULL ? "$" : "", *fallback = key->fallback;

    snprintf(text, sizeof text, "%s [%s%s%s%s]%s%s", key->text, dollar,
             key->variable != NULL ? key->variable : "",
             key->variable != NULL && fallback != NULL ? ", else " : "",
             fallback != NULL ? fallback : "", key->places & KEY_ZONE ? "; in zones, too" : "",
             key->places & KEY_SERVICE ? ", and services" : "");
    print_option(key->name, key->argument, text);
}

static void print_help(void)
{
    fputs(help_begin, stdout);
    print_option("config", "FILE", "configuration [$ETCDSD_CONF, else " CONFIG_DEFAULT_PATH "]");
    print_option("check-config", "", "say what is wrong with it, and end");
    for (size_t i = 0; i < key_count; i++)
        print_key(&keys[i]);
    print_option("foreground", "", "stay in the foreground; it always does");
    print_option("version", "", "print the version");
    print_option("help", "", "print this");
    fputs(help_end, stdout);
}

/* ---- options ----------------------------------------------------------- */

/* Options that are no keys, behind those that are. */
enum option_id {
    OPT_KEYS = 256,
    OPT_CONFIG = OPT_KEYS + KEYS_MAX,
    OPT_CHECK,
    OPT_FOREGROUND,
    OPT_VERSION,
    OPT_HELP
};

static const struct option fixed_options[] = {
    { "config", required_argument, NULL, OPT_CONFIG },
    { "check-config", no_argument, NULL, OPT_CHECK },
    { "foreground", no_argument, NULL, OPT_FOREGROUND },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, OPT_HELP },
};
#define FIXED_OPTIONS (sizeof fixed_options / sizeof fixed_options[0])

/* The last one stays zero, as getopt_long(3) wants it. */
struct options {
    struct option list[KEYS_MAX + FIXED_OPTIONS + 1];
};

static void options_fill(struct options *options)
{
    memset(options, 0, sizeof *options);
    memcpy(options->list, fixed_options, sizeof fixed_options);
    for (size_t i = 0; i < key_count; i++)
        options->list[FIXED_OPTIONS + i] =
            (struct option){ keys[i].name, required_argument, NULL, OPT_KEYS + (int)i };
}

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "etcdsd-watcher: %s: %s\n", what, why);
    return ARGUMENTS_USAGE;
}

static int complain_unknown(const struct options *options, const char *word)
{
    const char *names[KEYS_MAX + FIXED_OPTIONS], *nearest = NULL;
    char slip[40], why[120] = "is not an option (see --help)";
    size_t count = 0;

    for (; options->list[count].name != NULL; count++)
        names[count] = options->list[count].name;
    if (strncmp(word, "--", 2) == 0) {
        snprintf(slip, sizeof slip, "%.*s", (int)strcspn(word + 2, "="), word + 2);
        for (size_t i = 0; i < count; i++)
            if (strcmp(slip, names[i]) == 0)
                return complain(word, "takes no value (see --help)");
        nearest = conf_nearest(slip, names, count);
    }
    if (nearest != NULL)
        snprintf(why, sizeof why, "is not an option; did you mean --%s?", nearest);
    return complain(word, why);
}

static void hide(char *secret)
{
    memset(secret, 'x', strlen(secret));
}

static int keep(char **place, const char *value)
{
    char *copy = strdup(value);

    if (copy == NULL)
        return complain("command line", "out of memory");
    if (*place != NULL)
        explicit_bzero(*place, strlen(*place));
    free(*place);
    *place = copy;
    return ARGUMENTS_RUN;
}

static int keep_key(struct arguments *arguments, size_t key, char *value)
{
    int rc = keep(&arguments->values[key], value);
    char *colon = strchr(value, ':');

    if (strcmp(keys[key].name, "password") == 0)
        hide(value);
    else if (strcmp(keys[key].name, "user") == 0 && colon != NULL)
        hide(colon + 1);
    return rc;
}

static int take_option(struct arguments *arguments, int id, char *value)
{
    switch (id) {
    case OPT_CONFIG:
        return keep(&arguments->config, value);
    case OPT_CHECK:
        arguments->is_check = true;
        return ARGUMENTS_RUN;
    case OPT_FOREGROUND:
        return ARGUMENTS_RUN;
    case OPT_VERSION:
        puts("etcdsd-watcher " LIBSD_VERSION);
        return ARGUMENTS_DONE;
    case OPT_HELP:
        print_help();
        return ARGUMENTS_DONE;
    default:
        return keep_key(arguments, (size_t)(id - OPT_KEYS), value);
    }
}

int arguments_parse(struct arguments *arguments, int argc, char **argv)
{
    struct options options;
    int id, rc = ARGUMENTS_RUN;

    *arguments = (struct arguments){ 0 };
    options_fill(&options);
    optind = 0; /* GNU: start anew, with another argv perhaps */
    opterr = 0;
    while (rc == ARGUMENTS_RUN && (id = getopt_long(argc, argv, ":", options.list, NULL)) != -1) {
        if (id == ':')
            return complain(argv[optind - 1], "needs a value (see --help)");
        if (id == '?')
            return complain_unknown(&options, argv[optind - 1]);
        rc = take_option(arguments, id, optarg);
    }
    if (rc == ARGUMENTS_RUN && optind < argc)
        return complain(argv[optind], "is not an option (see --help)");
    return rc;
}

void arguments_free(struct arguments *arguments)
{
    for (size_t i = 0; i < key_count; i++) {
        if (arguments->values[i] != NULL)
            explicit_bzero(arguments->values[i], strlen(arguments->values[i]));
        free(arguments->values[i]);
    }
    free(arguments->config);
    *arguments = (struct arguments){ 0 };
}
