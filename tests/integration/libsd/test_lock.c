/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Locks: one holder at a time, first come first served, lost in time, nothing
 * left behind.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "etcd.h"
#include "proxy.h"

#define NAME "locks/a"

static struct etcd etcd;
static libsd *sd;
static libsd *judge;

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
    if (etcd_post(&etcd, "/v3/kv/txn", body) != 200)
        __atomic_fetch_add(&clashes, 1, __ATOMIC_SEQ_CST);
}

static void *contend(void *arg)
{
    char path[300];

    snprintf(path, sizeof path, "%s/inside", etcd.dir);
    for (int i = 0; i < ROUNDS; i++) {
        libsd_mutex *mutex = NULL;
        int fd;

        if (libsd_lock(own, NAME, 10, 60000, &mutex) < 0) {
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
            own = etcd_open(&etcd, NULL);
        switch (byte) {
        case 'c': /* contend */
            byte = (char)contend_all();
            break;
        case 'l': /* ask for the lock */
            byte = libsd_lock_start(own, NAME, &options, note_state, NULL, &mutex) == 0;
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

static void setup(void)
{
    etcd_start(&etcd);
    for (int i = 0; i < WORKERS; i++)
        start_worker(&workers[i]);
    sd = etcd_open(&etcd, NULL);
    judge = etcd_open(&etcd, NULL);
}

static void teardown(void)
{
    libsd_close(sd);
    libsd_close(judge);
    for (int i = 0; i < WORKERS; i++)
        kill_worker(&workers[i]);
    etcd_end(&etcd);
}

TestSuite(lock, .init = setup, .fini = teardown, .timeout = 90);

/* ---- help --------------------------------------------------------------- */

static size_t keys(void)
{
    libsd_kvs *kvs = NULL;
    size_t count = 999;

    if (libsd_list(judge, libsd_str(NAME "/"), 0, &kvs, 0) == 0)
        count = libsd_kvs_count(kvs);
    libsd_kvs_free(kvs);
    return count;
}

/* What a lock's callback was told, as letters: W, H, L, F, R. */
struct story {
    pthread_mutex_t mutex;
    char text[50];
    int error;
    libsd_mutex *lock;
};

static void take_note(libsd_mutex *lock, int state, int error, void *arg)
{
    struct story *story = arg;
    size_t size;

    (void)lock;
    pthread_mutex_lock(&story->mutex);
    size = strlen(story->text);
    if (size + 1 < sizeof story->text)
        story->text[size] = "?WHLFR"[state];
    story->error = error;
    pthread_mutex_unlock(&story->mutex);
}

static bool told(struct story *story, const char *text)
{
    bool same;

    pthread_mutex_lock(&story->mutex);
    same = strcmp(story->text, text) == 0;
    pthread_mutex_unlock(&story->mutex);
    return same;
}

static void start_on(libsd *handle, struct story *story, int ttl_s, const char *until)
{
    libsd_lock_options options = { .size = sizeof options, .ttl_s = ttl_s };

    *story = (struct story){ .mutex = PTHREAD_MUTEX_INITIALIZER };
    cr_assert_eq(libsd_lock_start(handle, NAME, &options, take_note, story, &story->lock), 0);
    UNTIL(told(story, until), 10);
}

static void start(struct story *story, int ttl_s, const char *until)
{
    start_on(sd, story, ttl_s, until);
}

static libsd_mutex *take(int ttl_s)
{
    libsd_mutex *mutex = NULL;
    int rc = libsd_lock(sd, NAME, ttl_s, 20000, &mutex);

    cr_assert(rc == 0, "lock: %s", libsd_strerror(rc));
    cr_assert(libsd_lock_is_held(mutex));
    return mutex;
}

static void key_of(const libsd_mutex *mutex, char *key, size_t size)
{
    libsd_slice slice = libsd_lock_key(mutex);

    snprintf(key, size, "%.*s", (int)slice.size, (const char *)slice.data);
}

/* ---- one at a time ------------------------------------------------------ */

Test(lock, second_one_of_the_same_handle_waits_in_vain_and_leaves_nothing)
{
    libsd_mutex *first = take(10);
    libsd_mutex *second = NULL;
    char detail[200];
    char key[200];

    cr_assert_eq(libsd_lock(sd, NAME, 10, 500, &second), LIBSD_ETIMEDOUT);
    cr_assert_null(second);
    key_of(first, key, sizeof key);
    libsd_error_detail(sd, detail, sizeof detail);
    cr_assert(strstr(detail, key), "%s", detail);
    UNTIL(keys() == 1, 5);
    cr_assert_eq(libsd_trylock(sd, NAME, 10, 0, &second), LIBSD_ECONFLICT);
    cr_assert_eq(keys(), 1);
    cr_assert_eq(libsd_unlock(first, 0), 0);
    cr_assert_eq(keys(), 0);
    cr_assert_eq(libsd_trylock(sd, NAME, 10, 0, &second), 0);
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
    cr_assert_eq(libsd_get(judge, libsd_str("counter"), &kvs, 0), 0);
    snprintf(number, sizeof number, "%.*s", (int)libsd_kvs_at(kvs, 0)->value.size,
             (const char *)libsd_kvs_at(kvs, 0)->value.data);
    libsd_kvs_free(kvs);
    cr_assert_eq(atoi(number), WORKERS * THREADS * ROUNDS);
    cr_assert_eq(keys(), 0);
}

Test(lock, first_come_first_served_with_growing_tokens)
{
    struct story stories[5];
    int64_t revision = 0;

    for (int i = 0; i < 5; i++)
        start_on(i % 2 ? sd : judge, &stories[i], 10, i ? "W" : "H");
    cr_assert_eq(libsd_lock_revision(stories[4].lock), 0);
    cr_assert_eq(libsd_lock_key(stories[4].lock).size, 0);
    for (int i = 0; i < 5; i++) {
        UNTIL(told(&stories[i], i ? "WH" : "H"), 5);
        cr_assert(libsd_lock_revision(stories[i].lock) > revision);
        revision = libsd_lock_revision(stories[i].lock);
        for (int j = i + 1; j < 5; j++)
            cr_assert(told(&stories[j], "W"), "%d before %d", j, i);
        cr_assert_eq(libsd_unlock(stories[i].lock, 0), 0);
    }
}

Test(lock, one_that_leaves_the_middle_wakes_nobody)
{
    struct story stories[4];

    for (int i = 0; i < 4; i++)
        start(&stories[i], 10, i ? "W" : "H");
    cr_assert_eq(libsd_lock_release(stories[1].lock), 0);
    UNTIL(told(&stories[1], "WR"), 5);
    libsd_lock_close(stories[2].lock);
    UNTIL(keys() == 2, 5);
    cr_assert(told(&stories[3], "W"));
    cr_assert_eq(libsd_unlock(stories[0].lock, 0), 0);
    UNTIL(told(&stories[3], "WH"), 5);
    cr_assert_not(libsd_lock_is_held(stories[1].lock));
    cr_assert_eq(libsd_unlock(stories[1].lock, 0), 0);
    cr_assert_eq(libsd_unlock(stories[3].lock, 0), 0);
    cr_assert_eq(keys(), 0);
}

Test(lock, dead_holder_is_followed_within_its_ttl)
{
    struct story story;
    double begin;

    cr_assert_eq(tell_worker(&workers[0], 'l'), 1);
    UNTIL(tell_worker(&workers[0], 'h') == 1, 10);
    start(&story, 10, "W");
    kill_worker(&workers[0]);
    begin = seconds();
    UNTIL(told(&story, "WH"), 20);
    cr_expect(seconds() - begin < 2 + 3, "after %g s", seconds() - begin);
    cr_assert_eq(libsd_unlock(story.lock, 0), 0);
}

Test(lock, stopped_process_finds_it_lost_before_anything_else)
{
    libsd_mutex *mutex;

    cr_assert_eq(tell_worker(&workers[0], 'l'), 1);
    UNTIL(tell_worker(&workers[0], 'h') == 1, 10);
    kill(workers[0].pid, SIGSTOP);
    mutex = take(10);
    send_to(&workers[0], 'h');
    kill(workers[0].pid, SIGCONT);
    cr_assert_eq(result_of(&workers[0]), 0);
    UNTIL(tell_worker(&workers[0], 's') == LIBSD_LOCK_LOST, 5);
    cr_assert(libsd_lock_is_held(mutex));
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
}

/* ---- lost --------------------------------------------------------------- */

Test(lock, revoked_lease_deleted_key_and_foreign_write_are_told_at_once)
{
    struct story story;
    char key[200];
    libsd_kvs *kvs = NULL;

    start(&story, 60, "H");
    key_of(story.lock, key, sizeof key);
    cr_assert_eq(libsd_get(judge, libsd_str(key), &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_at(kvs, 0)->create_revision, libsd_lock_revision(story.lock));
    cr_assert_eq(libsd_lease_revoke(judge, libsd_kvs_at(kvs, 0)->lease, 0), 0);
    libsd_kvs_free(kvs);
    UNTIL(told(&story, "HL"), 5);
    cr_assert_not(libsd_lock_is_held(story.lock));
    cr_assert_eq(libsd_unlock(story.lock, 0), LIBSD_ELEASE);

    start(&story, 60, "H");
    key_of(story.lock, key, sizeof key);
    cr_assert_eq(libsd_delete(judge, libsd_str(key), 0), 1);
    UNTIL(told(&story, "HL"), 5);
    cr_assert_eq(story.error, LIBSD_ENOTFOUND);
    cr_assert_not(libsd_lock_is_held(story.lock));
    libsd_lock_close(story.lock);

    /* A key without a lease would be in the way for ever. */
    start(&story, 60, "H");
    key_of(story.lock, key, sizeof key);
    put(judge, key, "mine");
    UNTIL(told(&story, "HL"), 5);
    cr_assert_eq(story.error, LIBSD_ECONFLICT);
    UNTIL(keys() == 0, 5);
    libsd_lock_close(story.lock);
}

Test(lock, waiter_whose_key_is_deleted_queues_again)
{
    struct story first;
    struct story second;
    libsd_kvs *kvs = NULL;

    start(&first, 60, "H");
    start(&second, 60, "W");
    cr_assert_eq(libsd_list(judge, libsd_str(NAME "/"), 0, &kvs, 0), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 2);
    for (size_t i = 0; i < 2; i++) {
        const libsd_kv *kv = libsd_kvs_at(kvs, i);

        if (kv->create_revision != libsd_lock_revision(first.lock))
            cr_assert_eq(libsd_delete(judge, kv->key, 0), 1);
    }
    libsd_kvs_free(kvs);
    UNTIL(keys() == 2, 5);
    cr_assert_eq(libsd_unlock(first.lock, 0), 0);
    UNTIL(told(&second, "WH"), 5);
    cr_assert_eq(libsd_unlock(second.lock, 0), 0);
}

Test(lock, silent_etcd_means_lost_by_our_own_clock)
{
    struct story story;
    double begin;

    start(&story, 2, "H");
    etcd_freeze(&etcd);
    begin = seconds();
    UNTIL(!libsd_lock_is_held(story.lock), 3);
    cr_expect(seconds() - begin < 2.2, "held for %g s without etcd", seconds() - begin);
    UNTIL(told(&story, "HL"), 2);
    cr_assert_eq(story.error, LIBSD_ETIMEDOUT);
    cr_assert_eq(libsd_unlock(story.lock, 300), LIBSD_ELEASE);
    etcd_thaw(&etcd);
    UNTIL(keys() == 0, 20);
}

static void stay_in_log(int level, const char *message, void *arg)
{
    (void)level;
    while (strstr(message, ": held") && __atomic_load_n((bool *)arg, __ATOMIC_SEQ_CST))
        nap();
}

static libsd *open_with_log(libsd_log_callback *callback, void *arg)
{
    libsd_options *options = NULL;
    libsd *handle = NULL;

    cr_assert_eq(libsd_options_new(&options), 0);
    cr_assert_eq(libsd_options_load(options, ""), 0);
    cr_assert_eq(libsd_options_set(options, "endpoints", etcd.url), 0);
    libsd_options_set_log(options, callback, arg);
    cr_assert_eq(libsd_open(&handle, options), 0);
    libsd_options_free(options);
    return handle;
}

/* As when a whole process was stopped, and the asking thread is the first to
 * run again: here the thread that would end the holding stays in its log. */
Test(lock, asking_looks_at_the_clock_itself)
{
    libsd_lock_options options = { .size = sizeof options, .ttl_s = 2 };
    struct story story = { .mutex = PTHREAD_MUTEX_INITIALIZER };
    bool stays = true;
    libsd *other = open_with_log(stay_in_log, &stays);
    double begin = seconds();

    cr_assert_eq(libsd_lock_start(other, NAME, &options, take_note, &story, &story.lock), 0);
    UNTIL(libsd_lock_is_held(story.lock), 5);
    UNTIL(!libsd_lock_is_held(story.lock), 5);
    cr_assert(seconds() - begin > 1, "held for %g s only", seconds() - begin);
    __atomic_store_n(&stays, false, __ATOMIC_SEQ_CST);
    UNTIL(told(&story, "HL"), 5);
    cr_assert_not(libsd_lock_is_held(story.lock));
    libsd_close(other);
}

Test(lock, unlocking_without_etcd_is_bounded_and_made_good)
{
    libsd_mutex *mutex = take(60);
    double begin = seconds();
    int rc;

    etcd_kill(&etcd);
    rc = libsd_unlock(mutex, 500);
    cr_assert(rc == LIBSD_EUNAVAILABLE || rc == LIBSD_ETIMEDOUT, "%s", libsd_strerror(rc));
    cr_assert(seconds() - begin < 3);
    cr_assert_eq(libsd_lock(sd, NAME, 10, 500, &mutex), LIBSD_EUNAVAILABLE);
    etcd_restart(&etcd);
    UNTIL(keys() == 0, 20);
}

/* ---- outages ------------------------------------------------------------ */

Test(lock, holder_and_waiter_outlive_a_restart)
{
    struct story first;
    struct story second;

    start(&first, 30, "H");
    start(&second, 30, "W");
    etcd_kill(&etcd);
    etcd_restart(&etcd);
    cr_assert(libsd_lock_is_held(first.lock));
    cr_assert(told(&first, "H") && told(&second, "W"));
    cr_assert_eq(libsd_unlock(first.lock, 10000), 0);
    UNTIL(told(&second, "WH"), 10);
    cr_assert_eq(libsd_unlock(second.lock, 0), 0);
}

Test(lock, wiped_store_is_lost_for_the_holder_and_waited_for_anew)
{
    struct story first;
    struct story second;

    start(&first, 60, "H");
    start(&second, 60, "W");
    etcd_kill(&etcd);
    etcd_wipe(&etcd);
    etcd_restart(&etcd);
    UNTIL(told(&first, "HL"), 30);
    UNTIL(told(&second, "WH"), 30);
    libsd_lock_close(first.lock);
    cr_assert_eq(libsd_unlock(second.lock, 0), 0);
}

Test(lock, predecessor_that_left_out_of_sight_and_was_compacted_is_noticed)
{
    struct proxy proxy;
    struct etcd through = etcd;
    libsd *other;
    struct story first;
    struct story second;

    proxy_start(&proxy, etcd.url, NULL);
    memcpy(through.url, proxy.url, sizeof through.url);
    other = etcd_open(&through, NULL);
    start(&first, 60, "H");
    start_on(other, &second, 60, "W");
    proxy_freeze(&proxy);
    cr_assert_eq(libsd_unlock(first.lock, 0), 0);
    put(sd, "/elsewhere", "x");
    etcd_compact(&etcd, put(sd, "/elsewhere", "y"));
    cr_assert(told(&second, "W"));
    proxy_thaw(&proxy);
    proxy_cut(&proxy);
    UNTIL(told(&second, "WH"), 20);
    libsd_close(other);
    proxy_end(&proxy);
}

Test(lock, withdrawal_at_any_moment_leaves_no_key)
{
    struct proxy proxy;
    struct etcd through = etcd;
    libsd *other;

    proxy_start(&proxy, etcd.url, NULL);
    memcpy(through.url, proxy.url, sizeof through.url);
    other = etcd_open(&through, NULL);
    for (int i = 0; i < 30; i++) {
        libsd_mutex *mutex = NULL;

        cr_assert_eq(libsd_lock_start(other, NAME, NULL, NULL, NULL, &mutex), 0);
        usleep((useconds_t)i * 200); /* another moment each time */
        proxy_cut(&proxy);
        libsd_lock_close(mutex);
        UNTIL(keys() == 0, 20);
    }
    libsd_close(other);
    cr_assert_eq(keys(), 0);
    proxy_end(&proxy);
}

/* ---- threads and callbacks ---------------------------------------------- */

/* A callback that gives back what it gets, and begins anew. */
static struct {
    int rounds;
    int blocking_rc;
} relay;

static void run_relay(libsd_mutex *mutex, int state, int error, void *arg)
{
    libsd_mutex *next = NULL;

    (void)error;
    if (state == LIBSD_LOCK_HELD) {
        relay.blocking_rc = libsd_unlock(mutex, 0);
        libsd_lock_release(mutex);
        libsd_lock_release(mutex);
    } else if (state == LIBSD_LOCK_RELEASED) {
        libsd_lock_close(mutex);
        if (relay.rounds < 20)
            libsd_lock_start(sd, NAME, NULL, run_relay, arg, &next);
        __atomic_fetch_add(&relay.rounds, 1, __ATOMIC_SEQ_CST);
    }
}

Test(lock, callbacks_may_release_close_and_start_but_not_block)
{
    libsd_mutex *mutex = NULL;

    cr_assert_eq(libsd_lock_start(sd, NAME, NULL, run_relay, NULL, &mutex), 0);
    UNTIL(__atomic_load_n(&relay.rounds, __ATOMIC_SEQ_CST) == 21, 30);
    cr_assert_eq(relay.blocking_rc, LIBSD_EDEADLOCK);
    UNTIL(keys() == 0, 5);
}

static void *release_often(void *arg)
{
    for (int i = 0; i < 10; i++)
        libsd_lock_release(arg);
    return NULL;
}

static void *lock_and_give_up(void *arg)
{
    libsd_mutex *mutex = NULL;

    for (int i = 0; i < 5; i++) {
        if (libsd_lock(sd, NAME, 10, 5 + (int)(intptr_t)arg * 7, &mutex) == 0)
            libsd_unlock(mutex, 0);
    }
    return NULL;
}

Test(lock, ten_threads_at_once_release_lock_and_give_up)
{
    pthread_t threads[20];
    struct story story;

    start(&story, 10, "H");
    for (intptr_t i = 0; i < 10; i++) {
        pthread_create(&threads[i], NULL, release_often, story.lock);
        pthread_create(&threads[10 + i], NULL, lock_and_give_up, (void *)i);
    }
    for (int i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    UNTIL(told(&story, "HR"), 10);
    libsd_lock_close(story.lock);
    UNTIL(keys() == 0, 10);
}

Test(lock, closing_the_handle_frees_what_is_held_and_waited_for)
{
    libsd *other = etcd_open(&etcd, NULL);
    struct story stories[6];
    struct story next;
    double begin;

    for (int i = 0; i < 6; i++)
        start_on(other, &stories[i], 60, i ? "W" : "H");
    start(&next, 60, "W");
    begin = seconds();
    libsd_close(other);
    cr_assert(seconds() - begin < 2.5);
    for (int i = 0; i < 6; i++)
        cr_assert(told(&stories[i], i ? "W" : "H"));
    UNTIL(told(&next, "WH"), 5);
    cr_assert_eq(keys(), 1);
    cr_assert_eq(libsd_unlock(next.lock, 0), 0);
    cr_assert_eq(keys(), 0);
}

Test(lock, forked_child_does_not_hold_what_its_parent_holds)
{
    libsd_mutex *mutex = take(10);
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        bool right = libsd_lock_is_held(mutex) == 0 && libsd_lock_release(mutex) == LIBSD_EFORKED &&
                     libsd_unlock(mutex, 0) == LIBSD_EFORKED &&
                     libsd_lock_start(sd, NAME, NULL, NULL, NULL, &mutex) == LIBSD_EFORKED;

        _exit(right ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    cr_assert(libsd_lock_is_held(mutex));
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
}

Test(lock, bad_arguments_are_refused)
{
    libsd_lock_options options = { .size = 1 };
    libsd_mutex *mutex = NULL;

    cr_assert_eq(libsd_lock(NULL, NAME, 1, 0, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock(sd, "", 1, 0, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock(sd, NULL, 1, 0, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock(sd, NAME, -1, 0, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock(sd, NAME, 1, -1, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock(sd, NAME, 1, 0, NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock_start(sd, NAME, &options, NULL, NULL, &mutex), LIBSD_EINVAL);
    cr_assert_eq(libsd_unlock(NULL, 0), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock_release(NULL), LIBSD_EINVAL);
    cr_assert_eq(libsd_lock_is_held(NULL), 0);
    libsd_lock_close(NULL);
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
        execlp("etcdctl", "etcdctl", "--endpoints", etcd.url, "lock", NAME, "--", "sh", "-c",
               command, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

Test(lock, etcdctl_lock_excludes_ours_and_ours_excludes_it)
{
    libsd_mutex *mutex = NULL;
    struct story story;
    char file[300];
    char line[10] = "";
    int out;
    pid_t pid;

    if (system("etcdctl version >/dev/null 2>&1") != 0)
        cr_skip_test("no etcdctl");
    snprintf(file, sizeof file, "%s/hold", etcd.dir);
    mutex = take(10);
    pid = start_etcdctl(file, &out);
    UNTIL(keys() == 2, 10);
    start(&story, 10, "W");
    cr_assert_eq(fcntl(out, F_SETFL, O_NONBLOCK), 0);
    cr_assert_eq(read(out, line, sizeof line), -1, "it holds the lock as well");
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
    UNTIL(read(out, line, sizeof line) == 4, 10);
    cr_assert_eq(libsd_trylock(judge, NAME, 10, 0, &mutex), LIBSD_ECONFLICT);
    cr_assert(told(&story, "W"));
    unlink(file);
    UNTIL(told(&story, "WH"), 10);
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

    add_base64(body, NAME);
    strcat(body, "\"}");
    mutex = take(10);
    cr_assert_eq(etcd_post(&etcd, "/v3/lock/lock", body), 0, "it got the lock as well");
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
    UNTIL(keys() == 0, 5);
    cr_assert_eq(etcd_post(&etcd, "/v3/lock/lock", body), 200);
    cr_assert_eq(libsd_trylock(sd, NAME, 10, 0, &mutex), LIBSD_ECONFLICT);
    cr_assert_eq(libsd_lock(sd, NAME, 10, 300, &mutex), LIBSD_ETIMEDOUT);
    UNTIL(keys() == 1, 5);
    cr_assert_eq(libsd_list(judge, libsd_str(NAME "/"), 0, &kvs, 0), 0);
    snprintf(key, sizeof key, "%.*s", (int)libsd_kvs_at(kvs, 0)->key.size,
             (const char *)libsd_kvs_at(kvs, 0)->key.data);
    libsd_kvs_free(kvs);
    add_base64(unlock, key);
    strcat(unlock, "\"}");
    cr_assert_eq(etcd_post(&etcd, "/v3/lock/unlock", unlock), 200);
    mutex = take(10);
    cr_assert_eq(libsd_unlock(mutex, 0), 0);
}
