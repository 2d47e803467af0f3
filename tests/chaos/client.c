/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A client of the chaos run: asks libc for names all the time and writes down
 * each answer with the times between which it was given.  It knows nothing of
 * what would be right; check.py does.
 *
 *     client LOG SEED PER_SECOND RENEW NAME...
 *
 * Names are asked in an order that SEED shuffles, each by one of libc's
 * functions in turn.  With RENEW, the program becomes a new one after so many
 * questions: such a process has nothing mapped.  Ends on SIGTERM.  A line:
 *
 *     begin us | microseconds it took | how | name | outcome | addresses
 *
 *   how      u, 4, 6   getaddrinfo() with AF_UNSPEC, AF_INET, AF_INET6
 *            h, g      gethostbyname(), gethostbyname2() with AF_INET6
 *   outcome  ok, none (no such name), nodata, again, or a number: another error
 *   times    CLOCK_MONOTONIC
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 64

struct answer {
    char text[ADDRESSES_MAX][INET6_ADDRSTRLEN];
    int count;
    int error; /* 0, or EAI_* */
};

static volatile sig_atomic_t is_over;

static void on_term(int signal_number)
{
    (void)signal_number;
    is_over = 1;
}

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static void pause_us(int64_t us)
{
    struct timespec time = { us / 1000000, us % 1000000 * 1000 };

    nanosleep(&time, NULL);
}

static void add(struct answer *answer, int family, const void *address)
{
    if (answer->count < ADDRESSES_MAX)
        inet_ntop(family, address, answer->text[answer->count++], INET6_ADDRSTRLEN);
}

static void ask_addresses(const char *name, int family, struct answer *answer)
{
    struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM }, *list = NULL;

    answer->error = getaddrinfo(name, NULL, &hints, &list);
    for (struct addrinfo *i = list; i; i = i->ai_next)
        if (i->ai_family == AF_INET)
            add(answer, AF_INET, &((struct sockaddr_in *)(void *)i->ai_addr)->sin_addr);
        else
            add(answer, AF_INET6, &((struct sockaddr_in6 *)(void *)i->ai_addr)->sin6_addr);
    if (list)
        freeaddrinfo(list);
}

static void take_host(const struct hostent *host, struct answer *answer)
{
    static const int errors[] = { [HOST_NOT_FOUND] = EAI_NONAME,
                                  [TRY_AGAIN] = EAI_AGAIN,
                                  [NO_RECOVERY] = EAI_FAIL,
                                  [NO_DATA] = EAI_NODATA };

    if (!host) {
        answer->error = h_errno > 0 && h_errno <= NO_DATA ? errors[h_errno] : EAI_SYSTEM;
        return;
    }
    for (char **i = host->h_addr_list; *i; i++)
        add(answer, host->h_addrtype, *i);
}

static void ask(char how, const char *name, struct answer *answer)
{
    answer->count = 0;
    answer->error = 0;
    if (how == 'h')
        take_host(gethostbyname(name), answer);
    else if (how == 'g')
        take_host(gethostbyname2(name, AF_INET6), answer);
    else
        ask_addresses(name, how == 'u' ? AF_UNSPEC : how == '4' ? AF_INET : AF_INET6, answer);
}

static int write_down(FILE *log, int64_t begin, char how, const char *name,
                      const struct answer *answer)
{
    fprintf(log, "%lld %lld %c %s ", (long long)begin, (long long)(now_us() - begin), how, name);
    if (answer->error == 0)
        fputs("ok ", log);
    else if (answer->error == EAI_NONAME)
        fputs("none ", log);
    else if (answer->error == EAI_NODATA)
        fputs("nodata ", log);
    else if (answer->error == EAI_AGAIN)
        fputs("again ", log);
    else
        fprintf(log, "%d ", answer->error);
    for (int i = 0; i < answer->count; i++)
        fprintf(log, "%s%s", i ? "," : "", answer->text[i]);
    return fputc('\n', log);
}

static void shuffle(char **names, int count)
{
    for (int i = count - 1; i > 0; i--) {
        int other = (int)(random() % (i + 1));
        char *name = names[i];

        names[i] = names[other];
        names[other] = name;
    }
}

int main(int argc, char **argv)
{
    static const char hows[] = "u4h6g";
    struct sigaction action = { .sa_handler = on_term };
    struct answer answer;
    long asked = 0, renew, per_second;
    char seed[24];
    FILE *log;

    if (argc < 6 || !(log = fopen(argv[1], "a"))) {
        fprintf(stderr, "usage: %s LOG SEED PER_SECOND RENEW NAME...\n", argv[0]);
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    srandom((unsigned)atol(argv[2]));
    per_second = atol(argv[3]);
    renew = atol(argv[4]);
    snprintf(seed, sizeof seed, "%ld", random()); /* of the next process */

    while (!is_over) {
        shuffle(argv + 5, argc - 5);
        for (int i = 5; i < argc && !is_over; i++) {
            char how = hows[random() % 5];
            int64_t begin = now_us();

            ask(how, argv[i], &answer);
            if (write_down(log, begin, how, argv[i], &answer) == EOF) {
                perror(argv[1]);
                return 1;
            }
            pause_us(1000000 / per_second);
            if (renew && ++asked == renew && !is_over) {
                fclose(log);
                argv[2] = seed;
                execv("/proc/self/exe", argv);
                return 1;
            }
        }
    }
    return fclose(log) == 0 ? 0 : 1;
}
