#!/bin/bash
# No room, no right to write, no memory: each is told, takes no answer away, and
# is over when it is over.  In a mount namespace, on file systems of its own.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/watcher/lib.sh
. "$(dirname "$0")/lib.sh"

if [ -z "${INSIDE:-}" ]; then
    unshare -rm true 2>/dev/null || { echo "ok - skipped: no mount namespaces here"; exit 0; }
    rm -rf "$work"
    INSIDE=yes exec unshare -rm "$0"
fi
mkdir -p "$work/state"
trap 'umount -l "$work/run" "$work/state" 2>/dev/null; cleanup' EXIT
if ! mount -t tmpfs -o mode=755,size=192k none "$work/run" || ! mount -t tmpfs -o size=16k none "$work/state"; then
    echo "not ok - file systems"
    finish
fi

fill() {
    python3 "$top/tests/integration/watcher/fill.py" "$ETCDCTL_ENDPOINTS" "$@"
}

start() {
    spawn watcher "$build/etcdsd-watcher" --endpoints "$ETCDCTL_ENDPOINTS" --table "$ETCDSD_TABLE" --max-answers 8 \
        --state-directory "$work/state" --snapshot-interval 1 --confirm-loss 0
}

starts() {
    put /service/user/a 127.0.0.2:80 && start && wait_until 10 answers user.service.etcd 127.0.0.2 &&
        wait_until 10 test -e "$work/state/snapshot.v1"
}

# What is there answers, what is new waits; and what fits goes in.
table_has_no_room() {
    fill 6000 3 && wait_until 10 logged watcher 'No space left on device (what the table says of them stays' &&
        answers user.service.etcd 127.0.0.2 && put /service/user/a 127.0.0.3:80 &&
        wait_until 5 answers user.service.etcd 127.0.0.3 && kill -0 "${pid[watcher]}" &&
        [ "$(grep -c 'not written to the table' "$work/watcher.log")" = 1 ]
}

# A miss would be a lie, but the table can't hold the name: both are so until then.
table_has_room_again() {
    mount -o remount,size=32m "$work/run" && wait_until 15 answers i2.s1999.service.etcd 10.0.23.111 &&
        wait_until 5 logged watcher 'all services that had to wait are written' && answers user.service.etcd 127.0.0.3
}

state_has_no_room() {
    wait_until 10 logged watcher "$work/state/snapshot.v1: can't be written: No space left" &&
        answers i2.s1999.service.etcd 10.0.23.111 && [ ! -e "$work/state/snapshot.v1.new" ]
}

state_has_room_again() {
    mount -o remount,size=32m "$work/state" && put /service/user/b 127.0.0.4:80 &&
        wait_until 15 logged watcher 'snapshot: written again'
}

state_is_read_only() {
    : >"$work/watcher.log"
    mount -o remount,ro "$work/state" && put /service/user/c 127.0.0.5:80 &&
        wait_until 10 logged watcher "can't be written: Read-only file system" &&
        wait_until 5 answers user.service.etcd 127.0.0.3 127.0.0.4 127.0.0.5 &&
        mount -o remount,rw "$work/state" && put /service/user/d 127.0.0.6:80 &&
        wait_until 15 logged watcher 'snapshot: written again'
}

# A directory that can't be written to is a clear end at the start.
table_is_read_only() {
    stop watcher
    mount -o remount,ro "$work/run"
    said=$(timeout 20 "$build/etcdsd-watcher" --endpoints "$ETCDCTL_ENDPOINTS" --table "$ETCDSD_TABLE" 2>&1)
    [ $? = 1 ] && [[ $said = *"$ETCDSD_TABLE: Read-only file system"* ]] &&
        answers user.service.etcd 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.6 && mount -o remount,rw "$work/run"
}

group=/sys/fs/cgroup/memory/etcdsd-test.$$

cgroup_make() {
    mkdir "$group" 2>/dev/null && echo $((10 << 20)) 2>/dev/null >"$group/memory.limit_in_bytes" &&
        sh -c "echo \$\$ >'$group/cgroup.procs'" 2>/dev/null
}

# The kernel ends it; a service manager would start it again.
too_little_memory() {
    fill 24000 3 || return 1
    # shellcheck disable=SC2016 # the inner shell expands them
    spawn limited sh -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group" "$build/etcdsd-watcher" --endpoints \
        "$ETCDCTL_ENDPOINTS" --table "$ETCDSD_TABLE" --max-answers 8 --state-directory none --confirm-loss 0
    wait_until 30 is_gone limited && wait "${pid[limited]}"
    local status=$?
    unset 'pid[limited]'
    [ "$status" = 137 ] && answers user.service.etcd 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.6 &&
        answers i2.s1999.service.etcd 10.0.23.111
}

is_gone() {
    ! kill -0 "${pid[$1]}" 2>/dev/null || grep -q '^State:.Z' "/proc/${pid[$1]}/status"
}

enough_memory() {
    start && wait_until 30 answers i2.s7999.service.etcd 10.0.93.191 &&
        answers user.service.etcd 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.6
}

etcd_start || { echo "not ok - etcd starts"; finish; }
check "the watcher answers, and keeps a snapshot" starts
check "no room for the table: told once, what it has answers and follows" table_has_no_room
check "room again: all is there" table_has_room_again
check "no room for the snapshot: told, and nothing half is left" state_has_no_room
check "room again: it is written" state_has_room_again
check "a state directory turns read-only, and back" state_is_read_only
check "a table's directory that is read-only: a clear end, and the table answers" table_is_read_only
if cgroup_make; then
    check "killed for its memory by a cgroup: the table answers" too_little_memory
    rmdir "$group"
    check "with memory enough it goes on from there" enough_memory
else
    rmdir "$group" 2>/dev/null
    echo "# no cgroup can be made here"
fi
finish
