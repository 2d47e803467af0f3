/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Readers against a writer at full speed: every answer must be one that was
 * true, whole, and never a miss of a service that is always there.
 *
 * READS (a number, or a number of millions with an M behind it) says how many
 * lookups are checked in all; the default keeps `make check` short.
 *
 * The writer's sources are compiled in, so that readers may use the writer's
 * own mapping: ThreadSanitizer sees only what happens at one address.
 */
#include "../../libsd/table/writer.c"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "reverse.h"
#include "source.h"
#include "table_help.h"

enum {
    SERVICES = 9,
    READERS = 8,
    PROCESSES = 4,
    ROUNDS = 251
};

static struct table_fixture f;

static _Atomic long reads_left;
static _Atomic long again;

static long reads_wanted(void)
{
    const char *text = getenv("READS");
    char *end;
    long reads;

    if (text == NULL)
        return 400000;
    reads = strtol(text, &end, 10);
    return *end == 'M' ? reads * 1000000 : reads;
}

/* Round r of service s: 1 + r % 5 instances at 10.s.r.1 and up, and always one
 * at 10.s.255.1, which no other service has. */
static void put_round(int s, int r, bool padded)
{
    struct table_instance instances[48];
    struct table_service service = { .instances = instances };
    char name[24], labels[48][4];

    memset(instances, 0, sizeof instances);
    service.count = 2 + (uint32_t)r % 5 + (padded ? (uint32_t)r % 40 : 0);
    service.name = name;
    service.name_length = (size_t)snprintf(name, sizeof name, "s%d.service.etcd", s);
    for (uint32_t i = 0; i < service.count; i++) {
        uint8_t address[4] = { 10, (uint8_t)s, i ? (uint8_t)r : 255, (uint8_t)(i ? i : 1) };

        memcpy(instances[i].address, address, sizeof address);
        instances[i].family = 4;
        instances[i].port = (uint16_t)(1000 + r);
        instances[i].label = labels[i];
        instances[i].label_length = (uint8_t)snprintf(labels[i], sizeof labels[i], "i%u", i);
    }
    cr_assert_geq(table_writer_put(f.writer, &service), 0);
}

/* Whether the copied addresses are those of one round of the service. */
static bool is_one_round(int s, const uint8_t (*addresses)[4], uint32_t count, bool padded)
{
    uint8_t r = addresses[0][2];

    if (count != 2u + r % 5 + (padded ? r % 40 : 0))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (addresses[i][0] != 10 || addresses[i][1] != s ||
            (i + 1 < count ? addresses[i][2] != r || addresses[i][3] != i + 1
                           : addresses[i][2] != 255 || addresses[i][3] != 1))
            return false;
    return true;
}

/* One lookup of service s.  A message, or NULL if all is right. */
static const char *check_service(const struct table_view *view, int s, bool padded)
{
    struct table_owner owner;
    uint8_t addresses[64][4];
    char name[24];
    int length = snprintf(name, sizeof name, "s%d.service.etcd", s);
    enum table_result rc = table_find_owner(view, name, length, &owner);

    if (rc == TABLE_MISS && table_view_holds(view))
        return "a service that is always there was missed";
    if (rc != TABLE_FOUND) {
        again++;
        return NULL;
    }
    for (uint32_t i = 0; i < owner.count && i < 64; i++) {
        uint32_t v4 = table_record_v4(&owner.record, i);
        memcpy(addresses[i], &v4, sizeof v4);
    }
    if (!table_record_is_whole(&owner.record)) {
        again++;
        return NULL;
    }
    return is_one_round(s, (const uint8_t(*)[4])addresses, owner.count, padded)
               ? NULL
               : "an answer mixes two rounds";
}

/* The address that stays must always lead to its service. */
static const char *check_address(const struct table_view *view, int s)
{
    uint8_t address[4] = { 10, (uint8_t)s, 255, 1 };
    struct table_owner owner;
    char name[2 * TABLE_MAX_NAME + 2], expected[32];
    enum table_result rc = table_find_address(view, 4, address, &owner);

    if (rc == TABLE_MISS && table_view_holds(view))
        return "an address that is always there was missed";
    if (rc != TABLE_FOUND)
        return NULL;
    table_owner_name(&owner, name);
    snprintf(expected, sizeof expected, "i0.s%d.service.etcd", s);
    return table_record_is_whole(&owner.record) && strcmp(name, expected) != 0
               ? "an address leads to the wrong service"
               : NULL;
}

static const char *check_once(const struct table_view *view, long n, bool padded)
{
    int s = (int)(n % SERVICES);
    const char *wrong = check_service(view, s, padded);

    return wrong == NULL && n % 4 == 0 ? check_address(view, s) : wrong;
}

/* Services that come and go in the same slots, beside those that stay. */
static void come_and_go(int round)
{
    char name[24];
    size_t length = (size_t)snprintf(name, sizeof name, "t%d.service.etcd", round % 7);

    if (round % 2)
        table_writer_remove(f.writer, name, length);
    else
        table_put(&f, name, "i0=10.99.0.1:1 i1=10.99.0.2:1");
}

/* ---- threads of one process, one mapping ------------------------------- */

static void *read_in_thread(void *arg)
{
    struct table_view view;
    const char *wrong = NULL;
    long n = (long)(intptr_t)arg;

    if (!table_view_init(&view, (const void *)(uintptr_t)f.writer->store.file.words,
                         f.writer->store.file.bytes))
        return (void *)(uintptr_t) "the writer's mapping is no table";
    while (wrong == NULL && atomic_fetch_sub(&reads_left, 1) > 0)
        wrong = check_once(&view, n++, false);
    return (void *)(uintptr_t)wrong;
}

Test(race, readers_in_threads_never_see_a_mix_or_a_miss)
{
    pthread_t readers[READERS];
    uint64_t files;
    long rounds = 0;

    table_begin(&f);
    for (int s = 0; s < SERVICES; s++)
        put_round(s, 0, false);
    for (int i = 0; i < 7; i++)
        come_and_go(2 * i);
    table_writer_publish(f.writer);
    files = f.writer->files_made;
    reads_left = reads_wanted();
    for (intptr_t i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_in_thread, (void *)i);
    for (; atomic_load(&reads_left) > 0; rounds++) {
        put_round((int)(rounds % SERVICES), (int)(rounds / SERVICES % ROUNDS), false);
        come_and_go((int)(rounds % 1000));
    }
    for (int i = 0; i < READERS; i++) {
        void *wrong = NULL;

        pthread_join(readers[i], &wrong);
        cr_expect_null(wrong, "%s", (char *)wrong);
    }
    cr_expect_eq(f.writer->files_made, files, "the readers' mapping was replaced");
    cr_expect_gt(rounds, 100);
    fprintf(stderr, "%ld changes, %ld times again\n", rounds, (long)again);
    table_end(&f);
}

/* ---- processes, through growth, compaction and restarts ---------------- */

static int read_in_process(int number)
{
    static struct table_source source;
    long left = reads_wanted() / PROCESSES;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    source.path = f.path;
    for (long n = number; left > 0; n++, left--) {
        struct table_view view;
        const char *wrong = "there is no table";

        if (table_source_view(&source, &view))
            wrong = check_once(&view, n, true);
        if (wrong != NULL) {
            fprintf(stderr, "reader %d: %s\n", number, wrong);
            return 1;
        }
    }
    return 0;
}

/* Grows the table, so that a new file is made, and empties it again. */
static void swell(long round)
{
    char name[24];

    snprintf(name, sizeof name, "f%ld.service.etcd", round % 3000);
    if (round / 3000 % 2 == 0)
        table_put(&f, name, "a=10.77.0.1:7 b=10.77.0.2:7 c=10.77.0.3:7");
    else
        table_writer_remove(f.writer, name, strlen(name));
}

Test(race, readers_in_processes_follow_from_file_to_file)
{
    pid_t readers[PROCESSES];
    int running = PROCESSES, status;
    long round = 0;

    table_begin(&f);
    for (int s = 0; s < SERVICES; s++)
        put_round(s, 0, true);
    table_writer_publish(f.writer);
    for (int i = 0; i < PROCESSES; i++) {
        readers[i] = fork();
        if (readers[i] == 0) {
            close(f.writer->lock); /* a lock lives as long as any copy of it */
            _exit(read_in_process(i));
        }
    }
    for (; running > 0; round++) {
        put_round((int)(round % SERVICES), (int)(round / SERVICES % ROUNDS), true);
        swell(round);
        if (round % 500 == 0)
            table_writer_heartbeat(f.writer);
        if (round % 20000 == 19999) { /* a new writer takes the file over */
            table_writer_close(f.writer);
            table_reopen(&f, NULL, 0);
        }
        for (int i = 0; round % 100 == 0 && i < PROCESSES; i++)
            if (readers[i] > 0 && waitpid(readers[i], &status, WNOHANG) == readers[i]) {
                cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "reader %d: %x", i,
                          status);
                readers[i] = 0;
                running--;
            }
    }
    fprintf(stderr, "%ld changes, %lu files\n", round, (unsigned long)f.writer->files_made);
    table_end(&f);
}
