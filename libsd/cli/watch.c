/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watch: what comes and goes, a line each:
 *
 *     17:46:02 + user/instance-1  10.0.0.5:9090  registered
 *     17:46:09 ~ user/instance-1  10.0.0.5:9090 -> 10.0.0.6:9090
 *     17:46:30 - user/instance-1  10.0.0.6:9090  lease ended
 *     17:46:31 ! etcd is out of sight: no answer in time
 *
 * One thread: libsd's callbacks run between two polls, so that lines stay whole
 * and a broken pipe ends it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "say.h"

struct watching {
    bool as_json;
    bool colour;
};

static const char *const types[] = {
    [LIBSD_ONLINE] = "online", [LIBSD_OFFLINE] = "offline",   [LIBSD_CHANGED] = "changed",
    [LIBSD_SYNCED] = "synced", [LIBSD_IN_SIGHT] = "in-sight", [LIBSD_OUT_OF_SIGHT] = "out-of-sight",
};
static const char *const reasons[] = {
    [LIBSD_REASON_PRESENT] = "present",
    [LIBSD_REASON_REGISTERED] = "registered",
    [LIBSD_REASON_UPDATED] = "updated",
    [LIBSD_REASON_DEREGISTERED] = "deregistered",
    [LIBSD_REASON_LEASE_ENDED] = "lease ended",
    [LIBSD_REASON_DELETED] = "deleted",
    [LIBSD_REASON_UNREADABLE] = "its value can't be read",
    [LIBSD_REASON_RESYNC] = "found out late",
};
#define NAME_OF(list, i) \
    ((size_t)(i) < sizeof(list) / sizeof(list)[0] && (list)[i] ? (list)[i] : "unknown")

/* ---- JSON --------------------------------------------------------------- */

static void print_json(const libsd_change *change)
{
    struct cli_json json = { .to = stdout };
    char now[80], text[60];
    struct timespec at;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &at);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&at.tv_sec, &tm));
    snprintf(now, sizeof now, "%.25s.%03ldZ", text, at.tv_nsec / 1000000);
    cli_json_object(&json, NULL);
    cli_json_text(&json, "time", now);
    cli_json_text(&json, "type", NAME_OF(types, change->type));
    if (change->reason)
        cli_json_text(&json, "reason", NAME_OF(reasons, change->reason));
    cli_json_number(&json, "revision", change->revision);
    if (change->error) {
        cli_json_text(&json, "error", libsd_error_name(change->error));
        cli_json_text(&json, "message", libsd_strerror(change->error));
    }
    if (change->instance)
        cli_json_instance(&json, change->instance);
    if (change->type == LIBSD_CHANGED) {
        cli_json_object(&json, "before");
        cli_json_instance(&json, change->before);
        cli_json_object_end(&json);
    }
    cli_json_object_end(&json);
}

/* ---- lines -------------------------------------------------------------- */

static void print_instance(const libsd_change *change)
{
    char before[300] = "", now[300] = "";

    cli_print_name(change->instance);
    fputs("  ", stdout);
    if (change->before)
        libsd_instance_text(change->before, before, sizeof before);
    if (change->now)
        libsd_instance_text(change->now, now, sizeof now);
    if (change->type == LIBSD_CHANGED && strcmp(before, now) != 0) {
        cli_print_text(stdout, before);
        fputs(" -> ", stdout);
    }
    cli_print_address(change->instance);
    if (change->before && change->now && change->before->weight != change->now->weight)
        printf("  weight %u -> %u", change->before->weight, change->now->weight);
    if (change->type != LIBSD_CHANGED || change->reason == LIBSD_REASON_RESYNC)
        printf("  %s", NAME_OF(reasons, change->reason));
}

static void print_line(const libsd_change *change, bool colour)
{
    static const struct {
        char sign;
        const char *colour;
    } styles[] = {
        [LIBSD_ONLINE] = { '+', "\033[32m" },         [LIBSD_OFFLINE] = { '-', "\033[31m" },
        [LIBSD_CHANGED] = { '~', "\033[33m" },        [LIBSD_SYNCED] = { '=', "\033[2m" },
        [LIBSD_OUT_OF_SIGHT] = { '!', "\033[1;31m" }, [LIBSD_IN_SIGHT] = { '=', "\033[2m" },
    };
    time_t now = time(NULL);
    char clock[20];
    struct tm tm;

    if ((size_t)change->type >= sizeof styles / sizeof styles[0])
        return;
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&now, &tm));
    printf("%s%s %c ", colour ? styles[change->type].colour : "", clock, styles[change->type].sign);
    if (change->instance)
        print_instance(change);
    else if (change->type == LIBSD_SYNCED)
        printf("that is all, at revision %lld", (long long)change->revision);
    else if (change->type == LIBSD_IN_SIGHT)
        fputs("etcd is in sight", stdout);
    else
        printf("etcd is out of sight: %s", libsd_strerror(change->error));
    puts(colour ? "\033[0m" : "");
}

static void on_change(const libsd_change *change, void *arg)
{
    const struct watching *watching = arg;

    if (watching->as_json)
        print_json(change);
    else
        print_line(change, watching->colour);
}

/* ---- the loop ----------------------------------------------------------- */

static int follow(libsd *sd, int signals)
{
    struct pollfd ready[] = {
        { .fd = libsd_fd(sd), .events = POLLIN },
        { .fd = signals, .events = POLLIN },
        { .fd = STDOUT_FILENO, .events = 0 }, /* POLLERR: nobody reads the pipe any more */
    };

    while (!ready[1].revents) {
        if (poll(ready, 3, -1) < 0 && errno != EINTR)
            return cli_fail(CLI_TROUBLE, NULL, NULL, "poll: %s", strerror(errno));
        if (ready[0].revents)
            libsd_dispatch(sd, 0);
        if (ready[2].revents & (POLLERR | POLLHUP))
            raise(SIGPIPE); /* as the next line would */
        if (fflush(stdout) != 0)
            return CLI_TROUBLE; /* main() says why */
    }
    return CLI_GOOD;
}

/* https://no-color.org: any value but an empty one; --color is stronger. */
static bool wants_colour(const char *when)
{
    const char *no_colour = getenv("NO_COLOR");

    if (when && strcmp(when, "auto") != 0)
        return strcmp(when, "always") == 0;
    return isatty(STDOUT_FILENO) && !(no_colour && *no_colour);
}

int cli_watch(const struct cli_arguments *arguments)
{
    const char *service = arguments->word_count ? arguments->words[0] : NULL;
    struct watching watching = { .as_json = arguments->values[CLI_JSON] != NULL,
                                 .colour = wants_colour(arguments->values[CLI_COLOR]) };
    sigset_t stop;
    int signals, rc, status;
    libsd *sd;

    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    signals = signalfd(-1, &stop, SFD_CLOEXEC);
    if (signals < 0)
        return cli_fail(CLI_TROUBLE, NULL, NULL, "signalfd: %s", strerror(errno));
    status = cli_open(arguments, "manual", &sd);
    if (status != 0)
        goto out;
    rc = libsd_watch_service(sd, service, on_change, &watching, NULL);
    status = rc < 0 ? cli_fail_libsd(rc == LIBSD_EINVAL ? CLI_USAGE : CLI_TROUBLE, sd, rc,
                                     service ? service : "watch")
                    : follow(sd, signals);
    libsd_close(sd);
out:
    close(signals);
    return status;
}
