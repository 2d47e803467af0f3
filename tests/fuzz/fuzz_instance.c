/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Values of registrations, in every format.
 */
#include <arpa/inet.h>

#include "fuzz.h"
#include "libsd.h"

static const char *const formats[] = { NULL, "auto", "plain", "json", "nonsense" };

static void check_instance(const libsd_instance *instance)
{
    char text[INET6_ADDRSTRLEN], again[INET6_ADDRSTRLEN + 8];
    libsd_instance second;

    require(instance->family == 0 || instance->family == 4 || instance->family == 6);
    require(memchr(instance->host, '\0', sizeof instance->host) != NULL);
    require(instance->host[0] != '\0');
    require(instance->weight <= 65535);
    if (instance->family == 0)
        return;
    inet_ntop(instance->family == 4 ? AF_INET : AF_INET6, instance->address, text, sizeof text);
    require(strcmp(text, instance->host) == 0);
    /* What was understood says the same when it is written plainly. */
    snprintf(again, sizeof again, instance->family == 4 ? "%s:%u" : "[%s]:%u", text,
             instance->port ? instance->port : 1u);
    require(libsd_instance_parse("plain", libsd_bytes(again, strlen(again)), &second, sizeof second,
                                 NULL, 0) == 0);
    require(second.family == instance->family &&
            memcmp(second.address, instance->address, sizeof second.address) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    const char *format = formats[take(&input, 1) % (sizeof formats / sizeof *formats)];
    size_t why_size = take(&input, 1) % 128;
    char *why = malloc(why_size ? why_size : 1);
    libsd_instance *instance = malloc(sizeof *instance);
    int rc = libsd_instance_parse(format, libsd_bytes(input.data, input.size), instance,
                                  sizeof *instance, why, why_size);

    require(rc == 0 || rc == LIBSD_EINVAL);
    if (rc == 0)
        check_instance(instance);
    else if (why_size > 0)
        require(memchr(why, '\0', why_size) != NULL && strchr(why, '\n') == NULL);
    free(instance);
    free(why);
    return 0;
}
