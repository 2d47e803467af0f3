/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A whole watch stream: from lines to the events of subscriptions, over lost
 * connections, with subscriptions that come and go.  The stream is a real one
 * whose connection is never made; the input says what etcd sends, and when.
 *
 * Whatever that is: events of a subscription go forward, none of a revision
 * comes when that was said to be complete, and the books are right.
 */
#include <unistd.h>

#include "fuzz.h"
#include "internal.h"

#define SUBSCRIPTIONS 4

struct subscriber {
    struct subscription subscription; /* first */
    bool live;
    int64_t revision; /* of the last event */
    bool complete;    /* no more of that one */
};

static struct libsd *sd;
static struct subscriber subscribers[SUBSCRIPTIONS];

static struct subscriber *of(struct subscription *subscription)
{
    return (struct subscriber *)(void *)subscription;
}

static void on_live(struct subscription *subscription)
{
    require(subscription->state == SUBSCRIPTION_LIVE);
    of(subscription)->live = true;
}

static bool on_events(struct subscription *subscription, struct records *records,
                      struct buffer *text, bool complete)
{
    struct subscriber *subscriber = of(subscription);

    require(subscriber->live && records->count > 0);
    for (size_t i = 0; i < records->count; i++) {
        const libsd_kv *kv = &records->list[i].kv;
        const char *key = kv->key.data;

        require(kv->mod_revision > subscriber->revision ||
                (kv->mod_revision == subscriber->revision && !subscriber->complete));
        require(kv->key.size > 0 && key >= text->data &&
                key + kv->key.size <= text->data + text->size);
        subscriber->revision = kv->mod_revision;
        subscriber->complete = false;
    }
    subscriber->complete = complete;
    require(subscription->next == subscriber->revision + complete);
    /* Now and then it is taken over. */
    if (records->count % 2) {
        records_free(records);
        buffer_free(text);
    }
    return true;
}

static void on_down(struct subscription *subscription, const struct failure *failure)
{
    require(failure->code < 0 && *failure->text);
    of(subscription)->live = false;
}

static void on_lost(struct subscription *subscription, const struct failure *failure)
{
    require(failure->code == LIBSD_ECOMPACTED && subscription->state == SUBSCRIPTION_NONE);
    *of(subscription) = (struct subscriber){ .subscription = *subscription };
}

/* ---- the stream's books ------------------------------------------------- */

static void check_books(void)
{
    struct stream *stream = &sd->stream;
    unsigned creating = 0;
    size_t steps = 0;

    for (int i = 0; i < SUBSCRIPTIONS; i++) {
        const struct subscription *subscription = &subscribers[i].subscription;

        creating += subscription->state == SUBSCRIPTION_CREATING;
        if (subscription->state == SUBSCRIPTION_CREATING ||
            subscription->state == SUBSCRIPTION_LIVE)
            require(subscription->slot < stream->slot_count &&
                    stream->slots[subscription->slot].subscription == subscription);
    }
    require(creating == stream->creating);
    if (stream->slot_count == 0)
        return;
    for (size_t i = stream->free_slot; i; i = stream->slots[i].next)
        require(stream->slots[i].state == SLOT_FREE && !stream->slots[i].subscription &&
                ++steps <= stream->slot_count);
    for (size_t i = stream->first_asked; i != SIZE_MAX; i = stream->slots[i].next)
        require(stream->slots[i].state == SLOT_ASKED && ++steps <= stream->slot_count);
    require(!stream->out.failed);
}

static void begin(void)
{
    sd = calloc(1, sizeof *sd);
    require(sd != NULL && options_resolve(&sd->options, NULL) == 0 &&
            endpoints_init(&sd->endpoints, sd->options.endpoints) == 0 &&
            queue_init(&sd->queue, false) == 0 && loop_init(&sd->loop) == 0);
    sd->pid = getpid();
    pthread_mutex_init(&sd->detail_mutex, NULL);
    stream_init(sd);
    for (int i = 0; i < SUBSCRIPTIONS; i++) {
        subscribers[i] = (struct subscriber){ 0 };
        subscribers[i].subscription = (struct subscription){
            .span = { .key = libsd_str("/f/"), .prefix = i % 2 },
            .on_live = on_live,
            .on_events = on_events,
            .on_down = on_down,
            .on_lost = on_lost,
        };
    }
}

static void end(void)
{
    for (int i = 0; i < SUBSCRIPTIONS; i++)
        stream_unsubscribe(sd, &subscribers[i].subscription);
    require(sd->stream.state == STREAM_IDLE && sd->stream.transfer.easy == NULL);
    stream_free(sd);
    loop_free(&sd->loop);
    queue_free(&sd->queue);
    endpoints_free(&sd->endpoints);
    options_clear(&sd->options);
    pthread_mutex_destroy(&sd->detail_mutex);
    free(sd);
}

/* ---- what etcd does ----------------------------------------------------- */

/* Time passes for one of those who wait. */
static void fire(unsigned number)
{
    struct timer *timer = sd->loop.timers.first;

    for (; timer && number; number--) {
        struct timer *next = number & 1 && timer->child ? timer->child : timer->next;

        if (next)
            timer = next;
    }
    if (timer) {
        timer_stop(timer);
        timer->fire(timer);
    }
}

static void receive(const char *data, size_t size)
{
    if (!sd->stream.transfer.easy)
        return;
    sd->stream.status = 200;
    require(lines_add(&sd->stream.lines, data, size) == 0);
    stream_turn(sd);
}

static void add_events(struct buffer *line, struct input *input)
{
    unsigned count = (unsigned)take(input, 1) % 5;

    buffer_text(line, ",\"events\":[");
    for (unsigned i = 0; i < count; i++) {
        unsigned what = (unsigned)take(input, 1);

        buffer_format(line, "%s{%s\"kv\":{\"key\":\"L2YvYQ==\",\"mod_revision\":\"%u\"}}",
                      i ? "," : "", what & 128 ? "\"type\":\"DELETE\"," : "", 1 + what % 32);
    }
    buffer_text(line, "]");
}

static void receive_message(struct input *input)
{
    static const char *const ends[] = {
        "",
        ",\"cancel_reason\":\"mvcc: watcher range is empty\"",
        ",\"cancel_reason\":\"etcdserver: permission denied\"",
        ",\"cancel_reason\":\"etcdserver: invalid auth token\"",
        ",\"compact_revision\":\"9\"",
    };
    struct buffer line = { 0 };
    unsigned flags = (unsigned)take(input, 1);

    buffer_format(
        &line,
        "{\"result\":{\"header\":{\"cluster_id\":\"%u\",\"raft_term\":\"%u\",\"revision\":"
        "\"%u\"},\"watch_id\":\"%d\"",
        1 + (flags >> 7), (flags >> 6) & 1, (unsigned)take(input, 1) % 40,
        (int)take(input, 1) % 8 - 1);
    buffer_text(&line, flags & 1 ? ",\"created\":true" : "");
    if (flags & 2)
        buffer_format(&line, ",\"canceled\":true%s", ends[take(input, 1) % 5]);
    buffer_text(&line, flags & 4 ? ",\"fragment\":true" : "");
    if (flags & 8)
        add_events(&line, input);
    buffer_text(&line, "}}\n");
    require(!line.failed);
    receive(line.data, line.size);
    buffer_free(&line);
}

static void receive_bytes(struct input *input)
{
    size_t size = take(input, 1);
    char *text = take_text(input, size);

    receive(text, strlen(text));
    free(text);
}

static void end_connection(struct input *input)
{
    static const long statuses[] = { 200, 200, 404, 503 };
    struct transfer *transfer = &sd->stream.transfer;
    unsigned what = (unsigned)take(input, 1);

    if (!transfer->easy)
        return;
    transfer_stop(transfer);
    transfer->done(transfer, what & 4 ? CURLE_PARTIAL_FILE : CURLE_OK, statuses[what % 4]);
}

/* The answer to the question whether the store is the one that it was. */
static void answer_check(struct input *input)
{
    struct transfer *transfer = &sd->stream.landmark.call.transfer;
    unsigned what = (unsigned)take(input, 1);
    bool compacted = what == 62;

    if (!transfer->easy)
        return;
    transfer_stop(transfer);
    if (compacted)
        buffer_text(&transfer->answer,
                    "{\"code\":11,\"message\":\"required revision has been compacted\"}");
    else
        buffer_format(
            &transfer->answer,
            "{\"header\":{\"cluster_id\":\"%u\",\"raft_term\":\"%u\",\"revision\":\"%u\"}",
            1 + (what >> 7), (what >> 6) & 1, what % 40);
    /* The landmark, if it is of that revision. */
    if (!compacted && what & 32)
        buffer_format(&transfer->answer,
                      ",\"kvs\":[{\"key\":\"L2YvYQ==\",\"mod_revision\":\"%u\"}]", 1 + what % 32);
    buffer_text(&transfer->answer, compacted ? "" : "}");
    transfer->done(transfer, what == 63 ? CURLE_PARTIAL_FILE : CURLE_OK, compacted ? 400 : 200);
}

static void subscribe(struct input *input)
{
    struct subscriber *subscriber = &subscribers[take(input, 1) % SUBSCRIPTIONS];
    struct subscription *subscription = &subscriber->subscription;

    if (subscription->state != SUBSCRIPTION_NONE) {
        stream_unsubscribe(sd, subscription);
        subscriber->live = false;
        subscriber->revision = 0;
        return;
    }
    subscription->next = (int64_t)take(input, 1) % 20;
    stream_subscribe(sd, subscription);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };

    begin();
    while (input.size > 0) {
        switch (take(&input, 1) % 8) {
        case 0:
            subscribe(&input);
            break;
        case 1:
            fire((unsigned)take(&input, 1) % 8);
            break;
        case 2:
            receive_bytes(&input);
            break;
        case 3:
            end_connection(&input);
            break;
        case 4:
            answer_check(&input);
            break;
        default:
            receive_message(&input);
        }
        check_books();
    }
    end();
    return 0;
}
