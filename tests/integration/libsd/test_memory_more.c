/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Operations, locks, elections and discovery, without any one of libsd's
 * allocations.
 */
#include <criterion/criterion.h>
#include <libsd-discovery.h>
#include <libsd-etcd.h>
#include <libsd-lock.h>
#include <string.h>

#include "scarce.h"

TestSuite(memory, .init = scarce_setup, .fini = scarce_teardown, .timeout = 1200);

/* ---- operations --------------------------------------------------------- */

/* Puts a key and reads the one it has written. */
static int transact(libsd *sd, libsd_reply **reply)
{
    libsd_slice key = libsd_str("/memory/t");
    libsd_compare compare = libsd_compare_version(key, LIBSD_GREATER, -1);
    libsd_txn *txn = NULL;
    libsd_op op;
    int rc = libsd_txn_new(&txn);

    if (rc == 0) {
        libsd_txn_if(txn, &compare);
        op = libsd_op_put(key, libsd_str("1"), 0, LIBSD_PREV_KV);
        libsd_txn_then(txn, &op);
        op = libsd_op_get(key);
        libsd_txn_then(txn, &op);
        op = libsd_op_delete(key, 0);
        libsd_txn_else(txn, &op);
        op = libsd_op_txn(txn);
        rc = libsd_execute(sd, &op, 0, reply);
    }
    libsd_txn_free(txn);
    if (rc < 0) {
        libsd_reply_free(*reply);
        *reply = NULL;
    }
    return rc;
}

struct told {
    atomic_int count;
    int error;
    size_t keys;
};

static void take_reply(libsd *sd, const libsd_reply *reply, void *arg)
{
    struct told *told = arg;

    (void)sd;
    told->error = reply->error;
    told->keys = libsd_kvs_count(reply->kvs);
    atomic_fetch_add(&told->count, 1);
}

/* What was started is told once, whatever was missing. */
static int start_and_wait(libsd *sd, const libsd_op *op, struct told *told)
{
    int before = told->count;
    int rc = libsd_start(sd, op, 0, take_reply, told, NULL);

    if (rc < 0)
        return rc;
    UNTIL(told->count > before, 10);
    return told->error;
}

static void operate(libsd *sd)
{
    const libsd_op list = libsd_op_list(libsd_str("/memory/"), 0);
    const libsd_op put_it = libsd_op_put(libsd_str("/memory/o"), libsd_str("1"), 0, 0);
    libsd_reply *reply = NULL;
    static struct told told;
    int64_t lease = 0;
    int rc;

    cr_assert_eq(CALL(transact(sd, &reply)), 0);
    cr_assert(reply->succeeded && reply->reply_count == 2);
    cr_assert_eq(libsd_kvs_count(reply->replies[1]->kvs), 1);
    libsd_reply_free(reply);
    cr_assert_eq(CALL(start_and_wait(sd, &put_it, &told)), 0);
    cr_assert_eq(CALL(start_and_wait(sd, &list, &told)), 0);
    cr_assert_eq(told.keys, 2);
    cr_assert_eq(CALL(libsd_lease_grant(sd, 60, &lease, NULL, 0)), 0);
    rc = CALL(libsd_lease_revoke(sd, lease, 0));
    cr_assert(rc == 0 || rc == LIBSD_ELEASE, "%s", libsd_strerror(rc));
}

Test(memory, operations_fail_as_a_whole_and_can_be_made_again)
{
    every_allocation(operate);
}

/* ---- locks and elections ------------------------------------------------ */

static bool is_empty(const char *prefix)
{
    libsd_kvs *kvs = NULL;
    bool empty =
        libsd_list(witness, libsd_str(prefix), 0, &kvs, 0) == 0 && libsd_kvs_count(kvs) == 0;

    libsd_kvs_free(kvs);
    return empty;
}

static atomic_int lock_state;

static void take_lock(libsd_mutex *mutex, int state, int error, void *arg)
{
    (void)mutex;
    (void)error;
    (void)arg;
    lock_state = state;
}

static void give_back(libsd_mutex *mutex)
{
    int rc;

    in_libsd = true;
    rc = libsd_unlock(mutex, 5000);
    in_libsd = false;
    cr_assert(rc == 0 || rc == LIBSD_ENOMEM, "%s", libsd_strerror(rc));
    UNTIL(SEEN(is_empty("lock/")), 10); /* after ENOMEM, too */
}

static void lock(libsd *sd)
{
    libsd_mutex *mutex = NULL;

    lock_state = 0;
    cr_assert_eq(CALL(libsd_lock(sd, "lock", 5, 5000, &mutex)), 0);
    cr_assert(libsd_lock_is_held(mutex));
    give_back(mutex);
    cr_assert_eq(CALL(libsd_lock_start(sd, "lock", NULL, take_lock, NULL, &mutex)), 0);
    UNTIL(lock_state == LIBSD_LOCK_HELD || lock_state == LIBSD_LOCK_FAILED, 10);
    in_libsd = true;
    libsd_lock_release(mutex);
    in_libsd = false;
    UNTIL(lock_state == LIBSD_LOCK_RELEASED || lock_state == LIBSD_LOCK_FAILED, 10);
    give_back(mutex);
}

Test(memory, locks_are_held_given_back_and_told_of)
{
    every_allocation(lock);
}

static atomic_int elected;

static void take_leader(int state, const libsd_kv *leader, int error, void *arg)
{
    (void)leader;
    (void)error;
    (void)arg;
    if (state == LIBSD_LEADER_ELECTED)
        atomic_fetch_add(&elected, 1);
}

static void elect(libsd *sd)
{
    libsd_leadership *leadership = NULL;
    libsd_observer *observer = NULL;
    libsd_kvs *kvs = NULL;

    elected = 0;
    cr_assert_eq(CALL(libsd_observe(sd, "lock", take_leader, NULL, &observer)), 0);
    cr_assert_eq(CALL(libsd_campaign(sd, "lock", libsd_str("me"), 5, 5000, &leadership)), 0);
    cr_assert_eq(CALL(libsd_leader(sd, "lock", &kvs, 0)), 0);
    libsd_kvs_free(kvs);
    UNTIL(elected >= 1, 10);
    cr_assert_eq(CALL(libsd_proclaim(leadership, libsd_str("still me"), 0)), 0);
    UNTIL(elected >= 2, 10);
    give_back(leadership);
    libsd_observe_close(observer);
}

Test(memory, leaders_are_elected_and_observed)
{
    every_allocation(elect);
}

/* ---- discovery ---------------------------------------------------------- */

struct seen {
    atomic_int synced;
    atomic_int online;
    atomic_int offline;
};

static void take_change(const libsd_change *change, void *arg)
{
    struct seen *seen = arg;

    seen->synced += change->type == LIBSD_SYNCED;
    seen->online += change->type == LIBSD_ONLINE;
    seen->offline += change->type == LIBSD_OFFLINE;
}

static void take_snapshots(libsd *sd, libsd_discovery *discovery)
{
    libsd_snapshot *snapshot = NULL;

    cr_assert_eq(CALL(libsd_discover(sd, "user", &snapshot, 0)), 2);
    cr_assert_eq(libsd_snapshot_count(snapshot), 2);
    libsd_snapshot_unref(snapshot);
    for (int tries = 0; tries < 2; tries++) {
        in_libsd = true;
        snapshot = libsd_discovery_snapshot(discovery);
        in_libsd = false;
        if (snapshot)
            break;
    }
    cr_assert_eq(libsd_snapshot_count(snapshot), 2);
    libsd_snapshot_unref(snapshot);
}

static void discover(libsd *sd)
{
    static struct seen seen;
    libsd_discovery *discovery = NULL;
    libsd_picked picked;

    memset(&seen, 0, sizeof seen);
    SEEN(put(witness, "/memory/user/a", "10.0.0.1:1"));
    SEEN(put(witness, "/memory/user/b", "10.0.0.1:2"));
    cr_assert_eq(CALL(libsd_watch_service(sd, "user", take_change, &seen, &discovery)), 0);
    UNTIL(seen.synced == 1 && seen.online == 2, 10);
    take_snapshots(sd, discovery);
    cr_assert_eq(CALL(libsd_pick(sd, "user", NULL, &picked)), 0);
    cr_assert_eq(CALL(libsd_report(sd, "user", &picked, 0)), 0);
    cr_assert_eq(SEEN(libsd_delete(witness, libsd_str("/memory/user/a"), 0)), 1);
    SEEN(put(witness, "/memory/user/c", "10.0.0.1:3"));
    UNTIL(seen.offline == 1 && seen.online == 3, 10);
    libsd_discovery_close(discovery);
    cr_assert_eq(SEEN(libsd_delete(witness, libsd_str("/memory/user/c"), 0)), 1);
}

Test(memory, services_are_discovered_and_picked)
{
    every_allocation(discover);
}
