/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A table image of any content: every function that reads one.
 */
#include "image.h"
#include "reverse.h"

enum {
    INSTANCES_LOOKED_AT = 8
};

static void addresses_read(const struct table_view *view, const struct table_record *record)
{
    uint32_t count = record->shape.v4 + record->shape.v6;
    struct table_owner found;

    for (uint32_t i = 0; i < count; i++) {
        unsigned char address[16];
        uint32_t v4 = i < record->shape.v4 ? table_record_v4(record, i) : 0;

        if (i >= record->shape.v4)
            table_record_v6(record, i - record->shape.v4, address);
        if (i < INSTANCES_LOOKED_AT && i < record->shape.v4)
            table_find_address(view, 4, &v4, &found);
        else if (i >= count - INSTANCES_LOOKED_AT && i >= record->shape.v4)
            table_find_address(view, 6, address, &found);
    }
    for (uint64_t i = 0; i < 4 && count > 0; i++) {
        uint32_t first = (uint32_t)i % count, picked;

        picked = table_record_pick(record, first, count - first, i * UINT64_C(0x5555555555555555));
        require(picked >= first && picked < count);
    }
}

static void owner_read(const struct table_view *view, const struct table_owner *owner)
{
    uint32_t length = table_owner_name_length(owner);
    char *name = malloc(table_owner_name_size(owner));
    struct table_owner found;

    require(name != NULL);
    table_owner_name(owner, name);
    require(name[length] == '\0');
    require(owner->first + owner->count <= owner->record.shape.v4 + owner->record.shape.v6);
    if (length > 0 && length <= TABLE_MAX_NAME)
        table_find_owner(view, name, length, &found);
    free(name);
}

static void record_read(const struct table_view *view, const struct table_record *record)
{
    struct table_owner owner = { .record = *record };
    struct table_record found;

    owner_read(view, &owner);
    addresses_read(view, record);
    table_find_port(view, table_record_port(record), &found);
    for (uint32_t i = 0; i < record->shape.instances && i < INSTANCES_LOOKED_AT; i++)
        if (table_owner_set(&owner, i))
            owner_read(view, &owner);
    require(table_record_is_whole(record)); /* nobody writes */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    struct table_record record;
    struct table_owner owner;
    struct table_view view;
    struct image image;
    uint64_t slot = 0;
    uint32_t v4 = 10;
    char *name;

    image_make(&image, &input);
    if (table_view_init(&view, image.words, image.bytes)) {
        for (int i = 0; i < 64 && table_next(&view, &slot, &record) == TABLE_FOUND; i++)
            record_read(&view, &record);
        name = take_text(&input, 1 + take(&input, 1) % TABLE_MAX_NAME);
        if (name[0] != '\0')
            table_find_owner(&view, name, strlen(name), &owner);
        table_find_address(&view, 4, &v4, &owner);
        table_find_port(&view, 80, &record);
        table_view_holds(&view);
        free(name);
    }
    free(image.words);
    return 0;
}
