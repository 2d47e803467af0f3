/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The zones together; see board.h.
 */
#include "board.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "libsd.h"
#include "log.h"

/* A zone may have failed alone because the others were just luckier. */
#define PATIENCE_S 5

static int64_t monotonic_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

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
    uint64_t held = 0;

    for (const struct publish *publish = board->first; publish != NULL; publish = publish->next) {
        is_live = is_live && (publish->is_live || publish->is_apart || !publish->is_named);
        held += publish->held;
    }
    table_writer_set_held(board->table, held);
    table_writer_set_state(board->table, is_live ? TABLE_LIVE : TABLE_DISCONNECTED);
}

void board_count(struct board *board)
{
    int64_t revision = INT64_MAX;
    uint64_t dropped = 0, cluster = 0;

    for (const struct publish *publish = board->first; publish != NULL; publish = publish->next) {
        dropped += publish->model->unreadable;
        cluster = publish->cluster != 0 ? publish->cluster : cluster;
        if (!publish->is_apart && publish->revision < revision)
            revision = publish->revision;
    }
    if (dropped != board->dropped)
        table_writer_set_dropped(board->table, dropped);
    board->dropped = dropped;
    if (revision != INT64_MAX && !board_is_waiting(board))
        table_writer_set_revision(board->table, cluster, revision);
}

/* ---- zones set aside (B5) ----------------------------------------------- */

void board_begin(struct board *board)
{
    uint32_t unready = table_writer_unready(board->table), bit = 1;
    struct table_writer_stats stats;

    if (!table_writer_is_published(board->table))
        return;
    table_writer_stats(board->table, &stats);
    board->unready = unready;
    board->old_s = stats.age_s == TABLE_AGELESS ? INT64_MIN : monotonic_s() - stats.age_s;
    for (struct publish *publish = board->first; publish != NULL;
         publish = publish->next, bit <<= 1)
        publish->is_known = !(unready & bit);
}

static bool is_other_live(const struct board *board, const struct publish *publish)
{
    for (const struct publish *other = board->first; other != NULL; other = other->next)
        if (other != publish && other->is_live)
            return true;
    return false;
}

/* A denial is meant for the zone; anything else may be over in a moment. */
static bool is_failing_alone(const struct board *board, const struct publish *publish, int64_t now)
{
    return publish->is_lost && !publish->is_live &&
           (publish->error == LIBSD_EDENIED || now - publish->lost_s >= PATIENCE_S) &&
           is_other_live(board, publish);
}

static bool is_too_old(const struct board *board, const struct publish *publish)
{
    int64_t true_s = publish->true_s != 0 ? publish->true_s : board->old_s;

    return board->max_stale_s > 0 && publish->is_apart &&
           (true_s == INT64_MIN || monotonic_s() - true_s > board->max_stale_s);
}

/* Bit n: zone n is not ready. */
static uint32_t unready_zones(const struct board *board)
{
    uint32_t unready = 0, bit = 1;

    for (const struct publish *publish = board->first; publish != NULL;
         publish = publish->next, bit <<= 1)
        if (!publish->is_known || is_too_old(board, publish))
            unready |= bit;
    return unready;
}

bool board_is_ready(const struct board *board, const struct publish *wanted)
{
    uint32_t bit = 1;

    for (const struct publish *publish = board->first; publish != wanted; publish = publish->next)
        bit <<= 1;
    return table_writer_is_published(board->table) && wanted->is_named && !(board->unready & bit);
}

static bool is_anybody_awaited(const struct board *board)
{
    bool is_any_complete = false;

    for (const struct publish *publish = board->first; publish != NULL; publish = publish->next) {
        if (!publish->is_complete && !publish->is_apart)
            return true;
        is_any_complete = is_any_complete || publish->is_complete;
    }
    return !is_any_complete;
}

static void tell_apart(const struct publish *publish)
{
    const struct zone *zone = publish->zone;

    if (publish->is_apart)
        log_line(LOG_LEVEL_ERROR,
                 "zone %s: set aside: etcd does not show %s: %s (%s; other zones go on)",
                 zone->domain, zone->prefix, libsd_strerror(publish->error),
                 publish->is_known ? "its names are answered as they were, for max-stale"
                                   : "its names are \"try again\"");
    else
        log_line(LOG_LEVEL_INFO, "zone %s: no longer set aside", zone->domain);
}

void board_tick(struct board *board)
{
    int64_t now = monotonic_s();
    bool is_news = false;

    for (struct publish *publish = board->first; publish != NULL; publish = publish->next) {
        bool is_apart = is_failing_alone(board, publish, now);

        if (publish->is_live)
            publish->true_s = now;
        if (is_apart == publish->is_apart)
            continue;
        publish->is_apart = is_apart;
        is_news = true;
        tell_apart(publish);
    }
    if (is_news) {
        board_set_state(board);
        board_count(board);
    }
    if (is_news || (board->is_set && unready_zones(board) != board->unready))
        board_settle(board);
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
    if (!owner->is_complete)
        return owner->is_known; /* B5 */
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
    uint32_t unready = unready_zones(board);
    size_t count = 0;
    int rc;

    for (const struct publish *publish = board->first; publish != NULL && count < TABLE_MAX_ZONES;
         publish = publish->next)
        domains[count++] = publish->zone->domain;
    rc = table_writer_set_zones(board->table, domains, count, unready);
    if (rc > 0)
        log_line(LOG_LEVEL_INFO, "table: answers for %zu of %zu zone%s now",
                 count - (size_t)__builtin_popcount(unready), count, count == 1 ? "" : "s");
    else if (rc < 0 && !board->is_failing)
        log_line(LOG_LEVEL_ERROR,
                 "table: can't be made for other zones: %s (it goes on with those it has; tried "
                 "again each second)",
                 strerror(-rc));
    board->is_failing = rc < 0;
    if (rc < 0)
        return false;
    board->is_set = true;
    board->unready = unready;
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

/* Some zone must be known, and the header has to say which are not. */
static bool old_is_set(struct board *board, int64_t age_s)
{
    uint32_t all = 0;

    for (const struct publish *publish = board->first; publish != NULL; publish = publish->next)
        all = all << 1 | 1;
    board->old_s = age_s == TABLE_AGELESS ? INT64_MIN : monotonic_s() - age_s;
    return unready_zones(board) != all && zones_set(board);
}

void board_show_old(struct board *board, int64_t age_s) /* P1 */
{
    int rc;

    if (board_is_waiting(board) || !old_is_set(board, age_s)) /* which was told */
        return;
    rc = table_writer_publish_old(board->table, age_s);
    if (rc < 0)
        log_line(LOG_LEVEL_ERROR, "table: can't be published: %s", strerror(-rc));
    else
        tell_published(board, " from the snapshot");
}

void board_settle(struct board *board)
{
    if (is_anybody_awaited(board))
        return;
    board->is_unsettled = board_is_waiting(board) || !zones_set(board);
    sweep(board);
    if (!board->is_unsettled)
        board->is_unsettled = !show(board);
}
