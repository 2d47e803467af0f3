#!/bin/bash
# The daemon as those who run it see it: exit status, messages, one watcher per
# table, what it costs at rest and with many instances.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../lib.sh"

fill() {
    python3 "$top/tests/integration/watcher/fill.py" "$ETCDCTL_ENDPOINTS" "$@"
}

# run ARG...: the daemon to its end; output in $said, exit status in $status.
run() {
    said=$(timeout 20 "$build/etcdsd-watcher" --table "$ETCDSD_TABLE" "$@" 2>&1 </dev/null)
    status=$?
}

help_and_version() {
    run --help
    [ "$status" = 0 ] && [[ $said = *--endpoints*'Exit status'* ]] || return 1
    run --version
    [ "$status" = 0 ] && [[ $said =~ ^etcdsd-watcher\ [0-9.]+$ ]]
}

wrong_usage() {
    run --max-answers many
    [ "$status" = 2 ] && [[ $said = 'etcdsd-watcher: --max-answers: '*many* ]] || return 1
    run --endpoints https://etcd.service.etcd:2379
    [ "$status" = 2 ] && [[ $said = *'lies in the domain service.etcd'* ]] || return 1
    run --endpoints nonsense://x
    [ "$status" = 2 ] && [[ $said = *--endpoints* ]]
}

no_directory() {
    local ETCDSD_TABLE=$work/a/b/table.v1
    run
    [ "$status" = 1 ] && [[ $said = *"$work/a/b: can't be made: No such file or directory"* ]]
}

# A table of its own, so that its directory has to be made.
directory_is_made() {
    local table=$work/made/table.v1
    (umask 077 && exec "$build/etcdsd-watcher" --endpoints "$ETCDCTL_ENDPOINTS" --table "$table") \
        >>"$work/made.log" 2>&1 &
    pid[made]=$!
    wait_until 10 test -e "$table" && [ "$(stat -c %a "$work/made" "$table" | tr '\n' ' ')" = '755 644 ' ]
}

clean_stop() {
    kill -TERM "${pid[made]}"
    wait "${pid[made]}"
    status=$?
    unset 'pid[made]'
    [ "$status" = 0 ] && logged made 'SIGTERM: stopping' && [ -e "$work/made/table.v1" ]
}

starts() {
    put /service/user/a 127.0.0.2:80 && watcher_start && wait_until 10 answers user.service.etcd 127.0.0.2
}

second_is_refused() {
    run --endpoints "$ETCDCTL_ENDPOINTS"
    [ "$status" = 1 ] && [[ $said = *"${pid[watcher]}"* ]] && answers user.service.etcd 127.0.0.2
}

secrets_are_hidden() {
    local table=$work/secret/table.v1
    spawn secret "$build/etcdsd-watcher" --endpoints "$ETCDCTL_ENDPOINTS" --table "$table" \
        --log-level debug --user app:sesame1 --password sesame2
    wait_until 10 test -s "$work/secret.log" || return 1
    ! grep -q sesame "/proc/${pid[secret]}/cmdline" && stop secret && ! grep -q sesame "$work/secret.log"
}

# Wake-ups of the main thread, which has the daemon's process id.
wake_ups() {
    awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/${pid[watcher]}/task/${pid[watcher]}/status"
}

at_rest() {
    local began first
    first=$(wake_ups)
    began=$(now_ms)
    wait_until 4 false
    local woken=$(($(wake_ups) - first)) took=$(($(now_ms) - began))
    [ "$woken" -le $((took / 1000 + 3)) ] || { echo "# $woken wake-ups in $took ms"; return 1; }
}

bad_value_is_named() {
    put /service/user/bad $'no\tsense' && put /service/stray 127.0.0.9:80 &&
        wait_until 5 logged watcher 'key "/service/user/bad": not in the table: ' &&
        wait_until 5 logged watcher 'key "/service/stray": not in the table: ' &&
        answers user.service.etcd 127.0.0.2
}

instances=20000

first_list() {
    local kib
    stop watcher && fill "$instances" 10 && rm -f "$ETCDSD_TABLE" && watcher_start &&
        wait_until 30 answers i9.s1999.service.etcd 10.0.78.31 || return 1
    kib=$(awk '/^VmRSS/ { print $2 }' "/proc/${pid[watcher]}/status")
    # 12 MiB for the program and its libraries, and 350 bytes for each.
    [ "$kib" -le $((12 * 1024 + instances * 350 / 1024)) ] || { echo "# $kib KiB"; return 1; }
}

restart_adopts() {
    stop watcher KILL && answers i9.s1999.service.etcd 10.0.78.31 && watcher_start &&
        wait_until 10 logged watcher adopted && answers i9.s1999.service.etcd 10.0.78.31
}

last_of_flood() {
    [ "$(getent -s services:etcdsd services s499 | awk '{ print $2 }')" = 1003/tcp ]
}

flood() {
    fill 5000 10 3 1 || return 1
    wait_until 10 last_of_flood && kill -0 "${pid[watcher]}" && answers i0.s0.service.etcd 10.0.0.0
}

etcd_start || { echo "not ok - etcd starts"; finish; }
check "help and version end with status 0" help_and_version
check "wrong usage ends with status 2 and says what is wrong" wrong_usage
check "a missing parent directory ends with status 1" no_directory
check "the directory is made, readable for all whatever the umask" directory_is_made
check "SIGTERM stops with status 0 and leaves the table" clean_stop
check "the watcher publishes" starts
check "a second watcher is refused and says who has the table" second_is_refused
check "passwords are in neither command line nor log" secrets_are_hidden
check "at rest it wakes up once a second" at_rest
check "a value that can't be read is named in the log" bad_value_is_named
check "a first list of $instances instances stays small in memory" first_list
check "a killed watcher's table answers, and is adopted" restart_adopts
check "a flood of puts ends in the right table" flood
finish
