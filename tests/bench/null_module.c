/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libnss_null.so.2, the floor: a hosts module that gives every name under
 * service.etcd one constant address and does nothing else.  It writes what the
 * NSS interface asks of any module, so none can be faster through glibc.
 *
 * Built with -DMODULE=null3 -DANSWERS=3 it is libnss_null3.so.2 with three.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <nss.h>
#include <stdint.h>
#include <string.h>

#ifndef MODULE
#    define MODULE  null
#    define ANSWERS 1
#endif

#define API                     __attribute__((visibility("default"))) enum nss_status
#define JOIN(module, function)  _nss_##module##_##function
#define ENTRY(module, function) JOIN(module, function)

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

API ENTRY(MODULE, gethostbyname4_r)(const char *name, struct gaih_addrtuple **pat, char *buffer,
                                    size_t size, int *errnop, int *h_errnop, int32_t *ttlp);
API ENTRY(MODULE, gethostbyname4_r)(const char *name, struct gaih_addrtuple **pat, char *buffer,
                                    size_t size, int *errnop, int *h_errnop, int32_t *ttlp)
{
    size_t length = strlen(name), pad = -(uintptr_t)buffer & 7;
    struct gaih_addrtuple *tuples = (struct gaih_addrtuple *)(void *)(buffer + pad), *tuple;
    char *copy;

    if (!is_ours(name, length))
        return refuse(ENOENT, NO_RECOVERY, NSS_STATUS_UNAVAIL, errnop, h_errnop);
    if (size < pad + ANSWERS * sizeof *tuples + length + 1)
        return refuse(ERANGE, NETDB_INTERNAL, NSS_STATUS_TRYAGAIN, errnop, h_errnop);
    copy = memcpy(tuples + ANSWERS, name, length + 1);
    if (*pat == NULL)
        *pat = tuples;
    tuple = *pat;
    for (uint32_t i = 0; i < ANSWERS; i++) {
        tuple->next = i + 1 < ANSWERS ? tuples + i + 1 : NULL;
        tuple->name = copy;
        tuple->family = AF_INET;
        tuple->addr[0] = htonl(0x0b000001 + i);
        tuple->scopeid = 0;
        tuple = tuple->next;
    }
    if (ttlp != NULL)
        *ttlp = 0;
    *h_errnop = 0;
    return NSS_STATUS_SUCCESS;
}

API ENTRY(MODULE, gethostbyname2_r)(const char *name, int family, struct hostent *host,
                                    char *buffer, size_t size, int *errnop, int *h_errnop);
API ENTRY(MODULE, gethostbyname2_r)(const char *name, int family, struct hostent *host,
                                    char *buffer, size_t size, int *errnop, int *h_errnop)
{
    size_t length = strlen(name), pad = -(uintptr_t)buffer & 7;
    char **pointers = (char **)(void *)(buffer + pad);
    uint32_t *addresses = (uint32_t *)(void *)(pointers + ANSWERS + 2);

    if (!is_ours(name, length))
        return refuse(ENOENT, NO_RECOVERY, NSS_STATUS_UNAVAIL, errnop, h_errnop);
    if (family != AF_INET)
        return refuse(ENOENT, NO_DATA, NSS_STATUS_NOTFOUND, errnop, h_errnop);
    if (size < pad + (ANSWERS + 2) * sizeof *pointers + ANSWERS * sizeof *addresses + length + 1)
        return refuse(ERANGE, NETDB_INTERNAL, NSS_STATUS_TRYAGAIN, errnop, h_errnop);
    pointers[0] = NULL;
    for (uint32_t i = 0; i < ANSWERS; i++) {
        addresses[i] = htonl(0x0b000001 + i);
        pointers[i + 1] = (char *)(addresses + i);
    }
    pointers[ANSWERS + 1] = NULL;
    host->h_name = memcpy(addresses + ANSWERS, name, length + 1);
    host->h_aliases = pointers;
    host->h_addr_list = pointers + 1;
    host->h_addrtype = AF_INET;
    host->h_length = 4;
    *h_errnop = 0;
    return NSS_STATUS_SUCCESS;
}

API ENTRY(MODULE, gethostbyname_r)(const char *name, struct hostent *host, char *buffer,
                                   size_t size, int *errnop, int *h_errnop);
API ENTRY(MODULE, gethostbyname_r)(const char *name, struct hostent *host, char *buffer,
                                   size_t size, int *errnop, int *h_errnop)
{
    return ENTRY(MODULE, gethostbyname2_r)(name, AF_INET, host, buffer, size, errnop, h_errnop);
}
