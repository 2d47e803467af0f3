/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The numbers: a checker as strict as promtool reads what is rendered; the file
 * and the HTTP socket around it.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../nss/watcher/metrics.h"
#include "../../nss/watcher/metrics_http.h"

static struct metrics sample(void)
{
    return (struct metrics){
        .version = "0.1.0",
        .is_connected = true,
        .is_published = true,
        .cluster = UINT64_MAX,
        .revision = 42,
        .table = { .services = 3, .instances = 7, .changes = 9, .file_bytes = 4096, .age_s = 5 },
        .counters = { .started = 1700000000, .events = UINT64_MAX },
        .zone_count = 2,
        .zones = { { .prefix = "/service/", .domain = "service.etcd", .keys = 7 },
                   { .prefix = "/a\"b\\c\nd\x80\x01/", .domain = "x.etcd", .dropped = 1 } },
    };
}

/* ---- a checker of the text format -------------------------------------- */

#define SERIES 200

static struct {
    char family[100]; /* of the last # TYPE */
    bool is_counter;
    char seen[SERIES][300]; /* series and families */
    int count;
} checker;

static void remember(const char *kind, const char *what, size_t length)
{
    char text[300];

    snprintf(text, sizeof text, "%s %.*s", kind, (int)length, what);
    for (int i = 0; i < checker.count; i++)
        cr_expect_str_neq(checker.seen[i], text, "twice: %s", text);
    cr_assert_lt(checker.count, SERIES);
    strcpy(checker.seen[checker.count++], text);
}

static size_t name_length(const char *text)
{
    size_t length = 0;

    while (isalnum((unsigned char)text[length]) || text[length] == '_' || text[length] == ':')
        length++;
    cr_expect(length > 0 && !isdigit((unsigned char)text[0]), "no name: %s", text);
    return length;
}

static void check_comment(const char *line)
{
    bool is_type = strncmp(line, "# TYPE ", 7) == 0;
    size_t length = name_length(line + 7);
    const char *name = line + 7, *rest = name + length;

    cr_expect(is_type || strncmp(line, "# HELP ", 7) == 0, "%s", line);
    cr_expect_eq(*rest++, ' ', "%s", line);
    if (!is_type) {
        cr_expect(*rest != '\0' && rest[strlen(rest) - 1] == '.', "no sentence: %s", line);
        snprintf(checker.family, sizeof checker.family, "%.*s", (int)length, name);
        remember("family", name, length);
        return;
    }
    cr_expect(strlen(checker.family) == length && memcmp(checker.family, name, length) == 0,
              "TYPE without its HELP: %s", line);
    checker.is_counter = strcmp(rest, "counter") == 0;
    cr_expect(checker.is_counter || strcmp(rest, "gauge") == 0, "%s", line);
    cr_expect_eq(checker.is_counter, length > 6 && memcmp(name + length - 6, "_total", 6) == 0,
                 "counters and only they end in _total: %s", line);
}

/* Returns what follows the labels. */
static const char *check_labels(const char *at)
{
    for (;;) {
        at += name_length(at);
        cr_assert_eq(strncmp(at, "=\"", 2), 0, "%s", at);
        for (at += 2; *at != '"'; at++) {
            cr_assert(*at >= ' ' && *at < 0x7f, "not printable: %s", at);
            if (*at == '\\')
                cr_assert_not_null(strchr("\\\"n", *++at), "escape: %s", at);
        }
        at++;
        if (*at == '}')
            return at + 1;
        cr_assert_eq(*at++, ',', "%s", at);
    }
}

static void check_sample(const char *line)
{
    size_t length = name_length(line);
    const char *at = line + length;
    char *end;

    cr_expect(strlen(checker.family) == length && memcmp(checker.family, line, length) == 0,
              "not below its HELP: %s", line);
    cr_expect_eq(strncmp(line, "etcdsd_watcher_", 15), 0, "%s", line);
    if (*at == '{')
        at = check_labels(at + 1);
    remember("series", line, (size_t)(at - line));
    cr_assert_eq(*at++, ' ', "%s", line);
    strtod(at, &end);
    cr_expect(end > at && *end == '\0', "no number: %s", line);
}

static void check_text(char *text)
{
    char *line;

    checker.count = 0;
    cr_assert(*text != '\0' && text[strlen(text) - 1] == '\n', "the last line has an end");
    while ((line = strsep(&text, "\n")) != NULL && text != NULL) {
        if (*line == '#')
            check_comment(line);
        else
            check_sample(line);
    }
}

Test(metrics, text_is_what_prometheus_reads)
{
    struct metrics metrics = sample();
    char *text = malloc(METRICS_SIZE);
    size_t length = metrics_render(&metrics, text, METRICS_SIZE);

    cr_assert_eq(strlen(text), length);
    cr_expect_not_null(strstr(text, "\netcdsd_watcher_instances 7\n"));
    cr_expect_not_null(strstr(text, "{version=\"0.1.0\",cluster_id=\"ffffffffffffffff\"} 1\n"));
    cr_expect_not_null(strstr(text, "prefix=\"/a\\\"b\\\\c\\nd?\?/\"} 1\n"));
    check_text(text);
    free(text);
}

Test(metrics, all_zones_with_the_longest_names_fit)
{
    static char prefix[2000], domain[TABLE_MAX_NAME + 1];
    struct metrics metrics = sample();
    char *text = malloc(METRICS_SIZE);

    memset(prefix, '"', sizeof prefix - 1);
    memset(domain, 'd', sizeof domain - 1);
    metrics.zone_count = TABLE_MAX_ZONES;
    for (int i = 0; i < TABLE_MAX_ZONES; i++)
        metrics.zones[i] = (struct metrics_zone){ .prefix = prefix, .domain = domain };
    cr_expect_eq(metrics_render(&metrics, text, METRICS_SIZE), 0, "it is refused whole");
    prefix[500] = '\0';
    cr_expect_gt(metrics_render(&metrics, text, METRICS_SIZE), 0);
    free(text);
}

Test(metrics, text_that_does_not_fit_is_none)
{
    struct metrics metrics = sample();
    char *text = malloc(METRICS_SIZE);
    size_t length = metrics_render(&metrics, text, METRICS_SIZE);

    for (size_t size = 1; size <= length; size += 7) {
        char *tight = malloc(size);

        cr_expect_eq(metrics_render(&metrics, tight, size), 0);
        free(tight);
    }
    free(text);
}

Test(metrics, age_that_nobody_knows_is_left_out)
{
    struct metrics metrics = sample();
    char *text = malloc(METRICS_SIZE);

    metrics.table.age_s = TABLE_AGELESS;
    metrics_render(&metrics, text, METRICS_SIZE);
    cr_expect_null(strstr(text, "data_age_seconds"));
    free(text);
}

/* ---- file -------------------------------------------------------------- */

Test(metrics, file_takes_the_place_of_the_one_before)
{
    char directory[] = "/tmp/etcdsd-metrics.XXXXXX", path[64], found[8] = "";
    struct stat first, second;
    int fd;

    cr_assert_not_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/etcdsd.prom", directory);
    umask(077);
    cr_assert_eq(metrics_write(path, "one\n", 4), 0);
    cr_assert_eq(stat(path, &first), 0);
    cr_expect_eq(first.st_mode & 0777, 0644, "the collector is another user");
    cr_assert_eq(metrics_write(path, "two\n", 4), 0);
    cr_assert_eq(stat(path, &second), 0);
    cr_expect_neq(first.st_ino, second.st_ino);
    fd = open(path, O_RDONLY);
    cr_expect_eq(read(fd, found, sizeof found - 1), 4);
    cr_expect_str_eq(found, "two\n");
    close(fd);
    unlink(path);
    cr_expect_eq(rmdir(directory), 0, "no temporary file stays");
    cr_expect_eq(metrics_write(path, "x", 1), -ENOENT);
}

/* The one before stays, and nothing beside it. */
Test(metrics, file_that_cannot_be_written_leaves_the_one_before)
{
    static const struct rlimit small = { 4, RLIM_INFINITY },
                               none = { RLIM_INFINITY, RLIM_INFINITY };
    char directory[] = "/tmp/etcdsd-metrics.XXXXXX", path[64], found[8] = "";
    char long_path[PATH_MAX + 1];
    int fd;

    cr_assert_not_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/etcdsd.prom", directory);
    cr_assert_eq(metrics_write(path, "one\n", 4), 0);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    cr_expect_eq(metrics_write(path, "three\n", 6), -EFBIG);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    fd = open(path, O_RDONLY);
    cr_expect_eq(read(fd, found, sizeof found - 1), 4);
    cr_expect_str_eq(found, "one\n");
    close(fd);
    unlink(path);
    cr_assert_eq(mkdir(path, 0755), 0);
    cr_expect_eq(metrics_write(path, "one\n", 4), -EISDIR);
    rmdir(path);
    cr_expect_eq(rmdir(directory), 0, "no temporary file stays");
    memset(long_path, 'x', PATH_MAX);
    long_path[PATH_MAX] = '\0';
    cr_expect_eq(metrics_write(long_path, "x", 1), -ENAMETOOLONG);
}

/* ---- HTTP -------------------------------------------------------------- */

static struct metrics_http http;
static struct sockaddr_in where;

static size_t large_text(void *arg, char *text, size_t size)
{
    (void)arg;
    memset(text, 'x', size);
    return size;
}

static void http_begin(void)
{
    struct sockaddr_storage address;
    socklen_t size = metrics_http_parse("127.0.0.1:0", &address);

    cr_assert_gt(size, 0);
    cr_assert_eq(metrics_http_open(&http, &address, size, large_text, NULL), 0);
    size = sizeof where;
    cr_assert_eq(getsockname(http.listener, (struct sockaddr *)&where, &size), 0);
}

static int client(const char *request)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    (void)connect(fd, (const struct sockaddr *)&where, sizeof where);
    cr_assert_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 5000), 1);
    cr_assert_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    return fd;
}

/* Serves until the client has all; returns the bytes, of which `start` holds
 * the first. */
static size_t receive(int fd, char *start, size_t size)
{
    static char block[70000];
    size_t all = 0;

    for (int rounds = 0; rounds < 10000; rounds++) {
        ssize_t some;

        if (poll(&(struct pollfd){ .fd = http.fd, .events = POLLIN }, 1, 1) == 1)
            metrics_http_serve(&http);
        some = recv(fd, block, sizeof block, MSG_DONTWAIT);
        if (some == 0 || (some < 0 && errno != EAGAIN))
            break;
        for (ssize_t i = 0; i < some; i++, all++)
            if (all < size - 1)
                start[all] = block[i];
    }
    start[all < size ? all : size - 1] = '\0';
    close(fd);
    return all;
}

Test(metrics, http_answers_a_scrape_that_is_larger_than_a_socket_buffer)
{
    const int small = 8192; /* left alone, it grows until all is in it */
    char start[300];

    http_begin();
    cr_assert_eq(setsockopt(http.listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    int fd = client("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    size_t all = receive(fd, start, sizeof start);
    cr_expect_eq(strncmp(start, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4", 55),
                 0, "%s", start);
    const char *body = strstr(start, "\r\n\r\n");
    cr_assert_not_null(body);
    cr_expect_eq(all - (size_t)(body + 4 - start), METRICS_SIZE);
    metrics_http_close(&http);
}

Test(metrics, http_refuses_what_is_not_asked_for_metrics)
{
    static const struct {
        const char *request, *status;
    } cases[] = {
        { "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404" },
        { "GET /metricsx HTTP/1.1\r\n\r\n", "HTTP/1.1 404" },
        { "POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405" },
        { "\r\n\r\n", "HTTP/1.1 405" },
    };
    char start[100];

    http_begin();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        receive(client(cases[i].request), start, sizeof start);
        cr_expect_eq(strncmp(start, cases[i].status, 12), 0, "%s: %s", cases[i].request, start);
    }
    metrics_http_close(&http);
}

Test(metrics, http_ends_what_is_too_long_and_what_lasts_too_long)
{
    static char longer[METRICS_HTTP_REQUEST + 1];
    int fds[METRICS_HTTP_CLIENTS + 1];
    char start[100];

    http_begin();
    memset(longer, 'a', sizeof longer - 1);
    cr_expect_eq(receive(client(longer), start, sizeof start), 0);
    for (int i = 0; i < METRICS_HTTP_CLIENTS; i++) {
        fds[i] = client("GET ");
        metrics_http_serve(&http);
        metrics_http_serve(&http);
    }
    cr_expect_eq(receive(client("GET /metrics HTTP/1.1\r\n\r\n"), start, sizeof start), 0,
                 "no place is free");
    for (int i = 0; i < METRICS_HTTP_CLIENTS; i++)
        http.clients[i].since_s -= METRICS_HTTP_S + 1;
    metrics_http_tick(&http);
    cr_expect_gt(receive(client("GET /metrics HTTP/1.1\r\n\r\n"), start, sizeof start), 0);
    for (int i = 0; i < METRICS_HTTP_CLIENTS; i++)
        close(fds[i]);
    metrics_http_close(&http);
}

Test(metrics, http_is_for_loopback_only)
{
    struct sockaddr_storage address;

    cr_expect_gt(metrics_http_parse("127.0.0.1:9117", &address), 0);
    cr_expect_gt(metrics_http_parse("127.9.9.9:0", &address), 0);
    cr_expect_gt(metrics_http_parse("[::1]:9117", &address), 0);
    static const char *const bad[] = { "",
                                       "127.0.0.1",
                                       "0.0.0.0:80",
                                       "10.0.0.1:80",
                                       "[::]:80",
                                       "[fe80::1]:80",
                                       "127.0.0.1:",
                                       "127.0.0.1:65536",
                                       "[::1]",
                                       "localhost:80",
                                       ":80",
                                       "127.0.0.1:+1",
                                       "[127.0.0.1:80",
                                       "::1:80",
                                       "127.0.0.1:8x" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(metrics_http_parse(bad[i], &address), 0, "%s", bad[i]);
}
