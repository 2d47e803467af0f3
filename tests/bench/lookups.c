/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One measurement: see lookups.h.  Runs in a process of its own, in whose
 * environment LD_LIBRARY_PATH and ETCDSD_TABLE lead to the right files.
 */
#include "lookups.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <nss.h>
#include <pthread.h>
#include <resolv.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../libsd/table/source.h"

enum {
    STRIDE = 40,
    BATCH = 64,
    SHUFFLED = 1 << 20
};

typedef enum nss_status by_name4(const char *, struct gaih_addrtuple **, char *, size_t, int *,
                                 int *, int32_t *);
typedef enum nss_status by_name2(const char *, int, struct hostent *, char *, size_t, int *, int *);

static struct {
    const struct measurement *m;
    by_name4 *by_name4;
    by_name2 *by_name2;
    char *names; /* STRIDE bytes each */
    uint32_t count;
    struct table_source source;
    struct table_view view;
} bench;

static void die(const char *why, const char *what)
{
    fprintf(stderr, "lookups: %s: %s\n", why, what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- names ------------------------------------------------------------- */

static void name_put(char *name, const struct measurement *m, uint32_t service)
{
    switch (m->names) {
    case HOT:
    case RANDOM:
        snprintf(name, STRIDE, "s%07u.service.etcd", service);
        break;
    case INSTANCE:
        snprintf(name, STRIDE, "i0.s%07u.service.etcd", service);
        break;
    case ABSENT:
        snprintf(name, STRIDE, "x%07u.service.etcd", service);
        break;
    case FOREIGN:
        snprintf(name, STRIDE, "w%07u.example.com", service);
        break;
    case THREE:
        snprintf(name, STRIDE, "three.service.etcd");
        break;
    case EIGHT:
        snprintf(name, STRIDE, "eight.service.etcd");
        break;
    }
    if (m->name != NULL)
        snprintf(name, STRIDE, "%s", m->name);
}

static void names_make(const struct measurement *m)
{
    uint64_t state = 88172645463325252u;

    bench.count = m->names == RANDOM ? (m->services < SHUFFLED ? m->services : SHUFFLED) : 1;
    bench.names = malloc((size_t)bench.count * STRIDE);
    if (bench.names == NULL)
        die("no memory", "names");
    for (uint32_t i = 0; i < bench.count; i++)
        name_put(bench.names + (size_t)i * STRIDE, m, bench.count == 1 ? m->services / 2 : i);
    for (uint32_t i = bench.count - 1; i > 0; i--) {
        char swap[STRIDE], *a = bench.names + (size_t)i * STRIDE, *b;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b = bench.names + (size_t)(state % (i + 1)) * STRIDE;
        memcpy(swap, a, STRIDE);
        memcpy(a, b, STRIDE);
        memcpy(b, swap, STRIDE);
    }
}

/* ---- one lookup -------------------------------------------------------- */

static int look_up_bare(const char *name)
{
    struct table_owner owner;
    volatile uint32_t address;

    if (table_find_owner(&bench.view, name, strlen(name), &owner) != TABLE_FOUND)
        return 0;
    address = table_record_v4(&owner.record, owner.first);
    (void)address;
    return table_record_is_whole(&owner.record);
}

/* Returns whether the name was found. */
static int look_up(const char *name, char *buffer, size_t size)
{
    static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct gaih_addrtuple *tuple = NULL;
    struct hostent host, *found = NULL;
    struct addrinfo *list;
    int error, h_error;

    switch (bench.m->how) {
    case DIRECT_4:
        return bench.by_name4(name, &tuple, buffer, size, &error, &h_error, NULL) ==
               NSS_STATUS_SUCCESS;
    case DIRECT_2:
        return bench.by_name2(name, AF_INET, &host, buffer, size, &error, &h_error) ==
               NSS_STATUS_SUCCESS;
    case BARE:
        return look_up_bare(name);
    case THROUGH_GETHOSTBYNAME:
        gethostbyname_r(name, &host, buffer, size, &found, &h_error);
        return found != NULL;
    case THROUGH_GETADDRINFO:
    case NO_STATS:
    case FIRST:
    case SYSCALLS:
        break;
    }
    if (getaddrinfo(name, NULL, &hints, &list) != 0)
        return 0;
    freeaddrinfo(list);
    return 1;
}

/* ---- loops ------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    uint32_t first;
    uint64_t lookups;
    int64_t ns;
};

static pthread_barrier_t barrier;

static uint64_t batch(uint32_t *at, char *buffer, size_t size)
{
    int expected = bench.m->names != ABSENT && bench.m->names != FOREIGN;

    for (int i = 0; i < BATCH; i++) {
        const char *name = bench.names + (size_t)*at * STRIDE;

        if (look_up(name, buffer, size) != expected)
            die("wrong answer for", name);
        if (++*at == bench.count)
            *at = 0;
    }
    return BATCH;
}

static void *work(void *arg)
{
    _Alignas(64) char buffer[1024];
    struct worker *worker = arg;
    uint32_t at = worker->first;
    int64_t begin = now_ns(), end;

    /* Each name once, and where that takes long, a second of them. */
    for (uint32_t i = 0; i <= bench.count / BATCH && now_ns() < begin + 1000000000; i++)
        batch(&at, buffer, sizeof buffer);
    pthread_barrier_wait(&barrier);
    begin = now_ns();
    end = begin + (int64_t)(bench.m->seconds * 1e9);
    do
        worker->lookups += batch(&at, buffer, sizeof buffer);
    while (now_ns() < end);
    worker->ns = now_ns() - begin;
    return NULL;
}

static double run_threads(unsigned threads)
{
    struct worker *workers = calloc(threads, sizeof *workers);
    double rate = 0;

    if (workers == NULL)
        die("no memory", "threads");
    pthread_barrier_init(&barrier, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        workers[i].first = bench.count / threads * i;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            die("no thread", bench.m->module);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        rate += (double)workers[i].lookups / (double)workers[i].ns;
    }
    free(workers);
    return 1 / rate;
}

/* Counts the calls of a child with ptrace, between two marks. */
static double count_syscalls(void)
{
    enum {
        LOOKUPS = 1000
    };
    char buffer[1024];
    long calls = 0;
    int status;
    pid_t child = fork();

    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        for (int i = 0; i < 10; i++)
            look_up(bench.names, buffer, sizeof buffer);
        raise(SIGSTOP);
        for (int i = 0; i < LOOKUPS; i++)
            look_up(bench.names, buffer, sizeof buffer);
        raise(SIGSTOP);
        _exit(0);
    }
    waitpid(child, &status, 0);
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, child, NULL, NULL) != 0 || waitpid(child, &status, 0) != child)
            die("can't trace", "the child");
        if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP)
            break;
        calls++;
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    /* Each call stops twice; raise() makes three besides the lookups'. */
    return ((double)calls / 2 - 3) / LOOKUPS;
}

static void prepare(const struct measurement *m)
{
    char file[64], symbol[64];
    void *module;

    bench.m = m;
    names_make(m);
    if (m->how == BARE && !table_source_view(&bench.source, &bench.view))
        die("no table", getenv("ETCDSD_TABLE"));
    if (m->how == DIRECT_4 || m->how == DIRECT_2) {
        snprintf(file, sizeof file, "libnss_%s.so.2", m->module);
        module = dlopen(file, RTLD_NOW);
        if (module == NULL)
            die("can't load", file);
        snprintf(symbol, sizeof symbol, "_nss_%s_gethostbyname4_r", m->module);
        *(void **)&bench.by_name4 = dlsym(module, symbol);
        snprintf(symbol, sizeof symbol, "_nss_%s_gethostbyname2_r", m->module);
        *(void **)&bench.by_name2 = dlsym(module, symbol);
        return;
    }
    /* glibc then neither reads nor stats nsswitch.conf; the stat of resolv.conf
     * goes with its option no-reload. */
    if (m->how == NO_STATS) {
        setenv("RES_OPTIONS", "no-reload", 1);
        res_init();
        _res.options |= RES_NORELOAD;
    }
    if (m->module != NULL)
        __nss_configure_lookup("hosts", m->module);
}

double measure(const struct measurement *m)
{
    prepare(m);
    if (m->how == FIRST) {
        char buffer[1024];
        int64_t begin = now_ns();

        if (!look_up(bench.names, buffer, sizeof buffer))
            die("wrong answer for", bench.names);
        return (double)(now_ns() - begin);
    }
    return m->how == SYSCALLS ? count_syscalls() : run_threads(m->threads ? m->threads : 1);
}
