/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory that is not there: the n-th allocation of libsd fails, or of libcurl
 * on its behalf, once; n goes through all that a life of a handle makes.
 *
 * A call may then return LIBSD_ENOMEM, and works when it is made again; what
 * goes on in the background is made up for.  In the end everything is as if
 * nothing had failed: the key is there, events were told, nothing leaks.
 *
 * The linker turns calls of malloc() and the like in libsd's objects into those
 * of __wrap_malloc(): see the Makefile.
 */
#include <criterion/criterion.h>
/* The checks of types are macros in front of the functions. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "etcd.h"

/* ---- failing ------------------------------------------------------------ */

static atomic_long left;            /* allocations until the one that fails; 0: none will */
static _Thread_local bool in_libsd; /* of ours: only inside its calls */

/* Libsd's threads have its name; the test's own helpers allocate unharmed. */
static bool is_libsds(void)
{
    char name[16] = "";

    if (in_libsd)
        return true;
    prctl(PR_GET_NAME, name);
    return strncmp(name, "libsd-", 6) == 0;
}

static bool fails(void)
{
    return left > 0 && is_libsds() && atomic_fetch_sub(&left, 1) == 1;
}

#define WRAP(type, name, parameters, arguments)             \
    type __real_##name parameters;                          \
    type __wrap_##name parameters;                          \
    type __wrap_##name parameters                           \
    {                                                       \
        return fails() ? (type)0 : __real_##name arguments; \
    }

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(void *, reallocarray, (void *old, size_t count, size_t size), (old, count, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(char *, strndup, (const char *text, size_t size), (text, size))
WRAP(void *, tsearch, (const void *key, void **root, int (*compare)(const void *, const void *)),
     (key, root, compare))

int __wrap_asprintf(char **text, const char *format, ...);
int __wrap___asprintf_chk(char **text, int flag, const char *format, ...);

int __wrap_asprintf(char **text, const char *format, ...)
{
    va_list arguments;
    int size = -1;

    va_start(arguments, format);
    if (!fails())
        size = vasprintf(text, format, arguments);
    va_end(arguments);
    return size;
}

int __wrap___asprintf_chk(char **text, int flag, const char *format, ...)
{
    va_list arguments;
    int size = -1;

    (void)flag;
    va_start(arguments, format);
    if (!fails())
        size = vasprintf(text, format, arguments);
    va_end(arguments);
    return size;
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    return fails() ? EAGAIN : __real_pthread_create(thread, attributes, run, arg);
}

/* What libcurl allocates fails where libsd learns of it: on the way to a
 * transfer.  Inside transfers the library is on its own; 7.88 divides by zero
 * then, in one place of some hundreds (seen in curl_multi_remove_handle()). */
static _Thread_local bool with_curl;

#define WRAP_CURL(type, name, parameters, arguments) \
    type __real_##name parameters;                   \
    type __wrap_##name parameters;                   \
    type __wrap_##name parameters                    \
    {                                                \
        type result;                                 \
                                                     \
        with_curl = true;                            \
        result = __real_##name arguments;            \
        with_curl = false;                           \
        return result;                               \
    }

WRAP_CURL(CURLM *, curl_multi_init, (void), ())
WRAP_CURL(CURL *, curl_easy_init, (void), ())
WRAP_CURL(CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL *easy), (multi, easy))
WRAP_CURL(struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *text),
          (list, text))
WRAP_CURL(CURLU *, curl_url, (void), ())
WRAP_CURL(CURLUcode, curl_url_get, (const CURLU *url, CURLUPart part, char **text, unsigned flags),
          (url, part, text, flags))
WRAP_CURL(CURLUcode, curl_url_set, (CURLU * url, CURLUPart part, const char *text, unsigned flags),
          (url, part, text, flags))

CURLcode __real_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    va_list arguments;
    CURLcode result;

    va_start(arguments, option);
    with_curl = true;
    if (option < CURLOPTTYPE_OBJECTPOINT)
        result = __real_curl_easy_setopt(easy, option, va_arg(arguments, long));
    else if (option < CURLOPTTYPE_OFF_T)
        result = __real_curl_easy_setopt(easy, option, va_arg(arguments, void *));
    else
        result = __real_curl_easy_setopt(easy, option, va_arg(arguments, curl_off_t));
    with_curl = false;
    va_end(arguments);
    return result;
}

static void *curl_malloc(size_t size)
{
    return with_curl && fails() ? NULL : __real_malloc(size);
}

static void *curl_calloc(size_t count, size_t size)
{
    return with_curl && fails() ? NULL : __real_calloc(count, size);
}

static void *curl_realloc(void *old, size_t size)
{
    return with_curl && fails() ? NULL : __real_realloc(old, size);
}

static char *curl_strdup(const char *text)
{
    return with_curl && fails() ? NULL : __real_strdup(text);
}

/* ---- a life ------------------------------------------------------------- */

static struct etcd etcd;
static struct notes notes;
static atomic_int state;
static libsd *judge;

/* The result of a call of libsd; without memory it is made once more. */
#define CALL(call)               \
    __extension__({              \
        int rc_;                 \
        in_libsd = true;         \
        rc_ = call;              \
        if (rc_ == LIBSD_ENOMEM) \
            rc_ = call;          \
        in_libsd = false;        \
        rc_;                     \
    })

/* What is seen from outside; its memory is there. */
#define SEEN(call)                              \
    __extension__({                             \
        long left_ = atomic_exchange(&left, 0); \
        __typeof__(call) seen_ = call;          \
        left = left_;                           \
        seen_;                                  \
    })

static void take_state(libsd *sd, const char *service, const char *instance, int now, int error,
                       void *arg)
{
    (void)sd;
    (void)service;
    (void)instance;
    (void)error;
    (void)arg;
    state = now;
}

static libsd *life_begins(void)
{
    libsd_options *options = NULL;
    libsd *sd = NULL;

    cr_assert_eq(CALL(libsd_options_new(&options)), 0);
    cr_assert_eq(CALL(libsd_options_set(options, "endpoints", etcd.url)), 0);
    cr_assert_eq(CALL(libsd_options_set(options, "prefix", "/memory")), 0);
    cr_assert_eq(CALL(libsd_open(&sd, options)), 0);
    libsd_options_free(options);
    return sd;
}

static void register_it(libsd *sd, const char *address)
{
    libsd_register_options options = { .size = sizeof options,
                                       .weight = 7,
                                       .callback = take_state };
    int rc = CALL(libsd_register(sd, "s", "i", address, 3, &options));

    cr_assert(rc == 0, "register: %s", libsd_strerror(rc));
}

static void follow_it(libsd *sd)
{
    libsd_watch *watch = NULL;

    cr_assert_eq(
        CALL(libsd_watch_open(sd, libsd_str("/memory/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST, 0,
                              notes_take, &notes, &watch)),
        0);
    UNTIL(notes_count(&notes, LIBSD_EVENT_LIST_END) > 0, 10);
    UNTIL(notes_say(&notes, "+/memory/s/i={"), 10);
    UNTIL(notes_count(&notes, LIBSD_EVENT_CONNECTED) > 0, 10);
    SEEN(put(judge, "/memory/x", "1"));
    UNTIL(notes_say(&notes, "+/memory/x=1 "), 10);
    libsd_watch_close(watch);
}

static void read_it(libsd *sd)
{
    libsd_kvs *kvs = NULL;
    libsd_instance instance = { 0 };

    cr_assert_eq(CALL(libsd_list(sd, libsd_str("/memory/s/"), 0, &kvs, 0)), 0);
    cr_assert_eq(libsd_kvs_count(kvs), 1);
    cr_assert_eq(CALL(libsd_instance_parse(NULL, libsd_kvs_at(kvs, 0)->value, &instance,
                                           sizeof instance, NULL, 0)),
                 0);
    cr_assert_eq(instance.port, 2);
    libsd_kvs_free(kvs);
}

static void a_life(void)
{
    libsd *sd = life_begins();

    state = 0;
    notes_reset(&notes);
    register_it(sd, "10.0.0.1:1");
    register_it(sd, "10.0.0.1:2");
    follow_it(sd);
    read_it(sd);
    UNTIL(state == LIBSD_REGISTERED, 10);
    cr_assert(!SEEN(absent(judge, "/memory/s/i")));
    cr_assert_eq(CALL(libsd_deregister(sd, "s", "i", 0)), 0);
    cr_assert(SEEN(absent(judge, "/memory/s/i")));
    in_libsd = true;
    libsd_close(sd);
    in_libsd = false;
}

static void every_allocation(void)
{
    long n = 1;

    do {
        left = n;
        a_life();
        n++;
    } while (left <= 0);
    left = 0;
    fprintf(stderr, "# %ld allocations\n", n);
    cr_assert_gt(n, 50);
}

static void setup(void)
{
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, free, curl_realloc, curl_strdup,
                         curl_calloc);
    etcd_start(&etcd);
    judge = etcd_open(&etcd, NULL);
    notes_init(&notes);
}

static void teardown(void)
{
    libsd_close(judge);
    etcd_end(&etcd);
}

TestSuite(memory, .init = setup, .fini = teardown, .timeout = 1200);

Test(memory, libsd_goes_on_without_any_one_of_its_allocations)
{
    every_allocation();
}
