#!/bin/bash
# The guides: each command in them works, and prints what is shown, on a host of
# its own with etcdsd installed and a real etcd.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   tests/integration/guides.sh [GUIDE.md...]
cd "$(dirname "$0")/../.." || exit 1
[ $# != 0 ] || set -- packaging/doc/*.md
status=0

for guide; do
    said=$(tests/helpers/host python3 tests/helpers/guide.py "$guide" 2>&1)
    result=$?
    if [ "$result" != 0 ]; then
        printf '%s\nnot ok - %s\n' "$said" "${guide##*/}"
        status=1
    elif [[ $said == *'ok - skipped'* ]]; then
        printf '%s\n' "$said"
    else
        printf '%s\nok - %s\n' "$said" "${guide##*/}"
    fi
done
exit "$status"
