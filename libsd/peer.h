/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One instance of a service as the library keeps it: made once from a key, never
 * changed, shared by the catalog, by every snapshot it is in and by the changes
 * that tell of it.  Reference counted, by any thread.
 */
#ifndef LIBSD_PEER_H
#define LIBSD_PEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libsd.h"

struct peer {
    libsd_instance instance;
    uint64_t identity; /* of address and port; see peer_identity() */
    uint16_t name_size;
    uint16_t host_size; /* 0 unless the host is a name */
    bool readable;
    atomic_uint references;
    char text[]; /* service, name, value; each terminated */
};

/* Where a key stands below the prefix. */
struct place {
    libsd_slice service;
    libsd_slice name;
};

/* Splits what follows the prefix.  False: it is no instance's key. */
bool place_read(libsd_slice rest, struct place *place);

/* Whether the text can be a service, and its bytes a part of a key. */
bool service_is_valid(const char *service);

/* Makes a peer of a key; with a value that can't be read, it is not readable
 * and why says why.  Returns NULL when out of memory. */
struct peer *peer_new(const struct place *place, const libsd_kv *kv, char *why, size_t why_size);

/* Makes a readable one of what else is known; text from instance is copied. */
struct peer *peer_copy(const libsd_instance *instance);

struct peer *peer_ref(struct peer *peer);
void peer_unref(struct peer *peer);

/* Whether an application sees any difference. */
bool peer_same_value(const struct peer *a, const struct peer *b);

/* The order of everything: service, then name, bytewise. */
int peer_compare(const struct peer *peer, libsd_slice service, libsd_slice name);

/* The same for all who know the address, whatever process and source. */
uint64_t peer_identity(uint8_t family, const uint8_t *address, uint16_t port, const char *host);

static inline const struct peer *peer_of(const libsd_instance *instance)
{
    return (const struct peer *)(const void *)instance;
}

#endif
