/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Checks by a command: status 0 is good.
 *
 * It runs in a process group of its own, with /dev/null for its input and
 * output and no other descriptor of ours, no signal blocked or ignored.  What is
 * left of the group when the command or its time ends is killed.
 *
 * Its end is looked for now and then: SIGCHLD belongs to the program, and
 * pidfd_open(2) to newer kernels.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "internal.h"

#define LOOK_NS     (1 * MS) /* doubled up to */
#define LOOKS_MAX   5        /* so many times: 32 ms */
#define KILLED_LOOK 500      /* ms that a killed one is waited for at the end */

/* Kills what is left of the group, while the command, not yet waited for, keeps
 * its number from being anybody else's. */
static void kill_group(const struct check *check)
{
    kill(-check->pid, SIGKILL);
}

static void collect(struct check *check)
{
    int status = 0;
    char why[60] = "";
    pid_t got;

    kill_group(check);
    got = waitpid(check->pid, &status, 0);
    check->pid = 0;
    timer_stop(&check->timer);
    if (got < 0)
        snprintf(why, sizeof why, "its status is lost: the program takes it");
    else if (check->late)
        snprintf(why, sizeof why, "the command did not end in time");
    else if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "the command ended by signal %d", WTERMSIG(status));
    else
        snprintf(why, sizeof why, "the command ended with status %d", WEXITSTATUS(status));
    check_result(check, got > 0 && !check->late && WIFEXITED(status) && WEXITSTATUS(status) == 0,
                 why);
    check->late = false;
}

/* Ended, but still to be waited for; or not our child any more: a program that
 * ignores SIGCHLD or waits for any child takes it from us. */
static bool has_ended(const struct check *check)
{
    siginfo_t info = { 0 };

    if (waitid(P_PID, (id_t)check->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return errno == ECHILD;
    return info.si_pid == check->pid;
}

static void look(struct timer *timer)
{
    struct check *check = container_of(timer, struct check, look);

    if (has_ended(check)) {
        collect(check);
        return;
    }
    check->looks += check->looks < LOOKS_MAX;
    timer_start(&check->sd->checks.loop, &check->look, LOOK_NS << check->looks);
}

static int spawn(struct check *check)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int error;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF);
    if (!error)
        error = posix_spawnattr_setpgroup(&attributes, 0);
    if (!error)
        error = posix_spawnattr_setsigmask(&attributes, &none);
    if (!error)
        error = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, 0, 1);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, 0, 2);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (!error)
        error = posix_spawnp(&check->pid, check->command[0], &actions, &attributes, check->command,
                             environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

bool command_run(struct check *check)
{
    if (spawn(check) != 0) {
        check->pid = 0;
        return false;
    }
    check->looks = 0;
    check->late = false;
    check->look.fire = look;
    timer_start(&check->sd->checks.loop, &check->look, LOOK_NS);
    return true;
}

/* look() sees its end. */
void command_timeout(struct check *check)
{
    check->late = true;
    kill_group(check);
}

void command_cancel(struct check *check)
{
    const struct timespec moment = { .tv_nsec = 1000000 };

    if (!check->pid)
        return;
    timer_stop(&check->look);
    kill_group(check);
    /* Only a process that hangs in the kernel outlives this. */
    for (int i = 0; i < KILLED_LOOK && waitpid(check->pid, NULL, WNOHANG) == 0; i++)
        nanosleep(&moment, NULL);
    check->pid = 0;
}
