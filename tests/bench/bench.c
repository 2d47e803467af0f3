/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What lookups and the writer cost.
 *
 *     bench lookups DIRECTORY     where libnss_etcdsd.so.2 and libnss_null*.so.2 are
 *     bench cell CALL NAMES SERVICES THREADS [NAME]
 *                                 one measurement of what nsswitch.conf says, in
 *                                 nanoseconds; CALL and NAMES as in the tables below
 *     bench keep TABLE SERVICES   fills a table and keeps it until a signal
 *
 * Through glibc, the hosts line is set by __nss_configure_lookup(), which saves
 * the stat of nsswitch.conf: the floor is lower than in a program that does not
 * (a cell's program does not).
 *
 * Every row is measured in rounds, the rows of one round one after the other,
 * each in a new process, so that a slow moment of the machine meets all of
 * them; summary.awk takes ratios within a round.  A measurement is one line:
 *
 *     part TAB row TAB unit TAB row the ratio is to TAB goal TAB round TAB value
 *
 * ROUNDS (9) and SECONDS_EACH (0.1, for one measurement) are read from the
 * environment.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fill.h"
#include "lookups.h"

enum {
    CHANGING = 1
};

struct row {
    const char *text;
    const char *goal;
    struct measurement m;
    int base; /* row that the ratio is to; -1: none */
    int writer;
};

#define ETCDSD      "etcdsd"
#define NULL_MODULE "null"

/* What, goal, module, how, names, services, threads, row that the ratio is to,
 * and whether a writer is at work. */
#define ROW(what, aim, lib, way, which, count, n, to, busy)                   \
    {                                                                         \
        .text = (what), .goal = (aim), .base = (to), .writer = (busy), .m = { \
            .module = (lib),                                                  \
            .how = (way),                                                     \
            .names = (which),                                                 \
            .services = (count),                                              \
            .threads = (n)                                                    \
        }                                                                     \
    }

static struct row rows[] = {
    ROW("getaddrinfo, null module", "", NULL_MODULE, THROUGH_GETADDRINFO, HOT, 100000, 1, -1, 0),
    ROW("getaddrinfo, hot", "1.02", ETCDSD, THROUGH_GETADDRINFO, HOT, 100000, 1, 0, 0),
    ROW("getaddrinfo, 100,000 at random", "1.10", ETCDSD, THROUGH_GETADDRINFO, RANDOM, 100000, 1, 0,
        0),
    ROW("gethostbyname_r, null module", "", NULL_MODULE, THROUGH_GETHOSTBYNAME, HOT, 100000, 1, -1,
        0),
    ROW("gethostbyname_r, hot", "1.02", ETCDSD, THROUGH_GETHOSTBYNAME, HOT, 100000, 1, 3, 0),
    ROW("gethostbyname_r, 100,000 at random", "1.10", ETCDSD, THROUGH_GETHOSTBYNAME, RANDOM, 100000,
        1, 3, 0),
    ROW("getaddrinfo without stats, null module", "", NULL_MODULE, NO_STATS, HOT, 100000, 1, -1, 0),
    ROW("getaddrinfo without stats, hot", "1.25", ETCDSD, NO_STATS, HOT, 100000, 1, 6, 0),
    ROW("direct 4_r, null module", "", NULL_MODULE, DIRECT_4, HOT, 100000, 1, -1, 0),
    ROW("direct 4_r, hot", "30 ns", ETCDSD, DIRECT_4, HOT, 100000, 1, 8, 0),
    ROW("direct 4_r, 100,000 at random", "250 ns", ETCDSD, DIRECT_4, RANDOM, 100000, 1, 8, 0),
    ROW("direct 2_r, null module", "", NULL_MODULE, DIRECT_2, HOT, 100000, 1, -1, 0),
    ROW("direct 2_r, hot", "30 ns", ETCDSD, DIRECT_2, HOT, 100000, 1, 11, 0),
    ROW("direct 2_r, 100,000 at random", "250 ns", ETCDSD, DIRECT_2, RANDOM, 100000, 1, 11, 0),
    ROW("direct 2_r, instance name", "", ETCDSD, DIRECT_2, INSTANCE, 100000, 1, 12, 0),
    ROW("direct 2_r, name that is not there", "a hit", ETCDSD, DIRECT_2, ABSENT, 100000, 1, 12, 0),
    ROW("direct 2_r, foreign name", "15 ns", ETCDSD, DIRECT_2, FOREIGN, 100000, 1, 12, 0),
    ROW("bare table, hot", "", ETCDSD, BARE, HOT, 100000, 1, 12, 0),
    ROW("bare table, 100,000 at random", "", ETCDSD, BARE, RANDOM, 100000, 1, 13, 0),
    ROW("direct 2_r, 10 at random", "", ETCDSD, DIRECT_2, RANDOM, 10, 1, -1, 0),
    ROW("direct 2_r, 1,000 at random", "", ETCDSD, DIRECT_2, RANDOM, 1000, 1, 19, 0),
    ROW("direct 2_r, 1,000,000 at random, to 100,000", "1.5", ETCDSD, DIRECT_2, RANDOM, 1000000, 1,
        13, 0),
    ROW("direct 2_r, hot, 2 threads, ns per lookup to 1 thread", "1/1.8", ETCDSD, DIRECT_2, HOT,
        100000, 2, 12, 0),
    ROW("direct 2_r, random, 2 threads, to 1 thread", "1/1.8", ETCDSD, DIRECT_2, RANDOM, 100000, 2,
        13, 0),
    ROW("direct 2_r, hot, while a writer changes all, to none", "1.2", ETCDSD, DIRECT_2, HOT,
        100000, 1, 12, CHANGING),
    ROW("direct 2_r, random, while a writer changes all, to none", "1.2", ETCDSD, DIRECT_2, RANDOM,
        100000, 1, 13, CHANGING),
    ROW("first lookup of a process, null module", "", NULL_MODULE, FIRST, HOT, 100000, 1, -1, 0),
    ROW("first lookup of a process", "1.15", ETCDSD, FIRST, HOT, 100000, 1, 26, 0),
    ROW("getaddrinfo, 3 addresses, null module", "", "null3", THROUGH_GETADDRINFO, THREE, 100000, 1,
        -1, 0),
    ROW("getaddrinfo, 3 addresses", "1.02", ETCDSD, THROUGH_GETADDRINFO, THREE, 100000, 1, 28, 0),
    ROW("getaddrinfo, 8 addresses, null module", "", "null8", THROUGH_GETADDRINFO, EIGHT, 100000, 1,
        -1, 0),
    ROW("getaddrinfo, 8 addresses", "1.02", ETCDSD, THROUGH_GETADDRINFO, EIGHT, 100000, 1, 30, 0),
    ROW("gethostbyname_r, 8 addresses, null module", "", "null8", THROUGH_GETHOSTBYNAME, EIGHT,
        100000, 1, -1, 0),
    ROW("gethostbyname_r, 8 addresses", "1.02", ETCDSD, THROUGH_GETHOSTBYNAME, EIGHT, 100000, 1, 32,
        0),
    ROW("direct 4_r, 8 addresses, null module", "", "null8", DIRECT_4, EIGHT, 100000, 1, -1, 0),
    ROW("direct 4_r, 8 addresses", "", ETCDSD, DIRECT_4, EIGHT, 100000, 1, 34, 0),
    ROW("system calls of a warm getaddrinfo, null module", "", NULL_MODULE, SYSCALLS, HOT, 100000,
        1, -1, 0),
    ROW("system calls of a warm getaddrinfo", "the same", ETCDSD, SYSCALLS, HOT, 100000, 1, 36, 0),
};

enum {
    ROWS = sizeof rows / sizeof *rows
};

static int rounds = 9;
static double seconds = 0.1;
static char directory[64];

static void table_path(char path[96], unsigned services)
{
    snprintf(path, 96, "%s/%u/table.v1", directory, services);
}

/* ---- ending ------------------------------------------------------------ */

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    stopped = number;
}

/* The tables take 300 MB of memory: they must not stay. */
static void clean_up(void)
{
    fill_end();
    rmdir(directory);
}

static void end_if(int failed)
{
    if (!failed && !stopped)
        return;
    clean_up();
    exit(stopped ? 128 + stopped : 1);
}

/* ---- one measurement --------------------------------------------------- */

static double run_row(const char *self, int number)
{
    const struct row *row = &rows[number];
    char path[96], which[16], text[64] = "";
    int out[2], status;
    pid_t child, writer = 0;

    table_path(path, row->m.services);
    if (row->writer == CHANGING)
        writer = fill_start_changing(path, row->m.services);
    snprintf(which, sizeof which, "%d", number);
    setenv("ETCDSD_TABLE", path, 1);
    if (pipe(out) != 0)
        exit(1);
    child = fork();
    if (child == 0) {
        dup2(out[1], 1);
        execl(self, self, "row", which, (char *)NULL);
        _exit(1);
    }
    close(out[1]);
    if (read(out[0], text, sizeof text - 1) <= 0)
        text[0] = '\0';
    close(out[0]);
    waitpid(child, &status, 0);
    if (writer > 0)
        fill_stop_changing(writer);
    if (status != 0 && !stopped)
        fprintf(stderr, "bench: \"%s\" failed\n", row->text);
    end_if(status != 0);
    return strtod(text, NULL);
}

/* ---- all of them ------------------------------------------------------- */

static void print_measurement(const struct row *row, int round, double value)
{
    const char *unit = row->m.how == SYSCALLS ? "calls" : "ns";

    printf("lookups\t%s\t%s\t%s\t%s\t%d\t%.3f\n", row->text, unit,
           row->base < 0 ? "" : rows[row->base].text, row->goal, round, value);
}

static void lookups(const char *self)
{
    for (int round = 1; round <= rounds; round++)
        for (int i = 0; i < ROWS; i++) {
            print_measurement(&rows[i], round, run_row(self, i));
            if (isatty(2))
                fprintf(stderr, "\rround %d of %d, row %d of %d ", round, rounds, i + 1, ROWS);
        }
}

static void print_cost(const char *what, const char *unit, unsigned services, const char *goal,
                       int round, double value)
{
    printf("writer\t%s, %u services\t%s\t%s\t%s\t%d\t%.3f\n", what, services, unit,
           strcmp(what, "change") == 0 ? "change, 1000 services" : "", goal, round, value);
}

static void writer_costs(void)
{
    static const unsigned sizes[] = { 1000, 10000, 100000, 1000000 };
    char path[96];

    snprintf(path, sizeof path, "%s/writer.v1", directory);
    for (int round = 1; round <= 3; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct fill_costs costs;

            fill_measure(path, sizes[i], &costs);
            end_if(0);
            print_cost("first fill, per service", "ns", sizes[i], "", round, costs.fill_ns);
            print_cost("change", "ns", sizes[i], "1.5", round, costs.change_ns);
            print_cost("table per instance", "bytes", sizes[i], "128", round, costs.bytes);
            print_cost("restart with the old table", "ms", sizes[i], "", round, costs.adopt_ms);
        }
}

static int measure_all(const char *self, const char *modules)
{
    static const unsigned tables[] = { 10, 1000, 100000, 1000000 };
    const char *text = getenv("ROUNDS");
    char path[96];

    if (text != NULL && atoi(text) > 0)
        rounds = atoi(text);
    setenv("LD_LIBRARY_PATH", modules, 1);
    snprintf(directory, sizeof directory, "/dev/shm/etcdsd-bench.XXXXXX");
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        table_path(path, tables[i]);
        fill_table(path, tables[i]);
        end_if(0);
    }
    lookups(self);
    writer_costs();
    clean_up();
    return 0;
}

/* ---- one cell ---------------------------------------------------------- */

static const char *const calls[] = { [THROUGH_GETADDRINFO] = "getaddrinfo",
                                     [THROUGH_GETHOSTBYNAME] = "gethostbyname_r",
                                     [NO_STATS] = "no-stats",
                                     [DIRECT_4] = "4_r",
                                     [DIRECT_2] = "2_r",
                                     [BARE] = "bare",
                                     [FIRST] = "first",
                                     [SYSCALLS] = "system-calls" };
static const char *const kinds[] = {
    [HOT] = "hot",         [RANDOM] = "random", [INSTANCE] = "instance", [ABSENT] = "absent",
    [FOREIGN] = "foreign", [THREE] = "three",   [EIGHT] = "eight"
};

static int find(const char *const *texts, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return (int)i;
    fprintf(stderr, "bench: unknown word \"%s\"\n", text);
    exit(2);
}

static int measure_cell(char **words, const char *name)
{
    struct measurement m = {
        .how = (enum how)find(calls, sizeof calls / sizeof *calls, words[0]),
        .names = (enum names)find(kinds, sizeof kinds / sizeof *kinds, words[1]),
        .services = (unsigned)strtoul(words[2], NULL, 10),
        .threads = (unsigned)strtoul(words[3], NULL, 10),
        .name = name,
        .seconds = seconds,
    };

    printf("%.3f\n", measure(&m));
    return 0;
}

int main(int argc, char **argv)
{
    const char *text = getenv("SECONDS_EACH"), *verb = argc > 2 ? argv[1] : "";

    if (text != NULL)
        seconds = strtod(text, NULL);
    if (argc == 3 && strcmp(verb, "lookups") == 0)
        return measure_all(argv[0], argv[2]);
    if (argc == 3 && strcmp(verb, "row") == 0) {
        struct measurement m = rows[atoi(argv[2])].m;

        m.seconds = seconds;
        printf("%.3f\n", measure(&m));
        return 0;
    }
    if ((argc == 6 || argc == 7) && strcmp(verb, "cell") == 0)
        return measure_cell(argv + 2, argv[6]);
    if (argc == 4 && strcmp(verb, "keep") == 0)
        fill_keep(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    return 2;
}
