/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Putting the configuration together; see config.h.  One layer after the other
 * is laid on, and then it is looked at as a whole.
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "layout.h"
#include "zone.h"

#define SECTION_TOP     "watcher"
#define SECTION_ETCD    "etcd"
#define SECTION_ZONE    "zone"
#define SECTION_SERVICE "service"

__attribute__((format(printf, 3, 4))) static int fail(struct config_error *error, int rc,
                                                      const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return rc;
}

static int no_memory(struct config_error *error)
{
    return fail(error, -ENOMEM, "configuration: %s", strerrordesc_np(ENOMEM));
}

static void secret_free(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

/* ---- sections ---------------------------------------------------------- */

/* Returns the section, made if need be, or NULL: no memory. */
static struct config_section *section_get(struct config_section **list, size_t *count,
                                          const char *name, unsigned line)
{
    struct config_section *grown;
    char *copy;

    for (size_t i = 0; i < *count; i++)
        if (strcmp((*list)[i].name, name) == 0)
            return &(*list)[i];
    copy = strdup(name);
    grown = copy == NULL ? NULL : reallocarray(*list, *count + 1, sizeof **list);
    if (grown == NULL) {
        free(copy);
        return NULL;
    }
    *list = grown;
    grown[*count] = (struct config_section){ .name = copy, .line = line };
    return &grown[(*count)++];
}

static void sections_free(struct config_section *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].name);
        settings_free(&list[i].says);
    }
    free(list);
}

/* ---- the file ---------------------------------------------------------- */

/* Where reading stands. */
struct reading {
    struct config *config;
    struct conf conf;
    struct settings *says; /* of the section; NULL: another program's */
    unsigned place;        /* enum key_place */
    libsd_options *probe;  /* knows which keys are libsd's */
    struct config_error *error;
};

/* "zone internal" begins with the word "zone"; what follows is its name. */
static bool has_word(const char *section, const char *word, const char **name)
{
    size_t length = strlen(word);

    if (strncmp(section, word, length) != 0 || (section[length] != ' ' && section[length] != '\t'))
        return false;
    *name = section + length + strspn(section + length, " \t");
    return true;
}

/* A section may be another program's; one that looks like a slip is refused. */
static int take_unknown_section(struct reading *reading)
{
    static const char *const words[] = { SECTION_TOP, SECTION_ETCD, SECTION_ZONE, SECTION_SERVICE };
    const char *section = reading->conf.section, *nearest;
    size_t length = strcspn(section, " \t");
    char first[40];

    snprintf(first, sizeof first, "%.*s", (int)length, section);
    nearest = conf_nearest(first, words, sizeof words / sizeof words[0]);
    if (nearest == NULL)
        return 0;
    if (strcmp(section, SECTION_ZONE) == 0)
        return fail(reading->error, -EINVAL, "[zone] has no name, as in [zone internal]");
    if (strcmp(section, SECTION_SERVICE) == 0)
        return fail(reading->error, -EINVAL,
                    "[service] has no name, as in [service user.service.etcd]");
    return fail(reading->error, -EINVAL, "unknown section [%.60s]; did you mean [%s%.60s]?",
                section, nearest,
                section[length] == '\0' || strcmp(nearest, first) == 0 ? "" : section + length);
}

static int take_zone(struct reading *reading, const char *name)
{
    struct config *config = reading->config;
    struct config_section *section =
        section_get(&config->zones, &config->zone_count, name, reading->conf.line);

    if (section == NULL)
        return no_memory(reading->error);
    if (config->zone_count > TABLE_MAX_ZONES)
        return fail(reading->error, -EINVAL, "[zone %.60s] is one zone too many (%d is the most)",
                    name, TABLE_MAX_ZONES);
    reading->says = &section->says;
    reading->place = KEY_ZONE;
    return 0;
}

static int take_service(struct reading *reading, const char *text)
{
    struct config *config = reading->config;
    char name[TABLE_MAX_NAME + 1];
    struct config_section *section;

    if (zone_domain_normalize(text, name, sizeof name) < 0)
        return fail(reading->error, -EINVAL,
                    "[service %.260s] is no owner name such as user.service.etcd", text);
    section = section_get(&config->services, &config->service_count, name, reading->conf.line);
    if (section == NULL)
        return no_memory(reading->error);
    if (config->service_count > CONFIG_MAX_SERVICES)
        return fail(reading->error, -EINVAL,
                    "[service %s] is one service too many (%d is the most)", name,
                    CONFIG_MAX_SERVICES);
    reading->says = &section->says;
    reading->place = KEY_SERVICE;
    return 0;
}

static int take_section(struct reading *reading)
{
    const char *section = reading->conf.section, *name;

    if (has_word(section, SECTION_ZONE, &name))
        return take_zone(reading, name);
    if (has_word(section, SECTION_SERVICE, &name))
        return take_service(reading, name);
    reading->says = NULL;
    if (strcmp(section, SECTION_TOP) == 0) {
        reading->says = &reading->config->top;
        reading->place = KEY_TOP;
        return 0;
    }
    reading->place = strcmp(section, SECTION_ETCD) == 0 ? KEY_ETCD : 0;
    return reading->place == KEY_ETCD ? 0 : take_unknown_section(reading);
}

/* A key of libsd's, which has read it already: only noted here, to see whether
 * it changed, and where etcd is. */
static int take_etcd(struct reading *reading, const struct conf_entry *entry)
{
    struct config *config = reading->config;
    char *noted, *endpoints;

    if (asprintf(&noted, "%s%s=%s\n", config->etcd_text != NULL ? config->etcd_text : "",
                 entry->key, entry->value) < 0)
        return no_memory(reading->error);
    secret_free(config->etcd_text);
    config->etcd_text = noted;
    if (strcmp(entry->key, "endpoints") != 0)
        return 0;
    endpoints = strdup(entry->value);
    if (endpoints == NULL)
        return no_memory(reading->error);
    free(config->endpoints);
    config->endpoints = endpoints;
    return 0;
}

static int unknown_key(const struct reading *reading, const char *key)
{
    const char *nearest = key_nearest(key, reading->place);

    if (nearest != NULL)
        return fail(reading->error, -EINVAL, "unknown key '%.60s'; did you mean '%s'?", key,
                    nearest);
    return fail(reading->error, -EINVAL, "unknown key '%.60s'", key);
}

static int take_entry(struct reading *reading, const struct conf_entry *entry)
{
    int key = key_find(entry->key), rc;
    char why[KEY_WHY_SIZE];

    if (reading->place == KEY_ETCD)
        return take_etcd(reading, entry);
    if (reading->says == NULL)
        return 0;
    if (key >= 0 && !(keys[key].places & reading->place))
        return fail(reading->error, -EINVAL, "%s: does not belong into this section", entry->key);
    if (key < 0 || (keys[key].places & KEY_ETCD)) {
        rc = *reading->conf.section == '\0'
                 ? libsd_options_set(reading->probe, entry->key, entry->value)
                 : LIBSD_EINVAL;
        if (rc == 0)
            return take_etcd(reading, entry);
        if (rc == LIBSD_ENOMEM)
            return no_memory(reading->error);
        return key < 0 ? unknown_key(reading, entry->key)
                       : fail(reading->error, -EINVAL, "%s: belongs into [etcd]", entry->key);
    }
    rc = key_set(reading->says, (size_t)key, entry->value, why);
    return rc < 0 ? fail(reading->error, rc, "%s: %s", entry->key, why) : 0;
}

int config_read(struct config *config, const char *path, char *text, size_t size,
                struct config_error *error)
{
    struct config_error why = { "" };
    struct reading reading = {
        .config = config, .says = &config->top, .place = KEY_TOP, .error = &why
    };
    struct conf_entry entry;
    int rc = libsd_options_new(&reading.probe) < 0 ? no_memory(&why) : 0;

    conf_init(&reading.conf, text, size);
    reading.conf.tells_sections = true;
    while (rc == 0 && conf_next(&reading.conf, &entry))
        rc = entry.key == NULL ? take_section(&reading) : take_entry(&reading, &entry);
    libsd_options_free(reading.probe);
    if (rc == 0 && reading.conf.why != NULL)
        rc = fail(&why, -EINVAL, "%s", reading.conf.why);
    return rc < 0 ? fail(error, rc, "%s:%u: %.500s", path, reading.conf.line, why.text) : 0;
}

/* What libsd reads comes first: it knows best what is wrong there. */
static int read_file(struct config *config, struct config_error *error)
{
    char *text;
    size_t size;
    int rc = libsd_options_load(config->etcd, config->path), failed;

    if (rc == LIBSD_ENOMEM)
        return no_memory(error);
    if (rc < 0) {
        libsd_error_detail(NULL, error->text, sizeof error->text);
        return -EINVAL;
    }
    if (*config->path == '\0')
        return 0;
    failed = conf_load(config->path, &text, &size);
    if (failed != 0)
        return fail(error, failed == ENOMEM ? -ENOMEM : -EINVAL, "%s: %s", config->path,
                    strerrordesc_np(failed));
    rc = config_read(config, config->path, text, size, error);
    explicit_bzero(text, size);
    free(text);
    return rc;
}

/* The file that nobody named may be missing. */
static int find_file(struct config *config, const struct arguments *arguments,
                     struct config_error *error)
{
    const char *path = arguments->config;

    if (path == NULL)
        path = secure_getenv("ETCDSD_CONF");
    if (path == NULL)
        path = access(CONFIG_DEFAULT_PATH, F_OK) == 0 ? CONFIG_DEFAULT_PATH : "";
    config->path = strdup(path);
    return config->path == NULL ? no_memory(error) : 0;
}

/* ---- the other layers -------------------------------------------------- */

static int set_defaults(struct config *config, struct config_error *error)
{
    char why[KEY_WHY_SIZE];

    for (size_t i = 0; i < key_count; i++)
        if (keys[i].fallback != NULL && !(keys[i].places & KEY_ETCD) &&
            key_set(&config->top, i, keys[i].fallback, why) < 0)
            return no_memory(error);
    config->top.given = 0;
    return 0;
}

static int read_environment(struct config *config, struct config_error *error)
{
    for (size_t i = 0; i < key_count; i++) {
        const char *value = keys[i].variable != NULL && !(keys[i].places & KEY_ETCD)
                                ? secure_getenv(keys[i].variable)
                                : NULL;
        char why[KEY_WHY_SIZE];
        int rc;

        if (value == NULL || *value == '\0')
            continue;
        rc = key_set(&config->top, i, value, why);
        if (rc < 0)
            return fail(error, rc, "$%s: %s", keys[i].variable, why);
    }
    return 0;
}

static int take_argument(struct config *config, size_t key, const char *value,
                         struct config_error *error)
{
    char why[KEY_WHY_SIZE];
    int rc = key_set(&config->top, key, value, why);

    if (rc < 0)
        return fail(error, rc, "--%s: %s", keys[key].name, why);
    if (keys[key].places & KEY_ETCD)
        rc = libsd_options_set(config->etcd, keys[key].name, value);
    if (rc == 0)
        return 0;
    if (rc == LIBSD_ENOMEM)
        return no_memory(error);
    libsd_error_detail(NULL, why, sizeof why); /* begins with the key */
    return fail(error, -EINVAL, "--%s", why);
}

static int read_arguments(struct config *config, const struct arguments *arguments,
                          struct config_error *error)
{
    for (size_t i = 0; i < key_count; i++) {
        int rc = arguments->values[i] == NULL
                     ? 0
                     : take_argument(config, i, arguments->values[i], error);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the whole --------------------------------------------------------- */

/* Whether the name is the domain, or lies in it. */
static bool lies_in(const char *name, const char *domain)
{
    size_t length = strlen(name), suffix = strlen(domain);

    return length >= suffix && strcmp(name + length - suffix, domain) == 0 &&
           (length == suffix || name[length - suffix - 1] == '.');
}

const struct config_section *config_zone_of(const struct config *config, const char *name)
{
    const struct config_section *found = NULL;

    for (size_t i = 0; i < config->zone_count; i++) {
        const struct config_section *zone = &config->zones[i];

        if (lies_in(name, zone->says.domain) &&
            (found == NULL || strlen(zone->says.domain) > strlen(found->says.domain)))
            found = zone;
    }
    return found;
}

static int section_compare(const void *a, const void *b)
{
    const struct config_section *left = a, *right = b;

    return strcmp(left->name, right->name);
}

const struct settings *config_service(const struct config *config, const char *name,
                                      const struct settings *zone)
{
    const struct config_section wanted = { .name = (char *)(uintptr_t)name }, *found = NULL;

    if (config->service_count > 0)
        found = bsearch(&wanted, config->services, config->service_count, sizeof wanted,
                        section_compare);
    return found != NULL ? &found->says : zone;
}

/* One domain is one zone's; and the table's header has room for so many. */
static int check_domains(const struct config *config, struct config_error *error)
{
    size_t room = TABLE_ZONES_BYTES;

    for (size_t i = 0; i < config->zone_count; i++) {
        const struct config_section *zone = &config->zones[i];
        size_t size = strlen(zone->says.domain) + 1;

        for (size_t j = 0; j < i; j++)
            if (strcmp(config->zones[j].says.domain, zone->says.domain) == 0)
                return fail(error, -EINVAL,
                            "%s:%u: [zone %.60s]: the domain %s is that of [zone %.60s] already",
                            config->path, zone->line, zone->name, zone->says.domain,
                            config->zones[j].name);
        if (size > room)
            return fail(error, -EINVAL, "%s:%u: [zone %.60s]: the domains are too long, all told",
                        config->path, zone->line, zone->name);
        room -= size;
    }
    return 0;
}

static int finish_zones(struct config *config, struct config_error *error)
{
    if (config->zone_count == 0 && section_get(&config->zones, &config->zone_count, "", 0) == NULL)
        return no_memory(error);
    for (size_t i = 0; i < config->zone_count; i++)
        if (settings_inherit(&config->zones[i].says, &config->top, KEY_ZONE) < 0)
            return no_memory(error);
    return check_domains(config, error);
}

static int finish_services(struct config *config, struct config_error *error)
{
    for (size_t i = 0; i < config->service_count; i++) {
        struct config_section *service = &config->services[i];
        const struct config_section *zone = config_zone_of(config, service->name);

        if (zone == NULL || strcmp(service->name, zone->says.domain) == 0)
            return fail(error, -EINVAL, "%s:%u: [service %s] lies in no zone's domain",
                        config->path, service->line, service->name);
        if (settings_inherit(&service->says, &zone->says, KEY_SERVICE) < 0)
            return no_memory(error);
    }
    if (config->service_count > 0)
        qsort(config->services, config->service_count, sizeof *config->services, section_compare);
    return 0;
}

/* As libsd has it: the command line, else the environment, else the file. */
static int check_endpoints(const struct config *config, struct config_error *error)
{
    const char *endpoints = config->top.endpoints, *inside;

    if (endpoints == NULL) {
        endpoints = secure_getenv("ETCDCTL_ENDPOINTS");
        if (endpoints == NULL || *endpoints == '\0')
            endpoints = config->endpoints;
    }
    for (size_t i = 0; endpoints != NULL && i < config->zone_count; i++) {
        const char *domain = config->zones[i].says.domain;
        int length = config_endpoint_inside(endpoints, domain, &inside);

        if (length > 0)
            return fail(error, -EINVAL,
                        "endpoints: %.*s lies in the domain %s that this daemon itself serves "
                        "(name etcd's hosts by address or in another domain)",
                        length < 260 ? length : 260, inside, domain);
    }
    return 0;
}

int config_load(struct config *config, const struct arguments *arguments,
                struct config_error *error)
{
    int rc;

    *config = (struct config){ 0 };
    if (libsd_options_new(&config->etcd) < 0 ||
        libsd_options_set(config->etcd, "dispatch", "manual") < 0)
        return no_memory(error);
    rc = find_file(config, arguments, error);
    if (rc == 0)
        rc = set_defaults(config, error);
    if (rc == 0)
        rc = read_file(config, error);
    if (rc == 0)
        rc = read_environment(config, error);
    if (rc == 0)
        rc = read_arguments(config, arguments, error);
    if (rc == 0)
        rc = finish_zones(config, error);
    if (rc == 0)
        rc = finish_services(config, error);
    if (rc == 0)
        rc = check_endpoints(config, error);
    return rc;
}

void config_free(struct config *config)
{
    settings_free(&config->top);
    sections_free(config->zones, config->zone_count);
    sections_free(config->services, config->service_count);
    libsd_options_free(config->etcd);
    secret_free(config->etcd_text);
    free(config->endpoints);
    free(config->path);
    *config = (struct config){ 0 };
}
