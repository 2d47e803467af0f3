/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A table writer of paper: it remembers what it was given and fails when it is
 * told to.  It takes the real one's place in the program that includes this,
 * once; the real one has its own tests.
 */
#ifndef ETCDSD_TESTS_PAPER_WRITER_H
#define ETCDSD_TESTS_PAPER_WRITER_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "paper.h"

struct table_writer paper;

struct paper_service *paper_find(const char *name, size_t length)
{
    for (size_t i = 0; i < PAPER_SERVICES; i++)
        if (strlen(paper.services[i].name) == length &&
            memcmp(paper.services[i].name, name, length) == 0)
            return &paper.services[i];
    return NULL;
}

int table_writer_put(struct table_writer *writer, const struct table_service *service)
{
    struct paper_service *slot = paper_find(service->name, service->name_length);

    writer->puts++;
    writer->put_state = writer->state;
    if (writer->error != 0 &&
        (strcmp(writer->failing, "*") == 0 || strcmp(writer->failing, service->name) == 0))
        return writer->error;
    if (slot == NULL)
        slot = paper_find("", 0);
    cr_assert_not_null(slot);
    memset(slot, 0, sizeof *slot);
    memcpy(slot->name, service->name, service->name_length);
    slot->count = service->count;
    slot->limit4 = service->limit4;
    slot->limit6 = service->limit6;
    slot->limit_any = service->limit_any;
    for (uint32_t i = 0; i < service->count && i < PAPER_INSTANCES; i++) {
        slot->instances[i] = service->instances[i];
        memcpy(slot->labels[i], service->instances[i].label, service->instances[i].label_length);
    }
    return 1;
}

int table_writer_remove(struct table_writer *writer, const char *name, size_t length)
{
    struct paper_service *slot = paper_find(name, length);

    writer->removes++;
    if (slot != NULL)
        memset(slot, 0, sizeof *slot);
    return slot != NULL;
}

int table_writer_sweep(struct table_writer *writer, table_writer_keep *keep, void *arg)
{
    int count = 0;

    for (size_t i = 0; i < PAPER_SERVICES; i++) {
        const char *name = writer->services[i].name;

        if (name[0] != '\0' && !keep(name, strlen(name), arg)) {
            memset(&writer->services[i], 0, sizeof writer->services[i]);
            count++;
        }
    }
    return count;
}

int table_writer_publish(struct table_writer *writer)
{
    writer->published++;
    writer->state = TABLE_LIVE;
    return 0;
}

int table_writer_publish_old(struct table_writer *writer, int64_t age_s)
{
    if (writer->published == 0)
        writer->state = TABLE_DISCONNECTED;
    writer->published++;
    writer->age_s = age_s;
    return 0;
}

int table_writer_is_published(const struct table_writer *writer)
{
    return writer->published != 0;
}

int table_writer_set_zones(struct table_writer *writer, const char *const *domains, size_t count,
                           uint32_t unready)
{
    char zones[sizeof writer->zones] = "";

    if (writer->error != 0 && strcmp(writer->failing, "zones") == 0)
        return writer->error;
    for (size_t i = 0; i < count; i++)
        snprintf(zones + strlen(zones), sizeof zones - strlen(zones), "%s ", domains[i]);
    if (strcmp(zones, writer->zones) == 0 && writer->unready == unready)
        return 0;
    writer->unready = unready;
    strcpy(writer->zones, zones);
    return 1;
}

uint32_t table_writer_unready(const struct table_writer *writer)
{
    return writer->unready;
}

void table_writer_set_state(struct table_writer *writer, int state)
{
    writer->state = state;
}

void table_writer_set_revision(struct table_writer *writer, uint64_t cluster, int64_t revision)
{
    (void)cluster;
    writer->revision = revision;
}

void table_writer_set_held(struct table_writer *writer, uint64_t held)
{
    writer->held = held;
}

void table_writer_set_dropped(struct table_writer *writer, uint64_t dropped)
{
    writer->dropped = dropped;
}

void table_writer_stats(const struct table_writer *writer, struct table_writer_stats *stats)
{
    (void)writer;
    memset(stats, 0, sizeof *stats);
}

#endif
