#!/bin/bash
# libsd/PARITY.md tells the truth: each row has a test that exists, each test a
# row, and what it names of libsd is in the headers.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

page=$top/libsd/PARITY.md
tests=$top/tests/integration/libsd

# Rows without the heads of the tables, cells apart by tabs.
grep '^|' "$page" | grep -vE '^\|(---|.* \| test \|$)' | sed 's/^| *//; s/ *|$//; s/ *| */\t/g' >"$work/rows"

rows_are_whole() {
    echo "# $(wc -l <"$work/rows") rows"
    [ "$(wc -l <"$work/rows")" -gt 50 ] && ! awk -F '\t' 'NF != 4' "$work/rows" | grep .
}

rows_have_a_test() {
    ! awk -F '\t' '$2 !~ /^`libsd_/ || $4 !~ /^`parity_[a-z]+\.[a-z0-9_]+`$/' "$work/rows" | grep .
}

same_tests() {
    cut -f 4 "$work/rows" | tr -d '`' | sort -u >"$work/named"
    sed -n 's/^Test(\(parity_[a-z]*\), *\([a-z0-9_]*\).*/\1.\2/p' "$tests"/test_parity_*.c | sort >"$work/written"
    [ -s "$work/written" ] || return 1
    diff "$work/named" "$work/written" >"$work/diff" || { sed 's/^/# /' "$work/diff"; return 1; }
}

# A suite is in the file of its name, whose programs all run.
suite_runs() {
    grep -q "^TestSuite($1," "$tests/test_$1.c" &&
        [ "$(grep -c "^$1\." "$work/written")" = "$(grep -c "^Test($1," "$tests/test_$1.c")" ]
}

suites_run() {
    local suite
    while read -r suite; do
        suite_runs "$suite" || { echo "# $suite"; return 1; }
    done < <(sed 's/\..*//' "$work/written" | sort -u)
}

# none_missing PATTERN COMMAND: of the names that the page has;
# COMMAND tells whether a header has it.
none_missing() {
    local name missing=0
    while read -r name; do
        "$2" "$name" || { echo "# there is no $name"; missing=1; }
    done < <(grep -oE "$1" "$page" | sort -u)
    [ "$missing" = 0 ]
}

is_function() {
    grep -qE "^(LIBSD_API|static inline)[^(]*[ *]$1\(" "$top"/libsd/libsd*.h
}

is_constant() {
    grep -qE "^ +$1 = " "$top"/libsd/libsd*.h
}

check 'PARITY.md has rows of four cells' rows_are_whole
check 'each row names a call of libsd and a test' rows_have_a_test
check 'the tests are those that the rows name' same_tests
check 'they are in programs that run' suites_run
check 'the functions it names are in the headers' none_missing '\<libsd_[a-z_]+\>' is_function
check 'so are the constants' none_missing '\<LIBSD_[A-Z_]+\>' is_constant
finish
