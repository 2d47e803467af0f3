/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A real etcd of a test's own, and a notebook for the events of its watches.
 *
 * Relies on an `etcd` in $PATH.  Guarantees that the process and its files are
 * gone when the test's process is, however that ended.
 */
#ifndef TESTS_ETCD_H
#define TESTS_ETCD_H

#include <libsd.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct etcd {
    pid_t pid;
    pid_t keeper; /* removes dir when we are gone */
    int lifeline; /* what it waits for the end of */
    char dir[200];
    char url[64];
    char peer[64];

    /* What a test may change between etcd_prepare() and etcd_boot(). */
    char name[8];
    char members[300];     /* as --initial-cluster has them; empty: it is alone */
    const char *also_at;   /* "https://[::1]": listen there, too, at the port of */
    char also[64];         /*   this URL; requests without libsd go to url */
    const char *flags[20]; /* more of them; the strings must live on */
    char token[1200];      /* of a user, for requests without libsd; empty: none */
};

/* Each ends the test when it can't do its part. */
void etcd_start(struct etcd *etcd);
/* The same in two steps: a place of its own; a process, until it is healthy. */
void etcd_prepare(struct etcd *etcd);
void etcd_boot(struct etcd *etcd);
void etcd_run(struct etcd *etcd); /* does not wait */
bool etcd_is_up(const struct etcd *etcd);
bool etcd_has_ended(struct etcd *etcd);
void etcd_kill(struct etcd *etcd);    /* SIGKILL; data stays */
void etcd_restart(struct etcd *etcd); /* with the same data, until it is healthy */
void etcd_wipe(struct etcd *etcd);    /* of a killed one: all data */
void etcd_move(struct etcd *etcd);    /* of a killed one: to another client port */
void etcd_freeze(struct etcd *etcd);
void etcd_thaw(struct etcd *etcd);
void etcd_end(struct etcd *etcd);

/* A POST without libsd: for what the library has no call for.  Returns the HTTP
 * status, 0 if there was no answer within a second. */
int etcd_post(const struct etcd *etcd, const char *path, const char *body);
/* The same with the answer, head and body; cut if it is too long. */
int etcd_ask(const struct etcd *etcd, const char *path, const char *body, char *answer,
             size_t size);
void etcd_compact(const struct etcd *etcd, int64_t revision);

/* Whether this process has a connection to it. */
bool etcd_is_connected(const struct etcd *etcd);

/* Appends the base64 of text to a string. */
void add_base64(char *to, const char *text);

/* A handle on it; dispatch NULL for the default. */
libsd *etcd_open(const struct etcd *etcd, const char *dispatch);

/* Calls of libsd that must not fail. */
int64_t put(libsd *sd, const char *key, const char *value);
bool has(libsd *sd, const char *key, const char *value);
bool absent(libsd *sd, const char *key);
/* Keys prefix00000 ... in transactions of 100. */
void put_many(const struct etcd *etcd, const char *prefix, int count);

double seconds(void);

/* Waits, looking each 5 ms, until the condition holds; fails the test after so
 * many seconds. */
#define UNTIL(condition, limit_s)                                                                \
    do {                                                                                         \
        double until_ = seconds() + (limit_s);                                                   \
        while (!(condition)) {                                                                   \
            cr_assert(seconds() < until_, "not within %g s: %s", (double)(limit_s), #condition); \
            nap();                                                                               \
        }                                                                                        \
    } while (0)
void nap(void);

/* ---- the notebook ------------------------------------------------------- */

/* Events as words: "+key=value", "-key", "[", "]", ";", "down", "up", "end". */
struct notes {
    pthread_mutex_t mutex;
    char *text; /* separated by spaces */
    size_t size;
    int counts[12];   /* by type */
    int64_t revision; /* of the last event with one */
    bool disordered;  /* revisions went back outside a list */
    int last_error;
    char detail[300];
};

void notes_init(struct notes *notes);
void notes_take(const libsd_event *event, void *notes); /* a libsd_watch_callback */
int notes_count(struct notes *notes, int type);
bool notes_say(struct notes *notes, const char *words);
/* Forgets the words, not the counts; all, as after notes_init(). */
void notes_forget(struct notes *notes);
void notes_reset(struct notes *notes);

#endif
