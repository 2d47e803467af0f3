/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A service of the chaos run, or rather many in one process: keeps instances
 * registered with libsd, changes them, takes them out and brings them back, and
 * writes down what it wants etcd to have; check.py compares.
 *
 *     registrar LOG SEED TTL PAUSE_MS INSTANCE...
 *
 * INSTANCE is SERVICE/INSTANCE=ADDRESS,ADDRESS...: the addresses it may have.
 * Each PAUSE_MS or so one of them is changed.  SIGUSR1: many changes at once;
 * SIGUSR2: no changes any more; SIGTERM: the end.  A line of LOG:
 *
 *     nanoseconds | process | what | key | ...
 *
 *   want KEY ADDRESS[,ADDRESS]  from now on it has to be there; with one of these
 *   drop KEY                    it may go from now on
 *   told KEY STATE ERROR        libsd's callback
 *   odd KEY CALL ERROR          a call failed as it must not
 *   times                       CLOCK_MONOTONIC
 */
#include <libsd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 16
#define FLOOD         150
#define TIMEOUT_MS    3000

struct member {
    char *service, *instance;
    char *addresses[ADDRESSES_MAX];
    int count;
    const char *address;
    atomic_bool is_registered; /* as far as libsd said */
    bool is_paused;
};

static FILE *log_file;
static libsd *sd;
static int ttl_s;

static void say(const char *what, const char *service, const char *instance, const char *format,
                ...)
{
    char text[200];
    struct timespec now;
    va_list list;

    clock_gettime(CLOCK_MONOTONIC, &now);
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(log_file, "%lld %d %s %s/%s %s\n", now.tv_sec * 1000000000LL + now.tv_nsec,
            (int)getpid(), what, service, instance, text);
}

/* Written down, whatever it is: it may explain something. */
static void on_log(int level, const char *message, void *arg)
{
    struct timespec now;

    (void)arg;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (level <= LIBSD_LOG_WARNING)
        fprintf(stderr, "%lld.%03ld %d %s\n", (long long)now.tv_sec, now.tv_nsec / 1000000,
                (int)getpid(), message);
}

static void on_state(libsd *handle, const char *service, const char *instance, int state, int error,
                     void *arg)
{
    struct member *member = arg;

    (void)handle;
    say("told", service, instance, "%d %d", state, error);
    if (state == LIBSD_FAILED) {
        say("drop", service, instance, "");
        member->is_registered = false;
    }
}

static const char *other_address(const struct member *member)
{
    return member->addresses[random() % member->count];
}

/* Whether libsd promises to go on trying. */
static bool is_pending(int rc)
{
    return rc == 0 || rc == LIBSD_ETIMEDOUT || rc == LIBSD_EUNAVAILABLE;
}

static void enter(struct member *member)
{
    libsd_register_options options = { .size = sizeof options,
                                       .timeout_ms = TIMEOUT_MS,
                                       .callback = on_state,
                                       .callback_arg = member };
    int rc;

    member->address = other_address(member);
    rc = libsd_register(sd, member->service, member->instance, member->address, ttl_s, &options);
    member->is_registered = is_pending(rc);
    if (member->is_registered)
        say("want", member->service, member->instance, "%s", member->address);
    else if (rc != LIBSD_ECONFLICT && rc != LIBSD_EAUTH && rc != LIBSD_EDENIED)
        say("odd", member->service, member->instance, "register %d", rc);
}

static void leave(struct member *member)
{
    int rc;

    say("drop", member->service, member->instance, "");
    rc = libsd_deregister(sd, member->service, member->instance, TIMEOUT_MS);
    member->is_registered = member->is_paused = false;
    if (!is_pending(rc) && rc != LIBSD_EAUTH && rc != LIBSD_EDENIED)
        say("odd", member->service, member->instance, "deregister %d", rc);
}

static void change(struct member *member)
{
    const char *old = member->address, *new = other_address(member);
    int rc;

    say("want", member->service, member->instance, "%s,%s", old, new);
    rc = libsd_update(sd, member->service, member->instance, new, NULL);
    if (is_pending(rc)) {
        member->address = new;
        say("want", member->service, member->instance, "%s", new);
    } else if (rc != LIBSD_ECONFLICT && rc != LIBSD_EAUTH && rc != LIBSD_EDENIED) {
        say("odd", member->service, member->instance, "update %d", rc);
    }
}

static void hide_or_show(struct member *member)
{
    int rc;

    if (!member->is_paused)
        say("drop", member->service, member->instance, "");
    rc = member->is_paused ? libsd_resume(sd, member->service, member->instance, TIMEOUT_MS)
                           : libsd_pause(sd, member->service, member->instance, TIMEOUT_MS);
    member->is_paused = !member->is_paused;
    if (!member->is_paused)
        say("want", member->service, member->instance, "%s", member->address);
    if (!is_pending(rc) && rc != LIBSD_ECONFLICT && rc != LIBSD_EAUTH && rc != LIBSD_EDENIED)
        say("odd", member->service, member->instance, "pause or resume %d", rc);
}

/* One change of one member. */
static void stir(struct member *member)
{
    long dice = random() % 10;

    if (!member->is_registered)
        enter(member);
    else if (member->is_paused)
        hide_or_show(member);
    else if (dice < 6)
        change(member);
    else if (dice < 8)
        leave(member);
    else
        hide_or_show(member);
}

/* Nobody may be left out when the run ends. */
static void settle(struct member *members, int count)
{
    for (int i = 0; i < count; i++)
        if (!members[i].is_registered)
            enter(&members[i]);
        else if (members[i].is_paused)
            hide_or_show(&members[i]);
}

static void parse(char *text, struct member *member)
{
    char *rest = strchr(text, '=');

    member->service = text;
    member->instance = strchr(text, '/');
    if (!rest || !member->instance) {
        fprintf(stderr, "registrar: %s: not SERVICE/INSTANCE=ADDRESS,...\n", text);
        exit(2);
    }
    *rest++ = *member->instance++ = '\0';
    for (char *word; member->count < ADDRESSES_MAX && (word = strsep(&rest, ","));)
        member->addresses[member->count++] = word;
}

/* All at once, as a service that starts does it; what is in the way is met
 * again by enter(). */
static void enter_all(struct member *members, int count)
{
    libsd_register_options options = { .size = sizeof options, .callback = on_state };

    for (int i = 0; i < count; i++) {
        options.callback_arg = &members[i];
        members[i].address = other_address(&members[i]);
        members[i].is_registered = true;
        say("want", members[i].service, members[i].instance, "%s", members[i].address);
        if (libsd_register_async(sd, members[i].service, members[i].instance, members[i].address,
                                 ttl_s, &options) < 0)
            exit(1);
    }
}

int main(int argc, char **argv)
{
    int count = argc - 5, flood = 0, signal_number;
    struct member *members = calloc((size_t)(count > 0 ? count : 1), sizeof *members);
    libsd_options *options;
    bool is_quiet = false;
    sigset_t signals;
    long pause_ms;

    if (count < 1 || !members || !(log_file = fopen(argv[1], "a"))) {
        fprintf(stderr, "usage: %s LOG SEED TTL PAUSE_MS INSTANCE...\n", argv[0]);
        return 2;
    }
    setvbuf(log_file, NULL, _IOLBF, 0); /* of a process that is killed nothing is lost */
    srandom((unsigned)atol(argv[2]));
    ttl_s = atoi(argv[3]);
    pause_ms = atol(argv[4]);
    for (int i = 0; i < count; i++)
        parse(argv[5 + i], &members[i]);
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (libsd_options_new(&options) < 0)
        return 1;
    libsd_options_set_log(options, on_log, NULL);
    if (libsd_open(&sd, options) < 0)
        return 1;
    libsd_options_free(options);
    enter_all(members, count);
    for (;;) {
        long ms = flood > 0 || is_quiet ? 0 : pause_ms / 2 + random() % pause_ms;
        struct timespec wait = { ms / 1000, ms % 1000 * 1000000 };

        if (is_quiet)
            wait.tv_sec = 1;
        signal_number = sigtimedwait(&signals, NULL, &wait);
        if (signal_number == SIGTERM)
            break;
        if (signal_number == SIGUSR1)
            flood = FLOOD;
        else if (signal_number == SIGUSR2)
            is_quiet = true;
        if (is_quiet)
            settle(members, count);
        else
            stir(&members[random() % count]);
        flood -= flood > 0;
    }
    for (int i = 0; i < count; i++)
        say("drop", members[i].service, members[i].instance, "");
    libsd_close(sd);
    return 0;
}
