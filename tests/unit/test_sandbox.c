/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The module as it is shipped, in processes that are short of something: 16
 * KiB of stack, no system call at all, another root, more rights than their
 * user.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <netdb.h>
#include <nss.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack_help.h"
#include "table_help.h"

#define MODULE "libnss_etcdsd.so.2"

static struct table_fixture f;
static char build[PATH_MAX], module[PATH_MAX];

/* The entry points, with names short enough to use. */
#define ENTRY_POINTS(x)                                                                    \
    x(gethostbyname4_r) x(gethostbyname3_r) x(gethostbyname2_r) x(gethostbyname_r)         \
        x(gethostbyaddr2_r) x(gethostbyaddr_r) x(sethostent) x(gethostent_r) x(endhostent) \
            x(getservbyname_r) x(getservbyport_r) x(setservent) x(getservent_r) x(endservent)
#define DECLARE(name) static __typeof__(&_nss_etcdsd_##name) m_##name;
ENTRY_POINTS(DECLARE)

/* The test is build/KIND/tests/unit/test_sandbox. */
static void begin(void)
{
    char self[PATH_MAX] = "";
    void *handle;

    cr_assert_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    for (int i = 0; i < 4; i++)
        dirname(self);
    strcpy(build, self);
    cr_assert_lt(snprintf(module, sizeof module, "%s/%s", build, MODULE), PATH_MAX);
    handle = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    cr_assert_not_null(handle, "%s", dlerror());
#define LOAD(name)                                                        \
    m_##name = (__typeof__(m_##name))dlsym(handle, "_nss_etcdsd_" #name); \
    cr_assert_not_null(m_##name, "no " #name);
    ENTRY_POINTS(LOAD)

    table_begin(&f);
    chmod(f.directory, 0755);
    setenv("ETCDSD_TABLE", f.path, 1);
    table_put(&f, "user.service.etcd", "a=10.0.0.1:80 b=10.0.0.1:80");
    table_put(&f, "both.service.etcd", "a=10.0.0.2:81 b=[2001:db8::2]:81");
    cr_assert_eq(table_writer_publish(f.writer), 0);
}

static void end(void)
{
    table_end(&f);
}

TestSuite(sandbox, .init = begin, .fini = end, .timeout = 3600); /* tests/run has a shorter one */

static int ask(const char *name)
{
    return ask_through(m_gethostbyname2_r, name);
}

/* Calls whatever a lookup may need, and an enumeration if `walk`: that maps
 * the file for itself.  Returns how many calls were not as they should be. */
static int call_all(bool walk)
{
    static const unsigned char address[4] = { 10, 0, 0, 1 }, foreign[4] = { 8, 8, 8, 8 };
    struct gaih_addrtuple *pat = NULL;
    struct hostent host;
    struct servent service;
    char buffer[512], *canonical;
    int error, h_error, wrong = 0;
    int32_t ttl;

    wrong += m_gethostbyname4_r("both.service.etcd", &pat, buffer, sizeof buffer, &error, &h_error,
                                &ttl) != NSS_STATUS_SUCCESS;
    wrong += m_gethostbyname3_r("both.service.etcd", AF_INET6, &host, buffer, sizeof buffer, &error,
                                &h_error, &ttl, &canonical) != NSS_STATUS_SUCCESS;
    wrong += m_gethostbyname_r("b.user.service.etcd", &host, buffer, sizeof buffer, &error,
                               &h_error) != NSS_STATUS_SUCCESS;
    wrong += ask("user.service.etcd") != 1;
    wrong += ask("nosuch.service.etcd") != ASK_UNKNOWN;
    wrong += ask("nosuch.user.service.etcd") != ASK_UNKNOWN;
    wrong += ask("www.example.com") != ASK_FOREIGN;
    wrong += m_gethostbyaddr2_r(address, 4, AF_INET, &host, buffer, sizeof buffer, &error, &h_error,
                                &ttl) != NSS_STATUS_SUCCESS;
    wrong += m_gethostbyaddr_r(foreign, 4, AF_INET, &host, buffer, sizeof buffer, &error,
                               &h_error) != NSS_STATUS_UNAVAIL;
    wrong += m_getservbyname_r("user", "tcp", &service, buffer, sizeof buffer, &error) !=
             NSS_STATUS_SUCCESS;
    wrong += m_getservbyport_r(htons(81), NULL, &service, buffer, sizeof buffer, &error) !=
             NSS_STATUS_SUCCESS;
    if (walk) {
        m_sethostent(0);
        wrong +=
            m_gethostent_r(&host, buffer, sizeof buffer, &error, &h_error) != NSS_STATUS_SUCCESS;
        m_endhostent();
        m_setservent(0);
        wrong += m_getservent_r(&service, buffer, sizeof buffer, &error) != NSS_STATUS_SUCCESS;
        m_endservent();
    }
    return wrong;
}

/* ---- stacks ------------------------------------------------------------ */

static void *call_in_thread(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)call_all(true);
}

/* Cold and warm; an overflow hits the guard page. */
Test(sandbox, threads_of_16_kib_of_stack)
{
    pthread_attr_t attributes;

    if (UNDER_ASAN)
        skip(end(), "small stacks: AddressSanitizer needs more");
    pthread_attr_init(&attributes);
    cr_assert_eq(pthread_attr_setstacksize(&attributes, 16384), 0);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *wrong;

        cr_assert_eq(pthread_create(&thread, &attributes, call_in_thread, NULL), 0);
        pthread_join(thread, &wrong);
        cr_expect_eq((intptr_t)wrong, 0);
    }
}

/* ---- system calls ------------------------------------------------------ */

/* From now on, whatever is not exit_group ends as `action` says. */
static int filter_set(uint32_t action)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, action),
    };
    const struct sock_fprog program = { sizeof code / sizeof *code, code };

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
               ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)
               : -1;
}

static int lookups_without_system_calls(void)
{
    int wrong = call_all(false);

    check(wrong == 0);
    check(filter_set(SECCOMP_RET_KILL_PROCESS) == 0);
    for (int i = 0; i < 20000; i++)
        wrong += call_all(false);
    syscall(SYS_exit_group, wrong != 0);
    return 1;
}

static int one_system_call(void)
{
    check(filter_set(SECCOMP_RET_KILL_PROCESS) == 0);
    syscall(SYS_getppid);
    return 0;
}

static bool has_seccomp(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}

Test(sandbox, no_system_call_after_warm_up)
{
    int status;

    if (!has_seccomp())
        skip(end(), "no seccomp: %s", strerror(errno));
    status = child_status(one_system_call);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "the filter does not kill: %x",
              status);
    status = child_status(lookups_without_system_calls);
    cr_expect_eq(status, 0, "%s",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a wrong answer");
}

static int no_file_may_be_opened(void)
{
    check(filter_set(SECCOMP_RET_ERRNO | EPERM) == 0);
    for (int i = 0; i < 1000; i++)
        if (ask("user.service.etcd") != ASK_AGAIN || ask("www.example.com") != ASK_FOREIGN)
            syscall(SYS_exit_group, 1);
    syscall(SYS_exit_group, 0);
    return 1;
}

Test(sandbox, every_system_call_refused_from_the_first_lookup_on)
{
    if (!has_seccomp())
        skip(end(), "no seccomp: %s", strerror(errno));
    cr_expect_eq(child_status(no_file_may_be_opened), 0);
}

/* getaddrinfo() stands a refusal of its own system calls. */
static int getaddrinfo_refused(void)
{
    const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;

    check(__nss_configure_lookup("hosts", "etcdsd") == 0);
    check(getaddrinfo("user.service.etcd", NULL, &hints, &list) == 0);
    check(filter_set(SECCOMP_RET_ERRNO | EPERM) == 0);
    for (int i = 0; i < 100; i++)
        if (getaddrinfo("user.service.etcd", NULL, &hints, &list) != 0)
            syscall(SYS_exit_group, 1);
    syscall(SYS_exit_group, 0);
    return 1;
}

Test(sandbox, getaddrinfo_works_when_every_system_call_is_refused)
{
    if (!has_seccomp())
        skip(end(), "no seccomp: %s", strerror(errno));
    cr_expect_eq(child_status(getaddrinfo_refused), 0);
}

/* ---- memory ------------------------------------------------------------ */

#if !UNDER_ASAN
#    define INTERPOSE __attribute__((visibility("default")))

static _Atomic long allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

INTERPOSE void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

INTERPOSE void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

INTERPOSE void *realloc(void *old, size_t size)
{
    allocations++;
    return __libc_realloc(old, size);
}

INTERPOSE void *memalign(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

Test(sandbox, nothing_is_allocated_not_even_by_the_first_lookup)
{
    long before = allocations;
    int wrong = 0;

    free(strdup(f.path));
    cr_assert_gt(allocations, before, "allocations are not counted");
    before = allocations;
    for (int i = 0; i < 1000; i++)
        wrong += call_all(true);
    cr_expect_eq(allocations, before, "%ld allocations", allocations - before);
    cr_expect_eq(wrong, 0);
}
#endif

/* ---- loading ----------------------------------------------------------- */

enum {
    LOADERS = 4,
    LOADS = 4000
};

static void *load_and_unload(void *arg)
{
    intptr_t wrong = 0;

    (void)arg;
    for (int i = 0; i < often(LOADS); i++) {
        void *handle = dlopen(module, i % 2 ? RTLD_NOW : RTLD_LAZY);
        ask_function *function =
            handle != NULL ? (ask_function *)dlsym(handle, "_nss_etcdsd_gethostbyname2_r") : NULL;

        wrong += function == NULL || ask_through(function, "user.service.etcd") != 1;
        if (handle != NULL)
            dlclose(handle);
        wrong += ask("nosuch.service.etcd") != ASK_UNKNOWN; /* by a pointer from before */
    }
    return (void *)wrong;
}

Test(sandbox, loaded_and_unloaded_while_threads_look_up)
{
    pthread_t threads[LOADERS];
    void *own = dlopen(module, RTLD_NOW | RTLD_NOLOAD);

    /* Nothing but these threads holds it. */
    cr_assert_not_null(own);
    dlclose(own);
    dlclose(own);
    for (int i = 0; i < LOADERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, load_and_unload, NULL), 0);
    for (int i = 0; i < LOADERS; i++) {
        void *wrong;

        pthread_join(threads[i], &wrong);
        cr_expect_eq((intptr_t)wrong, 0);
    }
}

/* ---- roots and rights -------------------------------------------------- */

static int another_root(void)
{
    char empty[128];

    snprintf(empty, sizeof empty, "%s/root", f.directory);
    check(ask("user.service.etcd") == 1);
    check(mkdir(empty, 0755) == 0);
    check(chroot(empty) == 0 && chdir("/") == 0);
    check(table_put(&f, "user.service.etcd", "c=10.0.0.3:80") == 1);
    check(ask("user.service.etcd") == 3); /* by the mapping it has */
    check(table_put(&f, "user.service.etcd", "a=10.0.0.1:80 b=10.0.0.1:80") == 1);
    check(call_all(false) == 0);
    check(access(f.path, F_OK) != 0);
    syscall(SYS_exit_group, 0); /* with --coverage, _exit(2) writes files: into that root */
    return 1;
}

Test(sandbox, chroot_after_warm_up)
{
    char empty[128];

    if (geteuid() != 0)
        skip(end(), "chroot: only root may");
    cr_expect_eq(child_status(another_root), 0);
    snprintf(empty, sizeof empty, "%s/root", f.directory);
    cr_expect_eq(rmdir(empty), 0);
}

static void copy(const char *from, const char *to, mode_t mode)
{
    static char bytes[1 << 16];
    FILE *in = fopen(from, "re"), *out = fopen(to, "wxe");
    size_t size;

    cr_assert(in != NULL && out != NULL, "%s, %s", from, to);
    while ((size = fread(bytes, 1, sizeof bytes, in)) > 0)
        cr_assert_eq(fwrite(bytes, 1, size, out), size);
    fclose(in);
    cr_assert_eq(fclose(out), 0);
    cr_assert_eq(chmod(to, mode), 0);
}

static char program[PATH_MAX], library[PATH_MAX];

/* As another user: the program's own exit status is 0 if the name was found. */
static int run_program(void)
{
    check(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0);
    check(setresuid(65534, 65534, 65534) == 0);
    execl(program, program, library, "user.service.etcd", NULL);
    return 2;
}

/* The table is the caller's own choice, so a program with more rights than
 * its caller must not take it. */
Test(sandbox, a_setuid_program_reads_no_table_that_its_caller_names)
{
    char directory[] = "/tmp/etcdsd-setuid.XXXXXX", ask_program[PATH_MAX];
    struct statvfs filesystem;
    int ordinary, setuid;

    if (geteuid() != 0)
        skip(end(), "setuid: only root can make such a program");
    cr_assert_not_null(mkdtemp(directory));
    statvfs(directory, &filesystem);
    if (filesystem.f_flag & (ST_NOSUID | ST_NOEXEC)) {
        rmdir(directory);
        skip(end(), "setuid: /tmp is mounted nosuid or noexec");
    }
    chmod(directory, 0755);
    snprintf(program, sizeof program, "%s/ask", directory);
    snprintf(library, sizeof library, "%s/%s", directory, MODULE);
    cr_assert_lt(snprintf(ask_program, sizeof ask_program, "%.4000s/obj/tests/helpers/ask", build),
                 PATH_MAX);
    copy(ask_program, program, 0755);
    copy(module, library, 0755);
    ordinary = child_status(run_program);
    chmod(program, 04755);
    setuid = child_status(run_program);
    remove(program);
    remove(library);
    rmdir(directory);
    cr_expect_eq(ordinary, 0, "an ordinary program must find it: %x", ordinary);
    cr_expect(WIFEXITED(setuid) && WEXITSTATUS(setuid) == 1, "setuid: %x", setuid);
}
