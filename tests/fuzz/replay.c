/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs a fuzz target on files: PROGRAM [FILE|DIRECTORY]...
 *
 * Without arguments on the target's corpus, as `make check` does.  With AFL++:
 *
 *     make B=build/afl CC=afl-clang-fast build/afl/asan/tests/fuzz/fuzz_table
 *     afl-fuzz -i tests/fuzz/corpus/fuzz_table -o build/afl/found -m none -- \
 *         build/afl/asan/tests/fuzz/fuzz_table @@
 */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned replayed;

static void replay_file(const char *path, size_t size)
{
    uint8_t *data = malloc(size ? size : 1); /* as large as it is: a sanitizer sees every step */
    FILE *file = fopen(path, "rb");

    if (data == NULL || file == NULL || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    fclose(file);
    fprintf(stderr, "# %s\n", path); /* the last one is the one that crashed */
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    replayed++;
}

static void replay(const char *path)
{
    struct stat status;
    struct dirent *entry;
    DIR *directory;

    if (stat(path, &status) != 0) {
        perror(path);
        exit(1);
    }
    if (S_ISREG(status.st_mode))
        replay_file(path, (size_t)status.st_size);
    directory = S_ISDIR(status.st_mode) ? opendir(path) : NULL;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char inner[4096];

        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            replay(inner);
    }
    if (directory != NULL)
        closedir(directory);
}

int main(int count, char **arguments)
{
    char corpus[256];

    snprintf(corpus, sizeof corpus, "tests/fuzz/corpus/%s", program_invocation_short_name);
    if (count == 1)
        replay(corpus);
    for (int i = 1; i < count; i++)
        replay(arguments[i]);
    if (replayed > 0)
        printf("ok - %s: %u inputs\n", program_invocation_short_name, replayed);
    return replayed == 0;
}
