/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * doctor: whether glibc asks the module, at the right time.
 *
 * The grammar of nsswitch.conf is that of nsswitch.conf(5) and of glibc's
 * nss/nss_action_parse.c; of several lines for one database the last counts
 * (nss/nss_database.c).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "doctor.h"

#define NSSWITCH    "/etc/nsswitch.conf"
#define NSCD_CONF   "/etc/nscd.conf"
#define NSCD_SOCKET "/var/run/nscd/socket"
#define OURS        "etcdsd"
#define OUR_ACTION  "[!UNAVAIL=return]"
#define STEPS       32

enum status {
    SUCCESS,
    NOTFOUND,
    UNAVAIL,
    TRYAGAIN,
    STATUSES
};

/* A module, and after which of its answers the search ends. */
struct step {
    char name[40];
    char text[160]; /* with its actions, as written */
    bool ends[STATUSES];
};

struct line {
    struct step steps[STEPS];
    size_t count;
    bool is_there;
};

/* ---- reading ------------------------------------------------------------ */

/* "NOTFOUND=return", "!UNAVAIL=return", in any case. */
static void take_action(struct step *step, const char *text, size_t size)
{
    static const char *const names[STATUSES] = { "SUCCESS", "NOTFOUND", "UNAVAIL", "TRYAGAIN" };
    const char *equals = memchr(text, '=', size);
    bool is_all_but = size && *text == '!';
    size_t name_size;
    bool ends;

    if (!equals)
        return;
    text += is_all_but;
    name_size = (size_t)(equals - text);
    ends = strncasecmp(equals + 1, "return", 6) == 0;
    for (int i = 0; i < STATUSES; i++) {
        bool is_it = name_size == strlen(names[i]) && strncasecmp(text, names[i], name_size) == 0;

        if (is_it != is_all_but)
            step->ends[i] = ends;
    }
}

/* text: behind '['.  Returns what follows ']'. */
static const char *take_actions(struct step *step, const char *text)
{
    size_t size = strcspn(text, "]");
    size_t used = strlen(step->text);

    snprintf(step->text + used, sizeof step->text - used, " [%.*s]", (int)size, text);
    while (size) {
        size_t blank = strspn(text, " \t");
        size_t word = strcspn(text + blank, " \t]");

        blank = blank > size ? size : blank;
        take_action(step, text + blank, word);
        text += blank + word;
        size -= blank + word;
    }
    return *text ? text + 1 : text;
}

static void take_line(struct line *line, const char *text)
{
    *line = (struct line){ .is_there = true };
    for (;;) {
        size_t size;

        text += strspn(text, " \t\n");
        size = strcspn(text, " \t\n[");
        if (*text == '[' && line->count) {
            text = take_actions(&line->steps[line->count - 1], text + 1);
        } else if (size && line->count < STEPS) {
            struct step *step = &line->steps[line->count++];

            snprintf(step->name, sizeof step->name, "%.*s", (int)size, text);
            snprintf(step->text, sizeof step->text, "%.*s", (int)size, text);
            step->ends[SUCCESS] = true;
            text += size;
        } else {
            return;
        }
    }
}

/* Returns 0 or an errno. */
static int read_lines(struct line *hosts, struct line *services)
{
    FILE *file = fopen(NSSWITCH, "re");
    char text[2048];

    hosts->is_there = services->is_there = false;
    if (!file)
        return errno;
    while (fgets(text, sizeof text, file)) {
        const char *name = text + strspn(text, " \t");

        text[strcspn(text, "#")] = '\0';
        if (strncmp(name, "hosts:", 6) == 0)
            take_line(hosts, name + 6);
        else if (strncmp(name, "services:", 9) == 0)
            take_line(services, name + 9);
    }
    fclose(file);
    return 0;
}

/* ---- judging ------------------------------------------------------------ */

static const struct step *find(const struct line *line, const char *name)
{
    for (size_t i = 0; i < line->count; i++) {
        if (strcmp(line->steps[i].name, name) == 0)
            return &line->steps[i];
    }
    return NULL;
}

/* Those that ask a network. */
static bool asks_servers(const struct step *step)
{
    return strcmp(step->name, "dns") == 0 || strcmp(step->name, "resolve") == 0 ||
           strncmp(step->name, "mdns", 4) == 0;
}

static void join(char text[DOCTOR_LINE], const char *word)
{
    size_t used = strlen(text);

    snprintf(text + used, DOCTOR_LINE - used, " %s", word);
}

/* The line as it should be. */
static void mend_line(struct doctor *doctor, const struct line *line)
{
    char text[DOCTOR_LINE] = "";
    bool is_in = false;

    for (size_t i = 0; i < line->count; i++) {
        if (strcmp(line->steps[i].name, OURS) == 0)
            continue;
        if (!is_in && asks_servers(&line->steps[i])) {
            join(text, OURS " " OUR_ACTION);
            is_in = true;
        }
        join(text, line->steps[i].text);
    }
    if (!is_in)
        join(text, line->count ? OURS " " OUR_ACTION : "files " OURS " " OUR_ACTION " dns");
    doctor_mend(doctor, "in " NSSWITCH ": hosts:%.500s", text);
}

/* The first step before ours that keeps names from it; else one that is asked
 * for them first.  minimal ones of mdns know names in .local only. */
static const struct step *find_in_front(const struct line *line, bool *ends)
{
    const struct step *first = NULL;

    *ends = false;
    for (const struct step *step = line->steps; strcmp(step->name, OURS) != 0; step++) {
        if (strncmp(step->name, "mdns", 4) == 0 && strstr(step->name, "_minimal"))
            continue;
        if (step->ends[NOTFOUND]) {
            *ends = true;
            return step;
        }
        if (!first && asks_servers(step))
            first = step;
    }
    return first;
}

static void judge_hosts(struct doctor *doctor, const struct line *line)
{
    const struct step *ours = find(line, OURS);
    const struct step *front;
    bool ends;

    mend_line(doctor, line);
    if (!ours) {
        doctor_say(doctor, DOCTOR_FAIL, "hosts",
                   "nobody asks etcdsd: the line hosts of " NSSWITCH " does not name it");
        return;
    }
    front = find_in_front(line, &ends);
    doctor->has_way = !(front && ends);
    if (front && ends)
        doctor_say(doctor, DOCTOR_FAIL, "hosts",
                   "%s is in front and ends the search: etcdsd is "
                   "never asked for a name that it does not know",
                   front->text);
    else if (ours->ends[UNAVAIL])
        doctor_say(doctor, DOCTOR_FAIL, "hosts", "%s ends the search for all other names, too",
                   ours->text);
    else if (front)
        doctor_say(doctor, DOCTOR_WARN, "hosts",
                   "%s is asked first: names of services go to its "
                   "servers, and wait for them",
                   front->name);
    else if (!ours->ends[NOTFOUND] || !ours->ends[TRYAGAIN])
        doctor_say(
            doctor, DOCTOR_WARN, "hosts",
            "there is no " OUR_ACTION " after etcdsd: names "
            "that it does not know go on to other servers, a fault becomes \"no such host\"");
    else {
        doctor->mend[0] = '\0';
        doctor_say(doctor, DOCTOR_OK, "hosts", "etcdsd is asked, and before any server");
    }
}

void doctor_hosts(struct doctor *doctor)
{
    struct line hosts = { 0 }, services = { 0 };
    struct stat file;
    int error = read_lines(&hosts, &services);

    if (error) {
        doctor_mend(doctor, "write the line: hosts: files " OURS " " OUR_ACTION " dns");
        doctor_say(doctor, DOCTOR_FAIL, "hosts", NSSWITCH ": %s", strerror(error));
        return;
    }
    judge_hosts(doctor, &hosts);
    if (stat(NSSWITCH, &file) == 0 && !(file.st_mode & S_IROTH)) {
        doctor_mend(doctor, "chmod 644 " NSSWITCH);
        doctor_say(doctor, DOCTOR_FAIL, "hosts", NSSWITCH " can't be read by everybody");
    }
    if (find(&services, OURS))
        doctor_say(doctor, DOCTOR_OK, "services", "etcdsd is asked for ports of services");
    else
        doctor_say(doctor, DOCTOR_OK, "services",
                   "etcdsd is not asked for ports of services; "
                   "that is optional: services: files etcdsd");
}

/* ---- nscd --------------------------------------------------------------- */

/* Without a line the cache is off (nscd/connections.c: dbs[].enabled). */
static bool nscd_caches_hosts(void)
{
    FILE *file = fopen(NSCD_CONF, "re");
    char text[512], what[40], which[40], value[40];
    bool does = false;

    if (!file)
        return false;
    while (fgets(text, sizeof text, file)) {
        if (sscanf(text, " %39s %39s %39s", what, which, value) == 3 &&
            strcmp(what, "enable-cache") == 0 && strcmp(which, "hosts") == 0)
            does = strcmp(value, "yes") == 0;
    }
    fclose(file);
    return does;
}

static bool nscd_runs(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = NSCD_SOCKET };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool runs = fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
                            errno == EAGAIN || errno == EACCES);

    if (fd >= 0)
        close(fd);
    return runs;
}

void doctor_nscd(struct doctor *doctor)
{
    bool runs = nscd_runs();

    if (runs && nscd_caches_hosts()) {
        doctor_mend(doctor, "in " NSCD_CONF ": enable-cache hosts no; then restart nscd");
        doctor_say(doctor, DOCTOR_WARN, "nscd",
                   "it caches hosts, and goes on answering what it "
                   "heard from etcdsd up to 16 s ago");
    } else {
        doctor_say(doctor, DOCTOR_OK, "nscd", runs ? "it runs, and caches no hosts" : "none runs");
    }
}
