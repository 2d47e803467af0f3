#!/bin/bash
# The second half of peers.sh: everything here is private to these namespaces.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Each client run sees an nsswitch.conf, hosts, resolv.conf and /run/nscd of its
# own (`within`).  100,000 names s0000000.service.etcd to s0099999, one address
# each, are served by whoever serves them; HOT is asked for again and again.  In
# the files it is the last line.
#
# With one thread, client and daemons share a processor: the kindest case for a
# daemon, as a wake-up of another processor costs more than the whole answer.
set -u
build=$1
: "${ROUNDS:=7}" "${SECONDS_EACH:=0.1}"
export LC_ALL=C SECONDS_EACH
export LD_LIBRARY_PATH=$build:$build/bench
export ETCDSD_TABLE=/run/etcdsd/table.v1
hot=s0050000.service.etcd
data=/run/bench
mkdir -p "$data" /run/etcdsd
cd "$data" || exit 1
running=()

# ---- names, and who is asked for them --------------------------------------

make_data() {
    local count
    awk -v hot="$hot" 'BEGIN {
        for (i = 0; i < 100000; i++) {
            name = sprintf("s%07d.service.etcd", i)
            line = sprintf("10.%d.%d.%d %s", int(i / 65536), int(i / 256) % 256, i % 256, name)
            if (name == hot) last = line; else print line
        }
        print last }' >hosts100000
    for count in 1 100 10000; do
        tail -n "$count" hosts100000 >"hosts$count"
    done
    echo '127.0.0.1 localhost' >hosts0
    for count in {1..8}; do
        [ "$count" -gt 3 ] || echo "11.0.0.$count three.service.etcd"
        echo "11.0.0.$count eight.service.etcd"
    done >several
    # shellcheck disable=SC2016 # a zone's directives
    { printf '$ORIGIN etcd.\n$TTL 60\n@ SOA ns.etcd. root.etcd. 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n'
      awk '{ print $2 ". A " $1 }' hosts100000 several; } >etcd.zone
    awk 'BEGIN { print "server:" } { print "local-data: \"" $2 ". 60 IN A " $1 "\"" }' \
        hosts100000 several >unbound.data
}

# configure NAME HOSTS-LINE HOSTS-FILE NAMESERVER
configure() {
    mkdir -p "conf/$1/nscd"
    printf 'passwd: files\ngroup: files\nhosts: %s\nservices: files\n' "$2" >"conf/$1/nsswitch.conf"
    ln -f "$3" "conf/$1/hosts"
    printf 'nameserver %s\n' "$4" >"conf/$1/resolv.conf"
}

within() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --propagation private sh -c 'conf=$1; shift
        for file in nsswitch.conf hosts resolv.conf; do
            mount --bind "$conf/$file" "/etc/$file" || exit 3
        done
        mkdir -p /run/nscd && mount --bind "$conf/nscd" /run/nscd || exit 3
        exec "$@"' sh "$data/conf/$1" "${@:2}"
}

configure_all() {
    local count
    configure null null hosts0 127.0.0.1
    configure null3 null3 hosts0 127.0.0.1
    configure null8 null8 hosts0 127.0.0.1
    configure etcdsd etcdsd hosts0 127.0.0.1
    configure files+etcdsd 'files etcdsd' hosts0 127.0.0.1
    for count in 1 100 10000 100000; do
        configure "files$count" files "hosts$count" 127.0.0.1
    done
    configure dnsmasq1 dns hosts0 127.0.0.11
    configure dnsmasq dns hosts0 127.0.0.12
    configure unbound dns hosts0 127.0.0.13
    configure knot dns hosts0 127.0.0.14
    configure nscd-socket files hosts100000 127.0.0.1
    configure nscd-shared files hosts100000 127.0.0.1
    configure myhostname myhostname hosts0 127.0.0.1
    configure resolved resolve hosts1 127.0.0.1
    configure sssd sss hosts1 127.0.0.1
}

# ---- daemons ----------------------------------------------------------------

start() {
    command -v "$(basename "$1")" >/dev/null || [ -x "$1" ] || [ "$1" = within ] || return 0
    taskset -c 0 "$@" >>daemons.log 2>&1 </dev/null &
    running+=($!)
}

start_within() {
    local conf=$1
    shift
    command -v "$1" >/dev/null || return 0
    within "$conf" taskset -c 0 "$@" >>daemons.log 2>&1 </dev/null &
    running+=($!)
}

start_nscd() {
    cat >"$1.conf" <<END
server-user root
reload-count unlimited
paranoia no
max-threads 4
enable-cache passwd no
enable-cache group no
enable-cache services no
enable-cache netgroup no
enable-cache hosts yes
positive-time-to-live hosts 3600
suggested-size hosts 211
check-files hosts yes
persistent hosts no
shared hosts $2
max-db-size hosts 33554432
END
    start_within "$1" /usr/sbin/nscd -F -f "$data/$1.conf"
}

start_sssd() {
    [ -d /etc/sssd ] || return 0
    mkdir -p /var/lib/sss/{db,mc,pipes/private,pubconf,gpo_cache} /var/log/sssd /run/sssd
    cat >/etc/sssd/sssd.conf <<'END'
[sssd]
services = nss
domains = bench
[nss]
filter_users = root
memcache_timeout = 3600
[domain/bench]
id_provider = proxy
proxy_lib_name = files
auth_provider = none
access_provider = permit
resolver_provider = proxy
proxy_resolver_lib_name = files
entry_cache_timeout = 3600
END
    chmod 600 /etc/sssd/sssd.conf
    start_within sssd /usr/sbin/sssd -i
}

start_all() {
    local count
    start "$build/bench/bench" keep "$ETCDSD_TABLE" 100000
    for count in 1 100000; do
        cat "hosts$count" several >"dnsmasq$count"
        start /usr/sbin/dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --port=53 \
            --bind-interfaces --listen-address=127.0.0.1$((count == 1 ? 1 : 2)) --no-resolv --no-hosts \
            --local=/etcd/ --pid-file= --addn-hosts="$data/dnsmasq$count"
    done
    cat >unbound.conf <<END
server:
    num-threads: 1
    interface: 127.0.0.13
    username: ""
    chroot: ""
    directory: "$data"
    pidfile: ""
    use-syslog: no
    do-not-query-localhost: no
    module-config: "iterator"
    access-control: 127.0.0.0/8 allow
    local-zone: "etcd." static
include: "$data/unbound.data"
remote-control:
    control-enable: no
END
    start /usr/sbin/unbound -d -c "$data/unbound.conf"
    mkdir -p knot
    cat >knot.conf <<END
server:
    rundir: $data/knot
    user: root:root
    listen: 127.0.0.14@53
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: $data/knot
zone:
  - domain: etcd
    storage: $data
    file: etcd.zone
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
END
    start /usr/sbin/knotd -c "$data/knot.conf"
    start_nscd nscd-socket no
    start_nscd nscd-shared yes
    mkdir -p /run/systemd/resolve
    ! id systemd-resolve >/dev/null 2>&1 || chown systemd-resolve: /run/systemd/resolve
    [ ! -x /lib/systemd/systemd-resolved ] || start_within resolved /lib/systemd/systemd-resolved
    start_sssd
}

# ---- rows -------------------------------------------------------------------

declare -A title=(
    [null]="null module" [null3]="null module, 3 addresses" [null8]="null module, 8 addresses"
    [etcdsd]="etcdsd" [files+etcdsd]="files etcdsd"
    [files1]="files, 1 line" [files100]="files, 100 lines" [files10000]="files, 10,000 lines"
    [files100000]="files, 100,000 lines" [dnsmasq1]="dns: dnsmasq, 1 name"
    [dnsmasq]="dns: dnsmasq, 100,000 names" [unbound]="dns: unbound, 100,000 names"
    [knot]="dns: Knot, 100,000 names" [nscd-socket]="nscd by socket (files, 100,000 lines)"
    [nscd-shared]="nscd by shared memory (files, 100,000 lines)" [myhostname]="myhostname"
    [resolved]="resolve: systemd-resolved" [sssd]="sss: SSSD"
)
peers=(null etcdsd files+etcdsd files1 files100 files10000 files100000 myhostname dnsmasq1 dnsmasq
    unbound knot nscd-socket nscd-shared resolved sssd)

# cell PEER CALL NAMES THREADS: the measurement.
cell() {
    local peer=$1 name=()
    shift
    [ "$peer" != myhostname ] || name=("$(hostname)")
    within "$peer" ${pin:+taskset -c 0} "$build/bench/bench" cell "$1" "$2" 100000 "$3" "${name[@]}"
}

answers() {
    [ "$(within "$1" getent ahostsv4 "$([ "$1" = myhostname ] && hostname || echo "$hot")" |
        sed -n '1s/ .*//p')" != "" ]
}

# measure ROUND PEER BASE CALL NAMES THREADS TEXT
measure() {
    local value unit=ns
    [ "$4" != system-calls ] || unit=calls
    value=$(cell "$2" "$4" "$5" "$6" 2>>errors) && printf 'peers\t%s: %s\t%s\t%s: %s\t\t%s\t%s\n' \
        "$7" "${title[$2]}" "$unit" "$7" "${title[$3]}" "$1" "$value"
}

ip link set lo up
# An address, and a way out, so that addresses are sorted as on a real host.
ip addr add 10.255.0.1/24 dev lo
ip addr add fd00::1/64 dev lo nodad
ip route add default dev lo
ip -6 route add default dev lo 2>/dev/null
hostname benchhost
make_data
configure_all
start_all

live=()
for peer in "${peers[@]}"; do
    for try in {1..240}; do
        ! answers "$peer" || { live+=("$peer"); break; }
        [ "$try" != 240 ] || { echo "peers: left out, for it does not answer: ${title[$peer]}"
            tail -n 5 daemons.log; } >&2
        sleep 0.25
    done
done
has() { [[ " ${live[*]} " == *" $1 "* ]]; }

# every CALL NAMES THREADS TEXT BASE PEER...: those that answer.
every() {
    local peer
    for peer in "${@:6}"; do
        if [ "$peer" = "$5" ] || has "$peer"; then
            measure "$round" "$peer" "$5" "$1" "$2" "$3" "$4"
        fi
    done
}

pin=yes
for ((round = 1; round <= ROUNDS; round++)); do
    every getaddrinfo hot 1 getaddrinfo null "${peers[@]}"
    every gethostbyname_r hot 1 gethostbyname_r null "${peers[@]}"
    every getaddrinfo random 1 "100,000 names at random" null null etcdsd dnsmasq unbound knot
    every getaddrinfo three 1 "3 addresses" null3 null3 etcdsd dnsmasq unbound knot
    every getaddrinfo eight 1 "8 addresses" null8 null8 etcdsd dnsmasq unbound knot
    every first hot 1 "first lookup of a process" null "${peers[@]}"
done
round=1
every system-calls hot 1 "system calls of a warm getaddrinfo" null "${peers[@]}"
pin=
for process in "${running[@]}"; do
    taskset -ap "0-$(($(nproc) - 1))" "$process" >/dev/null 2>&1
done
for ((round = 1; round <= ROUNDS; round++)); do
    every getaddrinfo hot 2 "getaddrinfo, 2 threads" null "${peers[@]}"
done
[ ! -s errors ] || { sort errors | uniq -c | head -n 20 >&2; }
