#!/bin/bash
# The demo: it tells its story in time, and leaves nothing behind.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
unset ETCDSD_TABLE LD_LIBRARY_PATH

# Every process of the demo inherits this, so that those left can be found.
mark=DEMO_MARK=$$.$RANDOM
demo=(env "$mark" "$top/tests/demo/demo.sh")
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)

leaves_nothing() {
    local left
    left=$(grep -lszx "$mark" /proc/[0-9]*/environ)
    [ -z "$left" ] || { echo "# left: $left"; return 1; }
    [ "$(grep -c . /proc/self/mountinfo)" = "$mounts" ]
}

# tells LOG: what the reader has to have seen.
tells() {
    local line
    for line in '127.0.0.11 ' '127.0.0.12 ' '127.0.0.13 ' "('127.0.0.12', 8080)" 'I am instance-1' \
        'gone after' 'started, registered and answered after' 'That was all, in'; do
        grep -qF -- "$line" "$1" || { echo "# not shown: $line"; return 1; }
    done
    [ "$(grep -o 'I am instance-[123]' "$1" | sort -u | wc -l)" -ge 2 ]
}

story() {
    local began
    began=$(now_ms)
    : >"$work/demo.log"
    spawn demo "$@" "${demo[@]}"
    wait "${pid[demo]}" && unset 'pid[demo]' && tells "$work/demo.log" && leaves_nothing &&
        [ $(($(now_ms) - began)) -lt 30000 ]
}

is_told() {
    grep -q "$1" "$work/demo.log"
}

# interrupted SIGNAL TARGET: after the services have come up; TARGET is "-"
# for the whole process group, as a terminal does it, else for the one process.
interrupted() {
    local status
    : >"$work/demo.log"
    set -m # a process group of its own, as a terminal's has
    spawn demo "${demo[@]}"
    set +m
    wait_until 20 is_told 'I am' && kill "-$1" -- "$2${pid[demo]}" || return 1
    wait "${pid[demo]}" 2>/dev/null
    status=$?
    unset 'pid[demo]'
    [ "$status" -gt 128 ] && wait_until 5 leaves_nothing
}

explains() {
    "${demo[@]}" >"$work/demo.log" 2>&1
    [ $? = 1 ] && is_told user.max_user_namespaces
}

mounts=$(grep -c . /proc/self/mountinfo)
if ! unshare --user --map-root-user --mount --net --pid --fork true 2>/dev/null &&
    ! unshare --mount --net --pid --fork true 2>/dev/null; then
    check 'where no namespace is allowed, the demo says how to allow it' explains
    finish
fi
check 'the demo shows what it promises in 30 s' story
if [ "$(id -u)" = 0 ] && "${nobody[@]}" test -r "$top/build/libsd.so.1" &&
    "${nobody[@]}" unshare --user --map-root-user true 2>/dev/null; then
    check 'the demo runs as an ordinary user' story "${nobody[@]}"
fi
check 'Ctrl-C ends it and leaves nothing' interrupted INT -
check 'kill ends it and leaves nothing' interrupted TERM ''
check 'kill -9 ends it and leaves nothing' interrupted KILL ''
finish
