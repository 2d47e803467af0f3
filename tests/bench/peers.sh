#!/bin/bash
# Measures lookups through our peers' NSS modules and daemons, side by side.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   tests/bench/peers.sh BUILD VERSIONS
#
# Prints measurements as bench.c does; the versions of the peers' packages go
# to the file VERSIONS.
#
# Nothing of this machine is changed: the packages are installed into an
# overlay of its root that lies in memory, in a mount namespace of its own, and
# the daemons run in there, in a network of their own (peers-inside.sh).  When
# that shell ends, the kernel ends them and all of it is gone.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
packages="dnsmasq-base unbound knot nscd libnss-resolve systemd-resolved libnss-myhostname
    sssd-common sssd-proxy libnss-sss"

if [ "$(id -u)" != 0 ]; then
    echo "peers: not measured: the overlay needs root" >&2
    exit 1
fi

if [ "$1" != --in-mounts ]; then
    room=$(mktemp -d) || exit 1
    trap 'rmdir "$room"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    setpriv --pdeathsig KILL unshare --mount --propagation private "$0" --in-mounts "$@" "$room"
    exit
fi

build=$(realpath "$2") versions=$3 room=$4 root=$4/root
set -e
mount -t tmpfs -o mode=755 bench "$room"
mkdir "$room/upper" "$room/work" "$root"
mount -t overlay bench -o "lowerdir=/,upperdir=$room/upper,workdir=$room/work" "$root"
for directory in "$top" "$build"; do
    mkdir -p "$root$directory"
    mount --bind "$directory" "$root$directory"
done
# Devices of its own: what a package's scripts do to them is no matter.
mount -t proc -o ro proc "$root/proc"
mount -t sysfs -o ro sys "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0'; do
    # shellcheck disable=SC2086 # name and numbers
    set -- $node
    mknod -m 666 "$root/dev/$1" c "$2" "$3"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir -m 1777 "$root/dev/shm"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
set +e

# Asked for one by one where they can't be had together.
apt() {
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -q --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io "$@" >>"$room/apt.log" 2>&1
}
# shellcheck disable=SC2086 # a list
apt --download-only $packages || { chroot "$root" apt-get update -q >>"$room/apt.log" 2>&1; }
# shellcheck disable=SC2086
apt $packages || for package in $packages; do
    apt "$package" || echo "peers: package $package can't be installed; what needs it is left out" >&2
done
# shellcheck disable=SC2016,SC2086 # a format; a list
chroot "$root" dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' $packages 2>/dev/null |
    sed -n 's/^installed //p' | paste -sd, | sed 's/,/, /g' >"$versions"

rm -f "$root/etc/resolv.conf" # may be a link into the host's /run
: >"$root/etc/resolv.conf"
exec unshare --mount --net --uts --pid --fork --kill-child --root="$root" --mount-proc \
    "$top/tests/bench/peers-inside.sh" "$build"
