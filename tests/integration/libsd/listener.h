/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A port of this machine that takes connections, and says nothing on them.
 */
#ifndef TESTS_LISTENER_H
#define TESTS_LISTENER_H

struct listener {
    int fd;
    int port;
    char address[30]; /* "127.0.0.1:PORT" */
};

/* At a port that is free; at the port that it had before. */
void listener_open(struct listener *listener);
void listener_open_again(struct listener *listener);
void listener_close(struct listener *listener);

#endif
