#!/bin/bash
# The tarball of a release: what is in it, that it is the same whoever packs
# it, that what it builds and installs is what the tree does; and that all
# packages tell the version of libsd.h.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$top" || exit 1
version=$(sed -n 's/^#define LIBSD_VERSION "\(.*\)"/\1/p' libsd/libsd.h)
name=etcdsd-$version
unpacked=$work/unpacked/$name

packs() {
    make -s B="$work" dist >"$work/dist.log" 2>&1 && mkdir "$work/unpacked" &&
        tar -xJf "$work/$name.tar.xz" -C "$work/unpacked" && [ -x "$unpacked/tests/run" ]
}

# Where the tree is git's, that is what git tracks, and what lies about is not.
has_what_git_tracks() {
    if [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$(pwd -P)" ]; then
        diff <(git ls-files | sort) <(cd "$unpacked" && find . -not -type d -printf '%P\n' | sort)
    else
        diff -r --exclude=build --exclude=.git . "$unpacked"
    fi
}

# Someone else, out of the tarball, with other habits.
packs_the_same_again() {
    (umask 077 && export TZ=Pacific/Kiritimati LC_ALL=C && touch "$unpacked/Makefile" &&
        make -s -C "$unpacked" dist B="$work/again") && cmp "$work/$name.tar.xz" "$work/again/$name.tar.xz"
}

# make_there TARGET: out of the tarball, built for speed.
make_there() {
    make -s -C "$unpacked" B="$work/out" CFLAGS=-O0 DESTDIR="$work/tree" prefix=/opt/x "$1" >>"$work/make.log" 2>&1
}

# Built into another directory than its own, since that may be read-only.  What
# the tree's own `make uninstall` would remove is what the tarball installs.
installs_what_the_tree_does() {
    make_there install &&
        make -n uninstall DESTDIR="$work/tree" prefix=/opt/x | sed -n 's/^rm -f //p' | xargs -n 1 | sort -u >"$work/ours" &&
        [ "$(wc -l <"$work/ours")" -gt 15 ] &&
        find "$work/tree" -path '*/etc/etcdsd/*' -o \( -type f -o -name libsd.so \) -print | sort | diff "$work/ours" - &&
        tar --compare -Jf "$work/$name.tar.xz" -C "$work/unpacked" --exclude='*/Makefile'
}

runs_when_installed() {
    make_there installcheck &&
        grep -qx 'ExecStart=/opt/x/sbin/etcdsd-watcher' "$work/tree/opt/x/lib/systemd/system/etcdsd-watcher.service"
}

# A configuration that was edited survives, all else goes.
uninstalls() {
    local conf=$work/tree/etc/etcdsd/etcdsd.conf
    echo '# mine' >"$conf"
    make_there install && make_there uninstall || return 1
    [ "$(cat "$conf")" = '# mine' ] && [ "$(find "$work/tree" -not -type d)" = "$conf" ]
}

one_version() {
    grep -qx "Version: $version" "$work/out/libsd.pc" &&
        sed -n '1s/^etcdsd (\(.*\)-[^-]*) .*/\1/p' packaging/debian/changelog | grep -qxF "$version" &&
        grep -qE "^Version: +${version//./\\.}\$" packaging/rpm/etcdsd.spec &&
        grep -qF " - $version-" packaging/rpm/etcdsd.spec
}

# libsd1 says since when each symbol is there; one that is new gets its version by
# packaging/debian-symbols, as does what `make abi` writes down.
symbols_have_versions() {
    cp packaging/debian/libsd1.symbols "$work/symbols"
    packaging/debian-symbols "$version" "$build/libsd.so.1" "$work/symbols" &&
        diff packaging/debian/libsd1.symbols "$work/symbols"
}

lost_symbols_are_noticed() {
    echo ' libsd_lost@LIBSD_1.0 0.1.0' >>"$work/symbols"
    ! packaging/debian-symbols "$version" "$build/libsd.so.1" "$work/symbols" 2>"$work/lost.log" &&
        logged lost 'libsd_lost@LIBSD_1.0 is gone'
}

check 'make dist packs the tree' packs
check 'the tarball has what git tracks' has_what_git_tracks
check 'packed out of itself, by somebody else, it is the same' packs_the_same_again
check 'it installs what the tree does, and leaves its sources alone' installs_what_the_tree_does
check 'what it installs runs, and systemd finds it' runs_when_installed
check 'uninstall leaves only a configuration that was changed' uninstalls
check 'header, pkg-config, Debian and RPM packages tell one version' one_version
check "the Debian package knows all of libsd's symbols" symbols_have_versions
check 'a symbol that is gone would be noticed' lost_symbols_are_noticed
finish
