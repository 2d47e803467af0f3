/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See say.h.
 */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE 1200 /* longer ones are cut */

static void append(char line[LINE], const char *format, va_list values)
    __attribute__((format(printf, 2, 0)));
static void append(char line[LINE], const char *format, va_list values)
{
    size_t used = strlen(line);

    vsnprintf(line + used, LINE - used, format, values);
}

static void append_words(char line[LINE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void append_words(char line[LINE], const char *format, ...)
{
    va_list values;

    va_start(values, format);
    append(line, format, values);
    va_end(values);
}

/* One write, so that lines of several processes do not mix. */
static void put_line(char line[LINE])
{
    for (char *c = line; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    }
    fprintf(stderr, "etcdsd: %s\n", line);
    fflush(stderr);
}

void cli_say(const char *format, ...)
{
    char line[LINE] = "";
    va_list values;

    va_start(values, format);
    append(line, format, values);
    va_end(values);
    put_line(line);
}

/* "%s" in a hint is the only thing replaced: no format from elsewhere. */
static void append_hint(char line[LINE], const char *hint, const char *word)
{
    const char *place = strstr(hint, "%s");

    if (place)
        append_words(line, " (%.*s%s%s)", (int)(place - hint), hint, word ? word : "", place + 2);
    else
        append_words(line, " (%s)", hint);
}

int cli_fail(int status, const char *hint, const char *hint_word, const char *format, ...)
{
    char line[LINE] = "";
    va_list values;

    va_start(values, format);
    append(line, format, values);
    va_end(values);
    if (hint)
        append_hint(line, hint, hint_word);
    put_line(line);
    return status;
}

const char *cli_hint(int error)
{
    switch (error) {
    case LIBSD_ETIMEDOUT:
    case LIBSD_EUNAVAILABLE:
        return "is etcd there? see --endpoints, $ETCDCTL_ENDPOINTS";
    case LIBSD_EAUTH:
        return "see --user, --password, $ETCDCTL_USER";
    case LIBSD_EDENIED:
        return "the etcd user needs a role for the prefix: etcdctl role grant-permission";
    case LIBSD_ETLS:
        return "see --cacert, --cert, --key";
    case LIBSD_EPROTOCOL:
        return "is that etcd's client port? see --endpoints";
    case LIBSD_ENOSPACE:
        return "etcd's database is full: compact, defragment, disarm the alarm";
    default:
        return NULL;
    }
}

int cli_fail_libsd(int status, libsd *sd, int error, const char *what)
{
    char detail[512];
    const char *hint = cli_hint(error);

    if (libsd_error_detail(sd, detail, sizeof detail) == 0)
        return cli_fail(status, hint, NULL, "%s: %s", what, libsd_strerror(error));
    return cli_fail(status, hint, NULL, "%s: %s: %s", what, libsd_strerror(error), detail);
}
