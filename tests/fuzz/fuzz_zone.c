/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keys of etcd to owner names: what comes out is a name that DNS allows.
 */
#include "../../nss/watcher/zone.h"
#include "fuzz.h"

static int is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* RFC 1035 section 2.3.1, with leading digits (RFC 1123). */
static void check_label(const char *label, size_t length)
{
    require(length >= 1 && length <= 63);
    require(is_alnum(label[0]) && is_alnum(label[length - 1]));
    for (size_t i = 0; i < length; i++)
        require(is_alnum(label[i]) || label[i] == '-');
}

static void check_name(const char *name, size_t length)
{
    require(strlen(name) == length && length <= 253);
    for (;;) {
        size_t label = strcspn(name, ".");

        check_label(name, label);
        if (name[label] == '\0')
            break;
        name += label + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    char *text = take_text(&input, take(&input, 1)), domain[TABLE_MAX_NAME + 1];
    int length = zone_domain_normalize(text, domain, sizeof domain);
    struct zone zone = { .prefix = "/p/", .prefix_length = 3, .domain = "service.etcd" };
    struct zone_place place = { 0 };
    size_t key_length = input.size;
    char *key = take_text(&input, key_length);
    int rc;

    if (length >= 0) {
        check_name(domain, (size_t)length);
        zone.domain = domain;
    }
    zone.domain_length = strlen(zone.domain);
    zone_has_key(&zone, data, size);
    rc = zone_place_key(&zone, key, key_length, &place);
    require(rc <= 0 && zone_strerror(rc)[0] != '\0');
    if (rc == 0) {
        check_name(place.name, place.name_length);
        require(strlen(place.label) == place.label_length);
        if (place.label_length > 0)
            check_label(place.label, place.label_length);
        require(place.name_length + 1 + place.label_length <= 253);
        if (place.is_exact) {
            const char *last = (const char *)memrchr(key, '/', key_length) + 1;

            require((size_t)(key + key_length - last) == place.label_length);
            require(memcmp(last, place.label, place.label_length) == 0);
        }
    }
    free(key);
    free(text);
    return 0;
}
