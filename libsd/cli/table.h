/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The shared table as the commands look at it: its header in words, and its
 * records copied, so that what is printed belongs together.
 */
#ifndef ETCDSD_CLI_TABLE_H
#define ETCDSD_CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "table/reader.h"

/* How good the answers are. */
enum cli_health {
    CLI_FOLLOWS,  /* etcd, at this moment */
    CLI_IMPAIRED, /* they are what etcd had some time ago */
    CLI_BROKEN    /* there are none */
};

/* The header.  Ages are seconds; -1: nobody can tell. */
struct cli_header {
    enum cli_health health;
    int state; /* enum table_state */
    int64_t state_age, heartbeat_age, true_age;
    bool fresh;     /* the watcher lives */
    bool this_boot; /* ages mean something */
    uint64_t generation, max_stale, revision, cluster, writer, size;
    uint64_t services, instances, changes, dropped;
    uint32_t unready; /* bit n: of domain n nothing is known */
};

/* $ETCDSD_TABLE, else the usual one. */
const char *cli_table_path(void);

/* Maps the table.  False: there is none that this user can use; why and mend
 * receive a line each. */
#define CLI_TABLE_LINE 400
bool cli_table_map(struct table_view *view, char why[CLI_TABLE_LINE], char mend[CLI_TABLE_LINE]);
void cli_table_unmap(struct table_view *view);

void cli_table_header(const struct table_view *view, struct cli_header *header);

/* "live", "disconnected" ... */
const char *cli_table_state(const struct cli_header *header);

/* One sentence: what this means for those who ask.  Returns text. */
const char *cli_table_verdict(const struct cli_header *header, char text[CLI_TABLE_LINE]);

/* A record that can't change any more.  Zero-initialised; its memory is used
 * again for the next one. */
struct cli_record {
    struct table_record record;
    table_word *words;
    uint32_t room;
};

/* Copies a record.  False: it is not whole, or out of memory. */
bool cli_record_copy(struct cli_record *copy, const struct table_record *record);
void cli_record_free(struct cli_record *copy);

/* One instance of a copied record. */
struct cli_row {
    char label[TABLE_MAX_LABEL + 1]; /* empty: it has no name of its own */
    char address[80];                /* with the port, if there is one */
    char host[50];
    uint32_t address_number; /* in the record */
    uint16_t port;
};
bool cli_record_row(const struct cli_record *copy, uint32_t i, struct cli_row *row);

/* The weight of an address, and of all; 1 each without weights. */
uint32_t cli_record_weight(const struct cli_record *copy, uint32_t address);
uint32_t cli_record_weights(const struct cli_record *copy);

/* The owner name; and the service (labels reversed, without the domain). */
void cli_record_name(const struct cli_record *copy, char name[TABLE_MAX_NAME + 9]);
void cli_service_of(const char *name, uint32_t domain_length, char service[TABLE_MAX_NAME + 1]);

/* The way back: the owner name of a service ("shop/user") in a domain, in lower
 * case.  False: too long. */
bool cli_owner_name(const char *service, const char *domain, char name[TABLE_MAX_NAME + 1]);

/* The first domain of the table; "" if there is none. */
void cli_table_domain(const struct table_view *view, char domain[TABLE_MAX_NAME + 1]);

#endif
