/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Snapshots handed from one thread to many: whoever has one has a whole one, for
 * as long as he likes, and none is left over.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pick.h"

enum {
    READERS = 3,
    ROUNDS = 20000
};

static struct handover handover;
static atomic_bool stop;
static atomic_uint wrong;
static atomic_uint reads;

static struct peer *make(int number, int generation)
{
    char name[20];
    libsd_instance instance = { .family = 4,
                                .port = (uint16_t)(generation % 60000 + 1),
                                .weight = (uint32_t)(number + 1),
                                .service = "user",
                                .name = name };
    snprintf(name, sizeof name, "%03d", number);
    return peer_copy(&instance);
}

/* All peers of one snapshot are of one generation. */
static struct libsd_snapshot *generation(int number)
{
    int count = 1 + number % 7;
    struct libsd_snapshot *snapshot = snapshot_new((size_t)count);

    for (int i = 0; i < count; i++) {
        struct peer *peer = make(i, number);

        snapshot_add(snapshot, peer);
        peer_unref(peer);
    }
    snapshot->revision = number;
    return snapshot;
}

static void check(const libsd_snapshot *snapshot)
{
    size_t count = libsd_snapshot_count(snapshot);
    int64_t number = libsd_snapshot_revision(snapshot);

    if (count != 1 + (size_t)number % 7)
        atomic_fetch_add(&wrong, 1);
    for (size_t i = 0; i < count; i++) {
        if (libsd_snapshot_at(snapshot, i)->port != number % 60000 + 1)
            atomic_fetch_add(&wrong, 1);
    }
}

static void *read_all(void *arg)
{
    int64_t last = 0;

    (void)arg;
    while (!atomic_load(&stop)) {
        struct lane *lane = handover_lane(&handover);
        struct libsd_snapshot *inside;
        libsd_snapshot *held = handover_get(&handover);
        const struct pick pick = { .lane = lane };
        unsigned phase;

        check(held);
        phase = handover_enter(&handover, lane, &inside);
        if (inside->revision < libsd_snapshot_revision(held) ||
            pick_peer(&pick, inside)->instance.port != inside->revision % 60000 + 1)
            atomic_fetch_add(&wrong, 1);
        handover_leave(lane, phase);
        check(held);
        if (libsd_snapshot_revision(held) < last)
            atomic_fetch_add(&wrong, 1);
        last = libsd_snapshot_revision(held);
        libsd_snapshot_unref(held);
        atomic_fetch_add(&reads, 1);
    }
    return NULL;
}

Test(snapshot, handed_over_whole_and_freed, .timeout = 100)
{
    pthread_t threads[READERS];

    handover_set(&handover, generation(1));
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, read_all, NULL);
    for (int i = 2; i < ROUNDS || atomic_load(&reads) < 1000; i++)
        handover_set(&handover, generation(i));
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(atomic_load(&wrong), 0);
    /* Nobody reads: nothing may be kept back. */
    cr_assert(handover_reap(&handover));
    cr_assert_null(handover.waiting);
    cr_assert_null(handover.fresh);
    handover_free(&handover);
}

Test(snapshot, reader_in_the_middle_keeps_what_it_sees)
{
    struct lane *lane = handover_lane(&handover);
    struct libsd_snapshot *seen;
    unsigned phase;

    handover_set(&handover, generation(1));
    phase = handover_enter(&handover, lane, &seen);
    for (int i = 2; i < 10; i++)
        handover_set(&handover, generation(i));
    cr_assert_not(handover_reap(&handover));
    check(seen); /* the address sanitizer would tell */
    cr_assert_eq(seen->revision, 1);
    handover_leave(lane, phase);
    cr_assert(handover_reap(&handover));
    handover_free(&handover);
}

Test(snapshot, one_that_is_held_outlives_all)
{
    libsd_snapshot *held;

    handover_set(&handover, generation(6));
    held = handover_get(&handover);
    handover_set(&handover, NULL);
    cr_assert_null(handover_get(&handover));
    handover_free(&handover);
    check(held);
    cr_assert_eq(libsd_snapshot_ref(held), held);
    libsd_snapshot_unref(held);
    check(held);
    libsd_snapshot_unref(held);
}

Test(snapshot, members_are_found_by_name)
{
    struct libsd_snapshot *snapshot = snapshot_new(300);

    for (int i = 299; i >= 0; i--) {
        struct peer *peer = make(i, 1);

        snapshot_add(snapshot, peer);
        peer_unref(peer);
    }
    snapshot_sort(snapshot);
    for (int i = 0; i < 300; i++) {
        char name[20];

        snprintf(name, sizeof name, "%03d", i);
        cr_assert_str_eq(libsd_snapshot_at(snapshot, (size_t)i)->name, name);
        cr_assert_eq(libsd_snapshot_find(snapshot, "user", name),
                     libsd_snapshot_at(snapshot, (size_t)i));
    }
    cr_assert_null(libsd_snapshot_find(snapshot, "user", "300"));
    cr_assert_null(libsd_snapshot_find(snapshot, "user", "00"));
    cr_assert_null(libsd_snapshot_find(snapshot, "use", "001"));
    cr_assert_null(libsd_snapshot_find(snapshot, NULL, "001"));
    libsd_snapshot_unref(snapshot);
}

static bool stands(const char *key, const char *service, const char *name)
{
    struct place place;

    return place_read(libsd_str(key), &place) && place.service.size == strlen(service) &&
           memcmp(place.service.data, service, place.service.size) == 0 &&
           place.name.size == strlen(name) && memcmp(place.name.data, name, place.name.size) == 0;
}

Test(snapshot, keys_are_split_at_the_last_slash)
{
    static const char *const bad[] = { "",   "/",       "user",    "user/", "/user",
                                       "//", "user//i", "/user/i", "a//b/c" };
    struct place place;

    cr_assert(stands("user/i1", "user", "i1"));
    cr_assert(stands("shop/user/i 1", "shop/user", "i 1"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(place_read(libsd_str(bad[i]), &place), "%s", bad[i]);
    cr_assert_not(place_read(libsd_bytes("us\0er/i", 7), &place));
}
