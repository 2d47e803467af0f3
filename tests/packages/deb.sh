#!/bin/bash
# The Debian packages of build/deb: installed, upgraded, removed and purged
# by dpkg, with what each step makes of /etc/nsswitch.conf; and built again.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/packages/overlay.sh
. "$(dirname "$0")/overlay.sh"
cd "$top" || exit 1
debs=$build/deb
packages=(libsd1 libnss-etcdsd etcdsd libsd-dev)
conf=/etc/etcdsd/etcdsd.conf

nsswitch='# The lines that matter, as Debian has them.
passwd:         files systemd
hosts:          files dns
networks:       files
services:       db files'

# paths DIRECTORY NAME...: the packages' files, as seen from inside.
paths() {
    local directory=$1 name file
    shift
    for name in "$@"; do
        for file in "$root$directory/$name"_[0-9]*.deb; do echo "${file#"$root"}"; done
    done
}

quiet() {
    "$@" >>"$work/dpkg.log" 2>&1
}

# ---- built ----------------------------------------------------------------

lintian_is_content() {
    (cd "$debs" && lintian -i -I --pedantic --allow-root --fail-on error,warning ./*.changes) >"$work/lintian.log" 2>&1
}

sums() {
    (cd "$1" && sha256sum ./*.deb ./*.dsc ./*.tar.xz)
}

# As someone else, elsewhere, later: the same bytes.
is_reproducible() {
    local version again=$work/elsewhere/another/directory
    version=$(sed -n 's/^#define LIBSD_VERSION "\(.*\)"/\1/p' "$top/libsd/libsd.h")
    (
        umask 027 && export TZ=Pacific/Kiritimati LC_ALL=C HOME=$work DEB_BUILD_OPTIONS=nocheck
        make -s B="$work/elsewhere" dist && cmp "$work/elsewhere/etcdsd-$version.tar.xz" "$debs/etcdsd_$version.orig.tar.xz" &&
            packaging/deb "$version" "$work/elsewhere/etcdsd-$version.tar.xz" "$again"
    ) >"$work/again.log" 2>&1 &&
        diff <(sums "$debs") <(sums "$again")
}

# newer NAME: the same package under a higher version, its configuration another.
newer() {
    dpkg-deb -R "$debs/$1"_[0-9]*.deb "$work/unpacked" &&
        sed -i "s/\<$(dpkg-parsechangelog -l "$top/packaging/debian/changelog" -S Version)\>/&+1/" \
            "$work/unpacked/DEBIAN/control" &&
        { [ ! -e "$work/unpacked$conf" ] || echo '# newer' >>"$work/unpacked$conf"; } &&
        dpkg-deb --root-owner-group -b "$work/unpacked" "$root/mnt/newer" >/dev/null && rm -r "$work/unpacked"
}

# ---- nsswitch.conf --------------------------------------------------------

line() {
    sed -n "s/^$1:[[:space:]]*//p" "$root/etc/nsswitch.conf"
}

lines_are() {
    diff <(printf '%s\n' "$1" "$2") <(line hosts && line services)
}

# nsswitch_is HOSTS: an administrator writes it.
nsswitch_is() {
    echo "${nsswitch/files dns/$1}" >"$root/etc/nsswitch.conf"
}

# goes_in_and_out HOSTS-BEFORE HOSTS-INSTALLED
goes_in_and_out() {
    nsswitch_is "$1"
    cp "$root/etc/nsswitch.conf" "$work/before"
    quiet inside dpkg -i "$(paths /mnt libnss-etcdsd)" && lines_are "$2" 'db files etcdsd' &&
        quiet inside dpkg --purge libnss-etcdsd && diff "$work/before" "$root/etc/nsswitch.conf"
}

lines_of_administrators() {
    local ours='etcdsd [!UNAVAIL=return]'
    goes_in_and_out 'files dns' "files $ours dns" &&
        goes_in_and_out 'files' "files $ours" &&
        goes_in_and_out 'files dns # as ever' "files $ours dns # as ever" &&
        goes_in_and_out 'files resolve [!UNAVAIL=return] dns' "files $ours resolve [!UNAVAIL=return] dns" &&
        goes_in_and_out 'files mdns4_minimal [NOTFOUND=return] dns myhostname' \
            "files mdns4_minimal [NOTFOUND=return] $ours dns myhostname"
}

# Who has put us where he wants us finds it so.
line_with_us_in_it() {
    nsswitch_is 'etcdsd [!UNAVAIL=return] files dns'
    quiet inside dpkg -i "$(paths /mnt libnss-etcdsd)" &&
        lines_are 'etcdsd [!UNAVAIL=return] files dns' 'db files' &&
        quiet inside dpkg --purge libnss-etcdsd && lines_are 'files dns' 'db files'
}

# An upgrade does not undo what he has taken out.
line_without_us_is_left_alone() {
    nsswitch_is 'files dns'
    quiet inside dpkg -i "$(paths /mnt libnss-etcdsd)" && nsswitch_is 'files dns' &&
        quiet inside dpkg -i "$(paths /mnt/newer libnss-etcdsd)" && lines_are 'files dns' 'db files' &&
        quiet inside dpkg --purge libnss-etcdsd
}

# ---- a life ---------------------------------------------------------------

installs() {
    nsswitch_is 'files dns'
    mapfile -t files < <(paths /mnt "${packages[@]}")
    quiet inside dpkg -i "${files[@]}" && lines_are 'files etcdsd [!UNAVAIL=return] dns' 'db files etcdsd'
}

has_its_user() {
    [ "$(inside getent passwd etcdsd | cut -d: -f6,7)" = /var/lib/etcdsd:/usr/sbin/nologin ] &&
        [ "$(inside stat -c '%U:%G %a' /run/etcdsd /var/lib/etcdsd | tr '\n' ' ')" = 'etcdsd:etcdsd 755 etcdsd:etcdsd 700 ' ]
}

has_its_unit() {
    inside test -f /lib/systemd/system/etcdsd-watcher.service -a -x /usr/sbin/etcdsd-watcher &&
        grep -qx 'ExecStart=/usr/sbin/etcdsd-watcher' "$root/lib/systemd/system/etcdsd-watcher.service" &&
        [ -L "$root/etc/systemd/system/multi-user.target.wants/etcdsd-watcher.service" ]
}

libraries_are_known() {
    inside ldconfig -p >"$work/ldconfig"
    grep -q 'libsd\.so\.1 .*=> /lib/.*/libsd\.so\.1$' "$work/ldconfig" && grep -q 'libnss_etcdsd\.so\.2 ' "$work/ldconfig"
}

# debian/tests, as autopkgtest would run it.
definition_passes() {
    inside "/mnt/tests/$1" >"$work/$1.log" 2>&1
}

# A library as Debian's policy has it, with every symbol's first version.
symbols_are_known() {
    [ "$(grep -c '^ libsd_.*@LIBSD_1.0 ' "$root"/var/lib/dpkg/info/libsd1*.symbols)" = \
        "$(nm -D --defined-only "$build/libsd.so.1" | grep -c ' libsd_')" ]
}

# Nobody is asked about the configuration that he has changed: it is kept.
upgrades() {
    cp "$root/etc/nsswitch.conf" "$work/before"
    echo '# mine' >>"$root$conf"
    cp "$root$conf" "$work/mine"
    state_make && lookups_begin || return 1
    mapfile -t files < <(paths /mnt/newer "${packages[@]}")
    quiet inside dpkg --force-confold -i "${files[@]}" && diff "$work/before" "$root/etc/nsswitch.conf" &&
        inside dpkg -s libnss-etcdsd | grep -q '^Version: .*+1$' && cmp "$work/mine" "$root$conf" &&
        [ "$(tail -n 1 "$root$conf.dpkg-dist")" = '# newer' ] && state_is_kept &&
        lookups_went_well && has_its_user && has_its_unit
}

removed() {
    quiet inside dpkg --remove "${packages[@]}" && lines_are 'files dns' 'db files' && cmp "$work/mine" "$root$conf" &&
        inside test ! -e /run/etcdsd -a ! -e /usr/sbin/etcdsd-watcher -a -d /var/lib/etcdsd
}

comes_back() {
    quiet inside dpkg -i "${files[@]}" && lines_are 'files etcdsd [!UNAVAIL=return] dns' 'db files etcdsd' &&
        quiet inside dpkg --remove "${packages[@]}"
}

purged() {
    quiet inside dpkg --purge "${packages[@]}" && diff - "$root/etc/nsswitch.conf" <<<"$nsswitch" || return 1
    cp /etc/nsswitch.conf "$root/etc/nsswitch.conf"
    remains | diff "$work/at-first" -
}

overlay_open || { echo 'not ok - the file system can be put under an overlay'; exit 1; }
cp "$debs"/*.deb "$root/mnt"
cp -r packaging/debian/tests "$root/mnt"
mkdir "$root/mnt/newer"
for name in "${packages[@]}"; do newer "$name"; done
overlay_forget
remains >"$work/at-first"

check 'lintian finds nothing' lintian_is_content
check 'built elsewhere, they are the same bytes' is_reproducible
check 'dpkg installs them, and nsswitch.conf has the module before dns' installs
check 'user and directories are made' has_its_user
check 'the unit is there and enabled' has_its_unit
check 'the linker knows the libraries' libraries_are_known
check 'libsd1 tells the versions of all symbols' symbols_are_known
check 'names resolve' definition_passes resolves
check 'programs can be built' definition_passes compiles
check 'an upgrade changes neither nsswitch.conf nor what was changed, and no lookup fails' upgrades
check 'a removal takes the module out of nsswitch.conf, and the table away' removed
check 'installed again, it is in there again' comes_back
check 'nothing remains of what was purged' purged
check 'lines hosts of administrators get it in the right place, and are restored' lines_of_administrators
check 'a line that has it already is left alone' line_with_us_in_it
check 'so is one from which it was taken' line_without_us_is_left_alone
finish
