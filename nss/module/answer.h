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

#include <errno.h>
#include <netdb.h>
#include <nss.h>
#include <stddef.h>
#include <stdint.h>

#include "reader.h"

#define NSS_EXPORT __attribute__((visibility("default")))

enum answer {
    ANSWER_FOUND,
    ANSWER_SMALL,   /* the caller's buffer is too small for a whole answer */
    ANSWER_NO_NAME, /* ours, no such name */
    ANSWER_NO_DATA, /* ours, no address of that family */
    ANSWER_AGAIN,   /* ours, no usable table */
    ANSWER_FOREIGN  /* not ours: the next module is to be asked */
};

enum nss_status answer_status(enum answer answer, int *errnop, int *h_errnop);

/* The caller's buffer, filled front to back.  `need` may exceed the size: then
 * nothing was written and the answer is ANSWER_SMALL. */
struct buffer {
    char *next;
    char *end;
};

/* Takes the buffer if `bytes`, aligned for pointers, fit. */
static inline int buffer_take(struct buffer *buffer, char *start, size_t size, size_t bytes)
{
    size_t pad = -(uintptr_t)start & (_Alignof(char *) - 1);

    if (start == NULL || size < pad || size - pad < bytes)
        return 0;
    buffer->next = start + pad;
    buffer->end = buffer->next + bytes;
    return 1;
}

/* The next `bytes`; the caller has counted them into buffer_take(). */
static inline void *buffer_use(struct buffer *buffer, size_t bytes)
{
    char *at = buffer->next;

    buffer->next += bytes;
    return at;
}

#endif
