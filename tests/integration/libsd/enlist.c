/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the tests of registrations share; see enlist.h.
 */
#include "enlist.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct etcd etcd;
libsd *sd;
libsd *judge;
struct story story = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* ---- the other process -------------------------------------------------- */

/* It is forked before there are threads, as ThreadSanitizer wants it. */
static struct {
    pid_t pid;
    int fd; /* a byte with the TTL goes in, one with the success comes out */
} other;

static void be_other(int fd)
{
    unsigned char byte = 0;
    libsd *own;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(fd, &byte, 1) != 1)
        _exit(0);
    own = etcd_open(&etcd, NULL);
    byte = libsd_register(own, "user", "i1", ADDRESS, byte, NULL) == 0;
    if (write(fd, &byte, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void start_other(void)
{
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    other.pid = fork();
    cr_assert(other.pid >= 0);
    if (other.pid == 0) {
        close(ends[0]);
        be_other(ends[1]);
    }
    close(ends[1]);
    other.fd = ends[0];
}

void enlist_other(int ttl_s)
{
    unsigned char byte = (unsigned char)ttl_s;

    cr_assert_eq(write(other.fd, &byte, 1), 1);
    cr_assert_eq(read(other.fd, &byte, 1), 1);
    cr_assert_eq(byte, 1);
}

void kill_other(void)
{
    kill(other.pid, SIGKILL);
    waitpid(other.pid, NULL, 0);
    other.pid = 0;
}

/* ---- before and after --------------------------------------------------- */

void enlist_setup(void)
{
    etcd_start(&etcd);
    start_other();
    sd = etcd_open(&etcd, NULL);
    judge = etcd_open(&etcd, NULL);
}

void enlist_teardown(void)
{
    libsd_close(sd);
    libsd_close(judge);
    if (other.pid)
        kill_other();
    etcd_end(&etcd);
}

/* ---- telling and looking ------------------------------------------------ */

void take_note(libsd *handle, const char *service, const char *instance, int state, int error,
               void *arg)
{
    struct story *notes = arg;
    size_t size;

    (void)handle;
    (void)service;
    (void)instance;
    pthread_mutex_lock(&notes->mutex);
    size = strlen(notes->text);
    if (size + 1 < sizeof notes->text)
        notes->text[size] = "?RLCPUFW"[state];
    notes->error = error;
    pthread_mutex_unlock(&notes->mutex);
}

bool told(struct story *notes, const char *text)
{
    bool same;

    pthread_mutex_lock(&notes->mutex);
    same = strcmp(notes->text, text) == 0;
    pthread_mutex_unlock(&notes->mutex);
    return same;
}

bool told_last(struct story *notes, const char *text)
{
    size_t size = strlen(text);
    bool same;

    pthread_mutex_lock(&notes->mutex);
    same =
        strlen(notes->text) >= size && strcmp(notes->text + strlen(notes->text) - size, text) == 0;
    pthread_mutex_unlock(&notes->mutex);
    return same;
}

void enlist(const char *address, int ttl_s)
{
    libsd_register_options options = { .size = sizeof options,
                                       .callback = take_note,
                                       .callback_arg = &story };
    int rc = libsd_register(sd, "user", "i1", address, ttl_s, &options);

    cr_assert(rc == 0, "%s", libsd_strerror(rc));
}

libsd_check quick(int type)
{
    return (libsd_check){
        .size = sizeof(libsd_check), .type = type, .interval_ms = 50, .timeout_ms = 1000, .fall = 2
    };
}

int enlist_checked(const char *address, const libsd_check *check)
{
    libsd_register_options options = {
        .size = sizeof options, .callback = take_note, .callback_arg = &story, .check = check
    };

    return libsd_register(sd, "user", "i1", address, 2, &options);
}

int64_t lease_of(const char *key)
{
    libsd_kvs *kvs = NULL;
    int64_t lease = 0;

    if (libsd_get(judge, libsd_str(key), &kvs, 0) == 0)
        lease = libsd_kvs_at(kvs, 0)->lease;
    libsd_kvs_free(kvs);
    return lease;
}

size_t many(void)
{
    libsd_kvs *kvs = NULL;
    size_t count;

    cr_assert_eq(libsd_list(judge, libsd_str("/service/many/"), 0, &kvs, 0), 0);
    count = libsd_kvs_count(kvs);
    libsd_kvs_free(kvs);
    return count;
}
