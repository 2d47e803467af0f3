/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whoever has an address or a port: while services that share them come,
 * change and go, each is answered by one that has it, and by none when nobody
 * does.  Compared with a plain array after each change.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../libsd/table/writer.c"
#include "reverse.h"
#include "table_help.h"

enum {
    SERVICES = 40,
    HOSTS = 12, /* few: each is shared by many; half of them are IPv6 */
    PORTS = 4,
    CHANGES = 6000
};

struct model {
    uint16_t hosts[SERVICES]; /* a bit for each that the service has */
    int port[SERVICES];       /* 0: none in common, or no service */
};

static struct table_fixture fixture;

static void begin(void)
{
    table_begin(&fixture);
}

static void end(void)
{
    table_end(&fixture);
}

TestSuite(owners, .init = begin, .fini = end);

static void host_address(unsigned host, uint8_t address[16])
{
    memset(address, 0, 16);
    address[0] = 10;
    address[host % 2 ? 15 : 3] = (uint8_t)host;
}

static unsigned number_of(const struct table_record *record)
{
    char name[8];
    uint64_t word = table_load(record->at + TABLE_R_NAME);

    memcpy(name, &word, sizeof name);
    return (unsigned)atoi(name + 1);
}

/* The file as it is, shown or not. */
static struct table_view view_of(const struct table_writer *writer)
{
    return (struct table_view){ .words = writer->store.file.words,
                                .bytes = writer->store.file.bytes };
}

static void compare(const struct model *model, int change)
{
    struct table_view view = view_of(fixture.writer);

    for (unsigned host = 0; host < HOSTS; host++) {
        struct table_owner owner;
        uint8_t address[16];
        bool is_had = false;
        enum table_result result;

        host_address(host, address);
        for (unsigned i = 0; i < SERVICES; i++)
            is_had = is_had || (model->hosts[i] >> host & 1);
        result = table_find_address(&view, host % 2 ? 6 : 4, address, &owner);
        cr_assert_eq(result, is_had ? TABLE_FOUND : TABLE_MISS, "change %d, host %u", change, host);
        if (is_had)
            cr_assert(model->hosts[number_of(&owner.record)] >> host & 1, "change %d", change);
    }
    for (int port = 1; port <= PORTS; port++) {
        struct table_record record;
        bool is_had = false;
        enum table_result result = table_find_port(&view, (uint32_t)port, &record);

        for (unsigned i = 0; i < SERVICES; i++)
            is_had = is_had || model->port[i] == port;
        cr_assert_eq(result, is_had ? TABLE_FOUND : TABLE_MISS, "change %d, port %d", change, port);
        if (is_had)
            cr_assert_eq(model->port[number_of(&record)], port, "change %d", change);
    }
}

static void service_set(struct model *model, unsigned number, unsigned hosts, int port)
{
    struct table_instance instances[HOSTS];
    char name[32];
    struct table_service service = { .name = name, .instances = instances };
    int rc;

    service.name_length = (size_t)snprintf(name, sizeof name, "s%u.service.etcd", number);
    for (unsigned host = 0; host < HOSTS; host++)
        if (hosts >> host & 1) {
            struct table_instance *instance = &instances[service.count++];

            *instance = (struct table_instance){ .label = &"abcdefghijkl"[host],
                                                 .label_length = 1,
                                                 .family = host % 2 ? 6 : 4,
                                                 .port = (uint16_t)port };
            host_address(host, instance->address);
        }
    rc = service.count > 0 ? table_writer_put(fixture.writer, &service)
                           : table_writer_remove(fixture.writer, name, service.name_length);
    cr_assert_geq(rc, 0);
    model->hosts[number] = (uint16_t)hosts;
    model->port[number] = service.count > 0 ? port : 0;
}

Test(owners, each_key_is_answered_by_one_that_has_it, .timeout = 60)
{
    struct model model = { 0 };

    srand(1);
    for (int change = 0; change < CHANGES; change++) {
        unsigned hosts = (unsigned)rand() & (unsigned)rand() & ((1u << HOSTS) - 1);

        service_set(&model, (unsigned)rand() % SERVICES, rand() % 4 ? hosts : 0,
                    rand() % (PORTS + 1));
        compare(&model, change);
        if (change == CHANGES / 4)
            cr_assert_eq(table_writer_publish(fixture.writer), 0);
        if (change % 500 == 499 && change > CHANGES / 4) { /* adopts what it left */
            uint64_t files;

            table_writer_close(fixture.writer);
            table_reopen(&fixture, NULL, 0);
            files = fixture.writer->files_made;
            cr_assert_eq(files, 0, "a good table needs no new file");
            compare(&model, change);
        }
    }
    cr_expect_gt(fixture.writer->store.waiters.live, 0, "hosts are shared");
}

Test(owners, who_waits_for_nothing_takes_no_memory)
{
    struct model model = { 0 };

    for (unsigned i = 0; i < HOSTS; i++)
        service_set(&model, i, 1u << i, 1);
    compare(&model, 0);
    cr_expect_eq(fixture.writer->store.waiters.live, 0);
    cr_expect_leq(fixture.writer->store.waiters.room, 64);
}

/* The oldest are the last of their buckets. */
Test(owners, who_waits_is_found_behind_others)
{
    struct waiters waiters = { 0 };
    struct key key = { .kind = 4 };
    uint32_t service;

    cr_assert_eq(waiters_reserve(&waiters, 4000), 0);
    for (uint32_t i = 0; i < 4000; i++) {
        key.low = i;
        waiters_add(&waiters, &key, i);
    }
    for (uint32_t i = 0; i < 4000; i++) {
        key.low = i;
        if (i % 2) {
            cr_assert(waiters_remove(&waiters, &key, i));
        } else {
            cr_assert(waiters_take(&waiters, &key, &service));
            cr_assert_eq(service, i);
        }
        cr_assert_not(waiters_take(&waiters, &key, &service), "nobody waits any more");
    }
    cr_expect_eq(waiters.live, 0);
    waiters_free(&waiters);
}

/* One service after the other loses a port that all have. */
Test(owners, thousands_share_a_port)
{
    enum {
        MANY = 5000
    };
    struct table_record record;
    struct table_view view;
    char name[32], instance[32];

    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "s%d.service.etcd", i);
        snprintf(instance, sizeof instance, "i=10.0.%d.%d:80", i >> 8, i & 255);
        cr_assert_eq(table_put(&fixture, name, instance), 1);
    }
    for (int i = 0; i < MANY; i++) {
        view = view_of(fixture.writer);
        cr_assert_eq(table_find_port(&view, 80, &record), TABLE_FOUND, "%d", i);
        cr_assert_geq(number_of(&record), (unsigned)i);
        snprintf(name, sizeof name, "s%d.service.etcd", i);
        cr_assert_eq(table_writer_remove(fixture.writer, name, strlen(name)), 1);
    }
    cr_expect_eq(table_find_port(&view, 80, &record), TABLE_MISS);
    cr_expect_eq(fixture.writer->store.keys_used, 0);
}
