#!/bin/bash
# A zone that etcd does not show, beside one that it shows: the one answers, the
# other is neither answered nor denied, whatever came before.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/watcher/lib.sh
. "$(dirname "$0")/lib.sh"

state=$work/state
root=--user=root:secret

as_root() {
    etcdctl "$root" "$@" >/dev/null
}

# Two prefixes; the watcher's user may see the first one only.
etcd_is_guarded() {
    put /open/user/i1 127.1.0.1:80 && put /shut/user/i1 127.2.0.1:80 &&
        etcdctl user add root:secret >/dev/null && etcdctl user add watcher:sesame >/dev/null &&
        etcdctl user grant-role root root >/dev/null && etcdctl role add reader >/dev/null &&
        etcdctl user grant-role watcher reader >/dev/null &&
        etcdctl role grant-permission --prefix reader read /open/ >/dev/null && etcdctl auth enable >/dev/null
}

configure() {
    printf '%s\n' "endpoints = $ETCDCTL_ENDPOINTS" "table = $ETCDSD_TABLE" 'max-answers = 8' 'user = watcher' \
        'password = sesame' "state-directory = $state" 'snapshot-interval = 1' "metrics-file = $work/m.prom" "$@" \
        '[zone open]' 'prefix = /open/' 'domain = open.example' \
        '[zone shut]' 'prefix = /shut/' 'domain = shut.example' >"$work/etcdsd.conf"
}

start() {
    : >"$work/watcher.log"
    spawn watcher env -u ETCDCTL_ENDPOINTS -u ETCDSD_TABLE "$build/etcdsd-watcher" --config "$work/etcdsd.conf"
}

reboot() {
    stop watcher "$1"
    rm -rf "$work/run" && mkdir -m 755 "$work/run" && start
}

only_the_open_one() {
    answers user.open.example 127.1.0.1 && unknown_here nobody.open.example && try_again user.shut.example &&
        try_again nobody.shut.example && not_ours user.else.example
}

other_is_answered() {
    local -x NOTIFY_SOCKET=$work/notify
    spawn manager manager
    wait_until 10 test -S "$work/notify" || return 1
    configure
    start
    wait_until 15 answers user.open.example 127.1.0.1 && only_the_open_one && wait_until 5 state_is 1
}

is_told() {
    logged watcher 'zone shut.example: set aside: etcd does not show /shut/: ' &&
        [ "$(grep -c 'set aside' "$work/watcher.log")" = 1 ] &&
        wait_until 15 grep -qF 'zone_ready{domain="shut.example",prefix="/shut/"} 0' "$work/m.prom" &&
        grep -qF 'zone_ready{domain="open.example",prefix="/open/"} 1' "$work/m.prom" || return 1
    local said
    said=$("$build/etcdsd" status)
    [ $? = 1 ] && [[ $said = *'domains   open.example'*'unready   shut.example'* ]] &&
        heard '^STATUS=following etcd, but not each zone: 1 services, 1 instances; set aside: shut.example, as etcd does not show it$'
}

is_followed() {
    as_root put /open/user/i2 127.1.0.2:80 && wait_until 5 answers user.open.example 127.1.0.1 127.1.0.2 &&
        as_root del /open/user/i2 && wait_until 5 answers user.open.example 127.1.0.1 && state_is 1
}

# Neither of them makes the zone known, or one that is empty.
survives_restarts() {
    stop watcher KILL
    only_the_open_one && start && wait_until 10 logged watcher 'zone shut.example: set aside' && only_the_open_one &&
        wait_until 10 test -e "$state/snapshot.v1" && reboot TERM && wait_until 10 logged watcher 'from the snapshot' &&
        only_the_open_one
}

what_went_meanwhile() {
    as_root put /open/late/i1 127.1.0.3:80 && wait_until 5 answers late.open.example 127.1.0.3 && stop watcher KILL &&
        as_root del /open/late/i1 && start && wait_until 15 unknown_here late.open.example && only_the_open_one
}

becomes_known() {
    as_root role grant-permission --prefix reader read /shut/ && wait_until 30 answers user.shut.example 127.2.0.1 &&
        unknown_here nobody.shut.example && state_is 1 && wait_until 5 logged watcher 'zone shut.example: no longer set aside'
}

# What is known goes on answering; that is what max-stale 0 says.
refused_later() {
    as_root role revoke-permission --prefix reader /shut/ && stop watcher KILL && start &&
        wait_until 15 logged watcher 'zone shut.example: set aside' && answers user.shut.example 127.2.0.1 &&
        as_root put /open/user/i2 127.1.0.2:80 && wait_until 5 answers user.open.example 127.1.0.1 127.1.0.2 &&
        wait_until 5 state_is 1 && as_root del /open/user/i2
}

too_old() {
    configure 'max-stale = 6'
    kill -HUP "${pid[watcher]}"
    wait_until 20 try_again user.shut.example && answers user.open.example 127.1.0.1 && never 2 try_again user.open.example &&
        state_is 1
}

known_again() {
    as_root role grant-permission --prefix reader read /shut/ && wait_until 30 answers user.shut.example 127.2.0.1 &&
        answers user.open.example 127.1.0.1
}

comes_with_a_reload() {
    as_root role revoke-permission --prefix reader /shut/ && stop watcher && rm -rf "$state" "$work/run" &&
        mkdir -m 755 "$work/run" && configure && cp "$work/etcdsd.conf" "$work/both.conf" &&
        sed -i '/zone shut/,$d' "$work/etcdsd.conf" && start && wait_until 15 answers user.open.example 127.1.0.1 &&
        not_ours user.shut.example && cp "$work/both.conf" "$work/etcdsd.conf" && kill -HUP "${pid[watcher]}" &&
        wait_until 15 try_again user.shut.example && only_the_open_one
}

no_password_anywhere() {
    ! grep -q sesame "$work/watcher.log" && ! grep -q sesame "/proc/${pid[watcher]}/cmdline" &&
        ! grep -q sesame "$work/m.prom"
}

etcd_start || { echo "not ok - etcd starts"; finish; }
check "etcd has users" etcd_is_guarded
check "the zone that is shown is answered, the other is 'try again'" other_is_answered
check "log, metrics and status say so" is_told
check "changes are followed meanwhile" is_followed
check "a kill, a restart and a boot from the snapshot change nothing" survives_restarts
check "what goes while no watcher runs is gone, in spite of the other zone" what_went_meanwhile
check "once it is permitted the zone is answered" becomes_known
check "denied later, it is answered as it was" refused_later
check "but not for longer than max-stale" too_old
check "until it is permitted again" known_again
check "a denied zone that comes with a reload is 'try again', too" comes_with_a_reload
check "the password is in neither log, metrics nor command line" no_password_anywhere
finish
