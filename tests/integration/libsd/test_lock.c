/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Locks: one holder at a time, first come first served, beside etcd's own.
 * test_lock_loss.c and test_lock_threads.c have the rest.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lock_scene.h"

/* ---- workers ------------------------------------------------------------ */

/* Processes of their own, forked before there are threads.  A byte in is a
 * command, a byte out its result. */
#define WORKERS 4
#define THREADS 4
#define ROUNDS  5

static struct worker {
    pid_t pid;
    int fd;
} workers[WORKERS];

static libsd *own;
static int clashes;

/* The counter is only written while the lock's key is as it was taken. */
static void count_guarded(const libsd_mutex *mutex)
{
    libsd_slice key = libsd_lock_key(mutex);
    libsd_kvs *kvs = NULL;
    char text[300];
    char number[20];
    char body[800] = "{\"compare\":[{\"target\":\"CREATE\",\"key\":\"";
    int count = 0;

    if (libsd_get(own, libsd_str("counter"), &kvs, 0) == 0) {
        snprintf(number, sizeof number, "%.*s", (int)libsd_kvs_at(kvs, 0)->value.size,
                 (const char *)libsd_kvs_at(kvs, 0)->value.data);
        count = atoi(number);
    }
    libsd_kvs_free(kvs);
    snprintf(text, sizeof text, "%.*s", (int)key.size, (const char *)key.data);
    add_base64(body, text);
    snprintf(body + strlen(body), sizeof body - strlen(body), "\",\"create_revision\":\"%lld\"}],",
             (long long)libsd_lock_revision(mutex));
    strcat(body, "\"success\":[{\"request_put\":{\"key\":\"");
    add_base64(body, "counter");
    strcat(body, "\",\"value\":\"");
    snprintf(number, sizeof number, "%d", count + 1);
    add_base64(body, number);
    strcat(body, "\"}}]}");
    if (etcd_post(&locks.etcd, "/v3/kv/txn", body) != 200)
        __atomic_fetch_add(&clashes, 1, __ATOMIC_SEQ_CST);
}

static void *contend(void *arg)
{
    char path[300];

    snprintf(path, sizeof path, "%s/inside", locks.etcd.dir);
    for (int i = 0; i < ROUNDS; i++) {
        libsd_mutex *mutex = NULL;
        int fd;

        if (libsd_lock(own, LOCK_NAME, 10, 60000, &mutex) < 0) {
            __atomic_fetch_add(&clashes, 1, __ATOMIC_SEQ_CST);
            continue;
        }
        fd = open(path, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            __atomic_fetch_add(&clashes, 1, __ATOMIC_SEQ_CST);
        count_guarded(mutex);
        unlink(path);
        close(fd);
        if (libsd_unlock(mutex, 10000) != 0)
            __atomic_fetch_add(&clashes, 1, __ATOMIC_SEQ_CST);
    }
    return arg;
}

static int contend_all(void)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, contend, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return clashes;
}

static int last_state;

static void note_state(libsd_mutex *mutex, int state, int error, void *arg)
{
    (void)mutex;
    (void)error;
    (void)arg;
    __atomic_store_n(&last_state, state, __ATOMIC_SEQ_CST);
}

static void be_worker(int fd)
{
    libsd_lock_options options = { .size = sizeof options, .ttl_s = 2 };
    libsd_mutex *mutex = NULL;
    char byte = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (read(fd, &byte, 1) == 1) {
        if (!own)
            own = etcd_open(&locks.etcd, NULL);
        switch (byte) {
        case 'c': /* contend */
            byte = (char)contend_all();
            break;
        case 'l': /* ask for the lock */
            byte = libsd_lock_start(own, LOCK_NAME, &options, note_state, NULL, &mutex) == 0;
            break;
        case 'h': /* held? */
            byte = (char)libsd_lock_is_held(mutex);
            break;
        case 's': /* told */
            byte = (char)__atomic_load_n(&last_state, __ATOMIC_SEQ_CST);
            break;
        }
        if (write(fd, &byte, 1) != 1)
            _exit(1);
    }
    _exit(0);
}

static void start_worker(struct worker *worker)
{
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    worker->pid = fork();
    cr_assert(worker->pid >= 0);
    if (worker->pid == 0) {
        close(ends[0]);
        be_worker(ends[1]);
    }
    close(ends[1]);
    worker->fd = ends[0];
}

static void send_to(struct worker *worker, char command)
{
    cr_assert_eq(write(worker->fd, &command, 1), 1);
}

static int result_of(struct worker *worker)
{
    char byte;

    cr_assert_eq(read(worker->fd, &byte, 1), 1);
    return byte;
}

static int tell_worker(struct worker *worker, char command)
{
    send_to(worker, command);
    return result_of(worker);
}

static void kill_worker(struct worker *worker)
{
    if (worker->pid) {
        kill(worker->pid, SIGKILL);
        waitpid(worker->pid, NULL, 0);
        close(worker->fd);
    }
    worker->pid = 0;
}

/* The workers are forked before there are threads. */
static void setup(void)
{
    etcd_start(&locks.etcd);
    for (int i = 0; i < WORKERS; i++)
        start_worker(&workers[i]);
    locks.sd = etcd_open(&locks.etcd, NULL);
    locks.judge = etcd_open(&locks.etcd, NULL);
}

static void teardown(void)
{
    for (int i = 0; i < WORKERS; i++)
        kill_worker(&workers[i]);
    lock_scene_end();
}

TestSuite(lock, .init = setup, .fini = teardown, .timeout = 90);

/* ---- one at a time ------------------------------------------------------ */

Test(lock, second_one_of_the_same_handle_waits_in_vain_and_leaves_nothing)
{
    libsd_mutex *first = lock_take_as(10);
    libsd_mutex *second = NULL;
    char detail[200];
    char key[200];

    cr_assert_eq(libsd_lock(locks.sd, LOCK_NAME, 10, 500, &second), LIBSD_ETIMEDOUT);
    cr_assert_null(second);
    lock_key_of(first, key, sizeof key);
    libsd_error_detail(locks.sd, detail, sizeof detail);
    cr_assert(strstr(detail, key), "%s", detail);
    UNTIL(lock_keys() == 1, 5);
    cr_assert_eq(libsd_trylock(locks.sd, LOCK_NAME, 10, 0, &second), LIBSD_ECONFLICT);
    cr_assert_eq(lock_keys(), 1);
    cr_assert_eq(libsd_unlock(first, 0), 0);
    cr_assert_eq(lock_keys(), 0);
    cr_assert_eq(libsd_trylock(locks.sd, LOCK_NAME, 10, 0, &second), 0);
    cr_assert(libsd_lock_is_held(second));
    cr_assert_eq(libsd_unlock(second, 0), 0);
}

Test(lock, sixteen_in_four_processes_are_never_two_inside)
{
    libsd_kvs *kvs = NULL;
    char number[20];

    for (int i = 0; i < WORKERS; i++)
        send_to(&workers[i], 'c');
    for (int i = 0; i < WORKERS; i++)
        cr_expect_eq(result_of(&workers[i]), 0, "worker %d", i);
    cr_assert_eq(libsd_get(locks.judge, libsd_str("counter"), &kvs, 0), 0);
    snprintf(number, sizeof number, "%.*s", (int)libsd_kvs_at(kvs, 0)->value.size,
             (const char *)libsd_kvs_at(kvs, 0)->value.data);
    libsd_kvs_free(kvs);
    cr_assert_eq(atoi(number), WORKERS * THREADS * ROUNDS);
    cr_assert_eq(lock_keys(), 0);
}

Test(lock, first_come_first_served_with_growing_tokens)
{
    struct lock_story stories[5];
    int64_t revision = 0;

    for (int i = 0; i < 5; i++)
        story_start_on(i % 2 ? locks.sd : locks.judge, &stories[i], 10, i ? "W" : "H");
    cr_assert_eq(libsd_lock_revision(stories[4].lock), 0);
    cr_assert_eq(libsd_lock_key(stories[4].lock).size, 0);
    for (int i = 0; i < 5; i++) {
        UNTIL(story_is(&stories[i], i ? "WH" : "H"), 5);
        cr_assert(libsd_lock_revision(stories[i].lock) > revision);
        revision = libsd_lock_revision(stories[i].lock);
        for (int j = i + 1; j < 5; j++)
            cr_assert(story_is(&stories[j], "W"), "%d before %d", j, i);
        cr_assert_eq(libsd_unlock(stories[i].lock, 0), 0);
    }
}

Test(lock, one_that_leaves_the_middle_wakes_nobody)
{
    struct lock_story stories[4];

    for (int i = 0; i < 4; i++)
        story_start(&stories[i], 10, i ? "W" : "H");
    cr_assert_eq(libsd_lock_release(stories[1].lock), 0);
    UNTIL(story_is(&stories[1], "WR"), 5);
    libsd_lock_close(stories[2].lock);
    UNTIL(lock_keys() == 2, 5);
    cr_assert(story_is(&stories[3], "W"));
    cr_assert_eq(libsd_unlock(stories[0].lock, 0), 0);
    UNTIL(story_is(&stories[3], "WH"), 5);
    cr_assert_not(libsd_lock_is_held(stories[1].lock));
    cr_assert_eq(libsd_unlock(stories[1].lock, 0), 0);
    cr_assert_eq(libsd_unlock(stories[3].lock, 0), 0);
    cr_assert_eq(lock_keys(), 0);
}

Test(lock, dead_holder_is_followed_within_its_ttl)
{
    struct lock_story story;
    double begin;

    cr_assert_eq(tell_worker(&workers[0], 'l'), 1);
    UNTIL(tell_worker(&workers[0], 'h') == 1, 10);
    story_start(&story, 10, "W");
    kill_worker(&workers[0]);
    begin = seconds();
    UNTIL(story_is(&story, "WH"), 20);
    cr_expect(seconds() - begin < 2 + 3, "after %g s", seconds() - begin);
    cr_assert_eq(libsd_unlock(story.lock, 0), 0);
}

Test(lock, stopped_process_finds_it_lost_before_anything_else)
{
    libsd_mutex *mutex;

    cr_assert_eq(tell_worker(&workers[0], 'l'), 1);
    UNTIL(tell_worker(&workers[0], 'h') == 1, 10);
    kill(workers[0].pid, SIGSTOP);
    mutex = lock_take_as(10);
    send_to(&workers[0], 'h');
    kill(workers[0].pid, SIGCONT);
    cr_assert_eq(result_of(&workers[0]), 0);
    UNTIL(tell_worker(&workers[0], 's') == LIBSD_LOCK_LOST, 5);
    cr_assert(libsd_lock_is_held(mutex));
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
}

/* ---- etcd's own --------------------------------------------------------- */

/* Holds the lock as long as the file is there, which goes with etcd's own; its
 * commands get no standard input. */
static pid_t start_etcdctl(const char *file, int *out)
{
    char command[400];
    int ends[2];
    pid_t pid;

    close(open(file, O_CREAT | O_CLOEXEC, 0600));
    snprintf(command, sizeof command, "echo got; while test -e %s; do sleep 0.05; done", file);
    cr_assert(pipe2(ends, O_CLOEXEC) == 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], 1);
        setenv("ETCDCTL_API", "3", 1);
        execlp("etcdctl", "etcdctl", "--endpoints", locks.etcd.url, "lock", LOCK_NAME, "--", "sh",
               "-c", command, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

Test(lock, etcdctl_lock_excludes_ours_and_ours_excludes_it)
{
    libsd_mutex *mutex = NULL;
    struct lock_story story;
    char file[300];
    char line[10] = "";
    int out;
    pid_t pid;

    if (system("etcdctl version >/dev/null 2>&1") != 0)
        cr_skip_test("no etcdctl");
    snprintf(file, sizeof file, "%s/hold", locks.etcd.dir);
    mutex = lock_take_as(10);
    pid = start_etcdctl(file, &out);
    UNTIL(lock_keys() == 2, 10);
    story_start(&story, 10, "W");
    cr_assert_eq(fcntl(out, F_SETFL, O_NONBLOCK), 0);
    cr_assert_eq(read(out, line, sizeof line), -1, "it holds the lock as well");
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
    UNTIL(read(out, line, sizeof line) == 4, 10);
    cr_assert_eq(libsd_trylock(locks.judge, LOCK_NAME, 10, 0, &mutex), LIBSD_ECONFLICT);
    cr_assert(story_is(&story, "W"));
    unlink(file);
    UNTIL(story_is(&story, "WH"), 10);
    waitpid(pid, NULL, 0);
    close(out);
    cr_assert_eq(libsd_unlock(story.lock, 0), 0);
}

Test(lock, lock_service_excludes_ours_and_ours_excludes_it)
{
    char body[200] = "{\"name\":\"";
    char unlock[300] = "{\"key\":\"";
    libsd_mutex *mutex = NULL;
    libsd_kvs *kvs = NULL;
    char key[200];

    add_base64(body, LOCK_NAME);
    strcat(body, "\"}");
    mutex = lock_take_as(10);
    cr_assert_eq(etcd_post(&locks.etcd, "/v3/lock/lock", body), 0, "it got the lock as well");
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
    UNTIL(lock_keys() == 0, 5);
    cr_assert_eq(etcd_post(&locks.etcd, "/v3/lock/lock", body), 200);
    cr_assert_eq(libsd_trylock(locks.sd, LOCK_NAME, 10, 0, &mutex), LIBSD_ECONFLICT);
    cr_assert_eq(libsd_lock(locks.sd, LOCK_NAME, 10, 300, &mutex), LIBSD_ETIMEDOUT);
    UNTIL(lock_keys() == 1, 5);
    cr_assert_eq(libsd_list(locks.judge, libsd_str(LOCK_NAME "/"), 0, &kvs, 0), 0);
    snprintf(key, sizeof key, "%.*s", (int)libsd_kvs_at(kvs, 0)->key.size,
             (const char *)libsd_kvs_at(kvs, 0)->key.data);
    libsd_kvs_free(kvs);
    add_base64(unlock, key);
    strcat(unlock, "\"}");
    cr_assert_eq(etcd_post(&locks.etcd, "/v3/lock/unlock", unlock), 200);
    mutex = lock_take_as(10);
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
}
