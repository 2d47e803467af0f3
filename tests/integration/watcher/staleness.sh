#!/bin/bash
# When etcd is not there, is another one, or has lost its data: what the table
# goes on answering, and what the snapshot is good for.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/watcher/lib.sh
. "$(dirname "$0")/lib.sh"

state=$work/state
snapshot=$state/snapshot.v1
metrics=$work/etcdsd.prom

export MALLOC_ARENA_MAX=1 # address space as the content needs it; see small_memory

# start ARG...: a watcher that keeps snapshots.
start() {
    spawn watcher "$build/etcdsd-watcher" --foreground --endpoints "$ETCDCTL_ENDPOINTS" \
        --table "$ETCDSD_TABLE" --max-answers 8 --state-directory "$state" --snapshot-interval 1 \
        --confirm-loss 3 --metrics-file "$metrics" "$@"
}

# reboot ARG...: no table, as after a boot, and a watcher.
reboot() {
    [ -z "${pid[watcher]:-}" ] || stop watcher "${signal:-TERM}"
    rm -rf "$work/run" && mkdir -m 755 "$work/run" && : >"$work/watcher.log" && start "$@"
}

fill() {
    python3 "$top/tests/integration/watcher/fill.py" "$ETCDCTL_ENDPOINTS" 20 20
}

count_is() {
    [ "$(getent -A -s hosts:etcdsd ahosts s0.service.etcd | awk '{ print $1 }' | sort -u | wc -l)" = "$1" ]
}

newer_snapshot() {
    [ -e "$snapshot" ] && [ "$(stat -c %Y.%i "$snapshot")" != "${known_snapshot:-}" ]
}

is_kept() {
    fill && put /service/user/a 127.0.0.2:80 && start && wait_until 10 answers user.service.etcd 127.0.0.2 &&
        wait_until 10 newer_snapshot && [ "$(stat -c %a "$snapshot")" = 600 ]
}

boots_without_etcd() {
    stop etcd KILL
    signal=KILL reboot
    wait_until 5 answers user.service.etcd 127.0.0.2 && state_is 2 && count_is 8 &&
        logged watcher 'published from the snapshot'
}

etcd_confirms() {
    etcd_run
    wait_until 20 state_is 1 && answers user.service.etcd 127.0.0.2 &&
        put /service/user/b 127.0.0.3:80 && wait_until 10 answers user.service.etcd 127.0.0.2 127.0.0.3
}

clean_stop_keeps_the_last() {
    stop etcd KILL
    reboot
    wait_until 5 answers user.service.etcd 127.0.0.2 127.0.0.3
}

max_stale_refuses() {
    wait_until 4 false # the snapshot gets older than what follows allows
    stop watcher KILL
    reboot --max-stale 2
    wait_until 5 logged watcher 'not used: it is too old' && [ ! -e "$ETCDSD_TABLE" ]
}

damaged_is_refused() {
    stop watcher KILL
    printf x | dd of="$snapshot" bs=1 seek=200 conv=notrunc status=none
    reboot
    wait_until 5 logged watcher 'not used: it is damaged' && [ ! -e "$ETCDSD_TABLE" ] &&
        [ "$(grep -c snapshot "$work/watcher.log")" = 1 ] && etcd_run &&
        wait_until 20 answers user.service.etcd 127.0.0.2 127.0.0.3 && state_is 1
}

# A store that lost all its data, and one service that came back.
wiped_is_doubted() {
    stop etcd KILL
    rm -rf "$work/etcd"
    etcd_run
    wait_until 15 etcd_answers && wait_until 20 logged watcher 'lacks 22 of 22 instances' &&
        state_is 2 && count_is 8 && answers user.service.etcd 127.0.0.2 127.0.0.3 &&
        put /service/user/c 127.0.0.4:80 && wait_until 2 answers user.service.etcd 127.0.0.2 127.0.0.3 127.0.0.4
}

wiped_is_believed() {
    wait_until 20 answers user.service.etcd 127.0.0.4 && state_is 1 && logged watcher 'still missing: believed'
}

# The wrong cluster at the first contact after a boot.
wrong_cluster() {
    fill && wait_until 10 count_is 8 && stop watcher && stop etcd KILL && mv "$work/etcd" "$work/right" && etcd_run &&
        wait_until 15 etcd_answers && put /service/else/a 127.0.0.9:80 && reboot &&
        wait_until 10 logged watcher 'lacks 21 of 21 instances' && count_is 8 && state_is 2
}

right_cluster_again() {
    stop etcd KILL
    rm -rf "$work/etcd" && mv "$work/right" "$work/etcd" && etcd_run && wait_until 20 state_is 1 &&
        count_is 8 && answers user.service.etcd 127.0.0.4
}

# ---- operation --------------------------------------------------------------

metrics_are_written() {
    wait_until 15 grep -q '^etcdsd_watcher_connected 1$' "$metrics" &&
        grep -q '^etcdsd_watcher_zone_keys{domain="service.etcd",prefix="/service/"} 21$' "$metrics"
}

# Words 24 and following, as layout.h numbers them.
header_tells() {
    [ $(($(date +%s) - $(word 24))) -lt 300 ] && [ "$(word 25)" -gt 20 ] && [ "$(word 27)" -ge 1 ] &&
        [ "$(word 28)" -ge 1 ] && [ "$(word 29)" = 0 ]
}

frozen() {
    kill -STOP "${pid[watcher]}"
    answers user.service.etcd 127.0.0.4 && put /service/user/d 127.0.0.5:80 &&
        wait_until 5 false
    answers user.service.etcd 127.0.0.4 || return 1
    kill -CONT "${pid[watcher]}"
    wait_until 10 answers user.service.etcd 127.0.0.4 127.0.0.5
}

# As much memory as it takes now, a little more, and a list that needs a lot
# more.
small_memory() {
    local size
    size=$(awk '/^VmSize/ { print $2 }' "/proc/${pid[watcher]}/status")
    stop watcher
    python3 "$top/tests/integration/watcher/fill.py" "$ETCDCTL_ENDPOINTS" 60000 3
    : >"$work/watcher.log"
    # shellcheck disable=SC2016 # the inner shell expands them
    spawn watcher bash -c "ulimit -v $((size + 4096))"'; exec "$@"' - "$build/etcdsd-watcher" --foreground \
        --endpoints "$ETCDCTL_ENDPOINTS" --table "$ETCDSD_TABLE" --state-directory "$state"
    wait_until 30 grep -qi 'memory' "$work/watcher.log" && answers user.service.etcd 127.0.0.4 127.0.0.5 &&
        count_is 8
}

clean_again() {
    [ -z "${pid[watcher]:-}" ] || stop watcher KILL
    start && wait_until 20 state_is 1 && answers user.service.etcd 127.0.0.4 127.0.0.5
}

etcd_start || { echo "not ok - etcd starts"; finish; }
check "a snapshot is kept, for nobody else to read" is_kept
check "a host that boots without etcd answers from it, DISCONNECTED" boots_without_etcd
check "etcd comes, confirms it, and is followed" etcd_confirms
check "a clean stop keeps the last state" clean_stop_keeps_the_last
check "a snapshot older than max-stale is refused" max_stale_refuses
check "a damaged snapshot costs one line" damaged_is_refused
check "a store that was wiped is not believed at once; what is new is followed" wiped_is_doubted
check "a second list confirms it" wiped_is_believed
check "another cluster at the first contact is not believed" wrong_cluster
check "the right cluster ends the doubt" right_cluster_again
check "metrics are written" metrics_are_written
check "the table's header tells how the watcher does" header_tells
check "a frozen watcher's table answers, and it catches up" frozen
check "too little memory is a clear error, and the table stays" small_memory
check "it starts again after that" clean_again
finish
