#!/bin/bash
# The guides: each command in them works, and prints what is shown, on a host of
# its own with etcdsd installed and a real etcd.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   tests/integration/guides.sh [GUIDE.md...]
cd "$(dirname "$0")/../.." || exit 1
[ $# != 0 ] || set -- packaging/doc/*.md
results=$(mktemp -d) || exit 1
trap 'rm -rf "$results"' EXIT
trap 'kill $(jobs -p); exit 143' INT TERM HUP

follow() {
    local said
    if ! said=$(tests/helpers/host python3 tests/helpers/guide.py "$1" 2>&1); then
        printf '%s\nnot ok - %s\n' "$said" "${1##*/}"
    elif [[ $said == *'ok - skipped'* ]]; then
        printf '%s\n' "$said"
    else
        printf '%s\nok - %s\n' "$said" "${1##*/}"
    fi
}

# They wait more than they do: three at a time.
for guide; do
    grep -q '^```sh' "$guide" || continue # nothing to run
    [ "$(jobs -pr | wc -l)" -lt 3 ] || wait -n
    follow "$guide" >"$results/${guide##*/}" &
done
wait
cat "$results"/*
! grep -q '^not ok' "$results"/*
