/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An etcd behind TLS; see tls.h.
 */
#include "tls.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Tests run in the top directory of the tree. */
#define CERTIFICATES "tests/integration/libsd/certificates.sh"

const char *tls_file(const struct etcd *etcd, const char *name)
{
    static char paths[20][300];
    static int count;
    char *path = paths[count++];

    cr_assert(count <= 20);
    snprintf(path, sizeof paths[0], "%s/%s", etcd->dir, name);
    return path;
}

void tls_start(struct etcd *etcd, const char *server, const char *client_authority)
{
    char command[300];
    char name[40];
    size_t i = 0;

    etcd_prepare(etcd);
    snprintf(command, sizeof command, CERTIFICATES " %s", etcd->dir);
    cr_assert_eq(system(command), 0, "%s", command);
    etcd->also_at = "https://127.0.0.1";
    etcd->flags[i++] = "--cert-file";
    snprintf(name, sizeof name, "%s.crt", server ? server : "server");
    etcd->flags[i++] = tls_file(etcd, name);
    etcd->flags[i++] = "--key-file";
    snprintf(name, sizeof name, "%s.key", server ? server : "server");
    etcd->flags[i++] = tls_file(etcd, name);
    if (client_authority) {
        snprintf(name, sizeof name, "%s.crt", client_authority);
        etcd->flags[i++] = "--client-cert-auth";
        etcd->flags[i++] = "--trusted-ca-file";
        etcd->flags[i++] = tls_file(etcd, name);
    }
    etcd_boot(etcd);
}
