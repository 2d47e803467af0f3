#!/bin/bash
# etcdsd list, watch, pick, resolve, status, dump: what they print, their exit
# statuses and error lines.
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../lib.sh"
export ETCDSD_CONF=

# run WORD...: etcdsd to its end; its output in $out, error lines in $err, exit
# status in $status.
run() {
    out=$(timeout 20 "$build/etcdsd" "$@" 2>"$work/err" </dev/null)
    status=$?
    err=$(<"$work/err")
}

# is STATUS OUT ERR: what run met; the last two are patterns.
is() {
    # shellcheck disable=SC2053
    [ "$status" = "$1" ] && [[ $out = $2 ]] && [[ $err = $3 ]] && return 0
    printf '# status %s\n# out: %s\n# err: %s\n' "$status" "$out" "$err"
    return 1
}

# json EXPRESSION: of d, which is what run printed.
json() {
    printf '%s' "$out" | python3 -c "
import base64, json, sys
d = json.load(sys.stdin)
sys.exit(not ($1))"
}

help_and_version() {
    run --help && is 0 '*register*list*watch*resolve*pick*status*dump*--endpoints*' '' &&
        run --version && is 0 'etcdsd [0-9]*' '' && run help watch && is 0 'Usage: etcdsd watch*' '' || return 1
    local command
    for command in register list watch resolve pick status dump doctor; do
        run "$command" --help && is 0 "Usage: etcdsd $command*Exit status:*" '' || return 1
        run help "$command" && is 0 "Usage: etcdsd $command*Exit status:*" '' || return 1
        run "$command" --version && is 0 'etcdsd [0-9]*' '' || return 1
    done
}

wrong_usage() {
    run lst
    is 64 '' 'etcdsd: lst: is no command [(]did you mean list?)' || return 1
    run help lst
    is 64 '' 'etcdsd: lst: is no command [(]did you mean list?)' || return 1
    run list --timeout-ms never
    is 64 '' "etcdsd: --timeout-ms: 'never' is not a number from 1 to 600000" || return 1
    run list --config /nowhere
    is 2 '' 'etcdsd: --config: /nowhere: No such file or directory'
}

without_etcd() {
    ETCDCTL_ENDPOINTS=http://127.0.0.1:1 run list --timeout-ms 1000
    is 2 '' 'etcdsd: list: *http://127.0.0.1:1*[(]is etcd there? see --endpoints*' || return 1
    ETCDCTL_ENDPOINTS=http://127.0.0.1:1 run pick user --timeout-ms 1000
    is 2 '' 'etcdsd: user: *[(]is etcd there?*' || return 1
    run list user
    is 1 '' 'etcdsd: user: no instance [(]*'
}

without_table() {
    run status
    is 2 '' "etcdsd: $ETCDSD_TABLE: there is no table [(]start etcdsd-watcher*" || return 1
    run status --json
    is 2 '*' '' && json 'd["state"] == "missing" and d["status"] == 2' || return 1
    run resolve user
    is 2 '' "etcdsd: $ETCDSD_TABLE: there is no table*" || return 1
    run dump --table /dev/null
    is 2 '' 'etcdsd: /dev/null: is not a file*'
}

fill() {
    put /service/user/a 127.0.0.2:80 && put /service/user/b '{"addr":"127.0.0.3:81","weight":3}' &&
        put /service/shop/cart/x '[2001:db8::1]:99' && put /service/user/bad 'no address' &&
        put /service/odd/$'a\e[2J"' $'{"addr":"127.0.0.9:1","name":"\xff"}' &&
        watcher_start && wait_until 10 answers x.cart.shop.service.etcd 2001:db8::1
}

lists() {
    run list
    is 0 $'odd/a\\\\x1b\[2J"  127.0.0.9:1  no lease\nshop/cart/x  \[2001:db8::1\]:99*\nuser/a  127.0.0.2:80*\nuser/b*weight 3*' \
        'etcdsd: 1 key is left out: *' || return 1
    run list shop/cart
    is 0 'shop/cart/x  *' '' || return 1
    run list --json
    is 0 '*' '' && json 'len(d["instances"]) == 4 and d["unreadable"] == 1 and
        d["instances"][0]["instance"] == "a\x1b[2J\"" and d["instances"][3]["weight"] == 3 and
        base64.b64decode(d["instances"][0]["value_base64"]).endswith(b"\xff\"}")' || return 1
    run list nobody
    is 1 '' 'etcdsd: nobody: no instance [(]*' || return 1
    run list --json nobody
    is 1 '*' 'etcdsd: nobody*' && json 'd["instances"] == []' || return 1
    run list user//a
    is 64 '' 'etcdsd: user//a: *'
}

picks() {
    run pick user
    [[ $out = 127.0.0.[23]:8[01] ]] && is 0 '*' '' || return 1
    run pick user --source etcd --json
    is 0 '*' '' && json 'd["source"] == "etcd" and d["address"].endswith(str(d["port"]))' || return 1
    ETCDCTL_ENDPOINTS=http://127.0.0.1:1 run pick user --json
    is 0 '*' '' && json 'd["source"] == "table"' || return 1
    run pick nobody --source etcd
    is 1 '' 'etcdsd: nobody: no instance [(]*'
}

resolves() {
    local name
    for name in user user.service.etcd USER.Service.etcd. --domain=service.etcd\ user; do
        # shellcheck disable=SC2086 # an option and a word
        run resolve $name
        is 0 $'127.0.0.2:80  a  weight 1  first in 25 % of answers\n127.0.0.3:81  b  weight 3  first in 75 %*by weight*live*' '' || return 1
    done
    run resolve a.user.service.etcd
    is 0 $'127.0.0.2:80  a  *100 %*\norder    there is one address only*' '' || return 1
    run resolve shop/cart --json
    is 0 '*' '' && json 'd["name"] == "cart.shop.service.etcd" and d["service"] == "shop/cart" and
        d["state"] == "live" and d["instances"][0]["address"] == "[2001:db8::1]:99" and d["order"] == "one" and
        d["instances"][0]["first_permille"] == 1000 and int(d["generation"], 16) > 0' || return 1
    run resolve nobody
    is 1 '' 'etcdsd: nobody.service.etcd: no such name; 1 key is left out [(]*' || return 1
    run resolve www.example.com
    is 1 '' 'etcdsd: www.example.com: in no domain of*'
}

dumps() {
    run dump
    [ "$(grep -c . <<<"$out")" = 4 ] && [[ $'\n'$out$'\n' = *$'\nuser\tb\t127.0.0.3:81\tb.user.service.etcd\n'* ]] &&
        run dump --json && is 0 '*' '' && json 'sorted(i["service"] for i in d) == ["odd", "shop/cart", "user", "user"]'
}

dumps_thousands() {
    python3 "$top/tests/integration/watcher/fill.py" "$ETCDCTL_ENDPOINTS" 3000 10 >"$work/fill.log" &&
        wait_until 10 answers i9.s299.service.etcd 10.0.11.183 && run dump &&
        [ "$(grep -c . <<<"$out")" = 3004 ]
}

status_of_live() {
    run status
    is 0 $'live: answers are what etcd has now\nwatcher   process '"${pid[watcher]}"',*domains   service.etcd' '' &&
        run status --json && is 0 '*' '' &&
        json "d['writer'] == ${pid[watcher]} and d['state'] == 'live' and d['instances'] >= 4 and d['dropped'] == 1"
}

# state_is STATUS STATE
state_is() {
    run status
    [ "$status" = "$1" ] && [[ $out = "$2: "* ]]
}

watches() {
    spawn lines "$build/etcdsd" watch user
    spawn objects "$build/etcdsd" watch --json user
    wait_until 10 logged lines 'that is all, at revision' && wait_until 10 logged objects '"type":"synced"' || return 1
    put /service/user/a 127.0.0.4:80 && put /service/user/new 127.0.0.5:80 && del /service/user/b || return 1
    wait_until 5 logged lines ' ~ user/a  127.0.0.2:80 -> 127.0.0.4:80' &&
        wait_until 5 logged lines ' + user/new  127.0.0.5:80  registered' &&
        wait_until 5 logged lines ' - user/b  127.0.0.3:81  deregistered' &&
        wait_until 5 logged objects '"type":"offline"' &&
        ! grep -q $'\e' "$work/lines.log" && out=$(tail -n 1 "$work/objects.log") &&
        json 'd["reason"] == "deregistered" and d["instance"] == "b"'
}

watch_ends_well() {
    kill -TERM "${pid[lines]}" && wait "${pid[lines]}" && unset 'pid[lines]' &&
        kill -INT "${pid[objects]}" && wait "${pid[objects]}" && unset 'pid[objects]'
}

watch_ends_with_its_pipe() {
    timeout 20 "$build/etcdsd" watch user | head -n 1 | grep -q user
    [ "${PIPESTATUS[0]}" = 141 ]
}

colours_are_for_terminals() {
    python3 - "$build/etcdsd" <<'END2' | grep -q $'\e\\[32m.*user/a'
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], [sys.argv[1], "watch", "user"])
seen = b""
while b"that is all" not in seen:
    seen += os.read(terminal, 4096)
os.kill(child, 15)
sys.stdout.buffer.write(seen)
END2
}

# color SEEN WORD...: watch, not on a terminal, prints escapes or not.
color() {
    : >"$work/colored.log"
    spawn colored "$build/etcdsd" watch user "${@:2}"
    wait_until 10 logged colored 'that is all' && stop colored || return 1
    if grep -q $'\e' "$work/colored.log"; then [ "$1" = yes ]; else [ "$1" = no ]; fi
}

colours_as_wished() {
    color no && color no --color auto && color no --color never && color yes --color always &&
        NO_COLOR=1 color yes --color=always && run watch --color blue &&
        is 64 '' "etcdsd: --color: 'blue' is none of auto, always, never"
}

# Before etcd is there, too; the watch goes on when it comes.
watch_without_etcd() {
    spawn early "$build/etcdsd" watch user
    wait_until 20 logged early '! etcd is out of sight: ' && etcd_run && wait_until 15 etcd_answers &&
        wait_until 20 logged early 'that is all, at revision' && wait_until 20 logged early '+ user/a' && stop early
}

etcd_goes() {
    spawn lines "$build/etcdsd" watch user
    wait_until 10 logged lines 'that is all' && stop etcd KILL && wait_until 10 logged lines '! etcd is out of sight: ' &&
        wait_until 10 state_is 1 disconnected && run resolve user && is 0 '*disconnected: answers go on*' '' || return 1
    stop lines
}

watcher_stops() {
    stop watcher && state_is 1 stopped && run status --json && json 'd["status"] == 1'
}

broken_tables() {
    chmod 666 "$ETCDSD_TABLE"
    run status
    is 2 '' "etcdsd: $ETCDSD_TABLE: others than its owner may write it*[(]chmod 644 *" || return 1
    chmod 644 "$ETCDSD_TABLE"
    head -c 8192 /dev/zero >"$work/zero"
    run status --table "$work/zero"
    is 2 '' "etcdsd: $work/zero: is no table of layout 1*"
}

check 'etcd starts' etcd_start
check 'help of all and of each command' help_and_version
check 'wrong usage ends with 64 and one line' wrong_usage
check 'without etcd: status 2; without the service: 1' without_etcd
check 'without a table: status 2, and what to do' without_table
check 'services are registered, the watcher runs' fill
check 'list prints text and JSON, whatever bytes' lists
check 'pick prints one address, from table or etcd' picks
check 'resolve says what is answered and why' resolves
check 'dump prints the whole table' dumps
check 'dump of a table with thousands' dumps_thousands
check 'status of a watcher that follows etcd' status_of_live
check 'watch prints each change, as lines and as JSON' watches
check 'watch ends with status 0 by SIGTERM and SIGINT' watch_ends_well
check 'watch ends when nobody reads' watch_ends_with_its_pipe
check 'watch has colours on a terminal' colours_are_for_terminals
check 'watch has colours as --color says' colours_as_wished
check 'etcd goes: watch and status say so, resolve goes on' etcd_goes
check 'a watch that begins without etcd goes on when that comes' watch_without_etcd
check 'the watcher stops: status says so' watcher_stops
check 'a table that nobody trusts is explained' broken_tables
finish
