/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Names as programs ask for them: folding and domains against the simplest
 * way to do it, and the module's entry points on a table file.
 */
#include <errno.h>
#include <strings.h>

#include "../../nss/module/answer.h"
#include "../../nss/module/hosts.h"
#include "scratch.h"

/* The domain of a good table: `text` is in it or not. */
static void check_domain(const struct image *image, const char *text, size_t length)
{
    static const char domain[] = "service.etcd";
    size_t its = sizeof domain - 1;
    struct table_view view;
    uint32_t expected = length >= its && strcasecmp(text + length - its, domain) == 0 &&
                                (length == its || text[length - its - 1] == '.')
                            ? (uint32_t)its
                            : 0;

    require(table_view_init(&view, image->words, image->bytes));
    require(table_domain_of(&view, text, length) == expected);
}

static void check_folding(const char *text, size_t length)
{
    struct table_name name;
    char *folded = (char *)name.words;

    if (length == 0 || length > TABLE_MAX_NAME)
        return;
    table_name_set(&name, text, (uint32_t)length);
    require(name.length == length);
    for (size_t i = 0; i < (length / 8 + 1) * 8; i++) {
        char c = i < length ? text[i] : '\0';

        require(folded[i] == (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
    }
}

/* The status must be one that glibc knows what to do with. */
static void check_status(enum nss_status status, int error, int h_error)
{
    if (status == NSS_STATUS_TRYAGAIN)
        require((error == ERANGE && h_error == NETDB_INTERNAL) ||
                (error == EAGAIN && h_error == TRY_AGAIN));
    else if (status == NSS_STATUS_NOTFOUND)
        require(error == ENOENT && (h_error == HOST_NOT_FOUND || h_error == NO_DATA));
    else if (status == NSS_STATUS_UNAVAIL)
        require(error == ENOENT && h_error == NO_RECOVERY);
    else
        require(status == NSS_STATUS_SUCCESS && h_error == NETDB_SUCCESS);
}

static void ask(const char *name, size_t size, unsigned align)
{
    char *memory = malloc(size + align), *buffer = memory + align;
    int error = -1, h_error = -1, family = align & 1 ? AF_INET : AF_INET6;
    struct gaih_addrtuple *tuples = NULL;
    struct servent service;
    struct hostent host;
    enum nss_status status;

    require(memory != NULL);
    errno = 0;
    status = _nss_etcdsd_gethostbyname2_r(name, family, &host, buffer, size, &error, &h_error);
    check_status(status, error, h_error);
    if (status == NSS_STATUS_SUCCESS) {
        require(strcasecmp(host.h_name, name) == 0 || name[strlen(name) - 1] == '.');
        for (char **address = host.h_addr_list; *address != NULL; address++)
            status = _nss_etcdsd_gethostbyaddr_r(*address, (socklen_t)host.h_length, family,
                                                 &(struct hostent){ 0 }, (char[600]){ 0 }, 600,
                                                 &error, &h_error);
        require(status == NSS_STATUS_SUCCESS);
    }
    status = _nss_etcdsd_gethostbyname4_r(name, &tuples, buffer, size, &error, &h_error, NULL);
    check_status(status, error, h_error);
    for (; status == NSS_STATUS_SUCCESS && tuples != NULL; tuples = tuples->next)
        require(tuples->family == AF_INET || tuples->family == AF_INET6);
    _nss_etcdsd_getservbyname_r(name, NULL, &service, buffer, size, &error);
    require(errno == 0);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct image good;
    struct input input = { data, size };
    size_t room = take(&input, 1) * 3;
    unsigned align = (unsigned)take(&input, 1) % 16;
    char *name;

    if (good.words == NULL) {
        image_make(&good, &(struct input){ (const uint8_t *)"\2", 1 });
        scratch_write(&good);
        setenv("ETCDSD_TABLE", scratch_path(), 1);
    }
    name = take_text(&input, input.size);
    check_domain(&good, name, strlen(name));
    check_folding(name, strlen(name));
    ask(name, room, align);
    free(name);
    return 0;
}
