/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Processes that register; see crew.h.
 */
#include "crew.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <libsd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

void mate_key(const struct mate *mate, int i, char *key, char *value)
{
    snprintf(key, MATE_TEXT_SIZE, "%d-%d", mate->number, i);
    snprintf(value, MATE_TEXT_SIZE, "10.0.%d.%d:9090", mate->number, i + 1);
}

/* What is followed is not looked at here, but costs what it costs. */
static void ignore(const libsd_change *change, void *arg)
{
    (void)change;
    (void)arg;
}

static void be_mate(const struct mate *mate, const char *endpoints, int ttl_s)
{
    libsd *sd = open_with(endpoints, NULL);
    libsd_discovery *discovery = NULL;
    char key[MATE_TEXT_SIZE];
    char value[MATE_TEXT_SIZE];

    if (libsd_watch_service(sd, "soak", ignore, NULL, &discovery) < 0)
        _exit(1);
    for (int i = 0; i < CREW_KEYS; i++) {
        mate_key(mate, i, key, value);
        if (libsd_register_async(sd, "soak", key, value, ttl_s, NULL) < 0)
            _exit(1);
    }
    for (;;)
        pause();
}

void mate_start(struct mate *mate, const char *endpoints, int ttl_s)
{
    pid_t parent = getpid();

    mate->pid = fork();
    cr_assert(mate->pid >= 0);
    if (mate->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        be_mate(mate, endpoints, ttl_s);
    }
    mate->duty = DUTY_RUNNING;
}

void mate_kill(struct mate *mate)
{
    kill(mate->pid, SIGKILL);
    waitpid(mate->pid, NULL, 0);
    mate->pid = 0;
    mate->duty = DUTY_ENDED;
}

void mate_stop(struct mate *mate)
{
    int status;

    kill(mate->pid, SIGSTOP);
    cr_assert(waitpid(mate->pid, &status, WUNTRACED) == mate->pid && WIFSTOPPED(status));
    mate->duty = DUTY_STOPPED;
}

void mate_resume(struct mate *mate)
{
    kill(mate->pid, SIGCONT);
    mate->duty = DUTY_RUNNING;
}

bool mate_has_ended(struct mate *mate)
{
    return waitpid(mate->pid, NULL, WNOHANG) == mate->pid;
}

static int entries(const struct mate *mate, const char *folder)
{
    char path[60];
    int count = 0;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/%s", mate->pid, folder);
    dir = opendir(path);
    cr_assert(dir != NULL, "%s", path);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

struct mate_use mate_holdings(const struct mate *mate)
{
    struct mate_use holdings = { .threads = entries(mate, "task"),
                                 .descriptors = entries(mate, "fd") };
    char path[60];
    long pages = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/statm", mate->pid);
    file = fopen(path, "re");
    cr_assert(file != NULL && fscanf(file, "%*d %ld", &pages) == 1, "%s", path);
    fclose(file);
    holdings.rss_kib = pages * (sysconf(_SC_PAGESIZE) / 1024);
    return holdings;
}
