#!/bin/bash
# max-answers auto follows the host's addresses: in a network namespace of its
# own, addresses come and go while the watcher runs, and `etcdsd resolve` tells why
# an answer has not all that there are.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/watcher/lib.sh
. "$(dirname "$0")/lib.sh"

# In the namespace etcd is at its loopback, too.
if [ -z "${INSIDE:-}" ]; then
    unshare -rn true 2>/dev/null || { echo "ok - skipped: no network namespaces here"; exit 0; }
    rm -rf "$work"
    INSIDE=yes exec unshare -rn "$0"
fi
# Kernels have the one or the other kind; what they do with packets is no matter.
link_add() {
    ip link add port0 type dummy 2>/dev/null || ip link add port0 type veth 2>/dev/null || ip link add port0 type bridge
}
if ! { ip link set lo up && link_add && ip link set port0 up; }; then
    echo "not ok - a network"
    finish
fi

count_is() {
    [ "$(getent -A -s hosts:etcdsd ahosts "$1" | awk '{ print $1 }' | sort -u | wc -l)" = "$2" ]
}

# told SERVICE WHY: what resolve says of the number of addresses; "" is all of them.
told() {
    local said
    said=$("$build/etcdsd" resolve "$1" | sed -n '/^answers /,/^table /{/^table /!p}' | tr -s ' \n' ' ')
    # shellcheck disable=SC2053
    [[ $said = ${2:+answers $2 } ]] || { echo "# $1: $said"; return 1; }
}

# Services in a network that comes, far away, and of both families; and two whose
# limit is an administrator's.
starts() {
    local i
    for i in 1 2 3; do
        put "/service/near/i$i" "10.7.0.$i:80" && put "/service/far/i$i" "10.9.0.$i:80" &&
            put "/service/two/i$i" "10.9.1.$i:80" && put "/service/one/i$i" "10.9.2.$i:80" || return 1
    done
    for i in 10.7.0.1 10.7.0.2 fd00::5 fd00::6; do put "/service/both/$i" "$i" || return 1; done
    put /service/pair/i1 10.9.0.1 && put /service/pair/i2 fd09::1 || return 1
    printf '[service %s]\nmax-answers = %s\n' two.service.etcd 2 one.service.etcd 1 >"$work/etcdsd.conf"
    spawn watcher "$build/etcdsd-watcher" --endpoints "$ETCDCTL_ENDPOINTS" --table "$ETCDSD_TABLE" \
        --config "$work/etcdsd.conf"
    wait_until 10 count_is near.service.etcd 3 && count_is far.service.etcd 3 && count_is two.service.etcd 2
}

configured_is_told() {
    told one 'one address each (max-answers)' && told two 'up to 2 addresses each (max-answers)'
}

# glibc re-sorts what is in a subnet of a host that has IPv6, so there is one.
address_comes() {
    ip addr add fd00::1/64 dev port0 nodad && ip addr add 10.7.0.100/16 dev port0 &&
        wait_until 5 count_is near.service.etcd 1 && count_is far.service.etcd 3 &&
        logged watcher "this host's addresses changed"
}

# Of `both` each of two reasons would leave the same in the table.
sorting_is_told() {
    told far '' && told near 'one address each: several would be sorted *next to *, rule 9)' &&
        told pair 'one address each: *the same family first *, rule 6)' &&
        told both 'one address each: several would be sorted *; or * (max-answers)' && configured_is_told
}

all_in_turn() {
    local i
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        getent -s hosts:etcdsd ahosts near.service.etcd | awk 'NR == 1 { print $1 }'
    done | sort -u | grep -c .
}

goes_round() {
    [ "$(all_in_turn)" = 3 ]
}

address_goes() {
    ip addr del 10.7.0.100/16 dev port0 && wait_until 5 count_is near.service.etcd 3
}

# With IPv6 alone, one of three is an address of IPv6 whichever they are.
reach_is_told() {
    told both 'up to 3 addresses each: of fewer this host might reach none' && told pair ''
}

link_goes_down() {
    ip addr add 10.9.0.100/16 dev port0 && wait_until 5 count_is far.service.etcd 1 && count_is near.service.etcd 3 &&
        ip link set port0 down && wait_until 5 count_is far.service.etcd 3
}

etcd_start || { echo "not ok - etcd starts"; finish; }
check "answers have all addresses where nothing is near" starts
check "resolve tells which limits are configured" configured_is_told
check "an address in their network comes: one at a time" address_comes
check "resolve tells where glibc would sort" sorting_is_told
check "each of them is the one in its turn" goes_round
check "the address goes: all of them again" address_goes
check "resolve tells what the host reaches" reach_is_told
check "a link goes down, and its networks with it" link_goes_down
finish
