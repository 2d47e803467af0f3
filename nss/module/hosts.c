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

/* Addresses of one answer: `count` of the `of` that begin with number `first`,
 * from number `start` on and round. */
struct run {
    uint32_t first, of, start, count;
};

/* Of both families each has a run of its own, the picked address's first:
 * getaddrinfo may then put the other one in front (RFC 6724 rules 1 and 6), but
 * never change who comes first in it. */
struct choice {
    struct run runs[2];
    struct table_position position; /* lane NULL: there was nothing to choose */
};

/* ---- finding ----------------------------------------------------------- */

static int is_ours_without_table(const char *text, size_t length)
{
    return table_is_inside(text, length, TABLE_DEFAULT_DOMAIN, sizeof TABLE_DEFAULT_DOMAIN - 1);
}

TABLE_HOT enum answer find_in(const struct table_view *view, const char *text, size_t length,
                              struct table_owner *owner)
{
    enum table_result result = table_find_owner(view, text, length, owner);

    if (result == TABLE_FOREIGN)
        return ANSWER_FOREIGN;
    if (result == TABLE_AGAIN || !table_source_may_tell(&table_file, view, text, length))
        return ANSWER_AGAIN;
    return result == TABLE_FOUND ? ANSWER_FOUND : ANSWER_NO_NAME;
}

/* Finds a name; what this says against one is to be believed (rule R4). */
TABLE_HOT enum answer find(const char *text, struct table_owner *owner)
{
    size_t length = strlen(text);
    enum answer answer = ANSWER_AGAIN;

    if (length > 0 && text[length - 1] == '.')
        length--;
    for (int tries = 0; tries < TABLE_WINDOWS; tries++) {
        struct table_view view;

        if (!table_source_view(&table_file, &view))
            return is_ours_without_table(text, length) ? ANSWER_AGAIN : ANSWER_FOREIGN;
        answer = ANSWER_FOREIGN;
        if (table_may_hold(&view, text, length))
            answer = find_in(&view, text, length, owner);
        if (answer == ANSWER_FOUND || table_view_holds(&view))
            return answer;
    }
    /* There is a newer table, and this process can't get at it (chroot, no
     * descriptors): that must not hold back what is not ours. */
    return answer == ANSWER_FOREIGN ? ANSWER_FOREIGN : ANSWER_AGAIN;
}

/* ---- choosing ---------------------------------------------------------- */

static uint32_t min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* limit 0: none, which no writer writes. */
TABLE_HOT void run_set(struct run *run, const struct table_record *record, uint32_t first,
                       uint32_t end, uint32_t limit, uint64_t position)
{
    run->first = run->start = first;
    run->of = end > first ? end - first : 0;
    run->count = limit - 1 < run->of ? limit : run->of;
    if (run->of > 1)
        run->start = table_record_pick(record, first, run->of, position);
}

/* Turns successive positions into another evenly spread sequence: their step of
 * 2^64 / golden ratio into one of 2^64 * (sqrt 2 - 1).  That a position chose a
 * family says in which part of the circle it is, so it can't choose inside. */
#define OTHER_SEQUENCE UINT64_C(0xfa7816e17439f225)

/* Of both families: not more than are wanted together, but some of each, for who
 * can reach one only. */
__attribute__((noinline)) static void choose_both(const struct table_owner *owner, uint64_t limits,
                                                  struct choice *choice)
{
    uint32_t limit4 = (uint8_t)(limits >> 40), limit6 = (uint8_t)(limits >> 48);
    uint32_t limit = (uint8_t)(limits >> 56);
    const struct table_record *record = &owner->record;
    uint32_t v4 = record->shape.v4, end = owner->first + owner->count;
    uint64_t position = choice->position.value, other = position * OTHER_SEQUENCE;
    bool v4_first = table_record_pick(record, owner->first, owner->count, position) < v4;
    struct run *run4 = &choice->runs[!v4_first], *run6 = &choice->runs[v4_first];

    run_set(run4, record, owner->first, v4, min(limit4, limit - 1), other);
    run_set(run6, record, v4, end, min(limit6, limit - 1), other);
    choice->runs[1].count = min(choice->runs[1].count,
                                limit > choice->runs[0].count ? limit - choice->runs[0].count : 1);
}

/* Which addresses a question for `family` gets (AF_UNSPEC: of both). */
TABLE_HOT void choose(const struct table_owner *owner, int family, struct choice *choice)
{
    const struct table_record *record = &owner->record;
    uint64_t limits = table_load(record->at + TABLE_R_ANSWER);
    uint32_t v4 = record->shape.v4, first = owner->first, end = first + owner->count;

    choice->position = (struct table_position){ 0 };
    if (owner->count > 1)
        choice->position = table_source_position(&table_file);
    choice->runs[1].count = 0;
    if (family == AF_INET) {
        limits >>= 40;
        end = min(end, v4);
    } else if (family == AF_INET6) {
        limits >>= 48;
        first = first < v4 ? v4 : first;
    } else if (limits >> 56 > 1 && first < v4 && v4 < end) {
        struct table_owner same = *owner;
        struct choice both = *choice;

        choose_both(&same, limits, &both);
        *choice = both;
        return;
    } else {
        limits >>= 56;
    }
    run_set(&choice->runs[0], record, first, end, (uint8_t)limits, choice->position.value);
}

/* The address after number i, and round. */
static uint32_t run_next(const struct run *run, uint32_t i)
{
    return i + 1 < run->first + run->of ? i + 1 : run->first;
}

/* ---- answers ----------------------------------------------------------- */

TABLE_HOT enum answer fill_hostent(const struct table_owner *owner, const struct run *run,
                                   int family, struct hostent *host, char *start, size_t size)
{
    uint32_t address_size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    uint32_t i = run->start;
    struct buffer buffer;
    char **list, *at;

    if (run->count == 0)
        return ANSWER_NO_DATA;
    /* One pointer ends the empty list of aliases, one that of addresses. */
    if (!buffer_take(&buffer, start, size,
                     2 * sizeof(char *) + run->count * (sizeof(char *) + address_size) +
                         table_owner_name_size(owner)))
        return ANSWER_SMALL;
    list = buffer_use(&buffer, (run->count + 2) * sizeof(char *));
    at = buffer.next;
    host->h_aliases = list;
    *list++ = NULL;
    host->h_addr_list = list;
    for (char **end = list + run->count; list < end; list++, i = run_next(run, i)) {
        *list = at;
        at += answer_address(&owner->record, i, at);
    }
    *list = NULL;
    host->h_addrtype = family;
    host->h_length = (int)address_size;
    host->h_name = at;
    table_owner_name(owner, at);
    return ANSWER_FOUND;
}

TABLE_HOT enum answer fill_tuples(const struct table_owner *owner, const struct choice *choice,
                                  struct gaih_addrtuple *lent, struct gaih_addrtuple **head,
                                  char *start, size_t size)
{
    uint32_t count = choice->runs[0].count + choice->runs[1].count;
    uint32_t name_size = table_owner_name_size(owner);
    struct gaih_addrtuple *next, **link = head;
    struct buffer buffer;
    char *name;

    if (count == 0)
        return ANSWER_NO_DATA;
    if (!buffer_take(&buffer, start, size, count * sizeof *next + name_size))
        return ANSWER_SMALL;
    next = buffer_use(&buffer, count * sizeof *next);
    name = buffer_use(&buffer, name_size);
    table_owner_name(owner, name);
    /* glibc before 2.36, and nscd's of 2.36, lend the first tuple and read it
     * whatever is put in its place. */
    if (lent == NULL)
        lent = next++;
    for (const struct run *run = choice->runs; run < choice->runs + 2; run++) {
        uint32_t i = run->start;

        for (uint32_t n = 0; n < run->count; n++, i = run_next(run, i)) {
            memset(lent, 0, sizeof *lent);
            lent->name = name;
            lent->family = answer_address(&owner->record, i, lent->addr) == sizeof(struct in_addr)
                               ? AF_INET
                               : AF_INET6;
            *link = lent;
            link = &lent->next;
            lent = next++;
        }
    }
    return ANSWER_FOUND;
}

/* ---- entry points ------------------------------------------------------ */

/* Either `host` or `pat` is where the answer goes. */
static enum answer answer(const char *name, int family, struct hostent *host,
                          struct gaih_addrtuple **pat, char *start, size_t size)
{
    for (int tries = 0; tries < ANSWER_TRIES; tries++) {
        struct gaih_addrtuple *head;
        struct table_owner owner;
        struct choice choice;
        enum answer result = find(name, &owner);

        if (result != ANSWER_FOUND)
            return result;
        choose(&owner, family, &choice);
        if (pat != NULL)
            result = fill_tuples(&owner, &choice, *pat, &head, start, size);
        else
            result = fill_hostent(&owner, &choice.runs[0], family, host, start, size);
        if (!table_record_is_whole(&owner.record))
            continue;
        if (result == ANSWER_FOUND) {
            if (choice.position.lane != NULL)
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
