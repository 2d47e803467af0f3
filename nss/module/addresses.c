/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The hosts database by address: 10.0.0.5 -> instance-1.user.service.etcd.
 *
 * An address that no instance has is somebody else's, so the answer is UNAVAIL
 * and reverse DNS is asked; so it is when there is no table.
 */
#include <errno.h>

#include "answer.h"
#include "hosts.h"
#include "reverse.h"

static enum answer answer(int family, const void *address, struct hostent *host, char *start,
                          size_t size)
{
    for (int tries = 0; tries < ANSWER_TRIES; tries++) {
        struct table_view view;
        struct table_owner owner;
        enum table_result result;

        if (!table_source_view(&table_file, &view) || !table_source_is_usable(&table_file, &view))
            return ANSWER_FOREIGN;
        result = table_find_address(&view, family == AF_INET ? 4 : 6, address, &owner);
        if (result == TABLE_MISS && table_view_holds(&view))
            return ANSWER_FOREIGN;
        if (result == TABLE_FOUND) {
            enum answer found = answer_host(&owner, 0, host, start, size);

            if (table_record_is_whole(&owner.record))
                return found;
        }
    }
    return ANSWER_FOREIGN; /* as if there were no table */
}

NSS_EXPORT enum nss_status _nss_etcdsd_gethostbyaddr2_r(const void *address, socklen_t length,
                                                        int family, struct hostent *host,
                                                        char *buffer, size_t size, int *errnop,
                                                        int *h_errnop, int32_t *ttlp)
{
    if ((family != AF_INET || length != sizeof(struct in_addr)) &&
        (family != AF_INET6 || length != sizeof(struct in6_addr))) {
        *errnop = EAFNOSUPPORT;
        *h_errnop = NO_DATA;
        return NSS_STATUS_UNAVAIL;
    }
    if (ttlp != NULL)
        *ttlp = 0;
    return answer_status(answer(family, address, host, buffer, size), errnop, h_errnop);
}

NSS_EXPORT enum nss_status _nss_etcdsd_gethostbyaddr_r(const void *address, socklen_t length,
                                                       int family, struct hostent *host,
                                                       char *buffer, size_t size, int *errnop,
                                                       int *h_errnop)
{
    return _nss_etcdsd_gethostbyaddr2_r(address, length, family, host, buffer, size, errnop,
                                        h_errnop, NULL);
}
