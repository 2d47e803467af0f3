/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The hosts database, enumerated: one entry for each instance, named as the
 * instance, with its service as alias.
 */
#include "hosts.h"
#include "walk.h"

static struct walk walk;

static enum answer answer_next(struct hostent *host, char *start, size_t size)
{
    for (int tries = 0, next = 0; tries < ANSWER_TRIES;) {
        struct table_owner owner;
        enum answer answer = walk_service(&walk, next, &owner.record);

        if (answer != ANSWER_FOUND)
            return answer;
        next = walk.member >= owner.record.shape.instances;
        if (next)
            continue;
        if (table_owner_set(&owner, walk.member)) {
            answer = answer_host(&owner, owner.label_length != 0, host, start, size);
            if (table_record_is_whole(&owner.record))
                return answer;
        }
        tries++;
    }
    return ANSWER_AGAIN;
}

NSS_EXPORT enum nss_status _nss_etcdsd_sethostent(int stay_open)
{
    (void)stay_open;
    walk_end(&walk);
    return NSS_STATUS_SUCCESS;
}

NSS_EXPORT enum nss_status _nss_etcdsd_endhostent(void)
{
    walk_end(&walk);
    return NSS_STATUS_SUCCESS;
}

NSS_EXPORT enum nss_status _nss_etcdsd_gethostent_r(struct hostent *host, char *buffer, size_t size,
                                                    int *errnop, int *h_errnop)
{
    enum answer answer = answer_next(host, buffer, size);

    if (answer == ANSWER_FOUND)
        walk.member++;
    return answer_status(answer, errnop, h_errnop);
}
