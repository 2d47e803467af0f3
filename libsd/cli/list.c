/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * list and pick: what is registered, and one of it.
 */
#include <inttypes.h>
#include <string.h>

#include "command.h"
#include "say.h"

/* ---- an instance -------------------------------------------------------- */

void cli_print_name(const libsd_instance *instance)
{
    cli_print_text(stdout, instance->service);
    putchar('/');
    cli_print_text(stdout, instance->name);
}

void cli_print_address(const libsd_instance *instance)
{
    char text[300];

    libsd_instance_text(instance, text, sizeof text);
    cli_print_text(stdout, text);
}

void cli_json_instance(struct cli_json *json, const libsd_instance *instance)
{
    char text[300];

    libsd_instance_text(instance, text, sizeof text);
    cli_json_text(json, "service", instance->service);
    cli_json_text(json, "instance", instance->name);
    cli_json_text(json, "address", text);
    cli_json_text(json, "host", instance->host);
    cli_json_number(json, "port", instance->port);
    if (instance->weight)
        cli_json_number(json, "weight", instance->weight);
    if (instance->priority)
        cli_json_number(json, "priority", instance->priority);
    if (instance->value.size)
        cli_json_bytes(json, "value", instance->value.data, instance->value.size);
    if (instance->mod_revision)
        cli_json_number(json, "mod_revision", instance->mod_revision);
    if (instance->lease)
        cli_json_id(json, "lease", (uint64_t)instance->lease);
}

/* ---- list --------------------------------------------------------------- */

static void print_instance(const libsd_instance *instance)
{
    cli_print_name(instance);
    fputs("  ", stdout);
    cli_print_address(instance);
    if (instance->weight)
        printf("  weight %" PRIu32, instance->weight);
    if (instance->priority)
        printf("  priority %" PRIu32, instance->priority);
    if (!instance->lease)
        fputs("  no lease", stdout);
    putchar('\n');
}

static void print_json(const libsd_snapshot *snapshot)
{
    struct cli_json json = { .to = stdout };

    cli_json_object(&json, NULL);
    cli_json_number(&json, "revision", libsd_snapshot_revision(snapshot));
    cli_json_number(&json, "unreadable", (int64_t)libsd_snapshot_unreadable(snapshot));
    cli_json_array(&json, "instances");
    for (size_t i = 0; i < libsd_snapshot_count(snapshot); i++) {
        cli_json_object(&json, NULL);
        cli_json_instance(&json, libsd_snapshot_at(snapshot, i));
        cli_json_object_end(&json);
    }
    cli_json_array_end(&json);
    cli_json_object_end(&json);
}

static void print_snapshot(const libsd_snapshot *snapshot, bool as_json)
{
    size_t unreadable = libsd_snapshot_unreadable(snapshot);

    if (as_json) {
        print_json(snapshot);
        return;
    }
    for (size_t i = 0; i < libsd_snapshot_count(snapshot); i++)
        print_instance(libsd_snapshot_at(snapshot, i));
    if (unreadable)
        cli_say("%zu %s left out: no value that names an address (--verbose tells which)",
                unreadable, unreadable == 1 ? "key is" : "keys are");
}

int cli_list(const struct cli_arguments *arguments)
{
    const char *service = arguments->word_count ? arguments->words[0] : NULL;
    libsd_snapshot *snapshot = NULL;
    libsd *sd;
    int status = cli_open(arguments, "manual", &sd);
    int rc;

    if (status != 0)
        return status;
    rc = libsd_discover(sd, service, &snapshot, 0);
    if (rc < 0)
        status = cli_fail_libsd(rc == LIBSD_EINVAL ? CLI_USAGE : CLI_TROUBLE, sd, rc,
                                service ? service : "list");
    else
        print_snapshot(snapshot, arguments->values[CLI_JSON] != NULL);
    if (rc == 0 && service)
        status =
            cli_fail(CLI_NO, "etcdsd list tells what there is", NULL, "%s: no instance", service);
    libsd_snapshot_unref(snapshot);
    libsd_close(sd);
    return status;
}

/* ---- pick --------------------------------------------------------------- */

static void print_picked(const char *service, const libsd_picked *picked, bool as_json)
{
    struct cli_json json = { .to = stdout };
    char text[300];

    libsd_picked_text(picked, text, sizeof text);
    if (!as_json) {
        cli_print_text(stdout, text);
        putchar('\n');
        return;
    }
    cli_json_object(&json, NULL);
    cli_json_text(&json, "service", service);
    cli_json_text(&json, "instance", picked->name);
    cli_json_text(&json, "address", text);
    cli_json_number(&json, "port", picked->port);
    cli_json_text(&json, "source", picked->source == LIBSD_SOURCE_TABLE ? "table" : "etcd");
    cli_json_object_end(&json);
}

int cli_pick(const struct cli_arguments *arguments)
{
    const char *service = arguments->words[0];
    libsd_picked picked;
    libsd *sd;
    int status = cli_open(arguments, "thread", &sd);
    int rc;

    if (status != 0)
        return status;
    rc = libsd_pick(sd, service, NULL, &picked);
    if (rc == 0)
        print_picked(service, &picked, arguments->values[CLI_JSON] != NULL);
    else if (rc == LIBSD_ENOTFOUND)
        status =
            cli_fail(CLI_NO, "etcdsd list tells what there is", NULL, "%s: no instance", service);
    else
        status = cli_fail_libsd(rc == LIBSD_EINVAL ? CLI_USAGE : CLI_TROUBLE, sd, rc, service);
    libsd_close(sd);
    return status;
}
