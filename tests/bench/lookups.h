/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is measured, and how one measurement goes from the child that makes it
 * to the driver that compares.
 */
#ifndef ETCDSD_BENCH_LOOKUPS_H
#define ETCDSD_BENCH_LOOKUPS_H

#include <stddef.h>

enum how {
    THROUGH_GETADDRINFO,   /* AF_UNSPEC, SOCK_STREAM */
    THROUGH_GETHOSTBYNAME, /* gethostbyname_r */
    NO_STATS,              /* getaddrinfo without glibc's stats of its files */
    DIRECT_4,              /* the module's gethostbyname4_r, no glibc */
    DIRECT_2,              /* the module's gethostbyname2_r */
    BARE,                  /* the table alone, no module */
    FIRST,                 /* the first getaddrinfo of a process */
    SYSCALLS               /* system calls of 1,000 warm getaddrinfo */
};

enum names {
    HOT,      /* one name again and again */
    RANDOM,   /* all names, shuffled */
    INSTANCE, /* i0.<one name> */
    ABSENT,   /* ours, not there */
    FOREIGN,  /* not ours */
    THREE,    /* one name with three addresses */
    EIGHT     /* one name with eight */
};

struct measurement {
    const char *module; /* "etcdsd" or "null"; NULL: what nsswitch.conf says */
    enum how how;
    enum names names;
    const char *name;  /* HOT is this one, if it is not NULL */
    unsigned services; /* in the table; service i is s<i>.service.etcd */
    unsigned threads;
    double seconds;
};

/* Nanoseconds per lookup, all threads together (FIRST: one; SYSCALLS: calls per
 * lookup).  Ends the process with a message if an answer is wrong. */
double measure(const struct measurement *m);

#endif
