/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading a table the other way round: who has this address or port, and what
 * is there at all.  The same promises as reader.h.
 */
#ifndef ETCDSD_TABLE_REVERSE_H
#define ETCDSD_TABLE_REVERSE_H

#include "reader.h"

/* Finds the service that the table names for an address (family 4 or 6, in
 * network order), and its first instance there. */
enum table_result table_find_address(const struct table_view *view, int family, const void *address,
                                     struct table_owner *owner);

/* Finds the service that the table names for a port. */
enum table_result table_find_port(const struct table_view *view, uint32_t port,
                                  struct table_record *record);

/* The port that all instances of the service share; 0: none. */
static inline uint32_t table_record_port(const struct table_record *record)
{
    return (uint32_t)(table_load(record->at + TABLE_R_ANSWER) & 0xffff);
}

/* Opens the first service from slot *slot on, and sets *slot to the one after
 * it.  Each service that stays is seen once in a pass that begins with slot 0.
 * TABLE_MISS: no more. */
enum table_result table_next(const struct table_view *view, uint64_t *slot,
                             struct table_record *record);

#endif
