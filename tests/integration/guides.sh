#!/bin/bash
# The guides: each command in them works, and prints what is shown, on a host of
# its own with etcdsd installed and a real etcd.
# SPDX-License-Identifier: LGPL-2.1-or-later
cd "$(dirname "$0")/../.." || exit 1
status=0

# A guide's block that is marked text shows the output of the one before it.
for guide in "${@:-packaging/doc/*.md}"; do
    # shellcheck disable=SC2086 # the default is a pattern
    for file in $guide; do
        said=$(tests/helpers/host python3 tests/helpers/guide.py "$file" 2>&1)
        result=$?
        printf '%s\n' "$said" | grep -v '^ok'
        case $result,$said in
            0,ok*) echo "${said##*$'\n'}" ;;
            0,*) echo "ok - ${file##*/}" ;;
            *) echo "not ok - ${file##*/}"; status=1 ;;
        esac
    done
done
exit "$status"
