#!/bin/bash
# From a key in etcd to getent: values that come and go, good and bad ones.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

getent_says() {
    [ "$(getent -s hosts:etcdsd hosts "$1" | tr -s ' ')" = "$2 $1" ]
}

put_is_answered() {
    unknown user.service.etcd && put /service/user/instance-1 127.0.0.1:9000 &&
        wait_until 5 getent_says user.service.etcd 127.0.0.1
}

deleted_is_unknown() {
    del /service/user/instance-1 && wait_until 5 unknown user.service.etcd
}

second_appears() {
    put /service/user/instance-1 127.0.0.11:9000 && put /service/user/instance-2 127.0.0.12:9000 &&
        wait_until 5 answers user.service.etcd 127.0.0.11 127.0.0.12
}

instance_has_a_name() {
    answers instance-1.user.service.etcd 127.0.0.11 && answers instance-2.user.service.etcd 127.0.0.12
}

value_changes() {
    put /service/user/instance-2 127.0.0.13:9000 &&
        wait_until 5 answers user.service.etcd 127.0.0.11 127.0.0.13
}

spelling_does_not_matter() {
    answers USER.Service.Etcd. 127.0.0.11 127.0.0.13
}

six() {
    put /service/six/a '[2001:db8::1]:80' && put /service/six/b 2001:db8::2 &&
        wait_until 5 answers six.service.etcd 2001:db8::1 2001:db8::2 &&
        [ "$(getent -A -s hosts:etcdsd ahostsv6 six.service.etcd | grep -c STREAM)" = 2 ] &&
        ! getent -A -s hosts:etcdsd ahostsv4 six.service.etcd >/dev/null
}

mixed() {
    put /service/mixed/a 127.0.0.11:80 && put /service/mixed/b '[2001:db8::2]:80' &&
        wait_until 5 answers mixed.service.etcd 127.0.0.11 2001:db8::2 &&
        getent -A -s hosts:etcdsd ahostsv4 mixed.service.etcd | grep -q '^127.0.0.11 '
}

nested() {
    put /service/shop/user/i1 127.0.0.9:80 && wait_until 5 answers user.shop.service.etcd 127.0.0.9 &&
        answers i1.user.shop.service.etcd 127.0.0.9
}

wrong_names() {
    local name
    answers instance-1.user.service.etcd 127.0.0.11 || return 1
    for name in nobody.service.etcd service.etcd instance-9.user.service.etcd \
        a.instance-1.user.service.etcd use.service.etcd user2.service.etcd; do
        unknown "$name" || { echo "# $name"; return 1; }
    done
}

foreign_names_go_on() {
    local modules='hosts:etcdsd [!UNAVAIL=return] files'
    getent -s "$modules" hosts instance-1.user.service.etcd >/dev/null &&
        getent -s "$modules" hosts localhost >/dev/null || return 1
    getent -s 'hosts:etcdsd [!NOTFOUND=return] files' hosts localhost >/dev/null && return 1
    # An absent name of ours is not looked for anywhere else.
    getent -s "$modules" hosts nobody.service.etcd >/dev/null
    [ $? = 2 ]
}

one_segment_is_one_service() {
    put /service/user2/x 127.0.0.20:80 && wait_until 5 answers user2.service.etcd 127.0.0.20 &&
        answers user.service.etcd 127.0.0.11 127.0.0.13
}

# bad_value NAME COMMAND...: COMMAND prints a value no address can be read
# from.  It must drop itself, be named in the log, and do nothing else.
bad_value() {
    local instance=$1
    shift
    put /service/bad/good 127.0.0.5:80 && wait_until 5 answers bad.service.etcd 127.0.0.5 || return 1
    if [ -n "$("$@" | head -c 1)" ]; then
        "$@" | put "/service/bad/$instance"
    else
        put "/service/bad/$instance" ''
    fi
    put "/service/bad/later-$instance" 127.0.0.6:80 &&
        wait_until 5 answers bad.service.etcd 127.0.0.5 127.0.0.6 &&
        unknown "$instance.bad.service.etcd" &&
        wait_until 5 logged watcher "/service/bad/$instance" &&
        del "/service/bad/later-$instance" && wait_until 5 answers bad.service.etcd 127.0.0.5
}

junk() {
    head -c 1048576 /dev/zero | tr '\0' x
}

bad_at_start() {
    stop watcher && : >"$work/watcher.log" && watcher_start &&
        wait_until 5 logged watcher /service/bad/brace && answers bad.service.etcd 127.0.0.5
}

a_good_value_mends() {
    put /service/bad/brace 127.0.0.7:80 && wait_until 5 answers bad.service.etcd 127.0.0.5 127.0.0.7
}

rotates() {
    local seen
    seen=$(for _ in {1..60}; do
        getent -A -s hosts:etcdsd ahostsv4 user.service.etcd | awk '{ print $1; exit }'
    done | sort -u | tr '\n' ' ')
    [ "$seen" = "127.0.0.11 127.0.0.13 " ]
}

only_libc() {
    local needed
    needed=$(readelf -d "$build/libnss_etcdsd.so.2" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    [ "$needed" = libc.so.6 ] &&
        [ "$(ldd "$build/libnss_etcdsd.so.2" | grep -cvE 'libc\.so\.6|linux-vdso|ld-linux')" = 0 ]
}

only_entry_points() {
    nm -D --defined-only "$build/libnss_etcdsd.so.2" | grep -q _nss_etcdsd_gethostbyname4_r &&
        ! nm -D --defined-only "$build/libnss_etcdsd.so.2" | grep -v ' _nss_etcdsd_' &&
        nm -D --defined-only "$build/libsd.so.1" | grep -q libsd_register &&
        ! nm -D --defined-only "$build/libsd.so.1" | grep -vE ' libsd_|LIBSD_'
}

# Before the first watcher: an absent table is a fault, not an absent name.
no_table() {
    [ "$(echo user.service.etcd | python3 "$top/tests/integration/follow.py")" = \
        'Temporary failure in name resolution' ] &&
        getent -s 'hosts:etcdsd [!UNAVAIL=return] files' hosts localhost >/dev/null
}

no_such_name() {
    [ "$(echo nobody.service.etcd | python3 "$top/tests/integration/follow.py")" = \
        'Name or service not known' ]
}

check 'without a table, our names fail temporarily, others do not' no_table
etcd_start || exit 1
watcher_start
check 'a value put with etcdctl is answered by getent' put_is_answered
check 'a deleted one ends in status 2' deleted_is_unknown
check 'a second instance appears' second_appears
check 'each instance has a name of its own' instance_has_a_name
check 'a changed value is answered' value_changes
check 'case and a trailing dot make no difference' spelling_does_not_matter
check 'both instances come first in turn' rotates
check 'IPv6 addresses are answered' six
check 'IPv4 and IPv6 live in one service' mixed
check 'a service may have several segments' nested
check 'a name that is not there is not known' no_such_name
check 'wrong names end in status 2' wrong_names
check 'foreign names go to the next module' foreign_names_go_on
check 'user2 is not user' one_segment_is_one_service
check 'bad value: not an address' bad_value text printf 'not an address'
check 'bad value: nothing' bad_value empty true
check 'bad value: 1 MiB of junk' bad_value junk junk
check 'bad value: {' bad_value brace printf '{'
check 'bad value: 999.1.1.1' bad_value range printf 999.1.1.1:80
check 'bad values do no harm to a starting watcher' bad_at_start
check 'a bad value that is mended is answered' a_good_value_mends
check 'the module needs libc only' only_libc
check 'nothing but the interface is exported' only_entry_points
finish
