/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon's configuration: all that the file, the environment and the
 * command line say, put together.
 *
 *     defaults < file < environment < command line
 *
 *     top ----------> zone ----------> service     what one does not say, it
 *     [watcher]       [zone NAME]      [service    has from the left
 *                                      OWNER-NAME]
 *
 * Without a [zone] section there is one zone, which says what the top says.
 * [etcd] is libsd's, which reads it from the same file.
 */
#ifndef ETCDSD_WATCHER_CONFIG_H
#define ETCDSD_WATCHER_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "arguments.h"
#include "keys.h"
#include "libsd.h"

#define CONFIG_DEFAULT_PATH "/etc/etcdsd/etcdsd.conf"
#define CONFIG_MAX_SERVICES 4096

/* A section; at the top the name is "". */
struct config_section {
    char *name;    /* a service's: its owner name, normalized */
    unsigned line; /* of the file, where it begins; 0: not in the file */
    struct settings says;
};

/* What is wrong, in one line that begins with where it is. */
struct config_error {
    char text[700];
};

struct config {
    char *path; /* of the file; "": none */
    struct settings top;
    struct config_section *zones; /* at least one; services find theirs by the longest domain */
    size_t zone_count;
    struct config_section *services; /* by name, for bsearch(3) */
    size_t service_count;
    libsd_options *etcd; /* for libsd_open(), which adds the environment */
    char *etcd_text;     /* what the file says of etcd, to see whether it changed; NULL: nothing */
    char *endpoints;     /* the file's; NULL: it names none */
};

/* Puts the configuration together and checks it, as far as that can be done
 * without connecting.  Returns 0, -EINVAL or -ENOMEM, and error then says why;
 * config_free() must follow in each case. */
int config_load(struct config *config, const struct arguments *arguments,
                struct config_error *error);

/* Reads text, size bytes with room for one more, as if it were the file: one
 * of the layers.  Returns as above. */
int config_read(struct config *config, const char *path, char *text, size_t size,
                struct config_error *error);

void config_free(struct config *config);

/* What is said of a service (an owner name): by its section or its zone. */
const struct settings *config_service(const struct config *config, const char *name,
                                      const struct settings *zone);

/* The zone with the longest domain that the name lies in; NULL: none. */
const struct config_section *config_zone_of(const struct config *config, const char *name);

/* Finds the first endpoint of a comma-separated list whose host lies in the
 * domain: to resolve it, the daemon would have to ask itself.  Returns its
 * length and sets *endpoint, or 0 if there is none. */
int config_endpoint_inside(const char *endpoints, const char *domain, const char **endpoint);

#endif
