/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Elections: one leader, whose value and whose end everybody hears of.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lock_scene.h"
#include "proxy.h"

#define NAME "elections/a"

/* ---- the gazette -------------------------------------------------------- */

/* What an observer was told: "+value ", "- " or "? ". */
static struct gazette {
    pthread_mutex_t mutex;
    char text[2000];
    int64_t create_revision;
    bool disordered;
} gazette = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void take_note(int state, const libsd_kv *leader, int error, void *arg)
{
    struct gazette *to = arg;
    size_t size;

    (void)error;
    pthread_mutex_lock(&to->mutex);
    size = strlen(to->text);
    if (leader) {
        snprintf(to->text + size, sizeof to->text - size, "+%.*s ", (int)leader->value.size,
                 (const char *)leader->value.data);
        to->disordered |= leader->create_revision < to->create_revision;
        to->create_revision = leader->create_revision;
    } else {
        snprintf(to->text + size, sizeof to->text - size, state == LIBSD_LEADER_NONE ? "- " : "? ");
    }
    pthread_mutex_unlock(&to->mutex);
}

static bool says(const char *text)
{
    bool same;

    pthread_mutex_lock(&gazette.mutex);
    same = strcmp(gazette.text, text) == 0;
    pthread_mutex_unlock(&gazette.mutex);
    return same;
}

static bool ends_with(const char *text)
{
    bool same;
    size_t size;

    pthread_mutex_lock(&gazette.mutex);
    size = strlen(gazette.text);
    same = size >= strlen(text) && strcmp(gazette.text + size - strlen(text), text) == 0;
    pthread_mutex_unlock(&gazette.mutex);
    return same;
}

/* ---- help --------------------------------------------------------------- */

TestSuite(election, .init = lock_scene_begin, .fini = lock_scene_end, .timeout = 90);

static libsd_leadership *lead(libsd *handle, const char *value)
{
    libsd_leadership *leadership = NULL;
    int rc = libsd_campaign(handle, NAME, libsd_str(value), 10, 20000, &leadership);

    cr_assert(rc == 0, "campaign: %s", libsd_strerror(rc));
    cr_assert(libsd_lock_is_held(leadership));
    return leadership;
}

static libsd_leadership *stand(libsd *handle, const char *value)
{
    libsd_leadership *leadership = NULL;

    cr_assert_eq(
        libsd_campaign_start(handle, NAME, libsd_str(value), NULL, NULL, NULL, &leadership), 0);
    return leadership;
}

static bool leads(const char *value)
{
    libsd_kvs *kvs = NULL;
    bool same = false;

    if (libsd_leader(locks.judge, NAME, &kvs, 0) == 0) {
        libsd_slice got = libsd_kvs_at(kvs, 0)->value;

        same = got.size == strlen(value) && memcmp(got.data, value, got.size) == 0;
    }
    libsd_kvs_free(kvs);
    return same;
}

static bool nobody_leads(void)
{
    libsd_kvs *kvs = NULL;
    int rc = libsd_leader(locks.judge, NAME, &kvs, 0);

    libsd_kvs_free(kvs);
    return rc == LIBSD_ENOTFOUND;
}

static size_t candidates(void)
{
    libsd_kvs *kvs = NULL;
    size_t count = 999;

    if (libsd_list(locks.judge, libsd_str(NAME "/"), 0, &kvs, 0) == 0)
        count = libsd_kvs_count(kvs);
    libsd_kvs_free(kvs);
    return count;
}

static libsd_observer *observe(libsd *handle)
{
    libsd_observer *observer = NULL;

    cr_assert_eq(libsd_observe(handle, NAME, take_note, &gazette, &observer), 0);
    return observer;
}

/* ---- electing ----------------------------------------------------------- */

Test(election, leader_is_known_proclaims_and_resigns)
{
    libsd_leadership *first;
    libsd_leadership *second;

    cr_assert(nobody_leads());
    first = lead(locks.sd, "one");
    cr_assert(leads("one"));
    second = stand(locks.judge, "two");
    UNTIL(candidates() == 2, 5);
    cr_assert_eq(libsd_proclaim(first, libsd_str("uno"), 0), 0);
    cr_assert(leads("uno"));
    cr_assert_eq(libsd_proclaim(second, libsd_str("due"), 0), LIBSD_ECONFLICT);
    cr_assert(libsd_lock_is_held(first));
    cr_assert_not(libsd_lock_is_held(second));
    cr_assert_eq(libsd_resign(first, 0), 0);
    UNTIL(libsd_lock_is_held(second), 5);
    cr_assert(leads("two"));
    cr_assert_eq(libsd_resign(second, 0), 0);
    cr_assert(nobody_leads());
}

Test(election, campaign_that_times_out_is_withdrawn)
{
    libsd_leadership *first = lead(locks.sd, "one");
    libsd_leadership *second = NULL;

    cr_assert_eq(libsd_campaign(locks.judge, NAME, libsd_str("two"), 10, 400, &second),
                 LIBSD_ETIMEDOUT);
    cr_assert_null(second);
    UNTIL(candidates() == 1, 5);
    cr_assert_eq(libsd_resign(first, 0), 0);
    cr_assert_eq(candidates(), 0);
}

Test(election, proclaiming_after_the_loss_is_refused)
{
    libsd_leadership *leadership = lead(locks.sd, "one");
    char key[200];
    libsd_slice slice = libsd_lock_key(leadership);

    snprintf(key, sizeof key, "%.*s", (int)slice.size, (const char *)slice.data);
    cr_assert_eq(libsd_delete(locks.judge, libsd_str(key), 0), 1);
    /* Whether this comes before or after our hearing of it. */
    cr_assert_eq(libsd_proclaim(leadership, libsd_str("still me"), 0), LIBSD_ECONFLICT);
    cr_assert(nobody_leads());
    UNTIL(!libsd_lock_is_held(leadership), 5);
    cr_assert_eq(libsd_resign(leadership, 0), LIBSD_ELEASE);
}

Test(election, values_may_hold_any_bytes)
{
    libsd_leadership *leadership = NULL;
    libsd_kvs *kvs = NULL;

    cr_assert_eq(libsd_campaign(locks.sd, NAME, libsd_bytes("a\0b", 3), 10, 0, &leadership), 0);
    cr_assert_eq(libsd_leader(locks.judge, NAME, &kvs, 0), 0);
    cr_assert(libsd_kvs_at(kvs, 0)->value.size == 3 &&
              memcmp(libsd_kvs_at(kvs, 0)->value.data, "a\0b", 3) == 0);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->create_revision, libsd_lock_revision(leadership));
    libsd_kvs_free(kvs);
    cr_assert_eq(libsd_resign(leadership, 0), 0);
}

/* ---- observing ---------------------------------------------------------- */

Test(election, observer_is_told_of_leaders_values_and_of_nobody)
{
    libsd_observer *observer = observe(locks.judge);
    libsd_leadership *first;
    libsd_leadership *second;

    UNTIL(says("- "), 5);
    first = lead(locks.sd, "one");
    UNTIL(says("- +one "), 5);
    cr_assert_eq(libsd_proclaim(first, libsd_str("uno"), 0), 0);
    UNTIL(says("- +one +uno "), 5);
    second = stand(locks.sd, "two");
    UNTIL(candidates() == 2, 5);
    cr_assert_eq(libsd_resign(first, 0), 0);
    UNTIL(says("- +one +uno +two "), 5);
    UNTIL(libsd_lock_is_held(second), 5);
    cr_assert_eq(libsd_resign(second, 0), 0);
    UNTIL(says("- +one +uno +two - "), 5);
    libsd_observe_close(observer);
    second = lead(locks.sd, "three");
    cr_assert_eq(libsd_resign(second, 0), 0);
    cr_assert(says("- +one +uno +two - "), "told after its end");
}

Test(election, no_leader_is_skipped_however_short_its_time)
{
    libsd_observer *observer = observe(locks.judge);
    char all[2000] = "- ";
    char value[20];

    UNTIL(says("- "), 5);
    for (int i = 0; i < 30; i++) {
        snprintf(value, sizeof value, "v%d", i);
        cr_assert_eq(libsd_resign(lead(locks.sd, value), 0), 0);
        snprintf(all + strlen(all), sizeof all - strlen(all), "+%s - ", value);
    }
    UNTIL(says(all), 10);
    libsd_observe_close(observer);
}

/* What happened out of sight is told afterwards, unless it is compacted. */
static void lead_out_of_sight(bool compact)
{
    struct proxy proxy;
    struct etcd through = locks.etcd;
    libsd *far;
    libsd_observer *observer;
    libsd_leadership *leadership = lead(locks.sd, "one");

    proxy_start(&proxy, locks.etcd.url, NULL);
    memcpy(through.url, proxy.url, sizeof through.url);
    far = etcd_open(&through, NULL);
    observer = observe(far);
    UNTIL(says("+one "), 5);
    proxy_freeze(&proxy);
    cr_assert_eq(libsd_resign(leadership, 0), 0);
    cr_assert_eq(libsd_resign(lead(locks.sd, "two"), 0), 0);
    leadership = lead(locks.sd, "three");
    if (compact)
        etcd_compact(&locks.etcd, put(locks.sd, "/elsewhere", "x"));
    proxy_thaw(&proxy);
    proxy_cut(&proxy);
    UNTIL(ends_with("+three "), 30);
    cr_assert_not(gazette.disordered);
    libsd_observe_close(observer);
    libsd_close(far);
    proxy_end(&proxy);
    cr_assert_eq(libsd_resign(leadership, 0), 0);
}

Test(election, changes_out_of_sight_are_told_afterwards)
{
    lead_out_of_sight(false);
    cr_assert(strstr(gazette.text, "- +two - +three"), "%s", gazette.text);
}

Test(election, compacted_changes_end_in_the_present_leader)
{
    lead_out_of_sight(true);
}

Test(election, outage_is_told_as_unknown_and_then_mended)
{
    libsd_leadership *leadership = NULL;
    libsd_observer *observer;

    cr_assert_eq(libsd_campaign(locks.sd, NAME, libsd_str("one"), 60, 0, &leadership), 0);
    observer = observe(locks.judge);
    UNTIL(says("+one "), 5);
    etcd_kill(&locks.etcd);
    UNTIL(says("+one ? "), 10);
    etcd_restart(&locks.etcd);
    UNTIL(says("+one ? +one "), 20);
    cr_assert(libsd_lock_is_held(leadership));
    cr_assert_eq(libsd_proclaim(leadership, libsd_str("uno"), 0), 0);
    UNTIL(says("+one ? +one +uno "), 5);
    cr_assert_eq(libsd_resign(leadership, 0), 0);
    UNTIL(says("+one ? +one +uno - "), 5);
    libsd_observe_close(observer);
}

static libsd_observer *self;

static void close_myself(int state, const libsd_kv *leader, int error, void *arg)
{
    (void)leader;
    (void)error;
    __atomic_store_n((int *)arg, state, __ATOMIC_SEQ_CST);
    libsd_observe_close(self);
}

Test(election, observer_may_be_closed_by_its_callback_and_with_its_handle)
{
    int state = 0;

    cr_assert_eq(libsd_observe(locks.sd, NAME, close_myself, &state, &self), 0);
    UNTIL(__atomic_load_n(&state, __ATOMIC_SEQ_CST) == LIBSD_LEADER_NONE, 5);
    observe(locks.sd);
    observe(locks.sd);
}

/* ---- etcd's own --------------------------------------------------------- */

Test(election, etcdctl_and_election_service_see_our_leader_and_we_theirs)
{
    char campaign[200] = "{\"name\":\"";
    char ask[200] = "{\"name\":\"";
    char answer[4096];
    char expected[100] = "\"value\":\"";
    libsd_observer *observer;
    libsd_leadership *leadership;
    libsd_leadership *next;
    pid_t pid;

    if (system("etcdctl version >/dev/null 2>&1") != 0)
        cr_skip_test("no etcdctl");
    leadership = lead(locks.sd, "ours");
    add_base64(ask, NAME);
    strcat(ask, "\"}");
    cr_assert_eq(etcd_ask(&locks.etcd, "/v3/election/leader", ask, answer, sizeof answer), 200);
    add_base64(expected, "ours");
    cr_assert(strstr(answer, expected), "%s", answer);

    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("ETCDCTL_API", "3", 1);
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        execlp("etcdctl", "etcdctl", "--endpoints", locks.etcd.url, "elect", NAME, "ctl",
               (char *)NULL);
        _exit(127);
    }
    UNTIL(candidates() == 2, 10);
    observer = observe(locks.judge);
    UNTIL(says("+ours "), 5);
    next = stand(locks.sd, "next");
    cr_assert_eq(libsd_resign(leadership, 0), 0);
    UNTIL(says("+ours +ctl "), 5);
    cr_assert(leads("ctl"));
    cr_assert_not(libsd_lock_is_held(next));
    kill(pid, SIGINT); /* it resigns */
    waitpid(pid, NULL, 0);
    UNTIL(libsd_lock_is_held(next), 10);
    UNTIL(says("+ours +ctl +next "), 5);
    cr_assert_eq(libsd_resign(next, 0), 0);

    add_base64(campaign, NAME);
    strcat(campaign, "\",\"value\":\"");
    add_base64(campaign, "theirs");
    strcat(campaign, "\"}");
    cr_assert_eq(etcd_post(&locks.etcd, "/v3/election/campaign", campaign), 200);
    cr_assert(leads("theirs"));
    libsd_observe_close(observer);
}
