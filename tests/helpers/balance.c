/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * balance MODE N NAME FAMILY ADDRESS*WEIGHT...: who gets how much?
 *
 * Asks getaddrinfo() for NAME (FAMILY: 4, 6 or any) N times, counts which
 * address comes first, and says whether each got its share within a tenth.
 * MODE:  long     in one process
 *        workers  in 16 children of a process that has asked before
 *        forks    each in a child of a process that has asked before
 *        short    each in a new program
 * Ends with 0 if so, 1 if not, 2 if it could not ask.
 *
 * A short-lived process chooses at random: with shares of 1/2, 2,000 of them
 * and 10 % are 4.5 standard deviations.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <nss.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WORKERS = 16,
    AT_ONCE = 2, /* short-lived processes */
    MOST = 64,
    ENOUGH_S = 60
};

struct address {
    char text[INET6_ADDRSTRLEN];
    double weight;
    long count;
};

static struct address addresses[MOST];
static int known;
static char *name, *family_text;
static int family;

/* The first address of an answer; an empty text if there is none. */
static void ask(char text[INET6_ADDRSTRLEN])
{
    const struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(name, NULL, &hints, &list);

    memset(text, 0, INET6_ADDRSTRLEN);
    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", name, gai_strerror(rc));
        return;
    }
    getnameinfo(list->ai_addr, list->ai_addrlen, text, INET6_ADDRSTRLEN, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(list);
}

static void count(const char *text)
{
    int i = 0;

    while (i < known && strcmp(addresses[i].text, text) != 0)
        i++;
    if (i == known && known < MOST)
        snprintf(addresses[known++].text, INET6_ADDRSTRLEN, "%s", text);
    if (i < known)
        addresses[i].count++;
}

static void ask_and_count(void)
{
    char text[INET6_ADDRSTRLEN];

    ask(text);
    count(text);
}

/* ---- children ---------------------------------------------------------- */

/* They write what they got into the pipe; so little is written at once. */
static int answers[2];

static void child_ask(long times)
{
    char text[INET6_ADDRSTRLEN];

    for (long i = 0; i < times; i++) {
        ask(text);
        if (write(answers[1], text, sizeof text) != sizeof text)
            _exit(2);
    }
}

static void collect(void)
{
    char text[INET6_ADDRSTRLEN];

    if (read(answers[0], text, sizeof text) != sizeof text)
        exit(2);
    count(text);
}

static void fork_and_ask(long times)
{
    pid_t child = fork();

    if (child < 0)
        exit(2);
    if (child == 0) {
        child_ask(times);
        _exit(0);
    }
}

/* A new program writes to its standard output. */
static void spawn_and_ask(char **environment)
{
    static char program[] = "balance", once[] = "once", times[] = "1";
    char *arguments[] = { program, once, times, name, family_text, NULL };
    posix_spawn_file_actions_t actions;
    pid_t child;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, answers[1], STDOUT_FILENO);
    if (posix_spawn(&child, "/proc/self/exe", &actions, NULL, arguments, environment) != 0)
        exit(2);
    posix_spawn_file_actions_destroy(&actions);
}

static void wait_for_one(void)
{
    int status;

    if (wait(&status) < 0 || status != 0)
        exit(2);
}

/* ---- modes ------------------------------------------------------------- */

static bool run(const char *mode, long times)
{
    if (strcmp(mode, "long") == 0) {
        for (long i = 0; i < times; i++)
            ask_and_count();
    } else if (strcmp(mode, "workers") == 0) {
        char text[INET6_ADDRSTRLEN];

        ask(text);
        for (int i = 0; i < WORKERS; i++)
            fork_and_ask(times / WORKERS);
        for (long i = 0; i < times / WORKERS * WORKERS; i++)
            collect();
        for (int i = 0; i < WORKERS; i++)
            wait_for_one();
    } else if (strcmp(mode, "forks") == 0 || strcmp(mode, "short") == 0) {
        char text[INET6_ADDRSTRLEN];

        ask(text);
        for (long i = 0; i < times + AT_ONCE; i++) {
            if (i >= AT_ONCE) {
                wait_for_one();
                collect();
            }
            if (i < times && *mode == 'f')
                fork_and_ask(1);
            else if (i < times)
                spawn_and_ask(environ);
        }
    } else {
        return false;
    }
    return true;
}

static bool is_even(const char *mode)
{
    double weights = 0;
    long counts = 0;
    bool even = true;

    for (int i = 0; i < known; i++) {
        weights += addresses[i].weight;
        counts += addresses[i].count;
    }
    for (int i = 0; i < known; i++) {
        double share = (double)counts * addresses[i].weight / weights;
        double off = (double)addresses[i].count - share;

        if (off > share / 10 || off < -share / 10)
            even = false;
    }
    printf("# %s %s %s:", mode, name, family_text);
    for (int i = 0; i < known; i++)
        printf(" %s %ld", addresses[i].text[0] ? addresses[i].text : "(none)", addresses[i].count);
    printf("%s\n", even ? "" : "  UNEVEN");
    return even;
}

static void expect(const char *text)
{
    const char *star = strchr(text, '*');
    int length = star != NULL ? (int)(star - text) : (int)strlen(text);

    snprintf(addresses[known].text, INET6_ADDRSTRLEN, "%.*s", length, text);
    addresses[known++].weight = star != NULL ? atof(star + 1) : 1;
}

int main(int argc, char **argv)
{
    if (argc < 5 || __nss_configure_lookup("hosts", "etcdsd") != 0) {
        fprintf(stderr, "usage: balance MODE N NAME 4|6|any ADDRESS[*WEIGHT]...\n");
        return 2;
    }
    name = argv[3];
    family_text = argv[4];
    alarm(ENOUGH_S);
    family = *family_text == '4' ? AF_INET : *family_text == '6' ? AF_INET6 : AF_UNSPEC;
    if (strcmp(argv[1], "once") == 0) {
        answers[1] = STDOUT_FILENO;
        child_ask(1);
        return 0;
    }
    for (int i = 5; i < argc && known < MOST / 2; i++)
        expect(argv[i]);
    if (pipe(answers) != 0 || !run(argv[1], strtol(argv[2], NULL, 10)))
        return 2;
    return !is_even(argv[1]);
}
