/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The zones together; see board.h.
 */
#include "board.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "log.h"

void board_add(struct board *board, struct publish *publish)
{
    struct publish **link = &board->first;

    while (*link != NULL)
        link = &(*link)->next;
    *link = publish;
    publish->next = NULL;
    publish->board = board;
    publish->is_named = !board->is_set;
}

void board_remove(struct board *board, struct publish *publish)
{
    struct publish **link = &board->first;

    while (*link != NULL && *link != publish)
        link = &(*link)->next;
    if (*link != NULL)
        *link = publish->next;
}

struct publish *board_owner(const struct board *board, const char *name, size_t length) /* B2 */
{
    struct publish *owner = NULL;

    for (struct publish *publish = board->first; publish != NULL; publish = publish->next) {
        const struct zone *zone = publish->zone;

        if (zone_has_name(zone, name, length) &&
            (owner == NULL || zone->domain_length > owner->zone->domain_length))
            owner = publish;
    }
    return owner;
}

bool board_is_complete(const struct board *board)
{
    for (const struct publish *publish = board->first; publish != NULL; publish = publish->next)
        if (!publish->is_complete)
            return false;
    return true;
}

bool board_is_waiting(const struct board *board)
{
    for (const struct publish *publish = board->first; publish != NULL; publish = publish->next)
        if (publish->model->failed.head != NULL)
            return true;
    return false;
}

bool board_is_lost(const struct board *board)
{
    for (const struct publish *publish = board->first; publish != NULL; publish = publish->next)
        if (publish->is_lost)
            return true;
    return false;
}

void board_set_state(const struct board *board) /* B1 */
{
    bool is_live = true;

    for (const struct publish *publish = board->first; publish != NULL; publish = publish->next)
        is_live = is_live && (publish->is_live || !publish->is_named);
    table_writer_set_state(board->table, is_live ? TABLE_LIVE : TABLE_DISCONNECTED);
}

void board_count(struct board *board)
{
    int64_t revision = INT64_MAX;
    uint64_t dropped = 0, cluster = 0;

    for (const struct publish *publish = board->first; publish != NULL; publish = publish->next) {
        dropped += publish->model->unreadable;
        cluster = publish->cluster != 0 ? publish->cluster : cluster;
        if (publish->revision < revision)
            revision = publish->revision;
    }
    if (dropped != board->dropped)
        table_writer_set_dropped(board->table, dropped);
    board->dropped = dropped;
    if (board->first != NULL && !board_is_waiting(board))
        table_writer_set_revision(board->table, cluster, revision);
}

/* ---- settling ---------------------------------------------------------- */

/* A service that could not be written is in the model, so it stays (P2). */
static int keep_modelled(const char *name, size_t length, void *arg)
{
    const struct board *board = arg;
    const struct publish *owner = board_owner(board, name, length);
    const struct model_service *service;

    if (owner == NULL)
        return board->is_unsettled; /* B4 */
    service = model_find(owner->model, name, length);
    return service != NULL && service->readable > 0;
}

static void sweep(struct board *board)
{
    int swept = table_writer_sweep(board->table, keep_modelled, board);

    if (swept < 0)
        log_line(LOG_LEVEL_ERROR, "table: what etcd no longer has can't be taken out: %s",
                 strerror(-swept));
    else if (swept > 0)
        log_line(LOG_LEVEL_INFO, "table: %d services taken out that etcd no longer has", swept);
}

/* Returns whether it is so now. */
static bool zones_set(struct board *board)
{
    const char *domains[TABLE_MAX_ZONES] = { NULL };
    size_t count = 0;
    int rc;

    for (const struct publish *publish = board->first; publish != NULL && count < TABLE_MAX_ZONES;
         publish = publish->next)
        domains[count++] = publish->zone->domain;
    rc = table_writer_set_zones(board->table, domains, count);
    if (rc > 0)
        log_line(LOG_LEVEL_INFO, "table: answers for %zu zone%s now", count, count == 1 ? "" : "s");
    else if (rc < 0 && !board->is_failing)
        log_line(LOG_LEVEL_ERROR,
                 "table: can't be made for other zones: %s (it goes on with those it has; tried "
                 "again each second)",
                 strerror(-rc));
    board->is_failing = rc < 0;
    if (rc < 0)
        return false;
    board->is_set = true;
    for (struct publish *publish = board->first; publish != NULL; publish = publish->next)
        publish->is_named = true;
    return true;
}

static void tell_published(const struct board *board, const char *from)
{
    struct table_writer_stats stats;

    table_writer_stats(board->table, &stats);
    log_line(LOG_LEVEL_INFO,
             "table published%s: %" PRIu64 " services, %" PRIu64 " instances, %" PRIu64 " bytes",
             from, stats.services, stats.instances, stats.file_bytes);
}

static bool show(const struct board *board) /* P1 */
{
    int rc;

    if (table_writer_is_published(board->table))
        return true;
    rc = table_writer_publish(board->table);
    if (rc < 0) {
        log_line(LOG_LEVEL_ERROR, "table: can't be published: %s (tried again each second)",
                 strerror(-rc));
        return false;
    }
    tell_published(board, "");
    return true;
}

void board_show_old(struct board *board, int64_t age_s) /* P1 */
{
    int rc;

    if (board_is_waiting(board)) /* which was told */
        return;
    rc = table_writer_publish_old(board->table, age_s);
    if (rc < 0)
        log_line(LOG_LEVEL_ERROR, "table: can't be published: %s", strerror(-rc));
    else
        tell_published(board, " from the snapshot");
}

void board_settle(struct board *board)
{
    if (!board_is_complete(board))
        return;
    board->is_unsettled = board_is_waiting(board) || !zones_set(board);
    sweep(board);
    if (!board->is_unsettled)
        board->is_unsettled = !show(board);
}
