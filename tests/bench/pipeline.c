/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What happens between etcd and a name.  Prints measurements as bench.c does.
 *
 *     pipeline visible COUNT      COUNT times a PUT, until a lookup sees it
 *     pipeline register COUNT     one call that registers COUNT instances
 *
 * The endpoint is ETCDCTL_ENDPOINTS, the table ETCDSD_TABLE, and the module is
 * found by LD_LIBRARY_PATH.
 *
 *      writer (this process)        asker              bare watch
 *      -----------------------      ---------------    ------------------
 *      target = n, PUT n            looks the name     a curl that streams
 *      put_at[n]: etcd's answer     up every 20 us     /v3/watch and looks
 *      ...waits for both...         seen_at[n]         at nothing: event_at[n]
 *
 * The three share a page.  A lookup that is early (the watcher may know before
 * the writer has read etcd's answer) counts as it is: less than 0.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <nss.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include <libsd.h>

enum {
    MOST = 20000
};

static struct shared {
    _Atomic uint32_t target; /* the address that is to be seen, as a number */
    _Atomic int64_t seen_at, event_at;
    _Atomic int watching;
} * shared;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "pipeline: %s: %s\n", what, why);
    exit(1);
}

static void must(libsd *sd, int rc, const char *what)
{
    char detail[300];

    if (rc == 0)
        return;
    libsd_error_detail(sd, detail, sizeof detail);
    fprintf(stderr, "pipeline: %s: %s: %s\n", what, libsd_strerror(rc), detail);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void pause_us(long us)
{
    struct timespec rest = { .tv_nsec = us * 1000 };

    nanosleep(&rest, NULL);
}

static pid_t start(void (*run)(void))
{
    pid_t parent = getpid(), child = fork();

    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1);
    if (getppid() == parent)
        run();
    _exit(1);
}

/* ---- the asker --------------------------------------------------------- */

typedef enum nss_status by_name(const char *, int, struct hostent *, char *, size_t, int *, int *);

static void ask(void)
{
    void *module = dlopen("libnss_etcdsd.so.2", RTLD_NOW);
    by_name *look_up = module ? (by_name *)dlsym(module, "_nss_etcdsd_gethostbyname2_r") : NULL;
    uint32_t target, address, seen = 0;
    struct hostent host;
    char buffer[1024];
    int error, h_error;

    if (look_up == NULL)
        die("no module", "libnss_etcdsd.so.2");
    for (;; pause_us(20)) {
        target = atomic_load(&shared->target);
        if (target == seen || look_up("bench.service.etcd", AF_INET, &host, buffer, sizeof buffer,
                                      &error, &h_error) != NSS_STATUS_SUCCESS)
            continue;
        memcpy(&address, host.h_addr_list[0], sizeof address);
        if (ntohl(address) != target)
            continue;
        atomic_store(&shared->seen_at, now_ns());
        seen = target;
    }
}

/* ---- the bare watch ---------------------------------------------------- */

/* One event at a time is under way, so a chunk is that event.  The first one
 * says that the watch was created. */
static size_t take(char *bytes, size_t size, size_t count, void *user)
{
    (void)bytes;
    (void)user;
    if (atomic_exchange(&shared->watching, 1))
        atomic_store(&shared->event_at, now_ns());
    return size * count;
}

static void watch(void)
{
    /* base64 of /service/bench/i */
    static const char body[] = "{\"create_request\":{\"key\":\"L3NlcnZpY2UvYmVuY2gvaQ==\"}}";
    CURL *curl = curl_easy_init();
    char url[200];

    snprintf(url, sizeof url, "%s/v3/watch", getenv("ETCDCTL_ENDPOINTS"));
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_perform(curl);
    die("the watch ended", url);
}

/* ---- the writer -------------------------------------------------------- */

static int64_t wait_for(_Atomic int64_t *at, const char *what)
{
    int64_t deadline = now_ns() + 10000000000, value;

    while ((value = atomic_load(at)) == 0) {
        if (now_ns() > deadline)
            die("nothing came in 10 s", what);
        pause_us(50);
    }
    return value;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void print_quantiles(const char *what, double *ns, int count, const char *p50,
                            const char *p99)
{
    static const char format[] = "visible\t%s, %s\tns\t\t%s\t1\t%.0f\n";

    qsort(ns, (size_t)count, sizeof *ns, compare);
    printf(format, what, "p50", p50, ns[count / 2]);
    printf(format, what, "p90", "", ns[count * 90 / 100]);
    printf(format, what, "p99", p99, ns[count * 99 / 100]);
    printf(format, what, "most", "", ns[count - 1]);
}

static libsd *open_libsd(void)
{
    libsd *sd = NULL;

    must(NULL, libsd_open(&sd, NULL), "can't open");
    return sd;
}

static void measure_visible(int count)
{
    static double seen[MOST], event[MOST], put[MOST];
    libsd *sd = open_libsd();
    pid_t children[2];

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("no memory", "a shared page");
    children[0] = start(ask);
    children[1] = start(watch);
    for (int tries = 0; !atomic_load(&shared->watching); tries++, pause_us(1000))
        if (tries > 10000)
            die("no watch", "10 s");
    for (int i = 0; i < count; i++) {
        uint32_t address = 0x0a000001u + (uint32_t)i;
        int64_t begin, answered;
        char value[32];

        snprintf(value, sizeof value, "10.%u.%u.%u:80", address >> 16 & 255, address >> 8 & 255,
                 address & 255);
        atomic_store(&shared->seen_at, 0);
        atomic_store(&shared->event_at, 0);
        atomic_store(&shared->target, address);
        begin = now_ns();
        must(sd, libsd_put(sd, libsd_str("/service/bench/i"), libsd_str(value), 0, NULL, 10000),
             "PUT");
        answered = now_ns();
        put[i] = (double)(answered - begin);
        seen[i] = (double)(wait_for(&shared->seen_at, "the lookup") - answered);
        event[i] = (double)(wait_for(&shared->event_at, "the watch") - answered);
        pause_us(1000 + i * 7919 % 4000); /* not in step with anything */
    }
    for (int i = 0; i < 2; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    libsd_close(sd);
    print_quantiles("new answer", seen, count, "1 ms", "5 ms");
    print_quantiles("bare watch event", event, count, "", "");
    print_quantiles("the PUT itself", put, count, "", "");
}

/* ---- registrations ----------------------------------------------------- */

static void print_time(const char *what, int count, const char *goal, int round, int64_t begin)
{
    printf("registrations\t%s, %d\tns\t\t%s\t%d\t%lld\n", what, count, goal, round,
           (long long)(now_ns() - begin));
}

static void put_all(libsd *sd, int64_t lease, const libsd_registration *list, int count)
{
    libsd_slice value = libsd_str("10.0.0.1:80");
    libsd_txn *txn = NULL;
    libsd_op op;
    char key[80];

    for (int i = 0; i < count; i++) {
        if (txn == NULL)
            must(sd, libsd_txn_new(&txn), "transaction");
        snprintf(key, sizeof key, "/bare/%s", list[i].instance);
        op = libsd_op_put(libsd_str(key), value, lease, 0);
        must(sd, libsd_txn_then(txn, &op), "transaction");
        if (i % 100 != 99 && i != count - 1)
            continue;
        op = libsd_op_txn(txn);
        must(sd, libsd_execute(sd, &op, 10000, NULL), "transaction");
        libsd_txn_free(txn);
        txn = NULL;
    }
}

/* What etcd itself takes to delete as many keys of one lease. */
static void measure_revoke(const libsd_registration *list, int count, int round)
{
    libsd *sd = open_libsd();
    int64_t lease, begin;

    must(sd, libsd_lease_grant(sd, 60, &lease, NULL, 10000), "lease");
    put_all(sd, lease, list, count);
    begin = now_ns();
    must(sd, libsd_lease_revoke(sd, lease, 10000), "revoke");
    print_time("etcd's own revoke of as many keys", count, "", round, begin);
    libsd_close(sd);
}

static void measure_register(int count)
{
    libsd_registration *list = calloc((size_t)count, sizeof *list);
    char(*names)[16] = calloc((size_t)count, sizeof *names);

    if (list == NULL || names == NULL)
        die("no memory", "registrations");
    for (int i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "i%d", i);
        list[i].service = "many";
        list[i].instance = names[i];
        list[i].address = "10.0.0.1:80";
    }
    for (int round = 1; round <= 5; round++) {
        libsd *sd = open_libsd();
        int64_t begin = now_ns();

        must(sd, libsd_register_many(sd, list, (size_t)count, 30, NULL), "registration");
        print_time("libsd_register_many", count, count == 10000 ? "2 s" : "", round, begin);
        begin = now_ns();
        libsd_close(sd);
        print_time("libsd_close", count, "50 ms", round, begin);
        measure_revoke(list, count, round);
    }
    free(list);
    free(names);
}

int main(int argc, char **argv)
{
    int count = argc == 3 ? atoi(argv[2]) : 0;

    if (getenv("ETCDCTL_ENDPOINTS") == NULL || count < 1 || count > MOST)
        return 2;
    if (strcmp(argv[1], "visible") == 0)
        measure_visible(count);
    else if (strcmp(argv[1], "register") == 0)
        measure_register(count);
    else
        return 2;
    return 0;
}
