/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A program that uses libsd, to be linked with it in each possible way:
 * registers, and sees that by a watch.  Its endpoints come from the environment.
 *
 * With -DNEIGHBOURS it uses libraries at the same time that libsd uses, too, or
 * that are named like it.
 */
#include <libsd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#ifdef NEIGHBOURS
#    include <cjson/cJSON.h>
#    include <curl/curl.h>
#    include <systemd/sd-daemon.h>
#    include <systemd/sd-event.h>
#    include <systemd/sd-id128.h>
#endif

static atomic_int seen;

static void look(const libsd_event *event, void *arg)
{
    (void)arg;
    if (event->type == LIBSD_EVENT_PUT && event->kv->lease != 0)
        atomic_store(&seen, 1);
}

/* Also what libsd does with JSON, transactions and much memory. */
static int store(libsd *sd)
{
    libsd_kvs *kvs = NULL;
    char key[20];
    int rc = 0;

    for (int i = 0; i < 50 && rc == 0; i++) {
        snprintf(key, sizeof key, "/link/%d", i);
        rc = libsd_put(sd, libsd_str(key), libsd_str("value"), 0, NULL, 0);
    }
    if (rc == 0)
        rc = libsd_list(sd, libsd_str("/link/"), 0, &kvs, 0);
    if (rc == 0 && libsd_kvs_count(kvs) != 50)
        rc = LIBSD_EPROTOCOL;
    libsd_kvs_free(kvs);
    return rc == 0 ? libsd_delete_prefix(sd, libsd_str("/link/"), NULL, 0) : rc;
}

static int serve(libsd *sd)
{
    libsd_watch *watch = NULL;
    int rc = libsd_watch_open(sd, libsd_str("/service/link/"), LIBSD_WATCH_PREFIX, 0, look, NULL,
                              &watch);

    for (time_t end = time(NULL) + 20; rc == 0 && !atomic_load(&seen);) {
        rc = libsd_register(sd, "link", "here", "127.0.0.1:9", 5, NULL);
        if (rc == 0)
            rc = libsd_deregister(sd, "link", "here", 0);
        if (time(NULL) > end)
            rc = LIBSD_ETIMEDOUT;
    }
    libsd_watch_close(watch);
    return rc;
}

#ifdef NEIGHBOURS
static int use_neighbours(void)
{
    CURL *curl = curl_easy_init();
    cJSON *json = cJSON_Parse("{\"a\":[1,2]}");
    sd_event *event = NULL;
    sd_id128_t id;
    int good = curl && cJSON_GetArraySize(cJSON_GetObjectItem(json, "a")) == 2 &&
               sd_event_default(&event) >= 0 && sd_id128_randomize(&id) == 0 &&
               sd_notify(0, "STATUS=linked") >= 0 &&
               curl_easy_setopt(curl, CURLOPT_URL, "http://127.0.0.1:9/") == CURLE_OK &&
               curl_easy_perform(curl) != CURLE_OK;

    sd_event_unref(event);
    cJSON_Delete(json);
    curl_easy_cleanup(curl);
    return good ? 0 : -1;
}
#else
static int use_neighbours(void)
{
    return 0;
}
#endif

int main(void)
{
    libsd *sd = NULL;
    int rc = use_neighbours();

    if (rc == 0)
        rc = libsd_open(&sd, NULL);
    if (rc == 0)
        rc = store(sd);
    if (rc == 0)
        rc = serve(sd);
    if (rc == 0)
        rc = use_neighbours();
    libsd_close(sd);
    if (rc != 0)
        fprintf(stderr, "failed: %s\n", libsd_strerror(rc));
    return rc == 0 ? 0 : 1;
}
