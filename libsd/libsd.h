/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libsd: register services in etcd v3, keep them registered, and follow
 * what others register.
 *
 * A complete service:
 *
 *     libsd *sd;
 *     int rc = libsd_open(&sd, NULL);
 *     if (rc == 0)
 *         rc = libsd_register(sd, "user", "instance-1", "10.0.0.5:9090", 3, NULL);
 *     if (rc < 0)
 *         fprintf(stderr, "not registered: %s\n", libsd_strerror(rc));
 *     ...                          serve
 *     libsd_close(sd);             the key is gone from etcd at once
 *
 * Every host that runs etcdsd-watcher then resolves user.service.etcd.
 *
 * RETURN VALUES.  Functions that can fail return 0 (or a count) on success
 * and one of the negative LIBSD_E* codes below on failure.  libsd_strerror()
 * names the code; libsd_error_detail() adds endpoint, HTTP status and etcd's
 * own words.
 *
 * THREADS.  A handle has one I/O thread with every signal blocked.  All
 * functions may be called from any thread at any time, unless stated
 * otherwise.  A blocking call must not be made from a callback of the same
 * handle (it returns LIBSD_EDEADLOCK); every other call may.
 *
 * CALLBACKS run one at a time per handle, never on the I/O thread, so a slow
 * callback delays later callbacks but never a lease's keepalive.  By default
 * a second thread of the handle runs them; with the option dispatch=manual
 * they run inside libsd_dispatch() on the caller's thread.
 *
 * FORK.  A handle belongs to the process that opened it.  In a forked child
 * every call on it returns LIBSD_EFORKED, and libsd_close() frees what memory
 * it safely can, without touching the parent's leases and connections.
 *
 * STRINGS are UTF-8 or any other NUL-terminated bytes; keys and values are
 * byte slices and may hold NUL.  Unless stated otherwise the library copies
 * what it is given before the call returns.
 *
 * Every item is available since 0.1.0.
 */
#ifndef LIBSD_H
#define LIBSD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIBSD_VERSION "0.1.0"

/* Exported in the shared library; everything else in it is hidden. */
#define LIBSD_API     __attribute__((visibility("default")))

/* ---- errors ------------------------------------------------------------ */

enum libsd_error {
    LIBSD_OK = 0,
    LIBSD_EINVAL = -1,       /* an argument or option is not acceptable */
    LIBSD_ENOMEM = -2,       /* out of memory, threads or descriptors */
    LIBSD_ETIMEDOUT = -3,    /* no answer in time */
    LIBSD_EUNAVAILABLE = -4, /* no endpoint could be reached or has a leader */
    LIBSD_ENOTFOUND = -5,    /* no such key, watch or registration */
    LIBSD_ECONFLICT = -6,    /* somebody else holds the key */
    LIBSD_EAUTH = -7,        /* user or password refused */
    LIBSD_EDENIED = -8,      /* etcd: permission denied */
    LIBSD_ECOMPACTED = -9,   /* the revision asked for is compacted */
    LIBSD_ETOOBIG = -10,     /* request or answer is too large */
    LIBSD_ENOSPACE = -11,    /* etcd's database quota is used up */
    LIBSD_EPROTOCOL = -12,   /* the answer is not etcd's v3 JSON */
    LIBSD_ETLS = -13,        /* TLS certificate, key or CA file trouble */
    LIBSD_ECLOSED = -14,     /* the handle is being closed */
    LIBSD_EFORKED = -15,     /* the handle belongs to the parent process */
    LIBSD_ELEASE = -16,      /* etcd: requested lease not found */
    LIBSD_EREFUSED = -17,    /* etcd refused the request; see the detail */
    LIBSD_EDEADLOCK = -18,   /* blocking call inside a callback */
    LIBSD_EUNKNOWN = -19     /* a write that may or may not have happened */
};

/* The meaning of an error code, in English, without a newline.
 * code: what a libsd function returned.  Returns a static string, never NULL;
 * unknown codes give "unknown error".  Safe in any thread, forked children
 * and signal handlers included. */
LIBSD_API const char *libsd_strerror(int code);

/* Whether the same call may succeed later without anybody mending anything.
 * code: what a libsd function returned.  Returns 1 for LIBSD_ETIMEDOUT,
 * LIBSD_EUNAVAILABLE, LIBSD_ENOMEM and LIBSD_ENOSPACE, else 0: also for
 * LIBSD_EUNKNOWN, after which only the caller can tell what a repetition would
 * do.  libsd's own retries have already been made when a call returns. */
LIBSD_API int libsd_error_is_retriable(int code);

/* Whether no call on the handle can succeed any more.
 * code: what a libsd function returned.  Returns 1 for LIBSD_ECLOSED and
 * LIBSD_EFORKED, else 0. */
LIBSD_API int libsd_error_is_fatal(int code);

/* The name of an error code as the enum spells it, such as "LIBSD_EINVAL", for
 * logs that machines read; "unknown" for others.  Static; safe anywhere. */
LIBSD_API const char *libsd_error_name(int code);

/* ---- byte slices ------------------------------------------------------- */

/* A borrowed range of bytes.  data may be NULL when size is 0. */
typedef struct libsd_slice {
    const void *data;
    size_t size;
} libsd_slice;

/* The bytes of a C string, without its terminator. */
static inline libsd_slice libsd_str(const char *string)
{
    libsd_slice slice;

    slice.data = string;
    slice.size = strlen(string);
    return slice;
}

/* The slice (data, size). */
static inline libsd_slice libsd_bytes(const void *data, size_t size)
{
    libsd_slice slice;

    slice.data = data;
    slice.size = size;
    return slice;
}

/* ---- options and handle ------------------------------------------------ */

typedef struct libsd libsd;
typedef struct libsd_options libsd_options;

/* How loud a message is; the numbers are syslog's. */
enum libsd_log_level {
    LIBSD_LOG_ERROR = 3,
    LIBSD_LOG_WARNING = 4,
    LIBSD_LOG_INFO = 6,
    LIBSD_LOG_DEBUG = 7
};

/* Receives the library's messages: one line, no newline, no secrets.  Called
 * from any thread of the handle, the I/O thread included: it must not block
 * and must not call libsd. */
typedef void libsd_log_callback(int level, const char *message, void *arg);

/* Makes an empty set of options.
 * options: receives it; free it with libsd_options_free().
 * Returns 0 or LIBSD_ENOMEM. */
LIBSD_API int libsd_options_new(libsd_options **options);

/* Sets one option; a later call with the same key replaces the value.
 *
 * key         environment         value [default]
 *   endpoints   ETCDCTL_ENDPOINTS   comma-separated URLs of etcd's client ports
 *                                   [http://127.0.0.1:2379]; a bare host:port
 *                                   means http, no port means 2379
 *   cacert      ETCDCTL_CACERT      PEM files for https: the CA's certificate,
 *   cert        ETCDCTL_CERT        our certificate
 *   key         ETCDCTL_KEY         and its key
 *   server-name ETCDSD_SERVER_NAME  name that the certificates of the endpoints
 *                                   are for [the host of each URL]
 *   balance     ETCDSD_BALANCE      stay | first | turns: which endpoint is asked
 *                                   [stay]: a random one as long as it answers,
 *                                   then the next; the first of the list that
 *                                   answers; another one for each request (one
 *                                   that is down then costs each request that
 *                                   begins there another try)
 *   user        ETCDCTL_USER        etcd user, as name or name:password
 *   password    ETCDCTL_PASSWORD
 *   prefix      ETCDSD_PREFIX       key prefix of registrations [/service/]; a
 *                                   '/' is added if it does not end in one
 *   timeout-ms  ETCDSD_TIMEOUT_MS   whole time of a blocking call that gives
 *                                   none, 1 to 600000 [5000]
 *   ttl         ETCDSD_TTL          lease TTL in seconds of registrations that
 *                                   give none, 1 to LIBSD_TTL_MAX [10]
 *   takeover    ETCDSD_TAKEOVER     wait | force | fail [wait]; see enum
 *                                   libsd_takeover
 *   source      ETCDSD_SOURCE       auto | table | etcd: what libsd_pick() and
 *                                   libsd_resolve() ask [auto]: the table of
 *                                   the host's etcdsd-watcher as long as it is
 *                                   current, else etcd; etcd alone if the
 *                                   program set endpoints, which may not be
 *                                   those that the watcher follows
 *   domain      ETCDSD_DOMAIN       what the prefix is called in the table and
 *                                   in names for libsd_resolve() [service.etcd
 *                                   if the prefix is /service/, else none: the
 *                                   table is not asked]
 *   dispatch    (none)              thread | manual: who runs callbacks
 *                                   [thread]; for the program alone
 *
 * What is set here beats the environment, which beats the file (see
 * libsd_options_load()), which beats the default; an empty variable counts as
 * none.  A user given in one of them comes without the password of a weaker
 * one.  Programs with more rights than their user (setuid) ignore the
 * environment.
 *
 * Returns 0, LIBSD_EINVAL (unknown key or unacceptable value; see
 * libsd_error_detail() with a NULL handle) or LIBSD_ENOMEM. */
LIBSD_API int libsd_options_set(libsd_options *options, const char *key, const char *value);

#define LIBSD_TTL_MAX 86400

/* Reads a configuration file instead of the default one:
 *
 *     # lines of "key = value", with the keys above
 *     endpoints = https://etcd1:2379, https://etcd2:2379
 *     ttl = 5                      # a comment after a blank
 *     [zone internal]              # sections are for other programs,
 *     prefix = /internal/          #   such as etcdsd-watcher,
 *     [etcd]                       #   but for this one
 *     password = "a # in quotes"
 *
 * Keys before the first section may be other programs', too: only what looks
 * like a slip of a key above is an error there; in [etcd] every key that is not
 * above is.  A later line replaces an earlier one.
 *
 * Without this call libsd_open() reads $ETCDSD_CONF, or, if that is not set,
 * /etc/etcdsd/etcdsd.conf; it may be missing, or not be ours to read.  An empty
 * $ETCDSD_CONF means no file.
 *
 * path: NULL for that default file, "" for no file at all; else it must exist.
 * Returns 0; LIBSD_EINVAL (a line is wrong, or it is no file), LIBSD_ENOTFOUND,
 * LIBSD_EDENIED or LIBSD_ENOMEM: the options are as they were, and
 * libsd_error_detail() with a NULL handle says file, line and why. */
LIBSD_API int libsd_options_load(libsd_options *options, const char *path);

/* Where messages go.  callback NULL (the default): nowhere.
 * arg: handed to the callback; it must live until libsd_close() returns. */
LIBSD_API void libsd_options_set_log(libsd_options *options, libsd_log_callback *callback,
                                     void *arg);

/* Frees a set of options.  NULL is allowed.  Handles keep their own copy. */
LIBSD_API void libsd_options_free(libsd_options *options);

/* Opens a handle and starts its I/O thread.  Does not connect: etcd may be
 * down, calls will say so.
 * sd: receives the handle; close it with libsd_close().
 * options: NULL for defaults; copied.
 * Returns 0; LIBSD_EINVAL, LIBSD_ENOTFOUND, LIBSD_EDENIED (an option, in the
 * environment or the file perhaps, is not acceptable, or $ETCDSD_CONF can't be
 * read; libsd_error_detail() with a NULL handle says which) or LIBSD_ENOMEM. */
LIBSD_API int libsd_open(libsd **sd, const libsd_options *options);

/* Deletes the handle's registrations from etcd, revokes its leases, ends its
 * watches and threads, and frees it.  Takes at most 2 seconds when etcd does
 * not answer (the leases then end by themselves after their TTL).  No callback
 * of the handle runs after it returns.  May be called from a callback of the
 * handle: it then returns at once, and the handle ends after that callback.
 * sd: NULL is allowed.  Nobody may use the handle, or a watch of it, after or
 * during the call. */
LIBSD_API void libsd_close(libsd *sd);

/* What the handle's last failed call on the calling thread, or failing that
 * its background work, met: endpoint, HTTP status, etcd's message.
 * sd: NULL for what the thread's last failed libsd_open() or libsd_options_*()
 *   call met, if no other call failed since.
 * buffer, size: receives the text, cut if needed, always terminated.
 * Returns the length of the whole text without terminator; 0 if none. */
LIBSD_API size_t libsd_error_detail(libsd *sd, char *buffer, size_t size);

/* What a handle has done since it was opened, and does now.  Set size to sizeof
 * (libsd_statistics); fields are only ever added at the end. */
typedef struct libsd_statistics {
    size_t size;
    /* Requests to etcd, tries and retries each; watch streams aside. */
    uint64_t requests;
    uint64_t failures; /* calls that ended without success */
    uint64_t retries;
    uint64_t bytes_sent; /* bodies */
    uint64_t bytes_received;
    uint64_t beats;       /* keepalives of leases that were sent */
    uint64_t late_leases; /* times that a lease's TTL passed without a good one */
    uint64_t events;      /* given to callbacks, or waiting for them */
    uint64_t resyncs;     /* times that a watch with LIST began to list anew */
    /* Now. */
    uint64_t leases; /* of registrations, granted and not known to be gone */
    uint64_t registrations;
    uint64_t registered; /* of these, by state */
    uint64_t lost;
    uint64_t conflicted;
    uint64_t paused;
    uint64_t unhealthy;
    uint64_t watches;      /* the application's */
    uint64_t queued_bytes; /* of events that wait for callbacks */
    int64_t answer_age_ms; /* since etcd answered last; -1: never */
    int64_t stream_age_ms; /* how long the connection of the watches has stood;
                            * -1: it does not */
    char endpoint[256];    /* URL of the member that is asked next */
} libsd_statistics;

/* Tells a handle's numbers, gathered by its I/O thread in one go: microseconds,
 * and some more per thousand registrations.  May be called from callbacks.
 * stats: filled as far as its size says.
 * Returns 0, LIBSD_EINVAL (size is not set), LIBSD_ENOMEM, LIBSD_ETIMEDOUT (the
 * thread does not answer within a second), LIBSD_ECLOSED or LIBSD_EFORKED. */
LIBSD_API int libsd_stats(libsd *sd, libsd_statistics *stats);

/* A descriptor that polls readable while callbacks wait (dispatch=manual).
 * It belongs to the handle: do not read or close it.
 * Returns the descriptor, LIBSD_EINVAL (not opened with dispatch=manual) or
 * LIBSD_EFORKED. */
LIBSD_API int libsd_fd(libsd *sd);

/* Runs waiting callbacks on the calling thread (dispatch=manual); never
 * blocks.  max: the most callbacks to run, 0 for all that wait now.
 * Returns the number run, LIBSD_EINVAL or LIBSD_EFORKED.  One thread at a
 * time. */
LIBSD_API int libsd_dispatch(libsd *sd, int max);

/* ---- registration ------------------------------------------------------ */

/* What became of a registration. */
enum libsd_registration_state {
    LIBSD_REGISTERED = 1, /* the key is in etcd, under our lease */
    LIBSD_LOST = 2,       /* it is not, or nobody can tell; being mended */
    LIBSD_CONFLICTED = 3, /* a live owner holds the key; waiting for its end */
    LIBSD_PAUSED = 4,     /* the key is taken out until libsd_resume() */
    LIBSD_UNHEALTHY = 5,  /* the key is taken out until the check passes */
    LIBSD_FAILED = 6,     /* libsd_register_async() only: refused, and the end */
    LIBSD_WAITING = 7     /* libsd_register_async() only: not in etcd yet; being
                           * tried on, the error says why, see below */
};

/* Told on every change of state, and of the reason of LIBSD_WAITING.  error: 0,
 * or why; libsd_error_detail() says more about it during the call.  service and
 * instance are valid during the call.  May call any libsd function that does not
 * block. */
typedef void libsd_registration_callback(libsd *sd, const char *service, const char *instance,
                                         int state, int error, void *arg);

/* What to do when another live owner holds the key with another address. */
enum libsd_takeover {
    LIBSD_TAKEOVER_DEFAULT = 0, /* as the handle's option says */
    LIBSD_TAKEOVER_WAIT = 1,    /* wait until its lease ends */
    LIBSD_TAKEOVER_FORCE = 2,   /* overwrite it */
    LIBSD_TAKEOVER_FAIL = 3     /* LIBSD_ECONFLICT at once */
};

/* How a registration's health is checked. */
enum libsd_check_type {
    LIBSD_CHECK_TCP = 1,     /* good: a connection can be made */
    LIBSD_CHECK_HTTP = 2,    /* good: a GET is answered with status 200 to 399 */
    LIBSD_CHECK_COMMAND = 3, /* good: it ends with status 0 */
    LIBSD_CHECK_CALLBACK = 4 /* good: it returns 0 */
};

/* A check of the application's own.  It may block, and call what blocks: it has
 * a thread of its own, with every signal blocked.  One that takes longer than
 * the check's timeout counts as bad and is not called again until it returned.
 * libsd_deregister() and libsd_close() wait for it (from inside itself they do
 * not; the handle then ends after it). */
typedef int libsd_check_callback(libsd *sd, const char *service, const char *instance, void *arg);

/* A health check that decides whether the key is in etcd.  Set size to sizeof
 * (libsd_check), type, and what it needs; zero the rest for defaults (in
 * brackets).  Checks run beside everything else: no lease waits for one. */
typedef struct libsd_check {
    size_t size;
    int type;                   /* enum libsd_check_type */
    const char *target;         /* TCP: host:port [the registration's address]; HTTP: a
                         * URL, or a path at the registration's address
                         * ["/"]; redirects are not followed.  The address
                         * is the one that libsd_update() wrote last, from
                         * the next run on */
    const char *host;           /* HTTP: the Host header [that of the URL] */
    const char *const *command; /* COMMAND: words, NULL at the end, the first looked
                                 * for in $PATH.  It runs in a process group of its
                                 * own with /dev/null for standard input, output
                                 * and error and no other descriptor; the group is
                                 * killed when the command or its time ends.  A
                                 * program that ignores SIGCHLD, or waits for any
                                 * child, takes its status away: that is bad */
    libsd_check_callback *callback;
    void *callback_arg;
    int interval_ms; /* from one run's begin to the next's, a tenth more or less
                      * [10000]; runs of a check never overlap */
    int timeout_ms;  /* of one run [2000] */
    int rise;        /* so many good runs in a row put the key in [1] */
    int fall;        /* so many bad ones take it out [3] */
    int passing;     /* 1: it counts as good until runs say otherwise [0: bad] */
} libsd_check;

/* Set size to sizeof (libsd_register_options); zero the rest for defaults.
 * Fields are only ever added at the end. */
typedef struct libsd_register_options {
    size_t size;
    uint32_t weight;                       /* 0: unweighted; 1 to 65535 */
    int takeover;                          /* enum libsd_takeover */
    int timeout_ms;                        /* 0: the handle's timeout-ms */
    libsd_registration_callback *callback; /* NULL: nobody is told */
    void *callback_arg;
    uint32_t priority;        /* 0: none given */
    const char *metadata;     /* NULL, or a JSON object of at most 32 KiB, such as
                           * {"zone":"a","version":"1.2"} */
    const libsd_check *check; /* NULL: none */
} libsd_register_options;

/* Registers an instance: writes <prefix><service>/<instance> = address (or,
 * when there is more to say, an object: {"addr":"10.0.0.5:9090","weight":10,
 * "priority":1,"metadata":{...}}, each member only if it is given) under a
 * lease and keeps it there for ever: the lease is kept alive each TTL/3 of
 * the TTL that etcd granted, and if lease or key are lost, whatever the cause,
 * both are made again until libsd_deregister() or libsd_close().  All
 * registrations of a handle with one TTL share one lease.
 *
 * The key is only taken if it is free or ours already (same address, as after
 * a restart): a live owner is never overwritten silently; see
 * enum libsd_takeover.
 *
 * service: one or more segments separated by '/', none empty.
 * instance: one segment, or NULL for a unique name made of host name, process
 *   id and a random number.
 * address: "ip:port", "[ipv6]:port" or "host:port".
 * ttl_s: lease TTL in seconds, at most LIBSD_TTL_MAX; 0 for the option ttl.
 *   etcd's minimum is usually 2.
 * Registering a name of this handle again replaces all that was said of it, in
 * place; see libsd_update() for less.
 * options: NULL for defaults.
 *
 * Blocks until the key is written, at most timeout_ms, or not at all with a
 * check that has to pass first (LIBSD_UNHEALTHY until then).  Returns 0;
 * LIBSD_EINVAL; LIBSD_ECONFLICT (nothing is registered then); LIBSD_ENOMEM;
 * LIBSD_EAUTH, LIBSD_EDENIED, LIBSD_EREFUSED (nothing is registered then);
 * LIBSD_ETIMEDOUT or LIBSD_EUNAVAILABLE: etcd can't be reached yet, the
 * registration stays and is completed as soon as it can.
 *
 * Follows etcd v3: Lease.LeaseGrant, Lease.LeaseKeepAlive, KV.Txn. */
LIBSD_API int libsd_register(libsd *sd, const char *service, const char *instance,
                             const char *address, int ttl_s, const libsd_register_options *options);

/* The same without waiting: returns as soon as the arguments are checked, and
 * may be called from callbacks.  options->callback is told of the outcome:
 * LIBSD_REGISTERED, LIBSD_CONFLICTED, or LIBSD_FAILED where libsd_register()
 * returns an error with which nothing is registered.  As long as there is none
 * because etcd can't be reached, has no leader, no space ..., it is told
 * LIBSD_WAITING, half a second after the call and whenever the error becomes
 * another one: of each instance by itself.
 * Returns 0, LIBSD_EINVAL, LIBSD_ENOMEM, LIBSD_ECLOSED or LIBSD_EFORKED. */
LIBSD_API int libsd_register_async(libsd *sd, const char *service, const char *instance,
                                   const char *address, int ttl_s,
                                   const libsd_register_options *options);

/* One of many; as the arguments of libsd_register(). */
typedef struct libsd_registration {
    const char *service;
    const char *instance; /* NULL: a unique name */
    const char *address;
} libsd_registration;

/* Registers many instances with one wait, in transactions of 64 where etcd's
 * users are off: 10,000 take about a second.
 * list, count: read before the call returns; options hold for each.
 * Returns 0 when all are registered.  LIBSD_EINVAL or LIBSD_ENOMEM: none is.
 * Any other error is that of one of them; the others are registered, or will be,
 * as libsd_register() says. */
LIBSD_API int libsd_register_many(libsd *sd, const libsd_registration *list, size_t count,
                                  int ttl_s, const libsd_register_options *options);

/* Changes what a registration says, in place: its key is never gone meanwhile.
 * service, instance: as given to libsd_register(); instance NULL means all
 *   registrations of the service in this handle; so below.
 * address: NULL leaves it as it is.
 * options: NULL leaves weight, priority and metadata as they are; else all
 *   three become what it says, timeout_ms counts, and the rest is ignored.
 * Blocks until it is written.  Returns 0; LIBSD_EINVAL; LIBSD_ENOTFOUND (not
 * registered here); LIBSD_ECONFLICT: somebody else holds the key, or another
 * call changed the registration meanwhile; LIBSD_ETIMEDOUT or
 * LIBSD_EUNAVAILABLE: it is written as soon as it can be; LIBSD_EAUTH,
 * LIBSD_EDENIED, LIBSD_EREFUSED, LIBSD_ETOOBIG: it goes on saying what it said
 * before. */
LIBSD_API int libsd_update(libsd *sd, const char *service, const char *instance,
                           const char *address, const libsd_register_options *options);

/* Takes a registration out for a while, as for maintenance: its key is deleted,
 * the rest is remembered.  libsd_resume() brings it back, unless its check
 * fails.  Pausing what is paused is no error, nor is resuming what is not.
 * timeout_ms: 0 for the handle's timeout-ms.
 * Returns 0 when that is done; LIBSD_ENOTFOUND (not registered here);
 * LIBSD_ECONFLICT (resume): somebody else has taken the name, it comes back
 * after them; LIBSD_ETIMEDOUT or LIBSD_EUNAVAILABLE: it is done as soon as it
 * can be. */
LIBSD_API int libsd_pause(libsd *sd, const char *service, const char *instance, int timeout_ms);
LIBSD_API int libsd_resume(libsd *sd, const char *service, const char *instance, int timeout_ms);

/* Ends a registration: deletes its key if it still is under our lease.
 * service, instance: as given to libsd_register(); instance NULL ends all
 *   registrations of the service in this handle.
 * timeout_ms: 0 for the handle's timeout-ms.
 * Returns 0; LIBSD_ENOTFOUND (not registered here); LIBSD_ETIMEDOUT or
 * LIBSD_EUNAVAILABLE: no longer kept alive, the key goes with its lease. */
LIBSD_API int libsd_deregister(libsd *sd, const char *service, const char *instance,
                               int timeout_ms);

#ifdef __cplusplus
}
#endif

#include "libsd-discovery.h"
#include "libsd-etcd.h"
#include "libsd-lock.h"
#include "libsd-op.h"
#include "libsd-watch.h"

#endif
