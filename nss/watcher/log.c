/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Messages.  A line is composed on the stack and leaves in one write(2), so
 * lines of several threads never mix.  A reader of standard error that has
 * stopped reading costs lines, not the daemon's heartbeat: a line is only
 * written where poll(2) says that there is room.
 */
#include "log.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1400

static const struct {
    const char *name;
    int level;
} levels[] = {
    { "error", LOG_LEVEL_ERROR },
    { "warning", LOG_LEVEL_WARNING },
    { "info", LOG_LEVEL_INFO },
    { "debug", LOG_LEVEL_DEBUG },
};
#define LEVELS (sizeof levels / sizeof levels[0])

static struct {
    pthread_mutex_t lock; /* guards the budgets and keeps reports in order */
    struct log_budget budgets[LEVELS];
    int fd;
    int level;
    bool is_journal;
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO };

bool log_budget_take(struct log_budget *budget, int64_t second)
{
    if (budget->second != second) {
        budget->second = second;
        budget->used = 0;
    }
    if (budget->used == LOG_BURST) {
        budget->suppressed++;
        return false;
    }
    budget->used++;
    return true;
}

uint64_t log_budget_reap(struct log_budget *budget, int64_t second)
{
    uint64_t suppressed = budget->suppressed;

    if (budget->second == second || suppressed == 0)
        return 0;
    budget->suppressed = 0;
    return suppressed;
}

int log_level_parse(const char *name)
{
    for (size_t i = 0; i < LEVELS; i++)
        if (strcmp(levels[i].name, name) == 0)
            return levels[i].level;
    return -1;
}

static size_t level_index(int level)
{
    size_t i = 0;

    while (i < LEVELS - 1 && levels[i].level < level)
        i++;
    return i;
}

/* systemd.exec(5): JOURNAL_STREAM is device:inode of the stream to the journal,
 * to be compared because the variable is inherited by redirected children. */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(int fd, int level)
{
    sink.fd = fd;
    sink.level = level;
    sink.is_journal = is_journal(fd);
}

/* Returns whether the line went out. */
static bool emit(size_t index, const char *text)
{
    char line[LINE_BYTES + 64];
    struct pollfd room = { .fd = sink.fd, .events = POLLOUT };
    int length;

    if (sink.is_journal)
        length = snprintf(line, sizeof line, "<%d>%s\n", levels[index].level, text);
    else
        length = snprintf(line, sizeof line, "etcdsd-watcher: %s: %s\n", levels[index].name, text);
    if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
        return false;
    return write(sink.fd, line, (size_t)length) == length;
}

static void report_suppressed(int64_t second)
{
    for (size_t i = 0; i < LEVELS; i++) {
        uint64_t count = log_budget_reap(&sink.budgets[i], second);
        char text[80];

        if (count == 0)
            continue;
        snprintf(text, sizeof text, "suppressed %llu messages of level %s",
                 (unsigned long long)count, levels[i].name);
        if (!emit(i, text))
            sink.budgets[i].suppressed += count;
    }
}

static int64_t this_second(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

void log_line(int level, const char *format, ...)
{
    size_t index = level_index(level);
    char text[LINE_BYTES];
    int64_t second = this_second();
    va_list arguments;

    if (level > sink.level)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&sink.lock);
    report_suppressed(second);
    if (log_budget_take(&sink.budgets[index], second) && !emit(index, text))
        sink.budgets[index].suppressed++;
    pthread_mutex_unlock(&sink.lock);
}

void log_tick(void)
{
    pthread_mutex_lock(&sink.lock);
    report_suppressed(this_second());
    pthread_mutex_unlock(&sink.lock);
}

const char *log_quote(char buffer[LOG_QUOTE_SIZE], const void *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = bytes;
    size_t shown = length < LOG_QUOTE_BYTES ? length : LOG_QUOTE_BYTES;
    char *out = buffer;

    *out++ = '"';
    for (size_t i = 0; i < shown; i++) {
        if (in[i] >= ' ' && in[i] < 0x7f && in[i] != '"' && in[i] != '\\') {
            *out++ = (char)in[i];
            continue;
        }
        *out++ = '\\';
        *out++ = 'x';
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15];
    }
    *out++ = '"';
    memcpy(out, shown < length ? "..." : "\0\0\0", 4);
    return buffer;
}
