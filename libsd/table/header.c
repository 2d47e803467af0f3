/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See header.h.
 */
#include "header.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "file.h"
#include "writer.h"

int64_t header_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* ---- zones ------------------------------------------------------------- */

int header_zones_set(struct header_zones *zones, const char *const *domains, size_t count)
{
    size_t at = 0;

    if (count == 0 || count > TABLE_MAX_ZONES)
        return -EINVAL;
    memset(zones->names, 0, sizeof zones->names);
    for (size_t i = 0; i < count; i++) {
        const char *domain = domains[i];
        size_t length = strlen(domain);
        struct table_name folded;

        if (length == 0 || length > TABLE_MAX_NAME || domain[0] == '.' ||
            domain[length - 1] == '.' || at + 1 + length > sizeof zones->names)
            return -EINVAL;
        table_name_set(&folded, domain, (uint32_t)length);
        if (memcmp(folded.words, domain, length) != 0)
            return -EINVAL;
        zones->names[at] = (char)length;
        memcpy(zones->names + at + 1, domain, length);
        at += 1 + length;
        zones->tails[i] = length >= 8 ? table_load8(domain + length - 8) : 0;
    }
    zones->count = (uint32_t)count;
    zones->bytes = at;
    return 0;
}

static bool words_are(const table_word *words, const void *bytes, size_t size)
{
    uint64_t ours;

    for (size_t i = 0; i < size; i += sizeof ours) {
        memcpy(&ours, (const char *)bytes + i, sizeof ours);
        if (word_get(words + i / sizeof ours) != ours)
            return false;
    }
    return true;
}

bool header_has_zones(const table_word *words, const struct header_zones *zones)
{
    return word_get(words + TABLE_H_ZONES) == zones->count &&
           words_are(words + TABLE_ZONES_AT / sizeof *words, zones->names, sizeof zones->names) &&
           words_are(words + TABLE_H_TAILS, zones->tails, zones->count * sizeof *zones->tails);
}

void header_set_stale(table_word *words, const struct header_zones *zones, uint32_t max_stale_s)
{
    word_put(words + TABLE_H_MAX_STALE, (uint64_t)zones->unready << 32 | max_stale_s);
}

uint32_t header_unready(const table_word *words)
{
    return (uint32_t)(word_get(words + TABLE_H_MAX_STALE) >> 32);
}

/* ---- a new file -------------------------------------------------------- */

void header_fill(table_word *words, const struct header_zones *zones, uint32_t max_stale_s)
{
    for (size_t i = 0; i < zones->bytes; i += sizeof *words) /* the rest is zero */
        word_put(words + (TABLE_ZONES_AT + i) / sizeof *words, table_load8(zones->names + i));
    for (uint32_t i = 0; i < zones->count; i++)
        word_put(words + TABLE_H_TAILS + i, zones->tails[i]);
    word_put(words + TABLE_H_ZONES, zones->count);
    header_set_stale(words, zones, max_stale_s);
    word_put(words + TABLE_H_WRITER, (uint64_t)getpid());
}

void header_inherit(table_word *words, const table_word *from)
{
    static const enum table_header_word inherited[] = {
        TABLE_H_STATE,    TABLE_H_HEARTBEAT, TABLE_H_BOOT_ID,  TABLE_H_BOOT_ID_2, TABLE_H_TRUE_AT,
        TABLE_H_REVISION, TABLE_H_CLUSTER,   TABLE_H_CHANGES,  TABLE_H_DROPPED,   TABLE_H_STARTED,
        TABLE_H_EVENTS,   TABLE_H_EVENT_AT,  TABLE_H_LISTS,    TABLE_H_OUTAGES,   TABLE_H_HELD,
        TABLE_H_UNNAMED,  TABLE_H_REFUSED,   TABLE_H_SNAPSHOT,
    };

    for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++)
        word_put(words + inherited[i], word_get(from + inherited[i]));
}

bool header_boot_changed(table_word *words)
{
    uint64_t before[2] = { word_get(words + TABLE_H_BOOT_ID), word_get(words + TABLE_H_BOOT_ID_2) };
    uint64_t id[2];
    char text[40];
    int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text) : 0;

    if (fd >= 0)
        close(fd);
    boot_id_parse(text, length > 0 ? (size_t)length : 0, id);
    word_put(words + TABLE_H_BOOT_ID, id[0]);
    word_put(words + TABLE_H_BOOT_ID_2, id[1]);
    return before[0] != id[0] || before[1] != id[1];
}

/* ---- state ------------------------------------------------------------- */

int header_state(const table_word *words)
{
    return (int)(word_get(words + TABLE_H_STATE) & 0xff);
}

void header_set_state(table_word *words, int state)
{
    if (header_state(words) != state)
        word_publish(words + TABLE_H_STATE, (uint64_t)header_now() << 8 | (uint64_t)state);
}

/* Far in the past stands for unknown: older than any max-stale, and no
 * difference to it overflows. */
#define TRUE_NEVER (INT64_MIN / 2)

void header_set_age(table_word *words, int64_t age_s)
{
    bool is_known = age_s >= 0 && age_s < INT64_MAX / 2;

    word_put(words + TABLE_H_TRUE_AT, (uint64_t)(is_known ? header_now() - age_s : TRUE_NEVER));
}

int64_t header_age(const table_word *words)
{
    int64_t true_at = (int64_t)word_get(words + TABLE_H_TRUE_AT);

    return true_at <= TRUE_NEVER ? TABLE_AGELESS : header_now() - true_at;
}

void header_beat(table_word *words)
{
    uint64_t now = (uint64_t)header_now();

    if (header_state(words) == TABLE_LIVE)
        word_put(words + TABLE_H_TRUE_AT, now);
    word_put(words + TABLE_H_HEARTBEAT, (uint64_t)time(NULL) << 32 | (uint32_t)now);
}
