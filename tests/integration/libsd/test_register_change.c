/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Registrations that change what they say, pause, or are made without waiting.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "enlist.h"

TestSuite(change, .init = enlist_setup, .fini = enlist_teardown, .timeout = 60);

/* Revisions of KEY in which it was created, and how often it was written. */
static int64_t created(int64_t *version)
{
    libsd_kvs *kvs = NULL;
    int64_t revision;

    cr_assert_eq(libsd_get(judge, libsd_str(KEY), &kvs, 0), 0);
    revision = libsd_kvs_at(kvs, 0)->create_revision;
    *version = libsd_kvs_at(kvs, 0)->version;
    libsd_kvs_free(kvs);
    return revision;
}

/* ---- update ------------------------------------------------------------- */

Test(change, update_is_one_write_in_place)
{
    libsd_register_options options = {
        .size = sizeof options, .weight = 7, .priority = 2, .metadata = "{\"zone\":\"a\"}"
    };
    int64_t revision, version, later;

    enlist(ADDRESS, 10);
    revision = created(&version);
    cr_assert_eq(libsd_update(sd, "user", "i1", NULL, &options), 0);
    cr_assert(has(judge, KEY,
                  "{\"addr\":\"10.0.0.5:9090\",\"weight\":7,\"priority\":2,"
                  "\"metadata\":{\"zone\":\"a\"}}"));
    cr_assert_eq(libsd_update(sd, "user", "i1", OTHER, NULL), 0);
    cr_assert(has(judge, KEY,
                  "{\"addr\":\"10.0.0.6:9090\",\"weight\":7,\"priority\":2,"
                  "\"metadata\":{\"zone\":\"a\"}}"));
    options = (libsd_register_options){ .size = sizeof options };
    cr_assert_eq(libsd_update(sd, "user", NULL, ADDRESS, &options), 0);
    cr_assert(has(judge, KEY, ADDRESS));
    cr_assert_eq(created(&later), revision, "never gone");
    cr_assert_eq(later, version + 3, "no write but these");
    cr_assert(told(&story, "R"));
}

Test(change, what_was_updated_is_what_is_mended)
{
    enlist(ADDRESS, 10);
    cr_assert_eq(libsd_update(sd, "user", "i1", OTHER, NULL), 0);
    cr_assert_eq(libsd_delete(judge, libsd_str(KEY), 0), 1);
    UNTIL(has(judge, KEY, OTHER), 2);
    UNTIL(told_last(&story, "LR"), 2);
    etcd_kill(&etcd);
    cr_assert(libsd_error_is_retriable(libsd_update(
        sd, "user", "i1", ADDRESS,
        &(libsd_register_options){ .size = sizeof(libsd_register_options), .timeout_ms = 300 })));
    etcd_restart(&etcd);
    UNTIL(has(judge, KEY, ADDRESS), 5);
}

Test(change, many_updates_end_with_the_last_and_lose_nothing)
{
    char address[30];

    enlist(ADDRESS, 10);
    UNTIL(told(&story, "R"), 2);
    for (int i = 1; i <= 300; i++) {
        snprintf(address, sizeof address, "10.0.1.1:%d", i);
        cr_assert_eq(libsd_update(sd, "user", "i1", address, NULL), 0);
    }
    cr_assert(has(judge, KEY, "10.0.1.1:300"));
    cr_assert(told(&story, "R"), "%s", story.text);
}

static void *update_often(void *arg)
{
    char address[30];
    int rc = 0;

    for (int i = 1; i <= 100 && (rc == 0 || rc == LIBSD_ECONFLICT); i++) {
        snprintf(address, sizeof address, "10.0.1.%d:%d", *(int *)arg, i);
        rc = libsd_update(sd, "user", "i1", address, NULL);
    }
    return rc == 0 || rc == LIBSD_ECONFLICT ? NULL : arg;
}

Test(change, updates_of_several_threads_lose_nothing)
{
    pthread_t threads[4];
    int numbers[4] = { 1, 2, 3, 4 };
    void *failed;

    enlist(ADDRESS, 10);
    UNTIL(told(&story, "R"), 2);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, update_often, &numbers[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        cr_assert_null(failed);
    }
    cr_assert_eq(libsd_update(sd, "user", "i1", OTHER, NULL), 0);
    cr_assert(has(judge, KEY, OTHER));
    cr_assert(told(&story, "R"), "%s", story.text);
}

/* A JSON object of that many bytes. */
static libsd_register_options much(size_t size)
{
    static char metadata[40000];

    memset(metadata, ' ', sizeof metadata);
    metadata[0] = '{';
    metadata[size - 1] = '}';
    metadata[size] = '\0';
    return (libsd_register_options){ .size = sizeof(libsd_register_options), .metadata = metadata };
}

Test(change, nonsense_is_refused_with_its_place)
{
    libsd_register_options options = much(32768);
    char detail[300];

    enlist(ADDRESS, 10);
    cr_assert_eq(libsd_update(sd, "user", "i1", NULL, &options), 0, "32 KiB are allowed");
    options = much(32769);
    cr_assert_eq(libsd_update(sd, "user", "i1", NULL, &options), LIBSD_EINVAL);
    options.metadata = "[1]";
    cr_assert_eq(libsd_update(sd, "user", "i1", OTHER, &options), LIBSD_EINVAL);
    options.metadata = "{\"a\":}";
    cr_assert_eq(libsd_update(sd, "user", "i1", OTHER, &options), LIBSD_EINVAL);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, "metadata: ") != NULL && strstr(detail, "byte 5") != NULL, "%s",
              detail);
    cr_assert_eq(libsd_update(sd, "user", "i1", "10.0.0.5", NULL), LIBSD_EINVAL);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert_str_eq(detail, "'10.0.0.5' has no port");
    cr_assert_eq(libsd_update(sd, "user", "i2", OTHER, NULL), LIBSD_ENOTFOUND);
    cr_assert(told(&story, "R"));
}

Test(change, refused_update_leaves_what_was)
{
    libsd_register_options options = much(8192);

    etcd_kill(&etcd);
    etcd.flags[0] = "--max-request-bytes=4096";
    etcd_restart(&etcd);
    enlist(ADDRESS, 10);
    cr_assert_eq(libsd_update(sd, "user", "i1", OTHER, &options), LIBSD_ETOOBIG);
    cr_assert(has(judge, KEY, ADDRESS));
    cr_assert_eq(libsd_delete(judge, libsd_str(KEY), 0), 1);
    UNTIL(told(&story, "RLR"), 2);
    cr_assert(has(judge, KEY, ADDRESS), "and is what gets mended");
}

/* ---- pause -------------------------------------------------------------- */

Test(change, paused_is_out_until_resumed)
{
    double begin;

    enlist(ADDRESS, 2);
    cr_assert_eq(libsd_register(sd, "user", "i2", OTHER, 2, NULL), 0);
    cr_assert_eq(libsd_pause(sd, "user", "i1", 0), 0);
    cr_assert(absent(judge, KEY));
    cr_assert(has(judge, "/service/user/i2", OTHER));
    UNTIL(told(&story, "RP"), 2);
    cr_assert_eq(libsd_pause(sd, "user", "i1", 0), 0, "again is no error");
    for (begin = seconds(); seconds() - begin < 3; nap())
        cr_assert(absent(judge, KEY), "no beat brings it back");
    cr_assert_eq(libsd_update(sd, "user", "i1", "10.0.0.7:1", NULL), 0, "remembered");
    cr_assert(absent(judge, KEY));
    cr_assert_eq(libsd_resume(sd, "user", "i1", 0), 0);
    cr_assert(has(judge, KEY, "10.0.0.7:1"));
    UNTIL(told(&story, "RPR"), 2);
    cr_assert_eq(libsd_resume(sd, "user", "i1", 0), 0);
    cr_assert_eq(libsd_pause(sd, "user", "i3", 0), LIBSD_ENOTFOUND);
    for (begin = seconds(); seconds() - begin < 1; nap())
        cr_assert(has(judge, KEY, "10.0.0.7:1"), "nor does its own deletion take it out");
    cr_assert(told(&story, "RPR"));
}

Test(change, paused_stays_out_whatever_happens_to_etcd)
{
    double begin;

    enlist(ADDRESS, 2);
    cr_assert_eq(libsd_register(sd, "user", "i2", OTHER, 2, NULL), 0);
    cr_assert_eq(libsd_pause(sd, "user", "i1", 0), 0);
    cr_assert_eq(libsd_lease_revoke(judge, lease_of("/service/user/i2"), 0), 0);
    UNTIL(has(judge, "/service/user/i2", OTHER), 3);
    cr_assert(absent(judge, KEY));
    etcd_kill(&etcd);
    etcd_restart(&etcd);
    for (begin = seconds(); seconds() - begin < 2; nap())
        cr_assert(absent(judge, KEY));
    cr_assert_eq(libsd_resume(sd, "user", "i1", 0), 0);
    cr_assert(has(judge, KEY, ADDRESS));
}

Test(change, pause_that_timed_out_is_completed_later)
{
    enlist(ADDRESS, 10);
    etcd_freeze(&etcd);
    cr_assert_eq(libsd_pause(sd, "user", "i1", 300), LIBSD_ETIMEDOUT);
    etcd_thaw(&etcd);
    UNTIL(absent(judge, KEY), 5);
    UNTIL(told(&story, "RP"), 2);
}

Test(change, name_that_was_taken_during_a_pause_is_waited_for)
{
    enlist(ADDRESS, 10);
    cr_assert_eq(libsd_pause(sd, "user", "i1", 0), 0);
    cr_assert_eq(libsd_register(judge, "user", "i1", OTHER, 10, NULL), 0);
    cr_assert_eq(libsd_resume(sd, "user", "i1", 500), LIBSD_ECONFLICT);
    cr_assert(has(judge, KEY, OTHER));
    cr_assert_eq(libsd_deregister(judge, "user", "i1", 0), 0);
    UNTIL(has(judge, KEY, ADDRESS), 2);
    UNTIL(told(&story, "RPCR"), 2);
}

Test(change, paused_is_ended_like_any_other)
{
    enlist(ADDRESS, 10);
    cr_assert_eq(libsd_pause(sd, "user", "i1", 0), 0);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), 0);
    cr_assert_eq(libsd_resume(sd, "user", "i1", 0), LIBSD_ENOTFOUND);
    cr_assert(absent(judge, KEY));
}

/* ---- without waiting ---------------------------------------------------- */

static libsd_register_options noted(int takeover)
{
    return (libsd_register_options){ .size = sizeof(libsd_register_options),
                                     .takeover = takeover,
                                     .callback = take_note,
                                     .callback_arg = &story };
}

Test(change, async_tells_by_callback)
{
    libsd_register_options options = noted(LIBSD_TAKEOVER_FAIL);

    cr_assert_eq(libsd_register_async(sd, "user", "i1", "nonsense", 10, &options), LIBSD_EINVAL);
    cr_assert_eq(libsd_register_async(sd, "user", "i1", ADDRESS, 10, &options), 0);
    UNTIL(told(&story, "R"), 5);
    cr_assert(has(judge, KEY, ADDRESS));
}

Test(change, async_that_is_refused_ends)
{
    libsd_register_options options = noted(LIBSD_TAKEOVER_FAIL);

    cr_assert_eq(libsd_register(judge, "user", "i1", OTHER, 10, NULL), 0);
    cr_assert_eq(libsd_register_async(sd, "user", "i1", ADDRESS, 10, &options), 0);
    UNTIL(told(&story, "F"), 5);
    cr_assert_eq(story.error, LIBSD_ECONFLICT);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), LIBSD_ENOTFOUND);
    cr_assert(has(judge, KEY, OTHER));
}

/* An update that is refused takes back the update, not what waits. */
Test(change, async_in_conflict_outlives_a_refused_update)
{
    libsd_register_options options = noted(LIBSD_TAKEOVER_WAIT), more = much(8192);

    etcd_kill(&etcd);
    etcd.flags[0] = "--max-request-bytes=4096";
    etcd_restart(&etcd);
    cr_assert_eq(libsd_register(judge, "user", "i1", OTHER, 10, NULL), 0);
    cr_assert_eq(libsd_register_async(sd, "user", "i1", ADDRESS, 10, &options), 0);
    UNTIL(told(&story, "C"), 5);
    cr_assert_eq(libsd_update(sd, "user", "i1", "10.0.0.7:1", &more), LIBSD_ETOOBIG);
    cr_assert_eq(libsd_deregister(judge, "user", "i1", 0), 0);
    UNTIL(has(judge, KEY, ADDRESS), 5);
    UNTIL(told(&story, "CR"), 2);
}

static void *thaw_when_told(void *arg)
{
    while (!told(&story, "W"))
        nap();
    etcd_thaw(&etcd);
    return arg;
}

/* Whoever updates learns it first; that says nothing to whoever registered. */
Test(change, async_that_is_refused_during_an_update_tells_both)
{
    libsd_register_options options = noted(LIBSD_TAKEOVER_FAIL);
    pthread_t thread;
    int rc;

    cr_assert_eq(libsd_register(judge, "user", "i1", OTHER, 60, NULL), 0);
    etcd_freeze(&etcd);
    cr_assert_eq(libsd_register_async(sd, "user", "i1", ADDRESS, 10, &options), 0);
    cr_assert_eq(pthread_create(&thread, NULL, thaw_when_told, NULL), 0);
    options = (libsd_register_options){ .size = sizeof options, .timeout_ms = 20000 };
    rc = libsd_update(sd, "user", "i1", "10.0.0.7:1", &options);
    pthread_join(thread, NULL);
    cr_assert(rc == LIBSD_ECONFLICT || rc == LIBSD_ENOTFOUND, "%s", libsd_strerror(rc));
    UNTIL(told(&story, "WF"), 5);
    cr_assert_eq(libsd_deregister(sd, "user", "i1", 0), LIBSD_ENOTFOUND);
    cr_assert(has(judge, KEY, OTHER));
}

/* States and details that instances were told, as "i1W i2W ". */
static struct {
    pthread_mutex_t mutex;
    char text[200];
    char details[300]; /* of the last one that waited */
    int error;
} reasons = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void take_reason(libsd *handle, const char *service, const char *instance, int state,
                        int error, void *arg)
{
    size_t size;

    (void)service;
    (void)arg;
    pthread_mutex_lock(&reasons.mutex);
    size = strlen(reasons.text);
    snprintf(reasons.text + size, sizeof reasons.text - size, "%s%c ", instance, "?RLCPUFW"[state]);
    if (state == LIBSD_WAITING) {
        reasons.error = error;
        libsd_error_detail(handle, reasons.details, sizeof reasons.details);
    }
    pthread_mutex_unlock(&reasons.mutex);
}

static bool reasons_are(const char *text)
{
    bool same;

    pthread_mutex_lock(&reasons.mutex);
    same = strcmp(reasons.text, text) == 0;
    pthread_mutex_unlock(&reasons.mutex);
    return same;
}

/* Each of them is told why, once, and then of the end of it. */
Test(change, async_tells_why_it_waits_and_is_completed_later)
{
    libsd_register_options options = { .size = sizeof options, .callback = take_reason };

    etcd_kill(&etcd);
    cr_assert_eq(libsd_register_async(sd, "user", "i1", ADDRESS, 10, &options), 0);
    cr_assert_eq(libsd_register_async(sd, "user", "i2", OTHER, 10, &options), 0);
    UNTIL(reasons_are("i1W i2W "), 5);
    cr_assert_eq(reasons.error, LIBSD_EUNAVAILABLE);
    cr_assert(libsd_error_is_retriable(reasons.error));
    cr_assert(strstr(reasons.details, etcd.url), "%s", reasons.details);
    etcd_restart(&etcd);
    UNTIL(reasons_are("i1W i2W i1R i2R "), 10);
}

/* A hang is another reason than a refused connection. */
Test(change, async_tells_of_an_etcd_that_hangs)
{
    libsd_register_options options = { .size = sizeof options, .callback = take_reason };

    etcd_freeze(&etcd);
    cr_assert_eq(libsd_register_async(sd, "user", "i1", ADDRESS, 10, &options), 0);
    UNTIL(reasons_are("i1W "), 15);
    cr_assert_eq(reasons.error, LIBSD_ETIMEDOUT);
    etcd_thaw(&etcd);
    UNTIL(reasons_are("i1W i1R "), 15);
}
