/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The token of a handle with user and password.  A token costs etcd 80 ms of
 * bcrypt, so it is asked for once and shared until somebody refuses it.
 */
#ifndef LIBSD_AUTH_H
#define LIBSD_AUTH_H

#include "call.h"

struct auth {
    char *token;     /* NULL: none */
    unsigned serial; /* of the token: how many there were */
    bool off;        /* etcd said that authentication is not enabled */
    struct call call;
    LIST_HEAD(, auth_wait) waiting;
};

/* Whether a request can go out now; if not, wait->ready is called later. */
bool auth_ready(struct libsd *sd, struct auth_wait *wait);
void auth_cancel(struct auth_wait *wait);

/* The token of that serial was refused: whoever comes next asks for a new one,
 * unless there is one already. */
void auth_refused(struct libsd *sd, unsigned serial);
void auth_free(struct libsd *sd);

#endif
