/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A configuration file: what is read lies inside the text, a key is never
 * empty, and lines are counted upwards.
 */
#include "conf.h"
#include "fuzz.h"

static const char *const words[] = { "endpoints", "key", "ttl", "takeover" };

static int is_inside(const struct conf *conf, const char *start, const char *text)
{
    return text >= start && text + strlen(text) <= conf->end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    char *text = take_text(&input, size);
    unsigned line = 0;
    struct conf conf;
    struct conf_entry entry;

    conf_init(&conf, text, size);
    while (conf_next(&conf, &entry)) {
        require(conf.line > line);
        line = conf.line;
        require(is_inside(&conf, text, entry.key) && *entry.key);
        require(is_inside(&conf, text, entry.value));
        require(!*conf.section || is_inside(&conf, text, conf.section));
        conf_nearest(entry.key, words, sizeof words / sizeof words[0]);
    }
    require(conf.why ? conf.line > line : conf.at >= conf.end);
    free(text);
    return 0;
}
