/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A mirror of one zone, between a script of libsd's events and a table writer
 * of paper.
 */
#ifndef ETCDSD_TESTS_MIRROR_STAGE_H
#define ETCDSD_TESTS_MIRROR_STAGE_H

#include "../../nss/watcher/board.h"
#include "../../nss/watcher/mirror.h"
#include "paper.h"

extern struct zone zone; /* service.etcd, of /service/ */
extern struct model model;
extern struct localnet net;
extern struct settings says;
extern struct board board;
extern struct publish publish;
extern struct mirror mirror;

/* Before and after each test. */
void stage_setup(void);
void stage_teardown(void);

/* What was logged since the last call.  Valid until the next one. */
const char *stage_logged(void);

/* Events, as libsd tells them; what ends a list or a revision is written. */
void stage_tell(int type, int64_t revision, const libsd_kv *kv);
void stage_put(const char *key, const char *value);
void stage_del(const char *key);
void stage_commit(int64_t revision);
void stage_list_begin(void);
void stage_list_end(int64_t revision);

/* Instances m<from> to m<to - 1> of /service/user/; a list of just them. */
void stage_put_many(int from, int to);
void stage_list_many(int from, int to, int64_t revision);

/* What the table shows.  NULL, 0: nothing of that name. */
const struct paper_service *stage_shown(const char *name);
uint32_t stage_shown_count(const char *name);

#endif
