/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The table of keys: all that can be configured, each in one row.  The parser
 * of the file, the environment, the command line and --help are made from it;
 * a new key is a row in keys.c and a field in struct settings.
 *
 *     max-stale = 60          in the file
 *     ETCDSD_MAX_STALE=60     in the environment
 *     --max-stale 60          on the command line
 */
#ifndef ETCDSD_WATCHER_KEYS_H
#define ETCDSD_WATCHER_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "networks.h"

/* What the keys say: of the whole file, of one zone or of one service.  All
 * strings are the structure's own.  Start from zero. */
struct settings {
    uint64_t given; /* bit n: keys[n] was set */

    /* Of etcd; NULL: not on the command line.  libsd looks for them in the
     * file and the environment by itself. */
    char *endpoints;
    char *cacert, *cert, *key;
    char *user, *password;

    char *prefix; /* ends with '/' */
    char *domain; /* as zone_domain_normalize() makes it */
    char *format; /* as libsd_instance_parse() knows it */
    struct networks allow;
    uint64_t max_answers; /* 0: auto */
    uint64_t weights;     /* 0: ignored */
    uint64_t max_instances;
    uint64_t max_value_bytes;

    char *table;
    uint64_t max_table_bytes;
    uint64_t max_stale_s;    /* 0: for ever */
    uint64_t confirm_loss_s; /* 0: each list is believed */
    uint64_t log_level;      /* enum log_level */

    char *state_directory; /* NULL: as the table is; see watcher.c */
    uint64_t snapshot_interval_s;
    char *metrics_file, *metrics_listen; /* "" or NULL: none */
};

enum key_kind {
    KEY_TEXT,    /* char *: any */
    KEY_FORMAT,  /* char *: one of the words, and ":scheme" behind it */
    KEY_FILE,    /* char *: the path of a file */
    KEY_PREFIX,  /* char *: a '/' is added */
    KEY_DOMAIN,  /* char *: normalized */
    KEY_NUMBER,  /* uint64_t: one of the words, or in the range */
    KEY_SECONDS, /* the same, with a unit: s m h d */
    KEY_BYTES,   /* the same, with a unit: K M G */
    KEY_NETWORKS /* struct networks */
};

/* Where a key may stand, and whose it is. */
enum key_place {
    KEY_TOP = 1,      /* before the first section and in [watcher] */
    KEY_ZONE = 2,     /* in [zone NAME]; the top's value is the default there */
    KEY_SERVICE = 4,  /* in [service NAME]; its zone's value is the default there */
    KEY_ETCD = 8,     /* libsd's: it reads the file and the environment itself */
    KEY_AT_START = 16 /* a running daemon keeps what it started with */
};

/* A value that is a word; the end of a list of them has word NULL. */
struct key_word {
    const char *word;
    uint64_t value;
};

struct key {
    const char *name;
    const char *variable; /* of the environment; NULL: none */
    enum key_kind kind;
    unsigned places; /* of enum key_place */
    size_t offset;   /* in struct settings */
    const struct key_word *words;
    uint64_t least, most;
    const char *fallback; /* as it would be written; NULL: none */
    const char *argument; /* its name in --help */
    const char *text;     /* what --help and the manual page say of it */
};

#define KEYS_MAX 64 /* bits in settings.given */

extern const struct key keys[];
extern const size_t key_count;

/* The number of the key that has the name, or -1. */
int key_find(const char *name);

/* The name, among keys that have any of the places, that looks most like a
 * slip of one of them; NULL if none does. */
const char *key_nearest(const char *slip, unsigned places);

/* Sets a key from text.  why: receives, on -EINVAL, one line of what is wrong
 * with the value, without the key's name.  Returns 0, -EINVAL or -ENOMEM: the
 * settings are as they were. */
#define KEY_WHY_SIZE 400
int key_set(struct settings *settings, size_t key, const char *value, char why[KEY_WHY_SIZE]);

/* Copies one key.  Returns 0 or -ENOMEM: `to` is as it was. */
int key_copy(struct settings *to, const struct settings *from, size_t key);

/* Whether both say the same in one key. */
bool key_is_same(const struct settings *a, const struct settings *b, size_t key);

/* Copies those keys of the places that `to` was not given.  Returns 0 or
 * -ENOMEM. */
int settings_inherit(struct settings *to, const struct settings *from, unsigned places);

/* Whether both say the same in all keys of the places. */
bool settings_are_same(const struct settings *a, const struct settings *b, unsigned places);

/* Frees what the structure holds, passwords wiped. */
void settings_free(struct settings *settings);

#endif
