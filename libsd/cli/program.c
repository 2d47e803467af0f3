/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See program.h.  SIGTTOU must be blocked here: otherwise a process that is not
 * in the foreground is stopped when it sets who is (tcsetpgrp(3)).
 */
#include "program.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arguments.h"
#include "say.h"

static int complain(const char *name, int error)
{
    return cli_fail(error == ENOENT ? CLI_NOT_FOUND : CLI_NOT_RUNNABLE, NULL, NULL, "%s: %s", name,
                    strerror(error));
}

/* 0 or an errno. */
static int try_file(const char *path)
{
    struct stat file;

    if (stat(path, &file) < 0)
        return errno;
    if (S_ISDIR(file.st_mode))
        return EISDIR;
    return access(path, X_OK) == 0 ? 0 : errno;
}

/* As execvp(3) looks for it. */
static int look_for(const char *name)
{
    const char *path = getenv("PATH");
    char file[4096];
    int error = ENOENT;

    if (strchr(name, '/'))
        return try_file(name);
    if (!*name)
        return ENOENT;
    for (path = path ? path : "/bin:/usr/bin";; path++) {
        size_t size = strcspn(path, ":");
        int rc;

        snprintf(file, sizeof file, "%.*s%s%s", (int)size, path, size ? "/" : "", name);
        rc = try_file(file);
        if (rc == 0)
            return 0;
        if (rc == EACCES)
            error = rc;
        path += size;
        if (!*path)
            return error;
    }
}

int cli_program_find(const char *name)
{
    int error = look_for(name);

    return error ? complain(name, error) : 0;
}

static bool is_foreground(void)
{
    return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

int cli_program_start(struct cli_program *program, char *const *words, const sigset_t *mask)
{
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    error = posix_spawnattr_setflags(&attributes, flags);
    if (!error)
        error = posix_spawnattr_setpgroup(&attributes, 0);
    if (!error)
        error = posix_spawnattr_setsigmask(&attributes, mask);
    if (!error && is_foreground())
        error = posix_spawn_file_actions_addtcsetpgrp_np(&actions, STDIN_FILENO);
    if (!error)
        error = posix_spawnp(&program->pid, words[0], &actions, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (!error)
        return 0;
    program->pid = 0;
    return complain(words[0], error);
}

static bool is_in_foreground(const struct cli_program *program)
{
    return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == program->pid;
}

/* By the signal, not by SIGSTOP: it does nothing in an orphaned group, which
 * nobody would wake (POSIX, _exit()). */
static void stand_still(int number)
{
    sigset_t one;

    sigemptyset(&one);
    sigaddset(&one, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    sigprocmask(SIG_BLOCK, &one, NULL);
}

/* ^Z, or it wants the terminal: the shell that runs etcdsd has to see that its
 * job stands.  A shell that brings a job to the foreground while it runs says
 * nothing, so that shows when the program reads. */
static void on_stopped(struct cli_program *program, int number)
{
    bool wants_terminal = number == SIGTTIN || number == SIGTTOU;
    bool had_terminal = is_in_foreground(program);

    if (!had_terminal && !wants_terminal)
        return; /* whoever stopped it in the background continues it */
    if (had_terminal)
        tcsetpgrp(STDIN_FILENO, getpgrp());
    if (!wants_terminal || !is_foreground())
        stand_still(wants_terminal ? number : SIGTSTP);
    if (is_foreground()) /* fg; after bg it is not */
        tcsetpgrp(STDIN_FILENO, program->pid);
    else if (wants_terminal)
        return; /* it would only ask again */
    cli_program_signal(program, SIGCONT);
}

bool cli_program_ended(struct cli_program *program, int *status)
{
    int how;
    pid_t pid = program->pid ? waitpid(program->pid, &how, WNOHANG | WUNTRACED) : 0;

    if (pid <= 0)
        return false;
    if (WIFSTOPPED(how)) {
        on_stopped(program, WSTOPSIG(how));
        return false;
    }
    if (is_in_foreground(program))
        tcsetpgrp(STDIN_FILENO, getpgrp());
    program->pid = 0;
    *status = WIFSIGNALED(how) ? CLI_BY_SIGNAL + WTERMSIG(how) : WEXITSTATUS(how);
    return true;
}

void cli_program_signal(const struct cli_program *program, int number)
{
    if (program->pid)
        kill(-program->pid, number);
}
