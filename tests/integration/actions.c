/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What programs see through glibc: each answer of ours under each line of
 * nsswitch.conf, by getaddrinfo and gethostbyname, as glibc's own
 * nss/tst-nss-gai-actions.c does it; and whether the next module was asked.
 *
 *   actions write       makes the table $ETCDSD_TABLE
 *   actions matrix      asks
 *
 * actions.sh runs it, with the modules in LD_LIBRARY_PATH.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "writer.h"

/* glibc's (not in its headers): a line of nsswitch.conf for this process. */
extern int __nss_configure_lookup(const char *database, const char *line);

/* What our module says; the table of the statuses is in nss/module/answer.h. */
enum outcome {
    FOUND,
    NO_NAME,
    NO_FAMILY,
    AGAIN,
    FOREIGN
};

/* What callers see if nobody else is asked. */
static const struct {
    int gai, h_error;
} seen[] = {
    [FOUND] = { 0, NETDB_SUCCESS },          [NO_NAME] = { EAI_NONAME, HOST_NOT_FOUND },
    [NO_FAMILY] = { EAI_NODATA, NO_DATA },   [AGAIN] = { EAI_AGAIN, TRY_AGAIN },
    [FOREIGN] = { EAI_NONAME, NO_RECOVERY },
};

/* Lines of nsswitch.conf, and after which outcomes they go on. */
static const struct {
    const char *text;
    bool has_next, goes_on[5];
} lines[] = {
    { "etcdsd", false, { false, true, true, true, true } },
    { "etcdsd asked", true, { false, true, true, true, true } },
    { "etcdsd [!UNAVAIL=return] asked", true, { false, false, false, false, true } },
    { "etcdsd [NOTFOUND=return] asked", true, { false, false, false, true, true } },
    { "etcdsd [NOTFOUND=return TRYAGAIN=return] asked", true, { 0, 0, 0, 0, true } },
    { "files etcdsd [!UNAVAIL=return] asked", true, { false, false, false, false, true } },
};

/* Names, and the outcome without family, for IPv4, for IPv6. */
struct question {
    const char *name, *canonical;
    enum outcome any, v4, v6;
};
static const struct question with_table[] = {
    { "both.service.etcd", "both.service.etcd", FOUND, FOUND, FOUND },
    { "BOTH.Service.Etcd.", "both.service.etcd", FOUND, FOUND, FOUND },
    { "four.service.etcd", "four.service.etcd", FOUND, FOUND, NO_FAMILY },
    { "six.service.etcd", "six.service.etcd", FOUND, NO_FAMILY, FOUND },
    { "a.both.service.etcd", "a.both.service.etcd", FOUND, FOUND, NO_FAMILY },
    { "nosuch.service.etcd", "", NO_NAME, NO_NAME, NO_NAME },
    { "nosuch.both.service.etcd", "", NO_NAME, NO_NAME, NO_NAME },
    { "www.example.com", "", FOREIGN, FOREIGN, FOREIGN },
};
static const struct question without_table[] = {
    { "both.service.etcd", "", AGAIN, AGAIN, AGAIN },
    { "www.example.com", "", FOREIGN, FOREIGN, FOREIGN },
};

static int *asked;
static int failures, asking;

static void compare(const char *what, const char *name, int got, int wanted)
{
    asking++;
    if (got == wanted)
        return;
    failures++;
    printf("# %s %s: %d, not %d\n", what, name, got, wanted);
}

/* ---- getaddrinfo ------------------------------------------------------- */

/* What AI_ADDRCONFIG looks at (glibc sysdeps/unix/sysv/linux/check_pf.c). */
static void families_of_host(bool *v4, bool *v6)
{
    struct ifaddrs *list = NULL;

    *v4 = *v6 = false;
    if (getifaddrs(&list) != 0)
        return;
    for (struct ifaddrs *at = list; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr != NULL && at->ifa_addr->sa_family == AF_INET)
            *v4 |= ((struct sockaddr_in *)at->ifa_addr)->sin_addr.s_addr != htonl(INADDR_LOOPBACK);
        else if (at->ifa_addr != NULL && at->ifa_addr->sa_family == AF_INET6)
            *v6 |= !IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)at->ifa_addr)->sin6_addr);
    }
    freeifaddrs(list);
}

/* The family that is really asked for; -1: none. */
static int family_asked(int family, int flags)
{
    bool v4, v6;

    if (!(flags & AI_ADDRCONFIG))
        return family;
    families_of_host(&v4, &v6);
    if (family == AF_UNSPEC)
        return v4 == v6 ? family : v4 ? AF_INET : AF_INET6;
    return (family == AF_INET ? v4 : v6) ? family : -1;
}

static enum outcome outcome_for(const struct question *question, int family)
{
    return family == AF_UNSPEC ? question->any : family == AF_INET ? question->v4 : question->v6;
}

/* Whether all addresses are ours or all are the next module's. */
static bool is_from(const struct addrinfo *list, bool next)
{
    for (; list != NULL; list = list->ai_next) {
        char text[INET6_ADDRSTRLEN];

        getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
        if ((strcmp(text, "192.0.2.7") == 0 || strcmp(text, "2001:db8::7") == 0) != next)
            return false;
    }
    return true;
}

static void ask_gai(size_t line, const struct question *question, int family, int flags)
{
    struct addrinfo hints = { .ai_family = family, .ai_flags = flags, .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    int real = family_asked(family, flags), rc, before = *asked;
    enum outcome outcome = outcome_for(question, real < 0 ? family : real);
    bool next = real >= 0 && lines[line].has_next && lines[line].goes_on[outcome];
    int wanted = real < 0 ? EAI_NONAME : next ? 0 : seen[outcome].gai;
    char what[120];

    /* Where glibc goes through gethostbyname2_r, it takes the last module's
     * NO_RECOVERY for "no data". */
    if (outcome == FOREIGN && !next && real == AF_INET && !(flags & AI_CANONNAME))
        wanted = EAI_NODATA;
    snprintf(what, sizeof what, "%s: getaddrinfo %d %#x", lines[line].text, family, flags);
    rc = getaddrinfo(question->name, NULL, &hints, &list);
    compare(what, question->name, rc, wanted);
    compare("asked next", question->name, *asked > before, next);
    if (rc != 0)
        return;
    compare("addresses of", question->name, is_from(list, next), true);
    if (flags & AI_CANONNAME) {
        const char *canonical = next ? question->name : question->canonical;

        compare("canonical name of", question->name,
                list->ai_canonname != NULL && strcmp(list->ai_canonname, canonical) == 0, true);
    }
    freeaddrinfo(list);
}

/* ---- gethostbyname ----------------------------------------------------- */

/* family AF_UNSPEC: gethostbyname_r, which asks for IPv4. */
static void ask_hostbyname(size_t line, const struct question *question, int family)
{
    struct hostent host, *result = NULL;
    char buffer[2048], what[120];
    int h_error = -1, before = *asked;
    enum outcome outcome = outcome_for(question, family == AF_UNSPEC ? AF_INET : family);
    bool next = lines[line].has_next && lines[line].goes_on[outcome];

    snprintf(what, sizeof what, "%s: gethostbyname %d", lines[line].text, family);
    if (family == AF_UNSPEC)
        gethostbyname_r(question->name, &host, buffer, sizeof buffer, &result, &h_error);
    else
        gethostbyname2_r(question->name, family, &host, buffer, sizeof buffer, &result, &h_error);
    compare(what, question->name, h_error, next ? NETDB_SUCCESS : seen[outcome].h_error);
    compare("asked next", question->name, *asked - before, next);
    compare("result of", question->name, result != NULL, next || outcome == FOUND);
    if (result != NULL && !next)
        compare("name of", question->name, strcmp(host.h_name, question->canonical), 0);
}

/* ---- the matrix -------------------------------------------------------- */

static void ask(size_t line, const struct question *question)
{
    static const int families[] = { AF_UNSPEC, AF_INET, AF_INET6 };
    static const int flags[] = { 0, AI_CANONNAME, AI_ADDRCONFIG, AI_ADDRCONFIG | AI_CANONNAME };

    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
            ask_gai(line, question, families[f], flags[i]);
        ask_hostbyname(line, question, families[f]);
    }
}

static void ask_all(size_t line, const struct question *questions, size_t count, const char *where)
{
    pid_t child = fork(); /* a line of nsswitch.conf is for a whole process */
    int status = -1;

    if (child == 0) {
        void *next = dlopen("libnss_asked.so.2", RTLD_NOW);

        asked = next != NULL ? dlsym(next, "asked_count") : NULL;
        if (asked == NULL || __nss_configure_lookup("hosts", lines[line].text) != 0)
            _exit(1);
        for (size_t i = 0; i < count; i++)
            ask(line, &questions[i]);
        printf("%s - %s, hosts: %s: %d answers\n", failures ? "not ok" : "ok", where,
               lines[line].text, asking);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    if (status != 0)
        printf("not ok - hosts: %s: ended with %#x\n", lines[line].text, (unsigned)status);
    fflush(stdout);
}

static int matrix(void)
{
    for (size_t line = 0; line < sizeof lines / sizeof *lines; line++)
        ask_all(line, with_table, sizeof with_table / sizeof *with_table, "with a table");
    setenv("ETCDSD_TABLE", "/nonexistent/table.v1", 1);
    for (size_t line = 0; line < sizeof lines / sizeof *lines; line++)
        ask_all(line, without_table, sizeof without_table / sizeof *without_table, "without one");
    return 0;
}

/* ---- the table --------------------------------------------------------- */

static void put(struct table_writer *writer, const char *name, const char *v4, const char *v6)
{
    struct table_instance instances[2] = { 0 };
    struct table_service service = { .name = name,
                                     .name_length = strlen(name),
                                     .instances = instances };

    for (int i = 0; i < 2; i++) {
        struct table_instance *instance = &instances[service.count];
        const char *address = i ? v6 : v4;

        if (address == NULL)
            continue;
        *instance = (struct table_instance){
            .label = i ? "b" : "a", .label_length = 1, .family = i ? 6 : 4, .port = 9090
        };
        inet_pton(i ? AF_INET6 : AF_INET, address, instance->address);
        service.count++;
    }
    if (table_writer_put(writer, &service) != 1)
        exit(1);
}

static int write_table(void)
{
    static const char *const domains[] = { TABLE_DEFAULT_DOMAIN };
    struct table_writer_options options = { .path = getenv("ETCDSD_TABLE"),
                                            .domains = domains,
                                            .domain_count = 1 };
    struct table_writer *writer;
    char why[200];

    if (table_writer_open(&writer, &options, why, sizeof why) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    put(writer, "both.service.etcd", "10.1.0.1", "2001:db8:1::1");
    put(writer, "four.service.etcd", "10.1.0.2", NULL);
    put(writer, "six.service.etcd", NULL, "2001:db8:1::2");
    if (table_writer_publish(writer) != 0)
        return 1;
    table_writer_close(writer);
    return 0;
}

int main(int count, char **arguments)
{
    if (count == 2 && strcmp(arguments[1], "write") == 0)
        return write_table();
    if (count == 2 && strcmp(arguments[1], "matrix") == 0)
        return matrix();
    fprintf(stderr, "usage: %s write|matrix\n", arguments[0]);
    return 2;
}
