/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * doctor: etcd, each endpoint by itself; whether we may read there; and
 * whether a name of the table resolves the way programs resolve it.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "doctor.h"
#include "libsd-etcd.h"
#include "say.h"

#define ENDPOINTS  16 /* more are not asked */
#define TIMEOUT_MS 2000

struct endpoint {
    char url[300];
    int rc;
    char detail[DOCTOR_LINE];
    libsd_reply *reply;
};

/* ---- which ones --------------------------------------------------------- */

/* As libsd weighs them: command line, environment, file, default. */
static void find_list(const struct doctor *doctor, char list[DOCTOR_LINE])
{
    const char *text = doctor->arguments->values[CLI_ENDPOINTS];
    const char *variable = getenv("ETCDCTL_ENDPOINTS");

    if (!text && variable && *variable)
        text = variable;
    if (text)
        snprintf(list, DOCTOR_LINE, "%s", text);
    else if (!doctor_config_value(doctor, "etcd", "endpoints", list))
        snprintf(list, DOCTOR_LINE, "http://127.0.0.1:2379");
}

static size_t split(const char *list, struct endpoint endpoints[ENDPOINTS])
{
    size_t count = 0;

    while (count < ENDPOINTS) {
        size_t size;

        list += strspn(list, ", \t");
        size = strcspn(list, ", \t");
        if (!size)
            break;
        snprintf(endpoints[count++].url, sizeof endpoints[0].url, "%.*s", (int)size, list);
        list += size;
    }
    return count;
}

/* ---- each --------------------------------------------------------------- */

static int timeout_of(const struct doctor *doctor)
{
    const char *text = doctor->arguments->values[CLI_TIMEOUT_MS];

    return text ? (int)strtol(text, NULL, 10) : TIMEOUT_MS; /* libsd has checked it */
}

static void say_unreachable(struct doctor *doctor, const struct endpoint *endpoint, bool others)
{
    const char *hint = cli_hint(endpoint->rc);

    doctor_mend(doctor, "%s", hint ? hint : "");
    doctor_say(doctor, others ? DOCTOR_WARN : DOCTOR_FAIL, "etcd", "%s: %s%s%s", endpoint->url,
               libsd_strerror(endpoint->rc), *endpoint->detail ? ": " : "", endpoint->detail);
}

static void say_status(struct doctor *doctor, const struct endpoint *endpoint)
{
    const libsd_member_status *status = endpoint->reply->status;

    if (!status->leader) {
        doctor_mend(doctor, "etcdctl endpoint status --cluster; a majority of members must run");
        doctor_say(doctor, DOCTOR_FAIL, "etcd", "%s: its cluster has no leader", endpoint->url);
    } else if (status->errors && status->errors[0]) {
        doctor_mend(doctor, "etcdctl alarm list; of NOSPACE: compact, defrag, alarm disarm");
        doctor_say(doctor, DOCTOR_WARN, "etcd", "%s: %s", endpoint->url, status->errors[0]);
    } else if (doctor->cluster && endpoint->reply->cluster_id != doctor->cluster) {
        doctor_mend(doctor, "give both the same endpoints, in %s",
                    *doctor_config_path(doctor) ? doctor_config_path(doctor) : "a file");
        doctor_say(doctor, DOCTOR_FAIL, "etcd",
                   "%s is of cluster %" PRIx64 ", and the watcher follows cluster %" PRIx64,
                   endpoint->url, endpoint->reply->cluster_id, doctor->cluster);
    } else {
        doctor_say(doctor, DOCTOR_OK, "etcd", "%s: etcd %s, its cluster has a leader",
                   endpoint->url, status->version);
    }
}

/* Before logging in counts: etcd tells its status to everybody. */
static void ask(struct doctor *doctor, libsd *sd, struct endpoint *endpoint)
{
    endpoint->rc = libsd_status(sd, endpoint->url, &endpoint->reply, timeout_of(doctor));
    if (endpoint->rc < 0)
        libsd_error_detail(sd, endpoint->detail, sizeof endpoint->detail);
}

/* Any service will do: the answer may be empty. */
static void judge_access(struct doctor *doctor, libsd *sd)
{
    libsd_snapshot *snapshot = NULL;
    char detail[DOCTOR_LINE] = "";
    int rc = libsd_discover(sd, "etcdsd-doctor", &snapshot, timeout_of(doctor));
    const char *hint = cli_hint(rc);

    libsd_snapshot_unref(snapshot);
    if (rc >= 0) {
        doctor_say(doctor, DOCTOR_OK, "access", "services can be read");
        return;
    }
    libsd_error_detail(sd, detail, sizeof detail);
    doctor_mend(doctor, "%s", hint ? hint : "");
    doctor_say(doctor, DOCTOR_FAIL, "access", "services can't be read: %s%s%s", libsd_strerror(rc),
               *detail ? ": " : "", detail);
}

static void judge_all(struct doctor *doctor, libsd *sd, struct endpoint *endpoints, size_t count)
{
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        ask(doctor, sd, &endpoints[i]);
        any = any || endpoints[i].rc == 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (endpoints[i].rc == 0)
            say_status(doctor, &endpoints[i]);
        else
            say_unreachable(doctor, &endpoints[i], any);
    }
    if (any)
        judge_access(doctor, sd);
    for (size_t i = 0; i < count; i++) {
        doctor_clock(doctor, endpoints[i].url);
        libsd_reply_free(endpoints[i].reply);
    }
}

void doctor_etcd(struct doctor *doctor)
{
    struct endpoint endpoints[ENDPOINTS] = { 0 };
    char list[DOCTOR_LINE], why[DOCTOR_LINE];
    libsd *sd;

    if (cli_try_open(doctor->arguments, "manual", &sd, why, sizeof why) != 0) {
        doctor_mend(doctor, "see etcdsd doctor --help for the options");
        doctor_say(doctor, DOCTOR_FAIL, "etcd", "%s", why);
        return;
    }
    find_list(doctor, list);
    judge_all(doctor, sd, endpoints, split(list, endpoints));
    libsd_close(sd);
}

/* ---- a name ------------------------------------------------------------- */

/* In a child: what getaddrinfo(3) answers, through nsswitch.conf, nscd and all. */
static void resolve(int to, void *arg)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    int rc = getaddrinfo(arg, NULL, &hints, &list);
    char text[INET6_ADDRSTRLEN + 20];

    if (rc != 0 || getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof text, NULL, 0,
                               NI_NUMERICHOST) != 0)
        dprintf(to, "!%s", gai_strerror(rc));
    else
        dprintf(to, "%s", text);
}

void doctor_lookup(struct doctor *doctor)
{
    char text[DOCTOR_LINE];

    if (!doctor->has_way || !doctor->has_module || !*doctor->name)
        return;
    if (doctor_apart(resolve, doctor->name, text) && *text != '!') {
        doctor_say(doctor, DOCTOR_OK, "lookup", "%s is %s to programs", doctor->name, text);
        return;
    }
    doctor_mend(doctor, "compare: getent -s hosts:etcdsd ahosts %s", doctor->name);
    doctor_say(doctor, DOCTOR_FAIL, "lookup", "%s is in the table, and getaddrinfo says: %s",
               doctor->name, *text ? text + 1 : "nothing in 10 s");
}
