/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Stands in for <criterion/criterion.h> under ThreadSanitizer, which can't
 * live with the memory that Criterion maps at fixed addresses.  Has as much
 * of it as the tests with threads use: each Test() runs in a child of its
 * own, a failed cr_assert ends it, and one line per test says how it went.
 */
#ifndef ETCDSD_TSAN_CRITERION_H
#define ETCDSD_TSAN_CRITERION_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A test, or a suite: then run is NULL. */
struct tsan_test {
    const char *suite, *name;
    void (*run)(void);
    void (*init)(void);
    void (*fini)(void);
    double timeout;
    bool disabled;
    struct tsan_test *next;
};

/* One of each in a program, however many of its files include this. */
__attribute__((weak)) struct tsan_test *tsan_tests;
__attribute__((weak)) bool tsan_failed;

#define TSAN_ADD(entry, ...)                                   \
    static struct tsan_test entry = { __VA_ARGS__ };           \
    __attribute__((constructor)) static void entry##_add(void) \
    {                                                          \
        entry.next = tsan_tests;                               \
        tsan_tests = &entry;                                   \
    }
#define TestSuite(s, ...) TSAN_ADD(s##_suite, .suite = #s, ##__VA_ARGS__)
#define Test(s, n, ...)                                                              \
    static void s##_##n(void);                                                       \
    TSAN_ADD(s##_##n##_test, .suite = #s, .name = #n, .run = s##_##n, ##__VA_ARGS__) \
    static void s##_##n(void)

static inline void tsan_check(bool holds, const char *file, int line, const char *text, bool ends)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
    tsan_failed = true;
    if (ends)
        _exit(1);
}

/* Messages of assertions are left out; the condition says enough. */
#define TSAN_EXPECT(c)                 tsan_check((c), __FILE__, __LINE__, #c, false)
#define TSAN_ASSERT(c)                 tsan_check((c), __FILE__, __LINE__, #c, true)
#define cr_skip_test(...)              return
#define cr_expect(c, ...)              TSAN_EXPECT(c)
#define cr_expect_not(c, ...)          TSAN_EXPECT(!(c))
#define cr_expect_eq(a, b, ...)        TSAN_EXPECT((a) == (b))
#define cr_expect_neq(a, b, ...)       TSAN_EXPECT((a) != (b))
#define cr_expect_lt(a, b, ...)        TSAN_EXPECT((a) < (b))
#define cr_expect_leq(a, b, ...)       TSAN_EXPECT((a) <= (b))
#define cr_expect_gt(a, b, ...)        TSAN_EXPECT((a) > (b))
#define cr_expect_geq(a, b, ...)       TSAN_EXPECT((a) >= (b))
#define cr_expect_null(p, ...)         TSAN_EXPECT((p) == NULL)
#define cr_expect_not_null(p, ...)     TSAN_EXPECT((p) != NULL)
#define cr_expect_str_eq(a, b, ...)    TSAN_EXPECT(strcmp((a), (b)) == 0)
#define cr_expect_str_neq(a, b, ...)   TSAN_EXPECT(strcmp((a), (b)) != 0)
#define cr_expect_arr_eq(a, b, n, ...) TSAN_EXPECT(memcmp((a), (b), (n)) == 0)
#define cr_assert(c, ...)              TSAN_ASSERT(c)
#define cr_assert_not(c, ...)          TSAN_ASSERT(!(c))
#define cr_assert_eq(a, b, ...)        TSAN_ASSERT((a) == (b))
#define cr_assert_neq(a, b, ...)       TSAN_ASSERT((a) != (b))
#define cr_assert_lt(a, b, ...)        TSAN_ASSERT((a) < (b))
#define cr_assert_leq(a, b, ...)       TSAN_ASSERT((a) <= (b))
#define cr_assert_gt(a, b, ...)        TSAN_ASSERT((a) > (b))
#define cr_assert_geq(a, b, ...)       TSAN_ASSERT((a) >= (b))
#define cr_assert_null(p, ...)         TSAN_ASSERT((p) == NULL)
#define cr_assert_not_null(p, ...)     TSAN_ASSERT((p) != NULL)
#define cr_assert_str_eq(a, b, ...)    TSAN_ASSERT(strcmp((a), (b)) == 0)
#define cr_assert_str_neq(a, b, ...)   TSAN_ASSERT(strcmp((a), (b)) != 0)
#define cr_assert_arr_eq(a, b, n, ...) TSAN_ASSERT(memcmp((a), (b), (n)) == 0)

static void tsan_run(const struct tsan_test *test)
{
    const struct tsan_test *suite = tsan_tests;

    while (suite && (suite->run || strcmp(suite->suite, test->suite) != 0))
        suite = suite->next;
    alarm(test->timeout > 0 ? (unsigned)test->timeout + 1 : 120);
    if (suite && suite->init)
        suite->init();
    if (test->init)
        test->init();
    test->run();
    if (test->fini)
        test->fini();
    if (suite && suite->fini)
        suite->fini();
    exit(tsan_failed);
}

__attribute__((weak)) int main(void)
{
    int failed = 0;

    for (const struct tsan_test *t = tsan_tests; t; t = t->next) {
        int status = -1;
        pid_t pid;

        if (!t->run || t->disabled)
            continue;
        pid = fork();
        if (pid == 0)
            tsan_run(t);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            failed = 1;
        printf("%s - %s::%s\n", status == 0 ? "ok" : "not ok", t->suite, t->name);
        fflush(stdout);
    }
    return failed;
}

#endif
