#!/bin/bash
# A watcher that is stopped (SIGSTOP) for $FREEZE seconds, longer than anybody
# waits for a sign of life, while etcd changes and forgets what it was: answers
# go on, status says how old they are, and afterwards all is as etcd has it.
# And a second watcher in its place, which is refused all the while.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/watcher/lib.sh
. "$(dirname "$0")/lib.sh"

freeze=${FREEZE:-12}

fill() {
    python3 "$top/tests/integration/watcher/fill.py" "$ETCDCTL_ENDPOINTS" "$@"
}

status_says() {
    said=$("$build/etcdsd" status)
    [ $? = "$1" ] && [[ $said = $2* ]]
}

# What etcd has, and what the table has: service/instance address, sorted.
in_etcd() {
    etcdctl get --prefix /service/ | paste - - | sed 's|^/service/||' | sort
}

in_table() {
    "$build/etcdsd" dump | awk -F '\t' '{ print $1 "/" $2 "\t" $3 }' | sort
}

is_the_same() {
    [ "$(in_table)" = "$(in_etcd)" ]
}

starts() {
    fill 300 3 && put /service/user/a 127.0.0.2:80 && watcher_start && wait_until 15 is_the_same && status_says 0 live
}

# etcd changes, and forgets the revisions by which that could be followed.
changes_meanwhile() {
    local revision
    fill 200 3 7 && etcdctl del --prefix /service/s9 >/dev/null && put /service/user/a 127.0.0.3:80 &&
        put /service/new/a 127.0.0.4:80 &&
        revision=$(etcdctl get /service/new/a -w json | sed 's/.*"revision":\([0-9]*\).*/\1/') &&
        etcdctl compact "$revision" >/dev/null
}

goes_on_answering() {
    kill -STOP "${pid[watcher]}"
    changes_meanwhile && never "$freeze" answers_no_more && status_says 1 gone &&
        [[ $said = *"answers go on as they are"* ]] && [ "$(age)" -ge $((freeze - 2)) ] && ! is_the_same
}

answers_no_more() {
    ! answers user.service.etcd 127.0.0.2
}

age() {
    "$build/etcdsd" status --json | sed 's/.*"true_age_s": *\([0-9]*\).*/\1/'
}

# Frozen is not dead: it still has the lock.
second_is_refused() {
    said=$(timeout 20 "$build/etcdsd-watcher" --endpoints "$ETCDCTL_ENDPOINTS" --table "$ETCDSD_TABLE" 2>&1)
    [ $? = 1 ] && [[ $said = *"$ETCDSD_TABLE: in use by process ${pid[watcher]}"* ]] && answers user.service.etcd 127.0.0.2
}

catches_up() {
    kill -CONT "${pid[watcher]}"
    wait_until 20 is_the_same && wait_until 10 status_says 0 live && answers user.service.etcd 127.0.0.3 &&
        put /service/user/b 127.0.0.9:80 && wait_until 5 answers user.service.etcd 127.0.0.3 127.0.0.9
}

etcd_start || { echo "not ok - etcd starts"; finish; }
check "the table is what etcd has" starts
check "stopped for $freeze s: answers go on, and status says how old they are" goes_on_answering
check "a second watcher is refused, told by whom, and ends with status 1" second_is_refused
check "after that the table is what etcd has, exactly" catches_up
finish
