/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What many hosts cost one etcd.  Prints measurements as bench.c does.
 *
 *     fleet watch HOSTS CHANGES ETCD-PID     so many watches of one prefix, as
 *                                            a watcher on each host has them
 *     fleet beat LEASES BEATS ETCD-PID       so many leases, renewed in turn
 *
 * The hosts' watches are bare sockets, one connection each, as hosts have them;
 * they read what comes and look for ends of lines only.  The beats are requests
 * of one curl multi handle.  What etcd takes is read from /proc/PID: processor
 * time and resident memory.  The endpoint is ETCDCTL_ENDPOINTS, http://IP:PORT.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include <libsd.h>

enum {
    AT_ONCE = 64 /* beats under way: connections of so many hosts */
};

/* A watch. */
struct host {
    int fd;
    uint64_t bytes;
    char last;
    bool created;
};

/* A connection for beats. */
struct beater {
    CURL *curl;
    char body[64];
};

struct cost {
    double cpu_s, rss_kib;
    int64_t ns;
};

static const char *endpoint;
static CURLM *multi;
static struct host *hosts;
static int hosts_poll = -1;
static int host_count, pid;
static uint64_t created, events;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "fleet: %s: %s\n", what, why);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- what etcd takes --------------------------------------------------- */

static struct cost cost_of_etcd(void)
{
    unsigned long user = 0, system = 0, pages = 0;
    struct cost cost = { .ns = now_ns() };
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "re");
    if (file == NULL ||
        fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2)
        die("can't read", path);
    fclose(file);
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%*u %lu", &pages) != 1)
        die("can't read", path);
    fclose(file);
    cost.cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    cost.rss_kib = (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
    return cost;
}

static void print(int count, const char *what, const char *unit, double value)
{
    printf("fleet\t%d %s\t%s\t\t\t1\t%.3f\n", count, what, unit, value);
}

/* ---- watches ----------------------------------------------------------- */

/* A response is a line of JSON, so that it ends with "}\n", and what frames it
 * does not.  The first says that the watch is there, any other is one change. */
static void take(struct host *host)
{
    char bytes[16384];
    ssize_t count = recv(host->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (count <= 0)
        die("a watch ended", endpoint);
    host->bytes += (uint64_t)count;
    for (ssize_t i = 0; i < count; i++) {
        if (bytes[i] == '\n' && host->last == '}') {
            if (host->created)
                events++;
            else
                created++;
            host->created = true;
        }
        host->last = bytes[i];
    }
}

static void run_until(const uint64_t *counter, uint64_t goal, const char *what)
{
    int64_t deadline = now_ns() + 120 * INT64_C(1000000000);
    struct epoll_event ready[256];

    while (*counter < goal) {
        int count = epoll_wait(hosts_poll, ready, sizeof ready / sizeof *ready, 1000);

        for (int i = 0; i < count; i++)
            take(ready[i].data.ptr);
        if (now_ns() > deadline)
            die("not done after 120 s", what);
    }
}

static int connect_to_etcd(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    char host[64];
    unsigned port;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (sscanf(endpoint, "http://%63[0-9.]:%u", host, &port) != 2 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        die("not http://IP:PORT", endpoint);
    address.sin_port = htons((uint16_t)port);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("can't connect", endpoint);
    return fd;
}

static void open_hosts(void)
{
    /* base64 of /service/ and the key behind it */
    static const char request[] =
        "POST /v3/watch HTTP/1.1\r\nHost: etcd\r\nContent-Length: 68\r\n\r\n"
        "{\"create_request\":{\"key\":\"L3NlcnZpY2Uv\","
        "\"range_end\":\"L3NlcnZpY2Uw\"}}";

    hosts = calloc((size_t)host_count, sizeof *hosts);
    hosts_poll = epoll_create1(EPOLL_CLOEXEC);
    if (hosts == NULL || hosts_poll < 0)
        die("no memory", "hosts");
    for (int i = 0; i < host_count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &hosts[i] };

        hosts[i].fd = connect_to_etcd();
        if (send(hosts[i].fd, request, sizeof request - 1, 0) != (ssize_t)sizeof request - 1 ||
            epoll_ctl(hosts_poll, EPOLL_CTL_ADD, hosts[i].fd, &event) != 0)
            die("can't ask", endpoint);
        if (i % 50 == 49) /* not more than the listener's queue holds */
            run_until(&created, (uint64_t)i + 1, "watches");
    }
    run_until(&created, (uint64_t)host_count, "watches");
}

static uint64_t bytes_of_hosts(void)
{
    uint64_t bytes = 0;

    for (int i = 0; i < host_count; i++)
        bytes += hosts[i].bytes;
    return bytes;
}

static void measure_watch(int changes)
{
    struct cost before = cost_of_etcd(), open, after;
    uint64_t opened, bytes;
    int64_t slowest = 0;
    libsd *sd;

    open_hosts();
    open = cost_of_etcd();
    opened = bytes_of_hosts();
    if (libsd_open(&sd, NULL) < 0)
        die("can't open", endpoint);
    for (int i = 0; i < changes; i++) {
        char value[32];
        int64_t begin = now_ns();

        snprintf(value, sizeof value, "10.0.%d.%d:8080", i >> 8 & 255, i & 255);
        if (libsd_put(sd, libsd_str("/service/user/instance-1"), libsd_str(value), 0, NULL, 10000))
            die("can't put", endpoint);
        run_until(&events, (uint64_t)host_count * (uint64_t)(i + 1), "changes");
        if (now_ns() - begin > slowest)
            slowest = now_ns() - begin;
    }
    after = cost_of_etcd();
    bytes = bytes_of_hosts() - opened;
    libsd_close(sd);
    print(host_count, "watches: etcd's memory for each", "KiB",
          (open.rss_kib - before.rss_kib) / host_count);
    print(host_count, "watches: etcd's processor time per change and host", "ns",
          (after.cpu_s - open.cpu_s) * 1e9 / changes / host_count);
    print(host_count, "watches: bytes per change and host", "bytes",
          (double)bytes / changes / host_count);
    print(host_count, "watches: PUT until the last host has it, mean", "ns",
          (double)(after.ns - open.ns) / changes);
    print(host_count, "watches: PUT until the last host has it, most", "ns", (double)slowest);
}

/* ---- beats ------------------------------------------------------------- */

static uint64_t answered;

static size_t ignore(char *bytes, size_t size, size_t count, void *user)
{
    (void)bytes;
    (void)user;
    return size * count;
}

static CURL *post(const char *path, const char *body, void *user)
{
    CURL *curl = curl_easy_init();
    char url[200];

    if (curl == NULL)
        die("no memory", path);
    snprintf(url, sizeof url, "%s%s", endpoint, path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, user);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    return curl;
}

/* Each connection renews one lease after the other. */
static void collect(int64_t first, int leases, uint64_t *asked, uint64_t beats)
{
    CURLMsg *message;
    struct beater *beater;
    int left;

    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
        long status = 0;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&beater);
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        if (message->data.result != CURLE_OK || status != 200)
            die("a beat failed", curl_easy_strerror(message->data.result));
        curl_multi_remove_handle(multi, beater->curl);
        answered++;
        if (*asked >= beats)
            continue;
        snprintf(beater->body, sizeof beater->body, "{\"ID\":\"%lld\"}",
                 (long long)(first + (int64_t)(*asked % (uint64_t)leases)));
        ++*asked;
        curl_multi_add_handle(multi, beater->curl);
    }
}

static void measure_beat(int leases, int beats)
{
    const int64_t first = 0x5eed0000;
    static struct beater beaters[AT_ONCE];
    struct cost before, after;
    uint64_t asked = 0;
    libsd *sd;
    int running;

    if (libsd_open(&sd, NULL) < 0)
        die("can't open", endpoint);
    for (int i = 0; i < leases; i++) {
        libsd_op op = libsd_op_lease_grant(first + i, 600);

        if (libsd_execute(sd, &op, 10000, NULL) < 0)
            die("no lease", endpoint);
    }
    before = cost_of_etcd();
    for (int i = 0; i < AT_ONCE; i++, asked++) {
        snprintf(beaters[i].body, sizeof beaters[i].body, "{\"ID\":\"%lld\"}",
                 (long long)(first + (int64_t)(asked % (uint64_t)leases)));
        beaters[i].curl = post("/v3/lease/keepalive", beaters[i].body, &beaters[i]);
        curl_multi_add_handle(multi, beaters[i].curl);
    }
    while (answered < (uint64_t)beats) {
        curl_multi_perform(multi, &running);
        collect(first, leases, &asked, (uint64_t)beats);
        curl_multi_poll(multi, NULL, 0, 100, NULL);
    }
    after = cost_of_etcd();
    print(leases, "leases: etcd's processor time per beat", "ns",
          (after.cpu_s - before.cpu_s) * 1e9 / beats);
    print(leases, "leases: beats a second, etcd and client on one machine", "per s",
          beats / ((double)(after.ns - before.ns) / 1e9));
    for (int i = 0; i < leases; i++)
        libsd_lease_revoke(sd, first + i, 10000);
    libsd_close(sd);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    int count = argc == 5 ? atoi(argv[3]) : 0;

    endpoint = getenv("ETCDCTL_ENDPOINTS");
    if (endpoint == NULL || count < 1 || atoi(argv[2]) < 1) {
        fprintf(stderr, "usage: fleet watch|beat COUNT TIMES ETCD-PID\n");
        return 2;
    }
    host_count = atoi(argv[2]);
    pid = atoi(argv[4]);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    multi = curl_multi_init();
    if (strcmp(argv[1], "watch") == 0)
        measure_watch(count);
    else
        measure_beat(host_count, count);
    return 0;
}
