#!/bin/bash
# Many instances and many changes: told while they are read, and neither the table
# nor the watcher grows by what is only changed.  Nothing here is a time; those are
# tests/bench/scale's.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/watcher/lib.sh
. "$(dirname "$0")/lib.sh"

instances=20000
changes=20000

fill() {
    python3 "$top/tests/integration/watcher/fill.py" "$ETCDCTL_ENDPOINTS" "$@"
}

# start PORT: a watcher that has a service manager and numbers to show.
start() {
    NOTIFY_SOCKET=$work/notify WATCHDOG_USEC=2000000 spawn watcher "$build/etcdsd-watcher" --foreground \
        --endpoints "http://127.0.0.1:$1" --table "$ETCDSD_TABLE" --max-answers 8 \
        --metrics-listen "127.0.0.1:$metrics"
}

# metric NAME: its value now.
metric() {
    curl -s --noproxy '*' --max-time 5 "http://127.0.0.1:$metrics/metrics" | awk -v name="etcdsd_watcher_$1" '$1 == name { print $2 }'
}

# A list that takes at least four seconds.
long_list_is_told() {
    fill "$instances" 1 || return 1
    spawn slow python3 "$top/tests/integration/watcher/slow.py" "$slow" "$port" 700000
    wait_until 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$slow" 2>/dev/null || return 1
    start "$slow"
    wait_until 60 heard '^STATUS=reading the first list: [1-9][0-9]* keys so far' &&
        wait_until 60 logged watcher 'zone service.etcd: list: ' && heard '^EXTEND_TIMEOUT_USEC=' &&
        wait_until 60 heard "^STATUS=following etcd: $instances services, $instances instances" &&
        grep -qE 'list: [0-9]+ keys so far, [0-9]+ s$' "$work/watcher.log" &&
        [ "$(grep -c 'keys so far' "$work/watcher.log")" -le 30 ]
}

# Of all threads.
wake_ups() {
    awk '/^voluntary_ctxt_switches/ { sum += $2 } END { print sum }' "/proc/${pid[watcher]}/task"/*/status
}

# Two a second; what may begin just then is let pass.
at_rest() {
    local began first woken took
    stop watcher && : >"$work/watcher.log" && start "$port" && wait_until 20 logged watcher "list at revision" && wait_until 3 false
    first=$(wake_ups)
    began=$(now_ms)
    wait_until 5 false
    woken=$(($(wake_ups) - first)) took=$(($(now_ms) - began))
    [ "$woken" -le $((took * 2 / 1000 + 3)) ] || { echo "# $woken wake-ups in $took ms"; return 1; }
}

resident_kib() {
    awk '/^Rss(Anon|Shmem)/ { sum += $2 } END { print sum }' "/proc/${pid[watcher]}/status"
}

events_are() {
    [ "$(metric events_total)" -ge "$1" ]
}

# Each change writes its service and no other, and no file is made for it.
changes_add_nothing() {
    local events written files bytes resident now
    events=$(metric events_total) written=$(metric table_changes_total) files=$(metric table_files_total)
    bytes=$(stat -c %s "$ETCDSD_TABLE") resident=$(resident_kib)
    [ "$events" -gt 0 ] || return 1
    for now in 1 2 3 4; do
        fill $((changes / 4)) 1 "$now" || return 1
    done
    wait_until 20 events_are $((events + changes)) && wait_until 5 last_is_seen || return 1
    written=$(($(metric table_changes_total) - written))
    echo "# $written services written, table $bytes to $(stat -c %s "$ETCDSD_TABLE") bytes," \
        "resident $resident to $(resident_kib) KiB"
    [ "$written" -le "$changes" ] && [ "$written" -ge 1000 ] &&
        [ "$(metric table_files_total)" = "$files" ] && [ "$(stat -c %s "$ETCDSD_TABLE")" = "$bytes" ] &&
        [ "$(resident_kib)" -le $((resident * 11 / 10 + 1024)) ]
}

last_is_seen() {
    [ "$(getent -s services:etcdsd services "s$((changes / 4 - 1))" | awk '{ print $2 }')" = 1004/tcp ]
}

# put_services FIRST COUNT
put_services() {
    python3 - "$ETCDCTL_ENDPOINTS" "$1" "$2" "$top/tests/integration/watcher" <<'END'
import sys
sys.path.insert(0, sys.argv[4])
import fill
etcd = fill.connect(sys.argv[1])
begin, count = int(sys.argv[2]), int(sys.argv[3])
for first in range(begin, begin + count, 100):
    fill.put_all(etcd, range(first, first + 100), 1, 0)
END
}

# Services come and go under ever other names: their places are used again.
names_add_little() {
    local round bytes resident last
    bytes=$(stat -c %s "$ETCDSD_TABLE") resident=$(resident_kib)
    for round in 1 2 3; do
        last=$((round * 1000000 + 999))
        put_services $((round * 1000000)) 1000 &&
            wait_until 10 answers "s$last.service.etcd" "$(address "$last")" &&
            etcdctl del --prefix "/service/s${round}00" >/dev/null &&
            wait_until 10 unknown "s$last.service.etcd" || return 1
    done
    echo "# table $bytes to $(stat -c %s "$ETCDSD_TABLE") bytes, resident $resident to $(resident_kib) KiB"
    [ "$(stat -c %s "$ETCDSD_TABLE")" -le $((bytes * 3 / 2)) ] &&
        [ "$(resident_kib)" -le $((resident * 3 / 2)) ]
}

# address NUMBER: what fill.py gives it.
address() {
    echo "10.$(($1 >> 16 & 255)).$(($1 >> 8 & 255)).$(($1 & 255))"
}

metrics=$((33000 + RANDOM % 3000)) # where etcd_start takes none
slow=$((metrics + 3000))
spawn manager manager
etcd_start || { echo "not ok - etcd starts"; finish; }
check "a long first list is told in the log and to the service manager" long_list_is_told
check "with $instances instances it wakes up twice a second at most" at_rest
check "$changes changes: each writes its service alone, nothing grows" changes_add_nothing
check "services that come and go leave no more than their places" names_add_little
finish
