/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What libsd_pick() costs.  Prints measurements as bench.c does.
 *
 * The floor is a counter taken modulo the number of instances and an address
 * copied from an array: what a program without any discovery would do.  Rows of
 * one round are measured one after the other and ratios are taken within it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fill.h"

#include "../../libsd/catalog.h"
#include "../../libsd/internal.h"

enum {
    ROUNDS = 9,
    TIMES = 1000000,
    SERVICES = 1000
};

static libsd *own;   /* has a snapshot of "user" */
static libsd *table; /* asks the table alone */
static libsd_picked picked;
static struct {
    uint8_t address[16];
    uint16_t port;
} floor_list[8];

static void run_floor(const libsd_pick_options *options)
{
    static unsigned turn;

    (void)options;
    for (int i = 0; i < TIMES; i++) {
        unsigned at = turn++ % 8;

        memcpy(picked.address, floor_list[at].address, 16);
        picked.port = floor_list[at].port;
        __asm__ volatile("" ::: "memory");
    }
}

static void run_own(const libsd_pick_options *options)
{
    for (int i = 0; i < TIMES; i++)
        if (libsd_pick(own, "user", options, &picked) < 0)
            abort();
}

static void run_many(const libsd_pick_options *options)
{
    for (int i = 0; i < TIMES; i++)
        if (libsd_pick(own, "many", options, &picked) < 0)
            abort();
}

static void run_table(const libsd_pick_options *options)
{
    for (int i = 0; i < TIMES; i++)
        if (libsd_pick(table, "s0000007", options, &picked) < 0)
            abort();
}

static const libsd_pick_options random_one = { .size = sizeof random_one,
                                               .policy = LIBSD_PICK_RANDOM };
static const libsd_pick_options sticky = { .size = sizeof sticky,
                                           .policy = LIBSD_PICK_STICKY,
                                           .key = { "user-1", 6 } };

static struct {
    const char *text;
    void (*run)(const libsd_pick_options *options);
    const libsd_pick_options *options;
    const char *goal;
} rows[] = {
    { "counter and array", run_floor, NULL, "" },
    { "own snapshot, 8 instances, in turn", run_own, NULL, "60 ns" },
    { "own snapshot, 8 instances, random", run_own, &random_one, "60 ns" },
    { "own snapshot, 8 instances, sticky", run_own, &sticky, "" },
    { "own snapshot, 10,000 instances with weights, in turn", run_many, NULL, "" },
    { "table, 1 instance", run_table, NULL, "100 ns" },
};

enum {
    ROWS = sizeof rows / sizeof *rows
};

/* As if the service had been followed. */
static void publish(libsd *sd, const char *service, int instances, bool weights)
{
    struct libsd_snapshot *snapshot = snapshot_new((size_t)instances);
    struct catalog *catalog = catalog_get(sd, service, catalog_hash(service));

    for (int i = 0; i < instances; i++) {
        char name[20];
        libsd_instance instance = { .family = 4,
                                    .address = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i },
                                    .port = 80,
                                    .weight = weights ? (uint32_t)(1 + i * 7919 % 1000) : 0,
                                    .service = service,
                                    .name = name };
        struct peer *peer;

        snprintf(name, sizeof name, "instance-%d", i);
        peer = peer_copy(&instance);
        snapshot_add(snapshot, peer);
        peer_unref(peer);
    }
    handover_set(&catalog->handover, snapshot);
    atomic_store(&catalog->connected, true);
}

static libsd *open_with(const char *source)
{
    libsd_options *options;
    libsd *sd;

    if (libsd_options_new(&options) < 0 || libsd_options_load(options, "") < 0 ||
        libsd_options_set(options, "source", source) < 0 || libsd_open(&sd, options) < 0)
        abort();
    libsd_options_free(options);
    return sd;
}

int main(void)
{
    char directory[] = "/dev/shm/etcdsd-pick.XXXXXX", path[64];

    if (!mkdtemp(directory))
        return 1;
    snprintf(path, sizeof path, "%s/t/table.v1", directory);
    fill_table(path, SERVICES);
    setenv("ETCDSD_TABLE", path, 1);
    own = open_with("etcd");
    table = open_with("table");
    publish(own, "user", 8, false);
    publish(own, "many", 10000, true);
    for (int round = 1; round <= ROUNDS; round++) {
        for (int row = 0; row < ROWS; row++) {
            int64_t begin = now_ns();

            rows[row].run(rows[row].options);
            printf("pick\t%s\tns\t%s\t%s\t%d\t%.3f\n", rows[row].text, row > 0 ? rows[0].text : "",
                   rows[row].goal, round, (double)(now_ns() - begin) / TIMES);
        }
    }
    libsd_close(own);
    libsd_close(table);
    fill_end();
    rmdir(directory);
    return 0;
}
