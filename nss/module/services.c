/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The services database: the port of a service whose instances all share one.
 *
 * A service goes by its name without the domain (`user` for
 * user.service.etcd); its whole owner name is an alias, and is found, too.
 * Everything is tcp: a registration does not say.  The database is shared with
 * /etc/services, so a name that is not here is nobody's fault: NOTFOUND.
 */
#include <arpa/inet.h>
#include <string.h>

#include "hosts.h"
#include "walk.h"

static struct walk walk;

static int is_tcp(const char *protocol)
{
    return protocol == NULL || strcmp(protocol, "tcp") == 0;
}

/* The service entry of a record.  Ask afterwards whether it was whole. */
static enum answer answer_service(const struct table_view *view, const struct table_record *record,
                                  struct servent *service, char *start, size_t size)
{
    struct table_owner owner = { .record = *record };
    uint32_t length = table_owner_name_length(&owner), domain_length;
    struct buffer buffer;
    char *name;

    /* The name twice, the second time without the domain. */
    if (!buffer_take(&buffer, start, size,
                     2 * sizeof(char *) + table_owner_name_size(&owner) + length + 1 +
                         sizeof "tcp"))
        return ANSWER_SMALL;
    service->s_aliases = buffer_use(&buffer, 2 * sizeof(char *));
    name = service->s_aliases[0] = buffer_use(&buffer, table_owner_name_size(&owner));
    service->s_aliases[1] = NULL;
    table_owner_name(&owner, name);
    service->s_name = buffer_use(&buffer, length + 1);
    domain_length = table_domain_of(view, name, length);
    if (domain_length + 1 < length)
        length -= domain_length + 1;
    memcpy(service->s_name, name, length);
    service->s_name[length] = '\0';
    service->s_proto = memcpy(buffer_use(&buffer, sizeof "tcp"), "tcp", sizeof "tcp");
    service->s_port = htons((uint16_t)table_record_port(record));
    return ANSWER_FOUND;
}

/* ---- by name ----------------------------------------------------------- */

/* Looks up `name` in a domain, or as it is if `domain_length` is 0. */
static enum table_result find_in(const struct table_view *view, const char *name, size_t length,
                                 const char *domain, uint32_t domain_length,
                                 struct table_record *record)
{
    struct table_name folded;

    if (length == 0 || length > TABLE_MAX_NAME ||
        (domain_length != 0 && length + 1 + domain_length > TABLE_MAX_NAME))
        return TABLE_MISS;
    table_name_set(&folded, name, (uint32_t)length);
    if (domain_length != 0)
        table_name_append(&folded, domain, domain_length);
    return table_find(view, &folded, record);
}

static enum table_result find_name(const struct table_view *view, const char *name,
                                   struct table_record *record)
{
    uint64_t zones = table_load(view->words + TABLE_H_ZONES);
    size_t length = strlen(name);
    const char *domain;
    uint32_t domain_length, at = 0;

    if (table_domain_of(view, name, length) != 0)
        return find_in(view, name, length, NULL, 0, record);
    for (uint64_t i = 0; i < zones && i < TABLE_MAX_ZONES; i++) {
        enum table_result result;

        domain = table_zone(view, &at, &domain_length);
        if (domain == NULL)
            break;
        result = find_in(view, name, length, domain, domain_length, record);
        if (result != TABLE_MISS)
            return result;
    }
    return TABLE_MISS;
}

/* By name, or by port if `name` is NULL. */
static enum answer answer(const char *name, uint32_t port, struct servent *service, char *start,
                          size_t size)
{
    for (int tries = 0; tries < ANSWER_TRIES; tries++) {
        struct table_view view;
        struct table_record record;
        enum table_result result;
        enum answer found;

        if (!table_source_view(&table_file, &view) || !table_source_is_usable(&table_file, &view))
            return ANSWER_FOREIGN;
        result =
            name != NULL ? find_name(&view, name, &record) : table_find_port(&view, port, &record);
        if (result == TABLE_MISS && table_view_holds(&view))
            return table_is_all_ready(&view) ? ANSWER_NO_NAME : ANSWER_FOREIGN;
        if (result != TABLE_FOUND)
            continue;
        found = table_record_port(&record) == 0
                    ? ANSWER_NO_NAME
                    : answer_service(&view, &record, service, start, size);
        if (table_record_is_whole(&record))
            return found;
    }
    return ANSWER_FOREIGN; /* as if there were no table */
}

static enum answer answer_next(struct servent *service, char *start, size_t size)
{
    for (int tries = 0, next = 0; tries < ANSWER_TRIES;) {
        struct table_record record;
        enum answer answer = walk_service(&walk, next, &record);

        if (answer != ANSWER_FOUND)
            return answer;
        next = table_record_port(&record) == 0;
        if (!next)
            answer = answer_service(&walk.view, &record, service, start, size);
        if (!table_record_is_whole(&record)) {
            next = 0;
            tries++;
        } else if (!next) {
            return answer;
        }
    }
    return ANSWER_AGAIN;
}

/* ---- entry points ------------------------------------------------------ */

NSS_EXPORT enum nss_status _nss_etcdsd_getservbyname_r(const char *name, const char *protocol,
                                                       struct servent *service, char *buffer,
                                                       size_t size, int *errnop)
{
    enum answer found = is_tcp(protocol) ? answer(name, 0, service, buffer, size) : ANSWER_NO_NAME;

    return answer_status(found, errnop, NULL);
}

NSS_EXPORT enum nss_status _nss_etcdsd_getservbyport_r(int port, const char *protocol,
                                                       struct servent *service, char *buffer,
                                                       size_t size, int *errnop)
{
    enum answer found = ANSWER_NO_NAME;

    if (is_tcp(protocol) && ntohs((uint16_t)port) != 0)
        found = answer(NULL, ntohs((uint16_t)port), service, buffer, size);
    return answer_status(found, errnop, NULL);
}

NSS_EXPORT enum nss_status _nss_etcdsd_setservent(int stay_open)
{
    (void)stay_open;
    walk_end(&walk);
    return NSS_STATUS_SUCCESS;
}

NSS_EXPORT enum nss_status _nss_etcdsd_endservent(void)
{
    walk_end(&walk);
    return NSS_STATUS_SUCCESS;
}

NSS_EXPORT enum nss_status _nss_etcdsd_getservent_r(struct servent *service, char *buffer,
                                                    size_t size, int *errnop)
{
    enum answer answer = answer_next(service, buffer, size);

    if (answer == ANSWER_FOUND)
        walk.slot++;
    return answer_status(answer, errnop, NULL);
}
