/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A file of any content where a writer expects the table of an earlier one:
 * it is adopted or replaced, and what is written then can be read, by readers
 * and by the next writer.
 */
#include "reverse.h"
#include "scratch.h"
#include "source.h"
#include "writer.h"

static const char *const names[] = { "user.service.etcd", "six.service.etcd", "a.b.service.etcd",
                                     "many.service.etcd", "new.service.etcd" };

static struct table_writer *open_writer(int *adopted)
{
    static const char *const domains[] = { TABLE_DEFAULT_DOMAIN };
    struct table_writer_options options = { .path = scratch_path(),
                                            .domains = domains,
                                            .domain_count = 1 };
    struct table_writer *writer;
    char why[200] = "";

    *adopted = table_writer_open(&writer, &options, why, sizeof why);
    if (*adopted < 0)
        fprintf(stderr, "%s\n", why);
    require(*adopted >= 0);
    return writer;
}

/* A service whose addresses all follow from `seed`. */
static void put(struct table_writer *writer, const char *name, unsigned seed)
{
    struct table_instance instances[12] = { 0 };
    struct table_service service = {
        .name = name, .name_length = strlen(name), .instances = instances, .count = 1 + seed % 12
    };

    for (uint32_t i = 0; i < service.count; i++)
        instances[i] = (struct table_instance){ .label = &"abcdefghijkl"[i],
                                                .label_length = 1,
                                                .family = (seed + i) % 5 ? 4 : 6,
                                                .port = (uint16_t)(80 + seed / 64),
                                                .weight = seed / 128 ? i : 0,
                                                .address = { 10, (uint8_t)(seed / 32), 0,
                                                             (uint8_t)(i * seed / 16) } };
    require(table_writer_put(writer, &service) >= 0);
}

static int keep_few(const char *name, size_t length, void *arg)
{
    (void)arg;
    return length > 0 && name[0] == 'm';
}

static void change(struct table_writer *writer, unsigned what)
{
    const char *name = names[what % (sizeof names / sizeof *names)];

    if (what % 16 == 15)
        table_writer_sweep(writer, keep_few, NULL);
    else if (what % 4 == 3)
        table_writer_remove(writer, name, strlen(name));
    else
        put(writer, name, what / 4);
}

/* What was put last must be found, and each address and port of it. */
static void look(void)
{
    static struct table_source source;
    uint32_t length = (uint32_t)strlen(names[4]);
    struct table_owner owner, other;
    struct table_record record;
    struct table_view view;

    source.path = scratch_path();
    require(table_source_map(&source, &view));
    require(table_find_owner(&view, names[4], length, &owner) == TABLE_FOUND);
    for (uint32_t i = 0; i < owner.record.shape.v4; i++) {
        uint32_t v4 = table_record_v4(&owner.record, i);

        require(table_find_address(&view, 4, &v4, &other) == TABLE_FOUND);
    }
    require(table_find_port(&view, table_record_port(&owner.record), &record) == TABLE_FOUND);
    table_source_unmap(&view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    unsigned changes = (unsigned)take(&input, 1) % 32, changed[32];
    struct table_writer *writer;
    struct image image;
    int adopted;

    for (unsigned i = 0; i < changes; i++)
        changed[i] = (unsigned)take(&input, 2);
    image_make(&image, &input);
    scratch_write(&image);
    free(image.words);

    writer = open_writer(&adopted);
    for (unsigned i = 0; i < changes; i++)
        change(writer, changed[i]);
    put(writer, names[4], changes);
    require(table_writer_publish(writer) == 0);
    table_writer_heartbeat(writer);
    look();
    table_writer_close(writer);

    writer = open_writer(&adopted);
    require(adopted == 1);
    look();
    table_writer_close(writer);
    return 0;
}
