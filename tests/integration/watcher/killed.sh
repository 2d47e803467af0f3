#!/bin/bash
# A watcher that is killed at random moments, $KILLS times, while services change
# and processes ask: each answer is one that etcd's history allows.  $SEED repeats
# the choices of a run, if not its timing.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/watcher/lib.sh
. "$(dirname "$0")/lib.sh"

kills=${KILLS:-10}
seed=${SEED:-$RANDOM}

# Its standard error goes to a log of its own: it tells of each start.
killed_often() {
    python3 "$top/tests/integration/watcher/killed.py" "$ETCDCTL_ENDPOINTS" "$kills" "$seed" \
        "$build/etcdsd-watcher" --endpoints "$ETCDCTL_ENDPOINTS" --table "$ETCDSD_TABLE" --max-answers 8 \
        --state-directory "$work/state" --snapshot-interval 1 2>"$work/watchers.log"
}

etcd_start || { echo "not ok - etcd starts"; finish; }
check "no answer is wrong, whenever the watcher is killed ($kills times)" killed_often
finish
