/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Three etcds that are one store; see cluster.h.
 */
#include "cluster.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void introduce(struct cluster *cluster)
{
    char members[sizeof cluster->members[0].members] = "";
    size_t size = 0;

    *cluster->urls = '\0';
    for (int i = 0; i < MEMBERS; i++) {
        const struct etcd *etcd = &cluster->members[i];

        size += (size_t)snprintf(members + size, sizeof members - size, "%s%s=%s", i ? "," : "",
                                 etcd->name, etcd->peer);
        strcat(strcat(cluster->urls, i ? "," : ""), etcd->url);
    }
    for (int i = 0; i < MEMBERS; i++)
        strcpy(cluster->members[i].members, members);
}

static bool all_up(struct cluster *cluster)
{
    for (int i = 0; i < MEMBERS; i++)
        if (!etcd_is_up(&cluster->members[i]))
            return false;
    return true;
}

/* Somebody else took a port between our look and etcd's. */
static bool any_ended(struct cluster *cluster)
{
    for (int i = 0; i < MEMBERS; i++)
        if (etcd_has_ended(&cluster->members[i])) {
            cluster->members[i].pid = 0;
            return true;
        }
    return false;
}

void cluster_start(struct cluster *cluster)
{
    bool failed = true;

    for (int tries = 0; failed && tries < 3; tries++) {
        if (tries)
            cluster_end(cluster);
        for (int i = 0; i < MEMBERS; i++) {
            etcd_prepare(&cluster->members[i]);
            snprintf(cluster->members[i].name, sizeof cluster->members[i].name, "n%d", i + 1);
        }
        introduce(cluster);
        for (int i = 0; i < MEMBERS; i++)
            etcd_run(&cluster->members[i]);
        UNTIL((failed = any_ended(cluster)) || all_up(cluster), 30);
    }
    cr_assert(!failed, "no cluster: is etcd installed?");
}

void cluster_end(struct cluster *cluster)
{
    for (int i = 0; i < MEMBERS; i++)
        etcd_end(&cluster->members[i]);
}

/* The number behind "name":" in an answer, 0 if there is none. */
static unsigned long long number(const char *answer, const char *name)
{
    const char *found = strstr(answer, name);

    return found ? strtoull(found + strlen(name), NULL, 10) : 0;
}

/* Whether it knows of a leader, and who that is: 1 it, 2 another one. */
static int leads(const struct etcd *etcd)
{
    char answer[2000];
    unsigned long long leader;

    if (!etcd->pid || etcd_ask(etcd, "/v3/maintenance/status", "{}", answer, sizeof answer) != 200)
        return 0;
    leader = number(answer, "\"leader\":\"");
    if (!leader)
        return 0;
    return leader == number(answer, "\"member_id\":\"") ? 1 : 2;
}

static struct etcd *find(struct cluster *cluster, int role)
{
    for (int i = 0; i < MEMBERS; i++)
        if (leads(&cluster->members[i]) == role)
            return &cluster->members[i];
    return NULL;
}

struct etcd *cluster_leader(struct cluster *cluster)
{
    struct etcd *found;

    UNTIL((found = find(cluster, 1)) != NULL, 15);
    return found;
}

struct etcd *cluster_follower(struct cluster *cluster)
{
    struct etcd *found;

    cluster_leader(cluster);
    UNTIL((found = find(cluster, 2)) != NULL, 15);
    return found;
}

void cluster_others(const struct cluster *cluster, const struct etcd *without, char *urls)
{
    *urls = '\0';
    for (int i = 0; i < MEMBERS; i++) {
        if (&cluster->members[i] != without)
            strcat(strcat(urls, *urls ? "," : ""), cluster->members[i].url);
    }
}
