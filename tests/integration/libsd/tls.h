/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An etcd behind TLS, with certificates that the test makes; see etcd.h and
 * certificates.sh.
 */
#ifndef TESTS_TLS_H
#define TESTS_TLS_H

#include "etcd.h"

/* Starts an etcd whose URL "also" is https, with that server certificate
 * (NULL: "server"); requests without libsd go to its other port, which is plain.
 * client_authority: whose clients are let in, NULL: all. */
void tls_start(struct etcd *etcd, const char *server, const char *client_authority);

/* The path of a file made by certificates.sh; it lives as long as the test. */
const char *tls_file(const struct etcd *etcd, const char *name);

#endif
