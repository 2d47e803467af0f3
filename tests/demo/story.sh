#!/bin/bash
# What `make demo` shows.  Started by demo.sh, as the first process of
# namespaces of its own; never run it elsewhere: it mounts things.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -u
export LC_ALL=C.UTF-8
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ $$ != 1 ]; then
    echo "run tests/demo/demo.sh instead" >&2
    exit 2
fi

bold='' dim='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi
port=8080
ttl=3
name=user.service.etcd
declare -A pid=()

title() {
    printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}
note() {
    printf '%s   %s%s\n' "$dim" "$*" "$plain"
}
# run COMMAND: shows it, then what it prints.
run() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    bash -c "$1" 2>&1 | sed 's/^/  /'
}
# background NAME COMMAND...: shows and starts it.
background() {
    local who=$1
    shift
    printf '%s$ %s &%s\n' "$bold" "$*" "$plain"
    "$@" >"/run/log.$who" 2>&1 </dev/null &
    pid[$who]=$!
}
# end NAME SIGNAL: shows and does it.
end() {
    printf '%s$ kill -%s %s%s      (%s)\n' "$bold" "$2" "${pid[$1]}" "$plain" "$1"
    { kill "-$2" "${pid[$1]}" && wait "${pid[$1]}"; } 2>/dev/null
}
fail() {
    echo "$* failed; the logs end with:" >&2
    tail -n 5 /run/log.* >&2
    exit 1
}
# within SECONDS WHAT COMMAND...: until COMMAND succeeds.
within() {
    local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "${EPOCHREALTIME/./}" -lt "$deadline" ] || fail "$what"
        sleep 0.01
    done
}
gone() {
    ! getent hosts "$1"
}
# ms_since MICROSECONDS
ms_since() {
    echo "$(((${EPOCHREALTIME/./} - $1) / 1000)) ms"
}
service() {
    background "$1" build/user-service "$1" "$2" $port $ttl
}

# ---- the stage ------------------------------------------------------------

began=${EPOCHREALTIME/./}
unset "${!ETCD@}"
export ETCDCTL_API=3 LD_LIBRARY_PATH=$PWD/build no_proxy='*' NO_PROXY='*'
mount -t tmpfs -o mode=755 none /run && ip link set lo up || exit 1
echo 'hosts: etcdsd [!UNAVAIL=return] files dns' >/run/nsswitch.conf
mount --bind /run/nsswitch.conf /etc/nsswitch.conf || exit 1

title "This machine's resolver asks etcdsd; here is its configuration"
note "(for this demo only: all that follows runs in namespaces of its own;"
note " LD_LIBRARY_PATH=build stands for 'make install')"
run "cat /etc/nsswitch.conf"

title "An etcd, and the watcher that copies its services into shared memory"
background etcd etcd --data-dir /run/etcd --logger zap --log-outputs stderr
within 15 "etcd" curl -sf --max-time 1 http://127.0.0.1:2379/health
background watcher build/etcdsd-watcher --foreground
within 10 "etcdsd-watcher" test -e /run/etcdsd/table.v1
run "getent hosts $name || echo 'status 2: no such name yet'"

title "Three instances of a service; each registers itself with libsd_register()"
service instance-1 127.0.0.11
service instance-2 127.0.0.12
service instance-3 127.0.0.13
for i in 1 2 3; do
    within 10 "registration of instance-$i" getent hosts "instance-$i.$name"
done
run "etcdctl get --prefix /service/"

title "Programs resolve the name; none of them knows of etcd"
run "getent hosts $name"
run "getent ahosts $name | grep STREAM"
run "getent hosts instance-2.$name"
run "python3 -c '
import socket
for i in range(6):
    print(socket.getaddrinfo(\"$name\", $port, type=socket.SOCK_STREAM)[0][4])'"
note "The first address changes from call to call: that balances the load."

title "curl talks to whichever instance comes first"
run "for i in 1 2 3 4 5 6 7 8; do curl -s http://$name:$port/; done"

title "An instance is killed: it leaves when its lease of $ttl s ends"
since=${EPOCHREALTIME/./}
end instance-3 KILL
note "(waiting)"
within $((ttl + 10)) "the end of instance-3" gone "instance-3.$name"
echo "  gone after $(ms_since "$since")"
run "getent hosts $name"

title "One stops cleanly: it leaves at once"
since=${EPOCHREALTIME/./}
end instance-2 TERM
within 5 "the end of instance-2" gone "instance-2.$name"
echo "  gone after $(ms_since "$since")"

title "One is added: it is there at once"
since=${EPOCHREALTIME/./}
service instance-4 127.0.0.14
within 10 "instance-4" getent hosts "instance-4.$name"
echo "  started, registered and answered after $(ms_since "$since")"
run "etcdctl put /service/user/instance-5 127.0.0.15:$port"
since=${EPOCHREALTIME/./}
within 10 "instance-5" getent hosts "instance-5.$name"
echo "  a key put by hand is answered after $(ms_since "$since"), getent's own start included"
run "getent hosts $name"

title "The watcher is killed: names still resolve"
end watcher KILL
run "getent hosts $name"
background watcher build/etcdsd-watcher --foreground
run "etcdctl del /service/user/instance-5"
within 10 "the watcher's return" gone "instance-5.$name"
note "It is back, has found the table it left, and follows etcd again."

title "etcd is stopped: names still resolve"
end etcd TERM
run "getent hosts $name"
run "curl -s http://$name:$port/"

title "That was all, in $(((${EPOCHREALTIME/./} - began) / 1000000)) s. Nothing of it stays on this machine."
note "README.md says how to enable it for real."
