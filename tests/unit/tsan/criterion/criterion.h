/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Stands in for <criterion/criterion.h> under ThreadSanitizer, which can't
 * live with the memory that Criterion maps at fixed addresses.  Has as much
 * of it as the tests with threads use: each Test() runs in a child of its
 * own, a failed assertion ends it, and one line per test says how it went.
 */
#ifndef ETCDSD_TSAN_CRITERION_H
#define ETCDSD_TSAN_CRITERION_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct tsan_test {
    const char *name;
    void (*run)(void);
    void (*init)(void);
    void (*fini)(void);
    double timeout;
    struct tsan_test *next;
};

static struct tsan_test *tsan_tests;

#define Test(suite, test, ...)                                                    \
    static void suite##_##test(void);                                             \
    static struct tsan_test suite##_##test##_entry = { .name = #suite "::" #test, \
                                                       .run = suite##_##test,     \
                                                       ##__VA_ARGS__ };           \
    __attribute__((constructor)) static void suite##_##test##_add(void)           \
    {                                                                             \
        suite##_##test##_entry.next = tsan_tests;                                 \
        tsan_tests = &suite##_##test##_entry;                                     \
    }                                                                             \
    static void suite##_##test(void)

/* The message of an assertion is optional; the condition always is printed. */
#define cr_assert(condition, ...)                                                   \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                               \
        }                                                                           \
    } while (0)
#define cr_expect                         cr_assert
#define cr_assert_not(c, ...)             cr_assert(!(c))
#define cr_assert_eq(a, b, ...)           cr_assert((a) == (b))
#define cr_assert_neq(a, b, ...)          cr_assert((a) != (b))
#define cr_assert_lt(a, b, ...)           cr_assert((a) < (b))
#define cr_assert_leq(a, b, ...)          cr_assert((a) <= (b))
#define cr_assert_gt(a, b, ...)           cr_assert((a) > (b))
#define cr_assert_geq(a, b, ...)          cr_assert((a) >= (b))
#define cr_assert_null(p, ...)            cr_assert((p) == NULL)
#define cr_assert_not_null(p, ...)        cr_assert((p) != NULL)
#define cr_assert_str_eq(a, b, ...)       cr_assert(strcmp((a), (b)) == 0)
#define cr_assert_arr_eq(a, b, size, ...) cr_assert(memcmp((a), (b), (size)) == 0)
#define cr_assert_fail(...)               cr_assert(!"reached")

int main(void)
{
    int failed = 0;

    for (const struct tsan_test *t = tsan_tests; t; t = t->next) {
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
            alarm(t->timeout > 0 ? (unsigned)t->timeout + 1 : 120);
            if (t->init)
                t->init();
            t->run();
            if (t->fini)
                t->fini();
            exit(0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            failed = 1;
        printf("%s - %s\n", status == 0 ? "ok" : "not ok", t->name);
        fflush(stdout);
    }
    return failed;
}

#endif
