#!/bin/bash
# etcdsd doctor on an etcd that has trouble of its own (an alarm, no leader, a zone
# that may not be seen), and on tables whose names programs don't get.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/cli/lib.sh
. "$(dirname "$0")/lib.sh"

alarmed="warn etcd: * alarm:NOSPACE *[(]etcdctl alarm list; of NOSPACE: compact, defrag, alarm disarm)"

# What is written until nothing more can be.
fill_up() {
    local i
    for i in {1..400}; do
        head -c 100000 /dev/zero | tr '\0' x | etcdctl put /elsewhere/big >/dev/null 2>&1 || return 0
    done
    echo "# etcd takes all of it"
    return 1
}

alarm_of_space() {
    fill_up || return 1
    doctor
    says 1 "$alarmed" 'ok   access: *' 'ok   watcher: *'
}

# The way that the hint tells.
alarm_is_disarmed() {
    local revision
    revision=$(etcdctl get /elsewhere/big --write-out=json --keys-only | sed -n 's/.*"revision":\([0-9]*\).*/\1/p')
    etcdctl compact --physical "$revision" >/dev/null && etcdctl defrag >/dev/null && etcdctl alarm disarm >/dev/null || return 1
    doctor
    says 0 "ok   etcd: $ETCDCTL_ENDPOINTS: etcd 3.*, its cluster has a leader" && put /service/user/a 127.0.0.2:80
}

# A module before ours that does not come back.
module_that_hangs() {
    echo '#include <unistd.h>
int _nss_hang_gethostbyname4_r(void);
int _nss_hang_gethostbyname4_r(void) { for (;;) pause(); }' |
        gcc -shared -fPIC -xc - -o "$libraries/libnss_hang.so.2" || return 1
    echo 'hosts: files hang etcdsd [!UNAVAIL=return] dns' >/etc/nsswitch.conf
    doctor
    says 2 'FAIL lookup: * is in the table, and getaddrinfo says: nothing in 10 s (*'
    local result=$?
    rm "$libraries/libnss_hang.so.2" && printf '%s\n' "$nsswitch" >/etc/nsswitch.conf && return "$result"
}

# As a container sees it that was given the file, not its directory.
newer_file() {
    local i
    mkdir /run/given && ln "$table" /run/given/table.v1 || return 1
    { echo && for i in {1..120}; do echo "put /service/s$i/i 10.0.0.$i:80"; done && echo && echo; } |
        etcdctl txn >/dev/null && wait_until 10 sees "ok   table: $table, 122 services*" || return 1
    doctor --table /run/given/table.v1
    says 2 'FAIL watcher: superseded: the watcher has put a newer file there;*' && rm -r /run/given
}

zone_that_is_shut() {
    stop watcher
    {
        etcdctl user add root:root && etcdctl user grant-role root root && etcdctl user add watcher:sesame &&
            etcdctl role add reader && etcdctl user grant-role watcher reader &&
            etcdctl role grant-permission --prefix reader read /service/ && etcdctl auth enable
    } >/dev/null || return 1
    mkdir -p /etc/etcdsd && printf '%s\n' 'user = watcher' 'password = sesame' '[zone open]' 'prefix = /service/' \
        'domain = service.etcd' '[zone shut]' 'prefix = /shut/' 'domain = shut.example' >/etc/etcdsd/etcdsd.conf
    watch_host && wait_until 10 sees 'FAIL watcher: live: answers are what etcd has now, but not of all domains *' &&
        says 2 \
            "FAIL zones: 1 of the zones can't be answered for (etcdsd status names the domains, *" 'ok   access: *' \
            'ok   lookup: *' || return 1
    etcdctl --user root:root role grant-permission --prefix reader read /shut/ >/dev/null &&
        etcdctl --user root:root put /shut/user/i 127.0.0.4:80 >/dev/null && stop watcher && watch_host &&
        wait_until 10 sees 'ok   watcher*' || return 1
    doctor
    rm -r /etc/etcdsd
    etcdctl --user root:root auth disable >/dev/null && [ "$status" = 0 ] && ! grep zones <<<"$out"
}

second_joins() {
    local peer=http://127.0.0.1:$((port + 13))
    etcdctl member add n2 --peer-urls "$peer" >/dev/null || return 1
    spawn second etcd --name n2 --data-dir "$work/second" --listen-client-urls "http://127.0.0.1:$((port + 12))" \
        --advertise-client-urls "http://127.0.0.1:$((port + 12))" --listen-peer-urls "$peer" \
        --initial-advertise-peer-urls "$peer" --initial-cluster-state existing --logger zap --log-outputs stderr \
        --initial-cluster "n1=http://127.0.0.1:$((port + 1)),n2=$peer"
    ETCDCTL_ENDPOINTS=http://127.0.0.1:$((port + 12)) wait_until 20 etcdctl get /service/user/a >/dev/null 2>&1 &&
        doctor && says 0 "ok   etcd: $ETCDCTL_ENDPOINTS: etcd 3.*, its cluster has a leader"
}

# Of two members one is no majority; it still tells of itself.
leader_is_lost() {
    stop second KILL
    wait_until 30 sees 'FAIL etcd: * its cluster has no leader (etcdctl endpoint status --cluster; a majority of members must run)' &&
        says 2 "FAIL access: services can't be read: *"
}

# Beyond max-stale nothing is answered any more.
nothing_is_answered() {
    stop watcher && echo 'max-stale = 1' >"$work/stale.conf" && rm "$table" && rm -rf /var/lib/etcdsd/* || return 1
    stop etcd KILL && etcd_start || return 1
    put /service/user/a 127.0.0.2:80
    spawn watcher "$build/etcdsd-watcher" --foreground --table "$table" --config "$work/stale.conf"
    wait_until 10 sees 'ok   lookup: *' && stop etcd KILL || return 1
    wait_until 20 sees 'FAIL watcher: disconnected: no answers: the table has not been *, and max-stale is 1 s *' &&
        says 2 'FAIL lookup: user.service.etcd is in the table, and getaddrinfo says: Temporary failure in name resolution *'
}

export ETCD_QUOTA_BACKEND_BYTES=$((2 << 20))
check 'etcd with little room starts' etcd_start
unset ETCD_QUOTA_BACKEND_BYTES
check 'the watcher runs with two services' register_two
check 'an alarm of etcd is told, and what to do' alarm_of_space
check 'once that is done, all is well' alarm_is_disarmed
check 'a lookup that never ends is told' module_that_hangs
check 'a table that was replaced is told' newer_file
check 'a zone that etcd does not show is told' zone_that_is_shut
check 'a second member joins' second_joins
check 'a cluster without a leader is told' leader_is_lost
check 'a table beyond max-stale is told, and that programs get nothing' nothing_is_answered
finish
