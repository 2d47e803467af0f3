/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Clients, endpoints, time limits and replies as programs know them from
 * etcd-cpp-apiv3; see test_parity_kv.c.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "etcd.h"
#include "proxy.h"
#include "scene.h"
#include "tls.h"
#include "users.h"

static struct etcd etcd;
static libsd *sd;

static void teardown(void)
{
    libsd_close(sd);
    etcd_end(&etcd);
}

TestSuite(parity_client, .fini = teardown, .timeout = 60);

static void start(void)
{
    etcd_start(&etcd);
    sd = etcd_open(&etcd, NULL);
}

/* What their tests of every kind of client do. */
static void basic_calls_work(const char *key)
{
    libsd_kvs *kvs = NULL;

    cr_assert_eq(libsd_create(sd, libsd_str(key), libsd_str("42"), 0, NULL, 0), 0);
    cr_assert(has(sd, key, "42"));
    cr_assert_eq(libsd_create(sd, libsd_str(key), libsd_str("43"), 0, NULL, 0), LIBSD_ECONFLICT);
    cr_assert_eq(libsd_replace(sd, libsd_str(key), libsd_str("43"), 0, NULL, 0), 0);
    cr_assert(has(sd, key, "43"));
    cr_assert_eq(libsd_keys(sd, libsd_str(key), &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 1);
    libsd_kvs_free(kvs);
    cr_assert_eq(libsd_delete(sd, libsd_str(key), 0), 1);
    cr_assert(absent(sd, key));
}

Test(parity_client, list_of_urls_is_taken)
{
    char urls[200];

    etcd_start(&etcd);
    snprintf(urls, sizeof urls, "http://127.0.0.1:1,%s", etcd.url);
    sd = open_with(urls, NULL);
    basic_calls_work("/k");
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

    close(fd);
    return bound;
}

Test(parity_client, addresses_of_both_families_are_taken)
{
    etcd_prepare(&etcd);
    if (has_ipv6())
        etcd.also_at = "http://[::1]";
    etcd_boot(&etcd);
    sd = open_with(strstr(etcd.url, "127."), NULL);
    basic_calls_work("/k4");
    if (!etcd.also_at)
        return;
    libsd_close(sd);
    sd = open_with(etcd.also, NULL);
    basic_calls_work("/k6");
}

Test(parity_client, user_and_password_let_in)
{
    libsd *stranger;
    libsd_kvs *kvs = NULL;

    etcd_start(&etcd);
    users_start(&etcd);
    sd = open_with(etcd.url, "user", "root", "password", ROOT_PASSWORD, NULL);
    basic_calls_work("/k");
    stranger = open_with(etcd.url, "user", "root", "password", "wrong", NULL);
    cr_assert_eq(libsd_get(stranger, libsd_str("/k"), &kvs, 0), LIBSD_EAUTH);
    libsd_close(stranger);
}

Test(parity_client, certificates_of_both_sides_are_used)
{
    tls_start(&etcd, NULL, "ca");
    sd = open_with(etcd.also, "cacert", tls_file(&etcd, "ca.crt"), "cert",
                   tls_file(&etcd, "client.crt"), "key", tls_file(&etcd, "client.key"), NULL);
    basic_calls_work("/k");
}

Test(parity_client, head_tells_cluster_and_version)
{
    libsd_reply *reply = NULL;

    start();
    cr_assert_eq(libsd_status(sd, NULL, &reply, 0), 0);
    cr_assert(reply->cluster_id != 0 && reply->member_id != 0 && reply->raft_term != 0);
    cr_assert_eq(reply->revision, put(sd, "/k", "42") - 1);
    cr_assert_eq(reply->status->version[0], '3');
    cr_assert_eq(reply->status->leader, reply->member_id);
    libsd_reply_free(reply);
}

Test(parity_client, members_are_listed)
{
    libsd_reply *reply = NULL;

    start();
    cr_assert_eq(libsd_members(sd, &reply, 0), 0);
    cr_assert_eq(reply->member_count, 1);
    cr_assert_str_eq(reply->members[0]->client_urls[0], etcd.url);
    cr_assert_str_eq(reply->members[0]->peer_urls[0], etcd.peer);
    libsd_reply_free(reply);
}

/* Without a vote, so that the others go on without it. */
Test(parity_client, member_is_added_and_removed)
{
    static const char peer[] = "http://127.0.0.1:1";
    libsd_reply *reply = NULL;
    uint64_t id;

    start();
    cr_assert_eq(libsd_member_add(sd, peer, 1, &reply, 0), 0);
    cr_assert_eq(reply->member_count, 2);
    cr_assert_not_null(reply->member);
    cr_assert_str_eq(reply->member->peer_urls[0], peer);
    cr_assert(reply->member->is_learner);
    id = reply->member->id;
    libsd_reply_free(reply);
    cr_assert_eq(libsd_member_add(sd, peer, 1, NULL, 0), LIBSD_EREFUSED);
    cr_assert_eq(libsd_members(sd, &reply, 0), 0);
    cr_assert(reply->member_count == 2 &&
              (reply->members[0]->id == id || reply->members[1]->id == id));
    libsd_reply_free(reply);
    cr_assert_eq(libsd_member_remove(sd, id, 0), 0);
    cr_assert_eq(libsd_member_remove(sd, id, 0), LIBSD_ENOTFOUND);
    cr_assert_eq(libsd_members(sd, &reply, 0), 0);
    cr_assert_eq(reply->member_count, 1);
    libsd_reply_free(reply);
    cr_assert_eq(libsd_member_add(sd, "", 1, NULL, 0), LIBSD_EINVAL);
}

/* Response::duration. */
Test(parity_client, reply_tells_how_long_it_took)
{
    libsd_op op = libsd_op_get(libsd_str("/k"));
    libsd_reply *reply = NULL;
    double begin;

    start();
    put(sd, "/k", "42");
    begin = seconds();
    cr_assert_eq(libsd_execute(sd, &op, 0, &reply), 0);
    cr_assert(reply->duration_us > 0 && (double)reply->duration_us <= (seconds() - begin) * 1e6);
    libsd_reply_free(reply);
    etcd_freeze(&etcd);
    cr_assert_eq(libsd_execute(sd, &op, 400, &reply), LIBSD_ETIMEDOUT);
    cr_assert(reply->duration_us >= 300000, "%lld us", (long long)reply->duration_us);
    libsd_reply_free(reply);
    etcd_thaw(&etcd);
}

/* What current_auth_token() is for: requests without the library. */
Test(parity_client, token_lets_other_requests_in)
{
    char token[sizeof etcd.token];
    int size;

    etcd_start(&etcd);
    sd = open_with(etcd.url, NULL);
    cr_assert_eq(libsd_auth_token(sd, token, sizeof token, 0), 0);
    libsd_close(sd);
    users_start(&etcd);
    sd = open_with(etcd.url, "user", "root", "password", ROOT_PASSWORD, NULL);
    size = libsd_auth_token(sd, token, sizeof token, 0);
    cr_assert(size > 0 && strlen(token) == (size_t)size);
    *etcd.token = '\0';
    cr_assert_neq(etcd_post(&etcd, "/v3/kv/range", "{\"key\":\"YQ==\"}"), 200);
    strcpy(etcd.token, token);
    cr_assert_eq(etcd_post(&etcd, "/v3/kv/range", "{\"key\":\"YQ==\"}"), 200);
    cr_assert_eq(libsd_auth_token(sd, token, 4, 0), size);
    cr_assert_eq(strlen(token), 3);
    libsd_close(sd);
    sd = open_with(etcd.url, "user", "root", "password", "wrong", NULL);
    cr_assert_eq(libsd_auth_token(sd, token, sizeof token, 0), LIBSD_EAUTH);
}

/* target_name_override: the certificate is for another host than the URL's. */
Test(parity_client, name_of_the_certificate_may_be_given)
{
    libsd_kvs *kvs = NULL;
    libsd_watch *watch = NULL;
    struct notes notes;

    tls_start(&etcd, "elsewhere", NULL);
    sd = open_with(etcd.also, "cacert", tls_file(&etcd, "ca.crt"), NULL);
    cr_assert_eq(libsd_get(sd, libsd_str("/k"), &kvs, 0), LIBSD_ETLS);
    libsd_close(sd);
    sd = open_with(etcd.also, "cacert", tls_file(&etcd, "ca.crt"), "server-name", "other.invalid",
                   NULL);
    basic_calls_work("/k");
    notes_init(&notes);
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/k"), 0, 0, notes_take, &notes, &watch), 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_CONNECTED) == 1, 10);
    put(sd, "/k", "43");
    UNTIL(notes_say(&notes, "+/k=43 "), 10);
    libsd_watch_close(watch);
    free(notes.text);
}

#define ENDPOINTS 3

/* Connections that each of several ways to one etcd has taken, behind some calls. */
static void call_by(const char *balance, struct proxy *proxies, int *counts)
{
    char urls[ENDPOINTS * sizeof proxies->url] = "";

    for (int i = 0; i < ENDPOINTS; i++)
        strcat(strcat(urls, i ? "," : ""), proxies[i].url);
    sd = open_with(urls, "balance", balance, NULL);
    for (int i = 0; i < 2 * ENDPOINTS; i++)
        put(sd, "/k", "42");
    libsd_close(sd);
    sd = NULL;
    for (int i = 0; i < ENDPOINTS; i++)
        counts[i] = proxy_count(&proxies[i]);
}

/* Theirs are called pick_first and round_robin. */
Test(parity_client, balance_chooses_who_is_asked)
{
    struct proxy proxies[ENDPOINTS];
    int first[ENDPOINTS];
    int turns[ENDPOINTS];
    libsd_options *options = NULL;

    etcd_start(&etcd);
    for (int i = 0; i < ENDPOINTS; i++)
        proxy_start(&proxies[i], etcd.url, NULL);
    call_by("first", proxies, first);
    cr_assert(first[0] == 1 && first[1] == 0 && first[2] == 0);
    call_by("turns", proxies, turns);
    for (int i = 0; i < ENDPOINTS; i++)
        cr_assert_eq(turns[i], first[i] + 1, "endpoint %d", i);
    cr_assert_eq(libsd_options_new(&options), 0);
    cr_assert_eq(libsd_options_set(options, "balance", "grpclb"), LIBSD_EINVAL);
    libsd_options_free(options);
    for (int i = 0; i < ENDPOINTS; i++)
        proxy_end(&proxies[i]);
}

Test(parity_client, timeout_of_the_handle_ends_calls)
{
    double begin;
    libsd_kvs *kvs = NULL;

    etcd_start(&etcd);
    sd = open_with(etcd.url, "timeout-ms", "500", NULL);
    put(sd, "/k", "42");
    etcd_freeze(&etcd);
    begin = seconds();
    cr_assert_eq(libsd_get(sd, libsd_str("/k"), &kvs, 0), LIBSD_ETIMEDOUT);
    cr_assert(seconds() - begin >= 0.4 && seconds() - begin < 10, "%g s", seconds() - begin);
    etcd_thaw(&etcd);
}

/* is_network_unavailable() and is_grpc_timeout(). */
Test(parity_client, unreachable_is_not_the_same_as_slow)
{
    libsd_kvs *kvs = NULL;

    start();
    put(sd, "/k", "42");
    etcd_freeze(&etcd);
    cr_assert_eq(libsd_get(sd, libsd_str("/k"), &kvs, 300), LIBSD_ETIMEDOUT);
    etcd_kill(&etcd);
    cr_assert_eq(libsd_get(sd, libsd_str("/k"), &kvs, 300), LIBSD_EUNAVAILABLE);
    cr_assert(libsd_error_is_retriable(LIBSD_ETIMEDOUT) &&
              libsd_error_is_retriable(LIBSD_EUNAVAILABLE) &&
              !libsd_error_is_retriable(LIBSD_ENOTFOUND));
}

Test(parity_client, error_has_code_message_and_detail)
{
    char detail[300];

    start();
    put(sd, "/k", "42");
    cr_assert_eq(libsd_put(sd, libsd_str("/k"), libsd_str(""), 99, NULL, 0), LIBSD_ELEASE);
    cr_assert(strlen(libsd_strerror(LIBSD_ELEASE)) > 0);
    cr_assert_str_eq(libsd_error_name(LIBSD_ELEASE), "LIBSD_ELEASE");
    cr_assert(libsd_error_detail(sd, detail, sizeof detail) > 0);
    cr_assert(strstr(detail, etcd.url), "%s", detail);
}

static int64_t told_revision;

static void take_reply(libsd *handle, const libsd_reply *reply, void *arg)
{
    (void)handle;
    (void)arg;
    __atomic_store_n(&told_revision, reply->error ? -1 : reply->revision, __ATOMIC_SEQ_CST);
}

Test(parity_client, call_is_made_without_waiting)
{
    libsd_op op = libsd_op_put(libsd_str("/k"), libsd_str("42"), 0, 0);

    start();
    cr_assert_eq(libsd_start(sd, &op, 0, take_reply, NULL, NULL), 0);
    UNTIL(__atomic_load_n(&told_revision, __ATOMIC_SEQ_CST) != 0, 10);
    cr_assert_eq(put(sd, "/k", "43"), told_revision + 1);
}

/* The child makes a client of its own; its parent's says whose it is. */
Test(parity_client, child_sets_what_its_parent_gets)
{
    pid_t child;
    int status;

    start();
    put(sd, "/k", "42");
    child = fork();
    if (child == 0) {
        libsd *own = etcd_open(&etcd, NULL);
        libsd_kvs *kvs = NULL;

        if (libsd_get(sd, libsd_str("/k"), &kvs, 0) != LIBSD_EFORKED)
            _exit(1);
        _exit(libsd_put(own, libsd_str("/k"), libsd_str("43"), 0, NULL, 0) == 0 ? 0 : 2);
    }
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
    cr_assert(has(sd, "/k", "43"));
}

static int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    cr_assert_not_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Memory itself is the address sanitizer's to count. */
Test(parity_client, locks_and_watches_leave_no_descriptor)
{
    int before = 0;

    start();
    for (int i = 0; i < 110; i++) {
        libsd_mutex *mutex = NULL;
        libsd_watch *watch = NULL;
        struct notes notes;

        notes_init(&notes);
        cr_assert_eq(libsd_watch_open(sd, libsd_str("/k"), 0, 0, notes_take, &notes, &watch), 0);
        cr_assert_eq(libsd_lock(sd, "parity", 10, 0, &mutex), 0);
        cr_assert_eq(libsd_unlock(mutex, 0), 0);
        libsd_watch_close(watch);
        free(notes.text);
        if (i == 9)
            before = descriptors();
    }
    cr_assert(descriptors() <= before + 2, "%d, %d", before, descriptors());
}
