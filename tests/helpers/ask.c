/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ask MODULE NAME: looks a name up through the module at a path.  Ends with 0
 * if it is found, 1 if not, 2 if it could not ask.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <nss.h>
#include <stdio.h>
#include <sys/socket.h>

typedef enum nss_status lookup(const char *, int, struct hostent *, char *, size_t, int *, int *);

int main(int argc, char **argv)
{
    void *module = argc == 3 ? dlopen(argv[1], RTLD_NOW) : NULL;
    lookup *by_name =
        module != NULL ? (lookup *)dlsym(module, "_nss_etcdsd_gethostbyname2_r") : NULL;
    struct hostent host;
    char buffer[512];
    int error, h_error;

    if (by_name == NULL) {
        fprintf(stderr, "ask: %s\n", argc == 3 ? dlerror() : "usage: ask MODULE NAME");
        return 2;
    }
    return by_name(argv[2], AF_INET, &host, buffer, sizeof buffer, &error, &h_error) !=
           NSS_STATUS_SUCCESS;
}
