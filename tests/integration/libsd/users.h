/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An etcd with users: root may do everything, app may read and write below
 * /service/, guest may read there.  See etcd.h.
 */
#ifndef TESTS_USERS_H
#define TESTS_USERS_H

#include "etcd.h"

#define ROOT_PASSWORD  "root's own"
#define APP_PASSWORD   "p\"ss:w\\rd"
#define GUEST_PASSWORD "guest's"

/* Of an etcd that is up: makes them and turns authentication on.  Requests
 * without libsd are root's from then on. */
void users_start(struct etcd *etcd);

/* Root logs in, as is needed when the old token has ended. */
void users_login(struct etcd *etcd);

/* Before etcd_boot(): tokens are signed with a key of the test's own and end
 * after so many seconds. */
void users_want_jwt(struct etcd *etcd, int ttl_s);

#endif
