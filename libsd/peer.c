/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Instances as objects; see peer.h.
 */
#include "peer.h"

#include <stdlib.h>

/* Longer ones are no names for anybody; etcd itself would take a mebibyte. */
#define NAME_MAX_BYTES 4096

bool place_read(libsd_slice rest, struct place *place)
{
    const char *text = rest.data;
    const char *slash = rest.size ? memrchr(text, '/', rest.size) : NULL;
    size_t size;

    if (!slash || rest.size > NAME_MAX_BYTES || memchr(text, '\0', rest.size) ||
        memmem(text, rest.size, "//", 2))
        return false;
    size = (size_t)(slash - text);
    place->service = libsd_bytes(text, size);
    place->name = libsd_bytes(slash + 1, rest.size - size - 1);
    return size > 0 && *text != '/' && place->name.size > 0;
}

bool service_is_valid(const char *service)
{
    size_t size = strlen(service);

    return size > 0 && size < NAME_MAX_BYTES && service[0] != '/' && service[size - 1] != '/' &&
           !strstr(service, "//");
}

/* Keyed with nothing: processes that pick by the same key must agree. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * UINT64_C(0xff51afd7ed558ccd);
    a = (a ^ (a >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return a ^ (a >> 33);
}

uint64_t peer_identity(uint8_t family, const uint8_t *address, uint16_t port, const char *host)
{
    uint64_t hash = mix(port, (uint64_t)family + UINT64_C(0x9e3779b97f4a7c15));
    uint64_t first = 0;
    uint64_t second = 0;

    if (family == 0) {
        for (; *host; host++)
            hash = mix(hash, (unsigned char)*host);
    } else {
        memcpy(&first, address, family == 4 ? 4 : sizeof first);
        if (family != 4)
            memcpy(&second, address + sizeof first, sizeof second);
        hash = mix(mix(hash, first), second);
    }
    return hash ? hash : 1; /* 0 is nobody's */
}

static char *add_text(char *at, libsd_slice text)
{
    if (text.size)
        memcpy(at, text.data, text.size);
    at[text.size] = '\0';
    return at + text.size + 1;
}

static struct peer *allocate(libsd_slice service, libsd_slice name, libsd_slice value)
{
    struct peer *peer = calloc(1, sizeof *peer + service.size + name.size + value.size + 3);

    if (peer)
        atomic_init(&peer->references, 1);
    return peer;
}

/* After the instance was read, which cleared it. */
static void finish(struct peer *peer, libsd_slice service, libsd_slice name, libsd_slice value)
{
    libsd_instance *instance = &peer->instance;
    char *at = peer->text;

    instance->service = at;
    at = add_text(at, service);
    instance->name = at;
    at = add_text(at, name);
    instance->value = libsd_bytes(at, value.size);
    add_text(at, value);
    peer->name_size = (uint16_t)name.size;
    peer->host_size = (uint16_t)(instance->family == 0 ? strlen(instance->host) : 0);
    peer->identity =
        peer_identity(instance->family, instance->address, instance->port, instance->host);
}

struct peer *peer_new(const struct place *place, const libsd_kv *kv, char *why, size_t why_size)
{
    struct peer *peer = allocate(place->service, place->name, kv->value);
    int rc;

    if (!peer)
        return NULL;
    rc = libsd_instance_parse(NULL, kv->value, &peer->instance, sizeof peer->instance, why,
                              why_size);
    if (rc == LIBSD_ENOMEM) {
        free(peer);
        return NULL;
    }
    peer->readable = rc == 0;
    finish(peer, place->service, place->name, kv->value);
    peer->instance.create_revision = kv->create_revision;
    peer->instance.mod_revision = kv->mod_revision;
    peer->instance.lease = kv->lease;
    return peer;
}

struct peer *peer_copy(const libsd_instance *instance)
{
    libsd_slice service = libsd_str(instance->service);
    libsd_slice name = libsd_str(instance->name);
    struct peer *peer = allocate(service, name, instance->value);

    if (!peer)
        return NULL;
    peer->instance = *instance;
    peer->readable = true;
    finish(peer, service, name, instance->value);
    return peer;
}

struct peer *peer_ref(struct peer *peer)
{
    if (peer)
        atomic_fetch_add_explicit(&peer->references, 1, memory_order_relaxed);
    return peer;
}

void peer_unref(struct peer *peer)
{
    if (peer && atomic_fetch_sub_explicit(&peer->references, 1, memory_order_acq_rel) == 1)
        free(peer);
}

bool peer_same_value(const struct peer *a, const struct peer *b)
{
    libsd_slice left = a->instance.value;
    libsd_slice right = b->instance.value;

    return left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
}

static int compare(const char *text, libsd_slice other)
{
    size_t size = strlen(text);
    int order = memcmp(text, other.data, size < other.size ? size : other.size);

    return order ? order : (size > other.size) - (size < other.size);
}

int peer_compare(const struct peer *peer, libsd_slice service, libsd_slice name)
{
    int order = compare(peer->instance.service, service);

    return order ? order : compare(peer->instance.name, name);
}
