/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * doctor: the configuration file.  libsd reads its part of it; the watcher, if
 * it is installed, is asked to check the rest.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf.h"
#include "doctor.h"

#define DEFAULT_PATH "/etc/etcdsd/etcdsd.conf"
#define WATCHER      "etcdsd-watcher"

const char *doctor_config_path(const struct doctor *doctor)
{
    const char *path = doctor->arguments->values[CLI_CONFIG];

    path = path ? path : getenv("ETCDSD_CONF");
    return path ? path : DEFAULT_PATH;
}

bool doctor_config_value(const struct doctor *doctor, const char *section, const char *key,
                         char value[DOCTOR_LINE])
{
    const char *path = doctor_config_path(doctor);
    struct conf_entry entry;
    struct conf conf;
    bool is_said = false;
    char *text = NULL;
    size_t size;

    if (!*path || conf_load(path, &text, &size) != 0)
        return false;
    conf_init(&conf, text, size);
    while (conf_next(&conf, &entry)) {
        if ((*conf.section && strcmp(conf.section, section) != 0) || strcmp(entry.key, key) != 0)
            continue;
        snprintf(value, DOCTOR_LINE, "%s", entry.value);
        is_said = true;
    }
    free(text);
    return is_said;
}

/* ---- the watcher's opinion ---------------------------------------------- */

/* Beside this program, or where packages put it.  False: nowhere. */
static bool find_watcher(char path[DOCTOR_LINE])
{
    static const char *const places[] = { "/" WATCHER, "/../sbin/" WATCHER };
    char own[DOCTOR_LINE];
    ssize_t size = readlink("/proc/self/exe", own, sizeof own - 1);
    char *slash;

    own[size > 0 ? size : 0] = '\0';
    slash = strrchr(own, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; slash && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, DOCTOR_LINE, "%.500s%s", own, places[i]);
        if (access(path, X_OK) == 0)
            return true;
    }
    snprintf(path, DOCTOR_LINE, "/usr/sbin/" WATCHER);
    return access(path, X_OK) == 0;
}

struct asking {
    const char *watcher, *config;
};

/* In a child: the watcher's first line goes to `to`. */
static void ask_watcher(int to, void *arg)
{
    const struct asking *asking = arg;

    dup2(to, STDOUT_FILENO);
    dup2(to, STDERR_FILENO);
    execl(asking->watcher, WATCHER, "--config", asking->config, "--check-config", (char *)NULL);
}

/* The watcher says "FILE: nothing is wrong (1 zone)", or what is. */
static bool judge_watchers(struct doctor *doctor, const char *config)
{
    char path[DOCTOR_LINE], text[DOCTOR_LINE];
    struct asking asking = { path, config };
    const char *said = text;

    if (!find_watcher(path) || !doctor_apart(ask_watcher, &asking, text))
        return true;
    text[strcspn(text, "\n")] = '\0';
    if (strstr(text, ": nothing is wrong"))
        return true;
    if (strncmp(said, WATCHER ": ", strlen(WATCHER ": ")) == 0)
        said += strlen(WATCHER ": ");
    doctor_mend(doctor, "mend that line; etcdsd-watcher --check-config tells the next one");
    doctor_say(doctor, DOCTOR_FAIL, "config", "%s", said);
    return false;
}

void doctor_config(struct doctor *doctor)
{
    const char *path = doctor_config_path(doctor);
    libsd_options *options = NULL;
    char detail[DOCTOR_LINE] = "";
    int rc = libsd_options_new(&options);

    if (rc == 0 && *path)
        rc = libsd_options_load(options, path);
    libsd_error_detail(NULL, detail, sizeof detail);
    libsd_options_free(options);
    if (!*path || (rc == LIBSD_ENOTFOUND && strcmp(path, DEFAULT_PATH) == 0)) {
        doctor_say(doctor, DOCTOR_OK, "config", "there is no file: defaults, and the environment");
    } else if (rc == LIBSD_EDENIED && geteuid() != 0) {
        doctor_say(doctor, DOCTOR_OK, "config", "%s is for root to see", path);
    } else if (rc < 0) {
        doctor_mend(doctor, "mend that line");
        doctor_say(doctor, DOCTOR_FAIL, "config", "%s", *detail ? detail : libsd_strerror(rc));
    } else if (judge_watchers(doctor, path)) {
        doctor_say(doctor, DOCTOR_OK, "config", "%s", path);
    }
}
