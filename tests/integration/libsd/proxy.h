/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A way to an etcd that can be cut, stopped and counted: a process that passes
 * connections on.  It is gone when the test's process is.
 */
#ifndef TESTS_PROXY_H
#define TESTS_PROXY_H

#include <sys/types.h>

struct proxy {
    pid_t pid;
    int control; /* a byte in: what to do; the number of connections back */
    char url[64];
};

/* Passes on to the port of to_url.  api NULL: everything as it is.  Else the
 * server is one of an older etcd: it has the gateway under api only, such as
 * "/v3beta", and answers 404 elsewhere. */
void proxy_start(struct proxy *proxy, const char *to_url, const char *api);

/* Closes all connections; the next ones are taken again, when it is not frozen. */
void proxy_cut(struct proxy *proxy);

/* Connections taken so far. */
int proxy_count(struct proxy *proxy);

/* Takes no more bytes and answers none, though connections stand, as behind a
 * host that hangs; and the end of that. */
void proxy_freeze(struct proxy *proxy);
void proxy_thaw(struct proxy *proxy);

void proxy_end(struct proxy *proxy);

#endif
