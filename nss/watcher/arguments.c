/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The command line: getopt_long(3), one function per kind of value, each error
 * one line that names the option, the reason and a hint.
 */
#include "arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libsd.h"
#include "log.h"
#include "zone.h"

#define DEFAULT_PREFIX "/service/"

static const char help[] =
    "Usage: etcdsd-watcher [OPTION]...\n"
    "Follow the services that are registered in etcd and show them to every\n"
    "program of this host: user.service.etcd then resolves like any host name.\n"
    "\n"
    "  --endpoints LIST      etcd's client URLs, comma-separated\n"
    "                        [$ETCDCTL_ENDPOINTS, else http://127.0.0.1:2379]\n"
    "  --cacert FILE         CA that signed the servers' certificates\n"
    "                        [$ETCDCTL_CACERT]\n"
    "  --cert FILE           certificate to show to etcd [$ETCDCTL_CERT]\n"
    "  --key FILE            its private key [$ETCDCTL_KEY]\n"
    "  --user NAME[:PW]      etcd user [$ETCDCTL_USER]\n"
    "  --password PW         and password; better in [$ETCDCTL_PASSWORD]\n"
    "  --prefix PREFIX       key prefix of the services [" DEFAULT_PREFIX "]\n"
    "  --domain DOMAIN       domain of their names [" TABLE_DEFAULT_DOMAIN "]\n"
    "  --table PATH          shared table [" TABLE_DEFAULT_PATH "]; its directory\n"
    "                        is made if it is missing\n"
    "  --max-answers N|auto  most addresses in an answer, 1 to 255; auto: 8, but\n"
    "                        one where libc would undo the rotation [auto]\n"
    "  --max-stale SECONDS   how long to answer without etcd, 0: for ever [0]\n"
    "  --log-level LEVEL     error, warning, info or debug [info]\n"
    "  --foreground          stay in the foreground; it always does\n"
    "  --version             print the version\n"
    "  --help                print this\n"
    "\n"
    "Signals: SIGTERM, SIGINT  stop cleanly; the table stays and goes on answering\n"
    "Exit status: 0 stopped cleanly, 1 failed at run time, 2 wrong usage\n";

enum option_id {
    OPT_ENDPOINTS = 256,
    OPT_CACERT,
    OPT_CERT,
    OPT_KEY,
    OPT_USER,
    OPT_PASSWORD,
    OPT_PREFIX,
    OPT_DOMAIN,
    OPT_TABLE,
    OPT_MAX_ANSWERS,
    OPT_MAX_STALE,
    OPT_LOG_LEVEL,
    OPT_FOREGROUND,
    OPT_VERSION,
    OPT_HELP
};

static const struct option long_options[] = {
    { "endpoints", required_argument, NULL, OPT_ENDPOINTS },
    { "cacert", required_argument, NULL, OPT_CACERT },
    { "cert", required_argument, NULL, OPT_CERT },
    { "key", required_argument, NULL, OPT_KEY },
    { "user", required_argument, NULL, OPT_USER },
    { "password", required_argument, NULL, OPT_PASSWORD },
    { "prefix", required_argument, NULL, OPT_PREFIX },
    { "domain", required_argument, NULL, OPT_DOMAIN },
    { "table", required_argument, NULL, OPT_TABLE },
    { "max-answers", required_argument, NULL, OPT_MAX_ANSWERS },
    { "max-stale", required_argument, NULL, OPT_MAX_STALE },
    { "log-level", required_argument, NULL, OPT_LOG_LEVEL },
    { "foreground", no_argument, NULL, OPT_FOREGROUND },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, OPT_HELP },
    { NULL, 0, NULL, 0 },
};

static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int complain(const char *format, ...)
{
    va_list arguments;

    fputs("etcdsd-watcher: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return ARGUMENTS_USAGE;
}

static int set_string(char **place, const char *value)
{
    char *copy = strdup(value);

    if (copy == NULL)
        return complain("command line: %s", strerror(ENOMEM));
    free(*place);
    *place = copy;
    return ARGUMENTS_RUN;
}

static void hide(char *secret)
{
    memset(secret, 'x', strlen(secret));
}

static int set_user(struct arguments *arguments, char *value)
{
    int rc = set_string(&arguments->user, value);
    char *colon = strchr(value, ':');

    if (colon != NULL)
        hide(colon + 1);
    return rc;
}

static int set_password(struct arguments *arguments, char *value)
{
    int rc = set_string(&arguments->password, value);

    hide(value);
    return rc;
}

/* Segments are exact: without the slash "/service" would take "/services/". */
static int set_prefix(struct arguments *arguments, const char *value)
{
    size_t length = strlen(value);
    char *copy;

    if (length == 0)
        return complain("--prefix: is empty (the default is %s)", DEFAULT_PREFIX);
    if (asprintf(&copy, "%s%s", value, value[length - 1] == '/' ? "" : "/") < 0)
        return complain("--prefix: %s", strerror(ENOMEM));
    free(arguments->prefix);
    arguments->prefix = copy;
    return ARGUMENTS_RUN;
}

static int set_table(struct arguments *arguments, const char *value)
{
    size_t length = strlen(value);

    if (length == 0 || value[length - 1] == '/')
        return complain("--table: '%s' is not the path of a file (the default is %s)", value,
                        TABLE_DEFAULT_PATH);
    return set_string(&arguments->table, value);
}

/* Decimal digits only: strtoul(3) takes signs and blanks. */
static bool parse_number(const char *text, uint32_t least, uint32_t most, uint32_t *number)
{
    uint64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > most)
            return false;
    }
    *number = (uint32_t)value;
    return value >= least;
}

static int set_max_answers(struct arguments *arguments, const char *value)
{
    uint32_t number = 0;

    if (strcmp(value, "auto") != 0 && !parse_number(value, 1, 255, &number))
        return complain("--max-answers: '%s' is neither auto nor a number from 1 to 255", value);
    arguments->max_answers = (uint8_t)number;
    return ARGUMENTS_RUN;
}

static int set_log_level(struct arguments *arguments, const char *value)
{
    arguments->log_level = log_level_parse(value);
    if (arguments->log_level < 0)
        return complain("--log-level: '%s' is no level (error, warning, info or debug)", value);
    return ARGUMENTS_RUN;
}

static int set_option(struct arguments *arguments, int id, char *value)
{
    switch (id) {
    case OPT_ENDPOINTS:
        return set_string(&arguments->endpoints, value);
    case OPT_CACERT:
        return set_string(&arguments->cacert, value);
    case OPT_CERT:
        return set_string(&arguments->cert, value);
    case OPT_KEY:
        return set_string(&arguments->key, value);
    case OPT_USER:
        return set_user(arguments, value);
    case OPT_PASSWORD:
        return set_password(arguments, value);
    case OPT_PREFIX:
        return set_prefix(arguments, value);
    case OPT_DOMAIN:
        if (zone_domain_normalize(value, arguments->domain, sizeof arguments->domain) < 0)
            return complain("--domain: '%s' is not a domain name (the default is %s)", value,
                            TABLE_DEFAULT_DOMAIN);
        return ARGUMENTS_RUN;
    case OPT_TABLE:
        return set_table(arguments, value);
    case OPT_MAX_ANSWERS:
        return set_max_answers(arguments, value);
    case OPT_MAX_STALE:
        if (!parse_number(value, 0, UINT32_MAX, &arguments->max_stale_s))
            return complain("--max-stale: '%s' is not a number of seconds (0: for ever)", value);
        return ARGUMENTS_RUN;
    case OPT_LOG_LEVEL:
        return set_log_level(arguments, value);
    case OPT_FOREGROUND:
        return ARGUMENTS_RUN;
    case OPT_VERSION:
        puts("etcdsd-watcher " LIBSD_VERSION);
        return ARGUMENTS_DONE;
    case OPT_HELP:
        fputs(help, stdout);
        return ARGUMENTS_DONE;
    default:
        return ARGUMENTS_USAGE;
    }
}

static int set_defaults(struct arguments *arguments)
{
    *arguments = (struct arguments){ .log_level = LOG_LEVEL_INFO, .domain = TABLE_DEFAULT_DOMAIN };
    if (set_prefix(arguments, DEFAULT_PREFIX) < 0)
        return ARGUMENTS_USAGE;
    return set_table(arguments, TABLE_DEFAULT_PATH);
}

/* What libsd will connect to, as libsd.h documents its defaults. */
static int check_endpoints(const struct arguments *arguments)
{
    const char *endpoints = arguments->endpoints, *inside;
    int length;

    if (endpoints == NULL)
        endpoints = getenv("ETCDCTL_ENDPOINTS");
    length =
        endpoints == NULL ? 0 : arguments_endpoint_inside(endpoints, arguments->domain, &inside);
    if (length == 0)
        return ARGUMENTS_RUN;
    return complain("--endpoints: %.*s lies in the domain %s that this daemon itself serves "
                    "(name etcd's hosts by address or in another domain)",
                    length, inside, arguments->domain);
}

int arguments_parse(struct arguments *arguments, int argc, char **argv)
{
    int id, rc = set_defaults(arguments);

    optind = 0; /* GNU: start anew, with another argv perhaps */
    opterr = 0;
    while (rc == ARGUMENTS_RUN && (id = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (id == ':')
            return complain("%s: needs a value (see --help)", argv[optind - 1]);
        if (id == '?')
            return complain("%s: is not an option, or takes no value (see --help)",
                            argv[optind - 1]);
        rc = set_option(arguments, id, optarg);
    }
    if (rc != ARGUMENTS_RUN)
        return rc;
    if (optind < argc)
        return complain("%s: is not an option (see --help)", argv[optind]);
    return check_endpoints(arguments);
}

static void free_secret(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void arguments_free(struct arguments *arguments)
{
    free(arguments->endpoints);
    free(arguments->cacert);
    free(arguments->cert);
    free(arguments->key);
    free_secret(arguments->user);
    free_secret(arguments->password);
    free(arguments->prefix);
    free(arguments->table);
    explicit_bzero(arguments, sizeof *arguments);
}

/* ---- endpoints --------------------------------------------------------- */

/* The host in "scheme://user@host:port/path".  Returns its length. */
static size_t endpoint_host(const char *endpoint, size_t length, const char **host)
{
    const char *scheme = memmem(endpoint, length, "://", 3), *at;
    const char *start = scheme != NULL ? scheme + 3 : endpoint;
    size_t size = (size_t)(endpoint + length - start), authority = 0;

    while (authority < size && strchr("/?#", start[authority]) == NULL)
        authority++;
    at = memrchr(start, '@', authority);
    *host = at != NULL ? at + 1 : start;
    size = (size_t)(start + authority - *host);
    if (size > 0 && **host == '[')
        return size; /* an IPv6 address lies in no domain */
    for (authority = 0; authority < size && (*host)[authority] != ':';)
        authority++;
    return authority;
}

static bool host_is_inside(const char *host, size_t length, const char *domain)
{
    size_t suffix = strlen(domain);

    if (length > 0 && host[length - 1] == '.')
        length--;
    return length >= suffix && strncasecmp(host + length - suffix, domain, suffix) == 0 &&
           (length == suffix || host[length - suffix - 1] == '.');
}

int arguments_endpoint_inside(const char *endpoints, const char *domain, const char **endpoint)
{
    while (*endpoints != '\0') {
        size_t length = strcspn(endpoints, ","), size, blanks = strspn(endpoints, " \t");
        const char *host;
        size_t host_length;

        if (blanks > length)
            blanks = length;
        size = length - blanks;
        while (size > 0 &&
               (endpoints[blanks + size - 1] == ' ' || endpoints[blanks + size - 1] == '\t'))
            size--;
        *endpoint = endpoints + blanks;
        host_length = endpoint_host(*endpoint, size, &host);
        if (host_is_inside(host, host_length, domain))
            return (int)size;
        endpoints += length + (endpoints[length] == ',');
    }
    return 0;
}
