/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libnss_null.so.2, the floor: a hosts module that gives every name under
 * service.etcd one constant address and does nothing else.  It writes what the
 * NSS interface asks of any module, so none can be faster through glibc.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <nss.h>
#include <stdint.h>
#include <string.h>

#define API __attribute__((visibility("default"))) enum nss_status

static const char domain[] = ".service.etcd";

static int is_ours(const char *name, size_t length)
{
    size_t tail = sizeof domain - 1;

    return length > tail && memcmp(name + length - tail, domain, tail) == 0;
}

static enum nss_status refuse(int error, int h_error, enum nss_status status, int *errnop,
                              int *h_errnop)
{
    *errnop = error;
    *h_errnop = h_error;
    return status;
}

API _nss_null_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat, char *buffer,
                               size_t size, int *errnop, int *h_errnop, int32_t *ttlp);
API _nss_null_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat, char *buffer,
                               size_t size, int *errnop, int *h_errnop, int32_t *ttlp)
{
    size_t length = strlen(name), pad = -(uintptr_t)buffer & 7;
    struct gaih_addrtuple *tuple = (struct gaih_addrtuple *)(void *)(buffer + pad);

    if (!is_ours(name, length))
        return refuse(ENOENT, NO_RECOVERY, NSS_STATUS_UNAVAIL, errnop, h_errnop);
    if (size < pad + sizeof *tuple + length + 1)
        return refuse(ERANGE, NETDB_INTERNAL, NSS_STATUS_TRYAGAIN, errnop, h_errnop);
    if (*pat == NULL)
        *pat = tuple;
    (*pat)->next = NULL;
    (*pat)->name = memcpy(tuple + 1, name, length + 1);
    (*pat)->family = AF_INET;
    (*pat)->addr[0] = htonl(0x0a000001);
    (*pat)->scopeid = 0;
    if (ttlp != NULL)
        *ttlp = 0;
    *h_errnop = 0;
    return NSS_STATUS_SUCCESS;
}

API _nss_null_gethostbyname2_r(const char *name, int family, struct hostent *host, char *buffer,
                               size_t size, int *errnop, int *h_errnop);
API _nss_null_gethostbyname2_r(const char *name, int family, struct hostent *host, char *buffer,
                               size_t size, int *errnop, int *h_errnop)
{
    size_t length = strlen(name), pad = -(uintptr_t)buffer & 7;
    char **pointers = (char **)(void *)(buffer + pad);
    uint32_t address = htonl(0x0a000001);

    if (!is_ours(name, length))
        return refuse(ENOENT, NO_RECOVERY, NSS_STATUS_UNAVAIL, errnop, h_errnop);
    if (family != AF_INET)
        return refuse(ENOENT, NO_DATA, NSS_STATUS_NOTFOUND, errnop, h_errnop);
    if (size < pad + 3 * sizeof(char *) + 4 + length + 1)
        return refuse(ERANGE, NETDB_INTERNAL, NSS_STATUS_TRYAGAIN, errnop, h_errnop);
    pointers[0] = NULL;
    pointers[1] = memcpy(pointers + 3, &address, 4);
    pointers[2] = NULL;
    host->h_name = memcpy(pointers[1] + 4, name, length + 1);
    host->h_aliases = pointers;
    host->h_addr_list = pointers + 1;
    host->h_addrtype = AF_INET;
    host->h_length = 4;
    *h_errnop = 0;
    return NSS_STATUS_SUCCESS;
}

API _nss_null_gethostbyname_r(const char *name, struct hostent *host, char *buffer, size_t size,
                              int *errnop, int *h_errnop);
API _nss_null_gethostbyname_r(const char *name, struct hostent *host, char *buffer, size_t size,
                              int *errnop, int *h_errnop)
{
    return _nss_null_gethostbyname2_r(name, AF_INET, host, buffer, size, errnop, h_errnop);
}
