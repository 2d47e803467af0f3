/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * doctor: the table, from its directory down to its records; the watcher that
 * keeps it; and the directory in which that keeps a snapshot for the next boot.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "doctor.h"
#include "table/reverse.h"

#define STATE_DIRECTORY "/var/lib/etcdsd" /* of the watcher, with the default table */
#define RESTART         "systemctl restart etcdsd-watcher"
#define START           "systemctl start etcdsd-watcher"
#define TRIES           100

struct place {
    const char *path;
    char directory[DOCTOR_LINE];
    struct stat of_directory, of_file;
    uint64_t writer; /* process id; 0: none lives */
};

/* ---- the file ----------------------------------------------------------- */

/* Returns whether going on makes sense. */
static bool judge_directory(struct doctor *doctor, struct place *place)
{
    const char *slash = strrchr(place->path, '/');
    const char *directory = place->directory;

    snprintf(place->directory, sizeof place->directory, "%.*s",
             slash && slash > place->path ? (int)(slash - place->path) : 1,
             slash ? place->path : ".");
    if (stat(directory, &place->of_directory) < 0) {
        doctor_mend(doctor, START);
        doctor_say(doctor, DOCTOR_FAIL, "table", "%s: %s: no watcher has run since the last boot",
                   directory, strerror(errno));
        return false;
    }
    doctor_mend(doctor, "chmod 755 %s", directory);
    if (place->of_directory.st_mode & (S_IWGRP | S_IWOTH))
        doctor_say(doctor, DOCTOR_FAIL, "table",
                   "%s may be written by others than its owner: they could put any table there",
                   directory);
    else if ((place->of_directory.st_mode & (S_IXGRP | S_IXOTH)) != (S_IXGRP | S_IXOTH))
        doctor_say(doctor, DOCTOR_FAIL, "table", "%s is closed to other users: they get no answers",
                   directory);
    else
        doctor->mend[0] = '\0';
    return true;
}

static bool judge_file(struct doctor *doctor, struct place *place)
{
    const struct stat *file = &place->of_file;
    const char *path = place->path;

    if (lstat(path, &place->of_file) < 0) {
        doctor_mend(doctor, START "; it makes the table when it has etcd's first list");
        doctor_say(doctor, DOCTOR_FAIL, "table", "%s: %s", path, strerror(errno));
        return false;
    }
    doctor_mend(doctor, "rm %s && " RESTART, path);
    if (!S_ISREG(file->st_mode)) {
        doctor_say(doctor, DOCTOR_FAIL, "table", "%s is not a file", path);
        return false;
    }
    if (file->st_uid && file->st_uid != place->of_directory.st_uid) {
        doctor_say(doctor, DOCTOR_FAIL, "table",
                   "%s belongs to user %u, its directory to user %u: nobody trusts it", path,
                   file->st_uid, place->of_directory.st_uid);
        return false;
    }
    doctor_mend(doctor, "chmod 644 %s", path);
    if (file->st_mode & (S_IWGRP | S_IWOTH)) {
        doctor_say(doctor, DOCTOR_FAIL, "table",
                   "%s may be written by others than its owner: nobody trusts it", path);
        return false;
    }
    if ((file->st_mode & (S_IRUSR | S_IRGRP | S_IROTH)) != (S_IRUSR | S_IRGRP | S_IROTH)) {
        doctor_say(doctor, DOCTOR_FAIL, "table", "%s can't be read by everybody", path);
        return access(path, R_OK) == 0;
    }
    doctor->mend[0] = '\0';
    return true;
}

/* A table that the reader refuses: of another layout, or no table. */
static void judge_refused(struct doctor *doctor, const char *path)
{
    uint64_t words[TABLE_H_LAYOUT + 1] = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t size = fd < 0 ? 0 : read(fd, words, sizeof words);
    uint32_t layout = (uint32_t)words[TABLE_H_LAYOUT];

    if (fd >= 0)
        close(fd);
    if (size == (ssize_t)sizeof words && words[TABLE_H_MAGIC] == TABLE_MAGIC && layout &&
        layout != TABLE_LAYOUT) {
        doctor_mend(doctor, "install all parts of etcdsd in one version, then " RESTART);
        doctor_say(doctor, DOCTOR_FAIL, "table",
                   "%s is of layout %" PRIu32 ", and this etcdsd reads layout %d", path, layout,
                   TABLE_LAYOUT);
    } else {
        doctor_mend(doctor, "rm %s && " RESTART, path);
        doctor_say(doctor, DOCTOR_FAIL, "table", "%s is damaged, or no table", path);
    }
}

/* Every record is read, and one name kept. */
static bool is_whole(struct doctor *doctor, const struct table_view *view)
{
    struct cli_record copy = { 0 };
    enum table_result result = TABLE_FOUND;
    uint64_t next = 0;

    while (result == TABLE_FOUND) {
        uint64_t slot = next;
        bool whole = false;

        for (int i = 0; i < TRIES && result == TABLE_FOUND && !whole; i++) {
            struct table_record record;

            next = slot;
            result = table_next(view, &next, &record);
            whole = result == TABLE_FOUND && cli_record_copy(&copy, &record);
        }
        if (result == TABLE_FOUND && !whole)
            result = TABLE_AGAIN;
        if (whole && !*doctor->name && copy.record.shape.v4 + copy.record.shape.v6)
            cli_record_name(&copy, doctor->name);
    }
    cli_record_free(&copy);
    return result == TABLE_MISS;
}

/* ---- the watcher -------------------------------------------------------- */

/* The program that runs may be an older one than is installed. */
static bool is_replaced(uint64_t process)
{
    char link[40], target[DOCTOR_LINE];
    ssize_t size;

    snprintf(link, sizeof link, "/proc/%" PRIu64 "/exe", process);
    size = readlink(link, target, sizeof target - 1);
    if (size <= 0)
        return false; /* not ours to see */
    target[size] = '\0';
    return strstr(target, " (deleted)") != NULL;
}

static void judge_watcher(struct doctor *doctor, const struct cli_header *header)
{
    char verdict[CLI_TABLE_LINE];

    cli_table_verdict(header, verdict);
    if (!header->fresh || header->state == TABLE_STOPPED) {
        doctor_mend(doctor, START);
        doctor_say(doctor, DOCTOR_FAIL, "watcher", "%s: %s",
                   header->state == TABLE_STOPPED ? "stopped" : "gone", verdict);
    } else if (header->health != CLI_FOLLOWS) {
        doctor_mend(doctor, "see what follows of etcd, and: journalctl -u etcdsd-watcher");
        doctor_say(doctor, DOCTOR_FAIL, "watcher", "%s: %s", cli_table_state(header), verdict);
    } else if (is_replaced(header->writer)) {
        doctor_mend(doctor, RESTART);
        doctor_say(doctor, DOCTOR_WARN, "watcher",
                   "process %" PRIu64 " runs a program that was replaced since", header->writer);
    } else {
        doctor_say(doctor, DOCTOR_OK, "watcher",
                   "process %" PRIu64 " follows etcd, at revision %" PRIu64, header->writer,
                   header->revision);
    }
    if (header->unready) {
        doctor_mend(doctor, "etcdsd status names the domains, the watcher's log says why");
        doctor_say(doctor, DOCTOR_FAIL, "zones", "%d of the zones can't be answered for",
                   __builtin_popcount(header->unready));
    }
    if (header->dropped) {
        doctor_mend(doctor, "journalctl -u etcdsd-watcher tells which, and why");
        doctor_say(doctor, DOCTOR_WARN, "values", "%" PRIu64 " %s left out of the answers",
                   header->dropped, header->dropped == 1 ? "key is" : "keys are");
    }
}

/* ---- the snapshot ------------------------------------------------------- */

static uid_t watcher_user(const struct place *place)
{
    char process[40];
    struct stat status;

    snprintf(process, sizeof process, "/proc/%" PRIu64, place->writer);
    return place->writer && stat(process, &status) == 0 ? status.st_uid : place->of_file.st_uid;
}

static void judge_state(struct doctor *doctor, const struct place *place)
{
    char directory[DOCTOR_LINE] = STATE_DIRECTORY;
    bool is_said = doctor_config_value(doctor, "watcher", "state-directory", directory);
    uid_t user = watcher_user(place);
    const struct passwd *entry = getpwuid(user);
    const char *name = entry ? entry->pw_name : "etcdsd";
    struct statvfs system;
    struct stat status;

    if (strcmp(directory, "none") == 0 ||
        (!is_said && strcmp(place->path, TABLE_DEFAULT_PATH) != 0))
        return;
    doctor_mend(doctor, "install -d -m 700 -o %s %s && " RESTART, name, directory);
    if (stat(directory, &status) < 0 && errno != EACCES)
        doctor_say(doctor, DOCTOR_WARN, "snapshot",
                   "%s: %s: after a boot there are no answers before etcd's", directory,
                   strerror(errno));
    else if (errno == EACCES)
        doctor_say(doctor, DOCTOR_OK, "snapshot", "%s is for root to see", directory);
    else if (statvfs(directory, &system) == 0 && (system.f_flag & ST_RDONLY))
        doctor_say(doctor, DOCTOR_WARN, "snapshot", "%s is mounted read-only", directory);
    else if (user && (status.st_uid != user || (status.st_mode & S_IRWXU) != S_IRWXU))
        doctor_say(doctor, DOCTOR_WARN, "snapshot", "%s can't be written by the watcher's user %s",
                   directory, name);
    else {
        doctor->mend[0] = '\0';
        doctor_say(doctor, DOCTOR_OK, "snapshot", "%s is the watcher's to write", directory);
    }
}

/* ---- the whole ---------------------------------------------------------- */

static void judge_table(struct doctor *doctor, struct place *place)
{
    char why[CLI_TABLE_LINE], mend[CLI_TABLE_LINE];
    struct cli_header header;
    struct table_view view;

    if (!cli_table_map(&view, why, mend)) {
        judge_refused(doctor, place->path);
        return;
    }
    cli_table_header(&view, &header);
    if (is_whole(doctor, &view)) {
        doctor_say(doctor, DOCTOR_OK, "table",
                   "%s, %" PRIu64 " services, %" PRIu64 " instances, %" PRIu64 " KiB", place->path,
                   header.services, header.instances, header.size / 1024);
    } else {
        doctor_mend(doctor, "rm %s && " RESTART, place->path);
        doctor_say(doctor, DOCTOR_FAIL, "table", "%s is damaged", place->path);
    }
    doctor->cluster = header.cluster;
    place->writer = header.fresh ? header.writer : 0;
    judge_watcher(doctor, &header);
    cli_table_unmap(&view);
}

void doctor_table(struct doctor *doctor)
{
    struct place place = { .path = cli_table_path() };
    const char *variable = getenv("ETCDSD_TABLE");

    if (variable && *variable && !doctor->arguments->values[CLI_TABLE]) {
        doctor_mend(doctor, "unset ETCDSD_TABLE");
        doctor_say(
            doctor, DOCTOR_WARN, "environment",
            "ETCDSD_TABLE is set: programs of this shell read another table than the host's");
    }
    if (!judge_directory(doctor, &place) || !judge_file(doctor, &place))
        return;
    judge_table(doctor, &place);
    judge_state(doctor, &place);
}
