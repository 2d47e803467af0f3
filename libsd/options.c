/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Options by name, the environment that etcdctl reads, and the defaults.
 * secure_getenv(): a setuid program must not be sent to a stranger's etcd.
 */
#include "options.h"

#include <errno.h>
#include <stdlib.h>

#include "endpoint.h"

#define DEFAULT_ENDPOINT "http://127.0.0.1:2379"
#define DEFAULT_PREFIX   "/service/"
#define TIMEOUT_MS       5000
#define TIMEOUT_MS_MAX   600000

static const struct {
    const char *key;
    size_t offset;
} strings[] = {
    { "endpoints", offsetof(struct libsd_options, endpoints) },
    { "prefix", offsetof(struct libsd_options, prefix) },
    { "cacert", offsetof(struct libsd_options, cacert) },
    { "cert", offsetof(struct libsd_options, cert) },
    { "key", offsetof(struct libsd_options, key) },
    { "user", offsetof(struct libsd_options, user) },
    { "password", offsetof(struct libsd_options, password) },
};
#define STRINGS (sizeof strings / sizeof strings[0])

static char **field(struct libsd_options *options, size_t i)
{
    return (char **)(void *)((char *)options + strings[i].offset);
}

static void wipe(char **string)
{
    if (*string)
        explicit_bzero(*string, strlen(*string));
    free(*string);
    *string = NULL;
}

static int replace(char **string, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return LIBSD_ENOMEM;
    wipe(string);
    *string = copy;
    return 0;
}

int libsd_options_new(libsd_options **options)
{
    if (!options)
        return LIBSD_EINVAL;
    *options = calloc(1, sizeof **options);
    return *options ? 0 : LIBSD_ENOMEM;
}

static int set_timeout(struct libsd_options *options, const char *value)
{
    char *end;
    long timeout_ms;

    errno = 0;
    timeout_ms = strtol(value, &end, 10);
    if (errno || end == value || *end || timeout_ms < 1 || timeout_ms > TIMEOUT_MS_MAX)
        return LIBSD_EINVAL;
    options->timeout_ms = (int)timeout_ms;
    return 0;
}

int libsd_options_set(libsd_options *options, const char *key, const char *value)
{
    if (!options || !key || !value)
        return LIBSD_EINVAL;
    for (size_t i = 0; i < STRINGS; i++) {
        if (strcmp(key, strings[i].key) != 0)
            continue;
        if (strcmp(key, "endpoints") == 0) {
            int rc = endpoints_check(value);

            if (rc < 0)
                return rc;
        }
        return replace(field(options, i), value);
    }
    if (strcmp(key, "timeout-ms") == 0)
        return set_timeout(options, value);
    if (strcmp(key, "dispatch") == 0) {
        options->manual_dispatch = strcmp(value, "manual") == 0;
        return options->manual_dispatch || strcmp(value, "thread") == 0 ? 0 : LIBSD_EINVAL;
    }
    return LIBSD_EINVAL;
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
    for (size_t i = 0; i < STRINGS; i++)
        wipe(field(options, i));
}

void libsd_options_free(libsd_options *options)
{
    if (options)
        options_clear(options);
    free(options);
}

/* Sets a string that is still open; value NULL or empty gives fallback. */
static int fill(char **string, const char *value, const char *fallback)
{
    if (*string)
        return 0;
    return replace(string, value && *value ? value : fallback);
}

/* etcdctl's name:password form. */
static int split_user(struct libsd_options *options)
{
    char *colon = strchr(options->user, ':');
    int rc = 0;

    if (colon && !options->password)
        rc = replace(&options->password, colon + 1);
    if (colon) {
        explicit_bzero(colon + 1, strlen(colon + 1));
        *colon = '\0';
    }
    return rc;
}

static int fill_all(struct libsd_options *options)
{
    bool user_given = options->user != NULL;
    int rc = fill(&options->endpoints, secure_getenv("ETCDCTL_ENDPOINTS"), DEFAULT_ENDPOINT);

    if (rc == 0)
        rc = fill(&options->prefix, NULL, DEFAULT_PREFIX);
    if (rc == 0)
        rc = fill(&options->cacert, secure_getenv("ETCDCTL_CACERT"), "");
    if (rc == 0)
        rc = fill(&options->cert, secure_getenv("ETCDCTL_CERT"), "");
    if (rc == 0)
        rc = fill(&options->key, secure_getenv("ETCDCTL_KEY"), "");
    if (rc == 0)
        rc = fill(&options->user, secure_getenv("ETCDCTL_USER"), "");
    if (rc == 0 && !user_given)
        rc = split_user(options);
    if (rc == 0)
        rc = fill(&options->password, secure_getenv("ETCDCTL_PASSWORD"), "");
    if (rc == 0 && options->timeout_ms == 0)
        options->timeout_ms = TIMEOUT_MS;
    return rc;
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

int options_resolve(struct libsd_options *to, const struct libsd_options *from)
{
    static const struct libsd_options nothing;
    int rc = 0;

    if (!from)
        from = &nothing;
    *to = *from;
    for (size_t i = 0; i < STRINGS; i++) {
        const char *given = *field(to, i);

        *field(to, i) = NULL;
        if (given && rc == 0)
            rc = replace(field(to, i), given);
    }
    if (rc == 0)
        rc = fill_all(to);
    if (rc == 0)
        rc = end_prefix(to);
    /* A certificate without its key, or the other way round, is a slip that
     * would show up as a refused handshake much later. */
    if (rc == 0 && !*to->cert != !*to->key)
        rc = LIBSD_EINVAL;
    if (rc == 0)
        rc = endpoints_check(to->endpoints);
    if (rc < 0)
        options_clear(to);
    return rc;
}
