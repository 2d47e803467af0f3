/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory that is not there; see scarce.h.
 *
 * The linker turns calls of malloc() and the like in libsd's objects into those
 * of __wrap_malloc(): see the Makefile.
 */
#include "scarce.h"

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

/* ---- failing ------------------------------------------------------------ */

atomic_long left;
_Thread_local bool in_libsd;
static struct etcd etcd;
libsd *witness;

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

/* ---- lives -------------------------------------------------------------- */

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

static void life_ends(libsd *sd)
{
    in_libsd = true;
    libsd_close(sd);
    in_libsd = false;
}

void every_allocation(void (*live)(libsd *sd))
{
    long n = 1;

    do {
        libsd *sd;

        left = n;
        sd = life_begins();
        live(sd);
        life_ends(sd);
        n++;
    } while (left <= 0);
    left = 0;
    fprintf(stderr, "# %ld allocations\n", n);
    cr_assert_gt(n, 50);
}

void scarce_setup(void)
{
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, free, curl_realloc, curl_strdup,
                         curl_calloc);
    etcd_start(&etcd);
    witness = etcd_open(&etcd, NULL);
}

void scarce_teardown(void)
{
    libsd_close(witness);
    etcd_end(&etcd);
}
