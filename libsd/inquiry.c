/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Asking etcd whether a lease is still there; see inquiry.h.
 */
#include "inquiry.h"

#include <stdlib.h>

#include "internal.h"
#include "lease.h"

#define ASK_MAX 32
#define WAIT_MS 500

struct inquiry {
    LIST_ENTRY(inquiry) link;
    struct call call;
    int64_t lease;
    int64_t revision; /* at which the keys were deleted */
    LIST_HEAD(, change) changes;
};

static void decide(struct inquiry *inquiry, int reason)
{
    struct libsd *sd = inquiry->call.sd;
    struct change *change;

    while ((change = LIST_FIRST(&inquiry->changes))) {
        LIST_REMOVE(change, asked);
        change->undecided = false;
        change->reason = reason;
    }
    LIST_REMOVE(inquiry, link);
    sd->catalogs.inquiry_count--;
    buffer_free(&inquiry->call.body);
    free(inquiry);
}

static void inquiry_done(struct call *call, struct buffer *text)
{
    struct inquiry *inquiry = container_of(call, struct inquiry, call);
    struct failure failure = call->failure;
    struct answer answer = { 0 };
    int reason = LIBSD_REASON_DELETED;

    /* A TTL of -1 is all that etcd says of a lease that is gone. */
    if (failure.code == 0 && answer_read(text, &answer, &failure) == 0)
        reason = answer.ttl < 0 ? LIBSD_REASON_LEASE_ENDED : LIBSD_REASON_DEREGISTERED;
    records_free(&answer.records);
    decide(inquiry, reason); /* flushed at the end of the turn */
}

/* One for all keys that went with a lease.  NULL: not asked. */
static struct inquiry *inquiry_get(struct libsd *sd, int64_t lease, int64_t revision)
{
    struct inquiry *inquiry;

    LIST_FOREACH(inquiry, &sd->catalogs.inquiries, link)
    {
        if (inquiry->lease == lease && inquiry->revision == revision)
            return inquiry;
    }
    if (sd->catalogs.inquiry_count >= ASK_MAX)
        return NULL;
    inquiry = calloc(1, sizeof *inquiry);
    if (!inquiry)
        return NULL;
    inquiry->lease = lease;
    inquiry->revision = revision;
    LIST_INSERT_HEAD(&sd->catalogs.inquiries, inquiry, link);
    sd->catalogs.inquiry_count++;
    inquiry->call.sd = sd;
    inquiry->call.path = "/lease/timetolive";
    inquiry->call.deadline_ns = now_ns() + WAIT_MS * MS;
    inquiry->call.done = inquiry_done;
    lease_id_body(&inquiry->call.body, lease);
    call_start(&inquiry->call);
    return inquiry;
}

void inquiry_ask(struct libsd *sd, struct change *change)
{
    struct inquiry *inquiry = inquiry_get(sd, change->before->instance.lease, change->revision);

    if (!inquiry)
        return;
    change->undecided = true;
    LIST_INSERT_HEAD(&inquiry->changes, change, asked);
}

void inquiries_end(struct libsd *sd)
{
    struct inquiry *inquiry = LIST_FIRST(&sd->catalogs.inquiries);

    while (inquiry) {
        struct inquiry *next = LIST_NEXT(inquiry, link);

        call_cancel(&inquiry->call);
        decide(inquiry, LIBSD_REASON_DELETED);
        inquiry = next;
    }
}
