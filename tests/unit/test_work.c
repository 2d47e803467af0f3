/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What one event costs, from libsd's callback to the words of a real table, must
 * not depend on how much is there.  Counted are machine instructions, which no
 * other load of the machine changes: a child follows a list, then some changes,
 * and its parent leads it through those step by step.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../nss/watcher/board.h"
#include "../../nss/watcher/mirror.h"
#include "writer.h"

/* Elsewhere a step between a load and a store that belong together would have
 * them begin anew for ever. */
#if defined __x86_64__ || defined __i386__
#    define CAN_STEP true
#else
#    define CAN_STEP false
#endif

enum {
    FEW = 300,
    MANY = 30000,
    EVENTS = 3
};

struct scene {
    struct board board;
    struct zone zone;
    struct settings says;
    struct localnet net;
    struct model model;
    struct publish publish;
    struct mirror mirror;
};

static void scene_open(struct scene *scene, const char *directory)
{
    static const char *const domains[] = { "work.example" };
    char path[80], why[200];
    struct table_writer_options options = { .path = path, .domains = domains, .domain_count = 1 };

    snprintf(path, sizeof path, "%s/table", directory);
    memset(scene, 0, sizeof *scene);
    scene->zone = (struct zone){ .prefix = "/w/", .domain = "work.example" };
    scene->zone.prefix_length = strlen(scene->zone.prefix);
    scene->zone.domain_length = strlen(scene->zone.domain);
    scene->says.max_instances = TABLE_MAX_INSTANCES;
    if (model_init(&scene->model, 1) < 0 ||
        table_writer_open(&scene->board.table, &options, why, sizeof why) < 0)
        _exit(1);
    scene->publish.model = &scene->model;
    scene->publish.table = scene->board.table;
    scene->publish.zone = scene->mirror.zone = &scene->zone;
    scene->publish.net = &scene->net;
    scene->publish.says = &scene->says;
    scene->mirror.model = &scene->model;
    scene->mirror.publish = &scene->publish;
    board_add(&scene->board, &scene->publish);
    board_begin(&scene->board);
}

static void tell(struct scene *scene, int type, int64_t revision, const libsd_kv *kv)
{
    const libsd_event event = { .type = type, .revision = revision, .kv = kv };

    mirror_event(&event, &scene->mirror);
}

static void put(struct scene *scene, int number, int port)
{
    char key[40], value[40];
    libsd_kv kv;

    snprintf(key, sizeof key, "/w/s%06d/i", number);
    snprintf(value, sizeof value, "10.0.%d.%d:%d", number >> 8, number & 255, port);
    kv = (libsd_kv){ .key = libsd_str(key), .value = libsd_str(value) };
    tell(scene, LIBSD_EVENT_PUT, 0, &kv);
}

/* The same services are changed, whatever else there is. */
static void follow(const char *directory, int services)
{
    struct scene scene;

    scene_open(&scene, directory);
    tell(&scene, LIBSD_EVENT_LIST_BEGIN, 0, NULL);
    for (int i = 0; i < services; i++)
        put(&scene, i, 1000);
    tell(&scene, LIBSD_EVENT_LIST_END, 1, NULL);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(2);
    raise(SIGSTOP);
    for (int i = 0; i < EVENTS; i++) {
        put(&scene, i * (FEW / EVENTS), 2000);
        tell(&scene, LIBSD_EVENT_COMMIT, 2 + i, NULL);
        mirror_flush(&scene.mirror);
    }
    raise(SIGSTOP);
    _exit(table_writer_is_published(scene.board.table) ? 0 : 3);
}

/* 0: this process may not lead another.  Counts up to `most`. */
static long steps(pid_t child, long most)
{
    long count = 0;
    int status;

    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        return 0;
    cr_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    do {
        cr_assert_eq(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        waitpid(child, &status, 0);
        cr_assert(WIFSTOPPED(status));
        count++;
    } while (WSTOPSIG(status) != SIGSTOP && count < most);
    ptrace(PTRACE_DETACH, child, NULL, NULL);
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return count;
}

static long work(int services, long most)
{
    char directory[] = "/tmp/etcdsd-work.XXXXXX", command[80];
    long count;
    pid_t child;

    cr_assert_not_null(mkdtemp(directory));
    child = fork();
    if (child == 0)
        follow(directory, services);
    count = steps(child, most);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_assert_eq(system(command), 0);
    return count;
}

/* A page's fault is none of them, and a chain of a hash may be longer by some. */
Test(work, of_an_event_does_not_depend_on_how_much_there_is)
{
    long few = CAN_STEP ? work(FEW, LONG_MAX) : 0, many = few > 0 ? work(MANY, 2 * few) : 0;

    if (few == 0)
        cr_skip("no process may be led by steps here");
    cr_assert_leq(many, few + few / 4, "%ld instructions for an event among %d, %ld among %d",
                  few / EVENTS, FEW, many / EVENTS, MANY);
}
