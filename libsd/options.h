/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a handle was told: by the program, the environment, a file, in this
 * order, and the defaults.
 */
#ifndef LIBSD_OPTIONS_H
#define LIBSD_OPTIONS_H

#include <stdbool.h>

#include "endpoint.h"
#include "libsd.h"

#define OPTIONS_FILE "/etc/etcdsd/etcdsd.conf"

/* One source's word, where NULL and 0 mean "not given"; or all of them made
 * whole by options_resolve(): every string is set then (maybe empty), and every
 * number. */
struct libsd_options {
    char *endpoints;
    char *prefix; /* whole: empty, or ends with '/' */
    char *cacert;
    char *cert;
    char *key;
    char *server_name; /* whole: empty: that of the URL */
    char *user;        /* whole: without ":password" */
    char *password;
    int timeout_ms;
    int ttl_s;
    int takeover; /* enum libsd_takeover */
    enum {
        DISPATCH_THREAD = 1,
        DISPATCH_MANUAL
    } dispatch;
    enum {
        SOURCE_AUTO = 1,
        SOURCE_TABLE,
        SOURCE_ETCD
    } source;
    enum balance balance;
    char *domain;       /* whole: lower case, no dots at the ends; empty: none */
    bool own_endpoints; /* whole: the program named them */
    libsd_log_callback *log;
    void *log_arg;
    struct libsd_options *file; /* NULL: the default file, when it is wanted */
};

/* Copies from (NULL: nothing given) and fills what it leaves open.  Returns 0,
 * LIBSD_EINVAL, LIBSD_ENOTFOUND, LIBSD_EDENIED or LIBSD_ENOMEM; the calling
 * thread's detail says why. */
int options_resolve(struct libsd_options *to, const struct libsd_options *from);

/* Frees the strings, passwords wiped; not the struct. */
void options_clear(struct libsd_options *options);

#endif
