/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What lookups and the writer cost.  Prints a table in Markdown.
 *
 *     bench DIRECTORY     where libnss_etcdsd.so.2 and libnss_null.so.2 are
 *
 * Through glibc, the hosts line is set by __nss_configure_lookup(), which saves
 * the stat of nsswitch.conf: the floor is lower than in a program that does not.
 *
 * Every row is measured in rounds, the rows of one round one after the other,
 * each in a new process, so that a slow moment of the machine meets all of
 * them; a ratio is taken within a round.  Medians are printed, and the range.
 * ROUNDS (9) and SECONDS (0.1, for one measurement) are read from the
 * environment.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gnu/libc-version.h>

#include "fill.h"
#include "lookups.h"

enum {
    MAX_ROUNDS = 99,
    CHANGING = 1
};

struct row {
    const char *text;
    const char *goal;
    struct measurement m;
    int base; /* row that the ratio is to; -1: none */
    int writer;
    double values[MAX_ROUNDS];
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
    ROW("system calls of a warm getaddrinfo, null module", "", NULL_MODULE, SYSCALLS, HOT, 100000,
        1, -1, 0),
    ROW("system calls of a warm getaddrinfo", "the same", ETCDSD, SYSCALLS, HOT, 100000, 1, 28, 0),
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
        execl(self, self, "--row", which, (char *)NULL);
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

/* ---- summary ----------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *values)
{
    qsort(values, (size_t)rounds, sizeof *values, compare);
    return values[rounds / 2];
}

static void print_row(const struct row *row)
{
    double values[MAX_ROUNDS], ratios[MAX_ROUNDS], middle;

    memcpy(values, row->values, sizeof values);
    middle = median(values);
    printf("| %s | %.1f [%.1f-%.1f] | ", row->text, middle, values[0], values[rounds - 1]);
    if (row->base >= 0) {
        for (int i = 0; i < rounds; i++)
            ratios[i] = row->values[i] / rows[row->base].values[i];
        middle = median(ratios);
        printf("%.2f [%.2f-%.2f]", middle, ratios[0], ratios[rounds - 1]);
    }
    printf(" | %s |\n", row->goal);
}

static void print_machine(void)
{
    struct utsname host;
    char line[256], model[200] = "unknown processor";
    FILE *file = fopen("/proc/cpuinfo", "r");

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "model name : %199[^\n]", model) == 1)
            break;
    if (file != NULL)
        fclose(file);
    uname(&host);
    printf("%s, %ld CPUs, Linux %s, glibc %s; %d rounds of %.2f s\n\n", model,
           sysconf(_SC_NPROCESSORS_ONLN), host.release, gnu_get_libc_version(), rounds, seconds);
}

static void lookups(const char *self)
{
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < ROWS; i++) {
            rows[i].values[round] = run_row(self, i);
            if (isatty(2))
                fprintf(stderr, "\rround %d of %d, row %d of %d ", round + 1, rounds, i + 1, ROWS);
        }
    printf("| lookup | ns (system calls: count) | ratio | goal |\n|---|---|---|---|\n");
    for (int i = 0; i < ROWS; i++)
        print_row(&rows[i]);
}

static void writer_costs(void)
{
    static const unsigned sizes[] = { 1000, 10000, 100000, 1000000 };

    printf("\n| table of services with one instance | first fill, ns per service "
           "| change, ns | restart, ms | bytes per instance |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct fill_costs costs;
        char path[96];

        snprintf(path, sizeof path, "%s/writer.v1", directory);
        fill_measure(path, sizes[i], &costs);
        end_if(0);
        printf("| %u | %.0f | %.0f | %.1f | %.1f |\n", sizes[i], costs.fill_ns, costs.change_ns,
               costs.adopt_ms, costs.bytes);
    }
}

int main(int argc, char **argv)
{
    static const unsigned tables[] = { 10, 1000, 100000, 1000000 };
    const char *text;
    char path[96];

    if ((text = getenv("SECONDS_EACH")) != NULL)
        seconds = strtod(text, NULL);
    if (argc == 3 && strcmp(argv[1], "--row") == 0) {
        struct measurement m = rows[atoi(argv[2])].m;

        m.seconds = seconds;
        printf("%.3f\n", measure(&m));
        return 0;
    }
    if (argc != 2)
        return 2;
    if ((text = getenv("ROUNDS")) != NULL)
        rounds = atoi(text) > 0 && atoi(text) < MAX_ROUNDS ? atoi(text) : rounds;
    setenv("LD_LIBRARY_PATH", argv[1], 1);
    snprintf(directory, sizeof directory, "/dev/shm/etcdsd-bench.XXXXXX");
    if (mkdtemp(directory) == NULL) {
        perror(directory);
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    print_machine();
    fflush(stdout);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        table_path(path, tables[i]);
        fill_table(path, tables[i]);
        end_if(0);
    }
    lookups(argv[0]);
    writer_costs();
    clean_up();
    return 0;
}
