/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A watch of the application.
 */
#ifndef LIBSD_WATCH_H
#define LIBSD_WATCH_H

#include "audit.h"
#include "call.h"
#include "queue.h"
#include "stream.h"

struct libsd_watch {
    struct owner owner; /* first: what the queue knows of us */
    struct libsd *sd;
    char *keys; /* what is watched, and, of a range, its end */
    int flags;
    libsd_watch_callback *callback;
    const libsd_kv *previous; /* of the record that is delivered next */
    void *arg;
    /* For the library's own watches: told at once, on the I/O thread, instead
     * of the callback. */
    void (*direct)(struct libsd_watch *watch, const struct record *record);
    struct task start;
    struct task stop;

    LIST_ENTRY(libsd_watch) link;
    uint64_t cluster_id; /* of the last list, or the stream's; 0: not known yet */
    struct subscription subscription;
    enum {
        SIGHT_UNKNOWN,
        SIGHT_CONNECTED,
        SIGHT_DISCONNECTED
    } sight;    /* what the application was told last */
    int untold; /* enum libsd_event_type there was no memory to tell of; 0: none */
    int untold_error;
    struct timer untold_timer;

    /* LIBSD_WATCH_LIST; follow.c. */
    struct call call;
    struct timer timer;
    bool parked; /* the next page waits for the queue to drain */
    unsigned limit;
    struct backoff backoff;
    int64_t begun_ns;
    int64_t revision;     /* all pages of a list show it; 0: its first page */
    struct buffer cursor; /* the next page's first key */
    struct audit audit;
};

/* A watch of the library itself: a prefix with LIBSD_WATCH_LIST.  On the I/O
 * thread; NULL when out of memory. */
struct libsd_watch *watch_open_direct(libsd *sd, libsd_slice prefix,
                                      void (*direct)(struct libsd_watch *, const struct record *),
                                      void *arg);
/* Ends it; not from inside direct. */
void watch_close_direct(struct libsd_watch *watch);

/* On the I/O thread: tells the application. */
void watch_emit(struct libsd_watch *watch, struct item *item);
void watch_down(struct libsd_watch *watch, const struct failure *failure);
bool watch_note(struct libsd_watch *watch, int type, int64_t revision, int error,
                const char *detail);

/* The same, as a part of an item. */
bool watch_note_in(struct libsd_watch *watch, struct item *item, int type, int64_t revision,
                   int error, const char *detail);

/* follow.c: lists, then subscribes; again when needed. */
void follow_init(struct libsd_watch *watch);
void follow_start(struct libsd_watch *watch);
void follow_again(struct libsd_watch *watch);
/* The same while a list or a watch is under way. */
void follow_restart(struct libsd_watch *watch);
void follow_drained(struct libsd_watch *watch);
void follow_stop(struct libsd_watch *watch);

/* For audit.c: goes back to the first key; asks for the page from the cursor on
 * (revision 0: as it is now); reads it and moves the cursor behind it.  The last
 * returns 0 or LIBSD_E*, filling failure. */
void follow_rewind(struct libsd_watch *watch);
void follow_ask(struct libsd_watch *watch, int64_t revision,
                void (*done)(struct call *call, struct buffer *text));
int follow_read(struct libsd_watch *watch, struct buffer *text, struct answer *answer,
                struct failure *failure);

/* On the I/O thread: goes on reading; ends all that are left. */
void watches_drained(struct libsd *sd);
void watches_end(struct libsd *sd);

#endif
