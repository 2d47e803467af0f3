/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a handle was told: libsd_options made whole.
 */
#ifndef LIBSD_OPTIONS_H
#define LIBSD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "libsd.h"

/* Every string is set (maybe empty) once options_resolve() has been through. */
struct libsd_options {
    char *endpoints;
    char *prefix;
    char *cacert;
    char *cert;
    char *key;
    char *user;
    char *password;
    int timeout_ms; /* 0: not given */
    bool manual_dispatch;
    libsd_log_callback *log;
    void *log_arg;
};

/* Copies from (NULL: nothing given) and fills what it leaves open from the
 * environment and the defaults.  Returns 0, LIBSD_EINVAL or LIBSD_ENOMEM. */
int options_resolve(struct libsd_options *to, const struct libsd_options *from);

/* Frees the strings, passwords wiped; not the struct. */
void options_clear(struct libsd_options *options);

#endif
