/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Error codes and the details behind them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "internal.h"
#include "process.h"

/* The last failed call of this thread, on the handle with that serial; 0: it had
 * no handle. */
static _Thread_local struct {
    uint64_t serial;
    struct failure failure;
} last;

const char *libsd_strerror(int code)
{
    switch (code) {
    case LIBSD_OK:
        return "success";
    case LIBSD_EINVAL:
        return "invalid argument or option";
    case LIBSD_ENOMEM:
        return "out of memory, threads or descriptors";
    case LIBSD_ETIMEDOUT:
        return "no answer from etcd in time";
    case LIBSD_EUNAVAILABLE:
        return "no etcd endpoint is available";
    case LIBSD_ENOTFOUND:
        return "not found";
    case LIBSD_ECONFLICT:
        return "somebody else holds the key";
    case LIBSD_EAUTH:
        return "user or password refused";
    case LIBSD_EDENIED:
        return "permission denied";
    case LIBSD_ECOMPACTED:
        return "revision is compacted";
    case LIBSD_ETOOBIG:
        return "request or answer is too large";
    case LIBSD_ENOSPACE:
        return "etcd's database quota is used up";
    case LIBSD_EPROTOCOL:
        return "answer is not etcd's v3 JSON";
    case LIBSD_ETLS:
        return "TLS certificate trouble";
    case LIBSD_ECLOSED:
        return "handle is being closed";
    case LIBSD_EFORKED:
        return "handle belongs to the parent process";
    case LIBSD_ELEASE:
        return "lease not found";
    case LIBSD_EREFUSED:
        return "etcd refused the request";
    case LIBSD_EDEADLOCK:
        return "blocking call inside a callback";
    case LIBSD_EUNKNOWN:
        return "write may or may not have happened";
    default:
        return "unknown error";
    }
}

const char *libsd_error_name(int code)
{
    static const char *const names[] = {
        "LIBSD_OK",           "LIBSD_EINVAL",     "LIBSD_ENOMEM",    "LIBSD_ETIMEDOUT",
        "LIBSD_EUNAVAILABLE", "LIBSD_ENOTFOUND",  "LIBSD_ECONFLICT", "LIBSD_EAUTH",
        "LIBSD_EDENIED",      "LIBSD_ECOMPACTED", "LIBSD_ETOOBIG",   "LIBSD_ENOSPACE",
        "LIBSD_EPROTOCOL",    "LIBSD_ETLS",       "LIBSD_ECLOSED",   "LIBSD_EFORKED",
        "LIBSD_ELEASE",       "LIBSD_EREFUSED",   "LIBSD_EDEADLOCK", "LIBSD_EUNKNOWN",
    };

    if (code > 0 || code <= -(int)(sizeof names / sizeof names[0]))
        return "unknown";
    return names[-code];
}

int libsd_error_is_retriable(int code)
{
    return code == LIBSD_ETIMEDOUT || code == LIBSD_EUNAVAILABLE || code == LIBSD_ENOMEM ||
           code == LIBSD_ENOSPACE;
}

int libsd_error_is_fatal(int code)
{
    return code == LIBSD_ECLOSED || code == LIBSD_EFORKED;
}

int handle_fail(libsd *sd, const struct failure *failure)
{
    last.serial = sd->serial;
    last.failure = *failure;
    return failure->code;
}

void handle_told(libsd *sd, int error, const char *detail)
{
    if (detail)
        failure_set(&last.failure, error, "%s", detail);
    last.serial = detail ? sd->serial : 0;
}

int thread_fail(const struct failure *failure)
{
    last.serial = 0;
    last.failure = *failure;
    return failure->code;
}

void handle_background(libsd *sd, const struct failure *failure)
{
    pthread_mutex_lock(&sd->detail_mutex);
    memcpy(sd->detail, failure->text, sizeof sd->detail);
    pthread_mutex_unlock(&sd->detail_mutex);
}

size_t libsd_error_detail(libsd *sd, char *buffer, size_t size)
{
    struct failure failure = { 0 };
    int length;

    if (buffer && size)
        *buffer = '\0';
    if (sd && handle_check(sd) < 0)
        return 0;
    if (last.serial == (sd ? sd->serial : 0)) {
        failure = last.failure;
    } else if (sd) {
        pthread_mutex_lock(&sd->detail_mutex);
        memcpy(failure.text, sd->detail, sizeof failure.text);
        pthread_mutex_unlock(&sd->detail_mutex);
    }
    length = snprintf(buffer, buffer ? size : 0, "%s", failure.text);
    return length > 0 ? (size_t)length : 0;
}

int handle_check(const libsd *sd)
{
    if (!sd)
        return LIBSD_EINVAL;
    return sd->pid == process_id() ? 0 : LIBSD_EFORKED;
}

int handle_check_blocking(const libsd *sd)
{
    int rc = handle_check(sd);

    if (rc == 0 && queue_is_mine(sd))
        return LIBSD_EDEADLOCK;
    return rc;
}

void handle_log(libsd *sd, int level, const char *format, ...)
{
    char message[400];
    va_list args;

    if (!sd->options.log)
        return;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    sd->options.log(level, message, sd->options.log_arg);
}
