/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Noticing what others do to the keys of our registrations.
 *
 * A registration has a watch on its own key; that costs etcd least when a
 * service has many instances elsewhere.  A process that registers many
 * instances of one service itself shares a watch on the whole service among
 * all but the first: 10,000 watches would take as long to make as the
 * registrations.
 */
#ifndef LIBSD_KEYWATCH_H
#define LIBSD_KEYWATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "stream.h"

struct registration;

/* The watch of all registrations of a service but the first OWN_MAX. */
struct service_watch {
    struct libsd *sd;
    char *prefix;     /* <prefix><service>/ */
    unsigned members; /* registrations of the service, with own watches or not */
    struct subscription subscription;
};

#define OWN_MAX 16

/* Watches the registration's key for what happens after that revision; again
 * if it did not or no longer, else nothing changes. */
void keywatch_start(struct registration *registration, int64_t store_revision);
void keywatch_stop(struct registration *registration);
bool keywatch_is_live(struct registration *registration);

#endif
