/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keys to owner names.  Keys are foreign bytes of any length and content; what
 * comes out obeys RFC 1035 section 2.3: labels of 1 to 63 letters, digits and
 * inner hyphens, names of at most 253 octets.
 */
#include "zone.h"

#include <string.h>

const char *zone_strerror(int code)
{
    switch (code) {
    case ZONE_NO_SERVICE:
        return "the key has no service segment before its last one";
    case ZONE_EMPTY_SEGMENT:
        return "the key has an empty segment";
    case ZONE_NO_LABEL:
        return "a segment of the service has no letter or digit for a DNS label";
    case ZONE_TOO_LONG:
        return "the owner name would be longer than 253 octets";
    default:
        return "unknown reason";
    }
}

bool zone_has_key(const struct zone *zone, const void *key, size_t length)
{
    return length >= zone->prefix_length && memcmp(key, zone->prefix, zone->prefix_length) == 0;
}

bool zone_has_name(const struct zone *zone, const char *name, size_t length)
{
    return length > zone->domain_length && name[length - zone->domain_length - 1] == '.' &&
           memcmp(name + length - zone->domain_length, zone->domain, zone->domain_length) == 0;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Letters of either case: those who write "Web-1" mean web-1. */
static bool is_label(const char *segment, size_t length)
{
    if (length == 0 || length > TABLE_MAX_LABEL)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_alnum(to_lower(segment[i])) && segment[i] != '-')
            return false;
    return segment[0] != '-' && segment[length - 1] != '-';
}

uint8_t zone_label(const char *segment, size_t length, char label[TABLE_MAX_LABEL + 1],
                   bool *is_exact)
{
    bool keep_hyphens = is_label(segment, length);
    size_t used = 0;

    for (size_t i = 0; i < length && used < TABLE_MAX_LABEL; i++) {
        char c = to_lower(segment[i]);

        if (is_alnum(c) || keep_hyphens)
            label[used++] = c;
        else if (used > 0 && label[used - 1] != '-')
            label[used++] = '-';
    }
    while (used > 0 && label[used - 1] == '-')
        used--;
    label[used] = '\0';
    if (is_exact != NULL)
        *is_exact = used == length && memcmp(label, segment, length) == 0;
    return (uint8_t)used;
}

/* Appends "label." or, at the end, the domain.  Returns 0 or -1: no room. */
static int name_append(struct zone_place *place, const char *text, size_t length, const char *dot)
{
    size_t used = place->name_length, more = length + strlen(dot);

    if (used + more > TABLE_MAX_NAME)
        return -1;
    memcpy(place->name + used, text, length);
    memcpy(place->name + used + length, dot, strlen(dot));
    place->name_length = (uint8_t)(used + more);
    place->name[place->name_length] = '\0';
    return 0;
}

/* The segments of the service stand in the name in reverse order. */
static int name_from_segments(const struct zone *zone, const char *path, size_t length,
                              struct zone_place *place)
{
    place->name_length = 0;
    for (;;) {
        const char *slash = memrchr(path, '/', length);
        const char *segment = slash != NULL ? slash + 1 : path;
        size_t size = (size_t)(path + length - segment);
        char label[TABLE_MAX_LABEL + 1];
        bool is_exact;
        uint8_t used;

        if (size == 0)
            return ZONE_EMPTY_SEGMENT;
        used = zone_label(segment, size, label, &is_exact);
        if (used == 0)
            return ZONE_NO_LABEL;
        if (name_append(place, label, used, ".") < 0)
            return ZONE_TOO_LONG;
        place->is_exact = place->is_exact && is_exact;
        if (slash == NULL)
            break;
        length = (size_t)(slash - path);
    }
    return name_append(place, zone->domain, zone->domain_length, "") < 0 ? ZONE_TOO_LONG : 0;
}

int zone_place_key(const struct zone *zone, const char *rest, size_t length,
                   struct zone_place *place)
{
    const char *slash = memrchr(rest, '/', length);
    const char *instance;
    int rc;

    if (slash == NULL)
        return length == 0 ? ZONE_EMPTY_SEGMENT : ZONE_NO_SERVICE;
    instance = slash + 1;
    if (instance == rest + length)
        return ZONE_EMPTY_SEGMENT;
    place->label_length =
        zone_label(instance, (size_t)(rest + length - instance), place->label, &place->is_exact);
    rc = name_from_segments(zone, rest, (size_t)(slash - rest), place);
    if (rc < 0)
        return rc;
    if (place->label_length + 1 + place->name_length > TABLE_MAX_NAME)
        return ZONE_TOO_LONG;
    return 0;
}

int zone_domain_normalize(const char *text, char *domain, size_t size)
{
    size_t length = strlen(text), label = 0;

    if (length > 0 && text[0] == '.') {
        text++;
        length--;
    }
    if (length > 0 && text[length - 1] == '.')
        length--;
    /* "a." before it is the shortest name of a service. */
    if (length == 0 || length >= size || length + 2 > TABLE_MAX_NAME)
        return -1;
    for (size_t i = 0; i <= length; i++) {
        if (i < length && text[i] != '.') {
            domain[i] = to_lower(text[i]);
            continue;
        }
        if (!is_label(text + label, i - label))
            return -1;
        domain[i] = i < length ? '.' : '\0';
        label = i + 1;
    }
    return (int)length;
}
