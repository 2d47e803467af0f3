/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writing services: rows for the table out of a service's instances, labels
 * and limits included.  Relies on table/writer.h for all that readers see.
 */
#include "publish.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "board.h"
#include "log.h"
#include "memory.h"

/* Each try that finds no room may copy the whole table; this many a second are
 * enough to notice that there is room again. */
#define MAX_FAILURES_AT_ONCE 8

#define TELL_AGAIN_S         60

/* Above this many rows the room is given back after use. */
#define ROWS_KEPT            4096u

void publish_free(struct publish *publish)
{
    free(publish->rows);
    free(publish->labels);
    publish->rows = NULL;
    publish->labels = NULL;
    publish->row_capacity = publish->label_capacity = 0;
}

static int rows_reserve(struct publish *publish, const struct model_service *service)
{
    if (service->readable > publish->row_capacity) {
        struct table_instance *rows =
            memory_resize(publish->rows, service->readable, sizeof *publish->rows);

        if (rows == NULL)
            return -ENOMEM;
        publish->rows = rows;
        publish->row_capacity = service->readable;
    }
    if (service->inexact > publish->label_capacity) {
        void *labels = memory_resize(publish->labels, service->inexact, sizeof *publish->labels);

        if (labels == NULL)
            return -ENOMEM;
        publish->labels = labels;
        publish->label_capacity = service->inexact;
    }
    return 0;
}

/* The label of an exact key is its last segment as it stands. */
static void row_set(struct table_instance *row, const struct model_instance *instance,
                    char (*label)[TABLE_MAX_LABEL + 1])
{
    const char *slash = memrchr(instance->key, '/', instance->key_length);
    const char *segment = slash != NULL ? slash + 1 : instance->key;
    size_t length = (size_t)(instance->key + instance->key_length - segment);

    row->label = instance->is_exact ? segment : *label;
    row->label_length =
        instance->is_exact ? (uint8_t)length : zone_label(segment, length, *label, NULL);
    row->family = instance->family;
    row->port = instance->port;
    row->weight = instance->weight;
    memcpy(row->address, instance->address, sizeof row->address);
}

static void rows_fill(struct publish *publish, const struct model_service *service)
{
    uint32_t row = 0, label = 0;

    for (uint32_t i = 0; i < service->count; i++) {
        const struct model_instance *instance = model_instances(service)[i];

        if (instance->family == 0)
            continue;
        row_set(&publish->rows[row++], instance, &publish->labels[label]);
        label += !instance->is_exact;
    }
}

/* ---- labels that are taken --------------------------------------------- */

struct claim {
    struct table_instance *row;
    struct model_instance *instance;
};

/* By label, then in key order, which is the order of the rows. */
static int claim_compare(const void *a, const void *b)
{
    const struct claim *left = a, *right = b;
    int order = (left->row->label_length > right->row->label_length) -
                (left->row->label_length < right->row->label_length);

    if (order == 0)
        order = memcmp(left->row->label, right->row->label, left->row->label_length);
    if (order == 0)
        order = (left->row > right->row) - (left->row < right->row);
    return order;
}

static void tell_unnamed(struct publish *publish, const struct model_service *service,
                         const struct model_instance *instance, const char *why)
{
    char key[LOG_QUOTE_SIZE];

    publish->unnamed++;
    log_line(LOG_LEVEL_WARNING,
             "key %s%s: has no name of its own in %s: %s (it still counts for the service)",
             publish->zone->prefix, log_quote(key, instance->key, instance->key_length),
             service->name, why);
}

static void claim_settle(struct publish *publish, const struct model_service *service,
                         const struct claim *claim, const struct claim *before)
{
    struct table_instance *row = claim->row;
    bool is_empty = row->label_length == 0;
    bool is_taken = !is_empty && before != NULL && row->label_length == before->row->label_length &&
                    memcmp(row->label, before->row->label, row->label_length) == 0;

    if ((is_empty || is_taken) && !claim->instance->is_unnamed)
        tell_unnamed(publish, service, claim->instance,
                     is_empty ? "no letter or digit for a label"
                              : "another key in front of it gives the same label");
    claim->instance->is_unnamed = is_empty || is_taken;
}

/* The first in key order keeps a label.  Only a service that has keys which
 * are not exact can have two of one label. */
static int labels_settle(struct publish *publish, const struct model_service *service)
{
    struct claim *claims = memory_new(service->readable * sizeof *claims);
    uint32_t row = 0;

    if (claims == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < service->count; i++)
        if (model_instances(service)[i]->family != 0) {
            claims[row] = (struct claim){ &publish->rows[row], model_instances(service)[i] };
            row++;
        }
    qsort(claims, row, sizeof *claims, claim_compare);
    for (uint32_t i = 0; i < row; i++)
        claim_settle(publish, service, &claims[i], i > 0 ? &claims[i - 1] : NULL);
    for (uint32_t i = 0; i < row; i++)
        if (claims[i].instance->is_unnamed)
            claims[i].row->label_length = 0;
    free(claims);
    return 0;
}

/* ---- one service ------------------------------------------------------- */

static void limits_set(const struct publish *publish, const struct settings *says,
                       struct table_service *row)
{
    uint8_t forced = (uint8_t)says->max_answers;
    struct localnet_limits limits = { forced, forced, forced };

    if (forced == 0)
        limits = localnet_limits(publish->net, row->instances, row->count);
    row->limit4 = limits.limit4;
    row->limit6 = limits.limit6;
    row->limit_any = limits.limit_any;
}

static const struct settings *settings_of(const struct publish *publish,
                                          const struct model_service *service)
{
    if (publish->services == NULL)
        return publish->says;
    return config_service(publish->services, service->name, publish->says);
}

static int service_put(struct publish *publish, const struct model_service *service)
{
    struct table_service row = { .name = service->name, .name_length = service->name_length };
    const struct settings *says = settings_of(publish, service);
    int rc;

    if (service->readable > says->max_instances)
        return -E2BIG;
    rc = rows_reserve(publish, service);
    if (rc < 0)
        return rc;
    rows_fill(publish, service);
    if (service->inexact > 0) {
        rc = labels_settle(publish, service);
        if (rc < 0)
            return rc;
    }
    row.instances = publish->rows;
    row.count = service->readable;
    for (uint32_t i = 0; i < row.count && !says->weights; i++)
        publish->rows[i].weight = 0;
    limits_set(publish, says, &row);
    return table_writer_put(publish->table, &row);
}

static bool is_passing(int error)
{
    return error != -EINVAL && error != -E2BIG;
}

/* P2: what was refused for good stays as it is until the service changes. */
static void tell_refused(struct publish *publish, const struct model_service *service, int error)
{
    publish->refused++;
    log_line(LOG_LEVEL_ERROR,
             "service %s (%" PRIu32 " instances): refused by the table: %s (what the table says of "
             "it stays until it changes again)",
             service->name, service->readable,
             error == -E2BIG ? "more than max-instances" : strerror(-error));
}

/* Trouble that may last for hours is told at its begin and now and then. */
static void tell_waiting(struct publish *publish, const struct model_service *service, int error)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (publish->is_short && now.tv_sec - publish->told_s < TELL_AGAIN_S)
        return;
    publish->is_short = true;
    publish->told_s = now.tv_sec;
    log_line(LOG_LEVEL_ERROR,
             "service %s (%" PRIu32 " instances), maybe others: not written to the table: %s (what "
             "the table says of them stays; tried again each second)",
             service->name, service->readable,
             error == -EFBIG ? "the table is as large as max-table-size allows" : strerror(-error));
}

static void tell_written(struct publish *publish)
{
    if (publish->is_short && publish->model->failed.head == NULL) {
        publish->is_short = false;
        log_line(LOG_LEVEL_INFO, "table: all services that had to wait are written");
    }
}

/* "a.b.example" of the zone "example" is the name of b's a if "b.example" is a
 * zone, too (B2). */
static bool is_elsewhere(struct publish *publish, struct model_service *service)
{
    const struct publish *owner = board_owner(publish->board, service->name, service->name_length);
    bool is_news = owner != publish && !service->is_elsewhere;

    service->is_elsewhere = owner != publish;
    if (is_news) {
        publish->elsewhere++;
        log_line(LOG_LEVEL_WARNING,
                 "service %s: not in the table: the key is under %s, but the name lies in the "
                 "domain %s of another zone",
                 service->name, publish->zone->prefix, owner->zone->domain);
    }
    return service->is_elsewhere;
}

/* Returns whether the table took it, or never will. */
static bool service_write(struct publish *publish, struct model_service *service)
{
    int rc;

    if (is_elsewhere(publish, service))
        rc = 0;
    else if (service->readable == 0)
        rc = table_writer_remove(publish->table, service->name, service->name_length);
    else
        rc = service_put(publish, service);
    if (rc < 0 && is_passing(rc)) {
        tell_waiting(publish, service, rc);
        model_fail(publish->model, service);
        return false;
    }
    if (rc < 0)
        tell_refused(publish, service, rc);
    model_release(publish->model, service);
    return true;
}

/* ---- all of them ------------------------------------------------------- */

void publish_ahead(struct publish *publish)
{
    const struct model_list *dirty = &publish->model->dirty;

    if (table_writer_is_published(publish->table))
        return;
    while (dirty->head != dirty->tail && publish->model->failed.head == NULL)
        service_write(publish, model_take_dirty(publish->model));
}

void publish_changes(struct publish *publish, int64_t revision)
{
    struct model_service *service;
    int failures = 0;

    if (publish->is_older) /* what is dirty stays so */
        return;
    while (failures < MAX_FAILURES_AT_ONCE && (service = model_take_dirty(publish->model)) != NULL)
        failures += !service_write(publish, service);
    if (failures == MAX_FAILURES_AT_ONCE)
        while ((service = model_take_dirty(publish->model)) != NULL)
            model_fail(publish->model, service);
    if (publish->row_capacity > ROWS_KEPT)
        publish_free(publish);
    tell_written(publish);
    publish->revision = revision;
    board_count(publish->board);
}

void publish_list(struct publish *publish, int64_t revision)
{
    publish->is_older = false;
    publish_changes(publish, revision);
    publish->is_complete = publish->is_known = true;
    board_settle(publish->board);
}

void publish_retry(struct publish *publish)
{
    if (publish->model->failed.head != NULL) {
        model_retry(publish->model);
        publish_changes(publish, publish->revision);
    }
    if (publish->board->is_unsettled && !board_is_waiting(publish->board))
        board_settle(publish->board);
}
