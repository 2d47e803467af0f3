/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading the configuration again (SIGHUP), without a gap in the answers:
 * whatever is begun anew, the table says what it said until that is complete.
 *
 *   not acceptable     -> nothing changes; the old one goes on
 *   etcd               -> another handle, and all zones are listed through it
 *   format, allow, ... -> that zone is listed anew, into the model it has
 *   a new zone         -> listed, written, and then named in the header (B3)
 *   a zone that went   -> its follower ends; the header, and then its names go
 *   the rest           -> all services are written anew from what is known
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "watcher.h"

static void tell_refused(const char *why)
{
    log_line(LOG_LEVEL_ERROR, "configuration: %s (nothing changed: the old one goes on)", why);
}

/* What can't change stays, and is told. */
static int keep_fixed(const struct config *old, struct config *fresh)
{
    for (size_t i = 0; i < key_count; i++) {
        if (!(keys[i].places & KEY_AT_START) || key_is_same(&old->top, &fresh->top, i))
            continue;
        log_line(LOG_LEVEL_WARNING,
                 "configuration: %s can't change at run time: it stays as it was until a restart",
                 keys[i].name);
        if (key_copy(&fresh->top, &old->top, i) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Sets *sd to a new handle if etcd's settings changed, else to NULL. */
static int etcd_change(const struct config *old, const struct config *fresh, libsd **sd,
                       struct config_error *error)
{
    const char *before = old->etcd_text != NULL ? old->etcd_text : "";
    const char *after = fresh->etcd_text != NULL ? fresh->etcd_text : "";

    *sd = NULL;
    if (strcmp(before, after) == 0)
        return 0;
    return etcd_open(fresh, sd, error);
}

/* ---- zones ------------------------------------------------------------- */

static struct follower *follower_find(struct follower *first, const struct settings *says)
{
    for (struct follower *follower = first; follower != NULL; follower = follower->next)
        if (strcmp(follower->says.domain, says->domain) == 0 &&
            strcmp(follower->says.prefix, says->prefix) == 0)
            return follower;
    return NULL;
}

static const struct settings *says_find(const struct config *config,
                                        const struct follower *follower)
{
    for (size_t i = 0; i < config->zone_count; i++) {
        const struct settings *says = &config->zones[i].says;

        if (strcmp(follower->says.domain, says->domain) == 0 &&
            strcmp(follower->says.prefix, says->prefix) == 0)
            return says;
    }
    return NULL;
}

/* Makes what is new; upon an error nothing is.  *fresh: the list of them. */
static int zones_make(struct watcher *watcher, const struct config *config, struct follower **fresh)
{
    *fresh = NULL;
    for (size_t i = 0; i < config->zone_count; i++) {
        const struct settings *says = &config->zones[i].says;
        struct follower *follower;

        if (follower_find(watcher->followers, says) != NULL)
            continue;
        follower = follower_new(says, &watcher->board, watcher->config, &watcher->net);
        if (follower == NULL) {
            followers_free(*fresh);
            return -ENOMEM;
        }
        follower->next = *fresh;
        *fresh = follower;
    }
    return 0;
}

static void zone_change(struct watcher *watcher, struct follower *follower,
                        const struct settings *says)
{
    int change = follower_change(follower, says);

    if (change < 0)
        log_line(LOG_LEVEL_ERROR, "zone %s: stays as it was: %s", follower->zone.domain,
                 strerrordesc_np(-change));
    if (change != FOLLOWER_READ || follower->watch == NULL)
        return;
    log_line(LOG_LEVEL_INFO, "zone %s: listed anew", follower->zone.domain);
    watcher_follow(watcher, follower);
}

/* Before that the watches of all followers are closed if there is to be
 * another handle. */
static void zones_change(struct watcher *watcher, struct follower *fresh)
{
    struct follower **link = &watcher->followers;

    while (*link != NULL) {
        struct follower *follower = *link;
        const struct settings *says = says_find(watcher->config, follower);

        if (says != NULL) {
            zone_change(watcher, follower, says);
            link = &follower->next;
            continue;
        }
        log_line(LOG_LEVEL_INFO, "zone %s: no longer follows %s", follower->zone.domain,
                 follower->zone.prefix);
        *link = follower->next;
        upkeep_remember(&watcher->upkeep, follower);
        follower_free(follower);
    }
    *link = fresh;
}

static void etcd_replace(struct watcher *watcher, libsd *sd)
{
    if (sd == NULL)
        return;
    for (struct follower *follower = watcher->followers; follower != NULL;
         follower = follower->next) {
        libsd_watch_close(follower->watch);
        follower->watch = NULL;
    }
    libsd_close(watcher->sd);
    watcher->sd = sd;
    log_line(LOG_LEVEL_INFO, "etcd's settings changed: all zones are listed anew");
}

/* ---- the whole --------------------------------------------------------- */

/* From here on nothing can fail that would leave the old one in place. */
static void apply(struct watcher *watcher, struct config *config, libsd *sd, struct follower *fresh)
{
    struct config old = *watcher->config;

    *watcher->config = *config;
    config_free(&old);
    config = watcher->config;
    log_open(STDERR_FILENO, (int)config->top.log_level);
    table_writer_set_limits(watcher->table, (uint32_t)config->top.max_stale_s,
                            config->top.max_table_bytes);
    watcher->board.max_stale_s = (uint32_t)config->top.max_stale_s;
    etcd_replace(watcher, sd);
    zones_change(watcher, fresh);
    for (struct follower *follower = watcher->followers; follower != NULL;
         follower = follower->next) {
        mirror_rebalance(&follower->mirror);
        if (follower->watch == NULL)
            watcher_follow(watcher, follower);
    }
    board_settle(&watcher->board);
    log_line(LOG_LEVEL_INFO, "configuration: %s: read again: %zu zone%s, %zu service%s",
             *config->path != '\0' ? config->path : "no file", config->zone_count,
             config->zone_count == 1 ? "" : "s", config->service_count,
             config->service_count == 1 ? "" : "s");
}

void watcher_reload(struct watcher *watcher)
{
    struct config_error error = { "" };
    struct follower *fresh = NULL;
    struct config config;
    libsd *sd = NULL;
    int rc = config_load(&config, watcher->arguments, &error);

    if (rc == 0)
        rc = etcd_change(watcher->config, &config, &sd, &error);
    if (rc == 0 &&
        (keep_fixed(watcher->config, &config) < 0 || zones_make(watcher, &config, &fresh) < 0)) {
        rc = -ENOMEM;
        snprintf(error.text, sizeof error.text, "%s", strerrordesc_np(ENOMEM));
    }
    if (rc == 0) {
        apply(watcher, &config, sd, fresh);
        return;
    }
    tell_refused(error.text);
    libsd_close(sd);
    config_free(&config);
}
