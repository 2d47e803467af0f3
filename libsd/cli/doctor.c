/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See doctor.h: what is said, and in which order.
 */
#include "doctor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define APART_S 10

void doctor_mend(struct doctor *doctor, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    vsnprintf(doctor->mend, sizeof doctor->mend, format, values);
    va_end(values);
}

static void print_line(enum doctor_result result, const char *check, const char *what,
                       const char *mend)
{
    static const char *const words[] = { "ok", "warn", "FAIL" };

    printf("%-4s %s: ", words[result], check);
    cli_print_text(stdout, what);
    if (*mend) {
        fputs(" (", stdout);
        cli_print_text(stdout, mend);
        putchar(')');
    }
    putchar('\n');
}

static void print_object(struct cli_json *json, enum doctor_result result, const char *check,
                         const char *what, const char *mend)
{
    static const char *const words[] = { "ok", "warn", "fail" };

    cli_json_object(json, NULL);
    cli_json_text(json, "check", check);
    cli_json_text(json, "result", words[result]);
    cli_json_text(json, "what", what);
    if (*mend)
        cli_json_text(json, "mend", mend);
    cli_json_object_end(json);
}

void doctor_say(struct doctor *doctor, enum doctor_result result, const char *check,
                const char *format, ...)
{
    char what[2 * DOCTOR_LINE];
    va_list values;

    va_start(values, format);
    vsnprintf(what, sizeof what, format, values);
    va_end(values);
    if (doctor->json)
        print_object(doctor->json, result, check, what, doctor->mend);
    else
        print_line(result, check, what, doctor->mend);
    fflush(stdout); /* some take seconds; and children must find nothing to write */
    doctor->mend[0] = '\0';
    if (result > doctor->worst)
        doctor->worst = result;
}

/* ---- apart -------------------------------------------------------------- */

/* All that comes until the other end is closed. */
static size_t read_all(int from, char text[DOCTOR_LINE])
{
    struct pollfd ready = { .fd = from, .events = POLLIN };
    size_t size = 0;
    ssize_t got = 1;

    while (got > 0 && size < DOCTOR_LINE - 1 && poll(&ready, 1, APART_S * 1000) == 1) {
        got = read(from, text + size, DOCTOR_LINE - 1 - size);
        size += got > 0 ? (size_t)got : 0;
    }
    text[size] = '\0';
    return size;
}

bool doctor_apart(void (*work)(int to, void *arg), void *arg, char text[DOCTOR_LINE])
{
    size_t size;
    int ends[2];
    pid_t child;

    text[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    child = fork();
    if (child == 0) {
        alarm(APART_S);
        work(ends[1], arg);
        _exit(0);
    }
    close(ends[1]);
    size = child < 0 ? 0 : read_all(ends[0], text);
    close(ends[0]);
    if (child > 0) {
        kill(child, SIGKILL); /* it may be stuck, alarm or not */
        waitpid(child, NULL, 0);
    }
    return size > 0;
}

/* ---- the whole ---------------------------------------------------------- */

int cli_doctor(const struct cli_arguments *arguments)
{
    struct cli_json json = { .to = stdout };
    struct doctor doctor = { .arguments = arguments };

    if (arguments->values[CLI_JSON]) {
        doctor.json = &json;
        cli_json_object(&json, NULL);
        cli_json_array(&json, "checks");
    }
    doctor_hosts(&doctor);
    doctor_nscd(&doctor);
    doctor_module(&doctor);
    doctor_table(&doctor);
    doctor_config(&doctor);
    doctor_lookup(&doctor); /* before libsd has threads: it forks */
    doctor_etcd(&doctor);
    if (doctor.json) {
        cli_json_array_end(&json);
        cli_json_number(&json, "status", doctor.worst);
        cli_json_object_end(&json);
    }
    return (int)doctor.worst;
}
