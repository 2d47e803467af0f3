/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See fill.h.
 */
#include "fill.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../libsd/table/writer.h"

/* Ends by unlink(2) and the like only: fill_end() serves a signal handler.
 * Each table belongs to a process of its own, which is asked by signals to
 * change it at full speed or to rest. */
struct keeper {
    pid_t process;
    char path[96], lock[104], directory[96];
};

static struct keeper keepers[8];
static volatile sig_atomic_t changing;

static void on_signal(int number)
{
    changing = number == SIGUSR1;
}

static void die(const char *why)
{
    fprintf(stderr, "fill: %s\n", why);
    exit(1);
}

static void put(struct table_writer *writer, unsigned i, unsigned round)
{
    struct table_instance instance = { .label = "i0", .label_length = 2, .family = 4 };
    uint32_t address = htonl(0x0a000000u + i);
    char name[32];
    struct table_service service = { .name = name, .instances = &instance, .count = 1 };

    service.name_length = (size_t)snprintf(name, sizeof name, "s%07u.service.etcd", i);
    memcpy(instance.address, &address, sizeof address);
    instance.port = (uint16_t)(8000 + round % 100);
    if (table_writer_put(writer, &service) < 0)
        die("can't put");
}

static void put_several(struct table_writer *writer, const char *name, unsigned count)
{
    struct table_instance instances[8];
    struct table_service service = {
        .name = name, .name_length = strlen(name), .instances = instances, .count = count
    };
    char labels[8][4];

    memset(instances, 0, sizeof instances);
    for (unsigned i = 0; i < count; i++) {
        uint32_t address = htonl(0x0b000001u + i);

        snprintf(labels[i], sizeof labels[i], "i%u", i);
        instances[i].label = labels[i];
        instances[i].label_length = 2;
        instances[i].family = 4;
        instances[i].port = 8000;
        memcpy(instances[i].address, &address, sizeof address);
    }
    if (table_writer_put(writer, &service) < 0)
        die("can't put");
}

static struct table_writer *open_writer(const char *path)
{
    static const char *const domains[] = { "service.etcd" };
    struct table_writer_options options = { .path = path, .domains = domains, .domain_count = 1 };
    struct table_writer *writer;
    char why[200];

    if (table_writer_open(&writer, &options, why, sizeof why) < 0)
        die(why);
    return writer;
}

/* The heartbeat is the timer's; full speed is between two looks at the flag. */
static void keep(struct table_writer *writer, unsigned services)
{
    struct timespec second = { .tv_sec = 1 };
    unsigned i = 0, round = 0;

    for (;;) {
        time_t begin = time(NULL);

        table_writer_heartbeat(writer);
        while (changing && time(NULL) == begin)
            for (int n = 0; n < 1000; n++) {
                put(writer, i, round);
                if (++i == services) {
                    i = 0;
                    round++;
                }
            }
        if (!changing)
            nanosleep(&second, NULL); /* a signal ends it early */
    }
}

static void fill(struct table_writer *writer, unsigned services)
{
    for (unsigned i = 0; i < services; i++)
        put(writer, i, 0);
    put_several(writer, "three.service.etcd", 3);
    put_several(writer, "eight.service.etcd", 8);
    if (table_writer_publish(writer) < 0)
        die("can't publish");
}

void fill_keep(const char *path, unsigned services)
{
    struct table_writer *writer = open_writer(path);

    fill(writer, services);
    keep(writer, services);
}

void fill_table(const char *path, unsigned services)
{
    struct keeper *keeper = keepers;
    char byte;
    int ready[2];

    while (keeper->process != 0)
        keeper++;
    snprintf(keeper->path, sizeof keeper->path, "%s", path);
    snprintf(keeper->lock, sizeof keeper->lock, "%s.lock", path);
    snprintf(keeper->directory, sizeof keeper->directory, "%s", path);
    *strrchr(keeper->directory, '/') = '\0';
    if (mkdir(keeper->directory, 0755) != 0 || pipe(ready) != 0)
        die(path);
    keeper->process = fork();
    if (keeper->process == 0) {
        struct sigaction action = { .sa_handler = on_signal };
        struct table_writer *writer = open_writer(path);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigaction(SIGUSR1, &action, NULL);
        sigaction(SIGUSR2, &action, NULL);
        fill(writer, services);
        if (write(ready[1], "r", 1) != 1)
            die("can't say so");
        keep(writer, services);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        die("no table");
    close(ready[0]);
}

void fill_end(void)
{
    for (struct keeper *keeper = keepers; keeper->process != 0; keeper++) {
        kill(keeper->process, SIGKILL);
        waitpid(keeper->process, NULL, 0);
        unlink(keeper->path);
        unlink(keeper->lock);
        rmdir(keeper->directory);
    }
}

pid_t fill_start_changing(const char *path, unsigned services)
{
    (void)services;
    for (struct keeper *keeper = keepers; keeper->process != 0; keeper++)
        if (strcmp(keeper->path, path) == 0) {
            kill(keeper->process, SIGUSR1);
            return keeper->process;
        }
    return 0;
}

void fill_stop_changing(pid_t writer)
{
    kill(writer, SIGUSR2);
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void fill_measure(const char *path, unsigned services, struct fill_costs *costs)
{
    enum {
        CHANGES = 300000
    };
    struct table_writer *writer = open_writer(path);
    struct table_writer_stats stats;
    double begin = seconds_now();
    char lock[120];

    if (services == 0)
        die("no services");
    for (unsigned i = 0; i < services; i++)
        put(writer, i, 0);
    table_writer_publish(writer);
    costs->fill_ns = (seconds_now() - begin) * 1e9 / services;
    begin = seconds_now();
    for (unsigned n = 0; n < CHANGES; n++)
        put(writer, (unsigned)((n * UINT64_C(7919)) % services), 1 + n / services);
    costs->change_ns = (seconds_now() - begin) * 1e9 / CHANGES;
    table_writer_stats(writer, &stats);
    costs->bytes = (double)stats.file_bytes / services;
    table_writer_close(writer);
    begin = seconds_now();
    writer = open_writer(path);
    for (unsigned i = 0; i < services; i++)
        put(writer, i, 1);
    costs->adopt_ms = (seconds_now() - begin) * 1e3;
    table_writer_close(writer);
    unlink(path);
    snprintf(lock, sizeof lock, "%s.lock", path);
    unlink(lock);
}
