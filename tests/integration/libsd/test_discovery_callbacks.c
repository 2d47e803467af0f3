/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Callbacks of watched services: who is told what, on which thread, and what they
 * may do meanwhile.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "outlook.h"

TestSuite(discovery_callbacks, .init = outlook_begin, .fini = outlook_end, .timeout = 90);

static struct diary second;

Test(discovery_callbacks, latecomer_is_told_what_is_there)
{
    libsd_discovery *watched;

    diary_init(&second);
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    watched = outlook_watch("user", &outlook.diary);
    TOLD("+a:present synced ", 5);
    put(outlook.sd, "/service/user/b", "10.0.0.2:80");
    TOLD("+a:present synced +b:registered ", 5);
    outlook_watch("user", &second);
    UNTIL(diary_says(&second, "+a:present +b:present synced "), 5);
    libsd_discovery_close(watched);
    libsd_delete(outlook.sd, libsd_str("/service/user/a"), 0);
    UNTIL(diary_says(&second, "+a:present +b:present synced -a:deregistered "), 5);
    TOLD("+a:present synced +b:registered ", 1);
}

Test(discovery_callbacks, service_can_be_watched_again)
{
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    for (int i = 0; i < 3; i++) {
        libsd_discovery *watched = outlook_watch("user", &outlook.diary);

        TOLD("+a:present synced ", 5);
        libsd_discovery_close(watched);
        diary_forget(&outlook.diary);
    }
}

Test(discovery_callbacks, callback_may_close_its_watch)
{
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    put(outlook.sd, "/service/user/b", "10.0.0.1:80");
    diary_init(&second);
    cr_assert_eq(libsd_watch_service(outlook.sd, "user", diary_take, &second, &second.close), 0);
    outlook_watch("user", &outlook.diary);
    TOLD("+a:present +b:present synced ", 5);
    UNTIL(diary_says(&second, "+a:present "), 5); /* each is told in its own time */
}

static int closed;

static void close_handle(const libsd_change *change, void *arg)
{
    (void)change;
    (void)arg;
    libsd_close(outlook.sd);
    __atomic_store_n(&closed, 1, __ATOMIC_SEQ_CST);
}

Test(discovery_callbacks, callback_may_close_the_handle)
{
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    put(outlook.sd, "/service/user/b", "10.0.0.1:80");
    cr_assert_eq(libsd_watch_service(outlook.sd, "user", close_handle, NULL, NULL), 0);
    UNTIL(__atomic_load_n(&closed, __ATOMIC_SEQ_CST), 5);
    outlook.sd = NULL;
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
    seen->wait_rc = libsd_pick(outlook.sd, "nobody", NULL, &picked);
    seen->rc = libsd_pick(outlook.sd, "user", NULL, &picked);
    strcpy(seen->name, picked.name);
    __atomic_store_n(&closed, 1, __ATOMIC_SEQ_CST);
}

Test(discovery_callbacks, callback_picks_what_it_was_told_of)
{
    struct seen seen;

    cr_assert_eq(libsd_watch_service(outlook.sd, "user", pick_inside, &seen, NULL), 0);
    outlook_watch("user", &outlook.diary);
    TOLD("synced ", 5);
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    UNTIL(__atomic_load_n(&closed, __ATOMIC_SEQ_CST), 5);
    cr_assert_eq(seen.rc, 0);
    cr_assert_str_eq(seen.name, "a");
    cr_assert_eq(seen.wait_rc, LIBSD_EDEADLOCK);
}

Test(discovery_callbacks, manual_dispatch_runs_callbacks_in_dispatch)
{
    libsd_discovery *watched;

    libsd_close(outlook.sd);
    outlook.sd = etcd_open(&outlook.etcd, "manual");
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    watched = outlook_watch("user", &outlook.diary);
    /* The snapshot does not wait for callbacks. */
    libsd_snapshot *snapshot = NULL;
    UNTIL((snapshot = libsd_discovery_snapshot(watched)) != NULL, 5);
    libsd_snapshot_unref(snapshot);
    cr_assert(diary_says(&outlook.diary, ""));
    UNTIL((libsd_dispatch(outlook.sd, 0), diary_says(&outlook.diary, "+a:present synced ")), 5);
}

Test(discovery_callbacks, forked_child_is_refused)
{
    libsd_discovery *watched = outlook_watch("user", &outlook.diary);
    pid_t child;
    int status;

    TOLD("synced ", 5);
    child = fork();
    if (child == 0) {
        libsd_snapshot *snapshot;
        libsd_picked picked;
        int bad = 0;

        bad += libsd_discover(outlook.sd, "user", &snapshot, 0) != LIBSD_EFORKED;
        bad += libsd_watch_service(outlook.sd, "user", diary_take, &outlook.diary, NULL) !=
               LIBSD_EFORKED;
        bad += libsd_pick(outlook.sd, "user", NULL, &picked) != LIBSD_EFORKED;
        bad += libsd_report(outlook.sd, "user", &picked, 0) != LIBSD_EFORKED;
        bad += libsd_discovery_snapshot(watched) != NULL;
        bad += libsd_resolve(outlook.sd, "user", &snapshot, 0) != LIBSD_EFORKED;
        libsd_discovery_close(watched);
        libsd_close(outlook.sd);
        _exit(bad);
    }
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    put(outlook.sd, "/service/user/a", "10.0.0.1:80");
    TOLD("synced +a:registered ", 5);
}
