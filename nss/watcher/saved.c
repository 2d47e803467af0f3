/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading snapshots: a cursor that can't run over, whatever the bytes are.
 * See saved.h for the layout.
 */
#include "saved.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"

#define CHECKSUM_KEY UINT64_C(0xa0761d6478bd642f)

/* A checksum against accidents, not against people: who may write the file may
 * write the table, too. */
uint64_t saved_checksum(uint64_t sum, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    for (; size >= 8; at += 8, size -= 8)
        sum = table_mix(table_load8(at) ^ sum, CHECKSUM_KEY) + 1;
    if (size > 0) {
        uint64_t last = 0;

        memcpy(&last, at, size);
        sum = table_mix(last ^ sum, CHECKSUM_KEY) + 1;
    }
    return sum;
}

/* ---- the cursor -------------------------------------------------------- */

static bool take(struct saved *snapshot, void *place, size_t size)
{
    if ((size_t)(snapshot->end - snapshot->at) < size)
        return false;
    memcpy(place, snapshot->at, size);
    snapshot->at += size;
    return true;
}

static bool skip(struct saved *snapshot, const char **place, size_t size)
{
    if ((size_t)(snapshot->end - snapshot->at) < size)
        return false;
    *place = (const char *)snapshot->at;
    snapshot->at += size;
    return true;
}

static bool zone_take(struct saved *snapshot)
{
    if (snapshot->zones == 0 ||
        !take(snapshot, &snapshot->prefix_length, sizeof snapshot->prefix_length) ||
        !take(snapshot, &snapshot->instances, sizeof snapshot->instances) ||
        !skip(snapshot, &snapshot->prefix, snapshot->prefix_length))
        return false;
    snapshot->zones--;
    return true;
}

static bool instance_take(struct saved *snapshot, struct saved_instance *instance)
{
    struct model_value *value = &instance->value;

    memset(value, 0, sizeof *value);
    instance->prefix = snapshot->prefix;
    instance->prefix_length = snapshot->prefix_length;
    if (!take(snapshot, &instance->key_length, sizeof instance->key_length) ||
        !take(snapshot, &value->port, sizeof value->port) ||
        !take(snapshot, &value->weight, sizeof value->weight) ||
        !take(snapshot, &value->family, sizeof value->family))
        return false;
    return (value->family == 4 || value->family == 6) &&
           take(snapshot, value->address, value->family == 4 ? 4 : 16) &&
           skip(snapshot, &instance->key, instance->key_length);
}

bool saved_next(struct saved *snapshot, struct saved_instance *instance)
{
    while (snapshot->instances == 0)
        if (!zone_take(snapshot))
            return false;
    snapshot->instances--;
    return instance_take(snapshot, instance);
}

/* ---- opening ----------------------------------------------------------- */

/* Whether all the bytes, and no more, are instances. */
static bool is_whole(struct saved snapshot)
{
    struct saved_instance instance;
    uint64_t count = 0;

    while (saved_next(&snapshot, &instance))
        count++;
    return count == snapshot.head.instances && snapshot.zones == 0 && snapshot.instances == 0 &&
           snapshot.at == snapshot.end;
}

const char *saved_open(struct saved *snapshot, const void *bytes, size_t size)
{
    uint64_t words[SAVED_WORDS];

    *snapshot = (struct saved){ 0 };
    if (size < SAVED_BYTES)
        return "it is too short";
    memcpy(words, bytes, sizeof words);
    if (words[SAVED_W_MAGIC] != SAVED_MAGIC)
        return "it is no snapshot of this kind of host";
    if ((uint32_t)words[SAVED_W_VERSION] != SAVED_VERSION)
        return "it is of another version";
    if (words[SAVED_W_SIZE] != size ||
        words[SAVED_W_CHECKSUM] !=
            saved_checksum(0, (const uint8_t *)bytes + SAVED_CHECKED_AT, size - SAVED_CHECKED_AT))
        return "it is damaged";
    snapshot->head = (struct saved_head){
        .boot_id = { words[SAVED_W_BOOT_ID], words[SAVED_W_BOOT_ID_2] },
        .true_monotonic_s = (int64_t)words[SAVED_W_MONOTONIC],
        .true_time_s = (int64_t)words[SAVED_W_TIME],
        .revision = (int64_t)words[SAVED_W_REVISION],
        .cluster = words[SAVED_W_CLUSTER],
        .instances = words[SAVED_W_INSTANCES],
    };
    snapshot->zones = (uint32_t)(words[SAVED_W_VERSION] >> 32);
    snapshot->at = (const uint8_t *)bytes + SAVED_BYTES;
    snapshot->end = (const uint8_t *)bytes + size;
    return is_whole(*snapshot) ? NULL : "it is damaged";
}

/* ---- age --------------------------------------------------------------- */

void saved_now(struct saved_head *now)
{
    char text[40];
    struct timespec monotonic;
    int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text) : 0;

    if (fd >= 0)
        close(fd);
    *now = (struct saved_head){ 0 };
    boot_id_parse(text, length > 0 ? (size_t)length : 0, now->boot_id);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    now->true_monotonic_s = monotonic.tv_sec;
    now->true_time_s = time(NULL);
}

/* Numbers from a file may be anything: no difference overflows. */
static int64_t elapsed(int64_t from, int64_t to)
{
    return from < 0 || from > to ? SAVED_AGELESS : to - from;
}

int64_t saved_age(const struct saved_head *head, const struct saved_head *now)
{
    bool is_same_boot = memcmp(head->boot_id, now->boot_id, sizeof now->boot_id) == 0 &&
                        (now->boot_id[0] | now->boot_id[1]) != 0;

    if (is_same_boot) /* whoever sets the clock changes nothing */
        return elapsed(head->true_monotonic_s, now->true_monotonic_s);
    return elapsed(head->true_time_s, now->true_time_s);
}
