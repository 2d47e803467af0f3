/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whether etcd's own endpoints lie in a domain that needs etcd to resolve.
 */
#include <stdbool.h>
#include <string.h>

#include "config.h"

/* The host in "scheme://user@host:port/path".  Returns its length. */
static size_t endpoint_host(const char *endpoint, size_t length, const char **host)
{
    const char *scheme = memmem(endpoint, length, "://", 3), *at;
    const char *start = scheme != NULL ? scheme + 3 : endpoint;
    size_t size = (size_t)(endpoint + length - start), authority = 0;

    while (authority < size && strchr("/?#", start[authority]) == NULL)
        authority++;
    at = memrchr(start, '@', authority);
    *host = at != NULL ? at + 1 : start;
    size = (size_t)(start + authority - *host);
    if (size > 0 && **host == '[')
        return size; /* an IPv6 address lies in no domain */
    for (authority = 0; authority < size && (*host)[authority] != ':';)
        authority++;
    return authority;
}

static bool host_is_inside(const char *host, size_t length, const char *domain)
{
    size_t suffix = strlen(domain);

    if (length > 0 && host[length - 1] == '.')
        length--;
    return length >= suffix && strncasecmp(host + length - suffix, domain, suffix) == 0 &&
           (length == suffix || host[length - suffix - 1] == '.');
}

int config_endpoint_inside(const char *endpoints, const char *domain, const char **endpoint)
{
    while (*endpoints != '\0') {
        size_t length = strcspn(endpoints, ","), size, blanks = strspn(endpoints, " \t");
        const char *host;
        size_t host_length;

        size = length - blanks; /* a comma is no blank */
        while (size > 0 &&
               (endpoints[blanks + size - 1] == ' ' || endpoints[blanks + size - 1] == '\t'))
            size--;
        *endpoint = endpoints + blanks;
        host_length = endpoint_host(*endpoint, size, &host);
        if (host_is_inside(host, host_length, domain))
            return (int)size;
        endpoints += length + (endpoints[length] == ',');
    }
    return 0;
}
