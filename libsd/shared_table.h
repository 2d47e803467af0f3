/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Asking the table of the host's etcdsd-watcher: no connection, no system call.
 */
#ifndef LIBSD_SHARED_TABLE_H
#define LIBSD_SHARED_TABLE_H

#include <stdbool.h>

#include "libsd.h"
#include "pick.h"
#include "table/layout.h"

enum shared_answer {
    SHARED_FOUND,
    SHARED_ABSENT, /* there is no such service */
    SHARED_UNKNOWN /* no table, too old a table, or one that can't tell */
};

/* Whether the handle's options let it ask the table. */
bool shared_table_is_allowed(const libsd *sd);

/* Whether the table follows etcd at the moment, and has the handle's domain. */
bool shared_table_is_current(const libsd *sd);

/* Turns a service into the owner name in a domain ("shop/user" into
 * user.shop.DOMAIN).  Returns its length, 0 if it has none that leads back to
 * just this service. */
#define OWNER_NAME_SIZE 256
size_t shared_table_name(const char *service, const char *domain, char name[OWNER_NAME_SIZE]);

/* A service as the table knows it; made once, for any number of picks. */
struct shared_name {
    const char *domain;
    struct table_name owner;     /* length 0: the table can't have it */
    _Atomic uint64_t generation; /* of the last file that had the domain */
};
void shared_name_init(struct shared_name *name, const char *service, const char *domain);

/* Picks of a service.  stale: a table that does not follow etcd will do, too,
 * unless it is too old for itself. */
enum shared_answer shared_table_pick(struct shared_name *name, bool stale, const struct pick *pick,
                                     libsd_picked *picked);

/* All instances behind an owner name in lower case.  Adds a reference to
 * *snapshot if found.  Returns LIBSD_ENOMEM or enum shared_answer. */
int shared_table_list(const char *domain, const char *name, bool stale,
                      struct libsd_snapshot **snapshot);

#endif
