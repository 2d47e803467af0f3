/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writes whose answers get lost: done once, and never told wrongly.
 *
 * Between libsd and a real etcd stands a proxy that passes a request on, waits
 * until etcd has answered, so that it is surely done, and then closes the
 * connection instead of giving the answer.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "etcd.h"

static struct etcd etcd;
static libsd *sd;
static int listener;
static char proxy_url[64];
static atomic_int lose;        /* so many answers more */
static atomic_int requests;    /* passed on */
static atomic_int connections; /* taken */
static atomic_bool cut_early;  /* close when half of a body is there */

/* ---- the proxy ---------------------------------------------------------- */

static int dial(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atoi(strrchr(etcd.url, ':') + 1));
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool send_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* Whether a message is whole.  Of a body with a Content-Length no more than
 * most_of_body is wanted; one without may end with an empty chunk, trailers and
 * an empty line. */
static bool is_whole(const char *text, size_t size, size_t most_of_body)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "content-length:");
    size_t body = length ? strtoul(length + 15, NULL, 10) : 0;

    if (!end)
        return false;
    if (strcasestr(text, "transfer-encoding: chunked"))
        return strstr(end, "\r\n0\r\n") && memcmp(text + size - 4, "\r\n\r\n", 4) == 0;
    return size >= (size_t)(end + 4 - text) + (body < most_of_body ? body : most_of_body);
}

/* Reads one HTTP message.  Returns its size, 0 at the end. */
static size_t read_message(int fd, char *text, size_t room, size_t most_of_body)
{
    size_t size = 0;

    text[0] = '\0';
    while (!is_whole(text, size, most_of_body)) {
        ssize_t got = recv(fd, text + size, room - 1 - size, 0);

        if (got <= 0)
            return 0;
        size += (size_t)got;
        text[size] = '\0';
    }
    return size;
}

static bool take_one(atomic_int *count)
{
    int left = atomic_load(count);

    while (left > 0 && !atomic_compare_exchange_weak(count, &left, left - 1))
        continue;
    return left > 0;
}

static void *serve(void *arg)
{
    enum {
        ROOM = 4 << 20
    };
    int client = (int)(long)arg;
    int server = dial();
    char *text = malloc(ROOM);
    size_t size;

    while (server >= 0 && text) {
        bool early = atomic_load(&cut_early);

        size = read_message(client, text, ROOM, early ? 1 : SIZE_MAX);
        if (size == 0 || early)
            break;
        atomic_fetch_add(&requests, 1);
        if (!send_all(server, text, size))
            break;
        size = read_message(server, text, ROOM, SIZE_MAX);
        if (size == 0 || take_one(&lose) || !send_all(client, text, size))
            break;
    }
    free(text);
    if (server >= 0)
        close(server);
    close(client);
    return NULL;
}

static void *listen_for_ever(void *arg)
{
    for (;;) {
        int client = accept(listener, NULL, NULL);
        pthread_t thread;

        if (client < 0)
            return arg;
        atomic_fetch_add(&connections, 1);
        if (pthread_create(&thread, NULL, serve, (void *)(long)client) == 0)
            pthread_detach(thread);
        else
            close(client);
    }
}

static pthread_t proxy;

static void setup(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof address;
    struct etcd through = { 0 };

    etcd_start(&etcd);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Connections inherit it; with the sender's 4 MiB it is the most that can be
     * on its way. */
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &(int){ 1 << 16 }, sizeof(int));
    cr_assert(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
              listen(listener, 64) == 0 &&
              getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(proxy_url, sizeof proxy_url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    cr_assert_eq(pthread_create(&proxy, NULL, listen_for_ever, NULL), 0);
    snprintf(through.url, sizeof through.url, "%s", proxy_url);
    sd = etcd_open(&through, NULL);
    /* From here on a connection is there to be used again. */
    put(sd, "/warm", "up");
    cr_assert_eq(atomic_load(&connections), 1);
}

static void teardown(void)
{
    libsd_close(sd);
    shutdown(listener, SHUT_RDWR);
    pthread_join(proxy, NULL);
    close(listener);
    etcd_end(&etcd);
}

TestSuite(once, .init = setup, .fini = teardown, .timeout = 60);

/* ---- tests -------------------------------------------------------------- */

static int64_t version_of(const char *key)
{
    libsd_kvs *kvs = NULL;
    int64_t version = 0;

    if (libsd_get(sd, libsd_str(key), &kvs, 0) == 0)
        version = libsd_kvs_at(kvs, 0)->version;
    libsd_kvs_free(kvs);
    return version;
}

/* Makes the next answer get lost, and counts from now. */
static void lose_one(void)
{
    atomic_store(&requests, 0);
    atomic_store(&lose, 1);
}

Test(once, create_does_not_take_itself_for_another)
{
    lose_one();
    cr_assert_eq(libsd_create(sd, libsd_str("/k"), libsd_str("1"), 0, NULL, 0), LIBSD_EUNKNOWN);
    cr_assert_eq(atomic_load(&requests), 1, "sent %d times", atomic_load(&requests));
    cr_assert(!libsd_error_is_retriable(LIBSD_EUNKNOWN));
    cr_assert_eq(version_of("/k"), 1);
    /* What is known is told as it is. */
    cr_assert_eq(libsd_create(sd, libsd_str("/k"), libsd_str("1"), 0, NULL, 0), LIBSD_ECONFLICT);
}

Test(once, create_does_not_take_another_for_itself)
{
    libsd *other = etcd_open(&etcd, NULL);

    put(other, "/k", "1");
    lose_one();
    cr_assert_eq(libsd_create(sd, libsd_str("/k"), libsd_str("1"), 0, NULL, 0), LIBSD_EUNKNOWN);
    cr_assert_eq(atomic_load(&requests), 1);
    libsd_close(other);
}

Test(once, every_write_is_sent_once)
{
    static const int types[] = { LIBSD_OP_PUT,  LIBSD_OP_DELETE, LIBSD_OP_REPLACE,
                                 LIBSD_OP_SWAP, LIBSD_OP_REMOVE, LIBSD_OP_COMPACT };
    int64_t revision = put(sd, "/k", "1");

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        libsd_op op = libsd_op_get(libsd_str("/k"));

        op.type = types[i];
        op.expected = libsd_str("1");
        op.revision = revision;
        put(sd, "/k", "1");
        lose_one();
        cr_assert_eq(libsd_execute(sd, &op, 0, NULL), LIBSD_EUNKNOWN, "operation %d", op.type);
        cr_assert_eq(atomic_load(&requests), 1, "operation %d was sent %d times", op.type,
                     atomic_load(&requests));
    }
}

Test(once, transaction_is_sent_once_if_it_writes)
{
    libsd_op op = libsd_op_put(libsd_str("/k"), libsd_str("1"), 0, 0);
    libsd_txn *txn;

    cr_assert_eq(libsd_txn_new(&txn), 0);
    cr_assert_eq(libsd_txn_else(txn, &op), 0);
    op = libsd_op_txn(txn);
    lose_one();
    cr_assert_eq(libsd_execute(sd, &op, 0, NULL), LIBSD_EUNKNOWN);
    cr_assert_eq(atomic_load(&requests), 1);
    libsd_txn_free(txn);
    cr_assert_eq(libsd_txn_new(&txn), 0);
    op = libsd_op_get(libsd_str("/k"));
    cr_assert_eq(libsd_txn_then(txn, &op), 0);
    op = libsd_op_txn(txn);
    lose_one();
    cr_assert_eq(libsd_execute(sd, &op, 0, NULL), 0);
    cr_assert_eq(atomic_load(&requests), 2);
    libsd_txn_free(txn);
}

Test(once, reads_and_leases_are_asked_for_again)
{
    int64_t lease = 0;
    int64_t granted_ttl_s = 0;
    libsd_reply *reply;

    lose_one();
    cr_assert(has(sd, "/warm", "up"));
    lose_one();
    cr_assert_eq(libsd_lease_grant(sd, 100, &lease, &granted_ttl_s, 0), 0);
    cr_assert_eq(granted_ttl_s, 100);
    cr_assert_eq(libsd_leases(sd, &reply, 0), 0);
    cr_assert_eq(reply->lease_count, 1);
    libsd_reply_free(reply);
    lose_one();
    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), 0);
    cr_assert_eq(libsd_lease_revoke(sd, lease, 0), LIBSD_ELEASE);
}

Test(once, request_that_did_not_get_through_is_repeated)
{
    static char big[7 << 20];
    libsd *other = etcd_open(&etcd, NULL);

    char detail[300];
    int rc;

    memset(big, 'x', sizeof big);
    atomic_store(&cut_early, true);
    /* Nobody can have acted on half a request. */
    rc = libsd_put(sd, libsd_str("/big"), libsd_bytes(big, sizeof big), 0, NULL, 500);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(rc == LIBSD_EUNAVAILABLE, "%s: %s", libsd_strerror(rc), detail);
    cr_assert(absent(other, "/big"));
    atomic_store(&cut_early, false);
    put(sd, "/small", "x");
    libsd_close(other);
}

static void note_error(libsd *handle, const libsd_reply *reply, void *arg)
{
    (void)handle;
    atomic_store((atomic_int *)arg, reply->error);
}

Test(once, started_writes_are_sent_once_too)
{
    libsd_op op = libsd_op_create(libsd_str("/k"), libsd_str("1"), 0);
    atomic_int error = 1;

    lose_one();
    cr_assert_eq(libsd_start(sd, &op, 0, note_error, &error, NULL), 0);
    UNTIL(atomic_load(&error) != 1, 20);
    cr_assert_eq(atomic_load(&error), LIBSD_EUNKNOWN);
    cr_assert_eq(atomic_load(&requests), 1);
    cr_assert_eq(version_of("/k"), 1);
}

Test(once, connections_are_used_again_all_the_same)
{
    for (int i = 0; i < 20; i++)
        put(sd, "/k", "1");
    cr_assert_eq(atomic_load(&connections), 1);
}
