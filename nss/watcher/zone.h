/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A zone: which keys of etcd it shows, and under which owner names.
 *
 *     prefix      segment ... segment   instance
 *     /service/   shop    /   user   /  i1        domain service.etcd
 *          i1.user.shop.service.etcd    one instance
 *             user.shop.service.etcd    the service
 *
 * Pure functions; nothing here allocates.
 */
#ifndef ETCDSD_WATCHER_ZONE_H
#define ETCDSD_WATCHER_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "networks.h"

struct zone {
    const char *prefix; /* ends with '/', or with whatever its owner chose */
    size_t prefix_length;
    const char *domain; /* lower case, no dots at the ends */
    size_t domain_length;
    const char *format;           /* of the values, as libsd_instance_parse() knows them */
    const struct networks *allow; /* that addresses have to be in; NULL: any */
    size_t max_value_bytes;       /* 0: no limit */
};

/* Where a key has its place.  is_exact: all its segments are DNS labels in
 * lower case as they stand.  Two keys of one service that both are exact have
 * different labels. */
struct zone_place {
    char name[TABLE_MAX_NAME + 1]; /* of the service, with its domain */
    char label[TABLE_MAX_LABEL + 1];
    uint8_t name_length;
    uint8_t label_length; /* 0: the instance has no owner name of its own */
    bool is_exact;
};

/* Why a key has none. */
enum zone_error {
    ZONE_NO_SERVICE = -1,
    ZONE_EMPTY_SEGMENT = -2,
    ZONE_NO_LABEL = -3,
    ZONE_TOO_LONG = -4
};

/* One line, without a newline. */
const char *zone_strerror(int code);

/* Whether the key lies in the zone. */
bool zone_has_key(const struct zone *zone, const void *key, size_t length);

/* Whether the name lies in the zone's domain. */
bool zone_has_name(const struct zone *zone, const char *name, size_t length);

/* The place of a key, given what follows the zone's prefix in it.  Returns 0
 * or enum zone_error; place is then undefined. */
int zone_place_key(const struct zone *zone, const char *rest, size_t length,
                   struct zone_place *place);

/* The last segment's label as zone_place_key() makes it.  Returns its length,
 * 0 if nothing of the segment can be used.  is_exact as above, of this segment;
 * NULL is allowed. */
uint8_t zone_label(const char *segment, size_t length, char label[TABLE_MAX_LABEL + 1],
                   bool *is_exact);

/* A domain as struct zone wants it, out of what people write: lower case,
 * without dots at the ends.  size: of the buffer.  Returns its length, or -1
 * if it is not a domain name that leaves room for a service. */
int zone_domain_normalize(const char *text, char *domain, size_t size);

#endif
