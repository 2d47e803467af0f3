/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An etcd, two handles, and what one of them is told of services.
 */
#ifndef TESTS_OUTLOOK_H
#define TESTS_OUTLOOK_H

#include "diary.h"
#include "etcd.h"

extern struct outlook {
    struct etcd etcd;
    libsd *sd;    /* watches */
    libsd *other; /* registers */
    struct diary diary;
} outlook;

/* Before and after each test. */
void outlook_begin(void);
void outlook_end(void);

libsd_discovery *outlook_watch(const char *service, struct diary *to);
/* Registers an instance of "user". */
void outlook_enter(const char *name, const char *address);

#define TOLD(words, limit_s)                                                                      \
    do {                                                                                          \
        double until_ = seconds() + (limit_s);                                                    \
        while (!diary_says(&outlook.diary, words)) {                                              \
            cr_assert(seconds() < until_, "told '%s', expected '%s'", outlook.diary.text, words); \
            nap();                                                                                \
        }                                                                                         \
    } while (0)

#endif
