/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading the shared table; table/layout.h has its protocol and rules, by which
 * whatever was copied is only believed when the record proves to be whole.
 *
 * "Current" is a table whose writer lives and follows etcd.  Any other may be
 * used for want of better, as the resolver does, until its own max-stale.
 */
#include "shared_table.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "internal.h"
#include "table/source.h"

/* How often a record that changes under our eyes is looked up again. */
#define LOOKUP_TRIES 16

static struct table_source source;

bool shared_table_is_allowed(const libsd *sd)
{
    const struct libsd_options *options = &sd->options;

    return *options->domain && options->source != SOURCE_ETCD &&
           (options->source == SOURCE_TABLE || !options->own_endpoints);
}

static bool is_following(const struct table_view *view)
{
    return (table_load(view->words + TABLE_H_STATE) & 0xff) == TABLE_LIVE;
}

static bool is_current(const struct table_view *view)
{
    uint64_t heartbeat = table_load(view->words + TABLE_H_HEARTBEAT);

    return is_following(view) && (table_is_near((uint64_t)time(NULL), heartbeat >> 32) ||
                                  table_is_fresh(view, table_now()));
}

static bool view_take(bool stale, struct table_view *view)
{
    /* Nearly always; and the clock is asked only once. */
    if (table_source_glance(&source, view) && is_following(view))
        return true;
    return table_source_view(&source, view) &&
           (is_current(view) || (stale && table_source_is_usable(&source, view)));
}

static bool has_domain(const struct table_view *view, const char *domain)
{
    size_t length = strlen(domain);

    return table_domain_of(view, domain, length) == length;
}

/* Whether the watcher knows what is in the domain. */
static bool has_content(const struct table_view *view, const char *domain)
{
    return table_is_all_ready(view) || table_is_ready(view, domain, strlen(domain));
}

bool shared_table_is_current(const libsd *sd)
{
    const char *domain = sd->options.domain;
    struct table_view view;

    return shared_table_is_allowed(sd) && view_take(false, &view) && has_domain(&view, domain) &&
           has_content(&view, domain);
}

/* What a miss in the table is worth. */
static enum shared_answer absent(const struct table_view *view)
{
    return table_load(view->words + TABLE_H_DROPPED) ? SHARED_UNKNOWN : SHARED_ABSENT;
}

/* ---- names -------------------------------------------------------------- */

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The watcher maps other segments to labels, by which several services may
 * come to have one name. */
static bool is_exact_label(const char *label, size_t size)
{
    if (size == 0 || size > TABLE_MAX_LABEL || label[0] == '-' || label[size - 1] == '-')
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!is_lower_alnum(label[i]) && label[i] != '-')
            return false;
    }
    return true;
}

size_t shared_table_name(const char *service, const char *domain, char name[OWNER_NAME_SIZE])
{
    size_t left = strlen(service);
    size_t domain_size = strlen(domain);
    size_t used = 0;

    if (left + 1 + domain_size > TABLE_MAX_NAME)
        return 0;
    while (left) {
        const char *slash = memrchr(service, '/', left);
        const char *label = slash ? slash + 1 : service;
        size_t size = (size_t)(service + left - label);

        if (!is_exact_label(label, size))
            return 0;
        memcpy(name + used, label, size);
        used += size;
        name[used++] = '.';
        left = slash ? (size_t)(slash - service) : 0;
    }
    memcpy(name + used, domain, domain_size + 1);
    return used + domain_size;
}

/* The way back: labels, reversed, of what is before the domain. */
static void service_of(const char *name, size_t size, char service[OWNER_NAME_SIZE])
{
    size_t used = 0;

    while (size) {
        const char *dot = memrchr(name, '.', size);
        const char *label = dot ? dot + 1 : name;
        size_t length = (size_t)(name + size - label);

        memcpy(service + used, label, length);
        used += length;
        size = dot ? (size_t)(dot - name) : 0;
        if (size)
            service[used++] = '/';
    }
    service[used] = '\0';
}

/* ---- instances ---------------------------------------------------------- */

/* What the record says of an instance, and where its label is. */
struct row {
    struct table_owner owner;
    uint8_t family;
    uint16_t port;
    uint8_t address[16];
    uint64_t identity;
};

/* Instance i of the record in row->owner.  False: the record is not whole. */
static bool row_read(struct row *row, uint32_t i)
{
    const struct table_record *record = &row->owner.record;
    const struct table_shape *shape = &record->shape;
    uint32_t v4;

    if (!table_owner_set(&row->owner, i) || row->owner.label_length > TABLE_MAX_LABEL)
        return false;
    row->port = (uint16_t)(table_load(record->at + table_instances_at(*shape) + i) >> 16);
    row->family = row->owner.first < shape->v4 ? 4 : 6;
    if (row->family == 4) {
        v4 = table_record_v4(record, row->owner.first);
        memcpy(row->address, &v4, sizeof v4);
    } else {
        table_record_v6(record, row->owner.first - shape->v4, row->address);
    }
    row->identity = peer_identity(row->family, row->address, row->port, NULL);
    return true;
}

/* The record has weights by address.  Of several instances there, by turn. */
static uint32_t weighted(const struct table_record *record, int policy, uint64_t turn)
{
    const struct table_shape *shape = &record->shape;
    uint64_t position = policy == LIBSD_PICK_RANDOM ? turn : turn * TABLE_POSITION_STEP;
    uint32_t address = table_record_pick_weighted(record, 0, shape->v4 + shape->v6, position);
    uint32_t found = 0;
    uint32_t wanted;
    uint32_t at = 0;

    for (uint32_t i = 0; i < shape->instances; i++)
        found += (table_load(record->at + table_instances_at(*shape) + i) & 0xffff) == address;
    wanted = found ? (uint32_t)(turn % found) + 1 : 0;
    for (uint32_t i = 0; i < shape->instances && wanted; i++) {
        at = i;
        wanted -= (table_load(record->at + table_instances_at(*shape) + i) & 0xffff) == address;
    }
    return at;
}

static uint32_t choose(const struct table_record *record, const struct pick *pick)
{
    uint32_t count = record->shape.instances;
    uint64_t turn = pick_turn(pick);

    if (pick->policy != LIBSD_PICK_ROUND_ROBIN && (record->shape.flags & TABLE_FLAG_WEIGHTED))
        return weighted(record, pick->policy, turn);
    if (pick->policy == LIBSD_PICK_RANDOM)
        return (uint32_t)((turn >> 32) * count >> 32);
    return (uint32_t)turn % count;
}

/* The one that wants the key most; those at rest only if there are no others.
 * False: the record is not whole. */
static bool sticky(struct row *row, const struct pick *pick)
{
    const uint32_t count = row->owner.record.shape.instances;
    struct row other = *row;
    uint64_t most = 0;
    bool found = false;
    bool found_rests = true;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t score;
        bool rests;

        if (!row_read(&other, i))
            return false;
        score = rota_score(pick->key, other.identity);
        rests = pick_rests(pick, other.identity);
        if (!found || (found_rests && !rests) || (found_rests == rests && score > most)) {
            *row = other;
            most = score;
            found_rests = rests;
            found = true;
        }
    }
    return found;
}

static bool in_turn(struct row *row, const struct pick *pick)
{
    const struct table_record *record = &row->owner.record;
    uint32_t first;

    if (record->shape.instances == 0)
        return false;
    for (int i = 0; i < PICK_TURNS; i++) {
        if (!row_read(row, choose(record, pick)))
            return false;
        if (!pick_rests(pick, row->identity))
            return true;
    }
    first = (uint32_t)(pick_turn(pick) % record->shape.instances);
    for (uint32_t i = 0; i < record->shape.instances; i++) {
        if (!row_read(row, (first + i) % record->shape.instances))
            return false;
        if (!pick_rests(pick, row->identity))
            return true;
    }
    return true; /* all rest: the last one looked at */
}

/* ---- picking ------------------------------------------------------------ */

static void fill(const struct row *row, libsd_picked *picked)
{
    picked->family = row->family;
    picked->source = LIBSD_SOURCE_TABLE;
    picked->port = row->port;
    picked->weight = 0;
    memcpy(picked->address, row->address, sizeof row->address);
    picked->identity = row->identity;
    picked->host[0] = '\0';
    table_label_copy(&row->owner, picked->name);
    picked->name[row->owner.label_length] = '\0';
}

void shared_name_init(struct shared_name *name, const char *service, const char *domain)
{
    char text[OWNER_NAME_SIZE];
    uint32_t length = (uint32_t)shared_table_name(service, domain, text);

    name->domain = domain;
    name->owner.length = 0;
    if (length)
        table_name_set(&name->owner, text, length);
    atomic_init(&name->generation, 0);
}

/* A file's domains never change. */
static bool name_is_possible(struct shared_name *name, const struct table_view *view)
{
    if (atomic_load_explicit(&name->generation, memory_order_relaxed) == view->generation)
        return true;
    if (!has_domain(view, name->domain))
        return false;
    atomic_store_explicit(&name->generation, view->generation, memory_order_relaxed);
    return true;
}

enum shared_answer shared_table_pick(struct shared_name *name, bool stale, const struct pick *pick,
                                     libsd_picked *picked)
{
    struct row row = { 0 };
    const struct table_record *record = &row.owner.record;

    for (int i = 0; i < LOOKUP_TRIES && name->owner.length; i++) {
        struct table_view view;
        enum table_result result;

        if (!view_take(stale, &view) || !name_is_possible(name, &view) ||
            !has_content(&view, name->domain))
            return SHARED_UNKNOWN;
        result = table_find(&view, &name->owner, &row.owner.record);
        if (result == TABLE_FOUND) {
            bool read =
                table_record_fits(record) &&
                (pick->policy == LIBSD_PICK_STICKY ? sticky(&row, pick) : in_turn(&row, pick));

            if (read)
                fill(&row, picked);
            if (read && table_record_is_whole(record))
                return SHARED_FOUND;
        } else if (result == TABLE_MISS && table_view_holds(&view)) {
            return absent(&view);
        }
    }
    return SHARED_UNKNOWN;
}

/* ---- listing ------------------------------------------------------------ */

/* An instance as the table knows it. */
static void describe(const struct table_record *record, const struct row *row,
                     libsd_instance *instance, char label[TABLE_MAX_LABEL + 1])
{
    uint32_t at = row->owner.first;

    memset(instance, 0, sizeof *instance);
    instance->family = row->family;
    instance->port = row->port;
    memcpy(instance->address, row->address, sizeof row->address);
    inet_ntop(row->family == 4 ? AF_INET : AF_INET6, row->address, instance->host,
              sizeof instance->host);
    if (record->shape.flags & TABLE_FLAG_WEIGHTED) {
        instance->weight = table_record_half(record, table_sums_at(record->shape), at);
        if (at > 0)
            instance->weight -= table_record_half(record, table_sums_at(record->shape), at - 1);
    }
    table_label_copy(&row->owner, label);
    label[row->owner.label_length] = '\0';
    instance->name = label;
}

/* The sums are those of addresses. */
static void drop_shared_weights(struct libsd_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        libsd_instance *left = &snapshot->peers[i]->instance;

        for (size_t j = i + 1; left->weight && j < snapshot->count; j++) {
            libsd_instance *right = &snapshot->peers[j]->instance;

            if (left->family == right->family &&
                memcmp(left->address, right->address, sizeof left->address) == 0)
                left->weight = right->weight = 0;
        }
    }
}

/* Copies the instances that the owner stands for.  NULL when out of memory, or
 * not whole. */
static struct libsd_snapshot *copy(const struct table_owner *owner, const char *service)
{
    const struct table_record *record = &owner->record;
    struct libsd_snapshot *snapshot = snapshot_new(record->shape.instances);
    struct row row = { .owner = *owner };

    for (uint32_t i = 0; snapshot && i < record->shape.instances; i++) {
        libsd_instance instance;
        char label[TABLE_MAX_LABEL + 1];
        struct peer *peer;

        if (!row_read(&row, i))
            break;
        if (owner->label_length && row.owner.label_at != owner->label_at)
            continue;
        describe(record, &row, &instance, label);
        instance.service = service;
        peer = peer_copy(&instance);
        if (!peer)
            break;
        snapshot_add(snapshot, peer);
        peer_unref(peer);
    }
    return snapshot;
}

int shared_table_list(const char *domain, const char *name, bool stale,
                      struct libsd_snapshot **snapshot)
{
    uint32_t domain_length = (uint32_t)strlen(domain);
    uint32_t length = (uint32_t)strlen(name);
    struct table_view view;

    for (int i = 0; i < LOOKUP_TRIES; i++) {
        struct table_owner owner;
        enum table_result result;
        char service[OWNER_NAME_SIZE];
        const char *rest = name;

        if (!view_take(stale, &view) || !has_domain(&view, domain) || !has_content(&view, domain))
            return SHARED_UNKNOWN;
        result = table_find_owner(&view, name, length, &owner);
        if (result == TABLE_MISS && table_view_holds(&view))
            return absent(&view);
        if (result != TABLE_FOUND || !table_record_fits(&owner.record))
            continue;
        if (owner.label_length)
            rest = strchr(name, '.') + 1;
        service_of(rest, strlen(rest) - domain_length - 1, service);
        *snapshot = copy(&owner, service);
        if (!*snapshot)
            return LIBSD_ENOMEM;
        if (table_record_is_whole(&owner.record) &&
            (*snapshot)->count == (owner.label_length ? 1 : owner.record.shape.instances)) {
            drop_shared_weights(*snapshot);
            snapshot_sort(*snapshot);
            return SHARED_FOUND;
        }
        libsd_snapshot_unref(*snapshot);
        *snapshot = NULL;
    }
    return SHARED_UNKNOWN;
}
