/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The datagrams that a service manager gets.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../nss/watcher/notify.h"

static int manager = -1;
static char path[64];
static struct notify notify;

static void listen_at(const char *name, socklen_t length)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, name, length);
    cr_assert_eq(bind(manager, (struct sockaddr *)&address,
                      (socklen_t)offsetof(struct sockaddr_un, sun_path) + length),
                 0);
}

static void setup(void)
{
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    snprintf(path, sizeof path, "/tmp/etcdsd-notify.%ld", (long)getpid());
    listen_at(path, (socklen_t)strlen(path) + 1);
    setenv("NOTIFY_SOCKET", path, 1);
}

static void teardown(void)
{
    notify_close(&notify);
    close(manager);
    unlink(path);
}

TestSuite(notify, .init = setup, .fini = teardown);

/* The next datagram; "" if there is none. */
static const char *told(void)
{
    static char text[1024];
    ssize_t size = recv(manager, text, sizeof text - 1, MSG_DONTWAIT);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

Test(notify, ready_is_told_once_and_again_after_a_reload)
{
    unsigned long long since;

    notify_open(&notify);
    notify_ready(&notify);
    notify_ready(&notify);
    cr_expect_str_eq(told(), "READY=1");
    cr_expect_str_eq(told(), "");
    notify_reloading(&notify);
    cr_expect_eq(sscanf(told(), "RELOADING=1\nMONOTONIC_USEC=%llu", &since), 1);
    notify_ready(&notify);
    cr_expect_str_eq(told(), "READY=1");
    notify_stopping(&notify);
    cr_expect_str_eq(told(), "STOPPING=1");
    notify_extend(&notify, 30);
    cr_expect_str_eq(told(), "EXTEND_TIMEOUT_USEC=30000000");
}

Test(notify, status_is_told_when_it_is_another_and_is_one_line)
{
    char longer[1000];

    notify_open(&notify);
    notify_status(&notify, "all well");
    notify_status(&notify, "all well");
    cr_expect_str_eq(told(), "STATUS=all well");
    cr_expect_str_eq(told(), "");
    notify_status(&notify, "a\nREADY=1");
    cr_expect_str_eq(told(), "STATUS=a READY=1");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    notify_status(&notify, longer);
    cr_expect_eq(strlen(told()), strlen("STATUS=") + NOTIFY_STATUS_SIZE - 1);
    notify_status(&notify, longer);
    cr_expect_str_eq(told(), "");
}

Test(notify, watchdog_gets_a_sign_of_life_in_half_of_its_time)
{
    char pid[24];

    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("WATCHDOG_USEC", "20000000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    notify_open(&notify);
    cr_expect_eq(notify.watchdog_ms, 10000);
    notify_alive(&notify);
    notify_alive(&notify);
    cr_expect_str_eq(told(), "WATCHDOG=1");
    cr_expect_str_eq(told(), "");
    notify.alive_ms -= 10001;
    notify_alive(&notify);
    cr_expect_str_eq(told(), "WATCHDOG=1");
}

Test(notify, watchdog_of_another_process_or_of_nonsense_is_none)
{
    static const char *const nonsense[] = { "", "x", "12x", "-5", "99999999999999999999" };

    setenv("WATCHDOG_USEC", "20000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    notify_open(&notify);
    cr_expect_eq(notify.watchdog_ms, 0);
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        notify_close(&notify);
        setenv("WATCHDOG_USEC", nonsense[i], 1);
        notify_open(&notify);
        cr_expect_eq(notify.watchdog_ms, 0, "%s", nonsense[i]);
    }
}

Test(notify, name_in_the_abstract_name_space)
{
    char name[64];

    close(manager);
    snprintf(name, sizeof name, "@etcdsd-notify.%ld", (long)getpid());
    setenv("NOTIFY_SOCKET", name, 1);
    name[0] = '\0';
    listen_at(name, (socklen_t)strlen(name + 1) + 1);
    notify_open(&notify);
    notify_ready(&notify);
    cr_expect_str_eq(told(), "READY=1");
}

Test(notify, children_do_not_get_the_socket)
{
    notify_open(&notify);
    cr_expect_null(getenv("NOTIFY_SOCKET"));
}

Test(notify, nobody_listens_and_names_that_are_none)
{
    static const char *const names[] = {
        "", "/", "relative", "@",
        "/0123456789012345678901234567890123456789012345678901234"
        "56789012345678901234567890123456789012345678901234567890"
    };

    unsetenv("NOTIFY_SOCKET");
    notify_open(&notify);
    notify_ready(&notify);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        notify_open(&notify);
        cr_expect_eq(notify.fd, -1, "%s", names[i]);
        notify_status(&notify, "x");
    }
}

Test(notify, manager_that_does_not_read_holds_nothing_up)
{
    notify_open(&notify);
    alarm(10); /* a send that blocks would not end */
    for (int i = 0; i < 10000; i++)
        notify_extend(&notify, 1);
    notify_ready(&notify);
    notify_status(&notify, "well");
    for (int i = 0; strcmp(told(), "") != 0; i++)
        cr_assert_lt(i, 10000);
    notify_ready(&notify);
    notify_status(&notify, "well");
    cr_expect_str_eq(told(), "READY=1", "what it had no room for is said again");
    cr_expect_str_eq(told(), "STATUS=well");
}
