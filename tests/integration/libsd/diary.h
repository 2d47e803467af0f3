/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A notebook for the changes of watched services.
 */
#ifndef TESTS_DIARY_H
#define TESTS_DIARY_H

#include <libsd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What was told, as words: "+i1:present", "~i1:updated", "-i1:lease",
 * "synced", "blind", "sight"; separated by spaces. */
struct diary {
    pthread_mutex_t mutex;
    char text[1 << 20];
    size_t size;
    int counts[7]; /* by type */
    int64_t revision;
    bool disordered;        /* revisions went back outside of a list */
    bool odd;               /* before and now do not fit the type */
    libsd_discovery *close; /* in the first callback */
};

void diary_init(struct diary *diary);
void diary_take(const libsd_change *change, void *diary); /* a libsd_change_callback */
/* Whether it is these words; how many changes of a type it had. */
bool diary_says(struct diary *diary, const char *words);
int diary_count(struct diary *diary, int type);
/* The words, not the counts. */
void diary_forget(struct diary *diary);

#endif
