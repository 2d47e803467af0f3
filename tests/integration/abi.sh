#!/bin/bash
# What programs that were linked with libsd.so.1 before rely on is still there:
# symbols, parameters, structs, constants.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/abi/ holds the interface as it was when `make abi` last wrote it down.
# What is new alone is no difference; `make abi` makes it count from then on.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

library=$build/libsd.so.1
cd "$top" || exit 1 # the library's debug information names files of the tree
compare=(abidiff --no-added-syms --no-show-locs --no-architecture)

# A library without debug information tells nothing; a like one is built then.
described_library() {
    readelf -SW "$library" | grep -q '\.debug_info' && return
    library=$work/build/libsd.so.1
    make -s B="$work/build" CFLAGS='-O0 -g' LDFLAGS= "$library" >"$work/make.log" 2>&1
}

# same_interface OLD NEW: directories that tests/abi/dump wrote.
same_interface() {
    "${compare[@]}" "$1/libsd.so.1.abi" "$2/libsd.so.1.abi" >"$work/difference" || return 1
    comm -23 "$1/constants" "$2/constants" | sed 's/^/no longer: /' >>"$work/difference"
    ! grep '^no longer: ' "$work/difference" >/dev/null
}

is_compatible() {
    local added
    mkdir "$work/now"
    tests/abi/dump "$library" "$work/now" libsd/libsd*.h || return 1
    if ! same_interface tests/abi "$work/now"; then
        sed 's/^/# /' "$work/difference"
        cat <<'END'
# A program linked with libsd.so.1 as it was would not work with this one.  Where
# that is meant, since the old interface was never released, or since a struct
# that knows its own size has grown at its end, write the new one down:
#     make abi
# and commit tests/abi/ together with the change.
END
        return 1
    fi
    added=$(diff <(names tests/abi) <(names "$work/now") | sed -n 's/^> //p' | tr '\n' ' ')
    [ -z "$added" ] || echo "# not in tests/abi yet (make abi): $added"
}

# names DIRECTORY: of all symbols and constants.
names() {
    sed -n "s/.*<elf-symbol name='\([^']*\)'.*/\1/p" "$1/libsd.so.1.abi"
    sed 's/ .*//' "$1/constants"
}

has_its_name() {
    local dynamic
    dynamic=$(readelf -dW "$library")
    [[ $dynamic == *'Library soname: [libsd.so.1]'* && $dynamic != *PATH* ]] &&
        readelf -VW "$library" | grep -q 'Name: LIBSD_1\.0$' &&
        [ "$(readlink "$build/libsd.so")" = libsd.so.1 ]
}

# One node, and no name without it but the node's own.
exports_under_its_version() {
    nm -D --defined-only --with-symbol-versions "$library" | awk '{ print $3 }' >"$work/exported"
    grep -q '^libsd_open@@LIBSD_1\.0$' "$work/exported" &&
        ! grep -vxE 'libsd_[a-z0-9_]+@@LIBSD_1\.0|LIBSD_1\.0(@@LIBSD_1\.0)?' "$work/exported"
}

# ---- whether a difference would be seen -----------------------------------

# A small library with an interface of the same kind, changed by -D.
cat >"$work/small.h" <<'END'
struct libsd_pair {
    int a;
#ifdef STRUCT
    int between;
#endif
    int b;
#ifdef GROWN
    int at_its_end;
#endif
};
enum libsd_number {
    LIBSD_ONE = 1,
#ifdef CONSTANT
    LIBSD_TWO = 3
#elif !defined CONSTANT_GONE
    LIBSD_TWO = 2
#endif
};
#define LIBSD_MOST 10
#ifdef PARAMETER
long libsd_second(long number);
#else
long libsd_second(int number);
#endif
int libsd_first(const struct libsd_pair *pair);
int libsd_third(void);
END
cat >"$work/small.c" <<'END'
#include "small.h"
int libsd_first(const struct libsd_pair *pair) { return pair->a + pair->b; }
#ifdef PARAMETER
long libsd_second(long number) { return number; }
#else
long libsd_second(int number) { return number; }
#endif
#ifndef SYMBOL
int libsd_third(void) { return LIBSD_ONE; }
#endif
#ifdef MORE
int libsd_fourth(void);
int libsd_fourth(void) { return LIBSD_MOST; }
#endif
END

small_library() {
    mkdir "$work/small-$1"
    gcc -D"$1" -g -shared -fPIC -o "$work/small-$1/small.so" "$work/small.c" &&
        CC="gcc -D$1" tests/abi/dump "$work/small-$1/small.so" "$work/small-$1" "$work/small.h"
}

sees_what_breaks() {
    local change
    small_library AS_IT_WAS || return 1
    for change in SYMBOL STRUCT GROWN PARAMETER CONSTANT CONSTANT_GONE; do
        small_library "$change" || return 1
        ! same_interface "$work/small-AS_IT_WAS" "$work/small-$change" ||
            { echo "# $change is not seen"; return 1; }
    done
}

lets_pass_what_is_new() {
    small_library MORE && same_interface "$work/small-AS_IT_WAS" "$work/small-MORE"
}

described_library || { echo 'not ok - libsd.so.1 with debug information can be built'; exit 1; }
if [ "$(getconf LONG_BIT)" = 64 ]; then
    check 'libsd.so.1 offers what it offered before' is_compatible
else
    echo '# skipped: tests/abi was written down on a machine with 64 bits'
fi
check 'a lost symbol, another struct, parameter or constant would be noticed' sees_what_breaks
check 'new symbols would not' lets_pass_what_is_new
check 'it is libsd.so.1 with the version node LIBSD_1.0, and holds no path' has_its_name
check 'it exports libsd_* under that version, nothing else' exports_under_its_version
finish
