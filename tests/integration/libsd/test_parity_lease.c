/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Leases and keeping alive as programs know them from etcd-cpp-apiv3; see
 * test_parity_kv.c.  Where that library ends, libsd mends: a lost lease is
 * replaced, and what was registered under it is put again.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "etcd.h"

#define SERVICE_KEY "/service/parity/one"

static struct etcd etcd;
static libsd *sd;

static void setup(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
}

static void teardown(void)
{
    libsd_close(sd);
    etcd_end(&etcd);
}

TestSuite(parity_lease, .init = setup, .fini = teardown, .timeout = 60);

static int64_t grant(int64_t ttl_s)
{
    int64_t lease = 0;

    cr_assert_eq(libsd_lease_grant(sd, ttl_s, &lease, NULL, 0), 0);
    cr_assert_neq(lease, 0);
    return lease;
}

/* The lease of a key; 0 if it has none or is not there. */
static int64_t lease_of(const char *key)
{
    libsd_kvs *kvs = NULL;
    int64_t lease = 0;

    if (libsd_get(sd, libsd_str(key), &kvs, 0) == 0)
        lease = libsd_kvs_at(kvs, 0)->lease;
    libsd_kvs_free(kvs);
    return lease;
}

static int put_with(const char *key, int64_t lease)
{
    return libsd_put(sd, libsd_str(key), libsd_str("43"), lease, NULL, 0);
}

Test(parity_lease, grant_gives_a_lease_for_keys)
{
    int64_t ttl_s = 0;
    int64_t lease = 0;

    cr_assert_eq(libsd_lease_grant(sd, 60, &lease, &ttl_s, 0), 0);
    cr_assert_eq(ttl_s, 60);
    cr_assert_eq(put_with("/k", lease), 0);
    cr_assert_eq(lease_of("/k"), lease);
}

Test(parity_lease, key_moves_to_another_lease)
{
    int64_t first = grant(60);
    int64_t second = grant(60);

    cr_assert_eq(put_with("/k", first), 0);
    cr_assert_eq(put_with("/k", second), 0);
    cr_assert_eq(lease_of("/k"), second);
    cr_assert_eq(libsd_lease_revoke(sd, first, 0), 0);
    cr_assert(has(sd, "/k", "43"));
}

Test(parity_lease, unknown_lease_is_told_in_etcds_words)
{
    char detail[300];

    cr_assert_eq(put_with("/k", 123456), LIBSD_ELEASE);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, "requested lease not found"), "%s", detail);
    cr_assert(absent(sd, "/k"));
}

Test(parity_lease, revoke_takes_the_keys_along)
{
    int64_t lease = grant(60);

    cr_assert_eq(put_with("/k", lease), 0);
    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), 0);
    cr_assert(absent(sd, "/k"));
    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), LIBSD_ELEASE);
}

Test(parity_lease, timetolive_is_bounded_by_what_was_granted)
{
    int64_t lease = grant(60);
    int64_t ttl_s = -1;
    int64_t granted_ttl_s = 0;

    cr_assert_eq(libsd_lease_ttl(sd, lease, &ttl_s, &granted_ttl_s, 0), 0);
    cr_assert_eq(granted_ttl_s, 60);
    cr_assert(ttl_s > 0 && ttl_s <= 60);
}

/* Theirs is a TTL of -1. */
Test(parity_lease, timetolive_of_a_lease_that_is_gone_is_an_error)
{
    int64_t lease = grant(60);

    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), 0);
    cr_assert_eq(libsd_lease_ttl(sd, lease, NULL, NULL, 0), LIBSD_ELEASE);
}

Test(parity_lease, leases_are_listed)
{
    int64_t wanted[2] = { grant(60), grant(60) };
    libsd_reply *reply = NULL;

    cr_assert_eq(libsd_leases(sd, &reply, 0), 0);
    cr_assert_eq(reply->lease_count, 2);
    for (int i = 0; i < 2; i++)
        cr_assert(reply->leases[0] == wanted[i] || reply->leases[1] == wanted[i]);
    libsd_reply_free(reply);
}

Test(parity_lease, check_renews_once_and_fails_when_it_is_gone)
{
    int64_t lease = grant(60);
    int64_t ttl_s = 0;

    cr_assert_eq(libsd_lease_keepalive(sd, lease, &ttl_s, 0), 0);
    cr_assert_eq(ttl_s, 60);
    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), 0);
    cr_assert_eq(libsd_lease_keepalive(sd, lease, NULL, 0), LIBSD_ELEASE);
}

/* Longer than the lease would last. */
Test(parity_lease, key_that_is_kept_alive_does_not_expire)
{
    double begin = seconds();
    int64_t lease;

    cr_assert_eq(libsd_register(sd, "parity", "one", "10.0.0.5:9090", 3, NULL), 0);
    lease = lease_of(SERVICE_KEY); /* it was granted with the registration */
    cr_assert_neq(lease, 0);
    while (seconds() - begin < 5) {
        cr_assert(has(sd, SERVICE_KEY, "10.0.0.5:9090"));
        nap();
    }
    cr_assert_eq(lease_of(SERVICE_KEY), lease);
}

/* ---- any lease ---------------------------------------------------------- */

/* States as letters: A, L, G. */
static struct {
    pthread_mutex_t mutex;
    char text[20];
    int error;
} kept = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void take_state(int64_t lease, int state, int error, void *arg)
{
    (void)lease;
    (void)arg;
    pthread_mutex_lock(&kept.mutex);
    strncat(kept.text, &"?\0A\0L\0G"[2 * state], sizeof kept.text - strlen(kept.text) - 1);
    kept.error = error;
    pthread_mutex_unlock(&kept.mutex);
}

static bool is_told(const char *text)
{
    bool same;

    pthread_mutex_lock(&kept.mutex);
    same = strcmp(kept.text, text) == 0;
    pthread_mutex_unlock(&kept.mutex);
    return same;
}

/* KeepAlive(client, ttl, lease): longer than it would last, and no longer. */
Test(parity_lease, any_lease_is_kept_alive_until_it_is_closed)
{
    int64_t lease = grant(2);
    libsd_keepalive *keepalive = NULL;
    double begin = seconds();

    cr_assert_eq(put_with("/k", lease), 0);
    cr_assert_eq(libsd_keepalive_start(sd, lease, take_state, NULL, &keepalive), 0);
    while (seconds() - begin < 5) {
        cr_assert(has(sd, "/k", "43"));
        nap();
    }
    cr_assert(is_told("A"), "%s", kept.text);
    libsd_keepalive_close(keepalive);
    UNTIL(absent(sd, "/k"), 10);
    cr_assert(is_told("A"), "%s", kept.text);
}

/* Over a time without etcd; the handler of theirs is told once and for all. */
Test(parity_lease, keepalive_tells_when_it_is_late_and_when_the_lease_is_gone)
{
    int64_t lease = grant(2);
    libsd_keepalive *keepalive = NULL;

    cr_assert_eq(put_with("/k", lease), 0);
    cr_assert_eq(libsd_keepalive_start(sd, lease, take_state, NULL, &keepalive), 0);
    UNTIL(is_told("A"), 10);
    etcd_kill(&etcd);
    UNTIL(is_told("AL"), 10);
    cr_assert_eq(kept.error, LIBSD_ETIMEDOUT);
    etcd_restart(&etcd);
    UNTIL(is_told("ALA"), 10);
    cr_assert(has(sd, "/k", "43"));
    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), 0);
    UNTIL(is_told("ALAG"), 10);
    cr_assert_eq(kept.error, LIBSD_ELEASE);
    libsd_keepalive_close(keepalive);
    libsd_keepalive_close(NULL);
    cr_assert_eq(libsd_keepalive_start(sd, 0, NULL, NULL, &keepalive), LIBSD_EINVAL);
}

/* A second one of the same lease, and one that the handle has to end. */
Test(parity_lease, keepalive_of_a_lease_that_never_was_says_so)
{
    libsd_keepalive *keepalive = NULL;
    libsd_keepalive *left = NULL;

    cr_assert_eq(libsd_keepalive_start(sd, 123456, take_state, NULL, &keepalive), 0);
    UNTIL(is_told("G"), 10);
    libsd_keepalive_close(keepalive);
    cr_assert_eq(libsd_keepalive_start(sd, grant(60), NULL, NULL, &left), 0);
}

/* Theirs ends with the handler; ours comes back under another lease. */
Test(parity_lease, revoked_lease_is_replaced)
{
    int64_t lease;

    cr_assert_eq(libsd_register(sd, "parity", "one", "10.0.0.5:9090", 3, NULL), 0);
    lease = lease_of(SERVICE_KEY);
    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), 0);
    UNTIL(has(sd, SERVICE_KEY, "10.0.0.5:9090"), 10);
    cr_assert_neq(lease_of(SERVICE_KEY), lease);
    cr_assert_neq(lease_of(SERVICE_KEY), 0);
}

Test(parity_lease, cancelling_ends_the_lease)
{
    int64_t lease;
    libsd *other = etcd_open(&etcd, NULL);

    cr_assert_eq(libsd_register(other, "parity", "one", "10.0.0.5:9090", 60, NULL), 0);
    lease = lease_of(SERVICE_KEY);
    cr_assert_eq(libsd_deregister(other, "parity", "one", 0), 0);
    cr_assert(absent(sd, SERVICE_KEY));
    libsd_close(other);
    UNTIL(libsd_lease_ttl(sd, lease, NULL, NULL, 0) == LIBSD_ELEASE, 10);
}
