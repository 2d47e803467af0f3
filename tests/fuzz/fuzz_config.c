/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon's configuration file: whatever it says, the values that are taken
 * are in their ranges, and what is refused is named in one line.
 */
#include <errno.h>

#include "../../nss/watcher/config.h"
#include "fuzz.h"
#include "layout.h"

static void check_settings(const struct settings *says)
{
    require(says->max_answers <= 255);
    require(says->weights <= 1);
    require(says->max_instances <= TABLE_MAX_INSTANCES);
    require(says->max_value_bytes <= 65536);
    require(says->max_stale_s <= UINT32_MAX);
    require(says->allow.count <= NETWORKS_MAX);
    for (size_t i = 0; i < says->allow.count; i++)
        require(says->allow.list[i].length <= 128);
    require(says->prefix == NULL || says->prefix[strlen(says->prefix) - 1] == '/');
    require(says->domain == NULL || strlen(says->domain) <= TABLE_MAX_NAME);
    require(says->table == NULL || *says->table != '\0');
    require(says->given == 0 || says->given >> key_count == 0);
}

static void check_sections(const struct config_section *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct settings copy = { 0 };

        require(list[i].line > 0);
        check_settings(&list[i].says);
        require(settings_inherit(&copy, &list[i].says, ~0u) == 0);
        require(settings_are_same(&copy, &list[i].says, ~0u));
        settings_free(&copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    char *text = take_text(&input, size);
    struct config_error error = { "" };
    struct config config = { 0 };
    int rc = config_read(&config, "file", text, size, &error);

    require(rc == 0 || rc == -EINVAL);
    require((rc == 0) == (*error.text == '\0'));
    require(rc == 0 || strncmp(error.text, "file:", 5) == 0);
    check_settings(&config.top);
    check_sections(config.zones, config.zone_count);
    check_sections(config.services, config.service_count);
    config_free(&config);
    free(text);
    return 0;
}
