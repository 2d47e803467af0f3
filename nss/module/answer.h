/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What an NSS entry point says to glibc, and the caller's buffer.
 *
 * One place decides status, errno and h_errno (glibc manual, "NSS Modules
 * Interface"; glibc 2.36 nss/getXXbyYY_r.c and sysdeps/posix/getaddrinfo.c
 * test all three).
 */
#ifndef ETCDSD_NSS_ANSWER_H
#define ETCDSD_NSS_ANSWER_H

#include <netdb.h>
#include <netinet/in.h>
#include <nss.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "source.h"

#define NSS_EXPORT __attribute__((visibility("default")))

enum answer {
    ANSWER_FOUND,
    ANSWER_SMALL,   /* the caller's buffer is too small for a whole answer */
    ANSWER_NO_NAME, /* ours, no such name; or the end of an enumeration */
    ANSWER_NO_DATA, /* ours, no address of that family */
    ANSWER_AGAIN,   /* ours, no usable table */
    ANSWER_FOREIGN  /* not ours: the next module is to be asked */
};

/* A record may be written anew between copy and check; that it happens this
 * often in the nanoseconds between them does not. */
#define ANSWER_TRIES 64

/* The table of this process. */
extern struct table_source table_file;

/* errnop and h_errnop receive what belongs to the answer; h_errnop is NULL for
 * databases that have none. */
enum nss_status answer_refuse(enum answer answer, int *errnop, int *h_errnop);

static inline enum nss_status answer_status(enum answer answer, int *errnop, int *h_errnop)
{
    if (answer != ANSWER_FOUND)
        return answer_refuse(answer, errnop, h_errnop);
    if (h_errnop != NULL)
        *h_errnop = NETDB_SUCCESS;
    return NSS_STATUS_SUCCESS;
}

/* The caller's buffer, filled front to back. */
struct buffer {
    char *next;
};

/* Takes the buffer if `bytes`, aligned for pointers, fit.  Nothing has been
 * written if they don't. */
static inline int buffer_take(struct buffer *buffer, char *start, size_t size, size_t bytes)
{
    size_t pad = -(uintptr_t)start & (_Alignof(char *) - 1);

    if (start == NULL || size < pad || size - pad < bytes)
        return 0;
    buffer->next = start + pad;
    return 1;
}

/* The next `bytes`; the caller has counted them into buffer_take(). */
static inline void *buffer_use(struct buffer *buffer, size_t bytes)
{
    char *at = buffer->next;

    buffer->next += bytes;
    return at;
}

/* A host entry of the owner's first address and its name; its service's name is
 * the alias if that is wanted.  Ask afterwards whether the record was whole. */
enum answer answer_host(const struct table_owner *owner, int with_alias, struct hostent *host,
                        char *start, size_t size);

/* Copies address number i (v4, then v6) to `to`.  Returns its size. */
static inline size_t answer_address(const struct table_record *record, uint32_t i, void *to)
{
    if (i < record->shape.v4) {
        uint32_t v4 = table_record_v4(record, i);

        memcpy(to, &v4, sizeof v4);
        return sizeof v4;
    }
    table_record_v6(record, i - record->shape.v4, to);
    return sizeof(struct in6_addr);
}

#endif
