/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The endpoints of a handle.  Touched by its I/O thread only, once it is open.
 */
#include "endpoint.h"

#include <curl/curl.h>
#include <stdlib.h>

#include "libsd.h"
#include "util.h"

static const char *const apis[] = { "/v3", "/v3beta", "/v3alpha" };

/* 0, or what makes a URL unacceptable. */
static int url_error(CURLUcode code)
{
    if (code == CURLUE_OK)
        return 0;
    return code == CURLUE_OUT_OF_MEMORY ? LIBSD_ENOMEM : LIBSD_EINVAL;
}

/* etcd's port, not the web's, is what a bare host name means here. */
static int set_port(CURLU *url)
{
    char *port = NULL;
    CURLUcode code = curl_url_get(url, CURLUPART_PORT, &port, 0);

    curl_free(port);
    return url_error(code == CURLUE_NO_PORT ? curl_url_set(url, CURLUPART_PORT, "2379", 0) : code);
}

/* There must be no path but "/". */
static int check_path(CURLU *url)
{
    char *path = NULL;
    int rc = url_error(curl_url_get(url, CURLUPART_PATH, &path, 0));

    if (rc == 0 && strcmp(path, "/") != 0)
        rc = LIBSD_EINVAL;
    curl_free(path);
    return rc;
}

static int check_scheme(CURLU *url)
{
    char *scheme = NULL;
    int rc = url_error(curl_url_get(url, CURLUPART_SCHEME, &scheme, 0));

    if (rc == 0 && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        rc = LIBSD_EINVAL;
    curl_free(scheme);
    return rc;
}

/* Normalizes one URL.  Returns a copy or NULL; *rc says why. */
static char *normalize(const char *text, int *rc)
{
    bool has_scheme = strstr(text, "://") != NULL;
    CURLU *url = curl_url();
    char *whole = NULL;
    char *copy = NULL;

    *rc = url ? 0 : LIBSD_ENOMEM;
    if (*rc == 0 && strpbrk(text, " \t\r\n@?#"))
        *rc = LIBSD_EINVAL;
    if (*rc == 0)
        *rc = url_error(
            curl_url_set(url, CURLUPART_URL, text, has_scheme ? 0 : CURLU_DEFAULT_SCHEME));
    if (*rc == 0)
        *rc = has_scheme ? check_scheme(url)
                         : url_error(curl_url_set(url, CURLUPART_SCHEME, "http", 0));
    if (*rc == 0)
        *rc = set_port(url);
    if (*rc == 0)
        *rc = check_path(url);
    if (*rc == 0)
        *rc = url_error(curl_url_get(url, CURLUPART_URL, &whole, 0));
    if (*rc == 0) {
        copy = strdup(whole);
        *rc = copy ? 0 : LIBSD_ENOMEM;
    }
    if (copy && *copy && copy[strlen(copy) - 1] == '/')
        copy[strlen(copy) - 1] = '\0';
    curl_free(whole);
    curl_url_cleanup(url);
    return copy;
}

static size_t count_commas(const char *text)
{
    size_t count = 0;

    for (; (text = strchr(text, ',')) != NULL; text++)
        count++;
    return count;
}

int endpoints_init(struct endpoints *endpoints, const char *text)
{
    char *list = strdup(text);
    char *save = NULL;
    int rc = 0;

    *endpoints = (struct endpoints){ .api = apis[0] };
    endpoints->urls = calloc(count_commas(text) + 1, sizeof *endpoints->urls);
    if (!list || !endpoints->urls) {
        rc = LIBSD_ENOMEM;
        goto out;
    }
    for (char *one = strtok_r(list, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        endpoints->urls[endpoints->count] = normalize(one + strspn(one, " "), &rc);
        if (rc < 0)
            goto out;
        endpoints->count++;
    }
    if (endpoints->count == 0)
        rc = LIBSD_EINVAL;
    else
        endpoints->current = random_u64() % endpoints->count;
out:
    free(list);
    if (rc)
        endpoints_free(endpoints);
    return rc;
}

void endpoints_balance(struct endpoints *endpoints, enum balance balance)
{
    endpoints->turns = balance == BALANCE_TURNS;
    if (balance == BALANCE_FIRST)
        endpoints->current = 0;
}

void endpoints_turn(struct endpoints *endpoints)
{
    if (endpoints->turns)
        endpoints->current = (endpoints->current + 1) % endpoints->count;
}

int endpoints_find(const struct endpoints *endpoints, const char *text)
{
    int rc;
    char *url = normalize(text, &rc);
    int found = -1;

    for (size_t i = 0; rc == 0 && i < endpoints->count && found < 0; i++)
        if (strcmp(url, endpoints->urls[i]) == 0)
            found = (int)i;
    free(url);
    return found;
}

int endpoints_check(const char *text)
{
    struct endpoints endpoints;
    int rc = endpoints_init(&endpoints, text);

    if (rc == 0)
        endpoints_free(&endpoints);
    return rc;
}

void endpoints_free(struct endpoints *endpoints)
{
    for (size_t i = 0; i < endpoints->count; i++)
        free(endpoints->urls[i]);
    free(endpoints->urls);
    *endpoints = (struct endpoints){ 0 };
}

void endpoints_failed(struct endpoints *endpoints, size_t index)
{
    /* If others have moved on already, one failure must not move them twice. */
    if (endpoints->current == index)
        endpoints->current = (index + 1) % endpoints->count;
}

int endpoints_next_api(struct endpoints *endpoints, const char *api)
{
    for (size_t i = 0; i + 1 < sizeof apis / sizeof apis[0]; i++) {
        if (api == apis[i]) {
            if (endpoints->api == api)
                endpoints->api = apis[i + 1];
            return 0;
        }
    }
    /* Maybe this was no etcd, but what an etcd comes back behind. */
    endpoints->api = apis[0];
    return -1;
}
