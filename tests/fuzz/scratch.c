/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See scratch.h.
 */
#include "scratch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64], path[80];

static void scratch_remove(void)
{
    static const char *const suffixes[] = { "", ".lock", ".new0", ".new1" };
    char name[96];

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
    rmdir(directory);
}

const char *scratch_path(void)
{
    if (path[0] == '\0') {
        snprintf(directory, sizeof directory, "%s/etcdsd-fuzz.XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        require(mkdtemp(directory) != NULL);
        snprintf(path, sizeof path, "%s/table.v1", directory);
        atexit(scratch_remove);
    }
    return path;
}

void scratch_write(const struct image *image)
{
    int fd;

    unlink(scratch_path());
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    require(fd >= 0 && fchmod(fd, 0644) == 0);
    require(write(fd, image->words, image->bytes) == (ssize_t)image->bytes);
    close(fd);
}
