/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * resolve and dump: what the host answers, from the table that the resolver
 * module reads, and why in this order.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "say.h"
#include "table.h"
#include "table/reverse.h"

/* How often a record that changes under our eyes is looked up again. */
#define TRIES 100

struct answer {
    char name[TABLE_MAX_NAME + 1];   /* as asked, in lower case, no dot at the end */
    uint32_t domain_length;          /* 0: no domain of the table */
    char label[TABLE_MAX_LABEL + 1]; /* of the one instance that was asked for */
    struct cli_record service;
    struct cli_header header;
};

/* ---- the name ----------------------------------------------------------- */

/* A name, or a service: that has slashes, or no dot. */
static bool read_name(const struct table_view *view, const char *text, const char *domain,
                      struct answer *answer)
{
    char first[TABLE_MAX_NAME + 1];
    size_t size = strlen(text);

    if (size && text[size - 1] == '.')
        size--;
    if (size == 0 || size > TABLE_MAX_NAME)
        return false;
    memcpy(answer->name, text, size);
    answer->name[size] = '\0';
    answer->domain_length = table_domain_of(view, answer->name, size);
    if (answer->domain_length == 0 && (strchr(text, '/') || !strchr(answer->name, '.'))) {
        cli_table_domain(view, first);
        if (!cli_owner_name(text, domain ? domain : first, answer->name))
            return false;
        answer->domain_length = table_domain_of(view, answer->name, strlen(answer->name));
    }
    for (char *c = answer->name; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
    return true;
}

/* TABLE_AGAIN: no whole record was to be had. */
static enum table_result find(const struct table_view *view, struct answer *answer)
{
    size_t length = strlen(answer->name);
    enum table_result result = TABLE_AGAIN;

    for (int i = 0; i < TRIES && result == TABLE_AGAIN; i++) {
        struct table_owner owner;

        result = table_find_owner(view, answer->name, length, &owner);
        if (result != TABLE_FOUND)
            continue;
        if (!cli_record_copy(&answer->service, &owner.record)) {
            result = TABLE_AGAIN;
        } else if (owner.label_length) {
            owner.record = answer->service.record;
            table_label_copy(&owner, answer->label);
            answer->label[owner.label_length] = '\0';
        }
    }
    return result;
}

/* ---- why ---------------------------------------------------------------- */

/* The limits of an answer: of any family (56), of IPv6 (48), of IPv4 (40). */
static uint32_t limit(const struct answer *answer, int shift)
{
    uint64_t word = table_load(answer->service.words + TABLE_R_ANSWER);
    uint32_t most = (uint32_t)(word >> shift & 0xff);

    return most ? most : TABLE_DEFAULT_ANSWERS;
}

static uint32_t asked(const struct answer *answer, const struct cli_row *row)
{
    return !answer->label[0] || strcmp(answer->label, row->label) == 0;
}

/* Instances may share an address, so the share is the address's. */
static double share(const struct answer *answer, const struct cli_row *row)
{
    uint32_t all = answer->label[0] ? 0 : cli_record_weights(&answer->service);

    return all ? 100.0 * cli_record_weight(&answer->service, row->address_number) / all : 100;
}

static uint32_t addresses_of(const struct answer *answer)
{
    const struct table_shape *shape = &answer->service.record.shape;

    return answer->label[0] ? 1 : shape->v4 + shape->v6;
}

/* Whether both families have several instances. */
static bool has_several_of_each(const struct answer *answer)
{
    const struct table_shape *shape = &answer->service.record.shape;
    uint32_t of_v4 = 0, of_v6 = 0;
    struct cli_row row;

    for (uint32_t i = 0; i < shape->instances; i++) {
        if (!cli_record_row(&answer->service, i, &row))
            continue;
        of_v4 += row.address_number < shape->v4;
        of_v6 += row.address_number >= shape->v4;
    }
    return of_v4 > 1 && of_v6 > 1;
}

/* Why one only.  max-answers sets all three limits; left to itself the watcher
 * limits a family that has several instances, and no other. */
static const char *why_one(const struct answer *answer)
{
    const struct table_shape *shape = &answer->service.record.shape;

    if (limit(answer, 40) == 1 && limit(answer, 48) == 1)
        return has_several_of_each(answer)
                   ? ": several would be sorted by glibc, always into the same\n"
                     "         order (RFC 6724); or it is so configured (max-answers)"
                   : " (max-answers)";
    if (shape->v4 && shape->v6)
        return ": of several glibc would always put the same family first\n"
               "         (RFC 6724, rule 6)";
    return ": several would be sorted by glibc, always into the same\n"
           "         order: what is next to the host's own address first (RFC 6724, rule 9)";
}

static void print_limit(const struct answer *answer)
{
    uint32_t most = limit(answer, 56);

    if (addresses_of(answer) <= most)
        return;
    if (most == 1)
        printf("answers  one address each%s\n", why_one(answer));
    else if (most == TABLE_DEFAULT_ANSWERS ||
             (most == limit(answer, 40) && most == limit(answer, 48)))
        printf("answers  up to %" PRIu32 " addresses each (max-answers)\n", most);
    else
        printf("answers  up to %" PRIu32 " addresses each: of fewer this host might reach none\n",
               most);
}

static void print_why(const struct answer *answer)
{
    const struct table_shape *shape = &answer->service.record.shape;
    char verdict[CLI_TABLE_LINE];

    if (addresses_of(answer) == 1)
        puts("order    there is one address only");
    else
        printf("order    in turn%s: each call begins with another address\n",
               shape->flags & TABLE_FLAG_WEIGHTED ? ", by weight" : "");
    print_limit(answer);
    printf("table    %s, %s: %s; revision %" PRIu64 ", generation %" PRIx64 "\n", cli_table_path(),
           cli_table_state(&answer->header), cli_table_verdict(&answer->header, verdict),
           answer->header.revision, answer->header.generation);
}

static void print_lines(const struct answer *answer)
{
    const struct table_shape *shape = &answer->service.record.shape;
    struct cli_row row;

    for (uint32_t i = 0; i < shape->instances; i++) {
        if (!cli_record_row(&answer->service, i, &row) || !asked(answer, &row))
            continue;
        cli_print_text(stdout, row.address);
        fputs("  ", stdout);
        cli_print_text(stdout, *row.label ? row.label : "(no name of its own)");
        if (shape->flags & TABLE_FLAG_WEIGHTED)
            printf("  weight %" PRIu32, cli_record_weight(&answer->service, row.address_number));
        printf("  first in %.3g %% of answers\n", share(answer, &row));
    }
    print_why(answer);
}

static void print_json(const struct answer *answer)
{
    const struct table_shape *shape = &answer->service.record.shape;
    struct cli_json json = { .to = stdout };
    char service[TABLE_MAX_NAME + 1], name[TABLE_MAX_NAME + 9];
    struct cli_row row;

    cli_record_name(&answer->service, name);
    cli_service_of(name, answer->domain_length, service);
    cli_json_object(&json, NULL);
    cli_json_text(&json, "name", answer->name);
    cli_json_text(&json, "service", service);
    cli_json_array(&json, "instances");
    for (uint32_t i = 0; i < shape->instances; i++) {
        if (!cli_record_row(&answer->service, i, &row) || !asked(answer, &row))
            continue;
        cli_json_object(&json, NULL);
        cli_json_text(&json, "instance", row.label);
        cli_json_text(&json, "address", row.address);
        cli_json_text(&json, "host", row.host);
        cli_json_number(&json, "port", row.port);
        if (shape->flags & TABLE_FLAG_WEIGHTED)
            cli_json_number(&json, "weight",
                            cli_record_weight(&answer->service, row.address_number));
        cli_json_number(&json, "first_permille", (int64_t)(share(answer, &row) * 10 + 0.5));
        cli_json_object_end(&json);
    }
    cli_json_array_end(&json);
    cli_json_text(&json, "order",
                  addresses_of(answer) == 1            ? "one"
                  : shape->flags & TABLE_FLAG_WEIGHTED ? "by-weight"
                                                       : "in-turn");
    cli_json_number(&json, "max_answers", limit(answer, 56));
    cli_json_text(&json, "state", cli_table_state(&answer->header));
    if (answer->header.true_age >= 0)
        cli_json_number(&json, "true_age_s", answer->header.true_age);
    cli_json_number(&json, "revision", (int64_t)answer->header.revision);
    cli_json_id(&json, "generation", answer->header.generation);
    cli_json_text(&json, "table", cli_table_path());
    cli_json_object_end(&json);
}

/* ---- resolve ------------------------------------------------------------ */

static int answer_absent(const struct answer *answer)
{
    if (answer->domain_length == 0)
        return cli_fail(CLI_NO, "etcdsd status tells its domains", NULL,
                        "%s: in no domain of this host's table, so others answer", answer->name);
    if (answer->header.dropped)
        return cli_fail(CLI_NO, "its value may be unreadable: the watcher's log names such keys",
                        NULL, "%s: no such name; %" PRIu64 " %s left out", answer->name,
                        answer->header.dropped,
                        answer->header.dropped == 1 ? "key is" : "keys are");
    return cli_fail(CLI_NO, "etcdsd dump tells what there is", NULL, "%s: no such name%s",
                    answer->name,
                    answer->header.health == CLI_FOLLOWS ? "" : ", in a table that is not current");
}

static int resolve(const struct table_view *view, const struct cli_arguments *arguments,
                   struct answer *answer)
{
    char verdict[CLI_TABLE_LINE];
    enum table_result result = TABLE_MISS;

    cli_table_header(view, &answer->header);
    if (answer->header.health == CLI_BROKEN)
        return cli_fail(CLI_TROUBLE, "etcdsd status tells more", NULL, "%s: %s", cli_table_path(),
                        cli_table_verdict(&answer->header, verdict));
    if (!read_name(view, arguments->words[0], arguments->values[CLI_DOMAIN], answer))
        return cli_fail(CLI_USAGE, NULL, NULL, "%s: is no name", arguments->words[0]);
    if (!table_is_ready(view, answer->name, strlen(answer->name)))
        return cli_fail(CLI_TROUBLE, "the watcher's log says why", NULL,
                        "%s: nothing is known of its domain yet", answer->name);
    if (answer->domain_length && answer->domain_length < strlen(answer->name))
        result = find(view, answer);
    if (result == TABLE_MISS || result == TABLE_FOREIGN)
        return answer_absent(answer);
    if (result == TABLE_AGAIN)
        return cli_fail(CLI_TROUBLE, "ask again", NULL,
                        "%s: the table changes too fast, or is damaged", answer->name);
    if (arguments->values[CLI_JSON])
        print_json(answer);
    else
        print_lines(answer);
    return CLI_GOOD;
}

int cli_resolve(const struct cli_arguments *arguments)
{
    char why[CLI_TABLE_LINE], mend[CLI_TABLE_LINE];
    struct answer answer = { 0 };
    struct table_view view;
    int status;

    if (!cli_table_map(&view, why, mend))
        return cli_fail(CLI_TROUBLE, mend, NULL, "%s", why);
    status = resolve(&view, arguments, &answer);
    cli_record_free(&answer.service);
    cli_table_unmap(&view);
    return status;
}

/* ---- dump --------------------------------------------------------------- */

static void dump_row(const char *service, const char *name, const struct cli_row *row,
                     struct cli_json *json)
{
    char owner[TABLE_MAX_LABEL + TABLE_MAX_NAME + 10];

    snprintf(owner, sizeof owner, "%s%s%s", row->label, *row->label ? "." : "", name);
    if (!json) {
        cli_print_text(stdout, service);
        putchar('\t');
        cli_print_text(stdout, row->label);
        printf("\t%s\t", row->address);
        cli_print_text(stdout, owner);
        putchar('\n');
        return;
    }
    cli_json_object(json, NULL);
    cli_json_text(json, "service", service);
    cli_json_text(json, "instance", row->label);
    cli_json_text(json, "address", row->address);
    cli_json_text(json, "name", owner);
    cli_json_object_end(json);
}

static void dump_service(const struct table_view *view, const struct cli_record *copy,
                         struct cli_json *json)
{
    char service[TABLE_MAX_NAME + 1], name[TABLE_MAX_NAME + 9];
    struct cli_row row;

    cli_record_name(copy, name);
    cli_service_of(name, table_domain_of(view, name, strlen(name)), service);
    for (uint32_t i = 0; i < copy->record.shape.instances; i++) {
        if (cli_record_row(copy, i, &row))
            dump_row(service, name, &row, json);
    }
}

/* A table that grew is replaced by a larger one; what was mapped stays as it was
 * long enough for this. */
static int dump(const struct table_view *view, struct cli_json *json)
{
    struct cli_record copy = { 0 };
    enum table_result result = TABLE_FOUND;
    uint64_t next = 0;

    while (result == TABLE_FOUND) {
        uint64_t slot = next;
        struct table_record record;
        bool whole = false;

        for (int i = 0; i < TRIES && result == TABLE_FOUND && !whole; i++) {
            next = slot;
            result = table_next(view, &next, &record);
            whole = result == TABLE_FOUND && cli_record_copy(&copy, &record);
        }
        if (whole)
            dump_service(view, &copy, json);
        else if (result == TABLE_FOUND)
            result = TABLE_AGAIN;
    }
    cli_record_free(&copy);
    return result == TABLE_MISS
               ? CLI_GOOD
               : cli_fail(CLI_TROUBLE, "ask again", NULL,
                          "%s: the table changes too fast, or is damaged", cli_table_path());
}

int cli_dump(const struct cli_arguments *arguments)
{
    struct cli_json json = { .to = stdout };
    bool as_json = arguments->values[CLI_JSON] != NULL;
    char why[CLI_TABLE_LINE], mend[CLI_TABLE_LINE];
    struct table_view view;
    int status;

    if (!cli_table_map(&view, why, mend))
        return cli_fail(CLI_TROUBLE, mend, NULL, "%s", why);
    if (as_json)
        cli_json_array(&json, NULL);
    status = dump(&view, as_json ? &json : NULL);
    if (as_json)
        cli_json_array_end(&json);
    cli_table_unmap(&view);
    return status;
}
