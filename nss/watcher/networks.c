/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Networks of addresses that are allowed; see networks.h.
 */
#include "networks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATORS  ", \t"
#define MAPPED_BITS 96

static void address_set(uint8_t to[16], uint8_t family, const uint8_t *from)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (family == 6) {
        memcpy(to, from, 16);
        return;
    }
    memcpy(to, mapped, sizeof mapped);
    memcpy(to + sizeof mapped, from, 4);
}

static bool is_in(const struct network *network, const uint8_t address[16])
{
    size_t whole = network->length / 8;
    unsigned rest = network->length % 8;

    if (memcmp(network->address, address, whole) != 0)
        return false;
    return rest == 0 || ((network->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

/* "/24" or nothing.  Returns the length or -1. */
static int length_read(const char *text, int most)
{
    int length = 0;

    if (*text == '\0')
        return most;
    if (*text++ != '/' || *text == '\0' || strlen(text) > 3)
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        length = length * 10 + *text - '0';
    }
    return length <= most ? length : -1;
}

/* Bits behind the length are a slip: 10.0.0.5/8 may have meant 10.0.0.5. */
static bool has_bits_behind(const struct network *network)
{
    struct network shorter = { .length = network->length };
    size_t whole = network->length / 8;

    memcpy(shorter.address, network->address, whole);
    if (network->length % 8 != 0)
        shorter.address[whole] =
            (uint8_t)(network->address[whole] & (0xff << (8 - network->length % 8)));
    return memcmp(shorter.address, network->address, sizeof shorter.address) != 0;
}

/* Returns NULL, or what is wrong. */
static const char *network_read(struct network *network, const char *word, size_t size)
{
    char text[64], *slash;
    uint8_t address[16];
    int family = memchr(word, ':', size) != NULL ? 6 : 4, length;

    if (size >= sizeof text)
        return "is not a network such as 10.0.0.0/8 or 2001:db8::/32";
    memcpy(text, word, size);
    text[size] = '\0';
    slash = text + strcspn(text, "/");
    length = length_read(slash, family == 4 ? 32 : 128);
    *slash = '\0';
    if (length < 0 || inet_pton(family == 4 ? AF_INET : AF_INET6, text, address) != 1)
        return "is not a network such as 10.0.0.0/8 or 2001:db8::/32";
    address_set(network->address, (uint8_t)family, address);
    network->length = (uint8_t)(family == 4 ? length + MAPPED_BITS : length);
    return has_bits_behind(network) ? "has bits set behind its length" : NULL;
}

static int list_read(struct network *list, size_t *count, const char *text, char *why,
                     size_t why_size)
{
    *count = 0;
    for (text += strspn(text, SEPARATORS); *text != '\0'; text += strspn(text, SEPARATORS)) {
        size_t size = strcspn(text, SEPARATORS);
        const char *wrong = *count == NETWORKS_MAX ? "is one network too many"
                                                   : network_read(&list[*count], text, size);

        if (wrong != NULL) {
            snprintf(why, why_size, "'%.*s' %s", size < 60 ? (int)size : 60, text, wrong);
            return -EINVAL;
        }
        ++*count;
        text += size;
    }
    if (*count > 0)
        return 0;
    snprintf(why, why_size, "names no network (any: all addresses are allowed)");
    return -EINVAL;
}

int networks_parse(struct networks *networks, const char *text, char *why, size_t why_size)
{
    struct network list[NETWORKS_MAX];
    struct networks fresh = { .list = list };
    int rc = strcmp(text, "any") == 0 ? 0 : list_read(list, &fresh.count, text, why, why_size);

    return rc < 0 ? rc : networks_copy(networks, &fresh);
}

bool networks_have(const struct networks *networks, uint8_t family, const uint8_t *address)
{
    uint8_t whole[16];

    if (networks->count == 0)
        return true;
    address_set(whole, family, address);
    for (size_t i = 0; i < networks->count; i++)
        if (is_in(&networks->list[i], whole))
            return true;
    return false;
}

bool networks_are_same(const struct networks *a, const struct networks *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->list, b->list, a->count * sizeof *a->list) == 0);
}

int networks_copy(struct networks *to, const struct networks *from)
{
    struct network *list = NULL;

    if (from->count > 0) {
        list = calloc(from->count, sizeof *list);
        if (list == NULL)
            return -ENOMEM;
        memcpy(list, from->list, from->count * sizeof *list);
    }
    free(to->list);
    *to = (struct networks){ list, from->count };
    return 0;
}

void networks_free(struct networks *networks)
{
    free(networks->list);
    *networks = (struct networks){ NULL, 0 };
}
