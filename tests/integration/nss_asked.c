/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An NSS module, "asked", that counts how often it is asked for a host, and
 * knows every name: it stands for `files` or `dns` behind ours.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <nss.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

extern int asked_count;
EXPORT int asked_count;

enum nss_status _nss_asked_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat,
                                            char *buffer, size_t size, int *errnop, int *h_errnop,
                                            int32_t *ttlp);
enum nss_status _nss_asked_gethostbyname3_r(const char *name, int family, struct hostent *host,
                                            char *buffer, size_t size, int *errnop, int *h_errnop,
                                            int32_t *ttlp, char **canonp);
enum nss_status _nss_asked_gethostbyname2_r(const char *name, int family, struct hostent *host,
                                            char *buffer, size_t size, int *errnop, int *h_errnop);
enum nss_status _nss_asked_gethostbyname_r(const char *name, struct hostent *host, char *buffer,
                                           size_t size, int *errnop, int *h_errnop);

/* Room for any answer; glibc's first buffer has 1 KiB. */
struct answer {
    struct gaih_addrtuple tuple;
    char *aliases[1];
    char *addresses[2];
    unsigned char address[16];
    char name[256];
};

static struct answer *answer_in(char *buffer, size_t size, const char *name, int *errnop,
                                int *h_errnop)
{
    uintptr_t at = ((uintptr_t)buffer + 15) & ~(uintptr_t)15;
    struct answer *answer = (struct answer *)at;

    asked_count++;
    if (at - (uintptr_t)buffer + sizeof *answer > size) {
        asked_count--; /* will be asked again */
        *errnop = ERANGE;
        *h_errnop = NETDB_INTERNAL;
        return NULL;
    }
    memset(answer, 0, sizeof *answer);
    strncpy(answer->name, name, sizeof answer->name - 1);
    *h_errnop = NETDB_SUCCESS;
    return answer;
}

EXPORT enum nss_status _nss_asked_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat,
                                                   char *buffer, size_t size, int *errnop,
                                                   int *h_errnop, int32_t *ttlp)
{
    struct answer *answer = answer_in(buffer, size, name, errnop, h_errnop);

    (void)ttlp;
    if (answer == NULL)
        return NSS_STATUS_TRYAGAIN;
    answer->tuple.name = answer->name;
    answer->tuple.family = AF_INET;
    inet_pton(AF_INET, "192.0.2.7", answer->tuple.addr);
    *pat = &answer->tuple;
    return NSS_STATUS_SUCCESS;
}

EXPORT enum nss_status _nss_asked_gethostbyname3_r(const char *name, int family,
                                                   struct hostent *host, char *buffer, size_t size,
                                                   int *errnop, int *h_errnop, int32_t *ttlp,
                                                   char **canonp)
{
    struct answer *answer = answer_in(buffer, size, name, errnop, h_errnop);

    (void)ttlp;
    if (answer == NULL)
        return NSS_STATUS_TRYAGAIN;
    inet_pton(family, family == AF_INET ? "192.0.2.7" : "2001:db8::7", answer->address);
    answer->addresses[0] = (char *)answer->address;
    host->h_name = answer->name;
    host->h_aliases = answer->aliases;
    host->h_addrtype = family;
    host->h_length = family == AF_INET ? 4 : 16;
    host->h_addr_list = answer->addresses;
    if (canonp != NULL)
        *canonp = answer->name;
    return NSS_STATUS_SUCCESS;
}

EXPORT enum nss_status _nss_asked_gethostbyname2_r(const char *name, int family,
                                                   struct hostent *host, char *buffer, size_t size,
                                                   int *errnop, int *h_errnop)
{
    return _nss_asked_gethostbyname3_r(name, family, host, buffer, size, errnop, h_errnop, NULL,
                                       NULL);
}

EXPORT enum nss_status _nss_asked_gethostbyname_r(const char *name, struct hostent *host,
                                                  char *buffer, size_t size, int *errnop,
                                                  int *h_errnop)
{
    return _nss_asked_gethostbyname3_r(name, AF_INET, host, buffer, size, errnop, h_errnop, NULL,
                                       NULL);
}
