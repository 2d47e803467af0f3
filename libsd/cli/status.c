/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * status: how the host's watcher is, from the header of its table alone, so
 * that it says the same as those who resolve would find.
 */
#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "say.h"
#include "table.h"

/* The domains of which the watcher knows something, or those of which not. */
static void print_zones(const struct table_view *view, bool ready, struct cli_json *json)
{
    uint64_t count = table_load(view->words + TABLE_H_ZONES);
    uint32_t at = 0, length;

    for (; count > 0 && count <= TABLE_MAX_ZONES; count--) {
        const char *domain = table_zone(view, &at, &length);

        if (!domain)
            break;
        if (table_is_ready(view, domain, length) != ready)
            continue;
        if (json) {
            cli_json_bytes(json, NULL, domain, length);
        } else {
            putchar(' ');
            cli_print(stdout, domain, length);
        }
    }
}

static void print_lines(const struct table_view *view, const struct cli_header *header)
{
    char verdict[CLI_TABLE_LINE];

    printf("%s: %s\n", cli_table_state(header), cli_table_verdict(header, verdict));
    printf("watcher   process %" PRIu64, header->writer);
    if (header->heartbeat_age >= 0)
        printf(", last sign of life %" PRId64 " s ago", header->heartbeat_age);
    printf("\netcd      cluster %" PRIx64 ", revision %" PRIu64, header->cluster, header->revision);
    if (header->true_age >= 0)
        printf(", last seen %" PRId64 " s ago", header->true_age);
    printf("\ntable     %s, %" PRIu64 " KiB, answers ", cli_table_path(), header->size / 1024);
    if (header->max_stale)
        printf("until etcd is out of sight for %" PRIu64 " s (max-stale)", header->max_stale);
    else
        fputs("for ever (max-stale 0)", stdout);
    printf("\nholds     %" PRIu64 " services, %" PRIu64 " instances; %" PRIu64
           " %s left out; %" PRIu64 " changes; generation %" PRIx64 "\ndomains  ",
           header->services, header->instances, header->dropped,
           header->dropped == 1 ? "key" : "keys", header->changes, header->generation);
    print_zones(view, true, NULL);
    if (header->unready) {
        fputs("\nunready  ", stdout);
        print_zones(view, false, NULL);
        fputs(" (\"try again\": the watcher's log says why)", stdout);
    }
    putchar('\n');
}

static void print_age(struct cli_json *json, const char *name, int64_t age)
{
    if (age >= 0)
        cli_json_number(json, name, age);
}

static void print_json(const struct table_view *view, const struct cli_header *header)
{
    struct cli_json json = { .to = stdout };
    char verdict[CLI_TABLE_LINE];

    cli_json_object(&json, NULL);
    cli_json_text(&json, "state", cli_table_state(header));
    cli_json_number(&json, "status", (int64_t)header->health);
    cli_json_text(&json, "verdict", cli_table_verdict(header, verdict));
    cli_json_text(&json, "table", cli_table_path());
    cli_json_number(&json, "size", (int64_t)header->size);
    cli_json_number(&json, "writer", (int64_t)header->writer);
    print_age(&json, "state_age_s", header->state_age);
    print_age(&json, "heartbeat_age_s", header->heartbeat_age);
    print_age(&json, "true_age_s", header->true_age);
    cli_json_number(&json, "max_stale_s", (int64_t)header->max_stale);
    cli_json_id(&json, "cluster", header->cluster);
    cli_json_number(&json, "revision", (int64_t)header->revision);
    cli_json_id(&json, "generation", header->generation);
    cli_json_number(&json, "services", (int64_t)header->services);
    cli_json_number(&json, "instances", (int64_t)header->instances);
    cli_json_number(&json, "dropped", (int64_t)header->dropped);
    cli_json_number(&json, "changes", (int64_t)header->changes);
    cli_json_array(&json, "domains");
    print_zones(view, true, &json);
    cli_json_array_end(&json);
    cli_json_array(&json, "unready");
    print_zones(view, false, &json);
    cli_json_array_end(&json);
    cli_json_object_end(&json);
}

/* Without a table there is still something to say to a machine. */
static int no_table(bool as_json, const char *why, const char *mend)
{
    struct cli_json json = { .to = stdout };

    if (!as_json)
        return cli_fail(CLI_TROUBLE, mend, NULL, "%s", why);
    cli_json_object(&json, NULL);
    cli_json_text(&json, "state", "missing");
    cli_json_number(&json, "status", CLI_BROKEN);
    cli_json_text(&json, "verdict", why);
    cli_json_text(&json, "table", cli_table_path());
    cli_json_object_end(&json);
    return CLI_TROUBLE;
}

int cli_status(const struct cli_arguments *arguments)
{
    bool as_json = arguments->values[CLI_JSON] != NULL;
    char why[CLI_TABLE_LINE], mend[CLI_TABLE_LINE];
    struct cli_header header;
    struct table_view view;

    if (!cli_table_map(&view, why, mend))
        return no_table(as_json, why, mend);
    cli_table_header(&view, &header);
    if (as_json)
        print_json(&view, &header);
    else
        print_lines(&view, &header);
    cli_table_unmap(&view);
    return header.health == CLI_FOLLOWS    ? CLI_GOOD
           : header.health == CLI_IMPAIRED ? CLI_NO
                                           : CLI_TROUBLE;
}
