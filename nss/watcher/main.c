/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * etcdsd-watcher: follows the services registered in etcd and writes them to
 * the table in shared memory that libnss_etcdsd.so.2 reads.
 *
 *     arguments -> config -> watcher_start -> watcher_run -> watcher_stop
 *
 *     libsd events -> mirror -> model -> publish -> board -> table writer
 *                       zone --^           ^-- localnet
 */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "arguments.h"
#include "config.h"
#include "log.h"
#include "watcher.h"

/* Opening libsd connects to nobody, but lays all of its settings together. */
static int check(const struct config *config)
{
    struct config_error error;
    libsd *sd;

    if (etcd_open(config, &sd, &error) < 0) {
        fprintf(stderr, "etcdsd-watcher: %s\n", error.text);
        return WATCHER_USAGE;
    }
    libsd_close(sd);
    printf("%s: nothing is wrong (%zu zone%s)\n", *config->path != '\0' ? config->path : "no file",
           config->zone_count, config->zone_count == 1 ? "" : "s");
    return 0;
}

static int run(const struct arguments *arguments, struct config *config)
{
    struct watcher watcher;
    int status;

    log_open(STDERR_FILENO, (int)config->top.log_level);
    status = watcher_start(&watcher, arguments, config);
    if (status == 0)
        status = watcher_run(&watcher);
    watcher_stop(&watcher);
    return status;
}

/* Passwords and tokens are in memory: no core dump, and nobody but root looks
 * into /proc/PID/mem or environ.  A debugger must be root's, too. */
static void secrets_protect(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    struct config config = { 0 };
    struct config_error error;
    int rc, status = WATCHER_USAGE;

    secrets_protect();
    rc = arguments_parse(&arguments, argc, argv);
    if (rc == ARGUMENTS_DONE)
        status = 0;
    else if (rc == ARGUMENTS_RUN && config_load(&config, &arguments, &error) < 0)
        fprintf(stderr, "etcdsd-watcher: %s\n", error.text);
    else if (rc == ARGUMENTS_RUN)
        status = arguments.is_check ? check(&config) : run(&arguments, &config);
    config_free(&config);
    arguments_free(&arguments);
    return status;
}
