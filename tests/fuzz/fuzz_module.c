/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A table file of any content under the module's entry points: whatever they
 * answer lies in the caller's buffer, and no call takes long.
 */
#include <errno.h>

#include "../../nss/module/answer.h"
#include "../../nss/module/hosts.h"
#include "scratch.h"

enum {
    ROUNDS = 40
};

static char *buffer;
static size_t size;
static int error, h_error;

static void check_text(const char *text)
{
    require(text >= buffer && text < buffer + size && strlen(text) < size);
}

static void check_host(enum nss_status status, const struct hostent *host)
{
    if (status != NSS_STATUS_SUCCESS)
        return;
    check_text(host->h_name);
    require(host->h_length == (host->h_addrtype == AF_INET ? 4 : 16));
    for (char **alias = host->h_aliases; *alias != NULL; alias++)
        check_text(*alias);
    for (char **address = host->h_addr_list; *address != NULL; address++)
        require(*address >= buffer && *address + host->h_length <= buffer + size);
}

static void by_name(const char *name)
{
    struct gaih_addrtuple *tuples = NULL;
    struct hostent host;
    struct servent service;
    enum nss_status status;

    for (int i = 0; i < 2; i++) {
        status = _nss_etcdsd_gethostbyname2_r(name, i ? AF_INET6 : AF_INET, &host, buffer, size,
                                              &error, &h_error);
        check_host(status, &host);
    }
    status = _nss_etcdsd_gethostbyname4_r(name, &tuples, buffer, size, &error, &h_error, NULL);
    for (int i = 0; status == NSS_STATUS_SUCCESS && tuples != NULL; tuples = tuples->next, i++) {
        require((char *)tuples >= buffer && (char *)(tuples + 1) <= buffer + size && i < 256);
        check_text(tuples->name);
    }
    status = _nss_etcdsd_getservbyname_r(name, "tcp", &service, buffer, size, &error);
    if (status == NSS_STATUS_SUCCESS)
        check_text(service.s_name);
}

static void walk_all(void)
{
    struct hostent host;
    struct servent service;
    enum nss_status status = NSS_STATUS_SUCCESS;

    for (int i = 0; i < ROUNDS && status == NSS_STATUS_SUCCESS; i++) {
        status = _nss_etcdsd_gethostent_r(&host, buffer, size, &error, &h_error);
        check_host(status, &host);
    }
    _nss_etcdsd_endhostent();
    status = NSS_STATUS_SUCCESS;
    for (int i = 0; i < ROUNDS && status == NSS_STATUS_SUCCESS; i++) {
        status = _nss_etcdsd_getservent_r(&service, buffer, size, &error);
        if (status == NSS_STATUS_SUCCESS)
            check_text(service.s_aliases[0]);
    }
    _nss_etcdsd_endservent();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static const uint8_t ten[16] = { 10 };
    struct input input = { data, length };
    struct hostent host;
    struct servent service;
    struct image image;
    char *name;

    size = take(&input, 1) * 3;
    buffer = malloc(size ? size : 1);
    name = take_text(&input, take(&input, 1));
    image_make(&image, &input);
    scratch_write(&image);
    free(image.words);
    setenv("ETCDSD_TABLE", scratch_path(), 1);
    table_file.current = NULL; /* as in a new process */
    table_file.looked_at = 0;

    by_name(name);
    by_name("user.service.etcd");
    by_name("b.a.b.service.etcd");
    for (int i = 0; i < 2; i++)
        check_host(_nss_etcdsd_gethostbyaddr_r(ten, i ? 16 : 4, i ? AF_INET6 : AF_INET, &host,
                                               buffer, size, &error, &h_error),
                   &host);
    _nss_etcdsd_getservbyport_r(htons(80), NULL, &service, buffer, size, &error);
    walk_all();
    free(name);
    free(buffer);
    return 0;
}
