/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Is it still the same store?  See landmark.h.
 *
 *   doubted ──▶ at its revision ──is there──▶ trusted
 *                  │        └─── is not ────▶ replaced
 *                  │ compacted
 *                  ▼
 *               as it is now ──unchanged───▶ trusted
 *                           └── else ──────▶ replaced, for all we know
 */
#include "landmark.h"

#include "internal.h"

static void ask_for_landmark(struct libsd *sd);

void landmark_doubt(struct libsd *sd)
{
    struct landmark *landmark = &sd->stream.landmark;

    landmark->doubted = landmark->kv.mod_revision && landmark->cluster_id;
    landmark->latest = false;
}

void landmark_note(struct libsd *sd, const struct records *records)
{
    struct landmark *landmark = &sd->stream.landmark;

    /* Without a connection that was looked at, they may be another store's. */
    if (landmark->kv.mod_revision && (landmark->doubted || sd->stream.state != STREAM_OPEN))
        return;
    for (size_t i = 0; i < records->count; i++) {
        const struct record *record = &records->list[i];

        if (record->type != LIBSD_EVENT_PUT || record->kv.key.size > sizeof landmark->key ||
            record->kv.mod_revision <= landmark->kv.mod_revision)
            continue;
        landmark->kv = record->kv;
        memcpy(landmark->key, record->kv.key.data, record->kv.key.size);
        landmark->kv.key.data = landmark->key;
        landmark->kv.value = libsd_bytes(NULL, 0);
    }
}

static bool is_there(const struct landmark *landmark, const struct records *records)
{
    const libsd_kv *kv;

    if (records->count != 1)
        return false;
    kv = &records->list[0].kv;
    return kv->create_revision == landmark->kv.create_revision &&
           kv->mod_revision == landmark->kv.mod_revision && kv->version == landmark->kv.version &&
           kv->lease == landmark->kv.lease;
}

/* Watches that were begun behind what the store has, or, if it is another one,
 * all that expect anything.  What they told of since is no such sign: it may be
 * newer than the answer. */
static void tell(struct libsd *sd, bool replaced, int64_t revision)
{
    struct subscription *subscription = TAILQ_FIRST(&sd->stream.subscriptions);
    struct failure failure;

    failure_set(&failure, LIBSD_ECOMPACTED, "the store was replaced; it is at revision %lld now",
                (long long)revision);
    while (subscription) {
        struct subscription *next = TAILQ_NEXT(subscription, link);

        if (subscription->next && (replaced || (subscription->state == SUBSCRIPTION_LIVE &&
                                                subscription->begun - 1 > revision)))
            stream_lose(sd, subscription, true, &failure);
        subscription = next;
    }
}

static void asked(struct call *call, struct buffer *text)
{
    struct libsd *sd = call->sd;
    struct landmark *landmark = &sd->stream.landmark;
    struct failure failure = call->failure;
    struct answer answer = { 0 };
    bool replaced;

    if (failure.code == LIBSD_ECOMPACTED && landmark->doubted && !landmark->latest) {
        landmark->latest = true;
        ask_for_landmark(sd);
        return;
    }
    landmark->latest = false;
    if (failure.code < 0 || answer_read(text, &answer, &failure) < 0) {
        records_free(&answer.records);
        if (failure.code == LIBSD_EDENIED)
            landmark->kv.mod_revision = 0; /* the user may no longer see it */
        stream_fail(sd, &failure);         /* and with the next connection, ask again */
        return;
    }
    replaced = answer.header.cluster_id != landmark->cluster_id ||
               answer.header.raft_term < landmark->raft_term ||
               (landmark->doubted && !is_there(landmark, &answer.records));
    records_free(&answer.records);
    landmark->cluster_id = answer.header.cluster_id;
    landmark->raft_term = answer.header.raft_term;
    landmark->doubted = false;
    if (replaced)
        landmark->kv.mod_revision = 0;
    tell(sd, replaced, answer.header.revision);
}

/* Only a linearizable answer tells: a member may just lag behind. */
static void ask(struct libsd *sd, libsd_slice key, bool prefix, int64_t revision)
{
    struct call *call = &sd->stream.landmark.call;
    struct buffer *body = &call->body;

    call->sd = sd;
    call->path = "/kv/range";
    call->flags = 0;
    call->deadline_ns = now_ns() + 5 * S;
    call->done = asked;
    buffer_text(body, "{");
    message_key(body, key, prefix);
    if (revision)
        buffer_format(body, ",\"revision\":\"%lld\"", (long long)revision);
    buffer_text(body, ",\"limit\":\"1\",\"keys_only\":true}");
    call_start(call);
}

static void ask_for_landmark(struct libsd *sd)
{
    const struct landmark *landmark = &sd->stream.landmark;

    ask(sd, landmark->kv.key, false, landmark->latest ? 0 : landmark->kv.mod_revision);
}

void landmark_check(struct libsd *sd, const struct header *header,
                    const struct subscription *subscription)
{
    struct landmark *landmark = &sd->stream.landmark;

    if (landmark->cluster_id == 0)
        landmark->cluster_id = header->cluster_id;
    if (!landmark->doubted && header->cluster_id == landmark->cluster_id &&
        header->raft_term >= landmark->raft_term && header->revision >= subscription->next - 1) {
        landmark->raft_term = header->raft_term;
        return;
    }
    if (landmark->call.active)
        return;
    if (landmark->doubted)
        ask_for_landmark(sd);
    else /* for its header: any key will do that the user may read */
        ask(sd, subscription->span.key, subscription->span.prefix, 0);
}
