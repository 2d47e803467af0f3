#!/bin/bash
# The installed tree: README's program builds against it, nothing stays.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
tree=$work/tree
export PKG_CONFIG_SYSROOT_DIR=$tree
read -ra cc <<<"${CC:-gcc}"
warn=(-Wall -Wextra -Werror)

installed() {
    local lib
    make -s -C "$top" install DESTDIR="$tree" prefix=/usr >"$work/install.log" 2>&1 || return 1
    lib=$(dirname "$(find "$tree" -name libnss_etcdsd.so.2)")
    export PKG_CONFIG_PATH=$lib/pkgconfig
    [ -e "$lib/libsd.so.1" ] && [ -e "$lib/libsd.so" ] && [ -e "$lib/libsd.a" ] &&
        [ -x "$tree/usr/sbin/etcdsd-watcher" ] && [ -x "$tree/usr/bin/etcdsd" ] && [ -e "$tree/usr/include/libsd.h" ] &&
        [ -e "$tree/usr/share/man/man8/etcdsd-watcher.8" ] && [ -e "$tree/usr/share/man/man3/libsd_create.3" ]
}

no_path_inside() {
    ! readelf -d "$tree/usr/sbin/etcdsd-watcher" "$tree/usr/bin/etcdsd" "${PKG_CONFIG_PATH%/*}"/*.so.* |
        grep -E 'RPATH|RUNPATH' &&
        LD_LIBRARY_PATH=${PKG_CONFIG_PATH%/*} "$tree/usr/sbin/etcdsd-watcher" --version >/dev/null
}

# Symbols for debuggers and linkers go, those for the dynamic linker stay: it runs.
# The archive keeps what a linker looks for.
stripped() {
    local stripped=$work/stripped
    make -s -C "$top" install-strip DESTDIR="$stripped" prefix=/usr >"$work/strip.log" 2>&1 &&
        make -s -C "$top" installcheck DESTDIR="$stripped" prefix=/usr >>"$work/strip.log" 2>&1 &&
        readelf -SW "$tree/usr/bin/etcdsd" | grep -q '\.symtab' &&
        ! readelf -SW "$stripped"/usr/{,s}bin/* "${PKG_CONFIG_PATH/#"$tree"/$stripped}"/../*.so.* | grep -E '\.symtab|\.debug_' &&
        nm "${PKG_CONFIG_PATH/#"$tree"/$stripped}/../libsd.a" 2>/dev/null | grep -q ' T libsd_open$'
}

# What runs is of this tree's version, or make installcheck says so.
another_version_is_noticed() {
    printf '#!/bin/sh\necho etcdsd 0.0.1\n' >"$work/stripped/usr/bin/etcdsd"
    ! make -s -C "$top" installcheck DESTDIR="$work/stripped" prefix=/usr 2>"$work/check.log" &&
        logged check 'bin/etcdsd is not of version'
}

# The first ```c block of README.md.
readme_program() {
    # shellcheck disable=SC2016 # backquotes are text
    sed -n '/^```c$/,/^```$/{ /^```c$/d; /^```$/q; p }' "$top/README.md" >"$work/service.c"
    read -ra libs < <(pkg-config --cflags --libs libsd)
    [ -s "$work/service.c" ] &&
        "${cc[@]}" -std=gnu17 "${warn[@]}" "$work/service.c" -o "$work/service" "${libs[@]}"
}

readme_shows_the_example() {
    # shellcheck disable=SC2016
    sed -n '/^```c$/,/^```$/{ /^```c$/d; /^```$/q; p }' "$top/README.md" |
        diff - <(sed '1,/^ \*\/$/d' "$top/tests/examples/user-service.c")
}

readme_program_runs() {
    etcd_start || return 1
    watcher_start
    spawn service "$work/service" instance-1 127.0.0.2 "$((26000 + RANDOM % 6000))"
    wait_until 10 answers user.service.etcd 127.0.0.2
}

static_program() {
    local all
    read -ra all < <(pkg-config --cflags --libs libsd libcurl)
    "${cc[@]}" -std=gnu17 "${warn[@]}" "$work/service.c" -o "$work/static" \
        "${all[@]/-lsd/-l:libsd.a}" &&
        ! readelf -d "$work/static" | grep -q 'libsd.so'
}

cplusplus_program() {
    cat >"$work/program.cc" <<'END'
#include <libsd.h>
#include <iostream>

int main()
{
    libsd *sd = nullptr;
    libsd_slice key = libsd_str("key");

    if (libsd_open(&sd, nullptr) < 0 || key.size != 3)
        return 1;
    libsd_close(sd);
    std::cout << libsd_strerror(LIBSD_EINVAL) << std::endl;
}
END
    g++ -Wpedantic "${warn[@]}" "$work/program.cc" -o "$work/program" "${libs[@]}" &&
        "$work/program" >"$work/program.log"
}

uninstalled() {
    local left
    make -s -C "$top" uninstall DESTDIR="$tree" prefix=/usr >"$work/uninstall.log" 2>&1 || return 1
    left=$(find "$tree" -not -type d)
    [ -z "$left" ] || { echo "# $left"; return 1; }
}

check 'make install puts everything in its place' installed
check 'what is installed holds no path of the build tree' no_path_inside
check 'make install-strip leaves symbols out, and what it installs runs' stripped
check 'make installcheck would notice another version' another_version_is_noticed
check 'the program in README.md is the example' readme_shows_the_example
check 'the program in README.md compiles with pkg-config' readme_program
check 'the program in README.md registers' readme_program_runs
check 'it can be linked with libsd.a' static_program
check 'a C++ program can use libsd.h' cplusplus_program
check 'make uninstall leaves nothing' uninstalled
finish
