/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The rows of the table of keys, and one function for each kind of value.
 */
#include "keys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "layout.h"
#include "log.h"
#include "preserve.h"
#include "zone.h"

static const struct key_word answers[] = { { "auto", 0 }, { NULL, 0 } };
static const struct key_word switches[] = { { "yes", 1 }, { "no", 0 }, { NULL, 0 } };
static const struct key_word formats[] = {
    { "auto", 0 }, { "plain", 0 }, { "json", 0 }, { NULL, 0 }
};
static const struct key_word levels[] = { { "error", LOG_LEVEL_ERROR },
                                          { "warning", LOG_LEVEL_WARNING },
                                          { "info", LOG_LEVEL_INFO },
                                          { "debug", LOG_LEVEL_DEBUG },
                                          { NULL, 0 } };

#define AT(field) offsetof(struct settings, field)

const struct key keys[] = {
    { "endpoints", "ETCDCTL_ENDPOINTS", KEY_TEXT, KEY_TOP | KEY_ETCD, AT(endpoints), NULL, 0, 0,
      "http://127.0.0.1:2379", "LIST", "etcd's client URLs, comma-separated" },
    { "cacert", "ETCDCTL_CACERT", KEY_TEXT, KEY_TOP | KEY_ETCD, AT(cacert), NULL, 0, 0, NULL,
      "FILE", "CA that signed the servers' certificates" },
    { "cert", "ETCDCTL_CERT", KEY_TEXT, KEY_TOP | KEY_ETCD, AT(cert), NULL, 0, 0, NULL, "FILE",
      "certificate to show to etcd" },
    { "key", "ETCDCTL_KEY", KEY_TEXT, KEY_TOP | KEY_ETCD, AT(key), NULL, 0, 0, NULL, "FILE",
      "its private key" },
    { "user", "ETCDCTL_USER", KEY_TEXT, KEY_TOP | KEY_ETCD, AT(user), NULL, 0, 0, NULL, "NAME[:PW]",
      "etcd user" },
    { "password", "ETCDCTL_PASSWORD", KEY_TEXT, KEY_TOP | KEY_ETCD, AT(password), NULL, 0, 0, NULL,
      "PW", "and password; better in the file or the environment" },

    { "prefix", "ETCDSD_PREFIX", KEY_PREFIX, KEY_TOP | KEY_ZONE, AT(prefix), NULL, 0, 0,
      "/service/", "PREFIX", "key prefix of the services" },
    { "domain", "ETCDSD_DOMAIN", KEY_DOMAIN, KEY_TOP | KEY_ZONE, AT(domain), NULL, 0, 0,
      TABLE_DEFAULT_DOMAIN, "DOMAIN", "domain of their names" },
    { "format", "ETCDSD_FORMAT", KEY_FORMAT, KEY_TOP | KEY_ZONE, AT(format), formats, 0, 0, "auto",
      "FORMAT",
      "of the values: plain (ip:port, a URL), json, or auto: by the first character; "
      "auto:grpc takes the endpoint of that scheme where there are several" },
    { "allow", "ETCDSD_ALLOW", KEY_NETWORKS, KEY_TOP | KEY_ZONE, AT(allow), NULL, 0, 0, "any",
      "LIST",
      "networks that instances may be in, such as 10.0.0.0/8,fd00::/8; others are dropped" },
    { "max-answers", "ETCDSD_MAX_ANSWERS", KEY_NUMBER, KEY_TOP | KEY_ZONE | KEY_SERVICE,
      AT(max_answers), answers, 1, 255, "auto", "N|auto",
      "most addresses in an answer, 1 to 255; auto: 8, but one where libc would undo the "
      "rotation" },
    { "weights", "ETCDSD_WEIGHTS", KEY_NUMBER, KEY_TOP | KEY_ZONE | KEY_SERVICE, AT(weights),
      switches, 1, 0, "yes", "yes|no", "whether the weights of instances count" },
    { "max-instances", "ETCDSD_MAX_INSTANCES", KEY_NUMBER, KEY_TOP | KEY_ZONE | KEY_SERVICE,
      AT(max_instances), NULL, 1, TABLE_MAX_INSTANCES, "65535", "N",
      "of one service; one with more stays as it was" },
    { "max-value-size", "ETCDSD_MAX_VALUE_SIZE", KEY_BYTES, KEY_TOP | KEY_ZONE, AT(max_value_bytes),
      NULL, 1, 65536, "64K", "BYTES",
      "of an instance, at most 64K; one with more stays as it was" },

    { "table", "ETCDSD_TABLE", KEY_FILE, KEY_TOP | KEY_AT_START, AT(table), NULL, 0, 0,
      TABLE_DEFAULT_PATH, "PATH", "shared table; its directory is made if it is missing" },
    { "max-table-size", "ETCDSD_MAX_TABLE_SIZE", KEY_BYTES, KEY_TOP, AT(max_table_bytes), NULL,
      65536, UINT64_C(64) << 30, "1G", "BYTES",
      "of that file; what finds no room waits, and stays as it was" },
    { "max-stale", "ETCDSD_MAX_STALE", KEY_SECONDS, KEY_TOP, AT(max_stale_s), NULL, 0, UINT32_MAX,
      "0", "SECONDS", "how long to answer without etcd, 0: for ever; 90, 15m, 12h, 7d" },
    { "confirm-loss", "ETCDSD_CONFIRM_LOSS", KEY_SECONDS, KEY_TOP | KEY_AT_START,
      AT(confirm_loss_s), NULL, 0, 86400, "10", "SECONDS",
      "how long to keep instances when more than half of them (and of 10) are missing at once, "
      "until another list says the same; 0: believe each list" },
    { "state-directory", "ETCDSD_STATE_DIRECTORY", KEY_TEXT, KEY_TOP | KEY_AT_START,
      AT(state_directory), NULL, 0, 0, NULL, "DIR|none",
      "where a snapshot is kept for the next boot; else " STATE_DEFAULT_DIRECTORY
      " with the default table, and none with another" },
    { "snapshot-interval", "ETCDSD_SNAPSHOT_INTERVAL", KEY_SECONDS, KEY_TOP | KEY_AT_START,
      AT(snapshot_interval_s), NULL, 1, 86400, "60", "SECONDS",
      "the least time between two snapshots" },
    { "metrics-file", "ETCDSD_METRICS_FILE", KEY_TEXT, KEY_TOP | KEY_AT_START, AT(metrics_file),
      NULL, 0, 0, NULL, "FILE", "for Prometheus's node_exporter, such as DIR/etcdsd.prom" },
    { "metrics-listen", "ETCDSD_METRICS_LISTEN", KEY_TEXT, KEY_TOP | KEY_AT_START,
      AT(metrics_listen), NULL, 0, 0, NULL, "ADDRESS",
      "loopback address for GET /metrics, such as 127.0.0.1:9117" },
    { "log-level", "ETCDSD_LOG_LEVEL", KEY_NUMBER, KEY_TOP, AT(log_level), levels, 1, 0, "info",
      "LEVEL", "error, warning, info or debug" },
};
const size_t key_count = sizeof keys / sizeof keys[0];
_Static_assert(sizeof keys / sizeof keys[0] <= KEYS_MAX, "settings.given has a bit for each key");

int key_find(const char *name)
{
    for (size_t i = 0; i < key_count; i++)
        if (strcmp(keys[i].name, name) == 0)
            return (int)i;
    return -1;
}

const char *key_nearest(const char *slip, unsigned places)
{
    const char *names[KEYS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < key_count; i++)
        if (keys[i].places & places)
            names[count++] = keys[i].name;
    return conf_nearest(slip, names, count);
}

static bool is_text(const struct key *key)
{
    return key->kind == KEY_TEXT || key->kind == KEY_FORMAT || key->kind == KEY_FILE ||
           key->kind == KEY_PREFIX || key->kind == KEY_DOMAIN;
}

static void *field_of(struct settings *settings, const struct key *key)
{
    return (char *)settings + key->offset;
}

static const void *field_in(const struct settings *settings, const struct key *key)
{
    return (const char *)settings + key->offset;
}

/* ---- kinds ------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static int refuse(char why[KEY_WHY_SIZE], const char *format,
                                                        ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, KEY_WHY_SIZE, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

static void text_free(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

/* text: to be the settings' own; NULL: there was no memory. */
static int text_put(struct settings *settings, const struct key *key, char *text)
{
    char **place = field_of(settings, key);

    if (text == NULL)
        return -ENOMEM;
    text_free(*place);
    *place = text;
    return 0;
}

static const struct key_word *word_find(const struct key *key, const char *value)
{
    for (const struct key_word *word = key->words; word != NULL && word->word != NULL; word++)
        if (strcmp(word->word, value) == 0)
            return word;
    return NULL;
}

/* "auto, plain or json" */
static const char *words_list(const struct key *key, char *list, size_t size)
{
    size_t used = 0;

    list[0] = '\0';
    for (const struct key_word *word = key->words;
         word != NULL && word->word != NULL && used < size; word++)
        used += (size_t)snprintf(list + used, size - used, "%s%s",
                                 word == key->words     ? ""
                                 : word[1].word == NULL ? " or "
                                                        : ", ",
                                 word->word);
    return list;
}

/* A word, and maybe a colon and a scheme of RFC 3986. */
static int set_format(struct settings *settings, const struct key *key, const char *value,
                      char *why)
{
    static const char scheme[] = "abcdefghijklmnopqrstuvwxyz0123456789+-.";
    size_t length = strcspn(value, ":");
    char word[8], list[80];

    snprintf(word, sizeof word, "%.*s", length < sizeof word ? (int)length : 0, value);
    if (word_find(key, word) == NULL)
        return refuse(why, "'%.60s' is not %s", value, words_list(key, list, sizeof list));
    if (value[length] == ':' && (value[length + 1] == '\0' ||
                                 value[length + 1 + strspn(value + length + 1, scheme)] != '\0'))
        return refuse(why, "'%.60s' does not end in a scheme such as grpc", value);
    return text_put(settings, key, strdup(value));
}

static int set_file(struct settings *settings, const struct key *key, const char *value, char *why)
{
    size_t length = strlen(value);

    if (length == 0 || value[length - 1] == '/')
        return refuse(why, "'%.200s' is not the path of a file (the default is %s)", value,
                      key->fallback);
    return text_put(settings, key, strdup(value));
}

/* Segments are exact: without the slash "/service" would take "/services/". */
static int set_prefix(struct settings *settings, const struct key *key, const char *value,
                      char *why)
{
    size_t length = strlen(value);
    char *copy;

    if (length == 0)
        return refuse(why, "is empty (the default is %s)", key->fallback);
    if (asprintf(&copy, "%s%s", value, value[length - 1] == '/' ? "" : "/") < 0)
        return -ENOMEM;
    return text_put(settings, key, copy);
}

static int set_domain(struct settings *settings, const struct key *key, const char *value,
                      char *why)
{
    char domain[TABLE_MAX_NAME + 1];

    if (zone_domain_normalize(value, domain, sizeof domain) < 0)
        return refuse(why, "'%.260s' is not a domain name (the default is %s)", value,
                      key->fallback);
    return text_put(settings, key, strdup(domain));
}

/* What one of the unit stands for; 0: no such unit. */
static uint64_t unit_value(enum key_kind kind, const char *unit)
{
    static const struct {
        enum key_kind kind;
        char letter;
        uint64_t value;
    } units[] = {
        { KEY_SECONDS, 's', 1 },      { KEY_SECONDS, 'm', 60 },     { KEY_SECONDS, 'h', 3600 },
        { KEY_SECONDS, 'd', 86400 },  { KEY_BYTES, 'K', 1u << 10 }, { KEY_BYTES, 'M', 1u << 20 },
        { KEY_BYTES, 'G', 1u << 30 },
    };

    if (*unit == '\0')
        return 1;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].kind == kind && units[i].letter == unit[0] && unit[1] == '\0')
            return units[i].value;
    return 0;
}

/* Decimal digits only: strtoul(3) takes signs and blanks. */
static bool number_parse(const struct key *key, const char *text, uint64_t *number)
{
    uint64_t value = 0, unit;
    const char *digit = text;

    for (; *digit >= '0' && *digit <= '9'; digit++) {
        value = value * 10 + (uint64_t)(*digit - '0');
        if (value > key->most)
            return false;
    }
    unit = unit_value(key->kind, digit);
    if (digit == text || unit == 0 || value > key->most / unit)
        return false;
    *number = value * unit;
    return *number >= key->least;
}

static int set_number(struct settings *settings, const struct key *key, const char *value,
                      char *why)
{
    static const char *const what[] = { [KEY_NUMBER] = "a number",
                                        [KEY_SECONDS] = "a number of seconds",
                                        [KEY_BYTES] = "a number of bytes" };
    const struct key_word *word = word_find(key, value);
    uint64_t *number = field_of(settings, key), parsed;
    char list[80];

    if (word != NULL) {
        *number = word->value;
        return 0;
    }
    if (key->least <= key->most && number_parse(key, value, &parsed)) {
        *number = parsed;
        return 0;
    }
    if (key->words == NULL)
        return refuse(why, "'%.60s' is not %s from %" PRIu64 " to %" PRIu64, value, what[key->kind],
                      key->least, key->most);
    words_list(key, list, sizeof list);
    if (key->least > key->most)
        return refuse(why, "'%.60s' is not %s", value, list);
    return refuse(why, "'%.60s' is neither %s nor %s from %" PRIu64 " to %" PRIu64, value, list,
                  what[key->kind], key->least, key->most);
}

int key_set(struct settings *settings, size_t index, const char *value, char why[KEY_WHY_SIZE])
{
    const struct key *key = &keys[index];
    int rc = -EINVAL;

    snprintf(why, KEY_WHY_SIZE, "%s", strerrordesc_np(ENOMEM));
    switch (key->kind) {
    case KEY_TEXT:
        rc = text_put(settings, key, strdup(value));
        break;
    case KEY_FORMAT:
        rc = set_format(settings, key, value, why);
        break;
    case KEY_FILE:
        rc = set_file(settings, key, value, why);
        break;
    case KEY_PREFIX:
        rc = set_prefix(settings, key, value, why);
        break;
    case KEY_DOMAIN:
        rc = set_domain(settings, key, value, why);
        break;
    case KEY_NUMBER:
    case KEY_SECONDS:
    case KEY_BYTES:
        rc = set_number(settings, key, value, why);
        break;
    case KEY_NETWORKS:
        rc = networks_parse(field_of(settings, key), value, why, KEY_WHY_SIZE);
        break;
    }
    if (rc == 0)
        settings->given |= UINT64_C(1) << index;
    return rc;
}

/* ---- all of them ------------------------------------------------------- */

int key_copy(struct settings *to, const struct settings *from, size_t index)
{
    const struct key *key = &keys[index];
    const void *field = field_in(from, key);

    if (key->kind == KEY_NETWORKS)
        return networks_copy(field_of(to, key), field);
    if (!is_text(key)) {
        memcpy(field_of(to, key), field, sizeof(uint64_t));
        return 0;
    }
    return *(char *const *)field == NULL ? 0 : text_put(to, key, strdup(*(char *const *)field));
}

int settings_inherit(struct settings *to, const struct settings *from, unsigned places)
{
    for (size_t i = 0; i < key_count; i++)
        if ((keys[i].places & places) && !(to->given >> i & 1) && key_copy(to, from, i) < 0)
            return -ENOMEM;
    return 0;
}

bool key_is_same(const struct settings *a, const struct settings *b, size_t index)
{
    const struct key *key = &keys[index];
    const void *left = field_in(a, key), *right = field_in(b, key);

    if (key->kind == KEY_NETWORKS)
        return networks_are_same(left, right);
    if (!is_text(key))
        return memcmp(left, right, sizeof(uint64_t)) == 0;
    left = *(char *const *)left;
    right = *(char *const *)right;
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

bool settings_are_same(const struct settings *a, const struct settings *b, unsigned places)
{
    for (size_t i = 0; i < key_count; i++)
        if ((keys[i].places & places) && !key_is_same(a, b, i))
            return false;
    return true;
}

void settings_free(struct settings *settings)
{
    for (size_t i = 0; i < key_count; i++) {
        if (is_text(&keys[i]))
            text_free(*(char **)field_of(settings, &keys[i]));
        else if (keys[i].kind == KEY_NETWORKS)
            networks_free(field_of(settings, &keys[i]));
    }
    explicit_bzero(settings, sizeof *settings);
}
