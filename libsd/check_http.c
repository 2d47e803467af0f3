/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Checks over the network: a TCP connection, or the status of an HTTP answer.
 *
 * Each run has a connection of its own: that a server still answers on an old
 * one says nothing about new ones.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "check.h"
#include "internal.h"

/* Sockets must not leak into programs that ours starts. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)arg;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* The status is all we want: the body's first byte ends it. */
static size_t refuse_body(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    (void)size;
    (void)count;
    (void)arg;
    return 0;
}

static void http_done(struct transfer *transfer, CURLcode result, long status)
{
    struct check *check = container_of(transfer, struct check, transfer);
    char why[CURL_ERROR_SIZE + 40];

    if (result == CURLE_WRITE_ERROR && status)
        result = CURLE_OK;
    if (result != CURLE_OK)
        snprintf(why, sizeof why, "%s",
                 *transfer->error ? transfer->error : curl_easy_strerror(result));
    else
        snprintf(why, sizeof why, "HTTP status %ld", status);
    check_result(check,
                 result == CURLE_OK &&
                     (check->type == LIBSD_CHECK_TCP || (status >= 200 && status < 400)),
                 why);
}

static void set_request(struct check *check, CURL *easy)
{
    struct transfer *transfer = &check->transfer;

    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, (char *)transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(check->timeout_ns / MS));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(check->timeout_ns / MS));
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "libsd/" LIBSD_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, refuse_body);
    if (check->type == LIBSD_CHECK_TCP)
        curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
}

bool http_run(struct check *check)
{
    struct transfer *transfer = &check->transfer;
    CURL *easy = curl_easy_init();

    if (!easy)
        return false;
    *transfer =
        (struct transfer){ .easy = easy, .multi = check->sd->checks.loop.multi, .done = http_done };
    set_request(check, easy);
    if (check->host_header) {
        transfer->headers = curl_slist_append(NULL, check->host_header);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    }
    if (curl_easy_setopt(easy, CURLOPT_URL, check->url) == CURLE_OK &&
        (transfer->headers || !check->host_header) &&
        curl_multi_add_handle(transfer->multi, easy) == CURLM_OK)
        return true;
    transfer_stop(transfer);
    return false;
}

void http_cancel(struct check *check)
{
    transfer_stop(&check->transfer);
}
