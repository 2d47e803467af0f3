/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The watcher without any one of the allocations by which it takes a new
 * configuration: it refuses that and says why, nothing leaks, and what is in use
 * stays as it was.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../nss/watcher/config.h"
#include "../../../nss/watcher/follower.h"
#include "scarce.h"

static char path[] = "/tmp/test_memory_watcher.XXXXXX";
static char key[] = "/etc/key.pem", table[] = "/tmp/table.v1";
static struct arguments arguments;
static struct config before, after;

/* All kinds of values, and what libsd reads. */
static const char first[] =
    "endpoints = http://127.0.0.1:2379\n"
    "allow = 10.0.0.0/8 2001:db8::/32\n"
    "[zone one]\ndomain = first.example\nprefix = /first\n"
    "[zone two]\ndomain = second.example\nprefix = /second/\nmax-value-size = 100\n"
    "[service user.first.example]\nmax-answers = 3\n";
static const char second[] =
    "[zone one]\ndomain = first.example\nprefix = /first\nallow = 192.0.2.0/24\n";

static int load(struct config *config, const char *text, struct config_error *error)
{
    FILE *file = fopen(path, "w");
    int rc;

    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    error->text[0] = '\0';
    in_libsd = true;
    rc = config_load(config, &arguments, error);
    in_libsd = false;
    return rc;
}

static void begin(void)
{
    unsetenv("ETCDCTL_ENDPOINTS");
    close(mkstemp(path));
    arguments.config = path;
    arguments.values[key_find("key")] = key;
    arguments.values[key_find("table")] = table;
}

static void end(void)
{
    left = 0;
    config_free(&before);
    config_free(&after);
    unlink(path);
}

TestSuite(memory_watcher, .init = begin, .fini = end, .timeout = 300);

Test(memory_watcher, configuration_is_refused_and_told)
{
    struct config_error error;
    long n = 1;

    for (;; n++) {
        int rc;

        left = n;
        rc = load(&before, first, &error);
        if (left > 0) {
            cr_assert_eq(rc, 0, "%s", error.text);
            break;
        }
        cr_assert_eq(rc, -ENOMEM, "allocation %ld: %d: %s", n, rc, error.text);
        cr_assert_not_null(strstr(error.text, "Cannot allocate memory"), "allocation %ld: %s", n,
                           error.text);
        config_free(&before);
    }
    fprintf(stderr, "# %ld allocations\n", n);
    cr_expect_gt(n, 30);
    cr_expect_eq(before.zone_count, 2);
    cr_expect_eq(before.service_count, 1);
}

Test(memory_watcher, zone_stays_as_it_was)
{
    struct board board = { 0 };
    struct localnet net = { 0 };
    struct config_error error;
    struct follower *follower = NULL;
    long n;
    int rc = -1;

    cr_assert_eq(load(&before, first, &error), 0, "%s", error.text);
    cr_assert_eq(load(&after, second, &error), 0, "%s", error.text);
    for (n = 1; follower == NULL; n++) {
        left = n;
        in_libsd = true;
        follower = follower_new(&before.zones[0].says, &board, &before, &net);
        in_libsd = false;
        cr_assert_eq(board.first != NULL, follower != NULL);
    }
    cr_expect_gt(n, 4);
    for (n = 1; rc < 0; n++) {
        left = n;
        in_libsd = true;
        rc = follower_change(follower, &after.zones[0].says);
        in_libsd = false;
        if (rc < 0) {
            cr_assert_eq(rc, -ENOMEM);
            cr_assert(networks_are_same(&follower->says.allow, &before.zones[0].says.allow));
        }
    }
    cr_expect_gt(n, 2);
    cr_expect_eq(rc, FOLLOWER_READ);
    cr_expect(networks_are_same(&follower->says.allow, &after.zones[0].says.allow));
    left = 0;
    followers_free(follower);
}
