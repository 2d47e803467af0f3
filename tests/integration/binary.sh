#!/bin/bash
# The libraries as they are shipped: what the module needs, exports, runs when
# it is loaded and takes from its host's stack; and the same in 32 bits.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

module=$build/libnss_etcdsd.so.2
library=$build/libsd.so.1
# Compiler and flags of the build.
read -ra compile <"$build/flags"
mapfile -t sources < <(ls "$top"/nss/module/*.c "$top"/libsd/table/{reader,reverse,source}.c)
mapfile -t writer < <(printf '%s\n' "$top"/libsd/table/*.c | grep -v '/\(reader\|reverse\|source\)\.c$')
cd "$top" || exit 1 # the flags name directories of the tree

dynamic() {
    readelf -dW "$module" | sed -n "s/^ *[^ ]* *($1)[ ]*//p"
}

# section FILE NAME: its size in hexadecimal; nothing if there is none.
section() {
    readelf -SW "$1" | sed -n 's/^ *\[ *[0-9]*\] //p' | awk -v name="$2" '$1 == name { print $5 }'
}

same_lines() {
    diff "$1" "$2" >"$work/diff" || { sed 's/^/# /' "$work/diff"; return 1; }
}

needs_libc_only() {
    [ "$(dynamic NEEDED)" = 'Shared library: [libc.so.6]' ] &&
        [ "$(dynamic SONAME)" = 'Library soname: [libnss_etcdsd.so.2]' ] &&
        [ -z "$(dynamic RPATH)$(dynamic RUNPATH)" ]
}

is_bound_at_once_and_stays() {
    [[ $(dynamic FLAGS) == *BIND_NOW* && $(dynamic FLAGS_1) == *NOW* && $(dynamic FLAGS_1) == *NODELETE* ]]
}

# Each line: type, ..., flags.  Nothing both writable and executable, either.
segments() {
    readelf -lW "$module" | awk '/^  [A-Z_]+ +0x/ { flags = ""; for (i = 7; i < NF; i++) flags = flags $i
        print $1, flags }'
}

is_hardened() {
    segments >"$work/segments"
    grep -q '^GNU_RELRO' "$work/segments" && grep -qx 'GNU_STACK RW' "$work/segments" &&
        ! grep -q 'W.*E' "$work/segments" && [ -z "$(dynamic TEXTREL)" ] &&
        [[ $(dynamic FLAGS) != *TEXTREL* ]]
}

has_no_tls() {
    segments >"$work/segments"
    grep -q '^LOAD' "$work/segments" && ! grep -q '^TLS' "$work/segments" &&
        ! readelf --dyn-syms -W "$module" | grep -E ' TLS |__tls_get_addr'
}

# What the compiler's start files bring along is in an empty library, too.
runs_nothing_when_loaded() {
    local name
    : >"$work/empty.c"
    "${compile[@]}" -shared -o "$work/empty.so" "$work/empty.c" || return 1
    [ -n "$(section "$module" .text)" ] || return 1
    for name in .init_array .fini_array .preinit_array .ctors .dtors .init .fini; do
        [ "$(section "$module" "$name")" = "$(section "$work/empty.so" "$name")" ] ||
            { echo "# $name: $(section "$module" "$name")"; return 1; }
    done
    ! readelf --dyn-syms -W "$module" | grep -E 'atexit|pthread_key_create|pthread_atfork'
}

exports_entry_points() {
    sed -n 's/^ *\(_nss_[a-z0-9_]*\);$/\1/p' "$top/nss/module/libnss_etcdsd.map" | sort >"$work/mapped"
    grep -o '\<_nss_etcdsd_[a-z0-9_]*(' "$top/nss/module/hosts.h" | tr -d '(' | sort >"$work/declared"
    nm -D --defined-only "$module" | awk '{ print $3 }' | sort >"$work/exported"
    [ -s "$work/declared" ] && same_lines "$work/declared" "$work/mapped" &&
        same_lines "$work/declared" "$work/exported"
}

is_small() {
    local size relocations
    strip -o "$work/stripped" "$module" || return 1
    size=$(stat -c %s "$work/stripped")
    relocations=$(readelf -rW "$module" | grep -c ' R_')
    echo "# $size bytes stripped, $relocations relocations," \
        "$((0x$(section "$module" .data) + 0x$(section "$module" .bss))) bytes of data"
    [ "$size" -le 32768 ] && [ "$relocations" -gt 0 ] && [ "$relocations" -le 40 ]
}

# All functions of the module's sources: whatever an entry point reaches is one.
uses_little_stack() {
    local source most
    mkdir "$work/stack"
    for source in "${sources[@]}"; do
        "${compile[@]}" -fstack-usage -c -o "$work/stack/$(basename "$source" .c).o" "$source" || return 1
    done
    cat "$work"/stack/*.su >"$work/usage"
    most=$(awk '{ print $(NF - 1), $1 }' "$work/usage" | sort -rn | head -n 1)
    echo "# most: ${most/"$top/"/}, of $(wc -l <"$work/usage") functions"
    # "dynamic" would be alloca(), "dynamic,bounded" something as large as a constant says.
    grep -q gethostbyname4_r "$work/usage" && [ "${most%% *}" -le 512 ] && ! grep -w 'dynamic$' "$work/usage"
}

# ---- 32 bits --------------------------------------------------------------

can_32() {
    printf '#include <netdb.h>\nint main(void)\n{\n    return 0;\n}\n' >"$work/main.c"
    gcc -m32 -pthread -o "$work/main" "$work/main.c" 2>/dev/null && "$work/main"
}

# gcc's note on _Atomic fields before version 11 is no warning, but is one line each.
flags32=(-m32 -std=gnu17 -D_GNU_SOURCE -O2 -g -fPIC -pthread -Wall -Wextra -Werror -Wno-psabi
    -Ilibsd -Ilibsd/table)

module_32() {
    gcc "${flags32[@]}" -shared -Wl,-z,defs,-z,text -o "$work/module32.so" \
        -Wl,--version-script=nss/module/libnss_etcdsd.map "${sources[@]}" &&
        nm -D --defined-only "$work/module32.so" | grep -q _nss_etcdsd_gethostbyname4_r
}

# Criterion is there in 64 bits only: what stands in for it under
# ThreadSanitizer does so here.
tests_32() {
    local name
    gcc "${flags32[@]}" -r -nostdlib -o "$work/all32.o" "${sources[@]}" "${writer[@]}" || return 1
    for name in table hosts services; do
        gcc "${flags32[@]}" -Wno-tsan -Itests/unit/tsan -o "$work/test32" "tests/unit/test_$name.c" \
            tests/unit/table_help.c "$work/all32.o" || return 1
        (unset ETCDSD_TABLE; "$work/test32") >"$work/$name.log" 2>&1 || return 1
        grep -q '^ok ' "$work/$name.log" || return 1
    done
}

# ---- libsd.so.1 -----------------------------------------------------------

exports_the_interface() {
    awk '/^LIBSD_API/ { inside = 1 } inside { print } /;$/ { inside = 0 }' "$top"/libsd/libsd*.h |
        grep -o '\<libsd_[a-z0-9_]*(' | tr -d '(' | sort -u >"$work/wanted"
    nm -D --defined-only --with-symbol-versions "$library" | awk '$2 != "A" { print $3 }' | sort \
        >"$work/versioned"
    sed -n 's/@@LIBSD_1\.0$//p' "$work/versioned" >"$work/exported"
    [ -s "$work/wanted" ] && [ "$(wc -l <"$work/versioned")" = "$(wc -l <"$work/exported")" ] &&
        same_lines "$work/wanted" "$work/exported"
}

check 'the module needs libc.so.6 only' needs_libc_only
check 'it is bound when loaded, and never unloaded' is_bound_at_once_and_stays
check 'it has no text relocation; what was relocated is read-only' is_hardened
check 'it has no thread-local storage' has_no_tls
check 'it runs nothing when loaded or unloaded' runs_nothing_when_loaded
check 'it exports the entry points, nothing else' exports_entry_points
check 'it is small' is_small
check 'no function uses more than 512 bytes of stack' uses_little_stack
if can_32; then
    check 'it builds in 32 bits, without a warning' module_32
    check 'its tests pass in 32 bits' tests_32
else
    echo '# skipped: gcc -m32 makes no program that runs here (package gcc-multilib)'
fi
check 'libsd.so.1 exports what libsd.h declares, nothing else' exports_the_interface
finish
