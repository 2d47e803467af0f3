# shellcheck shell=bash
# Sourced by the shell tests: a private etcd and a watcher on free ports of
# loopback, and cases with deadlines.  Whatever a test starts ends with it.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A test defines functions and runs each by `check SENTENCE FUNCTION ARG...`,
# then calls `finish`.  Nothing here needs root.
set -u

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${BUILD:-$top/build}
unset "${!ETCD@}"
for product in libnss_etcdsd.so.2 libsd.so.1 etcdsd-watcher user-service; do
    [ -e "$build/$product" ] || { echo "not ok - $build/$product: run 'make check'"; exit 1; }
done
if [ -w /dev/shm ]; then work=$(mktemp -d /dev/shm/etcdsd.XXXXXX); else work=$(mktemp -d); fi
[ -n "$work" ] || exit 1

export ETCDCTL_API=3
export ETCDSD_TABLE=$work/run/table.v1
export LD_LIBRARY_PATH=$build
export LC_ALL=C.UTF-8
mkdir -m 755 "$work/run"

declare -A pid=()
failed=0

all_ended() {
    ! kill -0 "${pid[@]}"
}

# Who is killed leaves no counts, so tests/coverage asks for $COUNTING.
cleanup() {
    local name
    if [ -n "${COUNTING:-}" ]; then
        kill -TERM "${pid[@]}"
        wait_until 3 all_ended
    fi 2>/dev/null
    for name in "${!pid[@]}"; do
        kill -KILL "${pid[$name]}" 2>/dev/null
    done
    wait 2>/dev/null
    if [ -n "${KEEP:-}" ]; then echo "# kept $work"; else rm -rf --one-file-system "$work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# spawn NAME COMMAND...: runs it in the background; output goes to NAME.log.
# The process is a child of this shell until it is waited for, so its id
# can't be anybody else's.
spawn() {
    local name=$1
    shift
    "$@" >>"$work/$name.log" 2>&1 </dev/null &
    pid[$name]=$!
}

# stop NAME [SIGNAL]: ends what spawn started and waits for it.
stop() {
    { kill "-${2:-TERM}" "${pid[$1]}" && wait "${pid[$1]}"; } 2>/dev/null
    unset "pid[$1]"
    return 0
}

now_ms() {
    echo "$((${EPOCHREALTIME/./} / 1000))"
}

# wait_until SECONDS COMMAND...: until it succeeds; fails after SECONDS.
wait_until() {
    local deadline=$(($(now_ms) + $1 * 1000))
    shift
    until "$@"; do
        [ "$(now_ms)" -lt "$deadline" ] || return 1
        sleep 0.02
    done
}

check() {
    local sentence=$1 began
    shift
    began=$(now_ms)
    if "$@"; then
        echo "ok - $sentence ($(($(now_ms) - began)) ms)"
    else
        echo "not ok - $sentence"
        failed=$((failed + 1))
    fi
}

finish() {
    local log
    if [ "$failed" != 0 ]; then
        for log in "$work"/*.log; do
            echo "# ${log##*/}:"
            grep -v '^{"level":"info"' "$log" | tail -n 15 | cut -c 1-300 | sed 's/^/#   /'
        done
    fi
    exit $((failed != 0))
}

# ---- etcd and watcher -----------------------------------------------------

etcd_answers() {
    kill -0 "${pid[etcd]}" 2>/dev/null || return 2
    curl -s --noproxy '*' --max-time 1 "$ETCDCTL_ENDPOINTS/health" | grep -q '"true"'
}

# etcd_run: on $port, with the data of the last time.
etcd_run() {
    local client=http://127.0.0.1:$port peer=http://127.0.0.1:$((port + 1))
    spawn etcd etcd --name n1 --data-dir "$work/etcd" \
        --listen-client-urls "$client" --advertise-client-urls "$client" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "n1=$peer" --logger zap --log-outputs stderr
}

# etcd_start: with no data, on ports that are free; it may have to try.
etcd_start() {
    local attempt
    for attempt in 1 2 3 4 5; do
        port=$((20000 + (RANDOM % 6000) * 2))
        export ETCDCTL_ENDPOINTS=http://127.0.0.1:$port
        rm -rf "$work/etcd"
        etcd_run
        if wait_until 15 etcd_up_or_gone && etcd_answers; then return 0; fi
        stop etcd KILL 2>/dev/null
    done
    echo "# etcd did not start, attempt $attempt"
    return 1
}

etcd_up_or_gone() {
    etcd_answers
    [ $? != 1 ]
}

# All addresses are wanted, also those of which glibc would prefer one.
watcher_start() {
    spawn watcher "$build/etcdsd-watcher" --foreground --endpoints "$ETCDCTL_ENDPOINTS" \
        --table "$ETCDSD_TABLE" --max-answers 8
}

put() {
    etcdctl put "$@" >/dev/null
}

del() {
    etcdctl del "$@" >/dev/null
}

# ---- questions ------------------------------------------------------------

# addresses NAME: what getent answers, one line, sorted.
addresses() {
    getent -A -s hosts:etcdsd ahosts "$1" | awk '{ print $1 }' | sort -u | tr '\n' ' '
}

# answers NAME ADDRESS...: exactly these, sorted, are the answer now.
answers() {
    local name=$1
    shift
    [ "$(addresses "$name")" = "$* " ]
}

# unknown NAME: getent says that there is no such name (status 2).
unknown() {
    getent -s hosts:etcdsd hosts "$1" >/dev/null
    [ $? = 2 ]
}

logged() {
    grep -qF -- "$2" "$work/$1.log"
}
