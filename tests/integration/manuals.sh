#!/bin/bash
# The manual pages: well-formed, and true to the code as far as tables go.
# SPDX-License-Identifier: LGPL-2.1-or-later
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
status=0

if mandoc -Tlint -Wwarning packaging/man/*.[1-8] "$build"/man/*.3; then
    echo 'ok - the pages are well-formed'
else
    echo 'not ok - the pages are well-formed'
    status=1
fi
python3 tests/integration/manuals.py "$build" . || status=1
exit "$status"
