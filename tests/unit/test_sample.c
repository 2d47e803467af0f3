/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The sample configuration has each key that the watcher or libsd knows, once,
 * with its default, and no other.
 */
#include "../../libsd/options.c"

#include <criterion/criterion.h>

#include "../../nss/watcher/config.h"
#include "../../nss/watcher/keys.h"

#define SAMPLE "packaging/conf/etcdsd.conf"

static char *text;
static size_t size;

static void setup(void)
{
    cr_assert_eq(conf_load(SAMPLE, &text, &size), 0, "%s", SAMPLE);
    text[size] = '\0';
}

static void teardown(void)
{
    free(text);
}

TestSuite(sample, .init = setup, .fini = teardown);

/* NULL: nobody knows the key; "": it has no default. */
static const char *fallback_of(const char *key)
{
    const struct option *option = find_option(key);
    int watchers = key_find(key);
    const char *fallback = watchers >= 0 ? keys[watchers].fallback : NULL;

    if (watchers < 0)
        return option ? option->fallback : NULL;
    /* Where both have the key, they must mean the same; libsd takes the empty
     * domain for the table's first. */
    if (option && *option->fallback)
        cr_expect_str_eq(option->fallback, fallback, "%s", key);
    return fallback ? fallback : "";
}

/* Takes the '#' away from "#key = value".  False: it is no such line. */
static bool key_read(char *line, char **key, char **value)
{
    char *equals = strstr(line, " =");

    if (line[0] != '#' || line[1] < 'a' || line[1] > 'z' || !equals)
        return false;
    *key = line + 1;
    *value = equals[2] == ' ' ? equals + 3 : equals + 2;
    *equals = '\0';
    return true;
}

static void must_be_there(const char *key, const char *seen)
{
    char word[64];

    snprintf(word, sizeof word, " %s ", key);
    cr_expect_not_null(strstr(seen, word), "%s is missing", key);
}

Test(sample, has_each_key_with_its_default)
{
    char seen[2000] = " ", word[64], *rest = text, *line, *key, *value;

    while ((line = strsep(&rest, "\n"))) {
        const char *fallback;

        cr_expect(*line == '#' || *line == '\0', "not a comment: %s", line);
        if (!key_read(line, &key, &value))
            continue;
        fallback = fallback_of(key);
        cr_expect_not_null(fallback, "%s: unknown key", key);
        if (fallback)
            cr_expect_str_eq(value, fallback, "%s", key);
        snprintf(word, sizeof word, " %s ", key);
        cr_expect_null(strstr(seen, word), "%s: twice", key);
        snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s ", key);
    }
    for (size_t i = 0; i < key_count; i++)
        must_be_there(keys[i].name, seen);
    for (size_t i = 0; i < OPTIONS; i++)
        if (table[i].variable)
            must_be_there(table[i].key, seen);
}

/* What one gets by taking all '#' away where there is a default. */
Test(sample, says_what_is_acceptable)
{
    char *copy = calloc(1, size + 2), *rest = text, *line, *key, *value;
    struct config_error error = { "" };
    struct config config = { 0 };

    cr_assert_not_null(copy);
    while ((line = strsep(&rest, "\n")))
        if (key_read(line, &key, &value) && *value)
            sprintf(copy + strlen(copy), "%s = %s\n", key, value);
    cr_expect_eq(config_read(&config, SAMPLE, copy, strlen(copy), &error), 0, "%s", error.text);
    config_free(&config);
    free(copy);
}
