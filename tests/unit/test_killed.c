/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A writer that is killed after any single store to the shared words: readers
 * find the old, the new, or (never here) "again", but no mix and no miss of
 * what is in both; and the next writer mends it.
 *
 * The writer's sources are compiled into this program with a hook after each
 * store.
 */
#define TABLE_STORE_HOOK 1
#include "../../libsd/table/adopt.c"
#include "../../libsd/table/encode.c"
#include "../../libsd/table/file.c"
#include "../../libsd/table/header.c"
#include "../../libsd/table/heap.c"
#include "../../libsd/table/index.c"
#include "../../libsd/table/keys.c"
#include "../../libsd/table/owners.c"
#include "../../libsd/table/ports.c"
#include "../../libsd/table/store.c"
#include "../../libsd/table/waiters.c"
#include "../../libsd/table/writer.c"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <sys/wait.h>

#include "reverse.h"
#include "table_help.h"

enum {
    SURVIVED = 0,
    KILLED = 9
};

/* A process that runs under AddressSanitizer takes long to fork. */
#ifdef __SANITIZE_ADDRESS__
enum {
    STRIDE = 37
};
#else
enum {
    STRIDE = 1
};
#endif

static long stores_left = -1;

void table_store_hook(void)
{
    if (stores_left >= 0 && stores_left-- == 0)
        _exit(KILLED);
}

/* What a name or an address may be answered with. */
struct expectation {
    const char *question, *before, *after;
};

struct change {
    void (*make)(struct table_fixture *fixture);
    struct expectation names[6];
    struct expectation addresses[6]; /* the owner name they stand for */
};

static void base(struct table_fixture *f)
{
    table_put(f, "a.service.etcd", "i=10.0.0.1:80 j=10.0.0.2:80");
    table_put(f, "b.service.etcd", "i=10.0.0.1:81");
    table_put(f, "c.service.etcd", "i=10.0.0.3:82 j=[2001:db8::3]:82");
    cr_assert_eq(table_writer_publish(f->writer), 0);
}

static void update(struct table_fixture *f)
{
    table_put(f, "a.service.etcd", "j=10.0.0.2:80 k=10.0.0.4:80*3");
}

static void insert(struct table_fixture *f)
{
    table_put(f, "new.service.etcd", "i=10.0.0.1:80 n=10.0.0.9:80");
}

static void take_out(struct table_fixture *f)
{
    table_writer_remove(f->writer, "a.service.etcd", 14);
}

/* So much does not fit into the first file. */
static void grow(struct table_fixture *f)
{
    for (int i = 0; i < 9; i++) {
        char name[32], instances[600] = "i=10.0.0.1:80";

        for (int k = 0; k < 32; k++)
            sprintf(instances + strlen(instances), " i%d=10.7.%d.%d", k, i, k);
        snprintf(name, sizeof name, "s%d.service.etcd", i);
        table_put(f, name, instances);
    }
}

static void take_over(struct table_fixture *f)
{
    unlink(f->path);
    table_writer_heartbeat(f->writer);
}

static const struct change changes[] = {
    { update,
      { { "a.service.etcd", "10.0.0.1 10.0.0.2", "10.0.0.2 10.0.0.4" },
        { "j.a.service.etcd", "10.0.0.2", "10.0.0.2" },
        { "k.a.service.etcd", "miss", "10.0.0.4" },
        { "i.a.service.etcd", "10.0.0.1", "miss" },
        { "b.service.etcd", "10.0.0.1", "10.0.0.1" } },
      { { "10.0.0.1", "*", "*" },
        { "10.0.0.2", "j.a.service.etcd", "j.a.service.etcd" },
        { "10.0.0.4", "miss", "k.a.service.etcd" },
        { "2001:db8::3", "j.c.service.etcd", "j.c.service.etcd" } } },
    { insert,
      { { "new.service.etcd", "miss", "10.0.0.1 10.0.0.9" },
        { "a.service.etcd", "10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2" } },
      { { "10.0.0.1", "*", "*" }, { "10.0.0.9", "miss", "n.new.service.etcd" } } },
    { take_out,
      { { "a.service.etcd", "10.0.0.1 10.0.0.2", "miss" },
        { "b.service.etcd", "10.0.0.1", "10.0.0.1" } },
      { { "10.0.0.1", "*", "*" },
        { "10.0.0.2", "j.a.service.etcd", "miss" },
        { "10.0.0.3", "i.c.service.etcd", "i.c.service.etcd" } } },
    { grow,
      { { "a.service.etcd", "10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2" },
        { "c.service.etcd", "10.0.0.3 2001:db8::3", "10.0.0.3 2001:db8::3" },
        { "i.s8.service.etcd", "miss", "10.0.0.1" } },
      { { "10.0.0.1", "*", "*" }, { "10.0.0.3", "i.c.service.etcd", "i.c.service.etcd" } } },
    { take_over,
      { { "a.service.etcd", "10.0.0.1 10.0.0.2", "10.0.0.1 10.0.0.2" } },
      { { "10.0.0.1", "*", "*" } } },
};

static const char *ask_address(const struct table_view *view, const char *text)
{
    static char name[2 * TABLE_MAX_NAME + 2];
    struct table_owner owner;
    unsigned char address[16];
    int family = strchr(text, ':') != NULL ? 6 : 4;
    enum table_result rc;

    inet_pton(family == 6 ? AF_INET6 : AF_INET, text, address);
    rc = table_find_address(view, family, address, &owner);
    if (rc != TABLE_FOUND)
        return rc == TABLE_MISS ? "miss" : "again";
    table_owner_name(&owner, name);
    return table_record_is_whole(&owner.record) ? name : "again";
}

/* "*": some service that has the address.  Which one it is may change with
 * each file. */
static bool is(const char *answer, const char *expected)
{
    return strcmp(expected, "*") == 0 ? strcmp(answer, "miss") != 0 && strcmp(answer, "again") != 0
                                      : strcmp(answer, expected) == 0;
}

static bool is_one_of(const char *answer, const struct expectation *e)
{
    return is(answer, e->before) || is(answer, e->after);
}

static void check(const struct table_view *view, const struct change *change, long store,
                  bool only_after)
{
    for (const struct expectation *e = change->names; e->question != NULL; e++) {
        const char *answer = table_ask(view, e->question);

        cr_assert(only_after ? is(answer, e->after) : is_one_of(answer, e), "store %ld: %s is %s",
                  store, e->question, answer);
    }
    for (const struct expectation *e = change->addresses; e->question != NULL; e++) {
        const char *answer = ask_address(view, e->question);

        cr_assert(only_after ? is(answer, e->after) : is_one_of(answer, e), "store %ld: %s is %s",
                  store, e->question, answer);
    }
}

/* The view that a process which mapped the file before the change has, and one
 * of a process that starts now. */
static void check_both(struct table_source *mapped, const struct table_fixture *f,
                       const struct change *change, long store, bool only_after)
{
    struct table_source fresh = { .path = f->path };
    struct table_view view;

    /* A writer killed between rename and SUPERSEDED leaves readers on the old
     * file until its heartbeat is old, so the second time is later. */
    cr_assert(only_after ? table_source_look(mapped, table_now() + 2 * TABLE_FRESH_S, &view)
                         : table_source_view(mapped, &view));
    check(&view, change, store, only_after);
    if (access(f->path, F_OK) != 0)
        return; /* taken away, and not yet put back */
    cr_assert(table_source_view(&fresh, &view));
    check(&view, change, store, only_after);
    for (int i = 0; i < TABLE_WINDOWS; i++)
        if (fresh.windows[i].at != 0)
            munmap((void *)fresh.windows[i].at, fresh.windows[i].bytes);
    munmap(fresh.local, sizeof *fresh.local);
}

/* Kills a writer after `store` stores.  Returns whether it had finished. */
static bool kill_after(const struct change *change, long store)
{
    struct table_source mapped = { 0 };
    struct table_fixture f;
    struct table_view view;
    int status = -1;
    pid_t child;

    table_begin(&f);
    base(&f);
    mapped.path = f.path;
    cr_assert(table_source_view(&mapped, &view));
    table_writer_close(f.writer);

    child = fork();
    if (child == 0) {
        stores_left = store;
        table_reopen(&f, NULL, 0);
        change->make(&f);
        stores_left = -1;
        _exit(SURVIVED);
    }
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status));
    check_both(&mapped, &f, change, store, false);

    table_reopen(&f, NULL, 0);
    if (!table_writer_is_published(f.writer))
        base(&f);
    change->make(&f);
    mapped.looked_at = 0;
    check_both(&mapped, &f, change, store, true);
    table_end(&f);
    for (int i = 0; i < TABLE_WINDOWS; i++)
        if (mapped.windows[i].at != 0)
            munmap((void *)mapped.windows[i].at, mapped.windows[i].bytes);
    munmap(mapped.local, sizeof *mapped.local);
    return WEXITSTATUS(status) == SURVIVED;
}

static void kill_at_every_store(const struct change *change)
{
    long store = 0;

    while (!kill_after(change, store))
        store += STRIDE;
    cr_expect_gt(store, 10, "only %ld stores", store);
    cr_log_info("killed after each of %ld stores", store);
}

Test(killed, at_every_store_of_an_update)
{
    kill_at_every_store(&changes[0]);
}

Test(killed, at_every_store_of_an_insertion)
{
    kill_at_every_store(&changes[1]);
}

Test(killed, at_every_store_of_a_removal)
{
    kill_at_every_store(&changes[2]);
}

Test(killed, at_every_store_of_growth)
{
    kill_at_every_store(&changes[3]);
}

Test(killed, at_every_store_of_putting_a_removed_file_back)
{
    kill_at_every_store(&changes[4]);
}
