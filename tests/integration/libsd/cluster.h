/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Three etcds that are one store; see etcd.h.
 */
#ifndef TESTS_CLUSTER_H
#define TESTS_CLUSTER_H

#include "etcd.h"

#define MEMBERS 3

struct cluster {
    struct etcd members[MEMBERS];
    char urls[MEMBERS * 65]; /* as the option "endpoints" wants them */
};

/* Each ends the test when it can't do its part. */
void cluster_start(struct cluster *cluster);
void cluster_end(struct cluster *cluster);

/* The member that leads, waited for; and the first that runs and does not. */
struct etcd *cluster_leader(struct cluster *cluster);
struct etcd *cluster_follower(struct cluster *cluster);

/* The endpoints without one: to a copy of cluster->urls in size. */
void cluster_others(const struct cluster *cluster, const struct etcd *without, char *urls);

#endif
