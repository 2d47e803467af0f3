#!/bin/bash
# Who gets how much?  The first address of getaddrinfo()'s answers, counted on
# hosts of several kinds: whatever libc sorts there, each instance must get its
# share within a tenth, in processes that live long, are forked, or ask once.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The hosts are one network namespace with other addresses each time.  `veth`
# has two ends, so that one of them has a carrier; nothing is sent.
if [ -z "${ETCDSD_OWN_NETWORK:-}" ]; then
    export ETCDSD_OWN_NETWORK=yes
    for with in "--net" "--user --map-root-user --net"; do
        # shellcheck disable=SC2086 # a list of options
        if unshare $with ip link add name v0 type veth peer name v1 2>/dev/null; then
            exec unshare $with "$0" "$@"
        fi
    done
    echo "skipped: no network namespace with a veth may be made here"
    echo "ok - nothing (skipped)"
    exit 0
fi
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
balance=$build/obj/tests/helpers/balance

# ---- hosts ----------------------------------------------------------------

network() {
    # Not even fe80:: but what host() adds.
    ip link set lo up && ip link add name v0 type veth peer name v1 &&
        ip link set v0 addrgenmode none && ip link set v1 addrgenmode none &&
        ip link set v0 up && ip link set v1 up
}

# host ADDRESS/LENGTH...: the host has these, and default routes by them.
host() {
    local address
    ip address flush dev v0
    for address in "$@"; do
        case $address in
            *:*) ip address add "$address" dev v0 nodad ;;
            *) ip address add "$address" dev v0 ;;
        esac || return 1
        case $address in
            fe80:*) ;;
            *:*) ip -6 route replace default via 2001:db8:1::fe dev v0 ;;
            *) ip route replace default via 10.0.0.254 dev v0 ;;
        esac || return 1
    done
}

# A watcher that starts with these addresses and no table.
watcher_on() {
    [ -z "${pid[watcher]:-}" ] || stop watcher
    host "$@" && rm -f "$work"/run/* || return 1
    spawn watcher "$build/etcdsd-watcher" --endpoints "$ETCDCTL_ENDPOINTS" --table "$ETCDSD_TABLE"
    wait_until 10 answered last.service.etcd
}

answered() {
    getent -s hosts:etcdsd hosts "$1" >/dev/null
}

# ---- instances ------------------------------------------------------------

# service NAME VALUE...
service() {
    local name=$1 number=0 value
    shift
    for value in "$@"; do
        number=$((number + 1))
        put "/service/$name/i$number" "$value" || return 1
    done
}

services() {
    service near4 10.0.0.5:80 10.0.0.9:80 && service far4 10.9.0.1:80 172.16.3.2:80 &&
        service nearfar4 10.0.0.5:80 10.9.0.1:80 &&
        service far4x12 10.9.0.{1,2,3,4,5,6,7,8,9,10,11,12}:80 &&
        service near6 '[2001:db8:1::5]:80' '[2001:db8:1::9]:80' &&
        service far6 '[2001:db8:2::5]:80' '[2001:db8:4::9]:80' &&
        service pair 10.9.0.1:80 '[2001:db8:9::5]:80' &&
        service mixed 10.9.0.1:80 172.16.3.2:80 '[2001:db8:2::5]:80' '[2001:db8:4::9]:80' &&
        service nearmixed 10.0.0.5:80 10.0.0.9:80 '[2001:db8:2::5]:80' '[2001:db8:4::9]:80' &&
        service heavy4 '{"addr":"10.9.0.1:80","weight":1}' '{"addr":"172.16.3.2:80","weight":2}' &&
        service nearheavy4 '{"addr":"10.0.0.5:80","weight":1}' '{"addr":"10.0.0.9:80","weight":2}' &&
        service last 10.9.0.9:80
}

# shares N SERVICE FAMILY ADDRESS*WEIGHT...: in each kind of process; N of
# those that live short.
shares() {
    local n=$1 name=$2.service.etcd bad=0
    shift 2
    "$balance" long 6000 "$name" "$@" || bad=1
    "$balance" workers 4800 "$name" "$@" || bad=1
    [ "$n" = 0 ] || "$balance" short "$n" "$name" "$@" || bad=1
    return "$bad"
}

answers_near() {
    [ "$(getent -A -s hosts:etcdsd ahostsv4 near4.service.etcd | grep -c STREAM)" = "$1" ]
}

limits_follow() {
    watcher_on 10.0.0.1/24 && answers_near 2 &&
        ip address add fe80::1/64 dev v0 nodad && wait_until 5 answers_near 1 &&
        ip address del fe80::1/64 dev v0 && wait_until 5 answers_near 2
}

far4="10.9.0.1 172.16.3.2"
near4="10.0.0.5 10.0.0.9"
far6="2001:db8:2::5 2001:db8:4::9"
near6="2001:db8:1::5 2001:db8:1::9"

# shellcheck disable=SC2086 # lists of addresses
{
    check 'a network and an etcd in it' eval 'network && etcd_start'
    check 'services are registered' services

    check 'a host with IPv4 only' watcher_on 10.0.0.1/24
    check 'IPv4 only: far instances' shares 2000 far4 4 $far4
    check 'IPv4 only: a process that forks for each request' \
        "$balance" forks 2000 far4.service.etcd 4 $far4
    check 'IPv4 only: near instances' shares 2000 near4 any $near4
    check 'IPv4 only: by weight' shares 4000 heavy4 4 10.9.0.1*1 172.16.3.2*2
    check 'IPv4 only: far instances of both families' shares 2000 mixed any $far4
    check 'IPv4 only: near instances and IPv6' shares 0 nearmixed any $near4
    check 'IPv4 only: more instances than answers' \
        "$balance" long 12000 far4x12.service.etcd 4 10.9.0.{1,2,3,4,5,6,7,8,9,10,11,12}

    check 'a host with IPv4 and fe80::' watcher_on 10.0.0.1/24 fe80::1/64
    check 'fe80::, far instances' shares 2000 far4 any $far4
    check 'fe80::, near instances' shares 2000 near4 4 $near4
    check 'fe80::, near and far instances' shares 2000 nearfar4 4 10.0.0.5 10.9.0.1
    check 'fe80::, near instances by weight' shares 0 nearheavy4 any 10.0.0.5*1 10.0.0.9*2
    check 'fe80::, near instances and IPv6' shares 2000 nearmixed any $near4

    check 'a host with both families' watcher_on 10.0.0.1/24 2001:db8:1::1/64 fe80::1/64
    check 'both: near IPv4' shares 2000 near4 any $near4
    check 'both: near IPv6' shares 2000 near6 6 $near6
    check 'both: far IPv6' shares 2000 far6 any $far6
    check 'both: one instance of each' shares 2000 pair any 10.9.0.1 2001:db8:9::5
    check 'both: two instances of each' shares 0 mixed any $far4 $far6

    check 'a host with IPv6 only' watcher_on 2001:db8:1::1/64 fe80::1/64
    check 'IPv6 only: near instances' shares 2000 near6 any $near6
    check 'IPv6 only: instances of both families' shares 2000 mixed any $far6

    check 'answers follow the addresses of the host' limits_follow
}
finish
