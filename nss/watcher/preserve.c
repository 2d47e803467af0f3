/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See preserve.h; the format is saved.h's.
 */
#include "preserve.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define CHILD_NICE 10

static int64_t monotonic_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* ---- reading ----------------------------------------------------------- */

#define FOR_EACH(follower, preserve)                                             \
    for (struct follower *follower = *(preserve)->followers; (follower) != NULL; \
         (follower) = (follower)->next)

static bool is_of(const struct follower *follower, const struct saved_instance *instance)
{
    return follower->zone.prefix_length == instance->prefix_length &&
           memcmp(follower->zone.prefix, instance->prefix, instance->prefix_length) == 0;
}

/* Whether any zone of it is ours. */
static bool is_ours(const struct preserve *preserve, struct saved snapshot)
{
    struct saved_instance instance;

    while (saved_next(&snapshot, &instance))
        FOR_EACH(follower, preserve)
    if (is_of(follower, &instance))
        return true;
    return snapshot.head.instances == 0;
}

static const char *unfit(const struct preserve *preserve, const struct saved *snapshot, int64_t age)
{
    if (!is_ours(preserve, *snapshot))
        return "it is of other prefixes";
    if (preserve->max_stale_s == 0)
        return NULL;
    if (age == SAVED_AGELESS)
        return "nobody knows its age, as the clock was set back (max-stale)";
    return age > preserve->max_stale_s ? "it is too old (max-stale)" : NULL;
}

static void show(struct preserve *preserve, const struct saved_head *head, int64_t age)
{
    FOR_EACH(follower, preserve)
    mirror_restored(&follower->mirror, head->cluster, head->revision);
    if (!table_writer_is_published(preserve->board->table))
        board_show_old(preserve->board, age);
}

static int restore(struct preserve *preserve, struct saved *snapshot, int64_t age)
{
    struct saved_instance instance;
    int rc = 0;

    while (rc == 0 && saved_next(snapshot, &instance))
        FOR_EACH(follower, preserve)
    if (rc == 0 && is_of(follower, &instance))
        rc = mirror_restore(&follower->mirror, instance.key, instance.key_length, &instance.value);
    if (rc < 0) {
        log_line(LOG_LEVEL_ERROR, "snapshot: %s", strerror(-rc));
        return rc;
    }
    log_line(LOG_LEVEL_INFO,
             "snapshot: %" PRIu64 " instances as of revision %" PRId64 ", %" PRId64 " s old",
             snapshot->head.instances, snapshot->head.revision, age == SAVED_AGELESS ? -1 : age);
    show(preserve, &snapshot->head, age);
    return 0;
}

static int read_file(struct preserve *preserve)
{
    struct saved snapshot;
    struct saved_head now;
    int64_t age = SAVED_AGELESS;
    size_t size = 0;
    void *bytes;
    const char *why = saved_load(preserve->directory, &bytes, &size);
    int rc = 0;

    if (why == NULL && bytes == NULL)
        return 0;
    if (why == NULL)
        why = saved_open(&snapshot, bytes, size);
    if (why == NULL) {
        saved_now(&now);
        age = saved_age(&snapshot.head, &now);
        why = unfit(preserve, &snapshot, age);
    }
    if (why != NULL)
        log_line(LOG_LEVEL_WARNING, "%s/" SAVED_FILE ": not used: %s", preserve->directory, why);
    else
        rc = restore(preserve, &snapshot, age);
    free(bytes);
    return rc;
}

int preserve_open(struct preserve *preserve)
{
    if (preserve->directory == NULL)
        return 0;
    if (mkdir(preserve->directory, 0700) != 0 && errno != EEXIST) {
        log_line(LOG_LEVEL_WARNING, "%s: can't be made: %s (no snapshot is kept)",
                 preserve->directory, strerror(errno));
        free(preserve->directory);
        preserve->directory = NULL;
        return 0;
    }
    return read_file(preserve);
}

/* ---- writing ----------------------------------------------------------- */

static struct table_writer_stats stats_of(const struct preserve *preserve)
{
    struct table_writer_stats stats;

    table_writer_stats(preserve->board->table, &stats);
    return stats;
}

/* Not in a snapshot: who is set aside (B5) has content of another age, which
 * matters where there is a max-stale. */
static bool is_left_out(const struct preserve *preserve, const struct publish *publish)
{
    return publish->is_apart && (preserve->max_stale_s > 0 || !publish->is_known);
}

/* Neither half a list nor what is in doubt. */
static bool is_settled(const struct preserve *preserve)
{
    bool is_any = false;

    FOR_EACH(follower, preserve)
    {
        const struct mirror *mirror = &follower->mirror;

        if (mirror->publish->is_apart)
            continue;
        if (!mirror->publish->is_complete || mirror->is_listing || !mirror->is_whole ||
            mirror->held_ms != 0)
            return false;
        is_any = true;
    }
    return is_any;
}

/* The age of what does not change counts, too, where there is a max-stale. */
static bool is_news(const struct preserve *preserve, int64_t since_s)
{
    return !preserve->is_written || stats_of(preserve).changes != preserve->begun_at ||
           (preserve->max_stale_s > 0 && since_s >= preserve->max_stale_s / 4);
}

static void head_fill(const struct preserve *preserve, struct saved_head *head)
{
    int64_t age = stats_of(preserve).age_s;

    saved_now(head);
    head->revision = (*preserve->followers)->publish.revision;
    head->cluster = (*preserve->followers)->publish.cluster;
    if (age == TABLE_AGELESS) {
        head->true_monotonic_s = head->true_time_s = -1;
        return;
    }
    head->true_monotonic_s -= age;
    head->true_time_s -= age;
}

static int write_now(const struct preserve *preserve)
{
    struct saved_zone zones[TABLE_MAX_ZONES];
    struct saved_head head;
    uint32_t count = 0;

    head_fill(preserve, &head);
    FOR_EACH(follower, preserve)
    if (!is_left_out(preserve, &follower->publish) && count < TABLE_MAX_ZONES)
        zones[count++] = (struct saved_zone){ .prefix = follower->zone.prefix,
                                              .prefix_length = follower->zone.prefix_length,
                                              .model = &follower->model };
    return saved_write(preserve->directory, &head, zones, count);
}

/* Nothing of the parent's may live on in it: not the table's lock, not a socket,
 * not the child itself when the parent is killed. */
static void child_run(const struct preserve *preserve, pid_t parent)
{
    sigset_t none;

    close_range(STDERR_FILENO + 1, ~0u, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EINTR);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpriority(PRIO_PROCESS, 0, CHILD_NICE);
    _exit(-write_now(preserve));
}

static void done(struct preserve *preserve, int rc)
{
    if (rc == 0) {
        preserve->is_written = true;
        preserve->time_s = preserve->child_time_s;
        if (preserve->is_failing)
            log_line(LOG_LEVEL_INFO, "snapshot: written again");
        preserve->is_failing = false;
        return;
    }
    preserve->is_written = false;
    preserve->failures++;
    if (!preserve->is_failing)
        log_line(LOG_LEVEL_WARNING,
                 "%s/" SAVED_FILE ": can't be written: %s (tried again each %" PRIu32
                 " s; answers do not depend on it)",
                 preserve->directory, strerror(-rc), preserve->interval_s);
    preserve->is_failing = true;
}

static void begin(struct preserve *preserve, int64_t now)
{
    preserve->was_tried = true;
    preserve->begun_s = now;
    preserve->begun_at = stats_of(preserve).changes;
    preserve->child_time_s = time(NULL);
}

static void start(struct preserve *preserve, int64_t now)
{
    pid_t parent = getpid(), child;

    begin(preserve, now);
    child = fork();
    if (child == 0)
        child_run(preserve, parent);
    if (child < 0)
        done(preserve, -errno);
    else
        preserve->child = child;
}

static void reap(struct preserve *preserve, int options)
{
    int status = 0;
    pid_t child = preserve->child == 0 ? 0 : waitpid(preserve->child, &status, options);

    if (child == 0)
        return;
    preserve->child = 0;
    done(preserve, child > 0 && WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR);
}

void preserve_tick(struct preserve *preserve)
{
    int64_t now = monotonic_s(), since_s = now - preserve->begun_s;

    if (preserve->directory == NULL)
        return;
    reap(preserve, WNOHANG);
    if (preserve->child == 0 && (!preserve->was_tried || since_s >= preserve->interval_s) &&
        is_settled(preserve) && is_news(preserve, since_s))
        start(preserve, now);
}

void preserve_close(struct preserve *preserve)
{
    if (preserve->directory == NULL)
        return;
    if (preserve->child != 0) {
        kill(preserve->child, SIGKILL);
        reap(preserve, 0);
    }
    if (is_settled(preserve) && (preserve->max_stale_s > 0 || is_news(preserve, 0))) {
        begin(preserve, monotonic_s());
        done(preserve, write_now(preserve));
    }
    free(preserve->directory);
    preserve->directory = NULL;
}
