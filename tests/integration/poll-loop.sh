#!/bin/bash
# The example of libsd in a program's own event loop.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

expected=$(printf 'seen /ticks/%d\n' 1 2 3 4 5)

runs() {
    [ "$(timeout 30 "$build/poll-loop" /ticks/ 5)" = "$expected" ] &&
        [ "$(etcdctl get --prefix /ticks/ --keys-only | grep -c .)" = 5 ]
}

# threads NAME: how many it has.
threads() {
    find "/proc/${pid[$1]}/task" -mindepth 1 -maxdepth 1 | wc -l
}

has_begun() {
    etcdctl get /more/1 | grep -q tick
}

# The program's own and the one that talks to etcd: nobody else runs callbacks.
has_two_threads() {
    spawn loop "$build/poll-loop" /more/ 50
    wait_until 10 has_begun || return 1
    [ "$(threads loop)" = 2 ] || return 1
    stop loop
}

etcd_start || exit 1
check 'watch, puts and a timer share one poll()' runs
check 'callbacks have no thread of their own' has_two_threads
finish
