/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading configuration files; see conf.h.
 */
#include "conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

void conf_init(struct conf *conf, char *text, size_t size)
{
    *conf = (struct conf){ .at = text, .end = text + size, .section = "" };
    if (size >= 3 && memcmp(text, BYTE_ORDER_MARK, 3) == 0)
        conf->at += 3;
}

/* ---- one line ----------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static char *skip_blanks(char *text)
{
    while (is_blank(*text))
        text++;
    return text;
}

static void cut_blanks(char *start, char *end)
{
    while (end > start && is_blank(end[-1]))
        end--;
    *end = '\0';
}

static bool fail(struct conf *conf, const char *why)
{
    conf->why = why;
    return false;
}

/* The next line, terminated; NULL behind the last one. */
static char *next_line(struct conf *conf)
{
    char *line = conf->at;
    char *newline;

    if (line >= conf->end)
        return NULL;
    conf->line++;
    newline = memchr(line, '\n', (size_t)(conf->end - line));
    conf->at = newline ? newline + 1 : conf->end;
    if (!newline)
        newline = conf->end;
    *newline = '\0';
    if (memchr(line, '\0', (size_t)(newline - line))) {
        fail(conf, "holds a NUL byte");
        return NULL;
    }
    return line;
}

static bool only_comment(char *text)
{
    text = skip_blanks(text);
    return *text == '\0' || *text == '#';
}

static bool read_section(struct conf *conf, char *text)
{
    char *close = strchr(text, ']');

    if (!close || !only_comment(close + 1))
        return fail(conf, "is not '[section]'");
    text = skip_blanks(text);
    cut_blanks(text, close);
    if (*text == '\0')
        return fail(conf, "names no section");
    conf->section = text;
    return true;
}

/* Up to the closing quote, \" and \\ undone in place. */
static bool unquote(struct conf *conf, char *text)
{
    char *to = text;

    for (; *text != '"'; *to++ = *text++) {
        if (*text == '\\' && (text[1] == '"' || text[1] == '\\'))
            text++;
        if (*text == '\0')
            return fail(conf, "has no closing quote");
    }
    if (!only_comment(text + 1))
        return fail(conf, "goes on behind the closing quote");
    *to = '\0';
    return true;
}

static void cut_comment(char *text)
{
    char *end = text;

    while (*end && !(*end == '#' && (end == text || is_blank(end[-1]))))
        end++;
    cut_blanks(text, end);
}

static bool read_entry(struct conf *conf, char *text, struct conf_entry *entry)
{
    char *equals = strchr(text, '=');

    if (!equals)
        return fail(conf, "is not 'key = value'");
    entry->key = text;
    entry->value = skip_blanks(equals + 1);
    cut_blanks(text, equals);
    if (*text == '\0')
        return fail(conf, "has no key before '='");
    if (*entry->value == '"')
        return unquote(conf, ++entry->value);
    cut_comment(entry->value);
    return true;
}

bool conf_next(struct conf *conf, struct conf_entry *entry)
{
    char *line;

    while (!conf->why && (line = next_line(conf))) {
        line = skip_blanks(line);
        if (*line == '[') {
            if (!read_section(conf, line + 1))
                return false;
            if (conf->tells_sections) {
                *entry = (struct conf_entry){ NULL, NULL };
                return true;
            }
        } else if (!only_comment(line)) {
            return read_entry(conf, line, entry);
        }
    }
    return false;
}

/* ---- the file ----------------------------------------------------------- */

/* Returns 0 or the errno. */
static int read_all(int fd, char *text, size_t *size)
{
    for (;;) {
        ssize_t got = read(fd, text + *size, CONF_MAX + 1 - *size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        *size += (size_t)got;
        if (got == 0)
            return 0;
        if (*size > CONF_MAX)
            return EFBIG;
    }
}

int conf_load(const char *path, char **text, size_t *size)
{
    struct stat status;
    int error = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    *text = NULL;
    *size = 0;
    if (fd < 0)
        return errno;
    /* A directory, or a pipe that nobody writes to, is a slip. */
    if (fstat(fd, &status) < 0)
        error = errno;
    else if (!S_ISREG(status.st_mode))
        error = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    if (error == 0) {
        *text = malloc(CONF_MAX + 2);
        error = *text ? read_all(fd, *text, size) : ENOMEM;
    }
    close(fd);
    if (error) {
        free(*text);
        *text = NULL;
    }
    return error;
}

/* ---- slips -------------------------------------------------------------- */

#define WORD_MAX 32

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters were left out, added, mistaken or swapped with their
 * neighbour (optimal string alignment). */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t width = strlen(b);

    for (size_t j = 0; j <= width; j++)
        rows[0][j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];

        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], rows[(i + 1) % 3][j - 2] + 1);
        }
    }
    return rows[strlen(a) % 3][width];
}

const char *conf_nearest(const char *slip, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t best = 1 + strlen(slip) / 4;

    if (strlen(slip) > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t far = distance(slip, words[i]);

        if (far < best || (far == best && !nearest)) {
            best = far;
            nearest = words[i];
        }
    }
    return nearest;
}
