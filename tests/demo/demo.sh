#!/bin/bash
# Shows existing programs resolving names that services put into etcd.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Everything happens in namespaces of its own: its network is a loopback of
# its own, so etcd gets its usual port; its /run is an empty tmpfs, so nothing
# is written to a disk; its /etc/nsswitch.conf exists nowhere else.  When the
# first process in there ends, the kernel ends the others and all of this is
# gone, even after kill -9.
set -u
cd "$(dirname "$0")/../.." || exit 1

needed_namespaces() {
    cat >&2 <<'END'
The demo runs in namespaces of its own (user, mount, pid, network), and this
process may not make them. Any one of these helps:
  - run it as root, with the capability CAP_SYS_ADMIN
  - sysctl kernel.unprivileged_userns_clone=1               (Debian, if it is 0)
  - sysctl user.max_user_namespaces=10000                   (if it is 0)
  - sysctl kernel.apparmor_restrict_unprivileged_userns=0   (Ubuntu, if it is 1)
  - in a container: docker run --privileged, or --cap-add SYS_ADMIN
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined
END
    exit 1
}

# Outside: find namespaces that are allowed, start the demo in them, and see
# to it that it ends with this script.  A new /proc is not allowed everywhere,
# and only nice to have.
spaces=(--mount --net --pid --fork --kill-child)
root=(--user --map-root-user)
for try in "root mount" "root" "user mount" "user"; do
    with=("${spaces[@]}")
    [[ $try != user* ]] || with+=("${root[@]}")
    [[ $try != *mount ]] || with+=(--mount-proc)
    said=$(unshare "${with[@]}" sh -c 'mount -t tmpfs none /run && ip link set lo up' 2>&1) && break
    with=()
done
if [ ${#with[@]} = 0 ]; then
    echo "$said" >&2
    needed_namespaces
fi

setpriv --pdeathsig KILL unshare "${with[@]}" tests/demo/story.sh &
outer=$!
first=
end() {
    trap '' INT TERM HUP
    read -r first _ < <(cat "/proc/$outer/task/$outer/children" 2>/dev/null)
    kill -KILL "$outer" 2>/dev/null # and with it, all of them
    wait "$outer" 2>/dev/null
    # It is gone when the last process in there is.
    for try in {1..250}; do
        kill -0 "${first:-none}" 2>/dev/null || break
        sleep 0.02
    done
    echo
    exit "$1"
}
trap 'end 130' INT
trap 'end 143' TERM
trap 'end 129' HUP
wait "$outer"
