#!/bin/bash
# The watcher is killed, etcd is killed: answers go on, and follow again.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# The client lives through all cases; its questions and answers are counted.
client_start() {
    coproc CLIENT { exec python3 "$top/tests/integration/follow.py" 2>&1; }
    pid[client]=$CLIENT_PID
}

# client_sees ANSWER: what the running client gets for user.service.etcd.  Any
# answer but that and those in $also is remembered.
also=
wrong=
client_sees() {
    local answer
    echo user.service.etcd >&"${CLIENT[1]}"
    read -r -t 5 answer <&"${CLIENT[0]}" || answer='no answer in 5 s'
    [ "$answer" = "$1" ] && return 0
    [ "$answer" = "$also" ] || wrong+="[$answer]"
    return 1
}

starts() {
    put /service/user/a 127.0.0.2:80 && wait_until 5 answers user.service.etcd 127.0.0.2 &&
        client_sees 127.0.0.2
}

watcher_killed() {
    stop watcher KILL
    put /service/user/b 127.0.0.3:80 || return 1
    answers user.service.etcd 127.0.0.2 && client_sees 127.0.0.2
}

watcher_back() {
    watcher_start
    also=127.0.0.2
    wrong=
    wait_until 5 client_sees '127.0.0.2 127.0.0.3' && [ -z "$wrong" ]
}

follows() {
    put /service/user/c 127.0.0.4:80
    also='127.0.0.2 127.0.0.3'
    wrong=
    wait_until 5 client_sees '127.0.0.2 127.0.0.3 127.0.0.4' && [ -z "$wrong" ]
}

watcher_stopped() {
    stop watcher TERM
    client_sees '127.0.0.2 127.0.0.3 127.0.0.4' &&
        answers user.service.etcd 127.0.0.2 127.0.0.3 127.0.0.4
}

missed_delete() {
    del /service/user/c
    watcher_start
    also='127.0.0.2 127.0.0.3 127.0.0.4'
    wrong=
    wait_until 5 client_sees '127.0.0.2 127.0.0.3' && [ -z "$wrong" ]
}

etcd_killed() {
    stop etcd KILL
    wrong=
    client_sees '127.0.0.2 127.0.0.3' && answers user.service.etcd 127.0.0.2 127.0.0.3
}

# Nothing may be lost at any moment of the restart, and a change made right
# after it has to arrive.
etcd_back() {
    also='127.0.0.2 127.0.0.3'
    wrong=
    etcd_run
    until etcd_answers; do
        client_sees '127.0.0.2 127.0.0.3' || return 1
        kill -0 "${pid[etcd]}" || return 1
    done
    put /service/user/d 127.0.0.5:80
    wait_until 15 client_sees '127.0.0.2 127.0.0.3 127.0.0.5' && [ -z "$wrong" ]
}

# A store without data is no reason to keep what is gone for good, but it is
# found out by a list, not by an error.
etcd_wiped() {
    stop etcd KILL
    rm -rf "$work/etcd"
    etcd_run
    wait_until 15 etcd_answers || return 1
    put /service/user/e 127.0.0.6:80
    wait_until 30 answers user.service.etcd 127.0.0.6
}

second_watcher() {
    timeout 10 "$build/etcdsd-watcher" --foreground --endpoints "$ETCDCTL_ENDPOINTS" \
        --table "$ETCDSD_TABLE" >"$work/second.log" 2>&1
    local status=$?
    [ "$status" != 0 ] && [ "$status" != 124 ] && grep -q "${pid[watcher]}" "$work/second.log"
}

etcd_later() {
    stop watcher
    stop etcd
    rm -rf "$work/run"
    mkdir -m 755 "$work/run"
    watcher_start
    getent -s hosts:etcdsd ahosts user.service.etcd >/dev/null && return 1
    etcd_run
    wait_until 30 answers user.service.etcd 127.0.0.6
}

etcd_start || exit 1
watcher_start
client_start
check 'a running client gets an answer' starts
check 'watcher killed: answers go on' watcher_killed
check 'watcher restarted: the running client sees what it missed' watcher_back
check 'watcher restarted: the running client follows' follows
check 'watcher stopped: answers go on' watcher_stopped
check 'watcher restarted: a delete that it missed is seen' missed_delete
check 'a second watcher says who holds the table, and ends' second_watcher
check 'etcd killed: answers go on' etcd_killed
check 'etcd restarted: nothing is lost, changes arrive' etcd_back
check 'etcd restarted without data: its new content is answered' etcd_wiped
check 'etcd started after the watcher' etcd_later
finish
