/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The catalogs of a handle: found by service, begun for those who pick, ended
 * with the handle or when the table can do their work again.
 */
#include <stdlib.h>
#include <time.h>

#include "catalog.h"
#include "inquiry.h"
#include "internal.h"
#include "shared_table.h"

#define FIRST_SLOTS    16
/* An own watch begun because the table was of no use ends when the table has
 * been current for so long. */
#define IDLE_TICK_NS   (5 * S)
#define TABLE_TRUST_NS (30 * S)

/* ---- finding ------------------------------------------------------------ */

/* Word by word; of the last word, the bytes that are left, or those of the text
 * before them as well. */
uint64_t catalog_hash(const char *service)
{
    size_t size = strlen(service);
    uint64_t hash = size;
    uint64_t word = 0;

    if (size >= 8) {
        for (size_t at = 0; at + 8 < size; at += 8)
            hash = table_mix(table_load8(service + at) ^ hash, TABLE_HASH_KEY);
        word = table_load8(service + size - 8);
    } else {
        for (size_t at = 0; at < size; at++)
            word = word << 8 | (unsigned char)service[at];
    }
    return table_mix(word ^ hash, TABLE_HASH_KEY);
}

static struct catalog_index *index_new(size_t slots, struct catalog_index *older)
{
    struct catalog_index *made = calloc(1, sizeof *made + slots * sizeof made->slots[0]);

    if (made) {
        made->older = older;
        made->mask = slots - 1;
    }
    return made;
}

static void index_add(struct catalog_index *index, struct catalog *catalog)
{
    size_t slot = catalog->hash & index->mask;

    while (atomic_load_explicit(&index->slots[slot], memory_order_relaxed))
        slot = (slot + 1) & index->mask;
    atomic_store_explicit(&index->slots[slot], catalog, memory_order_release);
}

struct catalog *catalog_find(struct libsd *sd, const char *service, uint64_t hash)
{
    struct catalog_index *index = atomic_load_explicit(&sd->catalogs.index, memory_order_acquire);
    struct catalog *catalog;

    for (size_t slot = hash & index->mask;; slot = (slot + 1) & index->mask) {
        catalog = atomic_load_explicit(&index->slots[slot], memory_order_acquire);
        if (!catalog || (catalog->hash == hash && strcmp(catalog->service, service) == 0))
            return catalog;
    }
}

/* With the lock.  At most half full, so that each search ends. */
static bool index_grow(struct catalogs *catalogs)
{
    struct catalog_index *old = atomic_load_explicit(&catalogs->index, memory_order_relaxed);
    struct catalog_index *made;

    if (catalogs->count * 2 <= old->mask)
        return true;
    made = index_new((old->mask + 1) * 2, old);
    if (!made)
        return false;
    for (size_t slot = 0; slot <= old->mask; slot++) {
        struct catalog *catalog = atomic_load_explicit(&old->slots[slot], memory_order_relaxed);

        if (catalog)
            index_add(made, catalog);
    }
    atomic_store_explicit(&catalogs->index, made, memory_order_release);
    return true;
}

/* ---- making ------------------------------------------------------------- */

static void follow_for_pick(struct task *task);

static void catalog_free(struct catalog *catalog)
{
    handover_free(&catalog->handover);
    free(atomic_load(&catalog->outliers));
    free(catalog->service);
    free(catalog->prefix);
    free(catalog);
}

static struct catalog *catalog_new(struct libsd *sd, const char *service, uint64_t hash)
{
    /* A multiple of the lanes' alignment, as C11 wants it. */
    struct catalog *catalog = aligned_alloc(_Alignof(struct catalog), sizeof *catalog);

    if (!catalog)
        return NULL;
    memset(catalog, 0, sizeof *catalog);
    catalog->sd = sd;
    catalog->hash = hash;
    catalog->task.run = follow_for_pick;
    shared_name_init(&catalog->name, service, sd->options.domain);
    catalog->service = strdup(service);
    LIST_INIT(&catalog->listeners);
    for (size_t i = 0; i < LANES; i++) /* processes begin at different places */
        atomic_init(&catalog->handover.lanes[i].turn, (uint32_t)random_u64());
    if (!catalog->service || asprintf(&catalog->prefix, "%s%s%s", sd->options.prefix, service,
                                      *service ? "/" : "") < 0) {
        catalog->prefix = NULL;
        catalog_free(catalog);
        return NULL;
    }
    return catalog;
}

struct catalog *catalog_get(struct libsd *sd, const char *service, uint64_t hash)
{
    struct catalogs *catalogs = &sd->catalogs;
    struct catalog *catalog = catalog_find(sd, service, hash);

    if (catalog)
        return catalog;
    pthread_mutex_lock(&catalogs->mutex);
    catalog = catalog_find(sd, service, hash); /* was somebody else faster? */
    if (!catalog && catalogs->count < CATALOGS_MAX && index_grow(catalogs)) {
        catalog = catalog_new(sd, service, hash);
        if (catalog) {
            index_add(atomic_load_explicit(&catalogs->index, memory_order_relaxed), catalog);
            catalogs->count++;
        }
    }
    pthread_mutex_unlock(&catalogs->mutex);
    return catalog;
}

/* ---- for those who pick ------------------------------------------------- */

static void idle_tick(struct timer *timer)
{
    struct libsd *sd = container_of(timer, struct libsd, catalogs.idle);
    struct catalogs *catalogs = &sd->catalogs;
    struct catalog *catalog = TAILQ_FIRST(&catalogs->used);
    int64_t now = now_ns();
    bool left = false;

    if (!shared_table_is_current(sd))
        catalogs->table_live_ns = 0;
    else if (!catalogs->table_live_ns)
        catalogs->table_live_ns = now;
    while (catalog) {
        struct catalog *next = TAILQ_NEXT(catalog, link);

        if (catalogs->table_live_ns && now - catalogs->table_live_ns >= TABLE_TRUST_NS)
            catalog_unpick(catalog);
        else
            left |= catalog->picked_from;
        catalog = next;
    }
    if (left)
        timer_start(&sd->loop, timer, IDLE_TICK_NS);
}

static void follow_for_pick(struct task *task)
{
    struct catalog *catalog = container_of(task, struct catalog, task);
    struct catalogs *catalogs = &catalog->sd->catalogs;

    /* Out of memory: the next pick asks again. */
    catalog_pick(catalog);
    atomic_store(&catalog->asked, false);
    if (catalogs->idle.due_ns || !shared_table_is_allowed(catalog->sd))
        return;
    catalogs->table_live_ns = 0;
    catalogs->idle.fire = idle_tick;
    timer_start(&catalog->sd->loop, &catalogs->idle, IDLE_TICK_NS);
}

bool catalog_ask(struct catalog *catalog)
{
    return atomic_exchange(&catalog->asked, true) || loop_post(&catalog->sd->loop, &catalog->task);
}

int catalog_wait(struct catalog *catalog, int64_t deadline_ns)
{
    struct catalogs *catalogs = &catalog->sd->catalogs;
    struct timespec until = { .tv_sec = deadline_ns / S, .tv_nsec = deadline_ns % S };
    bool there;
    int error = 0;
    int rc = 0;

    pthread_mutex_lock(&catalogs->mutex);
    while (!(there = atomic_load(&catalog->handover.current) != NULL) && !catalogs->ended &&
           error == 0)
        error = pthread_cond_timedwait(&catalogs->changed, &catalogs->mutex, &until);
    if (!there)
        rc = catalogs->ended ? LIBSD_ECLOSED : LIBSD_ETIMEDOUT;
    pthread_mutex_unlock(&catalogs->mutex);
    return rc;
}

/* ---- with the handle ---------------------------------------------------- */

int catalogs_init(struct libsd *sd)
{
    struct catalogs *catalogs = &sd->catalogs;
    struct catalog_index *index = index_new(FIRST_SLOTS, NULL);
    pthread_condattr_t attributes;

    if (!index)
        return LIBSD_ENOMEM;
    atomic_init(&catalogs->index, index);
    TAILQ_INIT(&catalogs->used);
    pthread_mutex_init(&catalogs->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&catalogs->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return 0;
}

void catalogs_end(struct libsd *sd)
{
    struct catalogs *catalogs = &sd->catalogs;
    struct catalog *catalog;

    while ((catalog = TAILQ_FIRST(&catalogs->used)))
        catalog_end(catalog);
    inquiries_end(sd);
    timer_stop(&catalogs->idle);
    timer_stop(&catalogs->reap);
    pthread_mutex_lock(&catalogs->mutex);
    catalogs->ended = true;
    pthread_cond_broadcast(&catalogs->changed);
    pthread_mutex_unlock(&catalogs->mutex);
}

void catalogs_free(struct libsd *sd)
{
    struct catalogs *catalogs = &sd->catalogs;
    struct catalog_index *index = atomic_load(&catalogs->index);

    for (size_t slot = 0; slot <= index->mask; slot++) {
        struct catalog *catalog = atomic_load(&index->slots[slot]);

        if (catalog)
            catalog_free(catalog);
    }
    while (index) {
        struct catalog_index *older = index->older;

        free(index);
        index = older;
    }
    pthread_cond_destroy(&catalogs->changed);
    pthread_mutex_destroy(&catalogs->mutex);
}
