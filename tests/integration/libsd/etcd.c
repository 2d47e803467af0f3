/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A real etcd of a test's own; see etcd.h.
 */
#include "etcd.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void nap(void)
{
    poll(NULL, 0, 5);
}

/* ---- files -------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Memory, so that a disk's fsync does not decide whether a test passes. */
static void make_dir(struct etcd *etcd)
{
    const char *parent = getenv("TMPDIR");

    if (!parent)
        parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(etcd->dir, sizeof etcd->dir, "%s/libsd-etcd.XXXXXX", parent);
    cr_assert(mkdtemp(etcd->dir) != NULL, "mkdtemp: %s", strerror(errno));
}

/* A process that only waits for the end of this one: neither SIGKILL nor a
 * crash of the test leaves files behind. */
static void start_keeper(struct etcd *etcd)
{
    int ends[2];
    char byte;

    cr_assert(pipe2(ends, O_CLOEXEC) == 0);
    etcd->keeper = fork();
    cr_assert(etcd->keeper >= 0);
    if (etcd->keeper == 0) {
        setsid();
        /* Nor may it hold the lifelines of others. */
        dup2(ends[0], 0);
        closefrom(3);
        while (read(0, &byte, 1) < 0 && errno == EINTR)
            continue;
        remove_tree(etcd->dir);
        _exit(0);
    }
    close(ends[0]);
    etcd->lifeline = ends[1];
}

/* ---- the process -------------------------------------------------------- */

/* A URL at that scheme and host with a port that nobody has. */
static void free_url(char *url, size_t size, const char *at)
{
    bool is_ipv6 = strchr(at, '[') != NULL;
    struct sockaddr_in ipv4 = { .sin_family = AF_INET };
    struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    struct sockaddr *address = is_ipv6 ? (struct sockaddr *)&ipv6 : (struct sockaddr *)&ipv4;
    socklen_t length = is_ipv6 ? sizeof ipv6 : sizeof ipv4;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert(fd >= 0 && bind(fd, address, length) == 0 && getsockname(fd, address, &length) == 0);
    close(fd);
    snprintf(url, size, "%s:%d", at, ntohs(is_ipv6 ? ipv6.sin6_port : ipv4.sin_port));
}

static void choose_urls(struct etcd *etcd)
{
    free_url(etcd->url, sizeof etcd->url, "http://127.0.0.1");
    free_url(etcd->peer, sizeof etcd->peer, "http://127.0.0.1");
    if (etcd->also_at)
        free_url(etcd->also, sizeof etcd->also, etcd->also_at);
}

static void be_etcd(const struct etcd *etcd)
{
    char data[256];
    char alone[100];
    char clients[200];
    const char *args[60] = { "etcd",
                             "--name",
                             etcd->name,
                             "--data-dir",
                             data,
                             "--listen-client-urls",
                             clients,
                             "--advertise-client-urls",
                             etcd->url,
                             "--listen-peer-urls",
                             etcd->peer,
                             "--initial-advertise-peer-urls",
                             etcd->peer,
                             "--initial-cluster",
                             *etcd->members ? etcd->members : alone,
                             "--logger",
                             "zap" };
    size_t count = 0;
    int null = open("/dev/null", O_RDWR);

    snprintf(data, sizeof data, "%s/data", etcd->dir);
    snprintf(alone, sizeof alone, "%s=%s", etcd->name, etcd->peer);
    snprintf(clients, sizeof clients, "%s%s%s", etcd->url, *etcd->also ? "," : "", etcd->also);
    while (args[count])
        count++;
    for (size_t i = 0; etcd->flags[i]; i++)
        args[count++] = etcd->flags[i];
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    execvp("etcd", (char **)(void *)args);
    _exit(127);
}

void etcd_run(struct etcd *etcd)
{
    pid_t parent = getpid();

    etcd->pid = fork();
    cr_assert(etcd->pid >= 0);
    if (etcd->pid)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    be_etcd(etcd);
}

bool etcd_is_up(const struct etcd *etcd)
{
    int status = etcd_post(etcd, "/v3/kv/range", "{\"key\":\"YQ==\"}");

    /* Where there are users, we may not read without a token, or with an old one. */
    return status == 200 || status == 400 || status == 401;
}

bool etcd_has_ended(struct etcd *etcd)
{
    return waitpid(etcd->pid, NULL, WNOHANG) == etcd->pid;
}

void etcd_restart(struct etcd *etcd)
{
    etcd_run(etcd);
    UNTIL(etcd_has_ended(etcd) || etcd_is_up(etcd), 30);
}

void etcd_prepare(struct etcd *etcd)
{
    memset(etcd, 0, sizeof *etcd);
    strcpy(etcd->name, "n1");
    make_dir(etcd);
    start_keeper(etcd);
    choose_urls(etcd);
}

void etcd_boot(struct etcd *etcd)
{
    bool up = false;

    /* Somebody else may take a port between our look and etcd's. */
    for (int i = 0; i < 5 && !up; i++) {
        choose_urls(etcd);
        etcd_restart(etcd);
        up = etcd_is_up(etcd);
    }
    cr_assert(up, "no etcd: is it installed?");
}

void etcd_start(struct etcd *etcd)
{
    etcd_prepare(etcd);
    etcd_boot(etcd);
}

void etcd_kill(struct etcd *etcd)
{
    kill(etcd->pid, SIGKILL);
    kill(etcd->pid, SIGCONT);
    waitpid(etcd->pid, NULL, 0);
    etcd->pid = 0;
}

void etcd_wipe(struct etcd *etcd)
{
    char data[256];

    snprintf(data, sizeof data, "%s/data", etcd->dir);
    remove_tree(data);
}

void etcd_move(struct etcd *etcd)
{
    free_url(etcd->url, sizeof etcd->url, "http://127.0.0.1");
}

void etcd_freeze(struct etcd *etcd)
{
    int status;

    kill(etcd->pid, SIGSTOP);
    /* Its threads stop one by one. */
    cr_assert(waitpid(etcd->pid, &status, WUNTRACED) == etcd->pid && WIFSTOPPED(status));
}

void etcd_thaw(struct etcd *etcd)
{
    kill(etcd->pid, SIGCONT);
}

void etcd_end(struct etcd *etcd)
{
    if (etcd->pid)
        etcd_kill(etcd);
    close(etcd->lifeline);
    waitpid(etcd->keeper, NULL, 0);
}

/* ---- requests without libsd --------------------------------------------- */

static int dial(const struct etcd *etcd)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct timeval limit = { .tv_sec = 1 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atoi(strrchr(etcd->url, ':') + 1));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool send_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

int etcd_ask(const struct etcd *etcd, const char *path, const char *body, char *answer, size_t size)
{
    char head[1600];
    char rest[4096];
    size_t got = 0;
    ssize_t more;
    int fd = dial(etcd);

    *answer = '\0';
    if (fd < 0)
        return 0;
    snprintf(head, sizeof head,
             "POST %s HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\nContent-Length: %zu\r\n"
             "%s%s%s\r\n",
             path, strlen(body), *etcd->token ? "Authorization: " : "", etcd->token,
             *etcd->token ? "\r\n" : "");
    if (send_all(fd, head, strlen(head)) && send_all(fd, body, strlen(body))) {
        while (got < size - 1 && (more = recv(fd, answer + got, size - 1 - got, 0)) > 0)
            got += (size_t)more;
        answer[got] = '\0';
        /* To the end: what follows must find the work done. */
        while (recv(fd, rest, sizeof rest, 0) > 0)
            continue;
    }
    close(fd);
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

int etcd_post(const struct etcd *etcd, const char *path, const char *body)
{
    char answer[4096];

    return etcd_ask(etcd, path, body, answer, sizeof answer);
}

/* Whether one of our descriptors is that socket. */
static bool is_ours(unsigned long inode)
{
    char path[40];
    char link[40];
    char wanted[40];

    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    for (int fd = 3; fd < 200; fd++) {
        ssize_t size;

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        size = readlink(path, link, sizeof link - 1);
        if (size < 0)
            continue;
        link[size] = '\0';
        if (strcmp(link, wanted) == 0)
            return true;
    }
    return false;
}

bool etcd_is_connected(const struct etcd *etcd)
{
    unsigned wanted = (unsigned)atoi(strrchr(etcd->url, ':') + 1);
    FILE *file = fopen("/proc/self/net/tcp", "re");
    bool found = false;
    char line[300];

    cr_assert(file != NULL);
    while (!found && fgets(line, sizeof line, file)) {
        unsigned port = 0;
        unsigned state = 0;
        unsigned long inode = 0;

        if (sscanf(line, "%*d: %*x:%*x %*x:%x %x %*x:%*x %*x:%*x %*x %*d %*d %lu", &port, &state,
                   &inode) == 3)
            found = port == wanted && state == 1 && is_ours(inode);
    }
    fclose(file);
    return found;
}

void etcd_compact(const struct etcd *etcd, int64_t revision)
{
    char body[80];

    snprintf(body, sizeof body, "{\"revision\":\"%lld\",\"physical\":true}", (long long)revision);
    cr_assert_eq(etcd_post(etcd, "/v3/kv/compaction", body), 200);
}

void add_base64(char *to, const char *text)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = strlen(text);

    to += strlen(to);
    for (size_t i = 0; i < size; i += 3) {
        unsigned bits = (unsigned)text[i] << 16;

        if (i + 1 < size)
            bits |= (unsigned)text[i + 1] << 8;
        if (i + 2 < size)
            bits |= (unsigned)text[i + 2];
        *to++ = alphabet[bits >> 18];
        *to++ = alphabet[bits >> 12 & 63];
        *to++ = i + 1 < size ? alphabet[bits >> 6 & 63] : '=';
        *to++ = i + 2 < size ? alphabet[bits & 63] : '=';
    }
    *to = '\0';
}

void put_many(const struct etcd *etcd, const char *prefix, int count)
{
    static char body[1 << 16];
    char key[100];

    for (int i = 0; i < count; i += 100) {
        strcpy(body, "{\"success\":[");
        for (int n = i; n < i + 100 && n < count; n++) {
            snprintf(key, sizeof key, "%s%05d", prefix, n);
            strcat(body, n > i ? ",{\"request_put\":{\"key\":\"" : "{\"request_put\":{\"key\":\"");
            add_base64(body, key);
            strcat(body, "\",\"value\":\"");
            add_base64(body, key);
            strcat(body, "\"}}");
        }
        strcat(body, "]}");
        cr_assert_eq(etcd_post(etcd, "/v3/kv/txn", body), 200);
    }
}

/* ---- with libsd --------------------------------------------------------- */

libsd *etcd_open(const struct etcd *etcd, const char *dispatch)
{
    libsd_options *options = NULL;
    libsd *sd = NULL;

    cr_assert_eq(libsd_options_new(&options), 0);
    cr_assert_eq(libsd_options_load(options, ""), 0); /* not this machine's */
    cr_assert_eq(libsd_options_set(options, "endpoints", etcd->url), 0);
    if (dispatch)
        cr_assert_eq(libsd_options_set(options, "dispatch", dispatch), 0);
    cr_assert_eq(libsd_open(&sd, options), 0);
    libsd_options_free(options);
    return sd;
}

int64_t put(libsd *sd, const char *key, const char *value)
{
    int64_t revision = 0;
    int rc = libsd_put(sd, libsd_str(key), libsd_str(value), 0, &revision, 0);

    cr_assert(rc == 0, "put: %s", libsd_strerror(rc));
    return revision;
}

bool has(libsd *sd, const char *key, const char *value)
{
    libsd_kvs *kvs = NULL;
    bool same = false;

    if (libsd_get(sd, libsd_str(key), &kvs, 1000) == 0) {
        libsd_slice got = libsd_kvs_at(kvs, 0)->value;

        same = got.size == strlen(value) && memcmp(got.data, value, got.size) == 0;
    }
    libsd_kvs_free(kvs);
    return same;
}

bool absent(libsd *sd, const char *key)
{
    libsd_kvs *kvs = NULL;
    int rc = libsd_get(sd, libsd_str(key), &kvs, 1000);

    libsd_kvs_free(kvs);
    return rc == LIBSD_ENOTFOUND;
}

/* ---- notes -------------------------------------------------------------- */

void notes_init(struct notes *notes)
{
    memset(notes, 0, sizeof *notes);
    pthread_mutex_init(&notes->mutex, NULL);
    notes->text = calloc(1, 1 << 20);
    cr_assert(notes->text != NULL);
}

static void note_revision(struct notes *notes, const libsd_event *event)
{
    bool listing = notes->counts[LIBSD_EVENT_LIST_BEGIN] > notes->counts[LIBSD_EVENT_LIST_END];

    if (!event->revision || listing || event->type == LIBSD_EVENT_AUDIT_KEY)
        return;
    if (event->revision < notes->revision && event->type != LIBSD_EVENT_LIST_BEGIN)
        notes->disordered = true;
    notes->revision = event->revision;
}

void notes_take(const libsd_event *event, void *arg)
{
    static const char *const words[] = { "?",    "+",  "-",   "[", "]", ";",
                                         "down", "up", "end", "(", "=", ")" };
    struct notes *notes = arg;
    char word[600];

    pthread_mutex_lock(&notes->mutex);
    snprintf(word, sizeof word, "%s%.*s%s%.*s ", words[event->type],
             event->kv ? (int)event->kv->key.size : 0,
             event->kv ? (const char *)event->kv->key.data : "",
             event->type != LIBSD_EVENT_DELETE && event->kv ? "=" : "",
             event->kv ? (int)event->kv->value.size : 0,
             event->kv ? (const char *)event->kv->value.data : "");
    if (notes->size + strlen(word) < 1 << 20) {
        strcpy(notes->text + notes->size, word);
        notes->size += strlen(word);
    }
    note_revision(notes, event);
    notes->counts[event->type]++;
    if (event->error) {
        notes->last_error = event->error;
        snprintf(notes->detail, sizeof notes->detail, "%s", event->detail);
    }
    pthread_mutex_unlock(&notes->mutex);
}

int notes_count(struct notes *notes, int type)
{
    int count;

    pthread_mutex_lock(&notes->mutex);
    count = notes->counts[type];
    pthread_mutex_unlock(&notes->mutex);
    return count;
}

bool notes_say(struct notes *notes, const char *words)
{
    bool found;

    pthread_mutex_lock(&notes->mutex);
    found = strstr(notes->text, words) != NULL;
    pthread_mutex_unlock(&notes->mutex);
    return found;
}

void notes_forget(struct notes *notes)
{
    pthread_mutex_lock(&notes->mutex);
    notes->size = 0;
    notes->text[0] = '\0';
    pthread_mutex_unlock(&notes->mutex);
}

void notes_reset(struct notes *notes)
{
    notes_forget(notes);
    pthread_mutex_lock(&notes->mutex);
    memset(notes->counts, 0, sizeof notes->counts);
    notes->revision = 0;
    notes->disordered = false;
    notes->last_error = 0;
    notes->detail[0] = '\0';
    pthread_mutex_unlock(&notes->mutex);
}
