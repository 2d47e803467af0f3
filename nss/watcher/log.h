/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The daemon's messages: one line each on standard error, levelled, bounded
 * in number, never blocking and never holding a secret.
 *
 * Any thread may log; the library's I/O thread does.
 */
#ifndef ETCDSD_WATCHER_LOG_H
#define ETCDSD_WATCHER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* syslog's numbers, which are libsd's and sd-daemon(3)'s, too. */
enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

/* Lines of one level in one second; what is above is counted, then reported
 * in one line.  Each level has its own, so that a flood of bad values can't
 * hide that etcd went away. */
#define LOG_BURST 50

struct log_budget {
    int64_t second;
    uint32_t used;
    uint64_t suppressed;
};

/* Whether one more line may go out in this second.  Counts it as suppressed
 * if not. */
bool log_budget_take(struct log_budget *budget, int64_t second);

/* How many lines were held back in seconds that are over; forgets them. */
uint64_t log_budget_reap(struct log_budget *budget, int64_t second);

/* Where lines go and the least important level that does. */
void log_open(int fd, int level);

void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Once a second: says what was suppressed, even if nothing else is said. */
void log_tick(void);

/* Bytes of a key as text that is safe on a terminal and in one line: quoted,
 * everything but printable ASCII escaped, cut at LOG_QUOTE_BYTES bytes.
 * Returns the buffer. */
#define LOG_QUOTE_BYTES 160
#define LOG_QUOTE_SIZE  (4 * LOG_QUOTE_BYTES + 6) /* two quotes, "...", the end */
const char *log_quote(char buffer[LOG_QUOTE_SIZE], const void *bytes, size_t length);

/* "error" and so on.  Returns the level or -1. */
int log_level_parse(const char *name);

#endif
