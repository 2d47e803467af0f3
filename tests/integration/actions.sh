#!/bin/bash
# What programs see through glibc: the matrix of actions.c, then getent and
# its like, and a real nsswitch.conf where namespaces can be made.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

read -ra compile <"$build/flags"
cd "$top" || exit 1 # the flags name directories of the tree
export LD_LIBRARY_PATH=$build:$work

prepare() {
    "${compile[@]}" -o "$work/actions" tests/integration/actions.c "$build/obj/table.a" &&
        "${compile[@]}" -shared -Wl,-soname,libnss_asked.so.2 -o "$work/libnss_asked.so.2" \
            tests/integration/nss_asked.c &&
        "$work/actions" write
}

asking() {
    getent -A -s hosts:etcdsd -s services:etcdsd "$@" | tr -s ' '
}

# says WANTED COMMAND...: the lines, in any order.
says() {
    local wanted=$1 got
    shift
    got=$("$@" | sort)
    [ "$got" = "$(sort <<<"$wanted")" ] || { echo "# $*: $got"; return 1; }
}

# Instances, each with its service as alias.
all_hosts='10.1.0.1 a.both.service.etcd both.service.etcd
2001:db8:1::1 b.both.service.etcd both.service.etcd
10.1.0.2 a.four.service.etcd four.service.etcd
2001:db8:1::2 b.six.service.etcd six.service.etcd'
all_services='both 9090/tcp both.service.etcd
four 9090/tcp four.service.etcd
six 9090/tcp six.service.etcd'

by_name() {
    says '2001:db8:1::1 both.service.etcd' asking hosts both.service.etcd &&
        says '10.1.0.2 four.service.etcd' asking hosts FOUR.service.etcd. &&
        says '2001:db8:1::1 b.both.service.etcd' asking hosts b.both.service.etcd
}

by_address() {
    says '10.1.0.2 a.four.service.etcd' asking hosts 10.1.0.2 &&
        says '2001:db8:1::2 b.six.service.etcd' asking hosts 2001:db8:1::2 &&
        says '' asking hosts 10.1.0.99
}

all_in_turn() {
    says "$all_hosts" asking hosts && says "$all_services" asking services
}

every_address() {
    local of_both='10.1.0.1 DGRAM
10.1.0.1 RAW
10.1.0.1 STREAM
2001:db8:1::1 DGRAM
2001:db8:1::1 RAW
2001:db8:1::1 STREAM'
    [ "$(asking ahosts both.service.etcd | cut -d ' ' -f 1,2 | sort)" = "$of_both" ] &&
        [ "$(asking ahostsv6 six.service.etcd | grep STREAM)" = '2001:db8:1::2 STREAM six.service.etcd' ] &&
        [ -z "$(asking ahostsv4 six.service.etcd)" ]
}

services_by_key() {
    says 'four 9090/tcp four.service.etcd' asking services four &&
        says 'four 9090/tcp four.service.etcd' asking services four.service.etcd/tcp &&
        asking services 9090/tcp | grep -qE '^(both|four|six) 9090/tcp' || return 1
    for key in four/udp 9090/udp nosuch 9091/tcp; do
        [ -z "$(asking services "$key")" ] || return 1
    done
}

# python EXPRESSION...: prints what each is worth, with our modules configured.
python() {
    python3 - "$@" <<'END'
import ctypes, socket, sys
from socket import *
libc = ctypes.CDLL(None)
libc.__nss_configure_lookup(b"hosts", b"etcdsd")
libc.__nss_configure_lookup(b"services", b"etcdsd files")
for expression in sys.argv[1:]:
    try:
        print(eval(expression))
    except gaierror as error:
        print(error.strerror)
END
}

named_port() {
    local ask='sorted(a[4][:2] for a in getaddrinfo("both.service.etcd"'
    says "[('10.1.0.1', 9090), ('2001:db8:1::1', 9090)]
[('10.1.0.1', 9090), ('2001:db8:1::1', 9090)]
[('10.1.0.1', 80), ('2001:db8:1::1', 80)]
Servname not supported for ai_socktype
9090" python "$ask, 'both', type=SOCK_STREAM))" "$ask, 'six'))" "$ask, 'http', type=SOCK_STREAM))" \
        "$ask, 'both', type=SOCK_DGRAM))" 'getservbyname("both")'
}

back_to_names() {
    says "('a.four.service.etcd', '80')
('b.six.service.etcd', '81')
('10.1.0.2', '9090')
('10.1.0.99', '1')
True
('a.both.service.etcd', [], ['10.1.0.1'])" python 'getnameinfo(("10.1.0.2", 80), NI_NUMERICSERV)' \
        'getnameinfo(("2001:db8:1::2", 81), NI_NUMERICSERV)' \
        'getnameinfo(("10.1.0.2", 9090), NI_NUMERICHOST | NI_DGRAM)' \
        'getnameinfo(("10.1.0.99", 1), NI_NUMERICSERV)' \
        'getnameinfo(("10.1.0.2", 9090), 0)[1] in ("both", "four", "six")' 'gethostbyaddr("10.1.0.1")'
}

matrix() {
    "$work/actions" matrix >"$work/matrix"
    cat "$work/matrix"
    failed=$((failed + $(grep -c '^not ok' "$work/matrix")))
    [ "$(grep -c '^ok' "$work/matrix")" = 12 ]
}

# ---- a whole nsswitch.conf ------------------------------------------------

# In namespaces of its own: files in place of those in /etc, loopback alone.
apart() {
    # shellcheck disable=SC2016 # its own arguments
    unshare -rmn bash -c '
        for name in nsswitch.conf hosts resolv.conf; do mount --bind "$1/etc/$name" "/etc/$name" || exit 9; done
        ip link set lo up || exit 9
        shift; exec "$@"' apart "$work" "$@"
}

prepare_apart() {
    mkdir "$work/etc"
    printf 'hosts: files etcdsd [!UNAVAIL=return] dns\nservices: files etcdsd\n' >"$work/etc/nsswitch.conf"
    printf '127.0.0.1 localhost\n10.9.9.9 four.service.etcd\n' >"$work/etc/hosts"
    printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >"$work/etc/resolv.conf"
    apart true 2>"$work/apart.log"
}

files_first() {
    says '10.9.9.9        four.service.etcd
2001:db8:1::2   six.service.etcd' apart getent hosts four.service.etcd six.service.etcd
}

# leaks NAME: 0 if the lookup sends anything to the name server.
leaks() {
    apart python3 - "$1" <<'END'
import select, socket, subprocess, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
subprocess.run(["getent", "ahosts", sys.argv[1]], stdout=subprocess.DEVNULL)
sys.exit(0 if select.select([server], [], [], 0)[0] else 3)
END
}

does_not_leak() {
    local name
    for name in four.service.etcd nosuch.service.etcd nosuch.four.service.etcd; do
        leaks "$name"
        [ $? = 3 ] || { echo "# $name"; return 1; }
    done
    ETCDSD_TABLE=$work/none leaks four.service.etcd
    [ $? = 3 ] && leaks www.example.com
}

check 'a table and a module to be asked after ours' prepare
check 'each answer under each line of nsswitch.conf' matrix
check 'getent hosts by name' by_name
check 'getent hosts by address' by_address
check 'getent hosts and services list everything' all_in_turn
check 'getent ahosts gives each address for each type' every_address
check 'getent services by name and by port' services_by_key
check 'getaddrinfo takes the port from the services database' named_port
check 'getnameinfo names instance and service' back_to_names
if prepare_apart; then
    check 'files, then etcdsd, as nsswitch.conf says' files_first
    check 'names of ours are never sent to a name server' does_not_leak
else
    echo '# skipped: no namespaces for a nsswitch.conf of its own'
fi
finish
