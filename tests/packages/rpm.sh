#!/bin/bash
# The RPM packages of build/rpm: installed, upgraded, from an older version,
# too, and removed by rpm under an overlay, with what that makes of /etc/nsswitch.conf.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/packages/overlay.sh
. "$(dirname "$0")/overlay.sh"
cd "$top" || exit 1
rpms=$build/rpm
packages=(libsd nss-etcdsd etcdsd libsd-devel)
files=("${packages[@]/%/.rpm}")
libdir=$(rpm --eval %_libdir)
version=$(sed -n 's/^#define LIBSD_VERSION "\(.*\)"/\1/p' libsd/libsd.h)

nsswitch='# The lines that matter, as Fedora has them.
passwd:     files systemd
hosts:      files myhostname resolve [!UNAVAIL=return] dns
services:   files # as ever'

# A data base of its own, which knows of no package of this host's; scripts run
# all the same.  Debian's rpm asks whether alien were not better.
rpm_inside() {
    inside env -C /mnt rpm --dbpath /mnt/db --nodeps --force-debian "$@" >>"$work/rpm.log" 2>&1
}

lines_are() {
    diff <(printf '%s\n' "$1" "$2") <(sed -n 's/^\(hosts\|services\):[[:space:]]*//p' "$root/etc/nsswitch.conf")
}

rpmlint_is_content() {
    rpmlint --strict --config packaging/rpm/rpmlint.toml packaging/rpm/etcdsd.spec "$rpms"/*.rpm >"$work/rpmlint.log" 2>&1 ||
        { cat "$work/rpmlint.log"; return 1; }
}

installs() {
    echo "$nsswitch" >"$root/etc/nsswitch.conf"
    rpm_inside -i "${files[@]}" &&
        lines_are 'files myhostname etcdsd [!UNAVAIL=return] resolve [!UNAVAIL=return] dns' 'files etcdsd # as ever'
}

# All that `make install` installs, and nothing else but licences; each once.
has_every_file() {
    make -s install DESTDIR="$work/tree" prefix=/usr libdir="$libdir" >"$work/install.log" 2>&1 &&
        (cd "$work/tree" && find . -not -type d -printf '/%P\n') | sort >"$work/installed"
    inside rpm --dbpath /mnt/db -q --qf '[%{FILEMODES:perms} %{FILENAMES}\n]' "${packages[@]}" |
        sed -n 's/^[^d][^ ]* //p' | sed 's|\(/man/.*\)\.gz$|\1|; \|/licenses/|d' | sort >"$work/owned"
    [ "$(wc -l <"$work/installed")" -gt 15 ] && diff "$work/installed" "$work/owned"
}

is_as_packaged() {
    rpm_inside -V "${packages[@]}"
}

is_not_when_changed() {
    echo >>"$root/usr/include/libsd.h"
    ! rpm_inside -V libsd-devel && tail -n 1 "$work/rpm.log" | grep -q '^S.5.* /usr/include/libsd\.h$'
}

has_its_user() {
    [ "$(inside getent passwd etcdsd | cut -d: -f6,7)" = /var/lib/etcdsd:/usr/sbin/nologin ] &&
        [ "$(inside stat -c '%U:%G %a' /run/etcdsd /var/lib/etcdsd | tr '\n' ' ')" = 'etcdsd:etcdsd 755 etcdsd:etcdsd 700 ' ]
}

libraries_are_known() {
    inside ldconfig -p >"$work/ldconfig"
    grep -q 'libsd\.so\.1 ' "$work/ldconfig" && grep -q 'libnss_etcdsd\.so\.2 ' "$work/ldconfig"
}

# The test of Debian's packages holds for these.
names_resolve() {
    inside /mnt/resolves >"$work/resolves.log" 2>&1 || { cat "$work/resolves.log"; return 1; }
}

# An upgrade to the same runs the scripts of both, too; who has changed his
# configuration, or taken the module out, finds it so.
upgrades() {
    sed -i 's/^services:.*/services: files/' "$root/etc/nsswitch.conf"
    cp "$root/etc/nsswitch.conf" "$work/before"
    echo '# mine' >>"$root/etc/etcdsd/etcdsd.conf"
    rpm_inside -U --replacepkgs "${files[@]}" && diff "$work/before" "$root/etc/nsswitch.conf" &&
        grep -qx '# mine' "$root/etc/etcdsd/etcdsd.conf" && has_its_user && libraries_are_known
}

removed() {
    touch "$root/run/etcdsd/table.v1"
    rpm_inside -e "${packages[@]}" && lines_are "$(sed -n 's/^hosts: *//p' <<<"$nsswitch")" files &&
        inside test ! -e /run/etcdsd -a ! -e /usr/sbin/etcdsd-watcher && ! libraries_are_known
}

# rpm has no purge: an edited configuration and the snapshot are kept.
nothing_else_remains() {
    grep -qx '# mine' "$root/etc/etcdsd/etcdsd.conf.rpmsave" && [ -e "$root/var/lib/etcdsd/snapshot.v1" ] || return 1
    rm -r "$root/etc/etcdsd" "$root/var/lib/etcdsd"
    cp /etc/nsswitch.conf "$root/etc/nsswitch.conf"
    remains | diff "$work/at-first" -
}

# ---- two versions ---------------------------------------------------------

# An older one of the same tree, whose sample of a configuration is another.
older_is_built() {
    local tree=$work/older name
    mkdir "$tree" "$root/mnt/older" && tar -xJf "$build/etcdsd-$version.tar.xz" --strip-components=1 -C "$tree" &&
        sed -i 's/^#define LIBSD_VERSION .*/#define LIBSD_VERSION "0.0.9"/' "$tree/libsd/libsd.h" &&
        sed -i "s/^Version:.*/Version: 0.0.9/; s/ - $version-1$/ - 0.0.9-1/" "$tree/packaging/rpm/etcdsd.spec" &&
        echo '# older' >>"$tree/packaging/conf/etcdsd.conf" || return 1
    env -u MAKEFLAGS -u MAKELEVEL make -s -C "$tree" rpm >"$work/older.log" 2>&1 || { tail -n 20 "$work/older.log"; return 1; }
    for name in "${packages[@]}"; do cp "$tree/build/rpm/$name"-0.0.9-*."$(uname -m)".rpm "$root/mnt/older/$name.rpm" || return 1; done
}

# version_is VERSION: of all packages, and of what they have installed.
version_is() {
    diff <(printf "$1\n%.0s" "${packages[@]}") <(inside rpm --dbpath /mnt/db -q --qf '%{VERSION}\n' "${packages[@]}") &&
        diff <(echo "etcdsd $1") <(inside etcdsd --version | head -n 1)
}

sample_is() {
    cmp "$1/packaging/conf/etcdsd.conf" "$root/etc/etcdsd/etcdsd.conf" && [ ! -e "$root/etc/etcdsd/etcdsd.conf.rpmnew" ]
}

untouched_is_replaced() {
    echo "$nsswitch" >"$root/etc/nsswitch.conf"
    rpm_inside -i "${files[@]/#/older/}" && version_is 0.0.9 && sample_is "$work/older" &&
        cp "$root/etc/nsswitch.conf" "$work/before" && rpm_inside -U "${files[@]}" && version_is "$version" &&
        sample_is "$top" && diff "$work/before" "$root/etc/nsswitch.conf" && is_as_packaged && has_its_user
}

goes_back() {
    rpm_inside -U --oldpackage "${files[@]/#/older/}" && version_is 0.0.9 && sample_is "$work/older" &&
        diff "$work/before" "$root/etc/nsswitch.conf" && has_its_user && libraries_are_known
}

changed_is_kept() {
    sed -i 's/^services:.*/services: files/' "$root/etc/nsswitch.conf"
    cp "$root/etc/nsswitch.conf" "$work/before"
    echo '# mine' >>"$root/etc/etcdsd/etcdsd.conf"
    cp "$root/etc/etcdsd/etcdsd.conf" "$work/mine"
    state_make && lookups_begin || return 1
    rpm_inside -U "${files[@]}" && version_is "$version" && diff "$work/before" "$root/etc/nsswitch.conf" &&
        cmp "$work/mine" "$root/etc/etcdsd/etcdsd.conf" && cmp packaging/conf/etcdsd.conf "$root/etc/etcdsd/etcdsd.conf.rpmnew" &&
        state_is_kept && lookups_went_well && has_its_user && libraries_are_known
}

# ---- nsswitch.conf --------------------------------------------------------

# goes_in_and_out HOSTS-BEFORE HOSTS-INSTALLED
goes_in_and_out() {
    printf 'hosts:      %s\nservices:   files # as ever\n' "$1" >"$root/etc/nsswitch.conf"
    cp "$root/etc/nsswitch.conf" "$work/before"
    rpm_inside -i nss-etcdsd.rpm && lines_are "$2" 'files etcdsd # as ever' && rpm_inside -e nss-etcdsd &&
        diff "$work/before" "$root/etc/nsswitch.conf"
}

lines_of_administrators() {
    local ours='etcdsd [!UNAVAIL=return]'
    goes_in_and_out 'files dns' "files $ours dns" &&
        goes_in_and_out 'files' "files $ours" &&
        goes_in_and_out 'files # dns' "files $ours # dns" &&
        goes_in_and_out 'files dns # as ever' "files $ours dns # as ever" &&
        goes_in_and_out 'files mdns4_minimal [NOTFOUND=return] dns myhostname' \
            "files mdns4_minimal [NOTFOUND=return] $ours dns myhostname"
}

# Who has put us where he wants us finds it so.
line_with_us_in_it() {
    printf 'hosts: etcdsd [!UNAVAIL=return] files dns\nservices: files\n' >"$root/etc/nsswitch.conf"
    rpm_inside -i nss-etcdsd.rpm && lines_are 'etcdsd [!UNAVAIL=return] files dns' files &&
        rpm_inside -e nss-etcdsd && lines_are 'files dns' files
}

# authselect's file is a link.
authselect_is_left_alone() {
    rm -f "$root/etc/nsswitch.conf"
    echo 'hosts:      files dns' >"$root/etc/selected"
    ln -s selected "$root/etc/nsswitch.conf"
    rpm_inside -i nss-etcdsd.rpm && [ "$(cat "$root/etc/nsswitch.conf")" = 'hosts:      files dns' ] &&
        rpm_inside -e nss-etcdsd && [ -L "$root/etc/nsswitch.conf" ]
}

overlay_open || { echo 'not ok - the file system can be put under an overlay'; exit 1; }
for name in "${packages[@]}"; do cp "$rpms/$name"-[0-9]*."$(uname -m)".rpm "$root/mnt/$name.rpm" || exit 1; done
cp packaging/debian/tests/resolves "$root/mnt"
overlay_forget
# What other packages of a Fedora bring: directories, completions, and a linker
# that knows where its libraries are.
mkdir -p "$root/usr/share/licenses" "$root/$libdir/pkgconfig" "$root/usr/share/fish/vendor_completions.d"
touch "$root/usr/share/fish/vendor_completions.d/another.fish"
echo "$libdir" >"$root/etc/ld.so.conf.d/rpm.conf"
inside ldconfig
remains >"$work/at-first"

check 'rpmlint finds nothing' rpmlint_is_content
check 'rpm installs them, and nsswitch.conf has the module before resolve' installs
check 'they have each file of make install once' has_every_file
check 'user and directories are made' has_its_user
check 'what is installed is as it was packaged' is_as_packaged
check 'the linker knows the libraries' libraries_are_known
check 'names resolve' names_resolve
check 'what was changed is no longer as it was packaged' is_not_when_changed
check 'an upgrade leaves nsswitch.conf and the configuration alone' upgrades
check 'a removal takes the module out of nsswitch.conf, and the table away' removed
check 'nothing else remains' nothing_else_remains
check 'an older version is built' older_is_built
check 'an upgrade from it brings the newer sample of a configuration' untouched_is_replaced
check 'the way back brings the older one' goes_back
check 'an upgrade leaves nsswitch.conf, a changed configuration, snapshot and table; no lookup fails' changed_is_kept
check 'removed, it leaves no more than before' eval 'removed && nothing_else_remains'
check 'lines hosts of administrators get it in the right place, and are restored' lines_of_administrators
check 'a line that has it already is left alone' line_with_us_in_it
check "authselect's file is left alone" authselect_is_left_alone
finish
