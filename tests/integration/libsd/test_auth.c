/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Users and passwords: tokens of both kinds, what is refused, and tokens that
 * end while they are needed.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cost.h"
#include "etcd.h"
#include "proxy.h"
#include "scene.h"
#include "users.h"

static struct etcd etcd;
static struct scene scene;
static struct notes notes;

/* Short, so that several end during a test. */
#define TOKEN_TTL_S 2

/* A refused token costs one question more, 80 ms of bcrypt in etcd. */
#define RENEWED_S   3.0

/* Logins while a wrong password is tried by a watch and a registration: 1 s,
 * 2 s, 4 s apart after the first ones. */
#define STORM_S     5.0
#define STORM_LIMIT 14
#define STORM_COST  0.05 /* of a core */

static void setup(void)
{
    notes_init(&notes);
}

static void teardown(void)
{
    etcd_end(&etcd);
}

TestSuite(auth, .init = setup, .fini = teardown, .timeout = 60);

static void start(const char *flag, const char *value)
{
    etcd_prepare(&etcd);
    etcd.flags[0] = flag;
    etcd.flags[1] = value;
    etcd_boot(&etcd);
    users_start(&etcd);
}

static void start_jwt(int ttl_s)
{
    etcd_prepare(&etcd);
    users_want_jwt(&etcd, ttl_s);
    etcd_boot(&etcd);
    users_start(&etcd);
}

static libsd *open_as(const char *user, const char *password)
{
    return open_with(etcd.url, "user", user, "password", password, NULL);
}

static void enter(int ttl_s)
{
    scene_start(&scene, open_as("app", APP_PASSWORD), open_as("root", ROOT_PASSWORD), ttl_s);
}

Test(auth, works_with_simple_tokens)
{
    start(NULL, NULL);
    enter(5);
    scene_end(&scene);
}

Test(auth, works_with_jwt)
{
    start_jwt(300);
    enter(5);
    scene_end(&scene);
}

/* What etcd does not ask for does no harm. */
Test(auth, works_when_authentication_is_off)
{
    etcd_start(&etcd);
    scene_start(&scene, open_as("app", APP_PASSWORD), open_with(etcd.url, NULL), 5);
    scene_end(&scene);
}

Test(auth, works_when_authentication_is_turned_on_later)
{
    etcd_start(&etcd);
    scene_start(&scene, open_as("app", APP_PASSWORD), open_as("root", ROOT_PASSWORD), 2);
    users_start(&etcd);
    scene_becomes_current(&scene, RENEWED_S);
    etcd_kill(&etcd);
    etcd_restart(&etcd);
    scene_becomes_current(&scene, 8);
    UNTIL(scene_is_registered(&scene), 5);
    scene_end(&scene);
}

/* ---- refusals ----------------------------------------------------------- */

Test(auth, wrong_password_is_refused_without_a_storm)
{
    struct proxy proxy;
    libsd_register_options options = { .size = sizeof options, .timeout_ms = 4000 };
    libsd_watch *watch;
    char detail[300];
    int64_t lease;
    libsd *sd;

    start(NULL, NULL);
    proxy_start(&proxy, etcd.url, NULL);
    sd = open_with(proxy.url, "user", "app", "password", "guess", NULL);
    cr_assert_eq(libsd_lease_grant(sd, 5, &lease, NULL, 0), LIBSD_EAUTH);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, "invalid user ID or password") && !strstr(detail, "guess"), "%s",
              detail);
    cr_assert_eq(libsd_register(sd, "user", "i1", SCENE_ADDRESS, 5, &options), LIBSD_EAUTH);
    cr_assert_eq(libsd_watch_open(sd, libsd_str("/service/"), LIBSD_WATCH_PREFIX, 0, notes_take,
                                  &notes, &watch),
                 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) == 1, 3);
    cr_assert_eq(notes.last_error, LIBSD_EAUTH);

    double cost = cost_of_waiting(STORM_S);

    cr_assert(cost < STORM_COST, "%g of a core", cost);
    cr_assert(proxy_count(&proxy) <= STORM_LIMIT, "%d", proxy_count(&proxy));
    libsd_close(sd);
    proxy_end(&proxy);
}

Test(auth, missing_password_is_refused)
{
    int64_t revision;
    libsd *sd;

    start(NULL, NULL);
    sd = open_with(etcd.url, NULL);
    cr_assert_eq(libsd_put(sd, libsd_str("/service/a"), libsd_str("x"), 0, &revision, 0),
                 LIBSD_EAUTH);
    libsd_close(sd);
}

Test(auth, missing_permission_is_denied)
{
    libsd_register_options options = { .size = sizeof options, .timeout_ms = 4000 };
    libsd_kvs *kvs = NULL;
    libsd *guest;
    libsd *app;

    start(NULL, NULL);
    guest = open_as("guest", GUEST_PASSWORD);
    app = open_as("app", APP_PASSWORD);
    cr_assert_eq(libsd_register(guest, "user", "i1", SCENE_ADDRESS, 5, &options), LIBSD_EDENIED);
    cr_assert_eq(libsd_put(guest, libsd_str("/service/a"), libsd_str("x"), 0, NULL, 0),
                 LIBSD_EDENIED);
    cr_assert_eq(libsd_list(guest, libsd_str("/service/"), 0, &kvs, 0), 0);
    libsd_kvs_free(kvs);
    kvs = NULL;
    cr_assert_eq(libsd_list(app, libsd_str("/secret/"), 0, &kvs, 0), LIBSD_EDENIED);
    cr_assert_eq(libsd_put(app, libsd_str("/secret/a"), libsd_str("x"), 0, NULL, 0), LIBSD_EDENIED);
    libsd_close(guest);
    libsd_close(app);
}

/* A watch that may not be is told so, and does not disturb one that may. */
Test(auth, watch_without_permission_is_told_and_others_go_on)
{
    libsd_watch *watch;

    start(NULL, NULL);
    enter(5);
    cr_assert_eq(libsd_watch_open(scene.sd, libsd_str("/secret/"), LIBSD_WATCH_PREFIX, 0,
                                  notes_take, &notes, &watch),
                 0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_DISCONNECTED) == 1, 3);
    cr_assert_eq(notes.last_error, LIBSD_EDENIED);
    scene_becomes_current(&scene, 2);
    cr_assert_eq(mirror_downs(&scene.mirror), 0);
    scene_end(&scene);
}

/* ---- tokens end --------------------------------------------------------- */

static void idle(double limit_s)
{
    cr_assert(cost_of_waiting(limit_s) < 0.05);
}

/* Calls, the watch after its connection was cut, and the lease: all need a
 * token, and the old one has ended. */
static void lives_through_ended_tokens(void)
{
    struct proxy proxy;
    double begin;

    proxy_start(&proxy, etcd.url, NULL);
    scene_start(&scene, open_with(proxy.url, "user", "app", "password", APP_PASSWORD, NULL),
                open_as("root", ROOT_PASSWORD), 3);
    for (int i = 0; i < 2; i++) {
        idle(2 * TOKEN_TTL_S + 0.5);
        begin = seconds();
        put(scene.sd, "/service/own", "x");
        cr_assert(seconds() - begin < RENEWED_S);
        idle(2 * TOKEN_TTL_S + 0.5);
        proxy_cut(&proxy);
        scene_becomes_current(&scene, RENEWED_S);
        cr_assert(scene_is_registered(&scene));
    }
    cr_assert(scene_is_told(&scene, "R"), "%s", scene.story);
    cr_assert_eq(mirror_lists(&scene.mirror), 1);
    scene_end(&scene);
    proxy_end(&proxy);
}

Test(auth, simple_token_that_ended_is_renewed)
{
    start("--auth-token-ttl", "2");
    lives_through_ended_tokens();
}

Test(auth, jwt_that_ended_is_renewed)
{
    start_jwt(TOKEN_TTL_S);
    lives_through_ended_tokens();
}

/* An outage in which many attempts fail must not make the first refusal of the
 * old token look like one of many. */
Test(auth, token_that_ended_in_an_outage_is_renewed_at_once)
{
    start_jwt(TOKEN_TTL_S);
    enter(2);
    etcd_kill(&etcd);
    idle(8);
    etcd_restart(&etcd);
    users_login(&etcd);
    scene_becomes_current(&scene, RENEWED_S);
    UNTIL(scene_is_registered(&scene), 2 + 3);
    scene_end(&scene);
}

/* Every change of users makes older JWTs useless. */
Test(auth, jwt_from_before_a_change_of_users_is_renewed)
{
    double begin;

    start_jwt(300);
    enter(5);
    cr_assert_eq(etcd_post(&etcd, "/v3/auth/user/add", "{\"name\":\"new\",\"password\":\"x\"}"),
                 200);
    begin = seconds();
    put(scene.sd, "/service/own", "x");
    cr_assert(seconds() - begin < RENEWED_S);
    scene_becomes_current(&scene, RENEWED_S);
    scene_end(&scene);
}

/* ---- users come and go -------------------------------------------------- */

static void remove_user(void)
{
    cr_assert_eq(etcd_post(&etcd, "/v3/auth/user/delete", "{\"name\":\"app\"}"), 200);
}

static void add_user(void)
{
    cr_assert_eq(etcd_post(&etcd, "/v3/auth/user/add",
                           "{\"name\":\"app\",\"password\":\"p\\\"ss:w\\\\rd\"}"),
                 200);
    cr_assert_eq(etcd_post(&etcd, "/v3/auth/user/grant", "{\"user\":\"app\",\"role\":\"app\"}"),
                 200);
}

/* Once refused, it is tried again 1, 2, 4 ... 30 s later; out for 4 s, it is
 * back 8 s after its return at the latest. */
#define USER_BACK_S (8.0 + 3.0)

Test(auth, user_removed_and_back_is_registered_again)
{
    start(NULL, NULL);
    enter(2);
    remove_user();
    cr_assert_eq(libsd_put(scene.sd, libsd_str("/service/own"), libsd_str("x"), 0, NULL, 0),
                 LIBSD_EAUTH);
    cr_assert_eq(libsd_delete(scene.judge, libsd_str(SCENE_KEY), 0), 1);
    idle(4);
    cr_assert_not(scene_is_registered(&scene));
    add_user();
    UNTIL(scene_is_registered(&scene), USER_BACK_S);
    scene_becomes_current(&scene, USER_BACK_S);
    scene_end(&scene);
}
