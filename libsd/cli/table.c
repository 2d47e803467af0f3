/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See table.h.  The protocol of reading is in table/layout.h.
 */
#include "table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table/boot.h"
#include "table/source.h"

static struct table_source source;

/* ---- the file ----------------------------------------------------------- */

const char *cli_table_path(void)
{
    const char *path = getenv("ETCDSD_TABLE");

    return path && *path ? path : TABLE_DEFAULT_PATH;
}

/* Why table_source_map() would not have it. */
static void explain(const char *path, char why[CLI_TABLE_LINE], char mend[CLI_TABLE_LINE])
{
    struct stat file;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        snprintf(why, CLI_TABLE_LINE, "%s: there is no table", path);
        snprintf(mend, CLI_TABLE_LINE,
                 "start etcdsd-watcher; it makes the table when it has "
                 "etcd's first list");
    } else if (fd < 0) {
        snprintf(why, CLI_TABLE_LINE, "%s: %s", path, strerror(errno));
        snprintf(mend, CLI_TABLE_LINE,
                 "everybody must be able to read it: chmod 755 its "
                 "directory, chmod 644 %s",
                 path);
    } else if (fstat(fd, &file) == 0 && !S_ISREG(file.st_mode)) {
        snprintf(why, CLI_TABLE_LINE, "%s: is not a file", path);
        snprintf(mend, CLI_TABLE_LINE, "remove it, and restart etcdsd-watcher");
    } else if (fstat(fd, &file) == 0 && (file.st_mode & (S_IWGRP | S_IWOTH))) {
        snprintf(why, CLI_TABLE_LINE, "%s: others than its owner may write it, so nobody trusts it",
                 path);
        snprintf(mend, CLI_TABLE_LINE, "chmod 644 %s", path);
    } else {
        snprintf(why, CLI_TABLE_LINE,
                 "%s: is no table of layout %d, or its owner is neither root nor the directory's",
                 path, TABLE_LAYOUT);
        snprintf(mend, CLI_TABLE_LINE, "remove it, and restart an etcdsd-watcher of this version");
    }
    if (fd >= 0)
        close(fd);
}

bool cli_table_map(struct table_view *view, char why[CLI_TABLE_LINE], char mend[CLI_TABLE_LINE])
{
    source.path = cli_table_path();
    if (table_source_map(&source, view))
        return true;
    explain(source.path, why, mend);
    return false;
}

void cli_table_unmap(struct table_view *view)
{
    table_source_unmap(view);
}

/* ---- the header --------------------------------------------------------- */

static bool is_of_this_boot(const struct table_view *view)
{
    uint64_t id[2] = { 0 };
    char text[40] = "";
    int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text);

    if (fd >= 0)
        close(fd);
    boot_id_parse(text, size > 0 ? (size_t)size : 0, id);
    return id[0] == table_load(view->words + TABLE_H_BOOT_ID) &&
           id[1] == table_load(view->words + TABLE_H_BOOT_ID_2);
}

static int64_t age_of(const struct cli_header *header, int64_t now, uint64_t then)
{
    return header->this_boot && (int64_t)then > INT32_MIN && (int64_t)then <= now
               ? now - (int64_t)then
               : -1;
}

static enum cli_health health_of(const struct table_view *view, const struct cli_header *header)
{
    if (!table_source_is_usable(&source, view) || header->state == TABLE_SUPERSEDED)
        return CLI_BROKEN;
    return header->fresh && header->state == TABLE_LIVE && !header->unready ? CLI_FOLLOWS
                                                                            : CLI_IMPAIRED;
}

void cli_table_header(const struct table_view *view, struct cli_header *header)
{
    const table_word *words = view->words;
    uint64_t state = table_load(words + TABLE_H_STATE);
    int64_t now = table_now();

    *header = (struct cli_header){
        .state = (int)(state & 0xff),
        .this_boot = is_of_this_boot(view),
        .fresh = table_is_fresh(view, now),
        .generation = view->generation,
        .max_stale = (uint32_t)table_load(words + TABLE_H_MAX_STALE),
        .unready = (uint32_t)(table_load(words + TABLE_H_MAX_STALE) >> 32),
        .revision = table_load(words + TABLE_H_REVISION),
        .cluster = table_load(words + TABLE_H_CLUSTER),
        .writer = table_load(words + TABLE_H_WRITER),
        .size = table_load(words + TABLE_H_SIZE),
        .services = table_load(words + TABLE_H_SERVICES),
        .instances = table_load(words + TABLE_H_INSTANCES),
        .changes = table_load(words + TABLE_H_CHANGES),
        .dropped = table_load(words + TABLE_H_DROPPED),
    };
    header->state_age = age_of(header, now, state >> 8);
    header->heartbeat_age = age_of(header, now, (uint32_t)table_load(words + TABLE_H_HEARTBEAT));
    header->true_age = age_of(header, now, table_load(words + TABLE_H_TRUE_AT));
    header->health = health_of(view, header);
}

const char *cli_table_state(const struct cli_header *header)
{
    switch (header->state) {
    case TABLE_STOPPED:
        return "stopped";
    case TABLE_SUPERSEDED:
        return "superseded";
    case TABLE_LIVE:
        return header->fresh ? "live" : "gone";
    case TABLE_DISCONNECTED:
        return header->fresh ? "disconnected" : "gone";
    default:
        return "unknown";
    }
}

const char *cli_table_verdict(const struct cli_header *header, char text[CLI_TABLE_LINE])
{
    char since[60] = "since before the host's last start";

    if (header->this_boot)
        snprintf(since, sizeof since, "for %lld s",
                 (long long)(header->true_age < 0 ? 0 : header->true_age));
    if (header->state == TABLE_SUPERSEDED)
        snprintf(
            text, CLI_TABLE_LINE,
            "the watcher has put a newer file there; is this one mounted, and not its directory?");
    else if (header->health == CLI_FOLLOWS)
        snprintf(text, CLI_TABLE_LINE, "answers are what etcd has now");
    else if (header->health == CLI_BROKEN)
        snprintf(text, CLI_TABLE_LINE, "no answers: %s not been etcd's %s, and max-stale is %llu s",
                 "the table has", since, (unsigned long long)header->max_stale);
    else if (!header->fresh || header->state == TABLE_STOPPED)
        snprintf(text, CLI_TABLE_LINE, "answers go on as they are: no watcher runs, %s", since);
    else if (header->state == TABLE_LIVE)
        snprintf(text, CLI_TABLE_LINE, "answers are what etcd has now, but not of all domains");
    else
        snprintf(text, CLI_TABLE_LINE,
                 "answers go on as they are: the watcher has no connection to etcd, %s", since);
    return text;
}

/* ---- records ------------------------------------------------------------ */

bool cli_record_copy(struct cli_record *copy, const struct table_record *record)
{
    uint32_t size = (uint32_t)table_load(record->at + TABLE_R_HOME);

    if (size > record->words || size < TABLE_R_NAME)
        return false;
    if (size > copy->room) {
        table_word *words = realloc(copy->words, size * sizeof *words);

        if (!words)
            return false;
        copy->words = words;
        copy->room = size;
    }
    for (uint32_t i = 0; i < size; i++)
        atomic_init(copy->words + i, table_load(record->at + i));
    if (!table_record_is_whole(record))
        return false;
    copy->record = *record;
    copy->record.at = copy->words;
    copy->record.words = size;
    return table_record_fits(&copy->record);
}

void cli_record_free(struct cli_record *copy)
{
    free(copy->words);
    *copy = (struct cli_record){ 0 };
}

bool cli_record_row(const struct cli_record *copy, uint32_t i, struct cli_row *row)
{
    const struct table_shape *shape = &copy->record.shape;
    struct table_owner owner = { .record = copy->record };
    unsigned char address[16];
    uint32_t v4;
    bool is_v4;

    if (!table_owner_set(&owner, i) || owner.label_length > TABLE_MAX_LABEL)
        return false;
    table_label_copy(&owner, row->label);
    row->label[owner.label_length] = '\0';
    row->address_number = owner.first;
    row->port = (uint16_t)(table_load(copy->words + table_instances_at(*shape) + i) >> 16);
    is_v4 = owner.first < shape->v4;
    if (is_v4) {
        v4 = table_record_v4(&copy->record, owner.first);
        memcpy(address, &v4, sizeof v4);
    } else {
        table_record_v6(&copy->record, owner.first - shape->v4, address);
    }
    inet_ntop(is_v4 ? AF_INET : AF_INET6, address, row->host, sizeof row->host);
    if (!row->port)
        snprintf(row->address, sizeof row->address, "%s", row->host);
    else
        snprintf(row->address, sizeof row->address, is_v4 ? "%s:%u" : "[%s]:%u", row->host,
                 row->port);
    return true;
}

/* The sums run over all addresses. */
uint32_t cli_record_weight(const struct cli_record *copy, uint32_t address)
{
    const struct table_record *record = &copy->record;

    if (!(record->shape.flags & TABLE_FLAG_WEIGHTED))
        return 1;
    return table_record_half(record, table_sums_at(record->shape), address) -
           (address ? table_record_half(record, table_sums_at(record->shape), address - 1) : 0);
}

uint32_t cli_record_weights(const struct cli_record *copy)
{
    const struct table_shape *shape = &copy->record.shape;
    uint32_t addresses = shape->v4 + shape->v6;

    if (!(shape->flags & TABLE_FLAG_WEIGHTED) || addresses == 0)
        return addresses;
    return table_record_half(&copy->record, table_sums_at(*shape), addresses - 1);
}

void cli_record_name(const struct cli_record *copy, char name[TABLE_MAX_NAME + 9])
{
    struct table_owner owner = { .record = copy->record };

    name[0] = '\0';
    if (copy->record.shape.name_length <= TABLE_MAX_NAME)
        table_owner_name(&owner, name);
}

/* ---- names -------------------------------------------------------------- */

void cli_service_of(const char *name, uint32_t domain_length, char service[TABLE_MAX_NAME + 1])
{
    size_t length = strlen(name);
    size_t left = length > domain_length + 1 ? length - domain_length - 1 : 0;
    size_t used = 0;

    while (left) {
        const char *dot = memrchr(name, '.', left);
        size_t at = dot ? (size_t)(dot - name) + 1 : 0;

        memcpy(service + used, name + at, left - at);
        used += left - at;
        left = dot ? at - 1 : 0;
        if (left)
            service[used++] = '/';
    }
    service[used] = '\0';
}

bool cli_owner_name(const char *service, const char *domain, char name[TABLE_MAX_NAME + 1])
{
    size_t left = strlen(service);
    size_t domain_size = strlen(domain);
    size_t used = 0;

    if (left + 1 + domain_size > TABLE_MAX_NAME)
        return false;
    while (left) {
        const char *slash = memrchr(service, '/', left);
        size_t at = slash ? (size_t)(slash - service) + 1 : 0;

        memcpy(name + used, service + at, left - at);
        used += left - at;
        name[used++] = '.';
        left = slash ? at - 1 : 0;
    }
    memcpy(name + used, domain, domain_size + 1);
    return true;
}

void cli_table_domain(const struct table_view *view, char domain[TABLE_MAX_NAME + 1])
{
    uint32_t at = 0, length = 0;
    const char *text =
        table_load(view->words + TABLE_H_ZONES) ? table_zone(view, &at, &length) : NULL;

    if (!text || length > TABLE_MAX_NAME)
        length = 0;
    if (length)
        memcpy(domain, text, length);
    domain[length] = '\0';
}
