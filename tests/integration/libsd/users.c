/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An etcd with users; see users.h.
 */
#include "users.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(struct etcd *etcd, const char *path, const char *body)
{
    int status = etcd_post(etcd, path, body);

    cr_assert(status == 200, "%s %s: %d", path, body, status);
}

static void permit(struct etcd *etcd, const char *role, const char *right)
{
    char body[300];

    snprintf(body, sizeof body,
             "{\"name\":\"%s\",\"perm\":{\"permType\":\"%s\",\"key\":\"L3NlcnZpY2Uv\","
             "\"range_end\":\"L3NlcnZpY2Uw\"}}",
             role, right);
    must(etcd, "/v3/auth/role/grant", body);
}

void users_login(struct etcd *etcd)
{
    static const char mark[] = "\"token\":\"";
    char answer[2000];
    char *token;

    *etcd->token = '\0';
    cr_assert_eq(etcd_ask(etcd, "/v3/auth/authenticate",
                          "{\"name\":\"root\",\"password\":\"" ROOT_PASSWORD "\"}", answer,
                          sizeof answer),
                 200);
    token = strstr(answer, mark);
    cr_assert(token != NULL);
    token += strlen(mark);
    snprintf(etcd->token, sizeof etcd->token, "%.*s", (int)strcspn(token, "\""), token);
}

void users_start(struct etcd *etcd)
{
    must(etcd, "/v3/auth/role/add", "{\"name\":\"root\"}");
    must(etcd, "/v3/auth/role/add", "{\"name\":\"app\"}");
    must(etcd, "/v3/auth/role/add", "{\"name\":\"guest\"}");
    permit(etcd, "app", "READWRITE");
    permit(etcd, "guest", "READ");
    must(etcd, "/v3/auth/user/add", "{\"name\":\"root\",\"password\":\"" ROOT_PASSWORD "\"}");
    must(etcd, "/v3/auth/user/add", "{\"name\":\"app\",\"password\":\"p\\\"ss:w\\\\rd\"}");
    must(etcd, "/v3/auth/user/add", "{\"name\":\"guest\",\"password\":\"" GUEST_PASSWORD "\"}");
    must(etcd, "/v3/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}");
    must(etcd, "/v3/auth/user/grant", "{\"user\":\"app\",\"role\":\"app\"}");
    must(etcd, "/v3/auth/user/grant", "{\"user\":\"guest\",\"role\":\"guest\"}");
    must(etcd, "/v3/auth/enable", "{}");
    users_login(etcd);
}

void users_want_jwt(struct etcd *etcd, int ttl_s)
{
    static char option[sizeof etcd->dir * 2 + 100];
    char command[sizeof etcd->dir * 3 + 160];
    size_t i = 0;

    snprintf(command, sizeof command,
             "openssl genrsa -out %s/jwt.key 2048 2>/dev/null && "
             "openssl rsa -in %s/jwt.key -pubout -out %s/jwt.pub 2>/dev/null",
             etcd->dir, etcd->dir, etcd->dir);
    cr_assert_eq(system(command), 0, "is openssl installed?");
    snprintf(option, sizeof option,
             "jwt,pub-key=%s/jwt.pub,priv-key=%s/jwt.key,sign-method=RS256,ttl=%ds", etcd->dir,
             etcd->dir, ttl_s);
    while (etcd->flags[i])
        i++;
    etcd->flags[i] = "--auth-token";
    etcd->flags[i + 1] = option;
}
