/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Watching services: each appearance, change and disappearance is told once,
 * with its reason, whatever happens to etcd meanwhile.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "etcd.h"

static struct etcd etcd;
static libsd *sd;    /* watches */
static libsd *other; /* registers */

/* What was told, as words: "+i1:present", "~i1:updated", "-i1:lease",
 * "synced", "blind", "sight"; separated by spaces. */
struct diary {
    pthread_mutex_t mutex;
    char text[1 << 20];
    size_t size;
    int counts[7]; /* by type */
    int64_t revision;
    bool disordered;        /* revisions went back outside of a list */
    bool odd;               /* before and now do not fit the type */
    libsd_discovery *close; /* in the first callback */
};

static struct diary diary;

static const char *const reasons[] = { "?",     "present", "registered", "updated", "deregistered",
                                       "lease", "deleted", "unreadable", "resync" };

static void write_down(const libsd_change *change, void *arg)
{
    struct diary *to = arg;
    const libsd_instance *instance = change->instance;

    pthread_mutex_lock(&to->mutex);
    if (instance)
        to->size += (size_t)snprintf(
            to->text + to->size, sizeof to->text - to->size, "%c%s%s%s:%s ", "?+-~"[change->type],
            strcmp(instance->service, "user") == 0 ? "" : instance->service,
            strcmp(instance->service, "user") == 0 ? "" : "|", instance->name,
            reasons[change->reason]);
    else
        to->size += (size_t)snprintf(to->text + to->size, sizeof to->text - to->size, "%s ",
                                     change->type == LIBSD_SYNCED         ? "synced"
                                     : change->type == LIBSD_OUT_OF_SIGHT ? "blind"
                                                                          : "sight");
    to->counts[change->type]++;
    to->odd |=
        !change->before != (change->type != LIBSD_OFFLINE && change->type != LIBSD_CHANGED) ||
        !change->now != (change->type != LIBSD_ONLINE && change->type != LIBSD_CHANGED) ||
        instance != (change->now ? change->now : change->before) ||
        (change->type == LIBSD_CHANGED && strcmp(change->before->host, change->now->host) == 0);
    if (instance && change->reason != LIBSD_REASON_PRESENT &&
        change->reason != LIBSD_REASON_RESYNC) {
        to->disordered |= change->revision < to->revision;
        to->revision = change->revision;
    }
    pthread_mutex_unlock(&to->mutex);
    if (to->close) {
        libsd_discovery_close(to->close);
        to->close = NULL;
    }
}

static bool says(struct diary *in, const char *words)
{
    bool same;

    pthread_mutex_lock(&in->mutex);
    same = strcmp(in->text, words) == 0;
    pthread_mutex_unlock(&in->mutex);
    return same;
}

static int count(struct diary *in, int type)
{
    int number;

    pthread_mutex_lock(&in->mutex);
    number = in->counts[type];
    pthread_mutex_unlock(&in->mutex);
    return number;
}

#define SAYS(words, limit_s)                                                              \
    do {                                                                                  \
        double until_ = seconds() + (limit_s);                                            \
        while (!says(&diary, words)) {                                                    \
            cr_assert(seconds() < until_, "told '%s', expected '%s'", diary.text, words); \
            nap();                                                                        \
        }                                                                                 \
    } while (0)

static void forget(struct diary *in)
{
    pthread_mutex_lock(&in->mutex);
    in->text[0] = '\0';
    in->size = 0;
    pthread_mutex_unlock(&in->mutex);
}

static libsd_discovery *watch(const char *service, struct diary *to)
{
    libsd_discovery *made = NULL;

    cr_assert_eq(libsd_watch_service(sd, service, write_down, to, &made), 0);
    return made;
}

static void enter(const char *name, const char *address)
{
    cr_assert_eq(libsd_register(other, "user", name, address, 3, NULL), 0);
}

static void setup(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
    other = etcd_open(&etcd, NULL);
    pthread_mutex_init(&diary.mutex, NULL);
}

static void teardown(void)
{
    cr_assert_not(diary.odd);
    libsd_close(sd);
    libsd_close(other);
    etcd_end(&etcd);
}

TestSuite(discovery, .init = setup, .fini = teardown, .timeout = 90);

/* ---- a list ------------------------------------------------------------- */

Test(discovery, discover_lists_exactly_the_service)
{
    libsd_snapshot *snapshot;
    const libsd_instance *instance;

    put(sd, "/service/user/b", "10.0.0.2:80");
    put(sd, "/service/user/a",
        "{\"addr\":\"10.0.0.1:80\",\"weight\":5,\"metadata\":{\"zone\":\"x\"}}");
    put(sd, "/service/user/bad", "rubbish");
    put(sd, "/service/user/eu/c", "10.0.0.3:80");
    put(sd, "/service/user2/d", "10.0.0.4:80");
    put(sd, "/service/user", "10.0.0.5:80");
    put(sd, "/service/user/", "10.0.0.6:80");
    cr_assert_eq(libsd_discover(sd, "user", &snapshot, 0), 2);
    cr_assert_eq(libsd_snapshot_count(snapshot), 2);
    cr_assert_eq(libsd_snapshot_unreadable(snapshot), 1);
    cr_assert(libsd_snapshot_revision(snapshot) >= 8);
    instance = libsd_snapshot_at(snapshot, 0);
    cr_assert_str_eq(instance->service, "user");
    cr_assert_str_eq(instance->name, "a");
    cr_assert_str_eq(instance->host, "10.0.0.1");
    cr_assert_eq(instance->port, 80);
    cr_assert_eq(instance->weight, 5);
    cr_assert_eq(instance->create_revision, instance->mod_revision);
    cr_assert(memmem(instance->value.data, instance->value.size, "\"zone\":\"x\"", 10) != NULL);
    cr_assert_str_eq(libsd_snapshot_at(snapshot, 1)->name, "b");
    cr_assert_null(libsd_snapshot_at(snapshot, 2));
    cr_assert_eq(libsd_snapshot_find(snapshot, "user", "b"), libsd_snapshot_at(snapshot, 1));
    cr_assert_null(libsd_snapshot_find(snapshot, "user", "c"));
    libsd_snapshot_unref(snapshot);

    cr_assert_eq(libsd_discover(sd, "nobody", &snapshot, 0), 0);
    cr_assert_eq(libsd_snapshot_count(snapshot), 0);
    libsd_snapshot_unref(snapshot);

    cr_assert_eq(libsd_discover(sd, NULL, &snapshot, 0), 4);
    cr_assert_str_eq(libsd_snapshot_at(snapshot, 2)->service, "user/eu");
    cr_assert_str_eq(libsd_snapshot_at(snapshot, 3)->service, "user2");
    libsd_snapshot_unref(snapshot);
}

Test(discovery, bad_arguments_are_refused)
{
    libsd_snapshot *snapshot;
    libsd_discovery *made;

    cr_assert_eq(libsd_discover(sd, "", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_null(snapshot);
    cr_assert_eq(libsd_discover(sd, "/user", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_discover(sd, "user/", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_discover(sd, "a//b", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_discover(sd, "user", NULL, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_discover(sd, "user", &snapshot, -1), LIBSD_EINVAL);
    cr_assert_eq(libsd_watch_service(sd, "user", NULL, NULL, &made), LIBSD_EINVAL);
    cr_assert_eq(libsd_watch_service(sd, "", write_down, &diary, &made), LIBSD_EINVAL);
    cr_assert_eq(libsd_watch_service(NULL, "user", write_down, &diary, &made), LIBSD_EINVAL);
    libsd_discovery_close(NULL);
    libsd_snapshot_unref(NULL);
    cr_assert_eq(libsd_snapshot_count(NULL), 0);
}

/* ---- what is told ------------------------------------------------------- */

Test(discovery, life_of_instances_is_told_with_reasons)
{
    libsd_discovery *watched;

    enter("i1", "10.0.0.1:80");
    watched = watch("user", &diary);
    SAYS("+i1:present synced ", 5);
    forget(&diary);
    enter("i2", "10.0.0.2:80");
    SAYS("+i2:registered ", 5);
    enter("i2", "10.0.0.3:80");
    SAYS("+i2:registered ~i2:updated ", 5);
    cr_assert_eq(libsd_deregister(other, "user", "i2", 0), 0);
    SAYS("+i2:registered ~i2:updated -i2:deregistered ", 5);
    put(sd, "/service/user2/x", "10.0.0.9:80");
    put(sd, "/service/user/eu/x", "10.0.0.9:80");
    put(sd, "/service/user/p", "10.0.0.4:80");
    SAYS("+i2:registered ~i2:updated -i2:deregistered +p:registered ", 5);
    forget(&diary);
    libsd_delete(sd, libsd_str("/service/user/p"), 0);
    SAYS("-p:deregistered ", 5);
    libsd_close(other);
    SAYS("-p:deregistered -i1:lease ", 5);
    other = etcd_open(&etcd, NULL);
    cr_assert_not(diary.disordered);
    libsd_discovery_close(watched);
    enter("i3", "10.0.0.1:80");
    cr_assert(says(&diary, "-p:deregistered -i1:lease "));
}

Test(discovery, expired_lease_is_told_as_such)
{
    int64_t lease;

    watch("user", &diary);
    SAYS("synced ", 5);
    /* Nobody keeps it alive, as when a service was killed. */
    cr_assert_eq(libsd_lease_grant(other, 1, &lease, NULL, 0), 0);
    cr_assert_eq(
        libsd_put(other, libsd_str("/service/user/i1"), libsd_str("10.0.0.1:80"), lease, NULL, 0),
        0);
    SAYS("synced +i1:registered -i1:lease ", 12);
}

Test(discovery, same_value_again_is_no_change)
{
    watch("user", &diary);
    SAYS("synced ", 5);
    put(sd, "/service/user/a", "10.0.0.1:80");
    SAYS("synced +a:registered ", 5);
    put(sd, "/service/user/a", "10.0.0.1:80");
    put(sd, "/service/user/a", "10.0.0.2:80");
    SAYS("synced +a:registered ~a:updated ", 5);
}

Test(discovery, bad_value_costs_one_instance)
{
    libsd_discovery *watched = watch("user", &diary);
    libsd_snapshot *snapshot;

    SAYS("synced ", 5);
    put(sd, "/service/user/a", "10.0.0.1:80");
    put(sd, "/service/user/b", "no address");
    put(sd, "/service/user/c", "10.0.0.3:80");
    SAYS("synced +a:registered +c:registered ", 5);
    put(sd, "/service/user/a", "{");
    put(sd, "/service/user/b", "10.0.0.2:80");
    SAYS("synced +a:registered +c:registered -a:unreadable +b:updated ", 5);
    snapshot = libsd_discovery_snapshot(watched);
    cr_assert_eq(libsd_snapshot_count(snapshot), 2);
    cr_assert_eq(libsd_snapshot_unreadable(snapshot), 1);
    libsd_snapshot_unref(snapshot);
    libsd_delete(sd, libsd_str("/service/user/a"), 0);
    put(sd, "/service/user/a", "10.0.0.1:80");
    SAYS("synced +a:registered +c:registered -a:unreadable +b:updated +a:registered ", 5);
}

Test(discovery, all_services_are_watched_at_once)
{
    put(sd, "/service/shop/cart/a", "10.0.0.1:80");
    put(sd, "/service/stray", "10.0.0.1:80");
    watch(NULL, &diary);
    SAYS("+shop/cart|a:present synced ", 5);
    put(sd, "/service/user/b", "10.0.0.2:80");
    put(sd, "/service/shop/c", "10.0.0.2:80");
    put(sd, "/elsewhere/shop/c", "10.0.0.2:80");
    libsd_delete(sd, libsd_str("/service/shop/cart/a"), 0);
    SAYS("+shop/cart|a:present synced +b:registered +shop|c:registered "
         "-shop/cart|a:deregistered ",
         5);
}

/* ---- outages ------------------------------------------------------------ */

Test(discovery, restart_of_etcd_is_no_change)
{
    put(sd, "/service/user/a", "10.0.0.1:80");
    watch("user", &diary);
    SAYS("+a:present synced ", 5);
    etcd_kill(&etcd);
    SAYS("+a:present synced blind ", 5);
    etcd_restart(&etcd);
    SAYS("+a:present synced blind sight ", 10);
    put(other, "/service/user/b", "10.0.0.2:80");
    libsd_delete(other, libsd_str("/service/user/a"), 0);
    SAYS("+a:present synced blind sight +b:registered -a:deregistered ", 5);
}

Test(discovery, what_happened_during_an_outage_is_told_once)
{
    put(sd, "/service/user/a", "10.0.0.1:80");
    put(sd, "/service/user/b", "10.0.0.2:80");
    watch("user", &diary);
    SAYS("+a:present +b:present synced ", 5);
    etcd_freeze(&etcd); /* noticed by its silence alone */
    SAYS("+a:present +b:present synced blind ", 15);
    etcd_thaw(&etcd);
    put(other, "/service/user/a", "10.0.0.9:80");
    libsd_delete(other, libsd_str("/service/user/b"), 0);
    UNTIL(count(&diary, LIBSD_OFFLINE) == 1 && count(&diary, LIBSD_IN_SIGHT) == 1, 5);
    cr_assert_eq(count(&diary, LIBSD_CHANGED), 1);
    cr_assert_eq(count(&diary, LIBSD_ONLINE), 2);
}

Test(discovery, compacted_history_is_made_up_for_by_comparing)
{
    char url[sizeof etcd.url];

    put(sd, "/service/user/a", "10.0.0.1:80");
    put(sd, "/service/user/b", "10.0.0.2:80");
    put(sd, "/service/user/c", "10.0.0.3:80");
    watch("user", &diary);
    SAYS("+a:present +b:present +c:present synced ", 5);
    forget(&diary);
    etcd_kill(&etcd);
    SAYS("blind ", 5);
    strcpy(url, etcd.url);
    etcd_move(&etcd); /* sd does not find it there */
    etcd_restart(&etcd);
    libsd_close(other);
    other = etcd_open(&etcd, NULL);
    put(other, "/service/user/a", "10.0.0.9:80");
    libsd_delete(other, libsd_str("/service/user/b"), 0);
    put(other, "/service/user/d", "10.0.0.4:80");
    put(other, "/service/user/e", "10.0.0.5:80");
    libsd_delete(other, libsd_str("/service/user/e"), 0);
    etcd_compact(&etcd, put(other, "/other", "x"));
    etcd_kill(&etcd);
    strcpy(etcd.url, url);
    etcd_restart(&etcd);
    UNTIL(count(&diary, LIBSD_SYNCED) == 2 && count(&diary, LIBSD_IN_SIGHT) == 1, 10);
    cr_assert(strstr(diary.text, "~a:resync +d:resync -b:resync synced ") != NULL, "%s",
              diary.text);
    cr_assert_eq(count(&diary, LIBSD_ONLINE), 4);
    cr_assert_eq(count(&diary, LIBSD_OFFLINE), 1);
    cr_assert_eq(count(&diary, LIBSD_CHANGED), 1);
}

Test(discovery, wiped_store_is_told_as_a_difference)
{
    for (int i = 0; i < 10; i++)
        put(sd, "/service/user/a", "10.0.0.1:80");
    put(sd, "/service/user/b", "10.0.0.2:80");
    watch("user", &diary);
    SAYS("+a:present +b:present synced ", 5);
    forget(&diary);
    etcd_kill(&etcd);
    SAYS("blind ", 5);
    etcd_wipe(&etcd);
    etcd_restart(&etcd);
    UNTIL(count(&diary, LIBSD_OFFLINE) == 2, 10);
    cr_assert(strstr(diary.text, "-b:resync -a:resync synced ") != NULL, "%s", diary.text);
    UNTIL(count(&diary, LIBSD_IN_SIGHT) == 1, 10);
    put(other, "/service/user/b", "10.0.0.2:80");
    UNTIL(count(&diary, LIBSD_ONLINE) == 3, 5);
    cr_assert_eq(count(&diary, LIBSD_OFFLINE), 2);
}

Test(discovery, etcd_that_is_away_at_first_is_waited_for)
{
    libsd_discovery *watched;

    put(sd, "/service/user/a", "10.0.0.1:80");
    etcd_kill(&etcd);
    watched = watch("user", &diary);
    SAYS("blind ", 5);
    cr_assert_null(libsd_discovery_snapshot(watched));
    etcd_restart(&etcd);
    SAYS("blind +a:present synced sight ", 10);
}

/* ---- numbers ------------------------------------------------------------ */

enum {
    MANY = 10000
};

/* Instances from (first) on, in transactions of 100. */
static void enter_many(int first, int instances)
{
    static char body[1 << 16];
    char text[100];

    for (int i = first; i < first + instances; i += 100) {
        strcpy(body, "{\"success\":[");
        for (int n = i; n < i + 100; n++) {
            strcat(body, n > i ? ",{\"request_put\":{\"key\":\"" : "{\"request_put\":{\"key\":\"");
            snprintf(text, sizeof text, "/service/user/i%05d", n);
            add_base64(body, text);
            strcat(body, "\",\"value\":\"");
            snprintf(text, sizeof text, "10.%d.%d.%d:80", n >> 16, n >> 8 & 255, n & 255);
            add_base64(body, text);
            strcat(body, "\"}}");
        }
        strcat(body, "]}");
        cr_assert_eq(etcd_post(&etcd, "/v3/kv/txn", body), 200);
    }
}

Test(discovery, ten_thousand_instances_come_and_go)
{
    libsd_discovery *watched;
    libsd_snapshot *snapshot;
    char name[20];

    enter_many(0, MANY / 2);
    watched = watch("user", &diary);
    UNTIL(count(&diary, LIBSD_SYNCED) == 1, 10);
    cr_assert_eq(count(&diary, LIBSD_ONLINE), MANY / 2);
    enter_many(MANY / 2, MANY / 2);
    UNTIL(count(&diary, LIBSD_ONLINE) == MANY, 10);
    snapshot = libsd_discovery_snapshot(watched);
    cr_assert_eq(libsd_snapshot_count(snapshot), MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "i%05d", i);
        cr_assert_str_eq(libsd_snapshot_at(snapshot, (size_t)i)->name, name);
    }
    libsd_delete_prefix(other, libsd_str("/service/user/"), NULL, 0);
    UNTIL(count(&diary, LIBSD_OFFLINE) == MANY, 10);
    cr_assert_not(diary.disordered);
    /* Ours is as it was. */
    cr_assert_str_eq(libsd_snapshot_at(snapshot, MANY - 1)->host, "10.0.39.15");
    libsd_snapshot_unref(snapshot);
    snapshot = libsd_discovery_snapshot(watched);
    cr_assert_eq(libsd_snapshot_count(snapshot), 0);
    libsd_snapshot_unref(snapshot);
}

/* ---- callbacks ---------------------------------------------------------- */

static struct diary second;

Test(discovery, latecomer_is_told_what_is_there)
{
    libsd_discovery *watched;

    pthread_mutex_init(&second.mutex, NULL);
    put(sd, "/service/user/a", "10.0.0.1:80");
    watched = watch("user", &diary);
    SAYS("+a:present synced ", 5);
    put(sd, "/service/user/b", "10.0.0.2:80");
    SAYS("+a:present synced +b:registered ", 5);
    watch("user", &second);
    UNTIL(says(&second, "+a:present +b:present synced "), 5);
    libsd_discovery_close(watched);
    libsd_delete(sd, libsd_str("/service/user/a"), 0);
    UNTIL(says(&second, "+a:present +b:present synced -a:deregistered "), 5);
    SAYS("+a:present synced +b:registered ", 1);
}

Test(discovery, service_can_be_watched_again)
{
    put(sd, "/service/user/a", "10.0.0.1:80");
    for (int i = 0; i < 3; i++) {
        libsd_discovery *watched = watch("user", &diary);

        SAYS("+a:present synced ", 5);
        libsd_discovery_close(watched);
        forget(&diary);
    }
}

Test(discovery, callback_may_close_its_watch)
{
    put(sd, "/service/user/a", "10.0.0.1:80");
    put(sd, "/service/user/b", "10.0.0.1:80");
    pthread_mutex_init(&second.mutex, NULL);
    cr_assert_eq(libsd_watch_service(sd, "user", write_down, &second, &second.close), 0);
    watch("user", &diary);
    SAYS("+a:present +b:present synced ", 5);
    UNTIL(says(&second, "+a:present "), 5); /* each is told in its own time */
}

static int closed;

static void close_handle(const libsd_change *change, void *arg)
{
    (void)change;
    (void)arg;
    libsd_close(sd);
    __atomic_store_n(&closed, 1, __ATOMIC_SEQ_CST);
}

Test(discovery, callback_may_close_the_handle)
{
    put(sd, "/service/user/a", "10.0.0.1:80");
    put(sd, "/service/user/b", "10.0.0.1:80");
    cr_assert_eq(libsd_watch_service(sd, "user", close_handle, NULL, NULL), 0);
    UNTIL(__atomic_load_n(&closed, __ATOMIC_SEQ_CST), 5);
    sd = NULL;
    nap();
}

struct seen {
    int rc;
    int wait_rc;
    char name[256];
};

static void pick_inside(const libsd_change *change, void *arg)
{
    libsd_picked picked;
    struct seen *seen = arg;

    if (change->type != LIBSD_ONLINE || change->reason != LIBSD_REASON_REGISTERED)
        return;
    seen->wait_rc = libsd_pick(sd, "nobody", NULL, &picked);
    seen->rc = libsd_pick(sd, "user", NULL, &picked);
    strcpy(seen->name, picked.name);
    __atomic_store_n(&closed, 1, __ATOMIC_SEQ_CST);
}

Test(discovery, callback_picks_what_it_was_told_of)
{
    struct seen seen;

    cr_assert_eq(libsd_watch_service(sd, "user", pick_inside, &seen, NULL), 0);
    watch("user", &diary);
    SAYS("synced ", 5);
    put(sd, "/service/user/a", "10.0.0.1:80");
    UNTIL(__atomic_load_n(&closed, __ATOMIC_SEQ_CST), 5);
    cr_assert_eq(seen.rc, 0);
    cr_assert_str_eq(seen.name, "a");
    cr_assert_eq(seen.wait_rc, LIBSD_EDEADLOCK);
}

Test(discovery, manual_dispatch_runs_callbacks_in_dispatch)
{
    libsd_discovery *watched;

    libsd_close(sd);
    sd = etcd_open(&etcd, "manual");
    put(sd, "/service/user/a", "10.0.0.1:80");
    watched = watch("user", &diary);
    /* The snapshot does not wait for callbacks. */
    libsd_snapshot *snapshot = NULL;
    UNTIL((snapshot = libsd_discovery_snapshot(watched)) != NULL, 5);
    libsd_snapshot_unref(snapshot);
    cr_assert(says(&diary, ""));
    UNTIL((libsd_dispatch(sd, 0), says(&diary, "+a:present synced ")), 5);
}

Test(discovery, forked_child_is_refused)
{
    libsd_discovery *watched = watch("user", &diary);
    pid_t child;
    int status;

    SAYS("synced ", 5);
    child = fork();
    if (child == 0) {
        libsd_snapshot *snapshot;
        libsd_picked picked;
        int bad = 0;

        bad += libsd_discover(sd, "user", &snapshot, 0) != LIBSD_EFORKED;
        bad += libsd_watch_service(sd, "user", write_down, &diary, NULL) != LIBSD_EFORKED;
        bad += libsd_pick(sd, "user", NULL, &picked) != LIBSD_EFORKED;
        bad += libsd_report(sd, "user", &picked, 0) != LIBSD_EFORKED;
        bad += libsd_discovery_snapshot(watched) != NULL;
        bad += libsd_resolve(sd, "user", &snapshot, 0) != LIBSD_EFORKED;
        libsd_discovery_close(watched);
        libsd_close(sd);
        _exit(bad);
    }
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    put(sd, "/service/user/a", "10.0.0.1:80");
    SAYS("synced +a:registered ", 5);
}

/* ---- picking from etcd -------------------------------------------------- */

Test(discovery, picks_go_round)
{
    int got[3] = { 0 };
    libsd_picked picked;

    put(sd, "/service/user/0", "10.0.0.1:80");
    put(sd, "/service/user/1", "[2001:db8::1]:81");
    put(sd, "/service/user/2", "db.example.com:82");
    for (int i = 0; i < 30; i++) {
        char text[300];

        cr_assert_eq(libsd_pick(sd, "user", NULL, &picked), 0);
        cr_assert_eq(picked.source, LIBSD_SOURCE_ETCD);
        got[picked.name[0] - '0']++;
        libsd_picked_text(&picked, text, sizeof text);
        cr_assert_str_eq(text, picked.name[0] == '0'   ? "10.0.0.1:80"
                               : picked.name[0] == '1' ? "[2001:db8::1]:81"
                                                       : "db.example.com:82");
    }
    for (int i = 0; i < 3; i++)
        cr_assert_eq(got[i], 10);
    cr_assert_eq(libsd_pick(sd, "nobody", NULL, &picked), LIBSD_ENOTFOUND);
    cr_assert_eq(libsd_pick(sd, "a//b", NULL, &picked), LIBSD_EINVAL);
    cr_assert_eq(libsd_pick(sd, "", NULL, &picked), LIBSD_EINVAL);
    cr_assert_eq(libsd_pick(sd, NULL, NULL, &picked), LIBSD_EINVAL);
}

Test(discovery, failed_instance_rests)
{
    libsd_picked picked, failed;

    put(sd, "/service/user/0", "10.0.0.1:80");
    put(sd, "/service/user/1", "10.0.0.2:80");
    cr_assert_eq(libsd_pick(sd, "user", NULL, &failed), 0);
    cr_assert_eq(libsd_report(sd, "user", &failed, 0), 0);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(libsd_pick(sd, "user", NULL, &picked), 0);
        cr_assert_str_neq(picked.name, failed.name);
    }
    cr_assert_eq(libsd_report(sd, "user", &failed, 1), 0);
    UNTIL((libsd_pick(sd, "user", NULL, &picked), strcmp(picked.name, failed.name) == 0), 1);
}

Test(discovery, picks_outlive_etcd)
{
    libsd_pick_options never = { .size = sizeof never, .timeout_ms = -1 };
    libsd_picked picked;
    char detail[300];

    cr_assert_eq(libsd_pick(sd, "user", &never, &picked), LIBSD_EUNAVAILABLE);
    put(sd, "/service/user/0", "10.0.0.1:80");
    UNTIL(libsd_pick(sd, "user", &never, &picked) == 0, 5);
    etcd_kill(&etcd);
    watch("user", &diary);
    UNTIL(count(&diary, LIBSD_OUT_OF_SIGHT) == 1, 10);
    cr_assert_eq(libsd_pick(sd, "user", &never, &picked), 0);
    never.timeout_ms = 100;
    cr_assert_eq(libsd_pick(sd, "nobody", &never, &picked), LIBSD_ETIMEDOUT);
    cr_assert(libsd_error_detail(sd, detail, sizeof detail) > 0);
    cr_assert(strstr(detail, "nobody: no list yet") != NULL, "%s", detail);
}

Test(discovery, names_are_resolved_from_etcd)
{
    libsd_options *options;
    libsd_snapshot *snapshot;

    put(sd, "/service/user/i1", "10.0.0.1:80");
    put(sd, "/service/user/i2", "10.0.0.2:80");
    put(sd, "/service/shop/user/i3", "10.0.0.3:80");
    cr_assert_eq(libsd_resolve(sd, "user", &snapshot, 0), 2);
    libsd_snapshot_unref(snapshot);
    cr_assert_eq(libsd_resolve(sd, "shop/user", &snapshot, 0), 1);
    libsd_snapshot_unref(snapshot);
    cr_assert_eq(libsd_resolve(sd, "User.Service.etcd.", &snapshot, 0), 2);
    libsd_snapshot_unref(snapshot);
    cr_assert_eq(libsd_resolve(sd, "user.shop.service.etcd", &snapshot, 0), 1);
    libsd_snapshot_unref(snapshot);
    cr_assert_eq(libsd_resolve(sd, "i2.user.service.etcd", &snapshot, 0), 1);
    cr_assert_str_eq(libsd_snapshot_at(snapshot, 0)->host, "10.0.0.2");
    libsd_snapshot_unref(snapshot);
    cr_assert_eq(libsd_resolve(sd, "i3.user.service.etcd", &snapshot, 0), LIBSD_ENOTFOUND);
    cr_assert_null(snapshot);
    cr_assert_eq(libsd_resolve(sd, "user.shop", &snapshot, 0), LIBSD_ENOTFOUND);
    cr_assert_eq(libsd_resolve(sd, ".service.etcd", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_resolve(sd, "a..b.service.etcd", &snapshot, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_resolve(sd, "", &snapshot, 0), LIBSD_EINVAL);

    libsd_options_new(&options);
    libsd_options_load(options, "");
    libsd_options_set(options, "endpoints", etcd.url);
    libsd_options_set(options, "domain", ".Other.Example.");
    libsd_close(other);
    cr_assert_eq(libsd_open(&other, options), 0);
    libsd_options_free(options);
    cr_assert_eq(libsd_resolve(other, "user.other.example", &snapshot, 0), 2);
    libsd_snapshot_unref(snapshot);
}
