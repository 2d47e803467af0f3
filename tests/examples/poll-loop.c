/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd in a program's own event loop: one thread, one poll(), in which a timer
 * starts puts that do not block, and a watch sees them arrive.
 *
 *     poll-loop /ticks/ 5
 *
 * puts /ticks/1 to /ticks/5, one each 100 ms, and ends when it has seen all.
 */
#include <libsd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct program {
    libsd *sd;
    const char *prefix;
    int wanted;
    int started; /* puts */
    int done;    /* puts that etcd has confirmed */
    int seen;    /* by the watch */
    int failed;
};

/* Both are called inside libsd_dispatch(), so on this thread: no locks. */
static void on_put(libsd *sd, const libsd_reply *reply, void *arg)
{
    struct program *program = arg;

    (void)sd;
    if (reply->error) {
        fprintf(stderr, "put: %s: %s\n", libsd_strerror(reply->error), reply->detail);
        program->failed = 1;
        return;
    }
    program->done++;
}

static void on_event(const libsd_event *event, void *arg)
{
    struct program *program = arg;

    if (event->type != LIBSD_EVENT_PUT)
        return;
    printf("seen %.*s\n", (int)event->kv->key.size, (const char *)event->kv->key.data);
    program->seen++;
}

static void on_timer(struct program *program)
{
    char key[300];
    libsd_op op;
    int rc;

    if (program->started == program->wanted)
        return;
    snprintf(key, sizeof key, "%s%d", program->prefix, ++program->started);
    op = libsd_op_put(libsd_str(key), libsd_str("tick"), 0, 0);
    rc = libsd_start(program->sd, &op, 0, on_put, program, NULL); /* copies key */
    if (rc < 0) {
        fprintf(stderr, "libsd_start: %s\n", libsd_strerror(rc));
        program->failed = 1;
    }
}

static int loop(struct program *program, int timer)
{
    struct pollfd ready[] = {
        { .fd = libsd_fd(program->sd), .events = POLLIN },
        { .fd = timer, .events = POLLIN },
    };

    while (!program->failed &&
           (program->seen < program->wanted || program->done < program->wanted)) {
        uint64_t expirations;

        if (poll(ready, 2, 30000) <= 0)
            return 1;
        if (ready[0].revents)
            libsd_dispatch(program->sd, 0);
        if (ready[1].revents && read(timer, &expirations, sizeof expirations) > 0)
            on_timer(program);
    }
    return program->failed;
}

int main(int argc, char **argv)
{
    const struct itimerspec each = { { 0, 100000000 }, { 0, 100000000 } };
    struct program program = { 0 };
    libsd_options *options = NULL;
    libsd_watch *watch;
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int rc;

    if (argc != 3 || timer < 0 || timerfd_settime(timer, 0, &each, NULL) < 0) {
        fprintf(stderr, "usage: %s PREFIX COUNT\n", argv[0]);
        return 2;
    }
    program.prefix = argv[1];
    program.wanted = atoi(argv[2]);
    rc = libsd_options_new(&options);
    if (rc == 0)
        rc = libsd_options_set(options, "dispatch", "manual"); /* callbacks are ours to run */
    if (rc == 0)
        rc = libsd_open(&program.sd, options);
    libsd_options_free(options);
    /* With the list first nothing is missed, however late the watch begins. */
    if (rc == 0)
        rc = libsd_watch_open(program.sd, libsd_str(program.prefix),
                              LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0, on_event, &program, &watch);
    if (rc < 0) {
        fprintf(stderr, "libsd: %s\n", libsd_strerror(rc));
        return 1;
    }
    rc = loop(&program, timer);
    libsd_close(program.sd);
    close(timer);
    return rc;
}
