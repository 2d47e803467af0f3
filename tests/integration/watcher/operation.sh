#!/bin/bash
# The daemon beside its service manager, its monitoring and its disks.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/watcher/lib.sh
. "$(dirname "$0")/lib.sh"

state=$work/state

start() {
    spawn watcher "$build/etcdsd-watcher" --foreground --endpoints "$ETCDCTL_ENDPOINTS" \
        --table "$ETCDSD_TABLE" --max-answers 8 --state-directory "$state" --snapshot-interval 1 \
        --metrics-listen "127.0.0.1:$metrics"
}

tells_the_manager() {
    local -x NOTIFY_SOCKET=$work/notify WATCHDOG_USEC=2000000
    stop etcd KILL
    wait_until 10 test -S "$work/notify" || return 1
    start
    wait_until 10 heard '^STATUS=waiting for etcd$' && wait_until 5 heard '^WATCHDOG=1$' && ! heard '^READY=1$' &&
        etcd_run && put_first && wait_until 20 heard '^READY=1$' &&
        wait_until 10 heard '^STATUS=following etcd: [01] services, [01] instances$' &&
        wait_until 10 heard '^STATUS=following etcd: 1 services, 1 instances$'
}

put_first() {
    wait_until 15 etcd_answers && put /service/user/a 127.0.0.2:80
}

frozen_is_seen() {
    local before
    kill -STOP "${pid[watcher]}"
    before=$(grep -c '^WATCHDOG=1$' "$work/manager.log")
    wait_until 3 false # longer than the manager would wait
    [ "$(grep -c '^WATCHDOG=1$' "$work/manager.log")" = "$before" ]
    local status=$?
    kill -CONT "${pid[watcher]}"
    return "$status"
}

tells_the_end() {
    stop watcher
    [ "$(tail -n 1 "$work/manager.log")" = STOPPING=1 ]
}

scrape() {
    curl -s --noproxy '*' --max-time 5 "http://127.0.0.1:$metrics/metrics"
}

is_scraped() {
    start
    wait_until 10 answers user.service.etcd 127.0.0.2 && wait_until 5 scrapes_one &&
        [ "$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' "http://127.0.0.1:$metrics/")" = 404 ]
}

scrapes_one() {
    scrape | grep -q '^etcdsd_watcher_instances 1$'
}

# Slow and half requests cost their senders.
survives_bad_scrapers() {
    local i
    for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
        spawn "slow$i" bash -c "exec 3<>/dev/tcp/127.0.0.1/$metrics; printf 'GET ' >&3; read -r -t 20 -u 3"
    done
    wait_until 15 scrapes_one && put /service/user/b 127.0.0.3:80 &&
        wait_until 5 answers user.service.etcd 127.0.0.2 127.0.0.3
}

no_core_no_memory() {
    # What is not dumpable belongs to root in /proc.
    [ "$(stat -c %u "/proc/${pid[watcher]}/environ")" = 0 ] &&
        ! grep -q sesame "/proc/${pid[watcher]}/cmdline"
}

# A small tmpfs of our own, in a mount namespace; resources.sh has more of it.
full_table_disk() {
    unshare -rm true 2>/dev/null || { echo "# no namespaces here"; return 0; }
    python3 "$top/tests/integration/watcher/fill.py" "$ETCDCTL_ENDPOINTS" 3000 10
    # shellcheck disable=SC2016
    spawn tight unshare -rm bash -c 'mkdir -p "$1"; mount -t tmpfs -o size=64k none "$1"; shift; exec "$@"' - \
        "$work/tight" "$build/etcdsd-watcher" --foreground --endpoints "$ETCDCTL_ENDPOINTS" \
        --table "$work/tight/table.v1"
    wait_until 10 logged tight 'No space left' && wait_until 3 false
    kill -0 "${pid[tight]}" && [ "$(grep -c 'No space left' "$work/tight.log")" -le 3 ] && stop tight
}

# ---- counters ---------------------------------------------------------------

counters() {
    scrape | grep -E '^[a-z_]+_total [0-9]+$'
}

configure() {
    printf '%s\n' "endpoints = $ETCDCTL_ENDPOINTS" "table = $ETCDSD_TABLE" "metrics-listen = 127.0.0.1:$metrics" \
        "$@" >"$work/etcdsd.conf"
}

# A zone that goes takes what was counted in it along: that would be a fall.
counters_only_rise() {
    local before
    stop watcher
    metrics=$((metrics + 1))
    configure '[zone a]' '[zone b]' 'prefix = /b/' 'domain = b.example' && put /b/user/x 127.0.0.9:80 &&
        spawn watcher env -u ETCDCTL_ENDPOINTS -u ETCDSD_TABLE "$build/etcdsd-watcher" --config "$work/etcdsd.conf" &&
        wait_until 10 answers user.b.example 127.0.0.9 && put /b/user/y 127.0.0.10:80 &&
        wait_until 5 answers user.b.example 127.0.0.10 127.0.0.9 && before=$(counters) || return 1
    configure
    kill -HUP "${pid[watcher]}"
    wait_until 10 logged watcher 'no longer follows /b/' && [ "$(wc -l <<<"$before")" -ge 7 ] &&
        join <(sort <<<"$before") <(counters | sort) | awk '
            $3 < $2 { print "# " $0; fell = 1 }
            /events_total/ && $2 == 0 { print "# nothing was counted"; fell = 1 }
            END { exit fell || NR < 7 }'
}

unit_is_tight() {
    command -v systemd-analyze >/dev/null || { echo "# no systemd-analyze"; return 0; }
    local said
    said=$(cd "$work" && systemd-analyze security --offline=true --threshold=15 --no-pager \
        "$top/packaging/systemd/etcdsd-watcher.service" 2>&1) ||
        [[ $said = *'unrecognized option'* ]] || { echo "# ${said##*→}"; return 1; }
}

# The unit as it is, but for the places of what is not installed here.
unit_is_sound() {
    command -v systemd-analyze >/dev/null || { echo "# no systemd-analyze"; return 0; }
    local said
    sed -e "s|^ExecStart=/usr/sbin/|ExecStart=$build/|" -e '/^Documentation=/d' \
        "$top/packaging/systemd/etcdsd-watcher.service" >"$work/etcdsd-watcher.service"
    if ! said=$(systemd-analyze verify --man=no "$work/etcdsd-watcher.service" 2>&1) || [ -n "$said" ]; then
        echo "# $said"
        return 1
    fi
}

metrics=$((33000 + RANDOM % 6000)) # where etcd_start takes none
spawn manager manager
etcd_start || { echo "not ok - etcd starts"; finish; }
check "READY comes with the first publication, WATCHDOG before it, STATUS says what is" tells_the_manager
check "a frozen daemon gives no sign of life" frozen_is_seen
check "STOPPING is the last word" tells_the_end
check "Prometheus gets its numbers over HTTP" is_scraped
check "slow scrapers hold nothing up" survives_bad_scrapers
check "memory and environment are for root alone" no_core_no_memory
check "a full disk under the table is told, and tried again" full_table_disk
check "counters only rise, whatever a reload takes away" counters_only_rise
check "the systemd unit has no mistake" unit_is_sound
check "the systemd unit's exposure is at most 1.5" unit_is_tight
finish
