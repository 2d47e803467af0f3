/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the daemon does besides following etcd: whatever of it is refused, it is
 * told once, and the daemon goes on.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../nss/watcher/log.h"
#include "../../nss/watcher/upkeep.h"
#include "table_help.h"

static struct table_fixture f;
static struct board board;
static struct follower *followers; /* none */
static struct upkeep upkeep;
static int told; /* what was logged */
static off_t seen;

static void setup(void)
{
    unsetenv("JOURNAL_STREAM");
    unsetenv("NOTIFY_SOCKET");
    table_begin(&f);
    board.table = f.writer;
    told = memfd_create("log", MFD_CLOEXEC);
    cr_assert_geq(told, 0);
    log_open(told, LOG_LEVEL_INFO);
}

static void teardown(void)
{
    upkeep_close(&upkeep);
    table_end(&f);
    close(told);
}

TestSuite(upkeep, .init = setup, .fini = teardown);

/* words: NULL for nothing at all. */
static void expect_told(const char *words)
{
    char text[4096];
    ssize_t size = pread(told, text, sizeof text - 1, seen);

    text[size] = '\0';
    seen += size;
    if (words == NULL)
        cr_expect_str_eq(text, "");
    else
        cr_expect_not_null(strstr(text, words), "'%s' is not in '%s'", words, text);
}

static void begin(const struct upkeep_options *options)
{
    cr_assert_eq(upkeep_open(&upkeep, options, &board, &followers), 0);
}

Test(upkeep, metrics_that_are_not_to_be_served_are_told)
{
    begin(&(struct upkeep_options){ .metrics_listen = "192.0.2.1:9117" });
    expect_told("metrics: '192.0.2.1:9117' is not loopback:port");
    cr_expect_eq(upkeep.http.listener, -1);
    upkeep_tick(&upkeep, 0);
    expect_told(NULL);
}

Test(upkeep, metrics_whose_port_is_taken_are_told)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char where[40], words[100];

    cr_assert_eq(bind(other, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(other, 1), 0);
    cr_assert_eq(getsockname(other, (struct sockaddr *)&address, &size), 0);
    snprintf(where, sizeof where, "127.0.0.1:%u", ntohs(address.sin_port));
    begin(&(struct upkeep_options){ .metrics_listen = where });
    snprintf(words, sizeof words, "metrics: %s: Address already in use (not served)", where);
    expect_told(words);
    upkeep_tick(&upkeep, 0);
    expect_told(NULL);
    close(other);
}

Test(upkeep, metrics_file_that_cannot_be_written_is_told_once_and_tried_again)
{
    char directory[90], file[100];

    snprintf(directory, sizeof directory, "%s/metrics", f.directory);
    snprintf(file, sizeof file, "%s/text", directory);
    begin(&(struct upkeep_options){ .metrics_file = file });
    upkeep_tick(&upkeep, 0);
    expect_told("metrics can't be written: No such file or directory (tried again each ");
    upkeep.file_s = 0; /* as if the time were over */
    upkeep_tick(&upkeep, 0);
    expect_told(NULL);
    cr_assert_eq(mkdir(directory, 0755), 0);
    upkeep.file_s = 0;
    upkeep_tick(&upkeep, 0);
    expect_told("metrics are written again");
    cr_expect_eq(access(file, R_OK), 0);
    unlink(file);
    rmdir(directory);
}
