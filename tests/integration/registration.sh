#!/bin/bash
# Services that register through libsd: how they come, stay and go.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
ttl=3

service_start() {
    spawn "$1" "$build/user-service" "$1" "$2" "$http_port" "$ttl"
    wait_until 10 answers "$1.user.service.etcd" "$2"
}

# lease INSTANCE: the lease of its key, as etcdctl writes it (hexadecimal).
lease() {
    etcdctl get "/service/user/$1" -w json | sed -n 's/.*"lease":\([0-9]*\).*/\1/p' |
        { read -r id && printf '%x\n' "$id"; }
}

lease_is_another() {
    local new
    new=$(lease "$1") && [ -n "$new" ] && [ "$new" != "$2" ]
}

registered() {
    http_port=$((26000 + RANDOM % 6000))
    service_start one 127.0.0.2 && service_start two 127.0.0.3 &&
        answers user.service.etcd 127.0.0.2 127.0.0.3 &&
        [ "$(etcdctl get --print-value-only /service/user/one)" = "127.0.0.2:$http_port" ]
}

serves() {
    [ "$(curl -s --noproxy '*' --max-time 5 "http://127.0.0.3:$http_port/")" = 'I am two' ]
}

stays() {
    # Three times its TTL of beats, in which the answer never changes.
    local until=$(($(now_ms) + ttl * 3000)) first
    first=$(lease one)
    while [ "$(now_ms)" -lt "$until" ]; do
        answers user.service.etcd 127.0.0.2 127.0.0.3 || return 1
        sleep 0.1
    done
    [ "$(lease one)" = "$first" ]
}

revoked() {
    local old
    old=$(lease one)
    [ -n "$old" ] && etcdctl lease revoke "$old" >/dev/null &&
        wait_until 2 lease_is_another one "$old" &&
        wait_until 2 answers user.service.etcd 127.0.0.2 127.0.0.3
}

deleted_behind_its_back() {
    del /service/user/one && wait_until "$((ttl + 2))" lease_is_another one none &&
        wait_until 2 answers user.service.etcd 127.0.0.2 127.0.0.3
}

killed() {
    local began
    began=$(now_ms)
    stop two KILL
    wait_until $((ttl + 3)) answers user.service.etcd 127.0.0.2 || return 1
    echo "# gone $(($(now_ms) - began)) ms after kill -9, with a TTL of $ttl s"
}

restarted() {
    service_start two 127.0.0.3 && answers user.service.etcd 127.0.0.2 127.0.0.3
}

stopped() {
    local began
    began=$(now_ms)
    stop two TERM
    wait_until 1 answers user.service.etcd 127.0.0.2 || return 1
    echo "# gone $(($(now_ms) - began)) ms after SIGTERM"
}

etcd_gone_longer_than_ttl() {
    stop etcd KILL
    local until=$(($(now_ms) + ttl * 1000 + 1000))
    while [ "$(now_ms)" -lt "$until" ]; do
        answers user.service.etcd 127.0.0.2 || return 1
        sleep 0.1
    done
    kill -0 "${pid[one]}" || return 1
    etcd_run
    wait_until 15 etcd_answers && wait_until 15 lease_is_another one none &&
        wait_until 10 answers user.service.etcd 127.0.0.2
}

etcd_start || exit 1
watcher_start
check 'libsd_register puts a service into the answers' registered
check 'it serves' serves
check 'it stays registered for longer than its TTL' stays
check 'lease revoked behind its back: registered again within 2 s' revoked
check 'key deleted behind its back: registered again' deleted_behind_its_back
check 'kill -9: gone after its TTL' killed
check 'started again under the same name: back' restarted
check 'SIGTERM: gone at once' stopped
check 'etcd away for longer than the TTL: registered again' etcd_gone_longer_than_ttl
finish
