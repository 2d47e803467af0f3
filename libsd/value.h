/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a registration of ours says: the text in etcd and what it is made of.
 *
 *     10.0.0.5:9090
 *     {"addr":"10.0.0.5:9090","weight":10,"priority":1,"metadata":{"zone":"a"}}
 *
 * Plain as long as there is no more to say than the address.
 */
#ifndef LIBSD_VALUE_H
#define LIBSD_VALUE_H

#include <stdint.h>

#include "libsd.h"
#include "util.h"

/* Never changes once it is made: an update makes another one. */
struct value {
    char *address;
    char *metadata; /* NULL: none */
    uint32_t weight;
    uint32_t priority;
    libsd_instance instance; /* the address, read */
    char *text;              /* what is written to etcd */
};

#define METADATA_MAX ((size_t)32 << 10)

/* Whether these can make a value: 0, LIBSD_EINVAL with its reason, or
 * LIBSD_ENOMEM. */
int value_check_address(const char *address, struct failure *failure);
int value_check_metadata(const char *metadata, struct failure *failure);

/* Of checked parts; NULL when out of memory. */
struct value *value_new(const char *address, uint32_t weight, uint32_t priority,
                        const char *metadata);
void value_free(struct value *value);

#endif
