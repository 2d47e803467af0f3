/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the tests of registrations share: an etcd, a handle that registers and
 * one that looks, another process, and what callbacks told.
 */
#ifndef TESTS_ENLIST_H
#define TESTS_ENLIST_H

#include "etcd.h"

#define KEY     "/service/user/i1"
#define ADDRESS "10.0.0.5:9090"
#define OTHER   "10.0.0.6:9090"

extern struct etcd etcd;
extern libsd *sd;    /* registers */
extern libsd *judge; /* looks */

/* For TestSuite(). */
void enlist_setup(void);
void enlist_teardown(void);

/* A process that registers when told to, and then only waits for its end. */
void enlist_other(int ttl_s);
void kill_other(void);

/* States as letters: R, L, C, P, U, F, W. */
struct story {
    pthread_mutex_t mutex;
    char text[200];
    int error;
};
extern struct story story;
void take_note(libsd *handle, const char *service, const char *instance, int state, int error,
               void *notes);
bool told(struct story *notes, const char *text);
/* The last states told. */
bool told_last(struct story *notes, const char *text);

/* Registers KEY in sd, telling story. */
void enlist(const char *address, int ttl_s);

/* A check that runs often; the same with one, its result and all. */
libsd_check quick(int type);
int enlist_checked(const char *address, const libsd_check *check);

/* As judge sees it; 0 if the key is absent. */
int64_t lease_of(const char *key);
/* Instances of the service "many". */
size_t many(void);

#endif
