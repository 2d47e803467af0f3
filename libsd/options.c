/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Options by name, wherever they are given:
 *
 *     defaults < file < environment < program
 *
 * Each source fills a struct of its own, in which most is open; in the end they
 * are laid over each other.
 *
 * secure_getenv(): a setuid program must not be sent to a stranger's etcd.
 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf.h"
#include "endpoint.h"
#include "internal.h"
#include "table/layout.h"

#define DEFAULT_PREFIX "/service/"
#define SECTION        "etcd" /* ours; so is what stands before the first section */

/* ---- the options -------------------------------------------------------- */

static const char *const takeovers[] = { "wait", "force", "fail", NULL }; /* enum libsd_takeover */
static const char *const sources[] = { "auto", "table", "etcd", NULL };
static const char *const balances[] = { "stay", "first", "turns", NULL };
static const char *const dispatches[] = { "thread", "manual", NULL };

static const struct option {
    const char *key;
    const char *variable; /* of the environment; NULL: for the program alone */
    const char *fallback;
    size_t offset;
    int most;                   /* a number from 1 to this; */
    const char *const *choices; /* or one of these, as its number from 1; else text */
} table[] = {
    { "endpoints", "ETCDCTL_ENDPOINTS", "http://127.0.0.1:2379",
      offsetof(struct libsd_options, endpoints), 0, NULL },
    { "prefix", "ETCDSD_PREFIX", DEFAULT_PREFIX, offsetof(struct libsd_options, prefix), 0, NULL },
    { "cacert", "ETCDCTL_CACERT", "", offsetof(struct libsd_options, cacert), 0, NULL },
    { "cert", "ETCDCTL_CERT", "", offsetof(struct libsd_options, cert), 0, NULL },
    { "key", "ETCDCTL_KEY", "", offsetof(struct libsd_options, key), 0, NULL },
    { "server-name", "ETCDSD_SERVER_NAME", "", offsetof(struct libsd_options, server_name), 0,
      NULL },
    { "balance", "ETCDSD_BALANCE", "stay", offsetof(struct libsd_options, balance), 0, balances },
    { "user", "ETCDCTL_USER", "", offsetof(struct libsd_options, user), 0, NULL },
    { "password", "ETCDCTL_PASSWORD", "", offsetof(struct libsd_options, password), 0, NULL },
    { "timeout-ms", "ETCDSD_TIMEOUT_MS", "5000", offsetof(struct libsd_options, timeout_ms), 600000,
      NULL },
    { "ttl", "ETCDSD_TTL", "10", offsetof(struct libsd_options, ttl_s), LIBSD_TTL_MAX, NULL },
    { "takeover", "ETCDSD_TAKEOVER", "wait", offsetof(struct libsd_options, takeover), 0,
      takeovers },
    { "source", "ETCDSD_SOURCE", "auto", offsetof(struct libsd_options, source), 0, sources },
    { "domain", "ETCDSD_DOMAIN", "", offsetof(struct libsd_options, domain), 0, NULL },
    { "dispatch", NULL, "thread", offsetof(struct libsd_options, dispatch), 0, dispatches },
};
#define OPTIONS (sizeof table / sizeof table[0])

static char **text_of(struct libsd_options *options, const struct option *option)
{
    return (char **)(void *)((char *)options + option->offset);
}

static int *number_of(struct libsd_options *options, const struct option *option)
{
    return (int *)(void *)((char *)options + option->offset);
}

static bool is_text(const struct option *option)
{
    return !option->most && !option->choices;
}

static const struct option *find_option(const char *key)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (strcmp(key, table[i].key) == 0)
            return &table[i];
    }
    return NULL;
}

static const char *nearest_key(const char *key)
{
    const char *keys[OPTIONS];

    for (size_t i = 0; i < OPTIONS; i++)
        keys[i] = table[i].key;
    return conf_nearest(key, keys, OPTIONS);
}

static int unknown(const char *key, struct failure *failure)
{
    const char *nearest = nearest_key(key);

    if (!nearest)
        return failure_set(failure, LIBSD_EINVAL, "unknown key '%s'", key);
    return failure_set(failure, LIBSD_EINVAL, "unknown key '%s'; did you mean '%s'?", key, nearest);
}

/* ---- values ------------------------------------------------------------- */

static void wipe(char **string)
{
    if (*string)
        explicit_bzero(*string, strlen(*string));
    free(*string);
    *string = NULL;
}

static int replace(char **string, const char *value, size_t size)
{
    char *copy = strndup(value, size);

    if (!copy)
        return LIBSD_ENOMEM;
    wipe(string);
    *string = copy;
    return 0;
}

static int set_text(struct libsd_options *options, const struct option *option, const char *value,
                    struct failure *failure)
{
    int rc = strcmp(option->key, "endpoints") == 0 ? endpoints_check(value) : 0;

    if (rc == 0)
        rc = replace(text_of(options, option), value, strlen(value));
    if (rc == LIBSD_EINVAL && strchr(value, '@')) /* not into a log */
        failure_set(failure, rc, "%s: a user belongs into the options user and password",
                    option->key);
    else if (rc == LIBSD_EINVAL)
        failure_set(failure, rc, "%s: '%s' is not a list of http:// or https:// URLs", option->key,
                    value);
    else if (rc < 0)
        failure_set(failure, rc, "out of memory");
    return rc;
}

static int set_number(struct libsd_options *options, const struct option *option, const char *value,
                      struct failure *failure)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(value, &end, 10);
    if (errno || end == value || *end || number < 1 || number > option->most)
        return failure_set(failure, LIBSD_EINVAL, "%s: '%s' is not a number from 1 to %d",
                           option->key, value, option->most);
    *number_of(options, option) = (int)number;
    return 0;
}

static int set_choice(struct libsd_options *options, const struct option *option, const char *value,
                      struct failure *failure)
{
    char list[60] = "";
    size_t size = 0;

    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(value, option->choices[i]) == 0) {
            *number_of(options, option) = i + 1;
            return 0;
        }
        size += (size_t)snprintf(list + size, sizeof list - size, "%s%s", i ? ", " : "",
                                 option->choices[i]);
    }
    return failure_set(failure, LIBSD_EINVAL, "%s: '%s' is none of: %s", option->key, value, list);
}

static int set(struct libsd_options *options, const struct option *option, const char *value,
               struct failure *failure)
{
    if (is_text(option))
        return set_text(options, option, value, failure);
    if (option->choices)
        return set_choice(options, option, value, failure);
    return set_number(options, option, value, failure);
}

/* ---- the environment ---------------------------------------------------- */

static int read_environment(struct libsd_options *options, struct failure *failure)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const char *value = table[i].variable ? secure_getenv(table[i].variable) : NULL;
        struct failure why;

        if (!value || !*value)
            continue;
        if (set(options, &table[i], value, &why) < 0)
            return failure_set(failure, why.code, "$%s: %s", table[i].variable, why.text);
    }
    return 0;
}

/* ---- files -------------------------------------------------------------- */

/* What is not ours belongs to other programs.  Outside of our own section they
 * have keys we don't know, so only what looks like a slip is refused there. */
static int take_entry(struct libsd_options *options, const struct conf *conf,
                      const struct conf_entry *entry, struct failure *failure)
{
    const struct option *option = find_option(entry->key);
    bool own = strcmp(conf->section, SECTION) == 0;

    if (!own && *conf->section)
        return 0;
    if (!option)
        return own || nearest_key(entry->key) ? unknown(entry->key, failure) : 0;
    if (!option->variable)
        return failure_set(failure, LIBSD_EINVAL, "%s: only the program can set this", entry->key);
    return set(options, option, entry->value, failure);
}

static int read_text(struct libsd_options *options, const char *path, char *text, size_t size,
                     struct failure *failure)
{
    struct conf conf;
    struct conf_entry entry;
    struct failure why = { 0 };

    conf_init(&conf, text, size);
    while (why.code == 0 && conf_next(&conf, &entry))
        take_entry(options, &conf, &entry, &why);
    if (conf.why)
        failure_set(&why, LIBSD_EINVAL, "%s", conf.why);
    if (why.code == 0)
        return 0;
    return failure_set(failure, why.code, "%s:%u: %s", path, conf.line, why.text);
}

static int read_file(struct libsd_options *options, const char *path, struct failure *failure)
{
    char *text;
    size_t size;
    int error = conf_load(path, &text, &size);
    int rc;

    if (error) {
        rc = error == ENOENT || error == ENOTDIR ? LIBSD_ENOTFOUND
             : error == EACCES                   ? LIBSD_EDENIED
             : error == ENOMEM                   ? LIBSD_ENOMEM
                                                 : LIBSD_EINVAL;
        return failure_set(failure, rc, "%s: %s", path, strerrordesc_np(error));
    }
    rc = read_text(options, path, text, size, failure);
    explicit_bzero(text, size);
    free(text);
    return rc;
}

/* The file that everybody reads unless told otherwise may be missing, or be
 * closed to us; the program's own options must still do then. */
static int read_default_file(struct libsd_options *file, const struct libsd_options *from,
                             struct failure *failure)
{
    const char *path = secure_getenv("ETCDSD_CONF");
    int rc;

    if (path)
        return *path ? read_file(file, path, failure) : 0;
    rc = read_file(file, OPTIONS_FILE, failure);
    if (rc == LIBSD_EDENIED && from->log)
        from->log(LIBSD_LOG_WARNING, failure->text, from->log_arg);
    return rc == LIBSD_EDENIED || rc == LIBSD_ENOTFOUND ? 0 : rc;
}

int libsd_options_load(libsd_options *options, const char *path)
{
    struct libsd_options *file = options ? calloc(1, sizeof *file) : NULL;
    struct failure failure = { 0 };
    int rc = 0;

    if (!options)
        return LIBSD_EINVAL;
    if (!file)
        return LIBSD_ENOMEM;
    if (!path)
        rc = read_default_file(file, options, &failure);
    else if (*path)
        rc = read_file(file, path, &failure);
    if (rc < 0) {
        libsd_options_free(file);
        return thread_fail(&failure);
    }
    libsd_options_free(options->file);
    options->file = file;
    return 0;
}

/* ---- the program -------------------------------------------------------- */

int libsd_options_new(libsd_options **options)
{
    if (!options)
        return LIBSD_EINVAL;
    *options = calloc(1, sizeof **options);
    return *options ? 0 : LIBSD_ENOMEM;
}

int libsd_options_set(libsd_options *options, const char *key, const char *value)
{
    const struct option *option;
    struct failure failure = { 0 };

    if (!options || !key || !value)
        return LIBSD_EINVAL;
    option = find_option(key);
    if ((option ? set(options, option, value, &failure) : unknown(key, &failure)) < 0)
        return thread_fail(&failure);
    return 0;
}

void libsd_options_set_log(libsd_options *options, libsd_log_callback *callback, void *arg)
{
    if (!options)
        return;
    options->log = callback;
    options->log_arg = arg;
}

void options_clear(struct libsd_options *options)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        if (is_text(&table[i]))
            wipe(text_of(options, &table[i]));
    }
    libsd_options_free(options->file);
    options->file = NULL;
}

void libsd_options_free(libsd_options *options)
{
    if (options)
        options_clear(options);
    free(options);
}

/* ---- one over the other ------------------------------------------------- */

/* A user comes with a password, or with none: that of a weaker source belongs
 * to another user.  name:password is how etcdctl writes it. */
static int lay_user(struct libsd_options *to, const struct libsd_options *over)
{
    const char *colon = over->user ? strchr(over->user, ':') : NULL;
    int rc = 0;

    if (over->user) {
        if (*to->user)
            rc = replace(&to->password, "", 0);
        if (rc == 0)
            rc = replace(&to->user, over->user,
                         colon ? (size_t)(colon - over->user) : strlen(over->user));
        if (rc == 0 && colon)
            rc = replace(&to->password, colon + 1, strlen(colon + 1));
    }
    if (rc == 0 && over->password)
        rc = replace(&to->password, over->password, strlen(over->password));
    return rc;
}

static int lay(struct libsd_options *to, const struct libsd_options *over)
{
    int rc = 0;

    for (size_t i = 0; i < OPTIONS && rc == 0; i++) {
        const struct option *option = &table[i];
        const void *field = (const char *)over + option->offset;

        if (!is_text(option)) {
            if (*(const int *)field)
                *number_of(to, option) = *(const int *)field;
        } else if (strcmp(option->key, "user") != 0 && strcmp(option->key, "password") != 0) {
            const char *value = *(char *const *)field;

            if (value)
                rc = replace(text_of(to, option), value, strlen(value));
        }
    }
    return rc < 0 ? rc : lay_user(to, over);
}

/* Keys are made by appending to the prefix, so it must end a segment. */
static int end_prefix(struct libsd_options *options)
{
    size_t size = strlen(options->prefix);
    char *longer;

    if (size == 0 || options->prefix[size - 1] == '/')
        return 0;
    longer = realloc(options->prefix, size + 2);
    if (!longer)
        return LIBSD_ENOMEM;
    memcpy(longer + size, "/", 2);
    options->prefix = longer;
    return 0;
}

/* As the table has it.  The built-in prefix has the built-in domain. */
static int end_domain(struct libsd_options *options)
{
    const char *text = options->domain;
    size_t size;
    int rc;

    if (!*text && strcmp(options->prefix, DEFAULT_PREFIX) == 0)
        text = TABLE_DEFAULT_DOMAIN;
    text += *text == '.';
    size = strlen(text);
    if (size && text[size - 1] == '.')
        size--;
    rc = replace(&options->domain, text, size);
    for (char *c = options->domain; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
    return rc;
}

static int lay_all(struct libsd_options *to, const struct libsd_options *from,
                   struct failure *failure)
{
    struct libsd_options file = { 0 };
    struct libsd_options environment = { 0 };
    int rc = 0;

    for (size_t i = 0; i < OPTIONS && rc == 0; i++)
        rc = set(to, &table[i], table[i].fallback, failure);
    if (rc == 0 && !from->file)
        rc = read_default_file(&file, from, failure);
    if (rc == 0)
        rc = read_environment(&environment, failure);
    if (rc == 0)
        rc = lay(to, from->file ? from->file : &file);
    if (rc == 0)
        rc = lay(to, &environment);
    if (rc == 0)
        rc = lay(to, from);
    if (rc == 0)
        rc = end_prefix(to);
    if (rc == 0)
        rc = end_domain(to);
    to->own_endpoints = from->endpoints != NULL;
    options_clear(&file);
    options_clear(&environment);
    return rc;
}

int options_resolve(struct libsd_options *to, const struct libsd_options *from)
{
    static const struct libsd_options nothing;
    struct failure failure;
    int rc;

    if (!from)
        from = &nothing;
    *to = (struct libsd_options){ .log = from->log, .log_arg = from->log_arg };
    failure_set(&failure, LIBSD_ENOMEM, "out of memory");
    rc = lay_all(to, from, &failure);
    /* A certificate without its key, or the other way round, is a slip that
     * would show up as a refused handshake much later. */
    if (rc == 0 && !*to->cert != !*to->key)
        rc = failure_set(&failure, LIBSD_EINVAL, "%s is given without %s",
                         *to->cert ? "cert" : "key", *to->cert ? "key" : "cert");
    if (rc < 0) {
        options_clear(to);
        failure.code = rc;
        return thread_fail(&failure);
    }
    return 0;
}
