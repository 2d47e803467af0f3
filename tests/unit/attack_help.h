/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the tests share that put a process into trouble: a child to do it in,
 * and questions that need no memory but the stack's.
 */
#ifndef ETCDSD_TESTS_ATTACK_HELP_H
#define ETCDSD_TESTS_ATTACK_HELP_H

#include <stdio.h>

#include "../../nss/module/hosts.h"

/* Address space, locked memory, system calls and stacks are not the module's
 * alone in a program that AddressSanitizer is part of. */
#if defined(__SANITIZE_ADDRESS__)
#    define UNDER_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define UNDER_ASAN 1
#    endif
#endif
#ifndef UNDER_ASAN
#    define UNDER_ASAN 0
#endif

/* Criterion counts a skipped test as none, does not say why, and leaves out the
 * suite's .fini: `undo` is what has to be done instead. */
#define skip(undo, ...)                  \
    do {                                 \
        undo;                            \
        fprintf(stderr, "skipped: ");    \
        fprintf(stderr, __VA_ARGS__);    \
        fprintf(stderr, "\n");           \
        cr_skip_test("see the message"); \
    } while (0)

/* Runs body() in a forked child and returns its wait status; 0: all is well.
 * The child is killed by SIGALRM if it takes longer than CHILD_SECONDS. */
#define CHILD_SECONDS 20
int child_status(int (*body)(void));

/* For a child, which has no Criterion: says what is wrong and returns 1. */
#define check(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            return 1;                                                               \
        }                                                                           \
    } while (0)

/* An IPv4 address of a name, as the module answers it: its last byte (0 to
 * 255) or one of these. */
enum {
    ASK_UNKNOWN = -1, /* NOTFOUND */
    ASK_AGAIN = -2,   /* TRYAGAIN */
    ASK_FOREIGN = -3, /* UNAVAIL */
    ASK_WRONG = -4    /* status, errno and h_errno do not go together */
};

/* The entry point to ask: this program's own, or the shipped module's. */
typedef enum nss_status ask_function(const char *, int, struct hostent *, char *, size_t, int *,
                                     int *);
int ask_through(ask_function *function, const char *name);

/* Descriptors this process has open. */
int descriptors(void);

/* So often, or $LONG times that: `make chaos` has more time. */
int often(int usual);

/* Mappings this process has, and kilobytes of address space. */
int mappings(void);
long address_space_kb(void);

#endif
