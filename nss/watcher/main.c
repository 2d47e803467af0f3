/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * etcdsd-watcher: follows the services registered in etcd and writes them to
 * the table in shared memory that libnss_etcdsd.so.2 reads.
 *
 *     arguments -> watcher_start -> watcher_run -> watcher_stop
 *
 *     libsd events -> mirror -> model -> publish -> table writer
 *                       zone --^           ^-- localnet
 */
#include <unistd.h>

#include "arguments.h"
#include "log.h"
#include "watcher.h"

int main(int argc, char **argv)
{
    struct arguments arguments;
    struct watcher watcher;
    int rc = arguments_parse(&arguments, argc, argv), status;

    if (rc != ARGUMENTS_RUN) {
        arguments_free(&arguments);
        return rc == ARGUMENTS_DONE ? 0 : WATCHER_USAGE;
    }
    log_open(STDERR_FILENO, arguments.log_level);
    status = watcher_start(&watcher, &arguments);
    if (status == 0)
        status = watcher_run(&watcher);
    watcher_stop(&watcher);
    arguments_free(&arguments);
    return status;
}
