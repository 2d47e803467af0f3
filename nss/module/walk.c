/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See walk.h.
 */
#include "walk.h"

#include <string.h>

/* The writer gives the bytes of a superseded file back after 10 seconds; what
 * is walked then would look empty. */
#define SUPERSEDED_GOOD_FOR_S 5

void walk_end(struct walk *walk)
{
    if (walk->view.words != NULL)
        table_source_unmap(&walk->view);
    memset(walk, 0, sizeof *walk);
}

static int is_over(const struct walk *walk)
{
    uint64_t state = table_load(walk->view.words + TABLE_H_STATE);

    return (state & 0xff) == TABLE_SUPERSEDED &&
           table_now() - (int64_t)(state >> 8) > SUPERSEDED_GOOD_FOR_S;
}

enum answer walk_service(struct walk *walk, int next, struct table_record *record)
{
    enum table_result result;
    uint64_t slot;

    if (walk->view.words == NULL && !table_source_map(&table_file, &walk->view))
        return ANSWER_FOREIGN;
    if (next) {
        walk->slot++;
        walk->member = 0;
    }
    slot = walk->slot;
    result = table_next(&walk->view, &slot, record);
    if (result == TABLE_AGAIN || is_over(walk))
        return ANSWER_AGAIN;
    if (result == TABLE_MISS)
        return ANSWER_NO_NAME;
    if (slot - 1 != walk->slot) { /* empty slots were passed */
        walk->slot = slot - 1;
        walk->member = 0;
    }
    return ANSWER_FOUND;
}
