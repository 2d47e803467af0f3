#!/bin/bash
# Picking and watching from programs: the shared table while there is a watcher,
# etcd while there is none, and clients that do not notice.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

port_of_services=$((26000 + RANDOM % 6000))
export ETCDSD_CONF=

serve() {
    spawn "$1" "$build/user-service" "$1" "$2" "$port_of_services" 2
    wait_until 5 logged "$1" registered
}

# asks COUNT: one answer per line.
asks() {
    "$build/pick-client" user "$1"
}

# told COUNT WORDS: the long-running client's last COUNT lines all hold WORDS.
told() {
    [ "$(wc -l <"$work/client.log")" -ge "$1" ] &&
        [ "$(tail -n "$1" "$work/client.log" | grep -c -- "$2")" = "$1" ]
}

picks_from_etcd() {
    local answers
    serve instance-1 127.0.0.21 && serve instance-2 127.0.0.22 || return 1
    answers=$(asks 4 | sort | uniq -c | awk '{ print $1, $4, $5, $6, $7 }')
    [ "$answers" = $'2 etcd: I am instance-1\n2 etcd: I am instance-2' ] || { echo "# $answers"; return 1; }
}

picks_from_table() {
    local answers
    watcher_start
    wait_until 10 answers user.service.etcd 127.0.0.21 127.0.0.22 || return 1
    answers=$(asks 4 | sort | uniq -c | awk '{ print $1, $4, $5, $6, $7 }')
    [ "$answers" = $'2 table: I am instance-1\n2 table: I am instance-2' ] || { echo "# $answers"; return 1; }
}

# With a current table a client needs no connection: etcd may be anywhere.
table_needs_no_etcd() {
    ETCDCTL_ENDPOINTS=http://127.0.0.1:1 asks 1 | grep -q 'from table: I am' &&
        ETCDCTL_ENDPOINTS=http://127.0.0.1:1 ETCDSD_SOURCE=table asks 1 | grep -q 'from table: I am'
}

source_is_obeyed() {
    ETCDSD_SOURCE=etcd asks 1 | grep -q 'from etcd: I am' &&
        ETCDSD_PREFIX=/other/ asks 1 | grep -q 'user: ' &&
        ETCDSD_PREFIX=/other/ ETCDSD_DOMAIN=service.etcd asks 1 | grep -q 'from table: I am'
}

unknown_service_is_said_to_be_so() {
    "$build/pick-client" nobody | grep -qi 'no such\|not found'
}

client_sees_changes() {
    spawn client "$build/pick-client" user 1000
    wait_until 5 told 4 'from table: I am' && serve instance-3 127.0.0.23 &&
        wait_until 5 logged client 'I am instance-3' && stop instance-3 && : >"$work/client.log" &&
        wait_until 5 told 6 'from table: I am instance-[12]'
}

watcher_goes_and_client_asks_etcd() {
    stop watcher KILL
    wait_until 15 told 4 'from etcd: I am instance-[12]' && ! logged client 'no answer'
}

# Changes still come in, though the table stands still.
client_follows_etcd() {
    serve instance-4 127.0.0.24 && wait_until 5 logged client 'I am instance-4' &&
        ! logged client 'no answer'
}

etcd_goes_too_and_client_goes_on() {
    stop etcd KILL
    : >"$work/client.log"
    wait_until 5 told 12 'I am instance-[124]'
}

both_come_back() {
    etcd_run
    wait_until 15 etcd_answers && watcher_start &&
        wait_until 15 answers user.service.etcd 127.0.0.21 127.0.0.22 127.0.0.24 &&
        : >"$work/client.log" && wait_until 5 told 6 'I am instance-[124]'
}

killed_instance_rests() {
    stop instance-4 KILL
    : >"$work/client.log"
    wait_until 5 told 10 from || return 1
    [ "$(grep -c 'instance-4 .*no answer' "$work/client.log")" -le 2 ] &&
        wait_until 8 answers user.service.etcd 127.0.0.21 127.0.0.22
}

connects_to_all() {
    spawn all "$build/connect-all" user
    wait_until 5 logged all 'answer instance-1' && wait_until 5 logged all 'answer instance-2' &&
        logged all "online instance-1 127.0.0.21:$port_of_services" && serve instance-5 127.0.0.25 &&
        wait_until 5 logged all 'answer instance-5' && stop instance-5 &&
        wait_until 5 logged all 'offline instance-5' &&
        [ "$(grep -c 'online instance-1' "$work/all.log")" = 1 ]
}

old_table_is_better_than_nothing() {
    stop watcher KILL
    wait_until 15 told 4 'from etcd' || return 1 # so long until its heartbeat is old
    stop etcd KILL
    stop client
    asks 1 | grep -q 'from table: I am' && ETCDSD_SOURCE=table asks 1 | grep -q 'from table: I am' &&
        ETCDSD_SOURCE=etcd ETCDSD_TIMEOUT_MS=300 asks 1 | grep -qi 'time'
}

check 'etcd starts' etcd_start
check 'without a watcher, picks come from etcd, in turn' picks_from_etcd
check 'with one, from the table, in turn' picks_from_table
check 'the table needs no connection to etcd' table_needs_no_etcd
check 'the options source, prefix and domain are obeyed' source_is_obeyed
check 'an unknown service is said to be so' unknown_service_is_said_to_be_so
check 'a running client sees instances come and go' client_sees_changes
check 'kill -9 of the watcher: the client asks etcd, no request fails' watcher_goes_and_client_asks_etcd
check 'it sees changes that the old table does not have' client_follows_etcd
check 'etcd goes, too: the client goes on' etcd_goes_too_and_client_goes_on
check 'both come back: the client goes on' both_come_back
check 'an instance that fails rests' killed_instance_rests
check 'connect-all talks to those who are there, as long as they are' connects_to_all
check 'an old table is better than nothing' old_table_is_better_than_nothing
finish
