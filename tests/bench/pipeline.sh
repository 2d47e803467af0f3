#!/bin/bash
# An etcd and a watcher of our own for pipeline.c, all files in memory.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   tests/bench/pipeline.sh BUILD        prints measurements as bench.c does
set -u
BUILD=$(realpath "$1")
export BUILD
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../integration/lib.sh"

if ! { etcd_start && watcher_start && wait_until 10 test -e "$ETCDSD_TABLE"; } >&2; then
    echo "pipeline: etcd or the watcher did not start" >&2
    exit 1
fi
"$build/bench/pipeline" visible 2000 || exit 1
stop watcher
for count in 1 100 10000; do
    "$build/bench/pipeline" register $count || exit 1
done
# What one host costs, by many of them.
for count in 100 1000; do
    "$build/bench/fleet" watch $count 100 "${pid[etcd]}" || exit 1
done
"$build/bench/fleet" beat 1000 20000 "${pid[etcd]}"
