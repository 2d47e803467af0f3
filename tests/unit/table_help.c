/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See table_help.h.
 */
#include "table_help.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void table_reopen(struct table_fixture *fixture, const char *const *domains, uint32_t max_stale_s)
{
    static const char *const usual[] = { TABLE_DEFAULT_DOMAIN, NULL };
    struct table_writer_options options = { .path = fixture->path,
                                            .domains = domains ? domains : usual,
                                            .max_stale_s = max_stale_s };
    char why[200] = "";
    int rc;

    while (options.domains[options.domain_count] != NULL)
        options.domain_count++;
    rc = table_writer_open(&fixture->writer, &options, why, sizeof why);
    cr_assert_geq(rc, 0, "%s", why);
}

void table_begin(struct table_fixture *fixture)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    snprintf(fixture->directory, sizeof fixture->directory, "%s/etcdsd-table.XXXXXX", base);
    cr_assert_not_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof fixture->path, "%s/table.v1", fixture->directory);
    table_reopen(fixture, NULL, 0);
}

void table_end(struct table_fixture *fixture)
{
    char lock[96];

    table_writer_close(fixture->writer);
    snprintf(lock, sizeof lock, "%s.lock", fixture->path);
    unlink(fixture->path);
    unlink(lock);
    cr_expect_eq(rmdir(fixture->directory), 0, "something was left in %s", fixture->directory);
}

static void read_instance(char *text, struct table_instance *instance)
{
    char *address = strchr(text, '='), *weight, *port;

    memset(instance, 0, sizeof *instance);
    *address++ = '\0';
    instance->label = text;
    instance->label_length = (uint8_t)strlen(text);
    weight = strchr(address, '*');
    if (weight != NULL) {
        *weight = '\0';
        instance->weight = (uint32_t)atoi(weight + 1);
    }
    if (*address == '[') {
        char *end = strchr(address, ']');

        *end = '\0';
        instance->family = 6;
        cr_assert_eq(inet_pton(AF_INET6, address + 1, instance->address), 1, "%s", address);
        port = strchr(end + 1, ':');
    } else {
        instance->family = 4;
        port = strchr(address, ':');
        if (port != NULL)
            *port = '\0';
        cr_assert_eq(inet_pton(AF_INET, address, instance->address), 1, "%s", address);
    }
    if (port != NULL)
        instance->port = (uint16_t)atoi(port + 1);
}

int table_put(struct table_fixture *fixture, const char *name, const char *instances)
{
    char *text = strdup(instances), *rest = text, *word;
    struct table_instance *list = calloc(strlen(text) / 2 + 1, sizeof *list);
    struct table_service service = { .name = name, .name_length = strlen(name), .instances = list };
    int rc;

    while ((word = strsep(&rest, " ")) != NULL)
        if (*word != '\0')
            read_instance(word, &list[service.count++]);
    rc = table_writer_put(fixture->writer, &service);
    free(list);
    free(text);
    return rc;
}

const char *table_ask(const struct table_view *view, const char *name)
{
    static char result[4096];
    struct table_owner owner;
    const struct table_record *record = &owner.record;
    enum table_result rc;
    size_t length = 0;

    rc = table_may_hold(view, name, strlen(name))
             ? table_find_owner(view, name, strlen(name), &owner)
             : TABLE_FOREIGN;
    if (rc != TABLE_FOUND)
        return rc == TABLE_MISS ? "miss" : rc == TABLE_FOREIGN ? "foreign" : "again";
    result[0] = '\0';
    for (uint32_t i = owner.first; i < owner.first + owner.count; i++) {
        char text[INET6_ADDRSTRLEN];
        unsigned char address[16];

        if (i < record->shape.v4) {
            uint32_t v4 = table_record_v4(record, i);
            inet_ntop(AF_INET, &v4, text, sizeof text);
        } else {
            table_record_v6(record, i - record->shape.v4, address);
            inet_ntop(AF_INET6, address, text, sizeof text);
        }
        length += (size_t)snprintf(result + length, sizeof result - length, "%s%s",
                                   length ? " " : "", text);
        if (length >= sizeof result)
            break;
    }
    return table_record_is_whole(record) ? result : "again";
}

const char *table_ask_path(const struct table_fixture *fixture, const char *name)
{
    static struct table_source sources[16];
    static int used;
    struct table_source *source = &sources[used++];
    struct table_view view;

    cr_assert_lt(used, 16);
    source->path = fixture->path;
    return table_source_view(source, &view) ? table_ask(&view, name) : "no table";
}
