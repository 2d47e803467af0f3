/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Tables for the benchmarks: service i is s<i>.service.etcd with one instance
 * i0.  Besides them there are three.service.etcd and eight.service.etcd, with as
 * many instances.
 */
#ifndef ETCDSD_BENCH_FILL_H
#define ETCDSD_BENCH_FILL_H

#include <sys/types.h>

/* Makes a table and keeps its heartbeat until fill_end(). */
void fill_table(const char *path, unsigned services);
void fill_end(void);

/* Keeps one table in this process, until a signal ends it. */
void fill_keep(const char *path, unsigned services);

/* A process that changes one service after the other, as fast as it can. */
pid_t fill_start_changing(const char *path, unsigned services);
void fill_stop_changing(pid_t writer);

struct fill_costs {
    double fill_ns, change_ns, adopt_ms, bytes;
};
void fill_measure(const char *path, unsigned services, struct fill_costs *costs);

#endif
