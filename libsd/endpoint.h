/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The members of the cluster that a handle may ask, and which one it asks now.
 */
#ifndef LIBSD_ENDPOINT_H
#define LIBSD_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

/* Which one is asked as long as all answer. */
enum balance {
    BALANCE_STAY = 1, /* a random one */
    BALANCE_FIRST,    /* the first one */
    BALANCE_TURNS     /* another one each time */
};

struct endpoints {
    char **urls; /* scheme://host:port, no slash at the end */
    size_t count;
    size_t current;
    bool turns;
    const char *api; /* "/v3"; see endpoints_next_api() */
};

/* Whether text is a list of endpoints: 0, LIBSD_EINVAL or LIBSD_ENOMEM. */
int endpoints_check(const char *text);

/* Parses text and starts at a random one, so that many clients spread. */
int endpoints_init(struct endpoints *endpoints, const char *text);

/* Begins at another one than a random one. */
void endpoints_balance(struct endpoints *endpoints, enum balance balance);

/* A request begins. */
void endpoints_turn(struct endpoints *endpoints);

/* Number of the endpoint that text, one URL, stands for, or -1. */
int endpoints_find(const struct endpoints *endpoints, const char *text);
void endpoints_free(struct endpoints *endpoints);

/* The endpoint number index failed: those who come now ask the next one. */
void endpoints_failed(struct endpoints *endpoints, size_t index);

/* api is not served here: try the next older path (/v3, /v3beta of etcd 3.3,
 * /v3alpha of 3.2), for the whole handle.  Returns -1 when all were tried. */
int endpoints_next_api(struct endpoints *endpoints, const char *api);

#endif
