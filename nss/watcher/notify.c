/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See notify.h, sd_notify(3) and sd_watchdog_enabled(3).
 */
#include "notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* A manager that does not read must not hold us up.  Returns whether it has
 * the message, or nobody wants one: what matters is said again until then. */
static bool say(const struct notify *notify, const char *text)
{
    return notify->fd < 0 ||
           sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                  (const struct sockaddr *)&notify->address, notify->address_size) >= 0;
}

/* A path, or a name in the abstract name space, which is written with '@' in
 * the place of its first byte, 0. */
static bool address_set(struct notify *notify, const char *name)
{
    size_t length = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || length < 2 ||
        length >= sizeof notify->address.sun_path)
        return false;
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, name, length);
    notify->address_size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/'));
    if (name[0] == '@')
        notify->address.sun_path[0] = '\0';
    return true;
}

/* A number of microseconds or a process id; 0: none. */
static int64_t environment_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long long number;

    if (text == NULL || text[0] < '0' || text[0] > '9')
        return 0;
    errno = 0;
    number = strtoll(text, &end, 10);
    return errno != 0 || *end != '\0' ? 0 : number;
}

/* Half of the time that we are given, as sd_watchdog_enabled(3) advises. */
static int64_t watchdog_ms(void)
{
    int64_t limit_us = environment_number("WATCHDOG_USEC");
    int64_t pid = environment_number("WATCHDOG_PID");

    return pid != 0 && pid != getpid() ? 0 : limit_us / 2000;
}

void notify_open(struct notify *notify)
{
    const char *name = getenv("NOTIFY_SOCKET");

    *notify = (struct notify){ .fd = -1, .watchdog_ms = watchdog_ms() };
    if (name != NULL && address_set(notify, name))
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}

void notify_ready(struct notify *notify)
{
    if (!notify->is_ready)
        notify->is_ready = say(notify, "READY=1");
}

void notify_reloading(struct notify *notify)
{
    char text[80];

    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, monotonic_us());
    say(notify, text);
    notify->is_ready = false;
}

void notify_stopping(struct notify *notify)
{
    say(notify, "STOPPING=1");
}

void notify_extend(struct notify *notify, uint32_t seconds)
{
    char text[80];

    snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%" PRIu64, (uint64_t)seconds * 1000000);
    say(notify, text);
}

void notify_status(struct notify *notify, const char *status)
{
    char text[sizeof "STATUS=" + NOTIFY_STATUS_SIZE];

    if (strncmp(notify->status, status, sizeof notify->status - 1) == 0)
        return;
    snprintf(notify->status, sizeof notify->status, "%s", status);
    for (char *at = notify->status; *at != '\0'; at++)
        if (*at == '\n') /* would begin another assignment */
            *at = ' ';
    snprintf(text, sizeof text, "STATUS=%s", notify->status);
    if (!say(notify, text))
        notify->status[0] = '\0';
}

void notify_alive(struct notify *notify)
{
    int64_t now_ms = monotonic_us() / 1000;

    if (notify->watchdog_ms == 0 || now_ms - notify->alive_ms < notify->watchdog_ms)
        return;
    notify->alive_ms = now_ms;
    say(notify, "WATCHDOG=1");
}
