/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * doctor: whether glibc finds the module, and which one.
 *
 * glibc itself is made to load it, in a child; where that fails, the files that
 * bear its name say why.
 */
#include <elf.h>
#include <glob.h>
#include <netdb.h>
#include <nss.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

#define MODULE     "libnss_etcdsd.so.2"
#define MARK       "@(#)libnss_etcdsd " /* nss/module says it */
#define MODULE_MAX ((size_t)8 << 20)

/* Where distributions and administrators put libraries. */
static const char *const places[] = {
    "/lib*/" MODULE,           "/lib/*-linux-*/" MODULE,
    "/usr/lib*/" MODULE,       "/usr/lib/*-linux-*/" MODULE,
    "/usr/local/lib*/" MODULE, "/usr/local/lib/*-linux-*/" MODULE,
};

/* ---- what glibc does ---------------------------------------------------- */

static void load(int to, void *arg)
{
    struct addrinfo *list = NULL;
    char line[DOCTOR_LINE];
    FILE *maps;

    (void)arg;
    __nss_configure_lookup("hosts", "etcdsd");
    if (getaddrinfo("doctor." TABLE_DEFAULT_DOMAIN, NULL, NULL, &list) == 0)
        freeaddrinfo(list);
    maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        const char *path = strchr(line, '/');

        if (path && strstr(path, "/" MODULE)) {
            dprintf(to, "%.*s", (int)strcspn(path, "\n"), path);
            break;
        }
    }
    if (maps)
        fclose(maps);
}

/* ---- files -------------------------------------------------------------- */

struct kind {
    unsigned char class, data;
    uint16_t machine;
};

/* False: no ELF file. */
static bool kind_of(const char *path, struct kind *kind)
{
    unsigned char head[EI_NIDENT + 4] = { 0 };
    FILE *file = fopen(path, "re");
    bool is_elf =
        file && fread(head, sizeof head, 1, file) == 1 && memcmp(head, ELFMAG, SELFMAG) == 0;

    if (file)
        fclose(file);
    kind->class = head[EI_CLASS];
    kind->data = head[EI_DATA];
    memcpy(&kind->machine, head + EI_NIDENT + 2, sizeof kind->machine); /* ELF(5): e_machine */
    return is_elf;
}

static bool is_ours(const struct kind *kind)
{
    struct kind own;

    return !kind_of("/proc/self/exe", &own) ||
           (own.class == kind->class && own.data == kind->data && own.machine == kind->machine);
}

/* The version that a module tells of itself; "": none. */
static void version_of(const char *path, char version[40])
{
    FILE *file = fopen(path, "re");
    char *bytes = malloc(MODULE_MAX);
    const char *mark = NULL;
    size_t size = 0;

    version[0] = '\0';
    if (file && bytes) {
        size = fread(bytes, 1, MODULE_MAX - 1, file);
        bytes[size] = '\0';
        mark = memmem(bytes, size, MARK, strlen(MARK));
    }
    if (mark)
        snprintf(version, 40, "%.39s", mark + strlen(MARK));
    free(bytes);
    if (file)
        fclose(file);
}

/* ---- judging ------------------------------------------------------------ */

static void judge_loaded(struct doctor *doctor, const char *path)
{
    const char *libraries = getenv("LD_LIBRARY_PATH");
    char version[40];
    struct stat file;

    version_of(path, version);
    doctor->has_module = true;
    if (libraries && *libraries && strncmp(path, libraries, strcspn(libraries, ":")) == 0) {
        doctor_mend(doctor, "make install, or unset LD_LIBRARY_PATH");
        doctor_say(doctor, DOCTOR_WARN, "module",
                   "%s is found through $LD_LIBRARY_PATH: only programs of this shell load it",
                   path);
        return;
    }
    if (stat(path, &file) == 0 && !(file.st_mode & S_IROTH)) {
        doctor_mend(doctor, "chmod 644 %s", path);
        doctor_say(doctor, DOCTOR_FAIL, "module", "%s can't be read by everybody", path);
    } else if (strcmp(version, LIBSD_VERSION) != 0) {
        doctor_mend(doctor, "install all parts of etcdsd in one version");
        doctor_say(doctor, DOCTOR_WARN, "module", "%s is of %s%s, and this etcdsd is version %s",
                   path, *version ? "version " : "another version", version, LIBSD_VERSION);
    } else {
        doctor_say(doctor, DOCTOR_OK, "module", "%s, version %s", path, version);
    }
}

/* A file that is there, and yet was not loaded. */
static void judge_file(struct doctor *doctor, const char *path)
{
    struct kind kind;

    if (!kind_of(path, &kind)) {
        doctor_mend(doctor, "install the package libnss-etcdsd again");
        doctor_say(doctor, DOCTOR_FAIL, "module", "%s is no library, or not to be read", path);
    } else if (!is_ours(&kind)) {
        doctor_mend(doctor, "install libnss-etcdsd for the architecture of this etcdsd");
        doctor_say(doctor, DOCTOR_FAIL, "module",
                   "%s is for another architecture: %d bits, ELF machine %u", path,
                   kind.class == ELFCLASS64 ? 64 : 32, kind.machine);
    } else {
        doctor_mend(doctor, "run ldconfig; if that does not help: ldd %s", path);
        doctor_say(doctor, DOCTOR_FAIL, "module", "%s is there, but glibc does not load it", path);
    }
}

/* The file that says the most: one of our own architecture, if there is one. */
static const char *choose(const glob_t *found)
{
    const char *best = NULL;

    for (size_t i = 0; i < found->gl_pathc; i++) {
        struct kind kind;
        bool fits = kind_of(found->gl_pathv[i], &kind) && is_ours(&kind);

        if (!best || fits)
            best = found->gl_pathv[i];
        if (fits)
            break;
    }
    return best;
}

/* 32-bit programs on a 64-bit x86 host have a loader of their own. */
static void judge_second(struct doctor *doctor, const glob_t *found)
{
    struct kind kind, other;
    bool has_other = false;

    if (!kind_of("/lib/ld-linux.so.2", &other) || is_ours(&other))
        return;
    for (size_t i = 0; i < found->gl_pathc && !has_other; i++)
        has_other = kind_of(found->gl_pathv[i], &kind) && kind.machine == other.machine;
    doctor_say(doctor, DOCTOR_OK, "module-32",
               has_other ? "32-bit programs have one, too"
                         : "there is none for 32-bit programs; if this host has such: "
                           "libnss-etcdsd:i386");
}

void doctor_module(struct doctor *doctor)
{
    char path[DOCTOR_LINE];
    bool is_loaded = doctor_apart(load, NULL, path);
    glob_t found = { 0 };
    const char *file;

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        glob(places[i], i ? GLOB_APPEND : 0, NULL, &found);
    file = choose(&found);
    if (is_loaded) {
        judge_loaded(doctor, path);
    } else if (file) {
        judge_file(doctor, file);
    } else {
        doctor_mend(doctor, "install the package libnss-etcdsd, or: make install");
        doctor_say(doctor, DOCTOR_FAIL, "module", "there is no " MODULE " in the usual places");
    }
    judge_second(doctor, &found);
    globfree(&found);
}
