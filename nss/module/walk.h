/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Enumerations: getent hosts, getent services.
 *
 * A walk maps the table file for itself, so that a newer file does not change
 * the order under it; the mapping goes with walk_end().  glibc holds a lock of
 * its own around a database's set, get and end (nss/getXXent_r.c), so a walk's
 * state needs none.
 */
#ifndef ETCDSD_NSS_WALK_H
#define ETCDSD_NSS_WALK_H

#include "answer.h"
#include "reverse.h"

struct walk {
    struct table_view view; /* words NULL: not begun */
    uint64_t slot;          /* of the service being walked */
    uint32_t member;        /* of its instances, the next one */
};

void walk_end(struct walk *walk);

/* Opens the service where the walk stands, the next one if `next`.
 * ANSWER_NO_NAME: no more.  ANSWER_AGAIN: the file is no good any more. */
enum answer walk_service(struct walk *walk, int next, struct table_record *record);

#endif
