#!/bin/bash
# The wall clock is set forward and back, under the watcher, under those who
# ask, and over a reboot: answers get neither stale nor fresh by it, and
# max-stale counts the seconds that pass.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/watcher/lib.sh
. "$(dirname "$0")/lib.sh"

state=$work/state
stale=4
day=86400
name=user.service.etcd

build_clock() {
    ${CC:-gcc} -D_GNU_SOURCE -Wall -Wextra -Werror -shared -fPIC -o "$work/clock.so" \
        "$top/tests/integration/watcher/clock.c"
}

# set_clock WHO SECONDS: WHO is daemon or client.
set_clock() {
    echo "$2" >"$work/$1.clock.new" && mv "$work/$1.clock.new" "$work/$1.clock"
}

start() {
    : >"$work/watcher.log"
    spawn watcher env LD_PRELOAD="$work/clock.so" WALL_CLOCK="$work/daemon.clock" ${wrapper:+"${wrapper[@]}"} \
        "$build/etcdsd-watcher" --endpoints "$ETCDCTL_ENDPOINTS" --table "$ETCDSD_TABLE" --max-answers 8 \
        --state-directory "$state" --snapshot-interval 1 --max-stale "$stale" --confirm-loss 0
}

# One process that asks through all of it.
client_start() {
    coproc CLIENT {
        LD_PRELOAD=$work/clock.so WALL_CLOCK=$work/client.clock exec python3 "$top/tests/integration/follow.py" 2>&1
    }
    pid[client]=$CLIENT_PID
}

# says ANSWER: of that process, and of a new one.
says() {
    local answer
    echo "$name" >&"${CLIENT[1]}"
    read -r -t 5 answer <&"${CLIENT[0]}" && [ "$answer" = "$1" ] && [ "$(new_client)" = "$1" ]
}

new_client() {
    echo "$name" | LD_PRELOAD=$work/clock.so WALL_CLOCK=$work/client.clock python3 "$top/tests/integration/follow.py"
}

# The text of EAI_AGAIN.
again='Temporary failure in name resolution'

says_for() {
    ! wait_until "$1" says_not "$2"
}

says_not() {
    ! says "$1"
}

answers_first() {
    set_clock daemon 0 && set_clock client 0 && put /service/user/a 127.0.0.2:80 && start &&
        wait_until 10 answers "$name" 127.0.0.2 && says 127.0.0.2
}

# jump WHO...: forward by a day, then back by two; all is fresh.
jump() {
    local seconds who
    for seconds in "$day" "-$day"; do
        for who in "$@"; do set_clock "$who" "$seconds"; done
        says_for 1 127.0.0.2 || return 1
    done
}

# Without etcd, age is what the monotonic clock says: nothing is stale at once...
forward_makes_nothing_stale() {
    stop etcd KILL
    set_clock daemon "$day" && set_clock client "$day" && says 127.0.0.2
}

# ...and what is stale stays so.
back_makes_nothing_fresh() {
    wait_until $((stale + 10)) says "$again" && set_clock daemon "-$day" && set_clock client "-$day" && says_for 1 "$again" &&
        set_clock daemon 0 && set_clock client 0 && says "$again"
}

etcd_is_back() {
    etcd_run
    wait_until 20 says 127.0.0.2
}

same_without_watcher() {
    stop watcher KILL
    set_clock client "$day" && says 127.0.0.2 && wait_until $((stale + 10)) says "$again" && set_clock client "-$day" &&
        says_for 1 "$again"
    local status=$?
    set_clock client 0
    return "$status"
}

# ---- over a reboot ----------------------------------------------------------

# boot ID: no table any more, another boot id, and no etcd.
# shellcheck disable=SC2016 # the inner shell expands them
boot() {
    stop watcher "${signal:-TERM}"
    rm -rf "$work/run" && mkdir -m 755 "$work/run" && echo "$1" >"$work/boot_id" &&
        wrapper=(unshare -m bash -c 'mount --bind "$1" /proc/sys/kernel/random/boot_id; shift; exec "$@"' - "$work/boot_id") &&
        start
}

have_namespaces() {
    : >"$work/boot_id"
    unshare -m mount --bind "$work/boot_id" /proc/sys/kernel/random/boot_id 2>/dev/null
}

snapshot_is_new() {
    [ -n "$(find "$state/snapshot.v1" -newer "$work/mark" 2>/dev/null)" ]
}

# Readers have the true boot id, so they ask of freshness: the watcher beats.
young_snapshot_answers() {
    start && wait_until 10 state_is 1 && : >"$work/mark" && put /service/user/a 127.0.0.3:80 &&
        wait_until 10 snapshot_is_new && stop etcd KILL
    signal=KILL boot 11111111-1111-1111-1111-111111111111 && wait_until 5 says 127.0.0.3 && state_is 2 &&
        logged watcher 'published from the snapshot'
}

it_ages() {
    wait_until $((stale + 10)) says "$again"
}

old_snapshot_is_refused() {
    signal=KILL boot 22222222-2222-2222-2222-222222222222 && wait_until 5 logged watcher 'not used: it is too old' &&
        says "$again" && [ ! -e "$ETCDSD_TABLE" ]
}

# A clock that is behind makes it of unknown age, not young.
clock_behind_is_refused() {
    set_clock daemon "-$day"
    signal=KILL boot 33333333-3333-3333-3333-333333333333 && wait_until 5 logged watcher 'nobody knows its age' &&
        [ ! -e "$ETCDSD_TABLE" ]
}

etcd_after_boot() {
    set_clock daemon 0
    etcd_run
    wait_until 20 says 127.0.0.3 && state_is 1
}

etcd_start || { echo "not ok - etcd starts"; finish; }
build_clock || { echo "not ok - the other clock is built"; finish; }
client_start
check "the watcher answers" answers_first
check "those who ask have another time: answers go on" jump client
set_clock client 0
check "the watcher has another time: answers go on" jump daemon
check "all have another time: answers go on" jump daemon client
check "without etcd, a clock set forward makes nothing stale" forward_makes_nothing_stale
check "what is older than max-stale is so whatever the clock says" back_makes_nothing_fresh
check "etcd is back: answers" etcd_is_back
check "a dead watcher's table ages alike" same_without_watcher
if have_namespaces; then
    check "a boot from a young snapshot answers before etcd does" young_snapshot_answers
    check "and goes on getting older" it_ages
    check "a snapshot older than max-stale is refused after a boot" old_snapshot_is_refused
    check "so is one from the future: the clock was set back" clock_behind_is_refused
    check "etcd is back: answers, as of then" etcd_after_boot
else
    echo "# skipped: no mount namespace for another boot id"
fi
finish
