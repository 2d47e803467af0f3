/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Gateways that misbehave: watches.  See test_gateway.c, and
 * test_gateway_stream.c for how streams end.
 *
 *   what gateways do (etcd 3.2 to 3.7, proxies)        test
 *   fragments, cut inside a revision                   fragments_come_together
 *   events twice, or again after newer ones            each_event_comes_once_and_in_order
 *   progress notices between events                    each_event_comes_once_and_in_order
 *   resume points: whole message, fragment, progress   goes_on_behind_what_was_told
 *   header.revision ahead of the events', or missing   goes_on_behind_what_was_told
 *   messages for ids that nobody has                   foreign_ids_are_nobodys
 *   answers twice, out of order, under other ids       answers_nobody_asked_for
 *   "canceled" with each reason, on creation or later  refusals_are_told_and_tried_again
 *   compact_revision, without a reason                 compaction_ends_or_lists_again
 *   "canceled" twice, as when both ends cross          end_that_comes_twice
 *   impossible revisions                               answers_nobody_asked_for
 *   a store at a lower revision, another cluster id    another_store_is_listed_again
 *   a member that lags behind                          member_that_lags_is_no_other_store
 *   an answer about the store that is behind events    events_overtake_what_is_asked_about_the_store
 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "watch_scene.h"

#define KEY_B "L2YvYg==" /* "/f/b" */
#define KEY_C "L2YvYw==" /* "/f/c" */

TestSuite(gateway_watch, .init = watch_scene_begin, .fini = watch_scene_end, .timeout = 100);

/* ---- scripts ------------------------------------------------------------ */

/* What every connection says behind the first answer. */
static _Atomic(const char *const *) script;
static atomic_size_t script_size;

static bool scripted(struct exchange *exchange)
{
    return asks(exchange, "/watch") && stream_script(exchange, script, script_size);
}

#define SCRIPT(...)                                          \
    do {                                                     \
        static const char *const lines_[] = { __VA_ARGS__ }; \
        script_size = sizeof lines_ / sizeof *lines_;        \
        script = lines_;                                     \
        gateway_set(scripted);                               \
    } while (0)

#define FRAGMENT(id, revision, list)                        \
    "{\"result\":{" HEADER(revision) ",\"watch_id\":\"" #id \
                                     "\",\"fragment\":true,\"events\":[" list "]}}"
#define PROGRESS(id, revision) "{\"result\":{" HEADER(revision) ",\"watch_id\":\"" #id "\"}}"
#define NO_REVISION            "\"header\":{\"cluster_id\":\"14841639068965178418\",\"raft_term\":\"2\"}"

Test(gateway_watch, fragments_come_together)
{
    SCRIPT(FRAGMENT(1, 9, PUT(KEY_F, 6)), FRAGMENT(1, 9, PUT(KEY_B, 6)),
           EVENTS(1, 9, PUT(KEY_C, 6) "," DELETE(KEY_F, 7)));
    watch_scene_open(0, 0);
    UNTIL(notes_say(&seen.notes, "up +/f/a=1 +/f/b=1 +/f/c=1 -/f/a ; "), 5);
    cr_assert_eq(notes_count(&seen.notes, LIBSD_EVENT_COMMIT), 1);
    watch_scene_behaves_again();
}

Test(gateway_watch, each_event_comes_once_and_in_order)
{
    SCRIPT(EVENTS(1, 9, PUT(KEY_F, 6) "," PUT(KEY_B, 7)), EVENTS(1, 9, PUT(KEY_B, 7)),
           PROGRESS(1, 7), EVENTS(1, 9, PUT(KEY_F, 6) "," PUT(KEY_B, 7)), PROGRESS(-1, 99),
           EVENTS(1, 9, PUT(KEY_F, 3) "," PUT(KEY_C, 8)), PROGRESS(1, 3), PROGRESS(1, 8),
           EVENTS(1, 9, DELETE(KEY_C, 8) "," DELETE(KEY_C, 9)), EVENTS(1, 9, ""));
    watch_scene_open(0, 0);
    UNTIL(notes_say(&seen.notes, "up +/f/a=1 +/f/b=1 ; +/f/c=1 ; -/f/c ; "), 5);
    cr_assert_not(seen.notes.disordered);
    cr_assert_eq(notes_count(&seen.notes, LIBSD_EVENT_DISCONNECTED), 0);
    watch_scene_behaves_again();
}

/* Says the words, and then is gone: where does the watch go on? */
static void goes_on_from(const char *words, int64_t start)
{
    libsd_watch *made = watch_scene_open(0, 0);

    UNTIL(notes_say(&seen.notes, words), 5);
    gateway_set(NULL);
    notes_forget(&seen.notes);
    gateway_hang_up();
    UNTIL(notes_say(&seen.notes, "up "), 5);
    cr_assert_eq(gateway_start_revision(), start, "%lld after %s",
                 (long long)gateway_start_revision(), words);
    libsd_watch_close(made);
    notes_forget(&seen.notes);
}

Test(gateway_watch, goes_on_behind_what_was_told)
{
    SCRIPT(PROGRESS(1, 0));
    goes_on_from("up ", 6);
    SCRIPT(EVENTS(1, 40, PUT(KEY_F, 8)));
    goes_on_from("+/f/a=1 ; ", 9);
    SCRIPT(FRAGMENT(1, 40, PUT(KEY_F, 8)));
    goes_on_from("+/f/a=1 ", 8);
    SCRIPT(FRAGMENT(1, 40, PUT(KEY_F, 8)), PROGRESS(1, 40), FRAGMENT(1, 40, PUT(KEY_B, 9)));
    goes_on_from("+/f/b=1 ", 9);
    SCRIPT(PROGRESS(1, 30), EVENTS(1, 40, PUT(KEY_F, 32)), PROGRESS(1, 39), PROGRESS(1, 33),
           FRAGMENT(1, 40, PUT(KEY_B, 40)));
    goes_on_from("+/f/b=1 ", 40);
    SCRIPT("{\"result\":{" NO_REVISION ",\"watch_id\":\"1\",\"events\":[" PUT(KEY_F, 8) "]}}");
    goes_on_from("+/f/a=1 ; ", 9);
}

static bool creates_without_a_revision(struct exchange *exchange)
{
    if (!asks(exchange, "/watch") || !stream_read(exchange))
        return false;
    stream_line(exchange, "{\"result\":{" NO_REVISION ",\"watch_id\":\"1\",\"created\":true}}");
    stream_wait(exchange);
    return true;
}

Test(gateway_watch, from_now_stays_now_as_long_as_now_is_unknown)
{
    gateway_set(creates_without_a_revision);
    goes_on_from("up ", 0);
}

Test(gateway_watch, foreign_ids_are_nobodys)
{
    SCRIPT(EVENTS(2, 9, PUT(KEY_B, 6)), EVENTS(-1, 9, PUT(KEY_B, 6)),
           EVENTS(9223372036854775807, 9, PUT(KEY_B, 6)), EVENTS(0, 9, PUT(KEY_B, 6)),
           "{\"result\":{" H ",\"events\":[" PUT(KEY_B, 6) "]}}",
           "{\"result\":{" H ",\"watch_id\":\"4611686018427387904\",\"canceled\":true}}",
           "{\"result\":{" H ",\"watch_id\":\"-7\",\"canceled\":true}}",
           EVENTS(1, 9, PUT(KEY_F, 6)));
    watch_scene_open(0, 0);
    UNTIL(notes_say(&seen.notes, "up +/f/a=1 ; "), 5);
    cr_assert_not(notes_say(&seen.notes, "/f/b"));
    watch_scene_behaves_again();
}

/* ---- answers that are not in order -------------------------------------- */

static const char *first;

static bool says_first(struct exchange *exchange)
{
    if (!asks(exchange, "/watch") || !stream_read(exchange))
        return false;
    stream_line(exchange, first);
    stream_wait(exchange);
    return true;
}

Test(gateway_watch, answers_nobody_asked_for)
{
    static const struct {
        const char *line;
        const char *words;
    } wrong[] = {
        { CREATED(77), "watch 77 was created, but not asked for" },
        { CREATED(0), "watch 0 was created" },
        { CREATED(-1), "watch -1 was created" },
        { "{\"result\":{" H ",\"created\":true}}", "watch 0 was created" },
        { CREATED(1) "\n" CREATED(1), "watch 1 was created, but not asked for" },
        { "{\"result\":{" HEADER(9223372036854775807) ",\"watch_id\":\"1\",\"created\":true}}",
          "impossible revision" },
        { CREATED(1) "\n" EVENTS(1, 9, PUT(KEY_F, 9223372036854775807)), "impossible revision" },
        { CREATED(1) "\n" EVENTS(1, 9, "{\"type\":\"MOVE\",\"kv\":" KV(KEY_F, 6) "}"),
          "unknown type" },
        { CREATED(1) "\n" EVENTS(1, 9, "{}"), "event without key" },
        { CREATED(1) "\n{\"result\":{" H ",\"watch_id\":\"1\",\"even", "string without end" },
        { CREATED(1) "\n{\"status\":\"ok\"}", "no result" },
        { CREATED(1) "\n<html>", "object expected" },
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        libsd_watch *made;

        first = wrong[i].line;
        notes_reset(&seen.notes);
        gateway_set(says_first);
        made = watch_scene_open(0, 0);
        UNTIL(notes_count(&seen.notes, LIBSD_EVENT_DISCONNECTED) == 1, 5);
        cr_assert_eq(seen.notes.last_error, LIBSD_EPROTOCOL, "%s", wrong[i].line);
        cr_assert(strstr(seen.notes.detail, gateway.url) &&
                      strstr(seen.notes.detail, "/v3/watch: HTTP 200") &&
                      strstr(seen.notes.detail, wrong[i].words),
                  "no '%s' in '%s'", wrong[i].words, seen.notes.detail);
        if (i % 4 == 0)
            gateway_is_left_in_peace();
        watch_scene_behaves_again();
        libsd_watch_close(made);
        /* Or it would wait longer after each of them. */
        libsd_close(seen.sd);
        seen.sd = etcd_open(&gateway, NULL);
    }
}

/* ---- refusals ----------------------------------------------------------- */

static atomic_bool refusing;
static const char *refusal;

/* Refuses new watches; the heartbeat's and what else comes it answers well. */
static bool refuses(struct exchange *exchange)
{
    if (!asks(exchange, "/watch"))
        return false;
    while (stream_read(exchange)) {
        if (refusing && strstr(exchange->body, "watch_id") &&
            strstr(exchange->body, "create_request"))
            stream_line(exchange, refusal);
        else
            stream_behave(exchange);
    }
    return true;
}

#define REFUSED(reason)                                                          \
    "{\"result\":{" H ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true," \
    "\"cancel_reason\":\"" reason "\"}}"
#define CANCELED(reason) \
    CREATED(1)           \
    "\n{\"result\":{" H ",\"watch_id\":\"1\",\"canceled\":true,\"cancel_reason\":\"" reason "\"}}"
#define RPC "rpc error: code = "

Test(gateway_watch, refusals_are_told_and_tried_again)
{
    static const struct {
        const char *line;
        int error;
        const char *words;
    } refusals[] = {
        { REFUSED("mvcc: watcher range is empty"), LIBSD_EREFUSED, "range is empty" },
        { REFUSED("mvcc: duplicate watch ID provided on the WatchStream"), LIBSD_EREFUSED,
          "duplicate" },
        { REFUSED(RPC "PermissionDenied desc = etcdserver: permission denied"), LIBSD_EDENIED,
          "denied" },
        { REFUSED(RPC "Unauthenticated desc = etcdserver: invalid auth token"), LIBSD_EAUTH,
          "token" },
        { REFUSED(RPC "InvalidArgument desc = etcdserver: user name is empty"), LIBSD_EAUTH,
          "user name" },
        { REFUSED(RPC "InvalidArgument desc = etcdserver: revision of auth store is old"),
          LIBSD_EAUTH, "is old" },
        { CANCELED("etcdserver: whatever comes to its mind"), LIBSD_EREFUSED, "its mind" },
        { CANCELED("etcdserver: permission denied"), LIBSD_EDENIED, "denied" },
    };

    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        libsd *own = etcd_open(&gateway, NULL);
        libsd_watch *made;
        int before = gateway_requests();

        refusal = refusals[i].line;
        refusing = true;
        gateway_set(refuses);
        notes_reset(&seen.notes);
        cr_assert_eq(libsd_watch_open(own, libsd_str("/f/"), LIBSD_WATCH_PREFIX, 0, notes_take,
                                      &seen.notes, &made),
                     0);
        UNTIL(notes_count(&seen.notes, LIBSD_EVENT_DISCONNECTED) == 1, 5);
        cr_assert_eq(seen.notes.last_error, refusals[i].error, "%s", refusal);
        cr_assert(strstr(seen.notes.detail, gateway.url) &&
                      strstr(seen.notes.detail, refusals[i].words),
                  "%s", seen.notes.detail);
        if (i % 3 == 0)
            gateway_is_left_in_peace();
        cr_assert_leq(gateway_requests() - before, 40);
        notes_forget(&seen.notes);
        refusing = false;
        UNTIL(notes_say(&seen.notes, "up "), 10);
        libsd_close(own);
    }
}

#define COMPACTED                 \
    CREATED(1)                    \
    "\n{\"result\":{" NO_REVISION \
    ",\"watch_id\":\"1\",\"canceled\":true,\"compact_revision\":\"37\"}}"

Test(gateway_watch, compaction_ends_or_lists_again)
{
    static struct notes listed;
    libsd_watch *made;

    refusal = COMPACTED;
    refusing = true;
    gateway_set(refuses);
    watch_scene_open(0, 6);
    UNTIL(notes_count(&seen.notes, LIBSD_EVENT_ENDED) == 1, 5);
    cr_assert_eq(seen.notes.last_error, LIBSD_ECOMPACTED);
    cr_assert_not_null(strstr(seen.notes.detail, "37"));
    notes_init(&listed);
    cr_assert_eq(libsd_watch_open(seen.sd, libsd_str("/f/"), LIBSD_WATCH_PREFIX | LIBSD_WATCH_LIST,
                                  0, notes_take, &listed, &made),
                 0);
    UNTIL(notes_count(&listed, LIBSD_EVENT_LIST_END) == 3, 5);
    gateway_is_left_in_peace();
    refusing = false;
    watch_scene_behaves_again();
    cr_assert_eq(notes_count(&listed, LIBSD_EVENT_ENDED), 0);
    cr_assert_eq(notes_count(&seen.notes, LIBSD_EVENT_ENDED), 1);
}

/* Ends the first watch twice, and tells each other one of its own key. */
static bool ends_twice(struct exchange *exchange)
{
    char key[64];
    char id[32];
    char line[400];

    if (!asks(exchange, "/watch"))
        return false;
    while (stream_read(exchange)) {
        stream_behave(exchange);
        member(exchange, "key", key, sizeof key);
        member(exchange, "watch_id", id, sizeof id);
        if (!strstr(exchange->body, "create_request") || !*id)
            continue;
        snprintf(line, sizeof line, "{\"result\":{" H ",\"watch_id\":\"%s\",\"canceled\":true}}",
                 id);
        if (strcmp(key, "L2Yv") == 0) {
            stream_line(exchange, line);
            stream_line(exchange, line);
            continue;
        }
        snprintf(line, sizeof line,
                 "{\"result\":{" H ",\"watch_id\":\"%s\",\"events\":[{\"kv\":{\"key\":\"%s\","
                 "\"mod_revision\":\"6\"}}]}}",
                 id, key);
        stream_line(exchange, line);
    }
    return true;
}

Test(gateway_watch, end_that_comes_twice)
{
    static const char *const keys[] = { "/1", "/2", "/3", "/4" };
    static struct notes told[4];
    libsd_watch *made;
    char words[32];

    gateway_set(ends_twice);
    notes_init(&told[0]);
    cr_assert_eq(libsd_watch_open(seen.sd, libsd_str("/0"), 0, 0, notes_take, &told[0], &made), 0);
    watch_scene_open(0, 0);
    UNTIL(notes_count(&seen.notes, LIBSD_EVENT_ENDED) == 1, 5);
    for (int i = 0; i < 4; i++) {
        if (i)
            notes_init(&told[i]);
        cr_assert_eq(
            libsd_watch_open(seen.sd, libsd_str(keys[i]), 0, 0, notes_take, &told[i], &made), 0);
    }
    for (int i = 0; i < 4; i++) {
        snprintf(words, sizeof words, "up +%s= ; ", keys[i]);
        UNTIL(notes_say(&told[i], words), 5);
    }
    cr_assert_eq(notes_count(&told[0], LIBSD_EVENT_DISCONNECTED), 0);
}

/* ---- another store ------------------------------------------------------ */

#define OTHER(revision) \
    "\"header\":{\"cluster_id\":\"77\",\"revision\":\"" #revision "\",\"raft_term\":\"1\"}"

static const char *other_created;
static const char *other_page; /* NULL: as ever */

static bool is_another(struct exchange *exchange)
{
    if (asks(exchange, "/kv/range") && other_page)
        return answer_ok(exchange, other_page);
    if (!asks(exchange, "/watch") || !stream_read(exchange))
        return false;
    stream_line(exchange, other_created);
    stream_wait(exchange);
    return true;
}

/* A list and a watch; then the connection ends, and another store is there. */
static libsd_watch *meets(const char *created, const char *page)
{
    libsd_watch *made;

    notes_reset(&seen.notes);
    gateway_set(NULL);
    made = watch_scene_open(LIBSD_WATCH_LIST, 0);
    UNTIL(notes_say(&seen.notes, "] up "), 5);
    notes_forget(&seen.notes);
    other_created = created;
    other_page = page;
    gateway_set(is_another);
    gateway_hang_up();
    return made;
}

Test(gateway_watch, another_store_is_listed_again)
{
    static const char *const created[] = {
        "{\"result\":{" OTHER(5) ",\"watch_id\":\"1\",\"created\":true}}",
        "{\"result\":{" HEADER(2) ",\"watch_id\":\"1\",\"created\":true}}",
    };
    static const char *const pages[] = {
        "{" OTHER(5) ",\"kvs\":[" KV(KEY_B, 2) "],\"count\":\"1\"}",
        "{" HEADER(2) ",\"kvs\":[" KV(KEY_B, 2) "],\"count\":\"1\"}",
    };

    for (int i = 0; i < 2; i++) {
        libsd_watch *made = meets(created[i], pages[i]);

        UNTIL(notes_say(&seen.notes, "[ +/f/b=1 ] "), 5);
        gateway_is_left_in_peace();
        libsd_watch_close(made);
        /* What was known of the other store is known of that handle. */
        libsd_close(seen.sd);
        seen.sd = etcd_open(&gateway, NULL);
    }
    watch_scene_behaves_again();
}

Test(gateway_watch, member_that_lags_is_no_other_store)
{
    meets("{\"result\":{" HEADER(2) ",\"watch_id\":\"1\",\"created\":true}}", NULL);
    UNTIL(notes_say(&seen.notes, "up "), 5);
    gateway_is_left_in_peace();
    cr_assert_eq(notes_count(&seen.notes, LIBSD_EVENT_LIST_BEGIN), 1);
    watch_scene_behaves_again();
}

static atomic_bool answered;

static bool is_overtaken(struct exchange *exchange)
{
    if (asks(exchange, "/kv/range")) {
        UNTIL(notes_count(&seen.notes, LIBSD_EVENT_COMMIT), 5);
        answered = true;
        return false;
    }
    if (!asks(exchange, "/watch") || !stream_read(exchange))
        return false;
    stream_behave(exchange);
    stream_line(exchange, EVENTS(1, 6, PUT(KEY_B, 6)));
    stream_wait(exchange);
    return true;
}

/* At revision 5, which the watch was begun behind; it has told of 6 since. */
Test(gateway_watch, events_overtake_what_is_asked_about_the_store)
{
    watch_scene_open(LIBSD_WATCH_LIST, 0);
    UNTIL(notes_say(&seen.notes, "] up "), 5);
    gateway_set(is_overtaken);
    gateway_hang_up();
    UNTIL(answered, 10);
    gateway_is_left_in_peace();
    cr_assert_eq(notes_count(&seen.notes, LIBSD_EVENT_LIST_BEGIN), 1);
    watch_scene_behaves_again();
}
