/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd_resolve(): what is behind a name, from the shared table, else from etcd.
 */
#include <stdlib.h>

#include "internal.h"
#include "shared_table.h"
#include "table/source.h"

/* A name, taken apart. */
struct question_name {
    const char *domain;
    char owner[OWNER_NAME_SIZE]; /* as the table has it; empty: it has none */
    char *service;               /* all labels, or segments */
    char *parent;                /* without the first label; NULL: there is one only */
    size_t label_size;           /* of the first label, in owner */
};

static void name_free(struct question_name *name)
{
    free(name->service);
    free(name->parent);
}

/* Labels to segments: "user.shop" to "shop/user". */
static char *segments(const char *labels, size_t size)
{
    char *made = malloc(size + 1);
    char *at = made;

    while (made && size) {
        const char *dot = memrchr(labels, '.', size);
        const char *label = dot ? dot + 1 : labels;
        size_t length = (size_t)(labels + size - label);

        memcpy(at, label, length);
        at += length;
        size = dot ? (size_t)(dot - labels) : 0;
        *at++ = size ? '/' : '\0';
    }
    return made;
}

/* Of a name inside the domain. */
static int read_owner_name(struct question_name *name, const char *text, size_t size)
{
    size_t labels = size - strlen(name->domain) - 1;
    const char *dot;

    for (size_t i = 0; i < size; i++)
        name->owner[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
    name->owner[size] = '\0';
    if (memmem(name->owner, labels, "..", 2) || name->owner[0] == '.')
        return LIBSD_EINVAL;
    name->service = segments(name->owner, labels);
    dot = memchr(name->owner, '.', labels);
    if (dot) {
        name->label_size = (size_t)(dot - name->owner);
        name->parent = segments(dot + 1, labels - name->label_size - 1);
    }
    return name->service && (!dot || name->parent) ? 0 : LIBSD_ENOMEM;
}

static int read_name(struct question_name *name, const char *domain, const char *text)
{
    size_t size = strlen(text);
    size_t domain_size = strlen(domain);

    *name = (struct question_name){ .domain = domain };
    if (size && text[size - 1] == '.')
        size--;
    if (size <= TABLE_MAX_NAME && size > domain_size &&
        table_is_inside(text, size, domain, (uint32_t)domain_size))
        return read_owner_name(name, text, size);
    if (!service_is_valid(text))
        return LIBSD_EINVAL;
    if (*domain)
        shared_table_name(text, domain, name->owner);
    name->service = strdup(text);
    return name->service ? 0 : LIBSD_ENOMEM;
}

/* Returns a count, LIBSD_ENOTFOUND, or LIBSD_EUNAVAILABLE: the table can't tell. */
static int ask_table(const struct question_name *name, bool stale, libsd_snapshot **snapshot)
{
    int answer;

    if (!*name->domain || !*name->owner)
        return LIBSD_EUNAVAILABLE;
    answer = shared_table_list(name->domain, name->owner, stale, snapshot);
    if (answer == SHARED_FOUND)
        return (int)(*snapshot)->count;
    if (answer == SHARED_ABSENT)
        return LIBSD_ENOTFOUND;
    return answer < 0 ? answer : LIBSD_EUNAVAILABLE;
}

/* Keeps of a service the instance with that label alone. */
static int keep_one(libsd_snapshot **snapshot, const char *label, size_t size)
{
    struct libsd_snapshot *one = snapshot_new(1);
    int rc = LIBSD_ENOTFOUND;

    for (size_t i = 0; one && rc < 0 && i < (*snapshot)->count; i++) {
        const char *name = (*snapshot)->peers[i]->instance.name;

        if (strlen(name) == size && strncasecmp(name, label, size) == 0) {
            snapshot_add(one, (*snapshot)->peers[i]);
            one->revision = (*snapshot)->revision;
            rc = 1;
        }
    }
    libsd_snapshot_unref(*snapshot);
    *snapshot = NULL;
    if (rc < 0)
        libsd_snapshot_unref(one);
    else
        *snapshot = one;
    return one ? rc : LIBSD_ENOMEM;
}

/* As in the table: where a service and an instance bear one name, the service
 * has it. */
static int ask_etcd(libsd *sd, const struct question_name *name, libsd_snapshot **snapshot,
                    int timeout_ms)
{
    int rc = libsd_discover(sd, name->service, snapshot, timeout_ms);

    if (rc != 0)
        return rc;
    libsd_snapshot_unref(*snapshot);
    *snapshot = NULL;
    if (!name->parent)
        return LIBSD_ENOTFOUND;
    rc = libsd_discover(sd, name->parent, snapshot, timeout_ms);
    return rc < 0 ? rc : keep_one(snapshot, name->owner, name->label_size);
}

int libsd_resolve(libsd *sd, const char *text, libsd_snapshot **snapshot, int timeout_ms)
{
    bool table_alone = !sd || sd->options.source == SOURCE_TABLE;
    struct question_name name;
    bool table;
    int rc = sd ? handle_check(sd) : 0;

    if (snapshot)
        *snapshot = NULL;
    if (rc < 0)
        return rc;
    if (!text || !snapshot || timeout_ms < 0)
        return LIBSD_EINVAL;
    table = !sd || shared_table_is_allowed(sd);
    rc = read_name(&name, sd ? sd->options.domain : TABLE_DEFAULT_DOMAIN, text);
    if (rc < 0) {
        name_free(&name);
        return rc;
    }
    rc = table ? ask_table(&name, table_alone, snapshot) : LIBSD_EUNAVAILABLE;
    if (rc == LIBSD_EUNAVAILABLE && !table_alone) {
        rc = ask_etcd(sd, &name, snapshot, timeout_ms);
        if (table && libsd_error_is_retriable(rc)) {
            int old = ask_table(&name, true, snapshot);

            rc = old > 0 ? old : rc;
        }
    }
    name_free(&name);
    return rc;
}
