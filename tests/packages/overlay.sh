# shellcheck shell=bash
# Sourced by the tests of packages: the whole file system under an overlay in
# a mount namespace of its own, where packages are installed for real and
# nothing of it is left.  Needs root.  Sources ../integration/lib.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
here=$(readlink /proc/self/ns/mnt)
if [ "${OUTSIDE:-$here}" = "$here" ]; then
    if [ "$(id -u)" != 0 ] || ! unshare --mount --pid --fork true 2>/dev/null; then
        echo "not ok - packages are installed in a mount namespace: run this as root"
        exit 1
    fi
    exec env OUTSIDE="$here" unshare --mount --pid --fork --kill-child "$0" "$@"
fi
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../integration/lib.sh"
unset ETCDSD_TABLE LD_LIBRARY_PATH

layers=$work/layers
root=$work/root

# Nothing of the host may be reached from below $work: what is removed at the end
# must be ours.  So its devices are copies, not a bind mount, and whoever finds
# a file system still there leaves it.
overlay_close() {
    local name mounts
    for name in "${!pid[@]}"; do stop "$name" KILL; done
    [ ! -d "$root" ] || umount --recursive --lazy "$root" "$layers" 2>/dev/null
    if ! mounts=$(cat /proc/self/mounts) || [[ $mounts == *" $work/"* ]]; then
        echo "# $work is still mounted, and left"
    else
        cleanup
    fi
}
trap overlay_close EXIT

devices() {
    local node
    for node in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0'; do
        # shellcheck disable=SC2086 # name and numbers
        set -- $node
        mknod -m 666 "$root/dev/$1" c "$2" "$3" || return 1
    done
    ln -s /proc/self/fd "$root/dev/fd" && mkdir -m 1777 "$root/dev/shm"
}

# overlay_open: the file system as it is, in $root, with /mnt, /run and /tmp empty.
overlay_open() {
    mkdir "$layers" "$root" &&
        mount -t tmpfs none "$layers" && mkdir "$layers/upper" "$layers/work" &&
        mount -t overlay none -o "lowerdir=/,upperdir=$layers/upper,workdir=$layers/work" "$root" &&
        mount -t proc -o ro none "$root/proc" &&
        mount -t tmpfs none "$root/dev" && devices &&
        mount -t tmpfs none "$root/mnt" && mount -t tmpfs none "$root/run" && mount -t tmpfs none "$root/tmp"
}

# inside COMMAND...: in there, with a plain environment.
inside() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# overlay_forget: what this host may have of an etcdsd of its own.
overlay_forget() {
    rm -rf --one-file-system "$root/var/lib/etcdsd" "$root/etc/etcdsd"
    ! inside id etcdsd >/dev/null 2>&1 || inside userdel etcdsd
}

# remains: what differs from the file system as it was, but the logs, data bases
# and caches of the package managers and the linker.
remains() {
    local name
    (cd "$layers/upper" && find . -not -type d -printf '%P\n') | while IFS= read -r name; do
        case $name in
            var/lib/dpkg/* | var/lib/rpm/* | var/log/* | var/cache/ldconfig/* | var/cache/man/* | etc/ld.so.cache) ;;
            etc/passwd* | etc/group* | etc/shadow* | etc/gshadow* | etc/.pwd.lock) ;;
            *) cmp -s "/$name" "$layers/upper/$name" || echo "$name" ;;
        esac
    done
    (cd "$layers/upper" && find . -type d -printf '%P\n') | while IFS= read -r name; do
        [ -d "/$name" ] || echo "$name/"
    done
}

# state: what the watcher's user has for the next boot, and for programs.
state() {
    inside sh -c 'cd /var/lib/etcdsd && cat snapshot.v1 /run/etcdsd/table.v1 && stat -c "%U %a" snapshot.v1 /run/etcdsd/table.v1'
}

# state_make: that is there, and in $work/state; state_is_kept: it is the same.
state_make() {
    inside setpriv --reuid=etcdsd --regid=etcdsd --clear-groups sh -c '
        umask 077; echo snapshot >/var/lib/etcdsd/snapshot.v1; umask 022; echo table >/run/etcdsd/table.v1' &&
        state >"$work/state"
}

state_is_kept() {
    state | diff "$work/state" -
}

# lookups_begin: a program looks names up all the time; lookups_went_well: each of
# them was answered, up to now.
lookups_begin() {
    spawn asking inside sh -c 'while getent hosts localhost >/dev/null; do :; done; echo "failed: $?"'
}

lookups_went_well() {
    kill -0 "${pid[asking]}" && ! logged asking failed && stop asking KILL
}
