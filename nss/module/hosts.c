/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The hosts database, by name: user.service.etcd and its like.
 *
 * Relies on the table reader and libc.  Keeps no lock, descriptor, thread or
 * heap; a warm lookup makes no system call.  Everything returned lies in the
 * caller's buffer.
 *
 * Each entry point finds the owner name's record, counts what the answer
 * needs, fills the caller's buffer straight from the table, and only then asks
 * whether the record was whole; if a writer was faster, it begins again.
 */
#include "hosts.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "answer.h"

/* Addresses of the answer: `count` of the `of` that begin with number `first`,
 * from number `start` on and round. */
struct choice {
    uint32_t first, of, start, count;
    struct table_position position;
};

/* ---- finding ----------------------------------------------------------- */

static int is_ours_without_table(const char *text, size_t length)
{
    return table_is_inside(text, length, TABLE_DEFAULT_DOMAIN, sizeof TABLE_DEFAULT_DOMAIN - 1);
}

static enum answer find_once(const struct table_view *view, const char *text, size_t length,
                             int64_t now, struct table_owner *owner)
{
    uint32_t domain_length = table_domain_of(view, text, length);
    enum table_result result = TABLE_MISS;

    if (domain_length == 0)
        return ANSWER_FOREIGN;
    if (!table_source_is_usable(&table_file, view, now))
        return ANSWER_AGAIN;
    if (length <= TABLE_MAX_NAME && length > domain_length)
        result = table_find_owner(view, text, (uint32_t)length, domain_length, owner);
    return result == TABLE_FOUND  ? ANSWER_FOUND
           : result == TABLE_MISS ? ANSWER_NO_NAME
                                  : ANSWER_AGAIN;
}

/* Finds a name; what this says against one is to be believed (rule R4). */
static enum answer find(const char *text, struct table_owner *owner)
{
    size_t length = strlen(text);
    int64_t now = table_now();

    if (length > 0 && text[length - 1] == '.')
        length--;
    for (int tries = 0; tries < TABLE_WINDOWS; tries++) {
        struct table_view view;
        enum answer answer;

        if (!table_source_view(&table_file, now, &view))
            return is_ours_without_table(text, length) ? ANSWER_AGAIN : ANSWER_FOREIGN;
        answer = find_once(&view, text, length, now, owner);
        if (answer == ANSWER_FOUND || table_view_holds(&view))
            return answer;
    }
    return ANSWER_AGAIN;
}

/* ---- choosing ---------------------------------------------------------- */

static uint32_t min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Which addresses a question for `family` gets (AF_UNSPEC: of both). */
static void choose(const struct table_owner *owner, int family, struct choice *choice)
{
    const struct table_record *record = &owner->record;
    uint64_t limits = table_load(record->at + TABLE_R_ANSWER) >> 40;
    uint32_t v4 = record->shape.v4, end = owner->first + owner->count;
    uint32_t limit = family == AF_INET    ? limits & 0xff
                     : family == AF_INET6 ? limits >> 8 & 0xff
                                          : limits >> 16;

    choice->first = family == AF_INET6 && owner->first < v4 ? v4 : owner->first;
    if (family == AF_INET)
        end = min(end, v4);
    choice->of = end > choice->first ? end - choice->first : 0;
    choice->count = min(choice->of, limit != 0 ? limit : TABLE_DEFAULT_ANSWERS);
    if (choice->of == 0)
        return;
    choice->position = table_source_position(&table_file);
    choice->start = table_record_pick(record, choice->first, choice->of, choice->position.value);
}

/* The address after number i, and round. */
static uint32_t choice_next(const struct choice *choice, uint32_t i)
{
    return i + 1 < choice->first + choice->of ? i + 1 : choice->first;
}

/* ---- answers ----------------------------------------------------------- */

static enum answer fill_hostent(const struct table_owner *owner, const struct choice *choice,
                                int family, struct hostent *host, char *start, size_t size)
{
    const struct table_record *record = &owner->record;
    size_t address_size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    struct buffer buffer;
    char **addresses;
    uint32_t name_size = table_owner_name_size(owner);
    uint32_t i = choice->start;

    /* One pointer ends the empty list of aliases, one that of addresses. */
    if (!buffer_take(&buffer, start, size,
                     (choice->count + 2) * sizeof(char *) + choice->count * address_size +
                         name_size))
        return ANSWER_SMALL;
    host->h_aliases = buffer_use(&buffer, sizeof(char *));
    host->h_aliases[0] = NULL;
    addresses = buffer_use(&buffer, (choice->count + 1) * sizeof(char *));
    for (uint32_t n = 0; n < choice->count; n++, i = choice_next(choice, i)) {
        addresses[n] = buffer_use(&buffer, address_size);
        answer_address(record, i, addresses[n]);
    }
    addresses[choice->count] = NULL;
    host->h_addr_list = addresses;
    host->h_addrtype = family;
    host->h_length = (int)address_size;
    host->h_name = buffer_use(&buffer, name_size);
    table_owner_name(owner, host->h_name);
    return ANSWER_FOUND;
}

static enum answer fill_tuples(const struct table_owner *owner, const struct choice *choice,
                               struct gaih_addrtuple *lent, struct gaih_addrtuple **head,
                               char *start, size_t size)
{
    const struct table_record *record = &owner->record;
    struct buffer buffer;
    struct gaih_addrtuple *tuples, **link = head;
    uint32_t name_size = table_owner_name_size(owner);
    uint32_t i = choice->start;
    char *name;

    if (!buffer_take(&buffer, start, size, choice->count * sizeof *tuples + name_size))
        return ANSWER_SMALL;
    tuples = buffer_use(&buffer, choice->count * sizeof *tuples);
    name = buffer_use(&buffer, name_size);
    table_owner_name(owner, name);
    for (uint32_t n = 0; n < choice->count; n++, i = choice_next(choice, i)) {
        /* glibc before 2.36, and nscd's of 2.36, lend the first tuple and read
         * it whatever is put in its place. */
        struct gaih_addrtuple *tuple = n == 0 && lent != NULL ? lent : &tuples[n];

        memset(tuple, 0, sizeof *tuple);
        tuple->name = name;
        tuple->family =
            answer_address(record, i, tuple->addr) == sizeof(struct in_addr) ? AF_INET : AF_INET6;
        *link = tuple;
        link = &tuple->next;
    }
    return ANSWER_FOUND;
}

/* ---- entry points ------------------------------------------------------ */

/* Either `host` or `pat` is where the answer goes. */
static enum answer answer(const char *name, int family, struct hostent *host,
                          struct gaih_addrtuple **pat, char *start, size_t size)
{
    struct table_owner owner;

    for (int tries = 0; tries < ANSWER_TRIES; tries++) {
        struct gaih_addrtuple *head;
        struct choice choice;
        enum answer result = find(name, &owner);

        if (result != ANSWER_FOUND)
            return result;
        choose(&owner, family, &choice);
        if (choice.of == 0)
            result = ANSWER_NO_DATA;
        else if (pat != NULL)
            result = fill_tuples(&owner, &choice, *pat, &head, start, size);
        else
            result = fill_hostent(&owner, &choice, family, host, start, size);
        if (!table_record_is_whole(&owner.record))
            continue;
        if (result == ANSWER_FOUND) {
            table_source_position_used(choice.position);
            if (pat != NULL)
                *pat = head;
        }
        return result;
    }
    return ANSWER_AGAIN;
}

/* `ttlp` 0: nscd must not hold an instance that may be dead in a second (glibc
 * nscd/aicache.c does not store such an answer). */
NSS_EXPORT enum nss_status _nss_etcdsd_gethostbyname4_r(const char *name,
                                                        struct gaih_addrtuple **pat, char *buffer,
                                                        size_t size, int *errnop, int *h_errnop,
                                                        int32_t *ttlp)
{
    if (ttlp != NULL)
        *ttlp = 0;
    return answer_status(answer(name, AF_UNSPEC, NULL, pat, buffer, size), errnop, h_errnop);
}

static enum nss_status by_name(const char *name, int family, struct hostent *host, char *buffer,
                               size_t size, int *errnop, int *h_errnop)
{
    if (family == AF_UNSPEC)
        family = AF_INET;
    if (family != AF_INET && family != AF_INET6) {
        *errnop = EAFNOSUPPORT;
        *h_errnop = NO_DATA;
        return NSS_STATUS_UNAVAIL;
    }
    return answer_status(answer(name, family, host, NULL, buffer, size), errnop, h_errnop);
}

NSS_EXPORT enum nss_status _nss_etcdsd_gethostbyname3_r(const char *name, int family,
                                                        struct hostent *host, char *buffer,
                                                        size_t size, int *errnop, int *h_errnop,
                                                        int32_t *ttlp, char **canonp)
{
    enum nss_status status = by_name(name, family, host, buffer, size, errnop, h_errnop);

    if (ttlp != NULL)
        *ttlp = 0;
    if (status == NSS_STATUS_SUCCESS && canonp != NULL)
        *canonp = host->h_name;
    return status;
}

NSS_EXPORT enum nss_status _nss_etcdsd_gethostbyname2_r(const char *name, int family,
                                                        struct hostent *host, char *buffer,
                                                        size_t size, int *errnop, int *h_errnop)
{
    return by_name(name, family, host, buffer, size, errnop, h_errnop);
}

NSS_EXPORT enum nss_status _nss_etcdsd_gethostbyname_r(const char *name, struct hostent *host,
                                                       char *buffer, size_t size, int *errnop,
                                                       int *h_errnop)
{
    return by_name(name, AF_INET, host, buffer, size, errnop, h_errnop);
}
