# shellcheck shell=bash
# Sourced by the tests of etcdsd doctor: a private host, on which mistakes are
# made.  /etc, the libraries, /run and /var/lib are overlays or empty in a mount
# namespace of the test's own.  Sources ../lib.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
if [ -z "${DOCTOR_INSIDE:-}" ]; then
    for with in --mount '--user --map-root-user --mount'; do
        # shellcheck disable=SC2086 # a list
        unshare $with sh -c 'mount -t tmpfs none /run' 2>/dev/null &&
            DOCTOR_INSIDE=yes exec unshare $with "$0" "$@"
    done
    echo 'ok - nothing (skipped: no mount namespace may be made here)'
    exit 0
fi
# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

libraries=/usr/lib/$(gcc -print-multiarch)
table=/run/etcdsd/table.v1
nsswitch=$'hosts: files etcdsd [!UNAVAIL=return] dns\nservices: files etcdsd'

# cover DIRECTORY: what is written there is seen by this test only.
cover() {
    local at=/mnt/cover$1
    mkdir -p "$at/upper" "$at/work"
    mount -t overlay -o "lowerdir=$1,upperdir=$at/upper,workdir=$at/work" none "$1"
}

host() {
    mount -t tmpfs none /mnt && cover /etc && cover "$libraries" &&
        cover /usr/local/lib && mount -t tmpfs none /run && mount -t tmpfs none /var/lib &&
        mkdir -m 700 /var/lib/etcdsd && printf '%s\n' "$nsswitch" >/etc/nsswitch.conf &&
        cp "$build/libnss_etcdsd.so.2" "$libraries" && rm -rf /etc/etcdsd /etc/nscd.conf
}

watch_host() {
    spawn watcher "$build/etcdsd-watcher" --foreground --table "$table"
    wait_until 10 [ -e "$table" ]
}

# shellcheck disable=SC2120 # tests give words
# doctor WORD...: as a program of this host; $out, $status.
doctor() {
    out=$(env -u LD_LIBRARY_PATH -u ETCDSD_TABLE timeout 60 "$build/etcdsd" doctor "$@" 2>&1 </dev/null)
    status=$?
}

# says STATUS PATTERN...: doctor ended so, and one line is like each pattern.
says() {
    local pattern line found
    [ "$status" = "$1" ] || { printf '# status %s\n%s\n' "$status" "$out"; return 1; }
    for pattern in "${@:2}"; do
        found=
        while IFS= read -r line; do
            # shellcheck disable=SC2053
            if [[ $line = $pattern ]]; then found=yes; fi
        done <<<"$out"
        [ -n "$found" ] || { printf '# no line like: %s\n%s\n' "$pattern" "$out"; return 1; }
    done
}

# sees PATTERN: a line of doctor is like it.
sees() {
    # shellcheck disable=SC2119
    doctor
    says "$status" "$1" >/dev/null
}

register_two() {
    put /service/user/a 127.0.0.2:80 && put /service/shop/b 127.0.0.3:80 && watch_host &&
        wait_until 10 sees "ok   table: $table, 2 services*"
}

host 2>/dev/null || { echo 'ok - nothing (skipped: no overlay may be mounted here)'; exit 0; }
