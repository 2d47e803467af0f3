/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See attack_help.h.
 */
#include "attack_help.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int often(int usual)
{
    const char *factor = getenv("LONG");

    return factor != NULL && atoi(factor) > 0 ? usual * atoi(factor) : usual;
}

int child_status(int (*body)(void))
{
    int status = -1;
    pid_t child = fork();

    cr_assert_geq(child, 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGALRM, SIG_DFL);
        alarm(CHILD_SECONDS);
        _exit(body());
    }
    while (waitpid(child, &status, 0) < 0)
        cr_assert_eq(errno, EINTR);
    return status;
}

int ask_through(ask_function *function, const char *name)
{
    _Alignas(16) char buffer[512];
    struct hostent host = { 0 };
    int error = 0, h_error = -1;

    switch (function(name, AF_INET, &host, buffer, sizeof buffer, &error, &h_error)) {
    case NSS_STATUS_SUCCESS:
        return h_error == NETDB_SUCCESS ? (unsigned char)host.h_addr_list[0][3] : ASK_WRONG;
    case NSS_STATUS_NOTFOUND:
        return error == ENOENT && h_error == HOST_NOT_FOUND ? ASK_UNKNOWN : ASK_WRONG;
    case NSS_STATUS_TRYAGAIN:
        return error == EAGAIN && h_error == TRY_AGAIN ? ASK_AGAIN : ASK_WRONG;
    case NSS_STATUS_UNAVAIL:
        return error == ENOENT && h_error == NO_RECOVERY ? ASK_FOREIGN : ASK_WRONG;
    default:
        return ASK_WRONG;
    }
}

int descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = -1; /* the directory's own */

    if (directory == NULL)
        return -1;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

int mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    int count = 0, c;

    if (maps == NULL)
        return -1;
    while ((c = getc(maps)) != EOF)
        count += c == '\n';
    fclose(maps);
    return count;
}

long address_space_kb(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[128];
    long kb = -1;

    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmSize:", 7) == 0)
            kb = strtol(line + 7, NULL, 10);
    if (status != NULL)
        fclose(status);
    return kb;
}
