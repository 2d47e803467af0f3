#!/bin/bash
# The configuration as those who write it see it: zones, services, limits, and
# what a reload changes and what it must not.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/watcher/lib.sh
. "$(dirname "$0")/lib.sh"

conf=$work/etcdsd.conf

# configure LINE...: writes the file, in one piece, as an editor should.
configure() {
    printf '%s\n' "endpoints = $ETCDCTL_ENDPOINTS" "table = $ETCDSD_TABLE" "max-answers = 8" "$@" >"$conf.new" &&
        mv "$conf.new" "$conf"
}

run() {
    said=$(timeout 20 "$build/etcdsd-watcher" "$@" 2>&1 </dev/null)
    status=$?
}

daemon() {
    spawn watcher env -u ETCDCTL_ENDPOINTS -u ETCDSD_TABLE "$build/etcdsd-watcher" --config "$conf"
}

# reload TEXT: and waits until the log says the text once more.
reload() {
    local before
    before=$(grep -cF -- "$1" "$work/watcher.log")
    kill -HUP "${pid[watcher]}"
    wait_until 10 said_more_often "$before" "$1"
}

said_more_often() {
    [ "$(grep -cF -- "$2" "$work/watcher.log")" -gt "$1" ]
}

# ---- what is written ------------------------------------------------------

says_what_is_wrong() {
    configure '[zone a]' '[zone b]' 'domain = b.example' 'prefix = /b/'
    run --config "$conf" --check-config
    [ "$status" = 0 ] && [ "$said" = "$conf: nothing is wrong (2 zones)" ] || return 1
    configure '[zone a]' 'domian = b.example'
    run --config "$conf" --check-config
    [ "$status" = 2 ] && [ "$said" = "etcdsd-watcher: $conf:5: unknown key 'domian'; did you mean 'domain'?" ] ||
        return 1
    configure 'cert = /x'
    run --config "$conf" --check-config
    [ "$status" = 2 ] && [[ $said = *'cert is given without key'* ]] || return 1
    run --config "$work/none" --check-config
    [ "$status" = 2 ] && [[ $said = *"$work/none: No such file or directory"* ]]
}

bad_file_at_start() {
    configure 'max-answers = many'
    run --config "$conf"
    [ "$status" = 2 ] && [[ $said = "etcdsd-watcher: $conf:4: max-answers: 'many' is neither auto"* ]] &&
        [ ! -e "$ETCDSD_TABLE" ]
}

# ---- zones ----------------------------------------------------------------

two_zones() {
    put /service/user/i1 127.1.0.1:80 && put /service/shop/cart/i1 127.1.0.2:80 &&
        put /service/b/a 127.1.0.3:80 && put /service/b/a/x 127.1.0.4:80 &&
        put /services/user/i1 127.9.9.9:80 && put /service/inner/user/i1 127.1.0.5:80 &&
        put /inner/user/i1 '{"Op":0,"Addr":"127.2.0.1:8080","Metadata":null}' || return 1
    configure '[zone default]' \
        '[zone inner]' 'prefix = /inner' 'domain = Inner.example.' 'format = json'
    daemon && wait_until 10 answers user.service.etcd 127.1.0.1 &&
        answers user.inner.example 127.2.0.1 && answers i1.user.inner.example 127.2.0.1 &&
        answers user.inner.service.etcd 127.1.0.5 && unknown_here cart.inner.example &&
        not_ours user.other.example
}

nested_names() {
    answers cart.shop.service.etcd 127.1.0.2 && answers i1.cart.shop.service.etcd 127.1.0.2 &&
        unknown_here shop.service.etcd && answers a.b.service.etcd 127.1.0.4 &&
        answers b.service.etcd 127.1.0.3
}

events_of_both() {
    put /inner/user/i2 '{"host":"127.2.0.2","port":1}' && put /service/user/i2 127.1.0.9:80 &&
        wait_until 5 answers user.inner.example 127.2.0.1 127.2.0.2 &&
        wait_until 5 answers user.service.etcd 127.1.0.1 127.1.0.9
}

format_is_the_zones() {
    put /inner/user/i3 127.2.0.3:80 &&
        wait_until 5 logged watcher 'key "/inner/user/i3": not in the table: ' &&
        answers user.inner.example 127.2.0.1 127.2.0.2
}

# ---- reloads --------------------------------------------------------------

load_begins() {
    spawn asking python3 "$top/tests/integration/watcher/ask.py" "$work/enough" user.service.etcd \
        i1.user.service.etcd cart.shop.service.etcd
    # shellcheck disable=SC2016 # for the other shell
    spawn changing bash -c 'while [ ! -e "$0/enough" ]; do
            etcdctl put "/service/user/c$((i++ % 7))" "127.1.1.$((i % 200)):80" >/dev/null
        done' "$work"
}

read_again='read again: '

zone_comes() {
    put /third/new/i1 127.3.0.1:80 && not_ours new.third.example || return 1
    configure '[zone default]' '[zone inner]' 'prefix = /inner' 'domain = inner.example' \
        '[zone third]' 'prefix = /third' 'domain = third.example'
    reload "$read_again" && wait_until 10 answers new.third.example 127.3.0.1 &&
        wait_until 5 answers user.inner.example 127.2.0.1 127.2.0.2 127.2.0.3
}

zone_goes() {
    configure '[zone default]' '[zone third]' 'prefix = /third' 'domain = third.example'
    reload "$read_again" && wait_until 5 not_ours user.inner.example && answers new.third.example 127.3.0.1
}

zone_moves() {
    put /fourth/new/i1 127.4.0.1:80
    configure '[zone default]' '[zone third]' 'prefix = /fourth' 'domain = third.example'
    reload "$read_again" && wait_until 10 answers new.third.example 127.4.0.1
}

# The name lies in another zone from here on, and comes back.
zone_inside_another() {
    put /deep/user/i1 127.5.0.1:80
    configure '[zone default]' '[zone deep]' 'prefix = /deep' 'domain = inner.service.etcd'
    reload "$read_again" && wait_until 10 answers user.inner.service.etcd 127.5.0.1 &&
        wait_until 5 logged watcher 'lies in the domain inner.service.etcd of another zone' || return 1
    configure '[zone default]'
    reload "$read_again" && wait_until 10 answers user.inner.service.etcd 127.1.0.5
}

service_says_otherwise() {
    configure '[service user.service.etcd]' 'max-answers = 1'
    reload "$read_again" && wait_until 5 one_answer user.service.etcd
    configure
    reload "$read_again" && wait_until 5 several_answers user.service.etcd
}

one_answer() {
    [ "$(addresses "$1" | wc -w)" = 1 ]
}

several_answers() {
    [ "$(addresses "$1" | wc -w)" -gt 1 ]
}

bad_file_is_refused() {
    configure '[zone default]' 'domain = x..y'
    reload "$conf:5: domain: 'x..y' is not a domain name" &&
        logged watcher 'nothing changed: the old one goes on' && answers cart.shop.service.etcd 127.1.0.2 || return 1
    rm "$conf"
    reload "$conf: No such file or directory" && answers cart.shop.service.etcd 127.1.0.2
}

fixed_key_is_told() {
    configure "table = $work/elsewhere/table.v1"
    reload 'configuration: table can'"'"'t change at run time' || return 1
    [ ! -e "$work/elsewhere" ]
}

another_handle() {
    configure 'timeout-ms = 4000'
    reload "etcd's settings changed: all zones are listed anew" && put /service/again/i1 127.6.0.1:80 &&
        wait_until 10 answers again.service.etcd 127.6.0.1
}

no_gap() {
    touch "$work/enough"
    wait "${pid[asking]}"
    status=$?
    wait "${pid[changing]}"
    unset 'pid[asking]' 'pid[changing]'
    tail -n 3 "$work/asking.log" | sed 's/^/# /'
    [ "$status" = 0 ] && grep -q '^asked [0-9]\{3,\}, missed 0$' "$work/asking.log"
}

# ---- limits ---------------------------------------------------------------

networks() {
    configure 'allow = 127.1.0.0/16, ::1'
    reload "$read_again" && put /service/guarded/i1 127.1.5.1:80 && put /service/guarded/i2 127.7.5.1:80 &&
        wait_until 5 answers guarded.service.etcd 127.1.5.1 &&
        wait_until 5 logged watcher 'key "/service/guarded/i2": not in the table: 127.7.5.1 is in none of' &&
        wait_until 5 unknown_here again.service.etcd || return 1
    configure
    reload "$read_again" && wait_until 5 answers guarded.service.etcd 127.1.5.1 127.7.5.1 &&
        wait_until 5 answers again.service.etcd 127.6.0.1
}

instances() {
    configure 'max-instances = 2' '[service wide.service.etcd]' 'max-instances = 3'
    reload "$read_again" && put /service/narrow/i1 127.1.6.1:80 && put /service/narrow/i2 127.1.6.2:80 &&
        wait_until 5 answers narrow.service.etcd 127.1.6.1 127.1.6.2 && put /service/narrow/i3 127.1.6.3:80 &&
        wait_until 5 logged watcher 'service narrow.service.etcd (3 instances): refused' &&
        answers narrow.service.etcd 127.1.6.1 127.1.6.2 || return 1
    for i in 1 2 3; do put "/service/wide/i$i" "127.1.7.$i:80"; done
    wait_until 5 answers wide.service.etcd 127.1.7.1 127.1.7.2 127.1.7.3 || return 1
    configure
    reload "$read_again" && wait_until 5 answers narrow.service.etcd 127.1.6.1 127.1.6.2 127.1.6.3
}

values() {
    configure 'max-value-size = 64'
    reload "$read_again" && put /service/long/i1 127.1.8.1:80 && wait_until 5 answers long.service.etcd 127.1.8.1 &&
        put /service/long/i1 "$(printf '{"addr":"127.1.8.9:1","x":"%060d"}' 0)" &&
        wait_until 5 logged watcher 'key "/service/long/i1": its value has 89 bytes' &&
        put /service/long/i2 "$(printf '{"addr":"127.1.8.9:1","x":"%060d"}' 0)" &&
        wait_until 5 logged watcher 'key "/service/long/i2": not in the table: the value is larger' &&
        answers long.service.etcd 127.1.8.1 || return 1
    configure
    reload "$read_again" && wait_until 5 answers long.service.etcd 127.1.8.9
}

table_size() {
    local size
    configure 'max-table-size = 64K'
    reload "$read_again" || return 1
    python3 "$top/tests/integration/watcher/fill.py" "$ETCDCTL_ENDPOINTS" 2000 2 &&
        wait_until 10 logged watcher 'the table is as large as max-table-size allows' || return 1
    size=$(stat -c %s "$ETCDSD_TABLE")
    [ "$size" -le 65536 ] || { echo "# $size bytes"; return 1; }
    answers cart.shop.service.etcd 127.1.0.2 || return 1
    configure
    reload "$read_again" && wait_until 15 answers i1.s999.service.etcd 10.0.7.207
}

# The new zone can't be listed yet, so its names are not ours yet.
while_etcd_is_away() {
    put /late/user/i1 127.8.0.1:80 && stop etcd KILL && wait_until 5 logged watcher 'etcd is out of sight' || return 1
    configure 'timeout-ms = 3000' '[zone default]' '[zone late]' 'prefix = /late' 'domain = late.example'
    reload "$read_again" && answers cart.shop.service.etcd 127.1.0.2 && not_ours user.late.example || return 1
    etcd_run
    wait_until 20 answers user.late.example 127.8.0.1 && answers cart.shop.service.etcd 127.1.0.2
}

clean_stop() {
    kill -TERM "${pid[watcher]}"
    wait "${pid[watcher]}"
    status=$?
    unset 'pid[watcher]'
    [ "$status" = 0 ]
}

# The header's zones differ from those of the file that is there.
other_zones_after_a_restart() {
    configure '[zone default]' '[zone inner]' 'prefix = /inner' 'domain = inner.example'
    daemon && wait_until 10 answers user.inner.example 127.2.0.1 127.2.0.2 127.2.0.3 &&
        answers cart.shop.service.etcd 127.1.0.2
}

etcd_start || { echo "not ok - etcd starts"; finish; }
check '--check-config names file, line and the likely word' says_what_is_wrong
check 'a bad file at start ends with status 2 and touches no table' bad_file_at_start
check 'two zones answer at once' two_zones
check 'services have several segments, and beat instances of their name' nested_names
check 'events of both zones arrive' events_of_both
check 'a format is pinned for one zone' format_is_the_zones
load_begins
check 'a reload brings a zone' zone_comes
check 'a reload takes a zone away' zone_goes
check 'a reload moves a zone to another prefix' zone_moves
check 'a zone inside the domain of another has its names, while it is there' zone_inside_another
check 'a service has another max-answers' service_says_otherwise
check 'a bad file is refused with file and line, and the old one goes on' bad_file_is_refused
check 'what can not change at run time is told' fixed_key_is_told
check 'other settings of etcd bring another handle' another_handle
check 'no question went without an answer meanwhile' no_gap
check 'addresses outside of the networks allowed are dropped' networks
check 'a service with too many instances stays as it was' instances
check 'an instance with too large a value stays as it was' values
check 'a table stays as large as it may be, and goes on' table_size
check 'a reload while etcd is away keeps the answers, and is done when it is back' while_etcd_is_away
check 'SIGTERM still stops it' clean_stop
check 'a restart with other zones answers for them' other_zones_after_a_restart
finish
