#!/bin/bash
# Linking with libsd: by pkg-config, shared and static, beside other libraries,
# into programs that use the same names, from C and C++.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
tree=$work/tree
here=$top/tests/integration
export PKG_CONFIG_SYSROOT_DIR=$tree
read -ra cc <<<"${CC:-gcc}"
warn=(-Wall -Wextra -Werror -pedantic)

installed() {
    local lib
    make -s -C "$top" install DESTDIR="$tree" prefix=/usr >"$work/install.log" 2>&1 || return 1
    lib=$(dirname "$(find "$tree" -name libsd.so.1)")
    export PKG_CONFIG_PATH=$lib/pkgconfig LD_LIBRARY_PATH=$lib
    read -ra cflags < <(pkg-config --cflags libsd)
    read -ra shared < <(pkg-config --libs libsd)
    read -ra static < <(pkg-config --libs libsd libcurl)
    static=("${static[@]/#-lsd/-l:libsd.a}")
    read -ra neighbours < <(pkg-config --cflags --libs libcurl libcjson libsystemd)
}

# What the library itself needs is the linker's business, except in static programs.
pkg_config_tells() {
    [ "$(pkg-config --modversion libsd)" = "$(sed -n 's/#define LIBSD_VERSION "\(.*\)"/\1/p' "$top/libsd/libsd.h")" ] &&
        [[ " ${shared[*]} " == *' -lsd '* && " ${shared[*]} " != *curl* ]] &&
        [[ " $(pkg-config --static --libs libsd) " == *' -lsd '*' -lcurl '* ]] &&
        [[ $(pkg-config --static --libs libsd) == *-pthread* ]]
}

# needs PROGRAM LIBRARY: whether it is to be loaded with it.
needs() {
    readelf -dW "$1" | grep -q "Shared library: \[$2"
}

# program NAME FLAG...: compiles link.c with them.
program() {
    local name=$1
    shift
    "${cc[@]}" -std=c11 -D_GNU_SOURCE "${warn[@]}" -O1 "${cflags[@]}" -o "$work/$name" "$here/link.c" "$@"
}

works() {
    timeout 60 "$work/$1" >>"$work/$1.log" 2>&1
}

shared_program() {
    program shared "${shared[@]}" && needs "$work/shared" libsd.so.1 && ! needs "$work/shared" libcurl &&
        works shared
}

static_program() {
    program static "${static[@]}" && ! needs "$work/static" libsd && works static
}

# Behind the program, and before it.
shared_neighbours() {
    program neighbours1 -DNEIGHBOURS "${shared[@]}" "${neighbours[@]}" && works neighbours1 &&
        program neighbours2 -DNEIGHBOURS "${neighbours[@]}" "${shared[@]}" && works neighbours2
}

static_neighbours() {
    program neighbours3 -DNEIGHBOURS "${static[@]}" "${neighbours[@]}" && works neighbours3 &&
        ! needs "$work/neighbours3" libsd && needs "$work/neighbours3" libsystemd
}

# All that one file of libsd offers to another, each as a function of the
# program's own that nobody is to call.
write_namesakes() {
    find "$build/obj/libsd" -name '*.o' -not -path '*/cli/*' -exec nm -g --defined-only {} + |
        awk 'NF == 3 && $3 !~ /^libsd_/ { print $3 }' | sort -u >"$work/names"
    {
        echo 'extern _Noreturn void abort(void);'
        sed 's/.*/void &(void);\nvoid &(void)\n{\n    abort();\n}/' "$work/names"
    } >"$work/namesakes.c"
    echo "# $(wc -l <"$work/names") names"
    grep -qx buffer_add "$work/names" && grep -qx loop_start "$work/names" && grep -qx now_ns "$work/names" &&
        "${cc[@]}" "${warn[@]}" -c -o "$work/namesakes.o" "$work/namesakes.c"
}

# -rdynamic offers them to the libraries, too.
shared_namesakes() {
    program namesakes1 -rdynamic "$work/namesakes.o" "${shared[@]}" && works namesakes1 &&
        nm -D --defined-only "$work/namesakes1" | grep -q ' now_ns$'
}

static_namesakes() {
    program namesakes2 -rdynamic "$work/namesakes.o" "${static[@]}" && works namesakes2 &&
        program namesakes3 -rdynamic "${static[@]}" "$work/namesakes.o" && works namesakes3
}

archive_is_one_object() {
    local archive=$LD_LIBRARY_PATH/libsd.a
    [ "$(ar t "$archive" | wc -l)" = 1 ] &&
        nm -g --defined-only "$archive" | awk 'NF == 3 { print $3 }' >"$work/offered" &&
        grep -qx libsd_open "$work/offered" && ! grep -v '^libsd_' "$work/offered" &&
        diff "$work/offered" <(nm -D --defined-only "$LD_LIBRARY_PATH/libsd.so.1" |
            awk '$2 != "A" { sub("@.*", "", $3); print $3 }')
}

headers_stand_alone() {
    local header standard
    for header in "$tree"/usr/include/libsd*.h; do
        echo "#include <${header##*/}>" >"$work/alone.c"
        for standard in c99 c17; do
            "${cc[@]}" -std="$standard" "${warn[@]}" "${cflags[@]}" -fsyntax-only "$work/alone.c" || return 1
        done
        for standard in c++11 c++20; do
            g++ -x c++ -std="$standard" "${warn[@]}" "${cflags[@]}" -fsyntax-only "$work/alone.c" || return 1
        done
    done
    [ "$(find "$tree/usr/include" -name 'libsd*.h' | wc -l)" = "$(find "$top/libsd" -name 'libsd*.h' | wc -l)" ]
}

cplusplus_program() {
    g++ -std="$1" "${warn[@]}" "${cflags[@]}" -o "$work/$1" "$here/link.cc" "${shared[@]}" -pthread && works "$1"
}

check 'libsd can be installed' installed
check 'libsd.pc tells what a shared and what a static program needs' pkg_config_tells
check 'each public header compiles alone as C99, C17, C++11 and C++20' headers_stand_alone
check 'libsd.a is one object that offers what libsd.so.1 does' archive_is_one_object
check 'an etcd is up' etcd_start
check 'a program with libsd.so.1 works' shared_program
check 'a program with libsd.a works' static_program
check 'so it does with libsystemd, libcurl and cJSON' shared_neighbours
check 'with libsd.a, too' static_neighbours
check 'a program may have functions named like all inside libsd' write_namesakes
check 'it works with libsd.so.1' shared_namesakes
check 'it works with libsd.a' static_namesakes
check 'a C++11 program registers and finds what it registered' cplusplus_program c++11
check 'so does a C++20 program' cplusplus_program c++20
finish
