/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A configuration file, line by line:
 *
 *     # a comment; also behind a value, after a blank
 *     key = value
 *     [section]
 *     key = " value with blanks at its ends, a # or a \" "
 *
 * A cursor over the text, which must be writable: what is read points into it.
 * Who reads decides what sections and keys mean; that is how several programs
 * share one file.
 */
#ifndef LIBSD_CONF_H
#define LIBSD_CONF_H

#include <stdbool.h>
#include <stddef.h>

#define CONF_MAX ((size_t)1 << 20) /* bytes of a file */

struct conf {
    char *at;
    char *end;
    unsigned line;       /* of what was read last, from 1 */
    const char *section; /* "" before the first one */
    const char *why;     /* the first error, which lies in that line; NULL: none */
    bool tells_sections; /* set it: the begin of a section is an entry, too */
};

/* One "key = value".  The key is not empty, the value may be.  key NULL: a
 * section begins. */
struct conf_entry {
    char *key;
    char *value;
};

/* text: size bytes and room for one more. */
void conf_init(struct conf *conf, char *text, size_t size);

/* The next entry; false at the end, or at a line that is none (conf->why). */
bool conf_next(struct conf *conf, struct conf_entry *entry);

/* Reads a file of at most CONF_MAX bytes into memory to be freed.  Returns 0
 * or the errno (EFBIG: too large). */
int conf_load(const char *path, char **text, size_t *size);

/* The word that looks most like a slip of one of words; NULL if none does. */
const char *conf_nearest(const char *slip, const char *const *words, size_t count);

#endif
