/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * register: keeps an instance registered for as long as etcdsd runs, or for as
 * long as a program does that knows nothing of etcd.
 *
 *            SIGTERM, SIGINT, SIGQUIT:            drain is over, or
 *            deregister                           another of these: tell it
 *   RUNNING ────────────────────────▶ DRAINING ────────────────────────▶ STOPPING
 *      └───────────────┬─────────────────┴───────────────────────────────────┘
 *                      ▼ the program ends
 *               deregister, and exit as it did
 *
 * Other signals go to the program as they come.  The program is never stopped
 * for etcd's sake: while etcd is away, or refuses, it runs on unregistered, and
 * etcdsd goes on trying.  Only with --takeover fail a name that is taken ends it.
 *
 * One thread: libsd's callbacks, signals and timers meet in one poll().
 * kill -9 of etcdsd leaves the program running; its key goes with its lease.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "program.h"
#include "say.h"

#define RETRY_MS       30000 /* after etcd refused */
#define DEREGISTER_MS  2000  /* the longest that a stop waits for etcd */
#define PATIENCE_MS    3000  /* until it is said that nothing has come of it yet */
#define CHECK_INTERVAL 2     /* seconds */

enum phase {
    RUNNING,
    DRAINING,
    STOPPING
};

struct keeper {
    const struct cli_arguments *arguments;
    libsd *sd;
    libsd_register_options options;
    libsd_check check;
    const char *check_words[4];
    struct cli_program program;
    sigset_t mask; /* as etcdsd was started */
    int signals;
    enum phase phase;
    int64_t wake_ms; /* monotonic: end of the drain, next try, a word; 0: none */
    int told;        /* enum libsd_registration_state that was told last */
    bool is_over;
    int status;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what the command line says ----------------------------------------- */

/* CHECK is KIND or KIND=WHAT. */
static int read_check(struct keeper *keeper, const char *text)
{
    size_t kind = strcspn(text, "=");
    const char *what = text[kind] ? text + kind + 1 : NULL;
    libsd_check *check = &keeper->check;

    *check = (libsd_check){ .size = sizeof *check };
    check->interval_ms = CHECK_INTERVAL * 1000;
    if (keeper->arguments->values[CLI_CHECK_INTERVAL])
        check->interval_ms = keeper->arguments->numbers[CLI_CHECK_INTERVAL] * 1000;
    if (kind == 3 && strncmp(text, "tcp", kind) == 0) {
        check->type = LIBSD_CHECK_TCP;
        check->target = what;
    } else if (kind == 4 && strncmp(text, "http", kind) == 0) {
        check->type = LIBSD_CHECK_HTTP;
        check->target = what;
    } else if (kind == 3 && strncmp(text, "cmd", kind) == 0 && what && *what) {
        check->type = LIBSD_CHECK_COMMAND;
        keeper->check_words[0] = "/bin/sh";
        keeper->check_words[1] = "-c";
        keeper->check_words[2] = what;
        check->command = keeper->check_words;
    } else {
        return cli_fail(CLI_USAGE, NULL, NULL,
                        "--check: '%s' is none of tcp, tcp=HOST:PORT, http, http=URL, http=/PATH, "
                        "cmd=SHELL-COMMAND",
                        text);
    }
    keeper->options.check = check;
    return 0;
}

static int read_options(struct keeper *keeper)
{
    const struct cli_arguments *arguments = keeper->arguments;
    libsd_register_options *options = &keeper->options;

    options->size = sizeof *options;
    options->weight = (uint32_t)arguments->numbers[CLI_WEIGHT];
    options->priority = (uint32_t)arguments->numbers[CLI_PRIORITY];
    options->metadata = arguments->values[CLI_METADATA];
    return arguments->values[CLI_CHECK] ? read_check(keeper, arguments->values[CLI_CHECK]) : 0;
}

/* ---- the registration --------------------------------------------------- */

/* Without a program, or told so, a refusal is the end; else it is tried again. */
static void on_refused(struct keeper *keeper, int error)
{
    const char *takeover = keeper->arguments->values[CLI_TAKEOVER];
    bool is_taken = error == LIBSD_ECONFLICT && takeover && strcmp(takeover, "fail") == 0;

    if (!keeper->arguments->program) {
        keeper->status = error == LIBSD_ECONFLICT ? CLI_NO : CLI_TROUBLE;
        keeper->is_over = true;
    } else if (is_taken) {
        keeper->status = CLI_OWN_FAILURE;
        keeper->phase = STOPPING;
        cli_program_signal(&keeper->program, SIGTERM);
        cli_program_signal(&keeper->program, SIGCONT);
    } else if (keeper->phase == RUNNING) {
        keeper->wake_ms = now_ms() + RETRY_MS;
    }
}

static void tell(const struct keeper *keeper, const char *service, const char *instance, int state,
                 int error)
{
    char detail[512] = "";
    const char *hint = cli_hint(error);

    if (error)
        libsd_error_detail(keeper->sd, detail, sizeof detail);
    if (state == LIBSD_REGISTERED)
        cli_say("%s/%s: registered as %s", service, instance, keeper->arguments->words[1]);
    else if (state == LIBSD_UNHEALTHY)
        cli_say("%s/%s: not registered until its check passes", service, instance);
    else if (state == LIBSD_CONFLICTED)
        cli_fail(0, "registered when that one ends; --takeover force overwrites it", NULL,
                 "%s/%s: another live instance has this name", service, instance);
    else if (state == LIBSD_LOST || state == LIBSD_FAILED)
        cli_fail(0, hint, NULL, "%s/%s: not registered%s: %s%s%s", service, instance,
                 state == LIBSD_LOST ? " for now" : "",
                 error ? libsd_strerror(error) : "its key or lease is gone", *detail ? ": " : "",
                 detail);
}

static void on_state(libsd *sd, const char *service, const char *instance, int state, int error,
                     void *arg)
{
    struct keeper *keeper = arg;

    (void)sd;
    if (state == LIBSD_WAITING)
        return; /* on_time() tells, when it has lasted */
    if (state != keeper->told && keeper->phase == RUNNING)
        tell(keeper, service, instance, state, error);
    keeper->told = state;
    if (state == LIBSD_FAILED)
        on_refused(keeper, error);
}

static int begin(struct keeper *keeper)
{
    const struct cli_arguments *arguments = keeper->arguments;
    int rc;

    keeper->options.callback = on_state;
    keeper->options.callback_arg = keeper;
    rc = libsd_register_async(keeper->sd, arguments->words[0], arguments->values[CLI_INSTANCE],
                              arguments->words[1], 0, &keeper->options);
    return rc < 0 ? cli_fail_libsd(rc == LIBSD_EINVAL ? CLI_USAGE : CLI_TROUBLE, keeper->sd, rc,
                                   arguments->words[0])
                  : 0;
}

/* ---- signals, time, the program's end ----------------------------------- */

static void tell_program(struct keeper *keeper, int number)
{
    keeper->phase = STOPPING;
    keeper->wake_ms = 0;
    cli_program_signal(&keeper->program, number);
    cli_program_signal(&keeper->program, SIGCONT); /* a stopped one has to hear it, too */
}

/* The last thing that the drain waits for is told with the signal that began it. */
static void on_stop(struct keeper *keeper, int number)
{
    int drain_s = keeper->arguments->numbers[CLI_DRAIN];

    if (!keeper->program.pid) {
        keeper->is_over = true;
        return;
    }
    if (keeper->phase == RUNNING) {
        keeper->phase = DRAINING;
        keeper->status = number;
        libsd_deregister(keeper->sd, keeper->arguments->words[0],
                         keeper->arguments->values[CLI_INSTANCE], DEREGISTER_MS);
        keeper->wake_ms = now_ms() + (int64_t)drain_s * 1000;
        if (drain_s)
            return;
    }
    tell_program(keeper, number);
}

static void on_signal(struct keeper *keeper, int number)
{
    switch (number) {
    case SIGCHLD: /* looked for each time */
        break;
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
        on_stop(keeper, number);
        break;
    case SIGHUP:
        if (!keeper->program.pid)
            keeper->is_over = true;
        /* fallthrough */
    default:
        cli_program_signal(&keeper->program, number);
    }
}

static void tell_waiting(const struct keeper *keeper)
{
    char detail[512];

    if (libsd_error_detail(keeper->sd, detail, sizeof detail) == 0)
        snprintf(detail, sizeof detail, "etcd has not answered");
    cli_fail(0, cli_hint(LIBSD_EUNAVAILABLE), NULL, "%s: not registered yet: %s",
             keeper->arguments->words[0], detail);
}

static void on_time(struct keeper *keeper)
{
    if (!keeper->wake_ms || now_ms() < keeper->wake_ms)
        return;
    keeper->wake_ms = 0;
    if (keeper->phase == DRAINING)
        tell_program(keeper, keeper->status);
    else if (keeper->phase == RUNNING && keeper->told == LIBSD_FAILED)
        begin(keeper);
    else if (keeper->phase == RUNNING && !keeper->told)
        tell_waiting(keeper);
}

static int wait_ms(const struct keeper *keeper)
{
    int64_t left = keeper->wake_ms ? keeper->wake_ms - now_ms() : -1;

    return keeper->wake_ms == 0 ? -1 : left < 0 ? 0 : (int)left;
}

static void run(struct keeper *keeper)
{
    struct pollfd ready[] = {
        { .fd = keeper->signals, .events = POLLIN },
        { .fd = libsd_fd(keeper->sd), .events = POLLIN },
    };
    struct signalfd_siginfo info;
    int status;

    while (!keeper->is_over) {
        poll(ready, 2, wait_ms(keeper));
        while (read(keeper->signals, &info, sizeof info) == (ssize_t)sizeof info)
            on_signal(keeper, (int)info.ssi_signo);
        libsd_dispatch(keeper->sd, 0);
        on_time(keeper);
        if (cli_program_ended(&keeper->program, &status)) {
            if (keeper->status != CLI_OWN_FAILURE)
                keeper->status = status;
            keeper->is_over = true;
        }
    }
}

/* ---- the whole ---------------------------------------------------------- */

/* All signals are taken from a descriptor.  SIGTTIN and SIGTTOU are about this
 * process and its terminal, SIGPIPE is about what it writes: those just stay
 * away. */
static int take_signals(struct keeper *keeper)
{
    sigset_t all;

    signal(SIGCHLD, SIG_DFL); /* ignored, it would take the program's status away */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &keeper->mask);
    sigdelset(&all, SIGTTIN);
    sigdelset(&all, SIGTTOU);
    sigdelset(&all, SIGPIPE);
    keeper->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    return keeper->signals < 0 ? cli_fail(CLI_TROUBLE, NULL, NULL, "signalfd: %s", strerror(errno))
                               : 0;
}

static int start(struct keeper *keeper)
{
    char **program = keeper->arguments->program;
    int status = read_options(keeper);

    if (status == 0 && program)
        status = cli_program_find(program[0]);
    if (status == 0)
        status = cli_open(keeper->arguments, "manual", &keeper->sd);
    if (status == 0)
        status = take_signals(keeper);
    if (status == 0)
        status = begin(keeper);
    keeper->wake_ms = now_ms() + PATIENCE_MS;
    if (status == 0 && program)
        status = cli_program_start(&keeper->program, program, &keeper->mask);
    return status == CLI_TROUBLE && program ? CLI_OWN_FAILURE : status;
}

int cli_register(const struct cli_arguments *arguments)
{
    struct keeper keeper = { .arguments = arguments, .signals = -1 };
    int status = start(&keeper);

    if (status == 0) {
        run(&keeper);
        status = keeper.status;
    }
    libsd_close(keeper.sd);
    if (keeper.signals >= 0)
        close(keeper.signals);
    return status;
}
