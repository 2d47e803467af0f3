/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The life of a zone that is followed; see follower.h.
 */
#include "follower.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* The zone says what the settings say. */
static void zone_fill(struct follower *follower)
{
    const struct settings *says = &follower->says;

    follower->zone = (struct zone){
        .prefix = says->prefix,
        .prefix_length = strlen(says->prefix),
        .domain = says->domain,
        .domain_length = strlen(says->domain),
        .format = says->format,
        .allow = &says->allow,
        .max_value_bytes = says->max_value_bytes,
    };
}

struct follower *follower_new(const struct settings *says, struct board *board,
                              const struct config *config, const struct localnet *net)
{
    struct follower *follower = calloc(1, sizeof *follower);
    uint64_t seed;

    if (follower == NULL)
        return NULL;
    if (settings_inherit(&follower->says, says, KEY_ZONE) < 0 ||
        getrandom(&seed, sizeof seed, 0) != sizeof seed || model_init(&follower->model, seed) < 0) {
        settings_free(&follower->says);
        free(follower);
        return NULL;
    }
    zone_fill(follower);
    follower->publish = (struct publish){ .model = &follower->model,
                                          .table = board->table,
                                          .zone = &follower->zone,
                                          .net = net,
                                          .says = &follower->says,
                                          .services = config };
    follower->mirror = (struct mirror){ .zone = &follower->zone,
                                        .model = &follower->model,
                                        .publish = &follower->publish,
                                        .confirm_loss_s = (uint32_t)config->top.confirm_loss_s };
    board_add(board, &follower->publish);
    return follower;
}

int follower_open(struct follower *follower, libsd *sd)
{
    const struct zone *zone = &follower->zone;

    libsd_watch_close(follower->watch);
    follower->watch = NULL;
    return libsd_watch_open(sd, libsd_bytes(zone->prefix, zone->prefix_length),
                            LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0, mirror_event,
                            &follower->mirror, &follower->watch);
}

int follower_change(struct follower *follower, const struct settings *says)
{
    struct settings *old = &follower->says, fresh = { 0 };
    int change = settings_are_same(old, says, KEY_ZONE) ? FOLLOWER_SAME : FOLLOWER_PUBLISH;

    if (strcmp(old->format, says->format) != 0 || !networks_are_same(&old->allow, &says->allow) ||
        old->max_value_bytes != says->max_value_bytes)
        change = FOLLOWER_READ;
    if (change == FOLLOWER_SAME)
        return change;
    if (settings_inherit(&fresh, says, KEY_ZONE) < 0) {
        settings_free(&fresh);
        return -ENOMEM;
    }
    settings_free(old);
    *old = fresh;
    zone_fill(follower);
    return change;
}

void follower_free(struct follower *follower)
{
    libsd_watch_close(follower->watch);
    board_remove(follower->publish.board, &follower->publish);
    publish_free(&follower->publish);
    model_free(&follower->model);
    settings_free(&follower->says);
    free(follower);
}

void followers_free(struct follower *first)
{
    while (first != NULL) {
        struct follower *next = first->next;

        follower_free(first);
        first = next;
    }
}
