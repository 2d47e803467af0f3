#!/bin/bash
# etcdsd doctor: a healthy host is all ok; each mistake is made, and found.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/cli/lib.sh
. "$(dirname "$0")/lib.sh"

healthy() {
    doctor
    says 0 'ok   hosts: *' 'ok   services: etcdsd is asked*' 'ok   nscd: *' "ok   module: */libnss_etcdsd.so.2, version *" \
        "ok   table: $table, 2 services, 2 instances, *" "ok   watcher: process ${pid[watcher]} *" \
        'ok   snapshot: *' 'ok   config: *' "ok   etcd: $ETCDCTL_ENDPOINTS: etcd 3.*" 'ok   access: *' 'ok   clock: *' \
        'ok   lookup: *.service.etcd is 127.0.0.*' && ! grep -v '^ok   ' <<<"$out"
}

as_json() {
    doctor --json
    [ "$status" = 0 ] && printf '%s' "$out" | python3 -c '
import json, sys
d = json.load(sys.stdin)
sys.exit(not (d["status"] == 0 and len(d["checks"]) >= 12 and
    all(c["result"] == "ok" and c["check"] and c["what"] for c in d["checks"])))' || return 1
    echo 'hosts: files dns' >/etc/nsswitch.conf
    doctor --json
    printf '%s\n' "$nsswitch" >/etc/nsswitch.conf
    [ "$status" = 2 ] && printf '%s' "$out" | python3 -c '
import json, sys
d = json.load(sys.stdin)
first = d["checks"][0]
sys.exit(not (d["status"] == 2 and first["check"] == "hosts" and first["result"] == "fail" and
    first["mend"] == "in /etc/nsswitch.conf: hosts: files etcdsd [!UNAVAIL=return] dns"))'
}

# hosts_line STATUS PATTERN LINE
hosts_line() {
    printf '%s\n' "$3" >/etc/nsswitch.conf
    doctor
    says "$1" "$2"
}

hosts_lines() {
    hosts_line 2 'FAIL hosts: nobody asks etcdsd*hosts: files etcdsd [[]!UNAVAIL=return] dns)' 'hosts: files dns' &&
        hosts_line 2 'FAIL hosts: nobody asks etcdsd*' 'hosts: files # etcdsd' &&
        hosts_line 2 'FAIL hosts: nobody asks etcdsd*hosts: files etcdsd [[]!UNAVAIL=return] dns)' 'passwd: files' &&
        hosts_line 1 'warn hosts: dns is asked first*hosts: files etcdsd [[]!UNAVAIL=return] dns)' \
            'hosts: files dns etcdsd [!UNAVAIL=return]' &&
        hosts_line 1 'warn hosts: there is no [[]!UNAVAIL=return] after etcdsd*' 'hosts: files etcdsd dns' &&
        hosts_line 2 'FAIL hosts: resolve [[]!UNAVAIL=return] is in front*hosts: files etcdsd [[]!UNAVAIL=return] resolve*dns)' \
            'hosts: files resolve [!UNAVAIL=return] etcdsd [!UNAVAIL=return] dns' &&
        hosts_line 1 'warn hosts: resolve is asked first*' 'hosts: files resolve etcdsd [!UNAVAIL=return]' &&
        hosts_line 2 'FAIL hosts: etcdsd [[]UNAVAIL=return] ends the search for all other names*' \
            'hosts: files etcdsd [UNAVAIL=return] dns' &&
        hosts_line 0 'ok   hosts: *' \
            'hosts: mdns4_minimal [NOTFOUND=return] files etcdsd [notfound=RETURN tryagain=return] dns' &&
        hosts_line 0 'ok   services: etcdsd is not asked*optional*' 'hosts: etcdsd [!UNAVAIL=return] files dns' || return 1
    printf '%s\n' "$nsswitch" >/etc/nsswitch.conf
    chmod 600 /etc/nsswitch.conf
    doctor
    says 2 'FAIL hosts: *by everybody (chmod 644 /etc/nsswitch.conf)' && rm /etc/nsswitch.conf || return 1
    doctor
    says 2 'FAIL hosts: /etc/nsswitch.conf: No such file*' && printf '%s\n' "$nsswitch" >/etc/nsswitch.conf
}

nscd() {
    mkdir -p /run/nscd
    spawn nscd python3 -c 'import socket
s = socket.socket(socket.AF_UNIX); s.bind("/run/nscd/socket"); s.listen(9)
while True: s.accept()[0].close()'
    wait_until 10 [ -S /run/nscd/socket ] || return 1
    printf 'enable-cache passwd yes\n enable-cache hosts no\n' >/etc/nscd.conf
    doctor
    [[ $out = *$'\nok   nscd: it runs, and caches no hosts\n'* ]] || return 1
    printf '\tenable-cache\thosts\t\tyes\n' >/etc/nscd.conf
    doctor
    [[ $out = *$'\nwarn nscd: it caches hosts'*'enable-cache hosts no; then restart nscd)'* ]] || return 1
    stop nscd KILL
    doctor
    rm -r /etc/nscd.conf /run/nscd
    says 0 'ok   nscd: none runs'
}

# byte FILE OFFSET HEX...: writes these bytes there.
bytes() {
    # shellcheck disable=SC2059 # escapes
    printf "$(printf '\\x%s' "${@:3}")" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

module() {
    local file=$libraries/libnss_etcdsd.so.2
    chmod 600 "$file"
    doctor
    says 2 "FAIL module: * can't be read by everybody (chmod 644 *)" || return 1
    sed -i 's/@(#)libnss_etcdsd 0/@(#)libnss_etcdsd 9/' "$file" && chmod 644 "$file"
    doctor
    says 1 'warn module: * is of version 9*' || return 1
    bytes "$file" 4 01 && bytes "$file" 18 03 00
    doctor
    says 2 'FAIL module: * is for another architecture: 32 bits, ELF machine 3 *' || return 1
    echo junk >"$file"
    doctor
    says 2 'FAIL module: * is no library*' && rm "$file" || return 1
    doctor
    says 2 'FAIL module: there is no libnss_etcdsd.so.2 *' || return 1
    mkdir -p /usr/local/lib/elsewhere-linux-gnu && cp "$build/libnss_etcdsd.so.2" /usr/local/lib/elsewhere-linux-gnu
    doctor
    says 2 'FAIL module: /usr/local/lib/elsewhere-linux-gnu/* is there, but glibc does not load it (run ldconfig*' || return 1
    rm -r /usr/local/lib/elsewhere-linux-gnu
    out=$("$build/etcdsd" doctor)
    grep -q '^warn module: .* is found through .LD_LIBRARY_PATH' <<<"$out" && cp "$build/libnss_etcdsd.so.2" "$libraries"
}

rights_of_the_table() {
    chmod 666 "$table"
    doctor
    says 2 'FAIL table: * may be written by others*[(]chmod 644 *)' && chmod 600 "$table" || return 1
    doctor
    says 2 "FAIL table: * can't be read by everybody (chmod 644 *)" && chmod 644 "$table" && chmod 777 /run/etcdsd || return 1
    doctor
    says 2 'FAIL table: /run/etcdsd may be written by others*[(]chmod 755 /run/etcdsd)' && chmod 700 /run/etcdsd || return 1
    doctor
    says 2 'FAIL table: /run/etcdsd is closed*[(]chmod 755 /run/etcdsd)' && chmod 755 /run/etcdsd || return 1
    if ! chown 1 "$table" 2>/dev/null; then echo '# no other users here'; return 0; fi
    doctor
    says 2 'FAIL table: * belongs to user 1, its directory to user 0*' && chown 0 "$table"
}

# Of a table that was copied no watcher tells, so that is wrong, too.
content_of_the_table() {
    local copy=$work/copy/table.v1
    mkdir -p "$work/copy" && cp "$table" "$copy"
    bytes "$copy" 8 07
    doctor --table "$copy"
    says 2 'FAIL table: * is of layout 7, and this etcdsd reads layout 1 *' && head -c 8192 /dev/zero >"$copy" || return 1
    doctor --table "$copy"
    says 2 'FAIL table: * is damaged, or no table (rm *' && cp "$table" "$copy" || return 1
    # Records stay where they are, and their lengths become impossible.
    python3 - "$copy" <<'END' || return 1
import struct, sys
f = open(sys.argv[1], "r+b"); d = bytearray(f.read())
heap = struct.unpack_from("=Q", d, 6 * 8)[0]
for at in range(heap, len(d) - 15, 16):
    if d[at:at + 16] != bytes(16):
        struct.pack_into("=I", d, at + 8, 0xffffffff)
f.seek(0); f.write(d)
END
    doctor --table "$copy"
    says 2 'FAIL table: * is damaged (rm *' && cp "$table" "$copy" && bytes "$copy" 136 01 02 03 04 || return 1
    doctor --table "$copy"
    says 2 'FAIL etcd: * is of cluster *, and the watcher follows cluster *' && rm "$copy" && ln -s "$table" "$copy" || return 1
    doctor --table "$copy"
    says 2 'FAIL table: * is not a file*' && rm "$copy" || return 1
    doctor --table "$copy"
    says 2 'FAIL table: *: No such file or directory (systemctl start *' || return 1
    doctor --table "$work/none/table.v1"
    says 2 'FAIL table: */none: No such file or directory: no watcher has run*' || return 1
    out=$(ETCDSD_TABLE=$table env -u LD_LIBRARY_PATH "$build/etcdsd" doctor)
    status=$?
    says 1 'warn environment: ETCDSD_TABLE is set*[(]unset ETCDSD_TABLE)'
}

values_left_out() {
    put /service/user/bad 'no address' && wait_until 5 sees 'warn values: 1 key is left out*' &&
        put /service/user/worse 'none' && wait_until 5 sees 'warn values: 2 keys are left out*' || return 1
    del /service/user/bad && del /service/user/worse
    wait_until 10 sees 'ok   watcher*' && [ "$status" = 0 ]
}

snapshots() {
    rmdir /var/lib/etcdsd 2>/dev/null || rm -r /var/lib/etcdsd
    doctor
    says 1 'warn snapshot: /var/lib/etcdsd: No such file*[(]install -d -m 700 -o * /var/lib/etcdsd *' || return 1
    mkdir -p /var/lib/etcdsd /etc/etcdsd && mount -t tmpfs -o ro none /var/lib/etcdsd || return 1
    doctor
    says 1 'warn snapshot: * is mounted read-only*' && umount /var/lib/etcdsd || return 1
    echo 'state-directory = none' >/etc/etcdsd/etcdsd.conf
    doctor
    ! grep -q snapshot <<<"$out" && says 0 'ok   config: /etc/etcdsd/etcdsd.conf' || return 1
    printf '[watcher]\nstate-directory = /var/lib/mine\n' >/etc/etcdsd/etcdsd.conf
    doctor
    says 1 'warn snapshot: /var/lib/mine: No such file*' && mkdir -m 700 /var/lib/mine && mkdir "$work/other" || return 1
    if chown 1 "$work/other" 2>/dev/null; then
        stop watcher
        cp "$table" "$work/other/table.v1" && chown 1 "$work/other/table.v1"
        doctor --table "$work/other/table.v1"
        says 2 "warn snapshot: /var/lib/mine can't be written by the watcher's user *" || return 1
        watch_host && wait_until 10 sees 'ok   watcher*' || return 1
    fi
    rm -r /etc/etcdsd
}

configuration() {
    mkdir -p /etc/etcdsd
    printf 'ttl = 5\n[etcd]\nendpionts = http://x\n' >/etc/etcdsd/etcdsd.conf
    doctor
    says 2 "FAIL config: /etc/etcdsd/etcdsd.conf:3: unknown key 'endpionts'; did you mean 'endpoints'? *" || return 1
    printf '# the watcher alone minds\n[zone a]\nprefx = /a/\n' >/etc/etcdsd/etcdsd.conf
    doctor
    says 2 "FAIL config: /etc/etcdsd/etcdsd.conf:3: unknown key 'prefx'; did you mean 'prefix'? *" || return 1
    printf 'endpoints = %s\n' "$ETCDCTL_ENDPOINTS" >/etc/etcdsd/etcdsd.conf
    out=$(env -u LD_LIBRARY_PATH -u ETCDSD_TABLE -u ETCDCTL_ENDPOINTS "$build/etcdsd" doctor)
    status=$?
    says 0 "ok   etcd: $ETCDCTL_ENDPOINTS: *" && rm -r /etc/etcdsd || return 1
    doctor --config /nowhere/etcdsd.conf
    says 2 'FAIL config: /nowhere/etcdsd.conf: No such file*' || return 1
    doctor --cert /nowhere/cert.pem
    says 2 'FAIL etcd: *cert is given without key*'
}

endpoints() {
    doctor --endpoints "$ETCDCTL_ENDPOINTS,http://127.0.0.1:1"
    says 1 "ok   etcd: $ETCDCTL_ENDPOINTS: *" 'warn etcd: http://127.0.0.1:1: *' || return 1
    doctor --endpoints http://127.0.0.1:1,http://127.0.0.1:2
    says 2 'FAIL etcd: http://127.0.0.1:1: *[(]is etcd there?*' 'FAIL etcd: http://127.0.0.1:2: *'
}

# Something whose clock is an hour behind; it is no etcd.
clocks() {
    local free=$((26000 + RANDOM % 6000))
    spawn clock python3 -c '
import http.server, sys, time
class Late(http.server.BaseHTTPRequestHandler):
    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() - 3600)
    def do_HEAD(self):
        self.send_response(200); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Late).serve_forever()' "$free"
    wait_until 10 curl -sI --noproxy '*' -o /dev/null "http://127.0.0.1:$free" || return 1
    doctor --endpoints "$ETCDCTL_ENDPOINTS,http://127.0.0.1:$free"
    stop clock KILL
    says 1 "ok   clock: $ETCDCTL_ENDPOINTS *" "warn clock: the clock of http://127.0.0.1:$free is 3[56]?? s behind ours (*"
}

authentication() {
    {
        etcdctl user add root:root && etcdctl user grant-role root root &&
            etcdctl user add app:sesame && etcdctl auth enable
    } >/dev/null || return 1
    doctor
    says 2 'FAIL access: *[(]see --user*' && doctor --user app:wrong &&
        says 2 "FAIL etcd: * user or password refused: *[(]see --user*" && doctor --user app:sesame &&
        says 2 "FAIL access: services can't be read: *role grant-permission)" && doctor --user root:root &&
        says "$status" 'ok   access: *'
    local result=$?
    etcdctl --user root:root auth disable >/dev/null && return "$result"
}

replaced_watcher() {
    stop watcher
    cp "$build/etcdsd-watcher" "$work/older"
    spawn watcher "$work/older" --foreground --table "$table"
    wait_until 10 sees 'ok   watcher*' && rm "$work/older" || return 1
    doctor
    says 1 "warn watcher: process ${pid[watcher]} runs a program that was replaced*" || return 1
    stop watcher
    watch_host && wait_until 10 sees 'ok   watcher*'
}

watcher_and_etcd_go() {
    stop watcher
    doctor
    says 2 'FAIL watcher: stopped: answers go on as they are*[(]systemctl start etcdsd-watcher)' || return 1
    watch_host && wait_until 10 sees 'ok   watcher*' || return 1
    stop watcher KILL
    wait_until 10 sees 'FAIL watcher: gone: *' && watch_host && wait_until 10 sees 'ok   watcher*' || return 1
    stop etcd KILL
    wait_until 20 sees 'FAIL watcher: disconnected: *' && says 2 "FAIL etcd: $ETCDCTL_ENDPOINTS: *"
}

check 'etcd starts' etcd_start
check 'the watcher runs with two services' register_two
check 'a healthy host is all ok, status 0' healthy
check 'JSON tells the same' as_json
check 'mistakes in nsswitch.conf are found, and the line is told' hosts_lines
check 'nscd with a cache of hosts is found' nscd
check 'a module that is missing, foreign, of another version or elsewhere is found' module
check 'wrong rights of the table and its directory are found' rights_of_the_table
check 'a table that is damaged, of another layout or missing is found' content_of_the_table
check 'values that are left out are counted' values_left_out
check 'a directory for the snapshot that is missing or closed is found' snapshots
check 'mistakes in the configuration are told with file and line' configuration
check 'each endpoint that does not answer is named' endpoints
check 'a clock that differs is found' clocks
check 'a user or role that etcd refuses is told' authentication
check 'a watcher whose program was replaced is found' replaced_watcher
check 'a watcher that is stopped, gone or without etcd is found' watcher_and_etcd_go
finish
