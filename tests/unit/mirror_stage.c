/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See mirror_stage.h.
 */
#include "mirror_stage.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../nss/watcher/log.h"
#include "paper_writer.h"

struct zone zone = {
    .prefix = "/service/",
    .prefix_length = sizeof "/service/" - 1,
    .domain = "service.etcd",
    .domain_length = sizeof "service.etcd" - 1,
};
struct model model;
struct localnet net;
struct settings says = { .weights = 1, .max_instances = TABLE_MAX_INSTANCES };
struct board board = { .table = &paper };
struct publish publish = {
    .model = &model, .table = &paper, .zone = &zone, .net = &net, .says = &says
};
struct mirror mirror = { .zone = &zone, .model = &model, .publish = &publish };
static int log_ends[2];

void stage_setup(void)
{
    unsetenv("JOURNAL_STREAM");
    cr_assert_eq(pipe2(log_ends, O_NONBLOCK | O_CLOEXEC), 0);
    log_open(log_ends[1], LOG_LEVEL_INFO);
    cr_assert_eq(model_init(&model, 7), 0);
    board_add(&board, &publish);
}

void stage_teardown(void)
{
    publish_free(&publish);
    model_free(&model);
}

const char *stage_logged(void)
{
    static char text[1 << 16];
    ssize_t size = read(log_ends[0], text, sizeof text - 1);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

void stage_tell(int type, int64_t revision, const libsd_kv *kv)
{
    const libsd_event event = { .type = type, .revision = revision, .kv = kv };

    mirror_event(&event, &mirror);
}

void stage_put(const char *key, const char *value)
{
    const libsd_kv kv = { .key = libsd_str(key), .value = libsd_str(value) };

    stage_tell(LIBSD_EVENT_PUT, 0, &kv);
}

void stage_del(const char *key)
{
    const libsd_kv kv = { .key = libsd_str(key) };

    stage_tell(LIBSD_EVENT_DELETE, 0, &kv);
}

void stage_commit(int64_t revision)
{
    stage_tell(LIBSD_EVENT_COMMIT, revision, NULL);
    mirror_flush(&mirror);
}

void stage_list_begin(void)
{
    stage_tell(LIBSD_EVENT_LIST_BEGIN, 0, NULL);
}

void stage_list_end(int64_t revision)
{
    stage_tell(LIBSD_EVENT_LIST_END, revision, NULL);
    mirror_flush(&mirror);
}

const struct paper_service *stage_shown(const char *name)
{
    return paper_find(name, strlen(name));
}

uint32_t stage_shown_count(const char *name)
{
    return stage_shown(name) == NULL ? 0 : stage_shown(name)->count;
}

void stage_put_many(int from, int to)
{
    for (int i = from; i < to; i++) {
        char key[40];

        snprintf(key, sizeof key, "/service/user/m%02d", i);
        stage_put(key, "10.0.0.7:80");
    }
}

void stage_list_many(int from, int to, int64_t revision)
{
    stage_list_begin();
    stage_put_many(from, to);
    stage_list_end(revision);
}
