/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The status table, and host entries of one address.
 */
#include "answer.h"

#include <errno.h>

struct table_source table_file;

enum nss_status answer_refuse(enum answer answer, int *errnop, int *h_errnop)
{
    static const struct {
        short status;
        short error;
        short h_error;
    } table[] = {
        [ANSWER_SMALL] = { NSS_STATUS_TRYAGAIN, ERANGE, NETDB_INTERNAL },
        [ANSWER_NO_NAME] = { NSS_STATUS_NOTFOUND, ENOENT, HOST_NOT_FOUND },
        [ANSWER_NO_DATA] = { NSS_STATUS_NOTFOUND, ENOENT, NO_DATA },
        [ANSWER_AGAIN] = { NSS_STATUS_TRYAGAIN, EAGAIN, TRY_AGAIN },
        [ANSWER_FOREIGN] = { NSS_STATUS_UNAVAIL, ENOENT, NO_RECOVERY },
    };

    *errnop = table[answer].error;
    if (h_errnop != NULL)
        *h_errnop = table[answer].h_error;
    return (enum nss_status)table[answer].status;
}

enum answer answer_host(const struct table_owner *owner, int with_alias, struct hostent *host,
                        char *start, size_t size)
{
    int is_v4 = owner->first < owner->record.shape.v4;
    size_t address_size = is_v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    size_t name_size = table_owner_name_size(owner);
    struct table_owner service = *owner;
    struct buffer buffer;

    service.label_length = 0;
    if (!buffer_take(&buffer, start, size,
                     4 * sizeof(char *) + address_size + name_size +
                         (with_alias ? table_owner_name_size(&service) : 0)))
        return ANSWER_SMALL;
    host->h_addr_list = buffer_use(&buffer, 2 * sizeof(char *));
    host->h_aliases = buffer_use(&buffer, 2 * sizeof(char *));
    host->h_addr_list[0] = buffer_use(&buffer, address_size);
    answer_address(&owner->record, owner->first, host->h_addr_list[0]);
    host->h_addr_list[1] = NULL;
    host->h_name = buffer_use(&buffer, name_size);
    table_owner_name(owner, host->h_name);
    host->h_aliases[0] = host->h_aliases[1] = NULL;
    if (with_alias) {
        host->h_aliases[0] = buffer.next;
        table_owner_name(&service, buffer.next);
    }
    host->h_addrtype = is_v4 ? AF_INET : AF_INET6;
    host->h_length = (int)address_size;
    return ANSWER_FOUND;
}
